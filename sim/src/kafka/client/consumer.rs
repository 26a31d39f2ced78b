//! The consumer: what it hands to its caller, and when.
//!
//! Records and events reach the caller through two doors, and their order matters: a unit's records come after
//! its `Assigned` and never after its `Revoked` or `Lost`. So
//!
//! - when units are taken away, what was fetched from them and not handed out is dropped at once;
//! - while an assignment event has not been taken, no record is handed out;
//! - `Revoked` and `Lost` are dealt with when the caller comes back for the next event: until then it can still
//!   commit, and the member does not rejoin;
//! - a caller that asks for records only, and takes no events for [`GRACE`], is taken not to care about them.
//!
//! A caller that holds a record and does not ask for another one within `max.poll.interval.ms` loses its
//! membership. A caller that waits for a record is asking.
//!
//! How records are fetched is in [`fetcher`](super::fetcher), membership in [`group`](super::group), positions in
//! [`offsets`](super::offsets).

use super::super::{
    Shared,
    protocol::{GroupIx, MemberEpoch, MemberId, Msg, OffsetSpec, PartitionId, ResponseBody},
};
use super::{
    Io, Timer,
    fetcher::{Chunk, Place, Reading, Spare},
    group::{Member, Phase},
    net::{Happened, Net},
    offsets::Commit,
    settings::ConsumerSettings,
};
use crate::{
    kernel::Event,
    model::{Call, OpId, Output},
};
use squall_bus::{
    ConsumerEvent, Delivery, Error, ErrorClass, Isolation, Outcome, Position, ResetPolicy, Subscription,
    Time, Unit,
};
use std::{collections::VecDeque, time::Duration};

/// How long a caller may ask for records without taking an assignment event before it is taken not to care.
pub(crate) const GRACE: Duration = Duration::from_millis(50);

/// What a consumer's request was for.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    /// Records of these units, by place and version.
    Fetch(Vec<(u32, u32)>),
    /// An offset for one unit, by place and version.
    ListOffsets(u32, u32),
    /// Where an epoch ends, for one unit, by place and version, under a leader epoch.
    EpochEnd(u32, u32, u32),
    FindCoordinator,
    /// Group requests, by the member's attempt.
    Join(u32),
    Sync(u32),
    Heartbeat(u32),
    Epoch(u32),
    Leave,
    /// Committed positions for one assignment.
    OffsetFetch(u32),
    /// A commit, by its number.
    Commit(u64),
}

/// A close that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closing {
    pub(super) op: Option<OpId>,
    /// LeaveGroup was sent.
    pub(super) left: bool,
}

/// How far the caller is with assignment events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Barrier {
    /// How many wait to be taken.
    queued: u32,
    /// Whether the caller took `Revoked` or `Lost` and has not come back.
    dealing: bool,
    /// Counts barriers, so that an old timer does not open a new one.
    number: u32,
    /// Whether the timer runs.
    armed: bool,
}

impl Barrier {
    fn is_closed(&self) -> bool {
        self.queued > 0 || self.dealing
    }
}

/// A consumer.
#[derive(Clone, Debug)]
pub struct Consumer {
    pub(super) settings: ConsumerSettings,
    pub(super) net: Net<Asked>,
    pub(super) units: Vec<Reading>,
    /// Counts assignments and seeks, so that what was asked before one is not taken for an answer after it.
    pub(super) version: u32,
    pub(super) ready: VecDeque<Chunk>,
    pub(super) ready_records: u32,
    /// Whether a fetch is in flight, by slot.
    pub(super) fetching: Vec<bool>,
    pub(super) fetch_at: Option<Time>,
    pub(super) spare: Spare,
    pub(super) member: Option<Member>,
    pub(super) commits: VecDeque<Commit>,
    /// How far it was in units that it lost, if its rules do not make it forget.
    pub(super) leftover: Vec<(PartitionId, u64)>,
    /// Somebody will look for commits whose time is up.
    pub(super) commits_armed: bool,
    pub(super) committed: u64,
    pub(super) closing: Option<Closing>,
    events: VecDeque<ConsumerEvent>,
    barrier: Barrier,
    tags: u64,
    /// The caller waits for a record.
    asking: bool,
    last_poll: Time,
    poll_armed: bool,
    /// The unit of the record handed out last, which the caller still holds.
    holding: Option<u32>,
    pub(super) fatal: Option<Error>,
}

