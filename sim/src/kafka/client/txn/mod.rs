//! A producer's transactions.
//!
//! ```text
//! New ─init─▶ Initializing ─▶ Ready ─begin─▶ Open ─commit, abort─▶ Ending ─▶ Ready
//!                               ▲                                     └─▶ Bumping ─┘
//! ```
//! - One request about transactions is under way at a time. The coordinator is looked for again whenever it says
//!   that it is none or its connection breaks ([`coordinator`]); what may pass is tried again after a back-off.
//! - Version 1: a partition's first batch waits until the coordinator has added the partition. Version 2: the
//!   partition's leader sees to that, and every end brings the next epoch. What an abort makes of partitions that are
//!   still being added is the library's own ([`adding`]).
//! - A commit first sends everything; an abort drops what was not sent and waits for what is in flight. A
//!   transaction in which nothing was sent ends without a request.
//! - A record that was given up, a refusal of a group's positions and 120 leave nothing but an abort. With version 1
//!   an abort after a batch was given up is followed by InitProducerId, for a new epoch (KIP-360).
//! - What fences the producer is fatal: to librdkafka everywhere; to Java 47 for a batch is only a failed
//!   transaction, and the end of it finds out.
//! - A commit or abort that has no answer when its time is up is `unknown`, and goes on: the same call again waits
//!   for it.
//!
//! Sources: librdkafka's `rdkafka_txnmgr.c`, Java's `TransactionManager`, and measurements of both.

mod adding;
mod answers;
mod coordinator;
mod failures;
mod requests;

use super::super::{
    Shared,
    protocol::{CommittedOffset, GroupIx, MemberEpoch, PartitionId},
    rules::TransactionVersion,
    txn::messages::{ProduceTxn, TxnIx},
};
use super::{Io, producer::Producer};
use crate::{
    kernel::NodeId,
    model::{OpId, Output, TxnCall},
};
use squall_bus::{Error, ErrorClass, Outcome, Time};
use std::time::Duration;

/// How long one step of a transaction may take its caller (`max.block.ms`; what Squall gives librdkafka).
const STEP: Duration = Duration::from_secs(60);

/// Where a transactional producer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    New,
    Initializing,
    Ready,
    Open,
    Ending {
        commit: bool,
    },
    /// After an abort: a new epoch is asked for.
    Bumping,
}

/// A request about transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    FindCoordinator,
    Init,
    AddPartitions(Vec<PartitionId>),
    AddOffsets,
    FindGroup,
    Offsets,
    End,
}

/// A group's positions on their way into the transaction.
#[derive(Clone, Debug)]
struct Positions {
    op: OpId,
    group: GroupIx,
    member: Option<MemberEpoch>,
    offsets: Vec<CommittedOffset>,
    /// The group's partition belongs to the transaction.
    added: bool,
    deadline: Time,
    perhaps: bool,
}

/// A producer's transactions.
#[derive(Clone, Debug)]
pub(crate) struct Transactions {
    id: TxnIx,
    timeout: Duration,
    version: TransactionVersion,
    phase: Phase,
    /// Who waits for the phase to end, and until when.
    waiting: Option<(OpId, Time)>,
    /// It ended (with a commit or not) when nobody waited any more: the same call again is told.
    unclaimed: Option<bool>,
    /// The transaction can only be aborted, and why.
    failed: Option<Error>,
    /// A batch was given up: its sequence numbers are missing.
    needs_bump: bool,
    /// Something of this transaction was sent.
    started: bool,
    added: Vec<PartitionId>,
    to_add: Vec<PartitionId>,
    /// The first so many of these were asked for already, and are again until they are added.
    asked: usize,
    positions: Option<Positions>,
    /// The end may have gone through.
    perhaps: bool,
    in_flight: bool,
    coordinator_known: bool,
    /// Somebody is being asked who coordinates.
    searching: bool,
    /// When to ask next who coordinates, while it is watched.
    search_at: Option<Time>,
    /// Who coordinates the group of the positions.
    group_coordinator: Option<NodeId>,
    not_before: Time,
    failures: u32,
    drawn: u64,
    wake_at: Option<Time>,
}

impl Transactions {
    pub(super) fn new(id: TxnIx, timeout: Duration, version: TransactionVersion) -> Self {
        Self {
            id,
            timeout,
            version,
            phase: Phase::New,
            waiting: None,
            unclaimed: None,
            failed: None,
            needs_bump: false,
            started: false,
            added: Vec::new(),
            to_add: Vec::new(),
            asked: 0,
            positions: None,
            perhaps: false,
            in_flight: false,
            coordinator_known: false,
            searching: false,
            search_at: None,
            group_coordinator: None,
            not_before: Time::ZERO,
            failures: 0,
            drawn: 0,
            wake_at: None,
        }
    }

    /// What a Produce request says of the transaction.
    pub(super) fn of_produce(&self) -> ProduceTxn {
        ProduceTxn { txn: self.id, version: self.version }
    }

