//! Membership in a classic consumer group.
//!
//! ```text
//! find the coordinator ─▶ Join ─▶ Joining ─▶ Sync ─▶ Syncing ─▶ Stable ─▶ Releasing ─┐
//!                          ▲  ▲                                                      │ the caller has dealt with it
//!                          │  └── a member id is required, or a retry                │
//!                          └─────────────────────────────────────────────────────────┘
//! ```
//!
//! - The first JoinGroup has no member id; the coordinator gives one (79) and it joins again with that.
//! - The group's leader deals partitions by the [assignor](super::super::assign) that the group chose and hands the
//!   result in with SyncGroup ([`dealing`](super::dealing)).
//! - What a rebalance means for the units, eager or cooperative, is in [`handover`](super::handover).
//! - Heartbeats go on from assignment to the next JoinGroup ([`beats`](super::beats)). Their answer says what to do:
//!
//! | code | meaning |
//! |---|---|
//! | 27 | a rebalance: see [`handover`](super::handover) |
//! | 82 | another process runs under this instance: units are `Lost`, and the client is finished |
//! | 22, 25 | the membership is gone: units are `Lost`, the member rejoins, after 25 without its id |
//! | 14, 15, 16, no answer | look for the coordinator; units stay |
//!
//! - librdkafka asks once a second who coordinates while it cannot reach who did, between its attempts to connect and
//!   whether or not it has something to say (`rd_kafka_cgrp_serve`); Java asks after an attempt that failed.
//! - librdkafka also gives up by itself when no heartbeat was answered for a session.
//! - A caller that is away for too long makes its member leave; it rejoins when the caller is back.
//! - A static member never says that it leaves: it may come back within its session.

use super::super::{
    Shared,
    error::ErrorCode,
    protocol::{
        Assignor, GroupIx, InstanceId, JoinGroupRequest, JoinGroupResponse, JoinedMember, MemberEpoch,
        MemberId, MemberSubscription, OffsetFetchRequest, PartitionId, RequestBody, SyncGroupRequest,
        TopicIx,
    },
};
use super::{
    Io, Timer,
    beats::Beats,
    consumer::{Asked, Consumer},
    epochs::Epochs,
    fetcher::Place,
    net::What,
    outcome::{self, Coordination},
    own,
    settings::ConsumerSettings,
};
use crate::kernel::{NodeId, Site};
use squall_bus::{ConsumerEvent, ErrorClass, GroupProtocol, Time};
use std::{sync::Arc, time::Duration};

const BACK_OFF: Site = Site::new("kafka.client.group-backoff");
/// What a JoinGroup waits beyond the rebalance timeout, since the coordinator waits for that long itself.
const JOIN_SLACK: Duration = Duration::from_secs(5);

/// Where a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// To send JoinGroup.
    Join,
    Joining,
    /// To send SyncGroup.
    Sync,
    Syncing,
    Stable,
    /// Units are taken away; the caller is dealing with that.
    Releasing,
}

/// A member of a group.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) group: GroupIx,
    pub(super) topics: Vec<TopicIx>,
    pub(crate) id: Option<MemberId>,
    pub(crate) instance: Option<InstanceId>,
    pub(crate) generation: i32,
    /// Whether it hands back only what moves.
    pub(super) cooperative: bool,
    /// What it was dealt last, and in which generation, for the sticky assignors.
    remembered: (Vec<PartitionId>, Option<i32>),
    pub(crate) phase: Phase,
    /// Counts joins, so that an answer to an old request is not taken for one to a new.
    pub(super) attempt: u32,
    coordinator_known: bool,
    finding: bool,
    /// When somebody was asked last who coordinates.
    sought_at: Time,
    pub(super) fetching_offsets: bool,
    pub(super) failures: u32,
    drawn: u64,
    pub(crate) not_before: Time,
    wake_at: Option<Time>,
    /// As the group's leader: who is to be dealt partitions, and how.
    pub(super) to_deal: Option<(Assignor, Vec<JoinedMember>)>,
    /// As the group's leader: the topics dealt, and how many partitions each had.
    pub(super) dealt: Vec<(TopicIx, u32)>,
    /// Whether heartbeats of the consumer protocol have begun.
    pub(super) beating: bool,
    /// Heartbeats of the classic one.
    pub(super) beats: Beats,
    pub(super) beat_in_flight: bool,
    pub(super) last_beat: Time,
    /// What a member of the consumer protocol knows.
    pub(super) epochs: Option<Epochs>,
}