impl Consumer {
    pub(super) fn new(settings: ConsumerSettings, shared: &Shared) -> Result<Self, Error> {
        let unknown = |what: &str| {
            Error::new(
                ErrorClass::Refused,
                "_INVALID_ARG",
                format!("{what} was never heard of in this cluster"),
            )
        };
        let mut net = Net::new(shared.brokers, settings.library.connecting);
        let (mut units, mut member) = (Vec::new(), None);
        match &settings.config.subscription {
            Subscription::Group { group, topics } => {
                let group = shared.names.find_group(group).ok_or_else(|| unknown(group))?;
                let mut wanted = Vec::new();
                for topic in topics {
                    let topic = shared.names.find_topic(topic).ok_or_else(|| unknown(topic.as_str()))?;
                    net.metadata.follow(topic);
                    wanted.push(topic);
                }
                member = Some(Member::new(group, wanted, &settings));
            }
            Subscription::Assign(chosen) => {
                for (unit, position) in chosen {
                    let id = shared.names.partition(unit).ok_or_else(|| unknown(unit.topic.as_str()))?;
                    net.metadata.follow(id.topic);
                    let place = match position {
                        Some(position) => Place::At(position.0),
                        None => Place::Listing { from: None, spec: OffsetSpec::Earliest, announce: false },
                    };
                    units.push(Reading::new(id, 0, place));
                }
            }
        }
        Ok(Self {
            fetching: vec![false; shared.brokers as usize],
            settings,
            net,
            units,
            version: 0,
            ready: VecDeque::new(),
            ready_records: 0,
            fetch_at: None,
            spare: Spare::default(),
            member,
            commits: VecDeque::new(),
            leftover: Vec::new(),
            commits_armed: false,
            committed: 0,
            closing: None,
            events: VecDeque::new(),
            barrier: Barrier::default(),
            tags: 0,
            asking: false,
            last_poll: Time::ZERO,
            poll_armed: false,
            holding: None,
            fatal: None,
        })
    }

    pub(super) fn on(&mut self, event: Event<Msg, Timer>, io: &mut dyn Io, shared: &Shared) {
        match event {
            Event::Started(_) => self.start(io, shared),
            Event::Stopping => self.close(None, io),
            Event::Timer(timer) => self.timer(timer, io, shared),
            event => {
                let happened = self.net.on(event, io);
                self.happened(happened, io, shared);
            }
        }
        self.go_on(io);
    }

    fn start(&mut self, io: &mut dyn Io, shared: &Shared) {
        self.net.start(io);
        self.last_poll = io.now();
        if self.member.is_none() {
            let units = self.units.iter().map(|reading| {
                let position = match reading.place {
                    Place::At(position) => Some(Position(position)),
                    _ => None,
                };
                (shared.names.unit(reading.id), position)
            });
            let event = ConsumerEvent::Assigned(units.collect());
            self.tell_assignment(event, io);
        } else {
            self.watch_polls(io);
            if let Some(every) = self.settings.config.auto_commit {
                io.timer(every, Timer::AutoCommit);
            }
        }
    }

    fn timer(&mut self, timer: Timer, io: &mut dyn Io, shared: &Shared) {
        match timer {
            Timer::Fetch => self.fetch_at = None,
            Timer::Group => self.member_timer(io),
            Timer::Heartbeat => self.heartbeat(io, shared),
            Timer::Commits => self.commits_due(io),
            Timer::AutoCommit => {
                self.commit_automatically(io);
                if let Some(every) = self.settings.config.auto_commit {
                    io.timer(every, Timer::AutoCommit);
                }
            }
            Timer::Poll => self.look_at_polls(io, shared),
            Timer::Grace(number) => {
                if self.barrier.number == number && self.barrier.is_closed() && self.asking {
                    self.open_barrier(io);
                }
                self.barrier.armed = false;
            }
            Timer::Close => self.closed(io),
            timer => {
                let happened = self.net.on(Event::Timer(timer), io);
                self.happened(happened, io, shared);
            }
        }
    }

    fn happened(&mut self, happened: Happened<Asked>, io: &mut dyn Io, shared: &Shared) {
        match happened {
            Happened::Nothing | Happened::Up => {}
            Happened::Learned => self.learned(io, shared),
            Happened::Answered(slot, asked, body) => self.answered(slot, asked, body, io, shared),
            Happened::Lost(lost) => {
                if lost.was_up && self.settings.library.reports_transport {
                    let message = "the connection to a broker broke";
                    self.report(Error::new(ErrorClass::Retriable, "_TRANSPORT", message), io);
                }
                for asked in lost.requests {
                    self.unanswered(lost.slot, &asked, io);
                }
                if lost.slot == self.net.conns.coordinator() {
                    self.coordinator_lost(io);
                }
            }
        }
    }