    /// Whether records are taken now.
    pub(super) fn takes_records(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Whether a batch of this partition may leave; if not, the partition is to be added first.
    pub(super) fn may_send(&mut self, id: PartitionId) -> bool {
        let sends = matches!(self.phase, Phase::Open | Phase::Ending { commit: true });
        if !sends || self.failed.is_some() {
            return false;
        }
        if self.version == TransactionVersion::V1 && !self.added.contains(&id) {
            if !self.to_add.contains(&id) {
                self.to_add.push(id);
            }
            return false;
        }
        self.started = true;
        true
    }

    fn is_aborting(&self) -> bool {
        self.failed.is_some() || self.phase == Phase::Ending { commit: false }
    }
}

fn state_error(message: &str) -> Error {
    Error::new(ErrorClass::Refused, "_STATE", message)
}

impl Producer {
    pub(super) fn transact(&mut self, op: OpId, call: &TxnCall, io: &mut dyn Io, shared: &Shared) {
        let refused = match (&self.fatal, &self.txn) {
            (Some(error), _) => Some(error.clone()),
            (None, None) => Some(state_error("the producer has no transactional id")),
            (None, Some(_)) => None,
        };
        if let Some(error) = refused {
            return io.emit(Output::Done(op, Outcome::Fail(error)));
        }
        let begun = match call {
            TxnCall::Init => self.begin_phase(op, Phase::New, Phase::Initializing, io),
            TxnCall::Begin => self.begin_txn(op, io),
            TxnCall::Commit => self.begin_end(op, true, io, shared),
            TxnCall::Abort => self.begin_end(op, false, io, shared),
            TxnCall::Positions { .. } => Err(state_error("positions need the model that knows the groups")),
        };
        if let Err(error) = begun {
            io.emit(Output::Done(op, Outcome::Fail(error)));
        }
        self.txn_step(io, shared);
    }

    fn begin_phase(&mut self, op: OpId, from: Phase, to: Phase, io: &mut dyn Io) -> Result<(), Error> {
        let now = io.now();
        let delay = self.settings.library.producer_id_delay;
        let Some(txn) = &mut self.txn else { return Ok(()) };
        // The same call again, after its time was up, waits for what is under way.
        if txn.phase != from && (txn.phase != to || txn.waiting.is_some()) {
            return Err(state_error("the transactions of this producer are not in a state for this call"));
        }
        if txn.phase == Phase::New {
            txn.not_before = self.started.unwrap_or(now) + delay;
        }
        txn.phase = to;
        txn.waiting = Some((op, now + STEP));
        self.wake_txn(now + STEP, io);
        Ok(())
    }

    fn begin_txn(&mut self, op: OpId, io: &mut dyn Io) -> Result<(), Error> {
        let Some(txn) = &mut self.txn else { return Ok(()) };
        if txn.phase != Phase::Ready || txn.unclaimed.is_some() {
            return Err(state_error("a transaction begins when the one before is over"));
        }
        txn.phase = Phase::Open;
        (txn.started, txn.needs_bump, txn.failed) = (false, false, None);
        txn.added.clear();
        txn.to_add.clear();
        txn.asked = 0;
        io.emit(Output::Done(op, Outcome::Ok(())));
        Ok(())
    }

    fn begin_end(&mut self, op: OpId, commit: bool, io: &mut dyn Io, shared: &Shared) -> Result<(), Error> {
        if let Some(error) = self.txn.as_ref().and_then(|txn| txn.failed.clone())
            && commit
        {
            return Err(error);
        }
        if let Some(txn) = &mut self.txn
            && txn.unclaimed == Some(commit)
        {
            txn.unclaimed = None;
            io.emit(Output::Done(op, Outcome::Ok(())));
            return Ok(());
        }
        let from = Phase::Open;
        self.begin_phase(op, from, Phase::Ending { commit }, io)?;
        if let Some(positions) = self.txn.as_mut().and_then(|txn| txn.positions.take()) {
            let error = state_error("the transaction ended before its positions were taken");
            io.emit(Output::Done(positions.op, Outcome::Unknown(error, None)));
        }
        if commit {
            self.flush_all(io, shared);
        } else {
            self.abort_adding(io.now());
        }
        Ok(())
    }

    /// Puts a group's positions into the transaction.
    pub(crate) fn send_positions(
        &mut self,
        op: OpId,
        group: GroupIx,
        member: Option<MemberEpoch>,
        offsets: Vec<CommittedOffset>,
        io: &mut dyn Io,
        shared: &Shared,
    ) {
        let deadline = io.now() + STEP;
        let refused = match (&self.fatal, &mut self.txn) {
            (Some(error), _) => Some(error.clone()),
            (None, Some(txn)) if txn.failed.is_some() => txn.failed.clone(),
            (None, Some(txn)) if txn.phase == Phase::Open && txn.positions.is_none() => {
                let positions =
                    Positions { op, group, member, offsets, added: false, deadline, perhaps: false };
                txn.positions = Some(positions);
                txn.group_coordinator = None;
                None
            }
            _ => Some(state_error("positions are taken within a transaction, one call at a time")),
        };
        if let Some(error) = refused {
            return io.emit(Output::Done(op, Outcome::Fail(error)));
        }
        self.wake_txn(deadline, io);
        self.txn_step(io, shared);
    }
}
