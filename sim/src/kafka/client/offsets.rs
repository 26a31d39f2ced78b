//! Positions of a group: commits, automatic commits, and where it goes on.
//!
//! - A commit carries the member and generation it was made under, also when it is sent again: an old one cannot
//!   become a new one.
//! - 22, 25 and 27 are refusals: the commit fails, and the member learns what they mean for it; Java calls 22, 25 and 113
//!   `CommitFailedException` (measured). Trouble with the coordinator is overcome inside the client: it is looked for
//!   and asked again, until the commit's time is up; then, or when a later attempt is refused, the outcome is unknown
//!   if an attempt may have gone through. A coordinator that asks for patience (14: it reads its log) librdkafka asks
//!   twice more, no oftener (`rd_kafka_handle_OffsetCommit_error`, `RD_KAFKA_REQUEST_DEFAULT_RETRIES`; seen on a real
//!   4.3.0 cluster). Limit: one that is none any more (16) librdkafka asks twice more too before it looks for another.
//! - Between the loss of a membership and the next one a commit fails at once (22 in librdkafka, 27 in Java).
//!   While rejoining librdkafka still sends it, with the old generation: behind its JoinGroup on the same connection,
//!   so that in a cooperative rebalance it is refused with 22 (measured).
//! - Automatic commits cover what was handed out (librdkafka), or only what the caller is done with (Java); they
//!   are also made before units are handed back and on close. Nobody is told of their failure.

use super::super::{
    Shared,
    error::ErrorCode,
    protocol::{CommittedOffset, Few, MemberEpoch, OffsetCommitRequest, PartitionId, RequestBody},
};
use super::{
    Io, Timer,
    consumer::{Asked, Consumer},
    defaults::ConsumerDefaults,
    fetcher::Place,
    group::Phase,
    net::What,
    outcome::{self, Appended, Coordination},
};
use crate::model::{OpId, Output};
use squall_bus::{Error, ErrorClass, Outcome, Position, Time, Unit};

/// A commit that has no outcome yet.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    number: u64,
    /// Nobody waits for an automatic one.
    op: Option<OpId>,
    offsets: Few<CommittedOffset>,
    member: MemberEpoch,
    deadline: Time,
    in_flight: bool,
    /// How often the coordinator was asked again because it asked for patience.
    retries: u32,
    /// An attempt may have gone through.
    perhaps: bool,
}

impl Commit {
    fn tell(&self, outcome: Outcome<()>, io: &mut dyn Io) {
        if let Some(op) = self.op {
            io.emit(Output::Done(op, outcome));
        }
    }

    /// Its time is up, or the client's.
    pub(crate) fn give_up(&self, io: &mut dyn Io) {
        let error = Error::new(ErrorClass::Retriable, "_TIMED_OUT", "the coordinator did not answer in time");
        let maybe = self.perhaps || self.in_flight;
        self.tell(if maybe { Outcome::Unknown(error, None) } else { Outcome::Fail(error) }, io);
    }
}

/// A refusal; it says nothing of an attempt before it that may have gone through (`before`).
fn refusal(library: &ConsumerDefaults, code: ErrorCode, message: &str, before: bool) -> Outcome<()> {
    let class = match code {
        ErrorCode::RebalanceInProgress | ErrorCode::StaleMemberEpoch => ErrorClass::Retriable,
        _ if outcome::of_coordinator(code) == Coordination::Again => ErrorClass::Retriable,
        _ => ErrorClass::Refused,
    };
    let mut error = outcome::error(code, class, message);
    let foreign = matches!(
        code,
        ErrorCode::IllegalGeneration | ErrorCode::UnknownMemberId | ErrorCode::StaleMemberEpoch
    );
    if let Some(name) = library.commit_failed_code.filter(|_| foreign) {
        error = Error { class: ErrorClass::Refused, code: name.into(), ..error };
    }
    outcome::given_up(error, Appended::NotThisTime, before)
}

