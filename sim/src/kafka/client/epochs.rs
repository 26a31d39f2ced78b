//! Membership by the consumer protocol (KIP-848, rule E6): everything goes by heartbeats.
//!
//! ```text
//! Join ─▶ Joining ─▶ Stable ─▶ Releasing ─▶ Stable ...
//!  epoch 0                      units are given up; the caller deals with it
//! ```
//! - The member gives itself an id and joins with epoch 0. The coordinator says how often it wants to hear from it, at
//!   which epoch it is, and what it is to have.
//! - What it has and is not to have is `Revoked`; when its caller has dealt with that, the next heartbeat says what it
//!   owns, at once. What is new is `Assigned`, and confirmed at once too. The rest is read on all the time.
//! - 25 and 110: everything is `Lost`, and it joins again. 82, 111, 112 and other refusals finish the client.
//!   113 to a commit or to the question where the group goes on: the next heartbeat brings the epoch.
//! - Leaving is a heartbeat too: -1, or -2 from a static member, which may come back within its session.
//!
//! Source: KIP-848; `ConsumerHeartbeatRequestManager` of Apache Kafka's client, `rdkafka_cgrp.c`.

use super::super::{
    Shared,
    error::ErrorCode,
    protocol::{
        Assignor, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, MemberId, PartitionId,
        RequestBody,
    },
};
use super::{
    Io, Timer,
    consumer::{Asked, Consumer},
    fetcher::Place,
    group::{Member, Phase},
    net::What,
    outcome::{self, Coordination},
    own,
};
use crate::kernel::Site;
use squall_bus::ConsumerEvent;
use std::time::Duration;

const MEMBER_ID: Site = Site::new("kafka.client.member-id");
/// Until the coordinator has said how often.
const FIRST_INTERVAL: Duration = Duration::from_secs(5);
const LEAVES: i32 = -1;
const LEAVES_FOR_A_WHILE: i32 = -2;

/// What a member of the consumer protocol knows beyond a classic one.
#[derive(Clone, Debug)]
pub(crate) struct Epochs {
    interval: Duration,
    assignor: Option<Assignor>,
    /// What it is to have.
    target: Vec<PartitionId>,
    /// What it told last that it owns.
    said: Option<Vec<PartitionId>>,
    /// The next heartbeat leaves nothing out.
    full: bool,
    /// A heartbeat is due.
    due: bool,
    /// It was told of an assignment since it joined.
    told: bool,
}

impl Epochs {
    pub(super) const fn new(assignor: Option<Assignor>) -> Self {
        Self {
            interval: FIRST_INTERVAL,
            assignor,
            target: Vec::new(),
            said: None,
            full: true,
            due: false,
            told: false,
        }
    }
}

impl Member {
    /// What the group must hear next: nothing, a join, or a sign of life.
    fn has_to_speak(&self) -> bool {
        let due = self.epochs.as_ref().is_some_and(|epochs| epochs.due);
        let lives = matches!(self.phase, Phase::Stable | Phase::Releasing);
        !self.beat_in_flight && (self.phase == Phase::Join || (due && lives))
    }
}

impl Consumer {
    /// Takes the next step, if there is one to take.
    pub(super) fn epoch_step(&mut self, io: &mut dyn Io) {
        let Some(member) = &self.member else { return };
        let speaks = self.closing.is_none() && member.has_to_speak();
        let asks = member.phase == Phase::Stable
            && !member.fetching_offsets
            && self.units.iter().any(|reading| reading.place == Place::Unknown);
        if !speaks && !asks && !self.has_unsent_commits() {
            return;
        }
        let Some(slot) = self.coordinator(io) else { return };
        self.send_commits(slot, io);
        if speaks {
            self.speak(slot, io);
        }
        if asks {
            self.ask_committed(slot, io);
        }
    }

    fn speak(&mut self, slot: u32, io: &mut dyn Io) {
        let owned: Vec<PartitionId> = self.units.iter().map(|reading| reading.id).collect();
        let rebalance_timeout = self.settings.library.max_poll_interval;
        let Some(member) = &mut self.member else { return };
        let id = *member.id.get_or_insert_with(|| MemberId(io.choices().draw(MEMBER_ID, own(io.node()), 0)));
        let joins = member.phase == Phase::Join;
        let releasing = member.phase == Phase::Releasing;
        let Some(epochs) = &mut member.epochs else { return };
        if joins {
            member.attempt += 1;
            member.phase = Phase::Joining;
            member.generation = -1;
            *epochs = Epochs { interval: epochs.interval, ..Epochs::new(epochs.assignor) };
        }
        // What is being given up is still its own until its caller has dealt with that.
        let full = epochs.full && !releasing;
        let news = !releasing && epochs.said.as_ref() != Some(&owned);
        epochs.full &= releasing;
        epochs.due = false;
        if full || news {
            epochs.said = Some(owned.clone());
        }
        let request = ConsumerGroupHeartbeatRequest {
            group: member.group,
            member: id,
            epoch: if joins { 0 } else { member.generation },
            instance: member.instance.clone(),
            rebalance_timeout: full.then_some(rebalance_timeout),
            topics: full.then(|| member.topics.clone()),
            assignor: epochs.assignor.filter(|_| full),
            owned: (full || news).then_some(owned),
        };
        member.beat_in_flight = true;
        if !std::mem::replace(&mut member.beating, true) {
            io.timer(epochs.interval, Timer::Heartbeat);
        }
        let (what, timeout) = (What::Client(Asked::Epoch(member.attempt)), self.net.request_timeout());
        self.net.conns.send(slot, RequestBody::ConsumerGroupHeartbeat(request), what, timeout, io);
    }

