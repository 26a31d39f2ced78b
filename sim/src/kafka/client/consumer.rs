//! The consumer: what happens to it and what its caller asks of it, and where each goes.
//!
//! What it hands to its caller, and when, is in [`doors`](super::doors), how records are fetched in
//! [`fetcher`](super::fetcher), membership in [`group`](super::group), positions in [`offsets`](super::offsets).

use super::super::{
    Shared,
    protocol::{GroupIx, MemberEpoch, MemberId, Msg, OffsetSpec, PartitionId, Response, ResponseBody},
};
use super::{
    Io, Timer,
    connections::Slot,
    doors::Barrier,
    fetcher::{Chunk, Fetching, Place, Reading},
    group::Member,
    net::{Happened, Net, What},
    offsets::Commit,
    settings::ConsumerSettings,
};
use crate::{
    kernel::{ConnId, Event},
    model::{Call, OpId, Output},
};
use squall_bus::{
    ConsumerEvent, Error, ErrorClass, Isolation, Outcome, Position, ResetPolicy, Subscription, Time, Unit,
};
use std::collections::VecDeque;

/// What a consumer's request was for.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    /// Records: which is in [`Consumer::fetches`].
    Fetch,
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
    /// The fetch from each broker, by slot.
    pub(super) fetches: Vec<Fetching>,
    /// A list for the next fetch; kept for its memory.
    pub(super) wanted: Vec<(Slot, u32)>,
    /// Everything was asked for in the fetches that are under way: when one is answered, the same is asked again.
    pub(super) steady: bool,
    /// The broker that has just answered such a fetch.
    pub(super) again: Option<Slot>,
    /// Everything is asked for that may be: there is nothing to fetch until more happens than a commit.
    pub(super) all_asked: bool,
    pub(super) fetch_at: Option<Time>,
    pub(super) member: Option<Member>,
    pub(super) commits: VecDeque<Commit>,
    /// How far it was in units that it lost, if its rules do not make it forget.
    pub(super) leftover: Vec<(PartitionId, u64)>,
    /// Somebody will look for commits whose time is up.
    pub(super) commits_armed: bool,
    pub(super) committed: u64,
    pub(super) closing: Option<Closing>,
    pub(super) events: VecDeque<ConsumerEvent>,
    pub(super) barrier: Barrier,
    pub(super) tags: u64,
    /// The caller waits for a record.
    pub(super) asking: bool,
    pub(super) last_poll: Time,
    pub(super) poll_armed: bool,
    /// The unit of the record handed out last, which the caller still holds.
    pub(super) holding: Option<u32>,
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
            fetches: vec![Fetching::default(); shared.brokers as usize],
            wanted: Vec::new(),
            steady: false,
            again: None,
            all_asked: false,
            settings,
            net,
            units,
            version: 0,
            ready: VecDeque::new(),
            ready_records: 0,
            fetch_at: None,
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

    /// A response came.
    pub(super) fn responded(&mut self, conn: ConnId, response: Response, io: &mut dyn Io, shared: &Shared) {
        if let Some((slot, what)) = self.net.conns.answered(conn, response.correlation) {
            match (what, response.body) {
                (What::Client(Asked::Fetch), ResponseBody::Fetch(partitions)) => {
                    self.fetched(slot, partitions, io);
                }
                (what, body) => {
                    let happened = self.net.answered(slot, what, body, io);
                    let committed = is_commit(&happened);
                    self.happened(happened, io, shared);
                    if committed {
                        return self.go_on_after_commit(io);
                    }
                }
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
            Timer::Grace(number) => self.grace_over(number, io),
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
            Happened::Answered(asked, body) => self.answered(asked, body, io, shared),
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

    fn answered(&mut self, asked: Asked, body: ResponseBody, io: &mut dyn Io, shared: &Shared) {
        match (asked, body) {
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
            Asked::Fetch => self.fetches[slot as usize].in_flight = false,
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
        match self.again.take() {
            Some(slot) if self.fatal.is_none() => self.go_on_after_fetch(slot, io),
            _ => {
                self.all_asked = false;
                self.go_on_after_commit(io);
            }
        }
    }

    /// Whatever can go on does, now that nothing happened but a fetch from this broker.
    fn go_on_after_fetch(&mut self, slot: Slot, io: &mut dyn Io) {
        let version = self.version;
        self.member_step(io);
        if self.version != version || !self.fetch_again(slot, io) {
            self.all_asked = false;
            self.fetch(io);
        }
        self.close_step(io);
    }

    /// Whatever can go on does, now that nothing happened but a commit: that is no news to what is read.
    fn go_on_after_commit(&mut self, io: &mut dyn Io) {
        if self.fatal.is_some() {
            return self.close_step(io);
        }
        self.member_step(io);
        if !self.all_asked {
            self.fetch(io);
        }
        self.close_step(io);
    }

    pub(super) fn call(&mut self, call: Call, io: &mut dyn Io, shared: &Shared) {
        match call {
            Call::Commit(op, positions) => {
                self.commit(op, &positions, io, shared);
                return self.go_on_after_commit(io);
            }
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

/// Whether a commit was answered, and no more than that: all of it was taken.
fn is_commit(happened: &Happened<Asked>) -> bool {
    match happened {
        Happened::Answered(Asked::Commit(_), ResponseBody::OffsetCommit(results)) => {
            results.iter().all(|(_, code)| !code.is_error())
        }
        _ => false,
    }
}