impl Member {
    pub(crate) fn new(group: GroupIx, topics: Vec<TopicIx>, settings: &ConsumerSettings) -> Self {
        let consumer = settings.config.protocol == GroupProtocol::Consumer;
        Self {
            group,
            topics,
            id: None,
            instance: settings.config.instance.as_deref().map(InstanceId::new),
            generation: -1,
            cooperative: settings.assignors.iter().all(|assignor| assignor.is_cooperative()),
            remembered: (Vec::new(), None),
            phase: Phase::Join,
            attempt: 0,
            coordinator_known: false,
            finding: false,
            sought_at: Time::ZERO,
            fetching_offsets: false,
            failures: 0,
            drawn: 0,
            not_before: Time::ZERO,
            wake_at: None,
            to_deal: None,
            dealt: Vec::new(),
            beating: false,
            beats: Beats::default(),
            beat_in_flight: false,
            last_beat: Time::ZERO,
            epochs: consumer.then(|| Epochs::new(settings.config.assignors.first().copied())),
        }
    }

    /// Who commits: the member and its generation.
    pub(crate) fn credentials(&self) -> Option<MemberEpoch> {
        let id = self.id.filter(|_| self.generation >= 0)?;
        Some(MemberEpoch { id, epoch: self.generation, instance: self.instance.clone() })
    }
}

impl Consumer {
    /// The coordinator's slot if requests can go there now; sees to it otherwise.
    pub(super) fn coordinator(&mut self, io: &mut dyn Io) -> Option<u32> {
        let now = io.now();
        let member = self.member.as_mut()?;
        if member.not_before > now {
            let at = member.not_before;
            if member.wake_at.is_none_or(|armed| at < armed) {
                member.wake_at = Some(at);
                io.timer(at.since(now), Timer::Group);
            }
            return None;
        }
        let slot = self.net.conns.coordinator();
        if member.coordinator_known {
            if self.net.conns.is_up(slot) {
                return Some(slot);
            }
            self.net.conns.want(slot, io);
            self.find_again(io);
        } else if !member.finding {
            self.find_coordinator(io);
        }
        None
    }

    fn find_coordinator(&mut self, io: &mut dyn Io) {
        let Some(any) = self.net.any_up(io) else { return };
        let Some(member) = &mut self.member else { return };
        member.finding = true;
        member.sought_at = io.now();
        let (what, timeout) = (What::Client(Asked::FindCoordinator), self.net.request_timeout());
        self.net.conns.send(any, RequestBody::FindCoordinator(member.group), what, timeout, io);
    }

    /// librdkafka asks who coordinates at intervals while it cannot reach who did, between its attempts to connect.
    fn find_again(&mut self, io: &mut dyn Io) {
        let Some(every) = self.settings.library.coordinator_search else { return };
        let Some(member) = self.member.as_mut().filter(|member| !member.finding) else { return };
        let (now, at) = (io.now(), member.sought_at + every);
        if at <= now {
            return self.find_coordinator(io);
        }
        if member.wake_at.is_none_or(|armed| at < armed) {
            member.wake_at = Some(at);
            io.timer(at.since(now), Timer::Group);
        }
    }

    /// librdkafka sees to its coordinator also when it has nothing to say to it.
    fn watch_coordinator(&mut self, io: &mut dyn Io) {
        let up = self.net.conns.is_up(self.net.conns.coordinator());
        if !up && self.settings.library.coordinator_search.is_some() && self.fatal.is_none() {
            self.coordinator(io);
        }
    }

    pub(super) fn member_timer(&mut self, io: &dyn Io) {
        if let Some(member) = &mut self.member
            && member.wake_at.is_some_and(|at| at <= io.now())
        {
            member.wake_at = None;
        }
    }

    /// A group request has to be tried again, later.
    pub(super) fn group_back_off(&mut self, elsewhere: bool, io: &dyn Io) {
        let Some(member) = &mut self.member else { return };
        member.coordinator_known &= !elsewhere;
        let attempt = member.failures;
        member.failures += 1;
        self.hold_back(attempt, io);
    }

