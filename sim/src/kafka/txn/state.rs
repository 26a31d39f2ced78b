//! The states of a transactional id, and the record of it that its coordinator keeps.
//!
//! ```text
//!          ┌───────────────────────────────────────────────┐
//!          ▼                                               │
//! Empty ─▶ Ongoing ─▶ PrepareCommit ─▶ CompleteCommit ─────┤
//!             │  └──▶ PrepareAbort ──▶ CompleteAbort ──────┘
//!             └▶ PrepareEpochFence ─▲
//! ```
//! A Prepare state in the log is the decision: from then on the transaction ends that way, whoever coordinates.
//! PrepareEpochFence is never written. With version 2 a transaction without partitions may be aborted too.
//!
//! Source: `TransactionState` of Apache Kafka.

use super::messages::{ProducerIdAndEpoch, TxnIx};
use crate::kafka::{protocol::PartitionId, rules::TransactionVersion};
use squall_bus::Time;
use std::time::Duration;

/// Where a transactional id is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TxnState {
    /// No transaction yet under this epoch.
    Empty,
    /// A transaction is open.
    Ongoing,
    /// It will be committed.
    PrepareCommit,
    /// It will be aborted.
    PrepareAbort,
    /// Every partition has the marker of the commit.
    CompleteCommit,
    /// Every partition has the marker of the abort.
    CompleteAbort,
    /// The producer is fenced, and its transaction is about to be aborted.
    PrepareEpochFence,
    /// The id was not used for so long that it is forgotten.
    Dead,
}

impl TxnState {
    /// The states that this one may follow.
    #[must_use]
    pub const fn predecessors(self) -> &'static [Self] {
        match self {
            Self::Empty => &[Self::Empty, Self::CompleteCommit, Self::CompleteAbort],
            Self::Ongoing => &[Self::Ongoing, Self::Empty, Self::CompleteCommit, Self::CompleteAbort],
            Self::PrepareCommit => &[Self::Ongoing],
            Self::PrepareAbort => &[
                Self::Ongoing,
                Self::PrepareEpochFence,
                Self::Empty,
                Self::CompleteCommit,
                Self::CompleteAbort,
            ],
            Self::CompleteCommit => &[Self::PrepareCommit],
            Self::CompleteAbort => &[Self::PrepareAbort],
            Self::PrepareEpochFence => &[Self::Ongoing],
            Self::Dead => &[Self::Empty, Self::CompleteCommit, Self::CompleteAbort],
        }
    }

    /// Whether this state may follow `before`.
    #[must_use]
    pub fn may_follow(self, before: Self) -> bool {
        self.predecessors().contains(&before)
    }

    /// Whether it is decided, and the markers are on their way.
    #[must_use]
    pub const fn is_prepared(self) -> bool {
        matches!(self, Self::PrepareCommit | Self::PrepareAbort)
    }
}

/// A transactional id as its coordinator's log keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnSnapshot {
    /// The transactional id.
    pub txn: TxnIx,
    /// Its producer id and epoch.
    pub producer: ProducerIdAndEpoch,
    /// The epoch before, which a retry of the request that raised it may still name.
    pub last_epoch: Option<u16>,
    /// The producer id before, when epochs ran out and a new one took its place.
    pub previous_pid: Option<u64>,
    /// The producer id that the completed transaction goes on with, when epochs ran out.
    pub next_pid: Option<u64>,
    /// `transaction.timeout.ms`.
    pub timeout: Duration,
    /// Where it is.
    pub state: TxnState,
    /// The version that its client spoke last.
    pub version: TransactionVersion,
    /// The partitions of the transaction, in order.
    pub partitions: Vec<PartitionId>,
    /// When the transaction began, by the wall clock of its coordinator.
    pub started: Option<Time>,
    /// When this record was made, by the same clock.
    pub updated: Time,
}