    /// The interval is over.
    pub(super) fn epoch_due(&mut self, io: &mut dyn Io) {
        let lives = self.closing.is_none() && self.fatal.is_none();
        let Some(member) = &mut self.member else { return };
        let Some(epochs) = &mut member.epochs else { return };
        epochs.due = true;
        member.beating = lives;
        if lives {
            io.timer(epochs.interval, Timer::Heartbeat);
        }
    }

    /// A heartbeat whose connection is gone: the next one says everything.
    pub(super) fn epoch_unanswered(&mut self) {
        let Some(member) = &mut self.member else { return };
        member.beat_in_flight = false;
        if member.phase == Phase::Joining {
            member.phase = Phase::Join;
        }
        if let Some(epochs) = &mut member.epochs {
            (epochs.full, epochs.due) = (true, true);
        }
    }

    pub(super) fn epoch_answered(
        &mut self,
        attempt: u32,
        response: ConsumerGroupHeartbeatResponse,
        io: &mut dyn Io,
        shared: &Shared,
    ) {
        let Some(member) = &mut self.member else { return };
        member.beat_in_flight = false;
        if member.attempt != attempt || response.epoch < 0 && !response.error.is_error() {
            return;
        }
        let says = outcome::of_coordinator(response.error);
        if says != Coordination::Fine {
            self.epoch_unanswered();
        }
        match says {
            Coordination::Fine => self.epoch_news(response, io, shared),
            Coordination::Again | Coordination::Elsewhere | Coordination::Rejoin | Coordination::Stale => {
                self.group_back_off(says == Coordination::Elsewhere, io);
            }
            Coordination::Lost | Coordination::Unknown => self.lose(false, io, shared),
            Coordination::Fenced => self.fenced(io, shared),
            Coordination::Refused => {
                self.lose(false, io, shared);
                self.refused(response.error, io, shared);
            }
        }
    }

    fn epoch_news(&mut self, response: ConsumerGroupHeartbeatResponse, io: &mut dyn Io, shared: &Shared) {
        let Some(member) = &mut self.member else { return };
        let Some(epochs) = &mut member.epochs else { return };
        member.generation = response.epoch;
        member.last_beat = io.now();
        member.failures = 0;
        epochs.interval = response.heartbeat_interval;
        if let Some(target) = response.assignment {
            epochs.target = target;
        }
        if member.phase == Phase::Joining {
            member.phase = Phase::Stable;
        }
        if member.phase == Phase::Stable {
            self.follow_target(io, shared);
        }
    }

    /// Gives up what it is not to have; else takes what is new.
    fn follow_target(&mut self, io: &mut dyn Io, shared: &Shared) {
        let Some(target) =
            self.member.as_ref().and_then(|member| Some(member.epochs.as_ref()?.target.clone()))
        else {
            return;
        };
        let owned: Vec<PartitionId> = self.units.iter().map(|reading| reading.id).collect();
        let revoked: Vec<PartitionId> = owned.iter().filter(|id| !target.contains(id)).copied().collect();
        if !revoked.is_empty() {
            if let Some(member) = &mut self.member {
                member.phase = Phase::Releasing;
            }
            return self.give_up(&revoked, io, shared);
        }
        let added: Vec<PartitionId> = target.iter().filter(|id| !owned.contains(id)).copied().collect();
        let tells_empty = self.settings.library.tells_empty_assignment;
        let Some(epochs) = self.member.as_mut().and_then(|member| member.epochs.as_mut()) else { return };
        epochs.due |= !added.is_empty();
        let first = !std::mem::replace(&mut epochs.told, true) && tells_empty;
        self.read_also(&added, io);
        if !added.is_empty() || first {
            let units = added.iter().map(|id| (shared.names.unit(*id), None)).collect();
            self.tell_assignment(ConsumerEvent::Assigned(units), io);
        }
    }

    /// The caller has dealt with a revocation, or with a loss.
    pub(super) fn epoch_released(&mut self) {
        let Some(member) = &mut self.member else { return };
        if member.generation < 0 {
            return member.phase = Phase::Join;
        }
        member.phase = Phase::Stable;
        if let Some(epochs) = &mut member.epochs {
            epochs.due = true;
        }
    }

    /// The group's word is that the epoch is old: a heartbeat brings the new one.
    pub(super) fn epoch_is_stale(&mut self) {
        if let Some(epochs) = self.member.as_mut().and_then(|member| member.epochs.as_mut()) {
            epochs.due = true;
        }
    }

    /// Says that the member goes; whether there was anything to say.
    pub(super) fn leave_by_epoch(&mut self, slot: u32, io: &mut dyn Io) {
        let Some(member) = &self.member else { return };
        let Some(id) = member.id else { return };
        let epoch = if member.instance.is_some() { LEAVES_FOR_A_WHILE } else { LEAVES };
        let request = ConsumerGroupHeartbeatRequest {
            group: member.group,
            member: id,
            epoch,
            instance: member.instance.clone(),
            rebalance_timeout: None,
            topics: None,
            assignor: None,
            owned: None,
        };
        let (what, timeout) = (What::Client(Asked::Leave), self.net.request_timeout());
        self.net.conns.send(slot, RequestBody::ConsumerGroupHeartbeat(request), what, timeout, io);
    }

    /// What a failed question for committed positions means.
    pub(super) fn epoch_refuses(&mut self, error: ErrorCode, io: &mut dyn Io, shared: &Shared) -> bool {
        if self.member.as_ref().is_none_or(|member| member.epochs.is_none()) {
            return false;
        }
        match outcome::of_coordinator(error) {
            Coordination::Stale => {
                self.epoch_is_stale();
                self.group_back_off(false, io);
            }
            Coordination::Unknown => self.lose(false, io, shared),
            _ => return false,
        }
        true
    }
}
