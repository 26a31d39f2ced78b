//! What is recorded: operations with an invocation and a completion, and observations that simply happened.
//!
//! A completion is `ok` (it happened), `fail` (it definitely did not) or unknown (`info` on disk); an operation
//! without a completion is unknown. A position that the client learned is kept even when the outcome is unknown.

use super::{
    extra::{DeliverExtra, SendExtra},
    names::{GroupId, KeyId, ProcessId, TopicId, TransactionalId, UnitId},
};
use crate::events::Hit;
use serde::{Deserialize, Serialize};
use squall_bus::Time;
use std::time::Duration;

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
    /// The value of the record that made this one necessary: what is dead-lettered, or what it was computed from.
    pub cause: Option<u64>,
    /// The plan made this record one that no handler can process.
    pub poison: bool,
    /// The transaction that it is part of.
    pub txn: Option<OpId>,
    /// What only some sends have.
    pub extra: SendExtra,
}

impl Send {
    /// An ordinary record without a schedule.
    #[must_use]
    pub const fn new(topic: TopicId, key: Option<KeyId>, value: u64) -> Self {
        Self {
            topic,
            partition: None,
            key,
            value,
            session: 0,
            intended: None,
            cause: None,
            poison: false,
            txn: None,
            extra: SendExtra::NONE,
        }
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
        /// The transaction that it is part of.
        txn: Option<OpId>,
    },
    /// A producer makes a transactional id its own: it asks for a new epoch, which fences the older ones.
    Init {
        /// The transactional id.
        id: TransactionalId,
    },
    /// A transaction, from its first operation to the answer to its commit (`ok`) or its abort (`fail`).
    Txn {
        /// The transactional id; `None` on a bus that knows none.
        id: Option<TransactionalId>,
        /// The producer epoch in which it runs.
        epoch: Option<u32>,
    },
    /// A reader asks for records. The deliveries that answer it name it.
    Poll {
        /// The group of the reader.
        group: Option<GroupId>,
        /// The transaction that it is part of.
        txn: Option<OpId>,
    },
    /// A consumer tells the bus what became of a delivery. `ok`: the bus confirmed that it knows.
    Settle {
        /// The delivery, by the index of its event.
        delivery: u32,
        /// What became of it.
        how: Settlement,
    },
    /// Somebody asks where a unit begins and ends.
    End {
        /// The unit.
        unit: UnitId,
        /// The node that is asked, if it matters.
        node: Option<u32>,
    },
}

/// What a consumer tells the bus of a delivery, on a bus that settles each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Settlement {
    /// It is done.
    Ack,
    /// It shall come again, after this delay.
    Nak {
        /// How long the bus shall wait; `None` leaves it to the bus.
        delay: Option<Duration>,
    },
    /// It is given up: it shall not come again.
    Term,
    /// The consumer works on it: the time for its ack begins anew.
    Extend,
}

/// Where a unit begins and ends, as the bus says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// The place behind the last record that is safe on enough nodes: the high watermark.
    pub high: u64,
    /// The place behind the last record that no open transaction holds back: the last stable offset.
    pub stable: Option<u64>,
    /// The first place that is kept.
    pub start: Option<u64>,
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
    /// An `Init` happened: the epoch that the producer has now.
    Epoch(u32),
    /// An `End` was answered.
    Ends(Ends),
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
    /// The poll that it answers.
    pub poll: Option<OpId>,
    /// What only some deliveries have.
    pub extra: DeliverExtra,
}

impl Deliver {
    /// A record of a value, to a reader without a group.
    #[must_use]
    pub const fn new(unit: UnitId, position: u64, value: u64) -> Self {
        let (group, attempt, poll) = (None, None, None);
        let extra = DeliverExtra::NONE;
        Self { group, unit, position, value: Some(value), corrupt: false, attempt, poll, extra }
    }
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
        /// The generation of the group that says so.
        generation: Option<u32>,
    },
    /// A consumer wants these topics, as its group shares them out.
    Subscribed {
        /// The group.
        group: Option<GroupId>,
        /// The topics.
        topics: Vec<TopicId>,
    },
    /// A group has a new generation.
    Rebalanced {
        /// The group.
        group: GroupId,
        /// Its number.
        generation: u32,
        /// Its members.
        members: Vec<ProcessId>,
    },
    /// A client's process died; what comes after is another life of it.
    Crashed,
    /// A consumer goes on elsewhere because its program says so.
    Sought {
        /// The unit.
        unit: UnitId,
        /// Where it goes on.
        to: u64,
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
        /// The broker's or client's own name for the reason.
        error: Option<String>,
    },
    /// The bus says that it gave up a message.
    Advisory {
        /// The group.
        group: Option<GroupId>,
        /// The unit.
        unit: UnitId,
        /// The place.
        position: u64,
        /// What it says.
        what: Advice,
    },
    /// From here on the clocks of clients and bus agree with the times of this history within this bound.
    ClockBound(Duration),
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
        /// The leader epoch that begins.
        epoch: Option<u32>,
    },
    /// An administrator changed something while clients work.
    Changed {
        /// What, in a sentence.
        what: String,
        /// What went by it: of each unit the records in front of the place, or without one the unit itself with all
        /// that it had.
        deleted: Vec<(UnitId, Option<u64>)>,
    },
    /// The run enters a phase.
    Phase(Phase),
    /// How far the final drain came in a unit.
    Drain(Drain),
    /// A line of a kind that this version does not know. It keeps its index and is otherwise ignored.
    Other,
}

impl Observation {
    /// Whether its reader may read on elsewhere from here.
    #[must_use]
    pub const fn moves_its_reader(&self) -> bool {
        matches!(
            self,
            Self::Assigned { .. }
                | Self::Revoked(_)
                | Self::Lost(_)
                | Self::Reset { .. }
                | Self::Sought { .. }
                | Self::Crashed
        )
    }
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
    /// The node through which all of it was read; `None` for the drain of the unit as everybody sees it.
    pub node: Option<u32>,
}

/// What a bus says of a message that it gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub enum Advice {
    /// It was delivered as often as it may be.
    MaxDeliveries,
    /// A consumer gave it up.
    Terminated,
    /// Its time to live was over.
    Expired,
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
