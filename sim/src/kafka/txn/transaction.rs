//! What a coordinator decides about one transactional id.
//!
//! Every function takes the record as it is and says what is to be written, or what to answer; nothing changes
//! until the record is durable. Source: `TransactionCoordinator` and `TransactionMetadata` of Apache Kafka.

use super::{
    messages::{ProducerIdAndEpoch, TxnIx},
    state::{TxnSnapshot, TxnState},
};
use crate::kafka::{error::ErrorCode, protocol::PartitionId, rules::TransactionVersion};
use squall_bus::Time;
use std::time::Duration;

/// The last epoch that a producer id is given; the one after it is kept for fencing.
const LAST_EPOCH: u16 = i16::MAX as u16 - 1;

/// A transactional id at its coordinator.
#[derive(Clone, Debug)]
pub(super) struct Transaction {
    /// As it is in the log; `None` while the first record of it is on its way.
    pub(super) kept: Option<TxnSnapshot>,
    /// What is on its way into the log. Everybody else has to wait (51).
    pub(super) pending: Option<TxnState>,
}

/// What follows from InitProducerId.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Init {
    /// To be written, then answered.
    Write(TxnSnapshot),
    /// The open transaction is aborted first, under this epoch; the client is to try again (51).
    Fence(ProducerIdAndEpoch),
}

/// What follows from the wish to end a transaction.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// To be written, then answered, then markers go out.
    Prepare(TxnSnapshot),
    /// It has ended like that already.
    Done(ProducerIdAndEpoch),
}

/// Who wants a transaction to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// Its client, by this version.
    Client(TransactionVersion),
    /// Its coordinator, which has fenced the producer.
    Fence,
}

impl Transaction {
    /// The first record of a transactional id.
    pub(super) fn first(txn: TxnIx, pid: u64, timeout: Duration, now: Time) -> TxnSnapshot {
        TxnSnapshot {
            txn,
            producer: ProducerIdAndEpoch { pid, epoch: 0 },
            last_epoch: None,
            previous_pid: None,
            next_pid: None,
            timeout,
            state: TxnState::Empty,
            version: TransactionVersion::V1,
            partitions: Vec::new(),
            started: None,
            updated: now,
        }
    }

    /// A producer presents itself.
    pub(super) fn init(
        &self,
        timeout: Duration,
        current: Option<ProducerIdAndEpoch>,
        fresh: u64,
        now: Time,
    ) -> Result<Init, ErrorCode> {
        let kept = self.settled()?;
        if let Some(current) = current {
            let ours = current.pid == kept.producer.pid
                && (current.epoch == kept.producer.epoch || Some(current.epoch) == kept.last_epoch);
            let rotated = Some(current.pid) == kept.previous_pid;
            if !ours && !rotated {
                return Err(ErrorCode::ProducerFenced);
            }
        }
        match kept.state {
            TxnState::PrepareCommit | TxnState::PrepareAbort => Err(ErrorCode::ConcurrentTransactions),
            TxnState::Ongoing => Ok(Init::Fence(fenced(kept))),
            _ => Ok(Init::Write(raised(kept, timeout, current, fresh, now))),
        }
    }

    /// Partitions are to belong to the transaction; `None` if they do already.
    pub(super) fn add(
        &self,
        producer: ProducerIdAndEpoch,
        partitions: &[PartitionId],
        version: TransactionVersion,
        now: Time,
    ) -> Result<Option<TxnSnapshot>, ErrorCode> {
        let kept = self.of(producer)?;
        if kept.state.is_prepared() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        let ongoing = kept.state == TxnState::Ongoing;
        let has = |id: &PartitionId| kept.partitions.binary_search(id).is_ok();
        if ongoing && partitions.iter().all(has) {
            return Ok(None);
        }
        let mut next = TxnSnapshot { state: TxnState::Ongoing, version, updated: now, ..kept.clone() };
        if !ongoing {
            next.partitions.clear();
            next.started = Some(now);
        }
        next.partitions.extend(partitions);
        next.partitions.sort_unstable();
        next.partitions.dedup();
        Ok(Some(next))
    }

    /// Whether a partition belongs to the open transaction of this producer.
    pub(super) fn verify(&self, producer: ProducerIdAndEpoch, id: PartitionId) -> ErrorCode {
        match self.of(producer) {
            Err(error) => error,
            Ok(kept) if kept.state.is_prepared() => ErrorCode::ConcurrentTransactions,
            Ok(kept) if kept.state == TxnState::Ongoing && kept.partitions.binary_search(&id).is_ok() => {
                ErrorCode::None
            }
            Ok(_) => ErrorCode::TransactionAbortable,
        }
    }