    /// Nothing is asked of the group for as long as this attempt, from 0, takes.
    pub(super) fn hold_back(&mut self, attempt: u32, io: &dyn Io) {
        let rule = self.settings.library.group_retry;
        let Some(member) = &mut self.member else { return };
        let drawn = io.choices().draw(BACK_OFF, own(io.node()), member.drawn) as u32;
        member.drawn += 1;
        member.not_before = io.now() + rule.delay(attempt, drawn);
    }

    pub(super) fn found_coordinator(&mut self, error: ErrorCode, node: Option<NodeId>, io: &mut dyn Io) {
        let Some(member) = &mut self.member else { return };
        member.finding = false;
        match node.filter(|_| !error.is_error()) {
            Some(node) => {
                member.coordinator_known = true;
                if let Some(lost) = self.net.conns.retarget(node, io) {
                    let lost = self.net.lost(Some(lost), io);
                    if let super::net::Happened::Lost(lost) = lost {
                        for asked in lost.requests {
                            self.group_lost_request(&asked);
                        }
                    }
                }
            }
            None => self.group_back_off(true, io),
        }
    }

    fn group_lost_request(&mut self, asked: &Asked) {
        match asked {
            Asked::Commit(number) => self.commit_unanswered(*number),
            asked => self.group_unanswered(asked),
        }
    }

    /// The connection to the coordinator is gone.
    pub(super) fn coordinator_lost(&mut self, io: &dyn Io) {
        self.group_back_off(true, io);
    }

    /// A group request whose connection is gone.
    pub(super) fn group_unanswered(&mut self, asked: &Asked) {
        let Some(member) = &mut self.member else { return };
        match asked {
            Asked::FindCoordinator => member.finding = false,
            Asked::Join(attempt) | Asked::Sync(attempt) if *attempt == member.attempt => {
                member.phase = Phase::Join;
            }
            Asked::Heartbeat(_) => self.beat_failed(),
            Asked::Epoch(_) => self.epoch_unanswered(),
            Asked::OffsetFetch(_) => member.fetching_offsets = false,
            _ => {}
        }
    }

    /// Takes the next step of membership, if there is one to take.
    pub(super) fn member_step(&mut self, io: &mut dyn Io) {
        self.watch_coordinator(io);
        let Some(member) = &self.member else { return };
        if member.epochs.is_some() {
            return self.epoch_step(io);
        }
        let joins = matches!(member.phase, Phase::Join | Phase::Sync) && self.closing.is_none();
        let asks = member.phase == Phase::Stable
            && !member.fetching_offsets
            && self.units.iter().any(|reading| reading.place == Place::Unknown);
        let beats = member.has_to_beat() && self.closing.is_none();
        if !joins && !asks && !beats && !self.has_unsent_commits() {
            return;
        }
        let Some(slot) = self.coordinator(io) else { return };
        if beats {
            self.beat(slot, io);
        }
        self.send_commits(slot, io);
        match self.member.as_ref().map(|member| member.phase) {
            Some(Phase::Join) if joins => self.join(slot, io),
            Some(Phase::Sync) if joins => self.sync(slot, io),
            _ if asks => self.ask_committed(slot, io),
            _ => {}
        }
    }

    fn join(&mut self, slot: u32, io: &mut dyn Io) {
        let library = &self.settings.library;
        let Some(member) = &mut self.member else { return };
        member.attempt += 1;
        member.phase = Phase::Joining;
        let owned = || self.units.iter().map(|reading| reading.id).collect();
        let sticky = |assignor: &Assignor| match assignor {
            Assignor::Sticky => Some(member.remembered.clone()),
            Assignor::CooperativeSticky => Some((owned(), member.remembered.1)),
            Assignor::Range | Assignor::RoundRobin | Assignor::Uniform => None,
        };
        let (owned, generation) = self.settings.assignors.iter().find_map(sticky).unwrap_or_default();
        let subscription = MemberSubscription { topics: member.topics.clone(), owned, generation };
        let request = JoinGroupRequest {
            group: member.group,
            member: member.id,
            instance: member.instance.clone(),
            session_timeout: library.session_timeout,
            rebalance_timeout: library.max_poll_interval,
            assignors: self.settings.assignors.clone(),
            subscription: Arc::new(subscription),
        };
        let timeout = library.max_poll_interval + JOIN_SLACK;
        let what = What::Client(Asked::Join(member.attempt));
        self.net.conns.send(slot, RequestBody::JoinGroup(request), what, timeout, io);
    }

