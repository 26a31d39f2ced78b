//! How operations and observations are stored: one row each, with optional numbers packed.

use super::{
    names::{GroupId, KeyId, ProcessId, TopicId, TransactionalId, UnitId},
    op::{Ends, Handling, OpId, Settlement, Status},
    packed::{Maybe32, Maybe64},
};
use squall_bus::Time;

/// A stored send.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SendRow {
    /// The index of the invocation.
    pub invoke: OpId,
    /// How it ended.
    pub status: Status,
    /// The ack answered a retry of a record that was there.
    pub duplicate: bool,
    /// The plan made it poison.
    pub poison: bool,
    /// Who sent.
    pub process: ProcessId,
    /// The producer session of that process.
    pub session: u32,
    /// Where to.
    pub topic: TopicId,
    /// The record's value.
    pub value: u64,
    pub(crate) completion: Maybe32,
    pub(crate) partition: Maybe32,
    pub(crate) key: Maybe32,
    pub(crate) unit: Maybe32,
    pub(crate) error: Maybe32,
    pub(crate) position: Maybe64,
    pub(crate) intended: Maybe64,
    pub(crate) cause: Maybe64,
    pub(crate) txn: Maybe32,
}

impl SendRow {
    /// The index of the completion, if there is one.
    #[must_use]
    pub fn completion(&self) -> Option<u32> {
        self.completion.get()
    }
    /// The partition that the sender chose.
    #[must_use]
    pub fn partition(&self) -> Option<u32> {
        self.partition.get()
    }
    /// The record key.
    #[must_use]
    pub fn key(&self) -> Option<KeyId> {
        self.key.get().map(KeyId::new)
    }
    /// The unit that the client learned.
    #[must_use]
    pub fn unit(&self) -> Option<UnitId> {
        self.unit.get().map(UnitId::new)
    }
    /// The place that the client learned, also when the outcome is unknown.
    #[must_use]
    pub fn position(&self) -> Option<u64> {
        self.position.get()
    }
    /// When the schedule wanted it sent.
    #[must_use]
    pub fn intended(&self) -> Option<Time> {
        self.intended.get().map(Time)
    }
    /// The value of the record that made it necessary.
    #[must_use]
    pub fn cause(&self) -> Option<u64> {
        self.cause.get()
    }
    /// Whether the bus acknowledged it. A send in a transaction happened only if that was committed too: ask the
    /// analysis for its fate.
    #[must_use]
    pub fn acked(&self) -> bool {
        self.status == Status::Ok
    }
    /// The transaction that it is part of.
    #[must_use]
    pub fn txn(&self) -> Option<OpId> {
        self.txn.get().map(OpId)
    }
}

/// A stored delivery.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeliverRow {
    /// The index of the event.
    pub event: u32,
    /// Who read.
    pub process: ProcessId,
    /// The unit.
    pub unit: UnitId,
    /// The place.
    pub position: u64,
    pub(crate) value: Maybe64,
    pub(crate) group: Maybe32,
    pub(crate) attempt: Maybe32,
    pub(crate) poll: Maybe32,
}

impl DeliverRow {
    /// The value, if it could be read.
    #[must_use]
    pub fn value(&self) -> Option<u64> {
        self.value.get()
    }
    /// The reader's group.
    #[must_use]
    pub fn group(&self) -> Option<GroupId> {
        self.group.get().map(GroupId::new)
    }
    /// Which delivery the bus says it is.
    #[must_use]
    pub fn attempt(&self) -> Option<u32> {
        self.attempt.get()
    }
    /// The poll that it answers.
    #[must_use]
    pub fn poll(&self) -> Option<OpId> {
        self.poll.get().map(OpId)
    }
    /// Whether the final drain read it.
    #[must_use]
    pub fn drained(&self) -> bool {
        self.process == ProcessId::DRAIN
    }
}

/// A stored outcome of a handler.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HandledRow {
    /// The index of the event.
    pub event: u32,
    /// Who processed.
    pub process: ProcessId,
    /// The group that processes.
    pub group: Option<GroupId>,
    /// The record's value.
    pub value: u64,
    /// What came of it.
    pub how: Handling,
}

