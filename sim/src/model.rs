//! What the simulated bus asks of a model, whichever broker it models.
//!
//! A client (one producer or one consumer) is a node of its own, so that it has links of its own to every
//! broker. What a service does with its handle arrives as a [`Call`]; what the client library tells it comes
//! back as an [`Output`]. Reading goes by `take_record` and `take_event`, because back-pressure needs to know
//! when the service takes one.

pub use crate::few::Few;

use crate::kernel::{Choices, Ctx, Digest, Model, NodeId, mix};
use squall_bus::{
    Ack, Capabilities, Capability, ConsumerConfig, ConsumerEvent, Delivery, Error, Outcome, Position,
    ProducerConfig, Record, Role, Topic, TopicSpec, TopicState, Unit,
};
use std::{cell::RefCell, collections::BTreeMap, fmt, task::Poll, thread::LocalKey, time::Duration};

/// What rules say, one `name: value` a line: made once a thread for as long as they are the same, since every run of a
/// sweep asks.
pub(crate) fn said<R: Clone + PartialEq + fmt::Display>(
    last: &'static LocalKey<RefCell<Option<(R, String)>>>,
    rules: &R,
) -> String {
    last.with_borrow_mut(|last| match last {
        Some((known, said)) if known == rules => said.clone(),
        _ => last.insert((rules.clone(), rules.to_string())).1.clone(),
    })
}

/// Names one operation of a client that waits for its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);

/// What a service asks of its client library.
#[derive(Clone, Debug)]
pub enum Call {
    /// Producer: send this record. Answered by [`Output::Sent`].
    Send(OpId, Record),
    /// Producer: send what waits for company now.
    Flush,
    /// Consumer: done with a delivery, on a bus that acknowledges each. Answered by [`Output::Done`].
    Ack(OpId, u64),
    /// Consumer: deliver it again after a delay. Answered by [`Output::Done`].
    Nack(OpId, u64, Duration),
    /// Consumer: never deliver it again. Answered by [`Output::Done`].
    Term(OpId, u64),
    /// Consumer: still working on it. Answered by [`Output::Done`].
    Extend(OpId, u64),
    /// Consumer: the group goes on at these positions. Answered by [`Output::Done`].
    Commit(OpId, Few<(Unit, Position)>),
    /// Consumer: read on here. Records of the unit that were fetched already are dropped.
    Seek(Unit, Position),
    /// Producer: a step of its transactions. Answered by [`Output::Done`].
    Txn(OpId, TxnCall),
    /// Either: leave in good order. Answered by [`Output::Done`], after which the node exits.
    Close(OpId),
}

/// What a service asks of a transactional producer.
#[derive(Clone, Debug)]
pub enum TxnCall {
    /// Fence older producers of the transactional id.
    Init,
    /// Open a transaction.
    Begin,
    /// Put a group's positions into it.
    Positions {
        /// The group.
        group: String,
        /// The positions.
        positions: Vec<(Unit, Position)>,
        /// The clients of the same process: a consumer of the group among them lends its membership.
        peers: Vec<NodeId>,
    },
    /// Commit it.
    Commit,
    /// Abort it.
    Abort,
}

impl TxnCall {
    fn digest(&self) -> u64 {
        match self {
            Self::Init => 1,
            Self::Begin => 2,
            Self::Positions { positions, .. } => positions
                .iter()
                .fold(3, |hash, (unit, position)| mix(mix(hash, u64::from(unit.partition)), position.0)),
            Self::Commit => 4,
            Self::Abort => 5,
        }
    }
}

/// The digest of a [`Call::Send`].
#[inline]
pub(crate) fn digest_of_send(op: OpId, record: &Record) -> u64 {
    mix(mix(1, op.0), record.value.len() as u64)
}

impl Digest for Call {
    fn digest(&self) -> u64 {
        match self {
            Self::Send(op, record) => digest_of_send(*op, record),
            Self::Flush => 2,
            Self::Ack(op, tag) => mix(mix(3, op.0), *tag),
            Self::Nack(op, tag, _) => mix(mix(4, op.0), *tag),
            Self::Term(op, tag) => mix(mix(5, op.0), *tag),
            Self::Extend(op, tag) => mix(mix(6, op.0), *tag),
            Self::Commit(op, positions) => positions.iter().fold(mix(7, op.0), |hash, (unit, position)| {
                mix(mix(hash, u64::from(unit.partition)), position.0)
            }),
            Self::Seek(unit, position) => mix(mix(8, u64::from(unit.partition)), position.0),
            Self::Close(op) => mix(9, op.0),
            Self::Txn(op, call) => mix(mix(10, op.0), call.digest()),
        }
    }
}

/// What a model tells the world outside.
#[derive(Clone, Debug)]
pub enum Output {
    /// The outcome of a send.
    Sent(OpId, Outcome<Ack>),
    /// The outcome of the sends of a batch: the bus has all of them.
    Acked(Acked),
    /// The outcome of an ack, commit or close.
    Done(OpId, Outcome<()>),
    /// The producer on this node has room again.
    Room(NodeId),
    /// The consumer on this node has a record (or a fatal error) to take.
    Readable(NodeId),
    /// The consumer on this node has an event to take.
    Eventful(NodeId),
    /// Something happened in the cluster that belongs in a history.
    Note(Note),
}

/// The records of a batch that the bus has, one behind the other.
#[derive(Clone, Debug)]
pub struct Acked {
    /// Who sent them.
    pub ops: Few<OpId>,
    /// Where they are.
    pub unit: Unit,
    /// The position of the first, if the ack carries one.
    pub base: Option<Position>,
}

