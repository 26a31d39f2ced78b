//! Membership in a classic consumer group, with eager rebalances.
//!
//! ```text
//! find the coordinator ─▶ Join ─▶ Joining ─▶ Sync ─▶ Syncing ─▶ Stable ─▶ Releasing ─┐
//!                          ▲  ▲                                                      │ the caller has dealt with it
//!                          │  └── a member id is required, or a retry                │
//!                          └─────────────────────────────────────────────────────────┘
//! ```
//!
//! - The first JoinGroup has no member id; the coordinator gives one (79) and it joins again with that.
//! - The group's leader deals partitions by [`range`](super::range) and hands the result in with SyncGroup.
//! - Heartbeats go on from assignment to the next JoinGroup. Their answer says what to do:
//!
//! | code | meaning |
//! |---|---|
//! | 27 | a rebalance: units are `Revoked`, the caller deals with that, the member rejoins |
//! | 22, 25 | the membership is gone: units are `Lost`, the member rejoins, after 25 without its id |
//! | 14, 15, 16, no answer | look for the coordinator; units stay |
//!
//! - librdkafka also gives up by itself when no heartbeat was answered for a session.
//! - A caller that is away for too long makes its member leave; it rejoins when the caller is back.

use super::super::{
    Shared,
    error::ErrorCode,
    protocol::{
        Assignor, GroupIx, JoinGroupRequest, JoinGroupResponse, MemberId, MemberSubscription, PartitionId,
        RequestBody, SyncGroupRequest, TopicIx,
    },
};
use super::{
    Io, Timer,
    consumer::{Asked, Consumer},
    fetcher::{Place, Reading},
    net::What,
    outcome::{self, Coordination},
    own, range,
};
use crate::kernel::{NodeId, Site};
use squall_bus::{ConsumerEvent, ErrorClass, Time};
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
    topics: Vec<TopicIx>,
    pub(crate) id: Option<MemberId>,
    pub(crate) generation: i32,
    pub(crate) phase: Phase,
    /// Counts joins, so that an answer to an old request is not taken for one to a new.
    attempt: u32,
    coordinator_known: bool,
    finding: bool,
    fetching_offsets: bool,
    failures: u32,
    drawn: u64,
    pub(crate) not_before: Time,
    wake_at: Option<Time>,
    /// As the group's leader: who is to be dealt partitions.
    to_deal: Option<Vec<(MemberId, Arc<MemberSubscription>)>>,
    /// As the group's leader: the topics dealt, and how many partitions each had.
    dealt: Vec<(TopicIx, u32)>,
    beating: bool,
    beat_in_flight: bool,
    last_beat: Time,
}

impl Member {
    pub(crate) fn new(group: GroupIx, topics: Vec<TopicIx>) -> Self {
        Self {
            group,
            topics,
            id: None,
            generation: -1,
            phase: Phase::Join,
            attempt: 0,
            coordinator_known: false,
            finding: false,
            fetching_offsets: false,
            failures: 0,
            drawn: 0,
            not_before: Time::ZERO,
            wake_at: None,
            to_deal: None,
            dealt: Vec::new(),
            beating: false,
            beat_in_flight: false,
            last_beat: Time::ZERO,
        }
    }