    pub(super) fn joined(
        &mut self,
        attempt: u32,
        response: JoinGroupResponse,
        io: &mut dyn Io,
        shared: &Shared,
    ) {
        let Some(member) = self.member.as_mut().filter(|member| member.attempt == attempt) else { return };
        member.phase = Phase::Join;
        if response.error == ErrorCode::MemberIdRequired {
            member.id = response.member;
            return;
        }
        match outcome::of_coordinator(response.error) {
            Coordination::Fine => {
                member.id = response.member;
                member.generation = response.generation;
                member.phase = Phase::Sync;
                member.failures = 0;
                let leads = response.leader == response.member;
                member.to_deal = leads.then_some((response.assignor, response.members));
                member.dealt.clear();
                self.learn_topics_to_deal(io);
            }
            Coordination::Unknown if self.units.is_empty() => member.id = None,
            Coordination::Unknown => self.lose(true, io, shared),
            Coordination::Fenced => self.fenced(io, shared),
            Coordination::Refused => self.refused(response.error, io, shared),
            other => self.group_back_off(other == Coordination::Elsewhere, io),
        }
    }

    /// A group that will not have this member, as it is.
    pub(super) fn refused(&mut self, code: ErrorCode, io: &mut dyn Io, shared: &Shared) {
        let group = self.member.as_ref().map_or("", |member| shared.names.group(member.group));
        let message = format!("the group {group} does not take this member as it is configured");
        self.finish(outcome::error(code, ErrorClass::Fatal, message), io);
    }

    /// Another process runs under this member's instance.
    pub(super) fn fenced(&mut self, io: &mut dyn Io, shared: &Shared) {
        self.lose(true, io, shared);
        let instance = self.settings.config.instance.as_deref().unwrap_or("this instance").to_owned();
        let message = format!("another process has joined the group as {instance}: end one of them");
        self.finish(outcome::error(ErrorCode::FencedInstanceId, ErrorClass::Fatal, message), io);
    }

    fn sync(&mut self, slot: u32, io: &mut dyn Io) {
        if self.knows_too_little_to_deal() {
            return self.net.refresh(io);
        }
        let assignments = self.deal();
        let Some(member) = &mut self.member else { return };
        let Some(credentials) = member.credentials() else { return };
        member.phase = Phase::Syncing;
        let request = SyncGroupRequest { group: member.group, member: credentials, assignments };
        let timeout = self.settings.library.max_poll_interval + JOIN_SLACK;
        let what = What::Client(Asked::Sync(member.attempt));
        self.net.conns.send(slot, RequestBody::SyncGroup(request), what, timeout, io);
    }

    pub(super) fn synced(
        &mut self,
        attempt: u32,
        error: ErrorCode,
        partitions: &[PartitionId],
        io: &mut dyn Io,
        shared: &Shared,
    ) {
        let Some(member) = self.member.as_mut().filter(|member| member.attempt == attempt) else { return };
        member.phase = Phase::Join;
        match outcome::of_coordinator(error) {
            Coordination::Fine => {}
            Coordination::Rejoin => return,
            Coordination::Lost | Coordination::Unknown => {
                return self.lose(error == ErrorCode::UnknownMemberId, io, shared);
            }
            Coordination::Fenced => return self.fenced(io, shared),
            Coordination::Refused => return self.refused(error, io, shared),
            other => return self.group_back_off(other == Coordination::Elsewhere, io),
        }
        member.phase = Phase::Stable;
        member.fetching_offsets = false;
        member.remembered = (partitions.to_vec(), Some(member.generation));
        let cooperative = member.cooperative;
        self.begin_to_beat(io);
        if cooperative {
            return self.adjust(partitions, io, shared);
        }
        self.take_on(partitions, io);
        let units = self.unit_names(shared).into_iter().map(|unit| (unit, None)).collect();
        self.tell_assignment(ConsumerEvent::Assigned(units), io);
    }