    /// The transaction is to end.
    pub(super) fn end(
        &self,
        producer: ProducerIdAndEpoch,
        commit: bool,
        by: By,
        fresh: u64,
        now: Time,
    ) -> Result<End, ErrorCode> {
        let kept = self.kept.as_ref().ok_or(ErrorCode::InvalidProducerIdMapping)?;
        let fencing = (self.pending, by) == (Some(TxnState::PrepareEpochFence), By::Fence);
        if self.pending.is_some() && !fencing {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        match by {
            By::Client(TransactionVersion::V2) => end_by_epoch(kept, producer, commit, fresh, now),
            By::Client(TransactionVersion::V1) => {
                check_identity(kept, producer)?;
                end_by_state(kept, commit, now)
            }
            By::Fence => Ok(End::Prepare(prepared(kept, commit, producer, None, kept.version, now))),
        }
    }

    /// The record once every partition has its marker.
    pub(super) fn completed(kept: &TxnSnapshot, now: Time) -> TxnSnapshot {
        let state = match kept.state {
            TxnState::PrepareCommit => TxnState::CompleteCommit,
            _ => TxnState::CompleteAbort,
        };
        let mut next =
            TxnSnapshot { state, updated: now, partitions: Vec::new(), started: None, ..kept.clone() };
        if let Some(pid) = next.next_pid.take() {
            next.previous_pid = Some(next.producer.pid);
            next.producer = ProducerIdAndEpoch { pid, epoch: 0 };
            next.last_epoch = None;
        }
        next
    }

    /// Whether the transaction has been open for longer than it may.
    pub(super) fn is_overdue(&self, now: Time) -> bool {
        let Some(kept) = &self.kept else { return false };
        let ends = kept.started.map(|started| started + kept.timeout);
        self.pending.is_none() && kept.state == TxnState::Ongoing && ends.is_some_and(|ends| ends < now)
    }

    /// Whether the id has been idle for so long that it is forgotten.
    pub(super) fn is_expired(&self, expiry: Duration, now: Time) -> bool {
        let Some(kept) = &self.kept else { return false };
        let idle = TxnState::Dead.may_follow(kept.state);
        idle && self.pending.is_none() && kept.updated + expiry <= now
    }

    /// The record of an id that is forgotten.
    pub(super) fn dead(kept: &TxnSnapshot, now: Time) -> TxnSnapshot {
        TxnSnapshot { state: TxnState::Dead, updated: now, ..kept.clone() }
    }

    /// The producer that an overdue or orphaned transaction is aborted under.
    pub(super) fn fence(&self) -> Option<ProducerIdAndEpoch> {
        self.kept.as_ref().map(fenced)
    }

    fn settled(&self) -> Result<&TxnSnapshot, ErrorCode> {
        match (&self.kept, self.pending) {
            (Some(kept), None) => Ok(kept),
            _ => Err(ErrorCode::ConcurrentTransactions),
        }
    }

    /// The record, for a request of this producer.
    fn of(&self, producer: ProducerIdAndEpoch) -> Result<&TxnSnapshot, ErrorCode> {
        let kept = self.kept.as_ref().ok_or(ErrorCode::InvalidProducerIdMapping)?;
        if producer.pid != kept.producer.pid {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if producer.epoch != kept.producer.epoch {
            return Err(ErrorCode::ProducerFenced);
        }
        self.settled()
    }
}

/// The producer with the next epoch, which nobody was told: whoever writes under the one before is fenced.
fn fenced(kept: &TxnSnapshot) -> ProducerIdAndEpoch {
    let epoch = (kept.producer.epoch + 1).min(i16::MAX as u16);
    ProducerIdAndEpoch { epoch, ..kept.producer }
}

/// The record with the next epoch, or with a new producer id when epochs have run out. A producer that repeats its
/// request for a new epoch gets the same again.
fn raised(
    kept: &TxnSnapshot,
    timeout: Duration,
    current: Option<ProducerIdAndEpoch>,
    fresh: u64,
    now: Time,
) -> TxnSnapshot {
    let mut next = TxnSnapshot {
        state: TxnState::Empty,
        timeout,
        partitions: Vec::new(),
        started: None,
        updated: now,
        ..kept.clone()
    };
    let repeats = current.is_some_and(|current| current != kept.producer);
    if repeats {
        return next;
    }
    if kept.producer.epoch >= LAST_EPOCH {
        next.previous_pid = current.map(|current| current.pid);
        next.producer = ProducerIdAndEpoch { pid: fresh, epoch: 0 };
        next.last_epoch = None;
    } else {
        next.producer.epoch += 1;
        next.last_epoch = current.map(|current| current.epoch);
        next.previous_pid = None;
    }
    next
}

fn check_identity(kept: &TxnSnapshot, producer: ProducerIdAndEpoch) -> Result<(), ErrorCode> {
    if producer.pid != kept.producer.pid {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    if producer.epoch == kept.producer.epoch { Ok(()) } else { Err(ErrorCode::ProducerFenced) }
}

/// Version 1: the state says whether a repeated request is a repetition. Nothing says of which transaction.
fn end_by_state(kept: &TxnSnapshot, commit: bool, now: Time) -> Result<End, ErrorCode> {
    let done = End::Done(kept.producer);
    match (kept.state, commit) {
        (TxnState::Ongoing, _) => {
            Ok(End::Prepare(prepared(kept, commit, kept.producer, None, TransactionVersion::V1, now)))
        }
        (TxnState::CompleteCommit, true) | (TxnState::CompleteAbort, false) => Ok(done),
        (TxnState::PrepareCommit, true) | (TxnState::PrepareAbort, false) => {
            Err(ErrorCode::ConcurrentTransactions)
        }
        _ => Err(ErrorCode::InvalidTxnState),
    }
}

/// Version 2 (KIP-890): a repetition names the epoch before the one that its transaction ended with.
fn end_by_epoch(
    kept: &TxnSnapshot,
    producer: ProducerIdAndEpoch,
    commit: bool,
    fresh: u64,
    now: Time,
) -> Result<End, ErrorCode> {
    let overflown =
        kept.previous_pid == Some(producer.pid) && producer.epoch == LAST_EPOCH && kept.producer.epoch == 0;
    if producer.pid != kept.producer.pid && !overflown {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    let same = producer == kept.producer;
    let bumped = producer.pid == kept.producer.pid && producer.epoch + 1 == kept.producer.epoch;
    let valid = match kept.state {
        TxnState::PrepareCommit | TxnState::PrepareAbort => bumped,
        TxnState::CompleteCommit | TxnState::CompleteAbort => bumped || overflown || same,
        _ => same,
    };
    if !valid {
        return Err(ErrorCode::ProducerFenced);
    }
    let repeats = bumped || overflown;
    match (kept.state, commit) {
        (TxnState::Ongoing, _) => Ok(End::Prepare(prepared_v2(kept, commit, fresh, now))),
        (TxnState::CompleteCommit, true) | (TxnState::CompleteAbort, false) if repeats => {
            Ok(End::Done(kept.producer))
        }
        // An abort of what the coordinator never heard of: the partitions may have.
        (TxnState::Empty | TxnState::CompleteCommit | TxnState::CompleteAbort, false) if !repeats => {
            Ok(End::Prepare(prepared_v2(kept, false, fresh, now)))
        }
        (TxnState::PrepareCommit, true) | (TxnState::PrepareAbort, false) => {
            Err(ErrorCode::ConcurrentTransactions)
        }
        _ => Err(ErrorCode::InvalidTxnState),
    }
}

fn prepared_v2(kept: &TxnSnapshot, commit: bool, fresh: u64, now: Time) -> TxnSnapshot {
    let exhausted = kept.producer.epoch >= LAST_EPOCH;
    let mut next =
        prepared(kept, commit, fenced(kept), exhausted.then_some(fresh), TransactionVersion::V2, now);
    next.last_epoch = Some(kept.producer.epoch);
    next
}

fn prepared(
    kept: &TxnSnapshot,
    commit: bool,
    producer: ProducerIdAndEpoch,
    next_pid: Option<u64>,
    version: TransactionVersion,
    now: Time,
) -> TxnSnapshot {
    let partitions = if kept.state == TxnState::Ongoing { kept.partitions.clone() } else { Vec::new() };
    TxnSnapshot {
        state: if commit { TxnState::PrepareCommit } else { TxnState::PrepareAbort },
        producer,
        last_epoch: if producer == kept.producer { kept.last_epoch } else { None },
        next_pid,
        version,
        partitions,
        updated: now,
        ..kept.clone()
    }
}