    /// Who commits: the member and its generation.
    pub(crate) fn credentials(&self) -> Option<(MemberId, i32)> {
        self.id.filter(|_| self.generation >= 0).map(|id| (id, self.generation))
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
        } else if !member.finding {
            let group = member.group;
            if let Some(any) = self.net.any_up(io) {
                let (what, timeout) = (What::Client(Asked::FindCoordinator), self.net.request_timeout());
                self.net.conns.send(any, RequestBody::FindCoordinator(group), what, timeout, io);
                if let Some(member) = &mut self.member {
                    member.finding = true;
                }
            }
        }
        None
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
        let rule = self.settings.library.group_retry;
        let Some(member) = &mut self.member else { return };
        let drawn = io.choices().draw(BACK_OFF, own(io.node()), member.drawn) as u32;
        member.drawn += 1;
        member.not_before = io.now() + rule.delay(member.failures, drawn);
        member.failures += 1;
        member.coordinator_known &= !elsewhere;
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
            Asked::Heartbeat(_) => member.beat_in_flight = false,
            Asked::OffsetFetch(_) => member.fetching_offsets = false,
            _ => {}
        }
    }

    /// Takes the next step of membership, if there is one to take.
    pub(super) fn member_step(&mut self, io: &mut dyn Io) {
        let Some(member) = &self.member else { return };
        let joins = matches!(member.phase, Phase::Join | Phase::Sync) && self.closing.is_none();
        let asks = member.phase == Phase::Stable
            && !member.fetching_offsets
            && self.units.iter().any(|reading| reading.place == Place::Unknown);
        if !joins && !asks && !self.has_unsent_commits(io.now()) {
            return;
        }
        let Some(slot) = self.coordinator(io) else { return };
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
        let subscription = MemberSubscription { topics: member.topics.clone(), owned: Vec::new() };
        let request = JoinGroupRequest {
            group: member.group,
            member: member.id,
            session_timeout: library.session_timeout,
            rebalance_timeout: library.max_poll_interval,
            assignors: vec![Assignor::Range],
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
                member.to_deal = (response.leader == response.member).then_some(response.members);
                member.dealt.clear();
                self.learn_topics_to_deal(io);
            }
            Coordination::Unknown => member.id = None,
            Coordination::Refused => self.refused(response.error, io, shared),
            other => self.group_back_off(other == Coordination::Elsewhere, io),
        }
    }

    /// A group that will not have this member, as it is.
    fn refused(&mut self, code: ErrorCode, io: &mut dyn Io, shared: &Shared) {
        let group = self.member.as_ref().map_or("", |member| shared.names.group(member.group));
        let message = format!("the group {group} does not take this member as it is configured");
        self.finish(outcome::error(code, ErrorClass::Fatal, message), io);
    }

    /// As the group's leader: topics of other members become interesting.
    fn learn_topics_to_deal(&mut self, io: &mut dyn Io) {
        let Some(Some(members)) = self.member.as_ref().map(|member| &member.to_deal) else { return };
        let mut new = false;
        for topic in members.iter().flat_map(|(_, wants)| &wants.topics) {
            new |= self.net.metadata.follow(*topic).1;
        }
        if new {
            self.net.ask_at_once(io);
        }
    }

    /// The range assignment, and what it was made from.
    fn deal(&mut self) -> Vec<(MemberId, Vec<PartitionId>)> {
        let Some(member) = &mut self.member else { return Vec::new() };
        let Some(members) = member.to_deal.take() else { return Vec::new() };
        let mut topics: Vec<TopicIx> =
            members.iter().flat_map(|(_, wants)| wants.topics.iter().copied()).collect();
        topics.sort_unstable();
        topics.dedup();
        member.dealt = topics.iter().map(|topic| (*topic, self.net.metadata.partitions(*topic))).collect();
        let counts: Vec<u32> = member.dealt.iter().map(|(_, count)| *count).collect();
        let places: Vec<Vec<usize>> = members
            .iter()
            .map(|(_, wants)| wants.topics.iter().filter_map(|t| topics.binary_search(t).ok()).collect())
            .collect();
        let wishes: Vec<range::Member<'_, MemberId>> =
            members.iter().zip(&places).map(|((id, _), topics)| range::Member { id: *id, topics }).collect();
        let dealt = range::assign(&wishes, &counts);
        let ids = members.iter().map(|(id, _)| *id);
        ids.zip(dealt)
            .map(|(id, share)| {
                (id, share.into_iter().map(|(topic, p)| PartitionId::new(topics[topic], p)).collect())
            })
            .collect()
    }

    fn sync(&mut self, slot: u32, io: &mut dyn Io) {
        let Some(member) = &self.member else { return };
        if let Some(members) = &member.to_deal {
            let topics = members.iter().flat_map(|(_, wants)| &wants.topics);
            let metadata = &self.net.metadata;
            let unheard = |topic: &TopicIx| {
                metadata.place(*topic).is_none_or(|place| {
                    let view = &metadata.topics[place];
                    view.partitions.is_empty() && !view.error.is_error()
                })
            };
            if topics.into_iter().any(unheard) {
                return self.net.refresh(io);
            }
        }
        let assignments = self.deal();
        let Some(member) = &mut self.member else { return };
        let Some((id, generation)) = member.credentials() else { return };
        member.phase = Phase::Syncing;
        let request = SyncGroupRequest { group: member.group, member: id, generation, assignments };
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
        let beat_every = self.settings.library.heartbeat_interval;
        let Some(member) = self.member.as_mut().filter(|member| member.attempt == attempt) else { return };
        member.phase = Phase::Join;
        match outcome::of_coordinator(error) {
            Coordination::Fine => {}
            Coordination::Rejoin => return,
            Coordination::Lost => return member.generation = -1,
            Coordination::Unknown => {
                member.generation = -1;
                return member.id = None;
            }
            Coordination::Refused => return self.refused(error, io, shared),
            other => return self.group_back_off(other == Coordination::Elsewhere, io),
        }
        member.phase = Phase::Stable;
        member.fetching_offsets = false;
        member.last_beat = io.now();
        if !std::mem::replace(&mut member.beating, true) {
            io.timer(beat_every, Timer::Heartbeat);
        }
        self.version += 1;
        let version = self.version;
        self.units = partitions.iter().map(|id| Reading::new(*id, version, Place::Unknown)).collect();
        self.drop_stale();
        for id in partitions {
            if self.net.metadata.follow(id.topic).1 {
                self.net.ask_at_once(io);
            }
        }
        let units = self.unit_names(shared).into_iter().map(|unit| (unit, None)).collect();
        self.tell_assignment(ConsumerEvent::Assigned(units), io);
    }

    /// Time for a sign of life.
    pub(super) fn heartbeat(&mut self, io: &mut dyn Io, shared: &Shared) {
        let library = self.settings.library;
        let Some(member) = &mut self.member else { return };
        member.beating = matches!(member.phase, Phase::Stable | Phase::Releasing) && self.closing.is_none();
        if !member.beating {
            return;
        }
        io.timer(library.heartbeat_interval, Timer::Heartbeat);
        if library.loses_session_itself
            && member.phase == Phase::Stable
            && io.now().since(member.last_beat) > library.session_timeout
        {
            return self.lose(true, io, shared);
        }
        let (Some((id, generation)), false) = (member.credentials(), member.beat_in_flight) else { return };
        let (group, attempt) = (member.group, member.attempt);
        if let Some(slot) = self.coordinator(io) {
            let what = What::Client(Asked::Heartbeat(attempt));
            let timeout = self.net.request_timeout();
            self.net.conns.send(slot, RequestBody::Heartbeat(group, id, generation), what, timeout, io);
            if let Some(member) = &mut self.member {
                member.beat_in_flight = true;
            }
        }
    }

    pub(super) fn heartbeat_answered(
        &mut self,
        attempt: u32,
        error: ErrorCode,
        io: &mut dyn Io,
        shared: &Shared,
    ) {
        let Some(member) = &mut self.member else { return };
        member.beat_in_flight = false;
        if member.attempt != attempt {
            return;
        }
        if !error.is_error() {
            member.last_beat = io.now();
            member.failures = 0;
        }
        self.coordinator_says(outcome::of_coordinator(error), io, shared);
    }

    /// What the coordinator's answer to a heartbeat or commit means for the membership.
    pub(super) fn coordinator_says(&mut self, says: Coordination, io: &mut dyn Io, shared: &Shared) {
        let stable = self.member.as_ref().is_some_and(|member| member.phase == Phase::Stable);
        match says {
            Coordination::Fine | Coordination::Refused => {}
            Coordination::Again | Coordination::Elsewhere => {
                self.group_back_off(says == Coordination::Elsewhere, io);
            }
            Coordination::Rejoin if stable => self.release(io, shared),
            Coordination::Lost if stable => self.lose(false, io, shared),
            Coordination::Unknown if stable => self.lose(true, io, shared),
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

    /// A rebalance: hands everything back in good order.
    pub(super) fn release(&mut self, io: &mut dyn Io, shared: &Shared) {
        self.commit_automatically(io);
        let Some(member) = &mut self.member else { return };
        member.phase = if self.units.is_empty() { Phase::Join } else { Phase::Releasing };
        let units = self.take_units(shared);
        if !units.is_empty() {
            self.tell_assignment(ConsumerEvent::Revoked(units), io);
        }
    }

    /// The membership is gone: somebody else may own everything already.
    fn lose(&mut self, forget_id: bool, io: &mut dyn Io, shared: &Shared) {
        let Some(member) = &mut self.member else { return };
        member.generation = -1;
        if forget_id {
            member.id = None;
        }
        member.phase = if self.units.is_empty() { Phase::Join } else { Phase::Releasing };
        let units = self.take_units(shared);
        if !units.is_empty() {
            self.tell_assignment(ConsumerEvent::Lost(units), io);
        }
    }

    fn take_units(&mut self, shared: &Shared) -> Vec<squall_bus::Unit> {
        let units = self.unit_names(shared);
        self.units.clear();
        self.forget_held();
        self.drop_stale();
        units
    }

    /// The caller has not asked for a record for too long: the member leaves, and rejoins when it is back.
    pub(super) fn away_too_long(&mut self, io: &mut dyn Io, shared: &Shared) {
        let Some(member) = &self.member else { return };
        if let Some(id) = member.id {
            let group = member.group;
            if let Some(slot) = self.coordinator(io) {
                let (what, timeout) = (What::Client(Asked::Leave), self.net.request_timeout());
                self.net.conns.send(slot, RequestBody::LeaveGroup(group, id), what, timeout, io);
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

    /// The metadata changed: the group's leader watches the partitions it dealt; a member that waits to deal may
    /// know enough now.
    pub(super) fn learned(&mut self, io: &mut dyn Io, shared: &Shared) {
        let Some(member) = &self.member else { return };
        let metadata = &self.net.metadata;
        let grown = member.dealt.iter().any(|(topic, count)| metadata.partitions(*topic) != *count);
        if grown && member.phase == Phase::Stable {
            self.release(io, shared);
        }
    }

    /// The last steps of a close: pending commits, LeaveGroup, the end.
    pub(super) fn close_step(&mut self, io: &mut dyn Io) {
        let Some(closing) = &self.closing else { return };
        if closing.left || !self.commits.is_empty() {
            return;
        }
        let Some((group, Some(id))) = self.member.as_ref().map(|member| (member.group, member.id)) else {
            return self.closed(io);
        };
        if let Some(slot) = self.coordinator(io) {
            if let Some(closing) = &mut self.closing {
                closing.left = true;
            }
            let (what, timeout) = (What::Client(Asked::Leave), self.net.request_timeout());
            self.net.conns.send(slot, RequestBody::LeaveGroup(group, id), what, timeout, io);
        }
    }

    /// The coordinator has answered LeaveGroup, or cannot.
    pub(super) fn left(&mut self, io: &mut dyn Io) {
        if self.closing.as_ref().is_some_and(|closing| closing.left) {
            self.closed(io);
        }
    }

    /// Asks the coordinator where the group goes on.
    fn ask_committed(&mut self, slot: u32, io: &mut dyn Io) {
        let unknown = self.units.iter().filter(|reading| reading.place == Place::Unknown);
        let partitions = unknown.map(|reading| reading.id).collect();
        let Some(member) = &mut self.member else { return };
        member.fetching_offsets = true;
        let body = RequestBody::OffsetFetch(member.group, partitions, self.settings.stable_offsets());
        let (what, timeout) = (What::Client(Asked::OffsetFetch(member.attempt)), self.net.request_timeout());
        self.net.conns.send(slot, body, what, timeout, io);
    }

    /// Where the group goes on: whether this answers the current assignment.
    pub(super) fn offsets_answered(&mut self, attempt: u32) -> bool {
        let member = self.member.as_mut().filter(|member| member.attempt == attempt);
        member.map(|member| member.fetching_offsets = false).is_some()
    }
}