    fn answered(&mut self, slot: u32, asked: Asked, body: ResponseBody, io: &mut dyn Io, shared: &Shared) {
        match (asked, body) {
            (Asked::Fetch(units), ResponseBody::Fetch(partitions)) => {
                self.fetching[slot as usize] = false;
                self.fetched(&units, partitions, io);
                self.spare.keep(units);
            }
            (Asked::ListOffsets(place, version), ResponseBody::ListOffsets(offsets)) => {
                self.listed(place, version, &offsets, io, shared);
            }
            (Asked::EpochEnd(place, version, epoch), ResponseBody::OffsetForLeaderEpoch(ends)) => {
                self.validated(place, version, epoch, &ends, io, shared);
            }
            (Asked::FindCoordinator, ResponseBody::FindCoordinator(error, node)) => {
                self.found_coordinator(error, node, io);
            }
            (Asked::Join(attempt), ResponseBody::JoinGroup(response)) => {
                self.joined(attempt, response, io, shared);
            }
            (Asked::Sync(attempt), ResponseBody::SyncGroup(error, partitions)) => {
                self.synced(attempt, error, &partitions, io, shared);
            }
            (Asked::Heartbeat(attempt), ResponseBody::Heartbeat(error)) => {
                self.heartbeat_answered(attempt, error, io, shared);
            }
            (Asked::Epoch(attempt), ResponseBody::ConsumerGroupHeartbeat(response)) => {
                self.epoch_answered(attempt, response, io, shared);
            }
            (Asked::Leave, _) => self.left(io),
            (Asked::OffsetFetch(version), ResponseBody::OffsetFetch(error, offsets)) => {
                self.committed_found(version, error, &offsets, io, shared);
            }
            (Asked::Commit(number), ResponseBody::OffsetCommit(results)) => {
                self.commit_answered(number, &results, io, shared);
            }
            _ => {}
        }
    }

    /// A request whose connection is gone.
    fn unanswered(&mut self, slot: u32, asked: &Asked, io: &mut dyn Io) {
        match asked {
            Asked::Fetch(_) => self.fetching[slot as usize] = false,
            Asked::ListOffsets(place, version) | Asked::EpochEnd(place, version, _) => {
                if let Some(reading) = self.reading(*place, *version) {
                    reading.listing = false;
                }
            }
            Asked::Leave => self.left(io),
            Asked::Commit(number) => self.commit_unanswered(*number),
            Asked::FindCoordinator
            | Asked::Join(_)
            | Asked::Sync(_)
            | Asked::Heartbeat(_)
            | Asked::Epoch(_)
            | Asked::OffsetFetch(_) => self.group_unanswered(asked),
        }
    }

    /// Whatever can go on now does.
    pub(super) fn go_on(&mut self, io: &mut dyn Io) {
        if self.fatal.is_some() {
            return self.close_step(io);
        }
        self.member_step(io);
        self.fetch(io);
        self.close_step(io);
    }

    pub(super) fn call(&mut self, call: Call, io: &mut dyn Io, shared: &Shared) {
        match call {
            Call::Commit(op, positions) => self.commit(op, &positions, io, shared),
            Call::Seek(unit, position) => self.seek(&unit, position, shared),
            Call::Close(op) => self.close(Some(op), io),
            Call::Ack(op, _) | Call::Nack(op, ..) | Call::Term(op, _) | Call::Extend(op, _) => {
                let message = "Kafka acknowledges positions, not deliveries: commit instead";
                let error = Error::new(ErrorClass::Refused, "_STATE", message);
                io.emit(Output::Done(op, Outcome::Fail(error)));
            }
            Call::Send(op, _) => {
                let error = Error::new(ErrorClass::Refused, "_STATE", "a consumer does not send");
                io.emit(Output::Sent(op, Outcome::Fail(error)));
            }
            Call::Txn(op, _) => {
                let error = Error::new(ErrorClass::Refused, "_STATE", "a consumer has no transactions");
                io.emit(Output::Done(op, Outcome::Fail(error)));
            }
            Call::Flush => {}
        }
        self.go_on(io);
    }