/// A stored commit.
#[derive(Clone, Debug, PartialEq)]
pub struct CommitRow {
    /// The index of the invocation.
    pub invoke: OpId,
    /// How it ended.
    pub status: Status,
    /// Who committed.
    pub process: ProcessId,
    /// For which group.
    pub group: GroupId,
    /// Where it goes on, per unit.
    pub positions: Vec<(UnitId, u64)>,
    pub(crate) txn: Maybe32,
    pub(crate) completion: Maybe32,
    pub(crate) error: Maybe32,
}

/// A stored `Init`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InitRow {
    /// The index of the invocation.
    pub invoke: OpId,
    /// How it ended.
    pub status: Status,
    /// Whose it is.
    pub process: ProcessId,
    /// The transactional id.
    pub id: TransactionalId,
    pub(crate) epoch: Maybe32,
    pub(crate) completion: Maybe32,
    pub(crate) error: Maybe32,
}

impl InitRow {
    /// The epoch that the producer has now, if it was told.
    #[must_use]
    pub fn epoch(&self) -> Option<u32> {
        self.epoch.get()
    }
}

/// A stored transaction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TxnRow {
    /// The index of the invocation.
    pub invoke: OpId,
    /// How it ended: committed, aborted, or nobody knows.
    pub status: Status,
    /// Whose it is.
    pub process: ProcessId,
    pub(crate) id: Maybe32,
    pub(crate) epoch: Maybe32,
    pub(crate) completion: Maybe32,
    pub(crate) error: Maybe32,
}

impl TxnRow {
    /// The transactional id.
    #[must_use]
    pub fn id(&self) -> Option<TransactionalId> {
        self.id.get().map(TransactionalId::new)
    }
    /// The producer epoch.
    #[must_use]
    pub fn epoch(&self) -> Option<u32> {
        self.epoch.get()
    }
}

/// A stored poll.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PollRow {
    /// The index of the invocation.
    pub invoke: OpId,
    /// How it ended. The reader's position moves only when it happened.
    pub status: Status,
    /// Who read.
    pub process: ProcessId,
    pub(crate) group: Maybe32,
    pub(crate) txn: Maybe32,
    pub(crate) completion: Maybe32,
    pub(crate) error: Maybe32,
}

impl PollRow {
    /// The reader's group.
    #[must_use]
    pub fn group(&self) -> Option<GroupId> {
        self.group.get().map(GroupId::new)
    }
    /// The transaction that it is part of.
    #[must_use]
    pub fn txn(&self) -> Option<OpId> {
        self.txn.get().map(OpId)
    }
}

/// A stored settlement of a delivery.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SettleRow {
    /// The index of the invocation.
    pub invoke: OpId,
    /// `ok`: the bus confirmed it. Otherwise it may or may not know.
    pub status: Status,
    /// Who settles.
    pub process: ProcessId,
    /// The delivery, by its row.
    pub delivery: u32,
    /// What became of it.
    pub how: Settlement,
    pub(crate) completion: Maybe32,
    pub(crate) error: Maybe32,
}

/// A stored question for the ends of a unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EndRow {
    /// The index of the invocation.
    pub invoke: OpId,
    /// How it ended.
    pub status: Status,
    /// Who asked.
    pub process: ProcessId,
    /// The unit.
    pub unit: UnitId,
    /// The answer, if there was one.
    pub ends: Option<Ends>,
    pub(crate) node: Maybe32,
    pub(crate) completion: Maybe32,
    pub(crate) error: Maybe32,
}

impl EndRow {
    /// The node that was asked.
    #[must_use]
    pub fn node(&self) -> Option<u32> {
        self.node.get()
    }
}

impl CommitRow {
    /// The transaction that it is part of.
    #[must_use]
    pub fn txn(&self) -> Option<OpId> {
        self.txn.get().map(OpId)
    }
}

macro_rules! completions {
    ($($row:ident),*) => {$(
        impl $row {
            /// The index of the completion, if there is one.
            #[must_use]
            pub fn completion(&self) -> Option<u32> {
                self.completion.get()
            }
        }
    )*};
}

completions!(CommitRow, InitRow, TxnRow, PollRow, SettleRow, EndRow);
