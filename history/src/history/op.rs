//! What is recorded: operations with an invocation and a completion, and observations that simply happened.
//!
//! A completion is `ok` (it happened), `fail` (it definitely did not) or unknown (`info` on disk); an operation
//! without a completion is unknown. A position that the client learned is kept even when the outcome is unknown.

use super::names::{GroupId, KeyId, ProcessId, TopicId, UnitId};
use crate::events::Hit;
use serde::{Deserialize, Serialize};
use squall_bus::Time;

/// An operation: the index of its invocation among the events of the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u32);

/// How an operation ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Status {
    /// It happened.
    Ok,
    /// It definitely did not happen.
    Fail,
    /// Nobody at the client can tell, or it never completed.
    #[default]
    Unknown,
}

/// A record is handed to a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Send {
    /// Where to.
    pub topic: TopicId,
    /// The partition, if the sender chose it.
    pub partition: Option<u32>,
    /// The record key.
    pub key: Option<KeyId>,
    /// Names the record: no other send of the run has it.
    pub value: u64,
    /// The life of the process that owns the producer session, from 0; another session, another number.
    pub session: u32,
    /// When the schedule wanted it sent. `None` for sends that no schedule wanted, as those to a dead-letter topic.
    pub intended: Option<Time>,
    /// The value of the record that made this one necessary: what is dead-lettered.
    pub cause: Option<u64>,
    /// The plan made this record one that no handler can process.
    pub poison: bool,
}

impl Send {
    /// An ordinary record without a schedule.
    #[must_use]
    pub const fn new(topic: TopicId, key: Option<KeyId>, value: u64) -> Self {
        Self { topic, partition: None, key, value, session: 0, intended: None, cause: None, poison: false }
    }
}

/// An operation begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invoke {
    /// A send.
    Send(Send),
    /// A group wants to go on at these places: the position of the next record to read, per unit.
    Commit {
        /// The group.
        group: GroupId,
        /// The places.
        positions: Vec<(UnitId, u64)>,
    },
}

/// An operation ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completion {
    /// A send is acknowledged.
    Sent {
        /// The unit it is in.
        unit: UnitId,
        /// Its place, if the ack carries one.
        position: Option<u64>,
        /// The bus had it already: this ack answers a retry.
        duplicate: bool,
    },
    /// Any other operation happened.
    Ok,
    /// It definitely did not happen.
    Fail {
        /// The broker's or client's own name for the error.
        error: String,
    },
    /// Nobody can tell.
    Unknown {
        /// The broker's or client's own name for the error.
        error: String,
        /// What the client learned about a send's place, if anything.
        place: Option<(UnitId, u64)>,
    },
}

/// A record is handed to a reader: a consumer of the workload, or the final drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deliver {
    /// The group of the reader; `None` for a reader without one.
    pub group: Option<GroupId>,
    /// The unit.
    pub unit: UnitId,
    /// The place.
    pub position: u64,
    /// The value; `None` when it could not be read out of the payload.
    pub value: Option<u64>,
    /// The payload is not what a record of this value must carry.
    pub corrupt: bool,
    /// Which delivery of the record the bus says it is, from 1.
    pub attempt: Option<u32>,
}

/// What came of a record in a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Handling {
    /// Processed: its effect happened.
    Ok,
    /// Given up: it belongs in the dead-letter topic.
    Poison,
    /// This attempt, from 1, failed; another follows.
    Retry(u32),
}