    fn seek(&mut self, unit: &Unit, position: Position, shared: &Shared) {
        let Some(id) = shared.names.partition(unit) else { return };
        self.version += 1;
        let version = self.version;
        if let Some(reading) = self.units.iter_mut().find(|reading| reading.id == id) {
            *reading = Reading::new(id, version, Place::At(position.0));
            self.drop_stale();
        }
    }

    /// The next record for the caller.
    pub(super) fn take_record(
        &mut self,
        io: &mut dyn Io,
        shared: &Shared,
    ) -> Option<Result<Delivery, Error>> {
        if let Some(error) = &self.fatal {
            return Some(Err(error.clone()));
        }
        self.polled();
        if self.barrier.is_closed() {
            if !std::mem::replace(&mut self.barrier.armed, true) {
                self.barrier.number += 1;
                io.timer(GRACE, Timer::Grace(self.barrier.number));
            }
            return None;
        }
        let was_full = self.ready_records >= self.settings.config.prefetch;
        let delivery = self.hand_out(shared)?;
        self.asking = false;
        self.last_poll = io.now();
        if self.member.is_some() {
            self.watch_polls(io);
        }
        if was_full && self.ready_records < self.settings.config.prefetch {
            self.fetch(io);
        }
        Some(Ok(delivery))
    }

    /// The caller asks for a record, so it is done with the one before.
    fn polled(&mut self) {
        self.asking = true;
        self.done_with_held();
    }

    fn done_with_held(&mut self) {
        if let Some(place) = self.holding.take()
            && let Some(reading) = self.units.get_mut(place as usize)
        {
            reading.done = reading.handed;
        }
    }

    fn hand_out(&mut self, shared: &Shared) -> Option<Delivery> {
        let chunk = self.ready.front_mut()?;
        let place = chunk.unit;
        let (record, offset, epoch) = chunk.next();
        if chunk.is_empty() {
            self.ready.pop_front();
        }
        self.ready_records -= 1;
        self.tags += 1;
        let reading = &mut self.units[place as usize];
        reading.handed = Some(offset + 1);
        reading.handed_epoch = Some(epoch);
        self.holding = Some(place);
        let unit = shared.names.unit(reading.id);
        let mut record = record;
        record.partition = Some(unit.partition);
        Some(Delivery { record, unit, position: Position(offset), attempt: None, tag: self.tags })
    }

    /// The next event for the caller.
    pub(super) fn take_event(&mut self, io: &mut dyn Io) -> Option<ConsumerEvent> {
        if self.barrier.dealing {
            self.barrier.dealing = false;
            if self.barrier.queued == 0 {
                self.open_barrier(io);
            }
        }
        let event = self.events.pop_front()?;
        if self.barrier.queued > 0 {
            match event {
                ConsumerEvent::Assigned(_) => self.barrier.queued -= 1,
                ConsumerEvent::Revoked(_) | ConsumerEvent::Lost(_) => {
                    self.barrier.queued -= 1;
                    self.barrier.dealing = true;
                }
                ConsumerEvent::Reset { .. } | ConsumerEvent::Exhausted(_) | ConsumerEvent::Error(_) => {}
            }
            if !self.barrier.is_closed() {
                self.open_barrier(io);
            }
        }
        Some(event)
    }

    /// The caller has dealt with every assignment event, or does not care.
    fn open_barrier(&mut self, io: &mut dyn Io) {
        self.barrier = Barrier { number: self.barrier.number + 1, ..Barrier::default() };
        if let Some(member) = &mut self.member
            && member.phase == Phase::Releasing
        {
            if member.epochs.is_some() {
                self.epoch_released();
            } else {
                member.phase = Phase::Join;
            }
        }
        if !self.ready.is_empty() {
            io.emit(Output::Readable(io.node()));
        }
        self.go_on(io);
    }

    /// Tells the caller that units came or went.
    pub(super) fn tell_assignment(&mut self, event: ConsumerEvent, io: &mut dyn Io) {
        self.barrier.queued += 1;
        self.tell(event, io);
    }

    /// The member has nothing to hand back, but must not rejoin before its caller is heard of.
    pub(super) fn await_caller(&mut self) {
        self.barrier.dealing = true;
    }

    pub(super) fn tell(&mut self, event: ConsumerEvent, io: &mut dyn Io) {
        self.events.push_back(event);
        io.emit(Output::Eventful(io.node()));
    }

    pub(super) fn report(&mut self, error: Error, io: &mut dyn Io) {
        self.tell(ConsumerEvent::Error(error), io);
    }