/// Whether a commit that was answered like this may be in the group's log all the same: the coordinator gave up
/// waiting for the copies, or lost its office meanwhile.
const fn may_be_kept(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::RequestTimedOut
            | ErrorCode::NotEnoughReplicasAfterAppend
            | ErrorCode::CoordinatorNotAvailable
            | ErrorCode::NotCoordinator
            | ErrorCode::NotLeaderOrFollower
    )
}

impl Consumer {
    /// The caller commits.
    pub(super) fn commit(
        &mut self,
        op: OpId,
        positions: &[(Unit, Position)],
        io: &mut dyn Io,
        shared: &Shared,
    ) {
        let Some(member) = &self.member else {
            let error =
                Error::new(ErrorClass::Refused, "_UNKNOWN_GROUP", "a reader of chosen units has no group");
            return io.emit(Output::Done(op, Outcome::Fail(error)));
        };
        if let Some(error) = &self.fatal {
            return io.emit(Output::Done(op, Outcome::Fail(error.clone())));
        }
        if self.closing.is_some() {
            return io.emit(Output::Done(op, Outcome::Fail(Error::closed())));
        }
        let settled = matches!(member.phase, Phase::Stable | Phase::Releasing);
        let library = &self.settings.library;
        let Some(credentials) = member.credentials().filter(|_| settled || library.commit_while_joining)
        else {
            let outcome =
                refusal(library, library.commit_outside, "the consumer is no member of its group now", false);
            return io.emit(Output::Done(op, outcome));
        };
        let mut offsets = Few::with_capacity(positions.len());
        for (unit, position) in positions {
            let Some(id) = shared.names.partition(unit) else {
                let message = format!("{unit} was never heard of in this cluster");
                let error = Error::new(ErrorClass::Refused, "_UNKNOWN_PARTITION", message);
                return io.emit(Output::Done(op, Outcome::Fail(error)));
            };
            offsets.push(self.offset(id, position.0));
        }
        if offsets.is_empty() {
            return io.emit(Output::Done(op, Outcome::Ok(())));
        }
        self.push_commit(Some(op), offsets, credentials, io);
    }

    fn offset(&self, partition: PartitionId, offset: u64) -> CommittedOffset {
        let reading = self.units.iter().find(|reading| reading.id == partition);
        let leader_epoch = reading.and_then(|reading| reading.handed_epoch);
        CommittedOffset { partition, offset, leader_epoch, metadata_bytes: 0 }
    }

    fn push_commit(
        &mut self,
        op: Option<OpId>,
        offsets: Few<CommittedOffset>,
        member: MemberEpoch,
        io: &mut dyn Io,
    ) {
        self.committed += 1;
        let timeout = self.settings.library.commit_timeout;
        if !std::mem::replace(&mut self.commits_armed, true) {
            io.timer(timeout, Timer::Commits);
        }
        self.commits.push_back(Commit {
            number: self.committed,
            op,
            offsets,
            member,
            deadline: io.now() + timeout,
            in_flight: false,
            retries: 0,
            perhaps: false,
        });
    }

    /// Commits what the caller has got to, if that is wanted.
    pub(super) fn commit_automatically(&mut self, io: &mut dyn Io) {
        if self.settings.config.auto_commit.is_none() {
            return;
        }
        let Some(credentials) = self.member.as_ref().and_then(super::group::Member::credentials) else {
            return;
        };
        let leftover = std::mem::take(&mut self.leftover);
        let covered: Vec<(PartitionId, u64)> =
            self.units.iter().filter_map(|reading| self.covered(reading)).chain(leftover).collect();
        if covered.is_empty() {
            return;
        }
        let offsets = covered.iter().map(|(id, offset)| self.offset(*id, *offset)).collect();
        for (id, offset) in covered {
            if let Some(reading) = self.units.iter_mut().find(|reading| reading.id == id) {
                reading.committed = Some(offset);
            }
        }
        self.push_commit(None, offsets, credentials, io);
    }

    pub(super) fn has_unsent_commits(&self) -> bool {
        self.commits.iter().any(|commit| !commit.in_flight)
    }