    /// What the coordinator's answer to a heartbeat or commit means for the membership.
    pub(super) fn coordinator_says(&mut self, says: Coordination, io: &mut dyn Io, shared: &Shared) {
        let stable = self.member.as_ref().is_some_and(|member| member.phase == Phase::Stable);
        let owns = stable || !self.units.is_empty();
        match says {
            Coordination::Fine | Coordination::Refused => {}
            Coordination::Again | Coordination::Elsewhere => {
                self.group_back_off(says == Coordination::Elsewhere, io);
            }
            Coordination::Stale => self.epoch_is_stale(),
            Coordination::Rejoin if stable => self.release(io, shared),
            Coordination::Lost if owns => self.lose(false, io, shared),
            Coordination::Unknown if owns => self.lose(true, io, shared),
            Coordination::Fenced => self.fenced(io, shared),
            Coordination::Rejoin => {}
            Coordination::Lost | Coordination::Unknown => {
                // The caller is dealing with a revocation that has become a loss: its commits will fail.
                if let Some(member) = self.member.as_mut().filter(|member| member.phase == Phase::Releasing) {
                    member.generation = -1;
                    if says == Coordination::Unknown {
                        member.id = None;
                    }
                }
            }
        }
    }

    /// The caller has not asked for a record for too long: the member leaves, and rejoins when it is back.
    pub(super) fn away_too_long(&mut self, io: &mut dyn Io, shared: &Shared) {
        let Some(member) = &self.member else { return };
        if member.epochs.is_some() {
            if let Some(slot) = self.coordinator(io) {
                self.leave_by_epoch(slot, io);
            }
        } else if let Some(id) = member.id.filter(|_| member.instance.is_none()) {
            let group = member.group;
            if let Some(slot) = self.coordinator(io) {
                let (what, timeout) = (What::Client(Asked::Leave), self.net.request_timeout());
                self.net.conns.send(slot, RequestBody::LeaveGroup(group, id, None), what, timeout, io);
            }
        }
        self.lose(true, io, shared);
        if let Some(member) = &mut self.member {
            // Answers to what was asked before mean nothing any more.
            member.attempt += 1;
            member.phase = Phase::Releasing;
        }
        self.await_caller();
    }

    /// The last steps of a close: pending commits, LeaveGroup, the end.
    pub(super) fn close_step(&mut self, io: &mut dyn Io) {
        let Some(closing) = &self.closing else { return };
        if closing.left || !self.commits.is_empty() {
            return;
        }
        let says_so = |member: &&Member| member.instance.is_none() || member.epochs.is_some();
        let leaver = self.member.as_ref().filter(says_so).filter(|_| self.fatal.is_none());
        let Some((group, Some(id))) = leaver.map(|member| (member.group, member.id)) else {
            return self.closed(io);
        };
        if let Some(slot) = self.coordinator(io) {
            if let Some(closing) = &mut self.closing {
                closing.left = true;
            }
            if self.member.as_ref().is_some_and(|member| member.epochs.is_some()) {
                return self.leave_by_epoch(slot, io);
            }
            let (what, timeout) = (What::Client(Asked::Leave), self.net.request_timeout());
            self.net.conns.send(slot, RequestBody::LeaveGroup(group, id, None), what, timeout, io);
        }
    }

    /// The coordinator has answered LeaveGroup, or cannot.
    pub(super) fn left(&mut self, io: &mut dyn Io) {
        if self.closing.as_ref().is_some_and(|closing| closing.left) {
            self.closed(io);
        }
    }

    /// Asks the coordinator where the group goes on.
    pub(super) fn ask_committed(&mut self, slot: u32, io: &mut dyn Io) {
        let unknown = self.units.iter().filter(|reading| reading.place == Place::Unknown);
        let partitions = unknown.map(|reading| reading.id).collect();
        let Some(member) = &mut self.member else { return };
        member.fetching_offsets = true;
        let who = member.epochs.as_ref().and_then(|_| member.credentials());
        let body = RequestBody::OffsetFetch(OffsetFetchRequest {
            group: member.group,
            member: who,
            partitions,
            stable: self.settings.stable_offsets(),
        });
        let (what, timeout) = (What::Client(Asked::OffsetFetch(member.attempt)), self.net.request_timeout());
        self.net.conns.send(slot, body, what, timeout, io);
    }

    /// Where the group goes on: whether this answers the current assignment.
    pub(super) fn offsets_answered(&mut self, attempt: u32) -> bool {
        let member = self.member.as_mut().filter(|member| member.attempt == attempt);
        member.map(|member| member.fetching_offsets = false).is_some()
    }
}