    /// The consumer is finished.
    pub(super) fn finish(&mut self, mut error: Error, io: &mut dyn Io) {
        if let Some(code) = self.settings.library.fatal_code {
            self.tell(ConsumerEvent::Error(error.clone()), io);
            error.code = code.into();
        }
        self.fatal = Some(error);
        io.emit(Output::Readable(io.node()));
    }

    /// Sees to it that somebody looks whether the caller has been away for too long.
    fn watch_polls(&mut self, io: &mut dyn Io) {
        if !std::mem::replace(&mut self.poll_armed, true) {
            let at = self.last_poll + self.settings.library.max_poll_interval;
            io.timer(at.since(io.now()), Timer::Poll);
        }
    }

    fn look_at_polls(&mut self, io: &mut dyn Io, shared: &Shared) {
        self.poll_armed = false;
        if self.asking {
            return;
        }
        let most = self.settings.library.max_poll_interval;
        if io.now().since(self.last_poll) < most {
            return self.watch_polls(io);
        }
        let message = format!("no record was asked for in {most:?}: the member leaves its group");
        self.report(Error::new(ErrorClass::Retriable, "_MAX_POLL_EXCEEDED", message), io);
        self.away_too_long(io, shared);
    }

    fn close(&mut self, op: Option<OpId>, io: &mut dyn Io) {
        if self.closing.is_some() {
            return;
        }
        self.done_with_held();
        self.commit_automatically(io);
        self.closing = Some(Closing { op, left: false });
        io.timer(self.settings.library.close_timeout, Timer::Close);
        self.go_on(io);
    }

    /// The close is over: told, and the process ends.
    pub(super) fn closed(&mut self, io: &mut dyn Io) {
        let Some(closing) = self.closing.take() else { return };
        for commit in std::mem::take(&mut self.commits) {
            commit.give_up(io);
        }
        if let Some(op) = closing.op {
            io.emit(Output::Done(op, Outcome::Ok(())));
        }
        io.exit();
    }

    /// Which offset a unit without a position starts at.
    pub(super) fn reset_spec(&self) -> OffsetSpec {
        match self.settings.config.reset {
            ResetPolicy::Earliest => OffsetSpec::Earliest,
            ResetPolicy::Latest if self.settings.isolation() == Isolation::ReadCommitted => {
                OffsetSpec::LastStable
            }
            ResetPolicy::Latest => OffsetSpec::Latest,
        }
    }

    /// Its membership of this group, as it is now.
    pub(super) fn membership(&self, group: GroupIx) -> Option<MemberEpoch> {
        self.member.as_ref().filter(|member| member.group == group).and_then(Member::credentials)
    }

    pub(super) fn reading(&mut self, place: u32, version: u32) -> Option<&mut Reading> {
        self.units.get_mut(place as usize).filter(|reading| reading.version == version)
    }

    /// The units as the bus names them.
    pub(super) fn unit_names(&self, shared: &Shared) -> Vec<Unit> {
        self.units.iter().map(|reading| shared.names.unit(reading.id)).collect()
    }

    /// The unit of the record that the caller holds, if it holds one.
    pub(super) fn held(&self) -> Option<PartitionId> {
        self.holding.and_then(|place| self.units.get(place as usize)).map(|reading| reading.id)
    }

    /// Units moved or went: the record that the caller holds is this one's, if its unit is still read.
    pub(super) fn hold(&mut self, id: Option<PartitionId>) {
        let place = id.and_then(|id| self.units.iter().position(|reading| reading.id == id));
        self.holding = place.map(|place| place as u32);
    }

    /// Its member id, its epoch and what it reads, if it is in this group.
    pub(in crate::kafka) fn reads_as_member_of(
        &self,
        group: GroupIx,
    ) -> Option<(MemberId, i32, Vec<PartitionId>)> {
        let member = self.member.as_ref().filter(|member| member.group == group)?;
        let reads = self.units.iter().map(|reading| reading.id).collect();
        Some((member.id?, member.generation, reads))
    }

    /// How far the caller is in this unit, as far as automatic commits go.
    pub(super) fn progress(&self, reading: &Reading) -> Option<(PartitionId, u64)> {
        let covered =
            if self.settings.library.auto_commit_covers_last { reading.handed } else { reading.done };
        covered.map(|offset| (reading.id, offset))
    }

    /// The same, where it is not committed yet.
    pub(super) fn covered(&self, reading: &Reading) -> Option<(PartitionId, u64)> {
        self.progress(reading).filter(|(_, offset)| reading.committed != Some(*offset))
    }
}