    /// Sends what can be sent, in order.
    pub(super) fn send_commits(&mut self, slot: u32, io: &mut dyn Io) {
        let Some(group) = self.member.as_ref().map(|member| member.group) else { return };
        let timeout = self.net.request_timeout();
        for commit in self.commits.iter_mut().filter(|commit| !commit.in_flight) {
            commit.in_flight = true;
            let body = RequestBody::OffsetCommit(OffsetCommitRequest {
                group,
                member: Some(commit.member.clone()),
                offsets: commit.offsets.clone(),
            });
            self.net.conns.send(slot, body, What::Client(Asked::Commit(commit.number)), timeout, io);
        }
    }

    pub(super) fn commit_answered(
        &mut self,
        number: u64,
        results: &[(PartitionId, ErrorCode)],
        io: &mut dyn Io,
        shared: &Shared,
    ) {
        let Some(place) = self.commits.iter().position(|commit| commit.number == number) else { return };
        let code = results.iter().map(|(_, code)| *code).find(|code| code.is_error()).unwrap_or_default();
        let says = outcome::of_coordinator(code);
        let most = self.settings.library.commit_retries;
        let commit = &mut self.commits[place];
        commit.perhaps |= may_be_kept(code);
        if says == Coordination::Again && commit.retries < most {
            commit.in_flight = false;
            commit.retries += 1;
            let attempt = commit.retries - 1;
            return self.hold_back(attempt, io);
        }
        if says == Coordination::Elsewhere {
            commit.in_flight = false;
            return self.coordinator_says(says, io, shared);
        }
        let Some(commit) = self.commits.remove(place) else { return };
        let current =
            self.member.as_ref().and_then(super::group::Member::credentials) == Some(commit.member.clone());
        match says {
            Coordination::Fine => commit.tell(Outcome::Ok(()), io),
            Coordination::Rejoin
            | Coordination::Lost
            | Coordination::Unknown
            | Coordination::Stale
            | Coordination::Fenced
            | Coordination::Again => {
                let library = &self.settings.library;
                let outcome = refusal(library, code, "the group did not take the commit", commit.perhaps);
                commit.tell(outcome, io);
            }
            _ => {
                let error =
                    outcome::error(code, ErrorClass::Refused, "the coordinator did not take the commit");
                commit.tell(Outcome::Unknown(error, None), io);
            }
        }
        if current || says == Coordination::Fenced {
            self.coordinator_says(says, io, shared);
        }
    }

    /// A commit whose connection is gone.
    pub(super) fn commit_unanswered(&mut self, number: u64) {
        if let Some(commit) = self.commits.iter_mut().find(|commit| commit.number == number) {
            commit.in_flight = false;
            commit.perhaps = true;
        }
    }

    /// Gives up commits whose time is up.
    pub(super) fn commits_due(&mut self, io: &mut dyn Io) {
        let now = io.now();
        while let Some(commit) = self.commits.pop_front_if(|commit| commit.deadline <= now) {
            commit.give_up(io);
        }
        self.commits_armed = !self.commits.is_empty();
        if let Some(first) = self.commits.front() {
            io.timer(first.deadline.since(now), Timer::Commits);
        }
    }

    /// Where the group goes on.
    pub(super) fn committed_found(
        &mut self,
        attempt: u32,
        error: ErrorCode,
        offsets: &[(PartitionId, Option<CommittedOffset>)],
        io: &mut dyn Io,
        shared: &Shared,
    ) {
        if !self.offsets_answered(attempt) {
            return;
        }
        if error.is_error() {
            if self.epoch_refuses(error, io, shared) {
                return;
            }
            let elsewhere = outcome::of_coordinator(error) == Coordination::Elsewhere;
            return self.group_back_off(elsewhere, io);
        }
        let spec = self.reset_spec();
        for (id, found) in offsets {
            let Some(reading) = self.units.iter_mut().find(|reading| reading.id == *id) else { continue };
            if reading.place != Place::Unknown {
                continue;
            }
            match found {
                Some(committed) => {
                    reading.place = Place::At(committed.offset);
                    reading.epoch = committed.leader_epoch;
                    reading.committed = Some(committed.offset);
                }
                None => reading.place = Place::Listing { from: None, spec, announce: true },
            }
        }
    }
}