impl Acked {
    /// The outcome of the one at this place.
    pub fn outcome(&self, place: u32) -> Outcome<Ack> {
        let position = self.base.map(|base| Position(base.0 + u64::from(place)));
        Outcome::Ok(Ack { unit: self.unit.clone(), position, duplicate: false })
    }

    /// The outcome of each.
    pub fn outcomes(&self) -> impl Iterator<Item = (OpId, Outcome<Ack>)> {
        self.ops.iter().zip(0..).map(|(op, place)| (*op, self.outcome(place)))
    }
}

/// What happened in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A unit has a new leader, or none.
    Leader {
        /// The unit.
        unit: Unit,
        /// The node, from 1.
        leader: Option<u32>,
        /// The leader's epoch or term.
        epoch: u32,
        /// The new leader was not in sync: what it lacked is gone.
        unclean: bool,
    },
    /// A unit's in-sync replicas changed.
    Insync {
        /// The unit.
        unit: Unit,
        /// The nodes, from 1.
        nodes: Vec<u32>,
    },
    /// The cluster has a new controller.
    Controller {
        /// The node, from 1.
        node: u32,
    },
    /// A group has a new generation of members.
    Rebalanced {
        /// The group.
        group: String,
        /// The generation.
        generation: u32,
        /// How many members it has.
        members: u32,
    },
}

/// A model of a whole bus: brokers and client libraries.
///
/// Nodes 0 to n-1 are the brokers, shown to people as 1 to n; clients follow in order of opening.
pub trait BusModel: Model<Call = Call, Output = Output> + Send + 'static {
    /// What the bus can do.
    fn capabilities(&self) -> &Capabilities;
    /// The resolved rules, one `name: value` a line, for the capsule and the hash.
    fn rules(&self) -> String;
    /// How many brokers there are: nodes 0 to `brokers() - 1`.
    fn brokers(&self) -> u32;
    /// How many server nodes there are: the brokers, and behind them what else the cluster runs on.
    fn servers(&self) -> u32 {
        self.brokers()
    }

    /// Puts a producer's state machine onto this node, which boots next. Refuses what the bus cannot honour.
    fn open_producer(&mut self, node: NodeId, config: ProducerConfig) -> Result<(), Error>;
    /// Puts a consumer's state machine onto this node, which boots next. Refuses what the bus cannot honour.
    fn open_consumer(&mut self, node: NodeId, config: ConsumerConfig) -> Result<(), Error>;
    /// Whether the producer on this node takes one more record.
    fn has_room(&self, node: NodeId) -> Result<bool, Error>;
    /// Whether it does, and nothing is wrong with it: asked twice for every record.
    fn takes_records(&self, node: NodeId) -> bool {
        matches!(self.has_room(node), Ok(true))
    }
    /// [`Call::Send`] to the producer on this node. There is one for every record, so it comes without the enum around
    /// it, which would be moved from hand to hand.
    fn send(&mut self, node: NodeId, op: OpId, record: Record, ctx: &mut Ctx<'_, Self>) {
        self.call(node, Call::Send(op, record), ctx);
    }
    /// Takes the next record that the consumer on this node hands out.
    fn take_record(&mut self, node: NodeId, ctx: &mut Ctx<'_, Self>) -> Poll<Result<Delivery, Error>>;
    /// Takes the next event that the consumer on this node hands out.
    fn take_event(&mut self, node: NodeId, ctx: &mut Ctx<'_, Self>) -> Option<ConsumerEvent>;

    /// Creates a topic, as an administrator does before the run. Takes effect at once in the controller;
    /// brokers and clients learn of it in their own time.
    fn create_topic(&mut self, spec: &TopicSpec, choices: &Choices) -> Result<(), Error>;
    /// Deletes a topic: the controller has it no more as soon as it can, brokers and clients learn of it in their
    /// own time.
    fn delete_topic(&mut self, _topic: &Topic) -> Result<(), Error> {
        Err(Error::unsupported(Capability::DeleteTopics))
    }
    /// Gives a topic so many partitions in all.
    fn create_partitions(&mut self, _topic: &Topic, _count: u32) -> Result<(), Error> {
        Err(Error::unsupported(Capability::AddPartitions))
    }
    /// Changes settings of a topic, by the broker's own names.
    fn alter_topic(&mut self, _topic: &Topic, _config: &BTreeMap<String, String>) -> Result<(), Error> {
        Err(Error::unsupported(Capability::AlterTopics))
    }
    /// Deletes a unit's records below a position, or all that can be read, at its leader; where it begins then.
    fn delete_records(&mut self, _unit: &Unit, _upto: Option<Position>) -> Result<Position, Error> {
        Err(Error::unsupported(Capability::DeleteRecords))
    }
    /// The true state of a topic's units.
    fn describe(&self, topic: &Topic) -> Result<Vec<TopicState>, Error>;
    /// The first readable position and the one behind the last, at the unit's leader.
    fn bounds(&self, unit: &Unit) -> Result<(Position, Position), Error>;
    /// The position behind the last record that no open transaction holds back, at the unit's leader; `None` on a bus
    /// without transactions.
    fn stable(&self, _unit: &Unit) -> Result<Option<Position>, Error> {
        Ok(None)
    }
    /// Where a group goes on, at its coordinator.
    fn committed(&self, group: &str, unit: &Unit) -> Result<Option<Position>, Error>;
    /// The nodes that a role means now, as kernel nodes; clients excepted. Empty if nobody has it.
    fn resolve(&self, role: &Role) -> Vec<NodeId>;
}