/// Something that happened, without an invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// A record reached a reader.
    Deliver(Deliver),
    /// A handler is done with a delivery.
    Handled {
        /// The group that processes.
        group: Option<GroupId>,
        /// The record's value.
        value: u64,
        /// What came of it.
        how: Handling,
    },
    /// A consumer's ack of a record is certain, on a bus that acknowledges each: the group is done with it.
    Acked {
        /// The group.
        group: Option<GroupId>,
        /// The record's value.
        value: u64,
    },
    /// A consumer owns these units now and starts at these places, where they are known.
    Assigned {
        /// The group.
        group: Option<GroupId>,
        /// The units.
        units: Vec<(UnitId, Option<u64>)>,
    },
    /// A consumer handed these units back in good order.
    Revoked(Vec<UnitId>),
    /// A consumer learned that these units are no longer its own.
    Lost(Vec<UnitId>),
    /// A consumer's position was missing or impossible, and was reset.
    Reset {
        /// The unit.
        unit: UnitId,
        /// The position it had.
        from: Option<u64>,
        /// Where it goes on.
        to: u64,
    },
    /// An error that a client reported and survived.
    ClientError {
        /// The broker's or client's own name for it.
        error: String,
        /// A sentence; may be empty.
        message: String,
    },
    /// A fault struck.
    Fault(Struck),
    /// A fault was healed.
    Heal {
        /// Its number in the plan.
        id: u32,
    },
    /// A unit has a new leader.
    Elected {
        /// The unit.
        unit: UnitId,
        /// The node that leads; `None` when nobody does.
        leader: Option<u32>,
        /// The leader was not in sync: what it lacked is gone.
        unclean: bool,
    },
    /// The run enters a phase.
    Phase(Phase),
    /// How far the final drain came in a unit.
    Drain(Drain),
    /// A line of a kind that this version does not know. It keeps its index and is otherwise ignored.
    Other,
}

/// A fault that struck.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Struck {
    /// Its number in the plan.
    pub id: u32,
    /// What broke: `kill`.
    pub verb: String,
    /// What it was aimed at: `leader(orders/0)`.
    pub role: String,
    /// What that meant at this moment.
    pub hit: Hit,
}

/// The final drain of one unit, from the oldest record to the end of the log as it stood after recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// The unit.
    pub unit: UnitId,
    /// The first readable position.
    pub from: u64,
    /// The place behind the last record it had to reach.
    pub to: u64,
    /// Whether it reached it: every readable record in `from..to` has been read.
    pub complete: bool,
}

/// A phase of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub enum Phase {
    /// Records are sent from here on.
    WorkloadBegan,
    /// The schedule wants no more sends.
    WorkloadOver,
    /// No fault is in force any more, and none will strike.
    Healed,
    /// The consumers had come to the end of every unit. Recorded only if they had.
    CaughtUp,
    /// The final drain is over, complete or not (its facts say which).
    Drained,
}

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
    pub(super) completion: super::packed::Maybe32,
    pub(super) partition: super::packed::Maybe32,
    pub(super) key: super::packed::Maybe32,
    pub(super) unit: super::packed::Maybe32,
    pub(super) error: super::packed::Maybe32,
    pub(super) position: super::packed::Maybe64,
    pub(super) intended: super::packed::Maybe64,
    pub(super) cause: super::packed::Maybe64,
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
        self.key.get().map(KeyId)
    }
    /// The unit that the client learned.
    #[must_use]
    pub fn unit(&self) -> Option<UnitId> {
        self.unit.get().map(UnitId)
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
    /// Whether it is certain to have happened.
    #[must_use]
    pub fn acked(&self) -> bool {
        self.status == Status::Ok
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
    /// The payload is not what it must be.
    pub corrupt: bool,
    pub(super) value: super::packed::Maybe64,
    pub(super) group: super::packed::Maybe32,
    pub(super) attempt: super::packed::Maybe32,
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
        self.group.get().map(GroupId)
    }
    /// Which delivery the bus says it is.
    #[must_use]
    pub fn attempt(&self) -> Option<u32> {
        self.attempt.get()
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
    pub(super) completion: super::packed::Maybe32,
    pub(super) error: super::packed::Maybe32,
}

impl CommitRow {
    /// The index of the completion, if there is one.
    #[must_use]
    pub fn completion(&self) -> Option<u32> {
        self.completion.get()
    }
}
