//! Receiving: a consumer's configuration, its handle, and what it learns about its group.

use crate::{Capability, ClientProfile, Error, ErrorClass, Outcome, Pending, Position, Record, Topic, Unit};
use std::{
    fmt,
    future::poll_fn,
    task::{Context, Poll},
    time::Duration,
};

/// What a consumer reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subscription {
    /// Topics, shared with the other members of the group.
    Group {
        /// The group's name.
        group: String,
        /// The topics.
        topics: Vec<Topic>,
    },
    /// Exactly these units, each from the given place or else its start. No group, no commits.
    Assign(Vec<(Unit, Option<Position>)>),
}

/// Where to start when the group has no position, or an impossible one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ResetPolicy {
    /// At the oldest record.
    #[default]
    Earliest,
    /// At the end.
    Latest,
}

/// Which records of transactions a consumer sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isolation {
    /// All of them, as soon as they are replicated.
    ReadUncommitted,
    /// Those of committed transactions, and nothing behind an open one.
    ReadCommitted,
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReadUncommitted => "read-uncommitted",
            Self::ReadCommitted => "read-committed",
        })
    }
}

/// How the units of a group are dealt to its members, by the name that Kafka's clients use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Assignor {
    /// `range`: contiguous ranges of each topic.
    Range,
    /// `roundrobin`: one after the other over all topics.
    RoundRobin,
    /// `sticky`: even shares that change as little as possible; everybody hands everything back in between.
    Sticky,
    /// `cooperative-sticky`: the same, but only what moves is handed back.
    CooperativeSticky,
    /// `uniform`: even shares that change as little as possible, dealt by the coordinator ([`GroupProtocol::Consumer`]).
    Uniform,
}

impl Assignor {
    /// Whether only what moves is handed back in a rebalance.
    #[must_use]
    pub const fn is_cooperative(self) -> bool {
        matches!(self, Self::CooperativeSticky)
    }

    /// Kafka's name of it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
            Self::Sticky => "sticky",
            Self::CooperativeSticky => "cooperative-sticky",
            Self::Uniform => "uniform",
        }
    }
}

/// How the members of a group and its coordinator agree on who reads what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum GroupProtocol {
    /// A member deals, in a round that all take part in.
    #[default]
    Classic,
    /// The coordinator deals and moves each unit by itself (KIP-848).
    Consumer,
}

/// How a consumer behaves. Fields that are `None` take the client library's own default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerConfig {
    /// The client's name: `consumer-1`. Shown to the broker as the client id.
    pub client: String,
    /// Which client library's habits, where there is a choice.
    pub profile: ClientProfile,
    /// What it reads.
    pub subscription: Subscription,
    /// Where it starts without a position.
    pub reset: ResetPolicy,
    /// Commit on its own, so often; `None` leaves committing to the caller.
    pub auto_commit: Option<Duration>,
    /// How long the group waits for a sign of life.
    pub session_timeout: Option<Duration>,
    /// How often the client gives one.
    pub heartbeat_interval: Option<Duration>,
    /// How long the caller may go without asking for a record.
    pub max_poll_interval: Option<Duration>,
    /// Which records of transactions it sees.
    pub isolation: Option<Isolation>,
    /// The assignors that this member supports, best first; none for the library's own. Needs
    /// [`Capability::GroupSettings`], like the next two.
    pub assignors: Vec<Assignor>,
    /// How the group agrees on who reads what.
    pub protocol: GroupProtocol,
    /// The member's name within the group, the same again after a restart (`group.instance.id`): a static member,
    /// which comes back within its session to the units it had.
    pub instance: Option<String>,
    /// How many records the client fetches ahead.
    pub prefetch: u32,
    /// A unit's records are to be processed in their order, redelivered ones too. Buses whose units have one
    /// reader at a time do so anyway; one that acknowledges each record then has one record of a unit
    /// unacknowledged at a time in the whole group.
    pub ordered: bool,
    /// An ack, on a bus that acknowledges each record, is done when the bus has confirmed it. Without, it is
    /// done when it is on its way, and its outcome is unknown.
    pub confirm_acks: bool,
    /// How long the bus waits for the ack of a delivery before it delivers the record again, to anybody of the group.
    /// Needs [`Capability::Redelivery`]; the members of a group must agree.
    pub ack_wait: Option<Duration>,
    /// How often the bus delivers a record of the group, the first delivery included. Then it gives the record up, and
    /// one member of the group is told so, if the bus' word reaches it: [`ConsumerEvent::Exhausted`]. As often as it
    /// takes unless said. Needs [`Capability::Redelivery`]; the members of a group
    /// must agree.
    pub max_deliver: Option<u32>,
    /// How many messages the client library keeps for a caller who is not there to take them; what comes beyond that
    /// it drops, says so ([`SLOW_CONSUMER`]), and the bus delivers it again when no ack comes. For libraries that do;
    /// needs [`Capability::Redelivery`].
    pub buffer: Option<u32>,
    /// The node, from 1, in whose rack the consumer is, where brokers let consumers read from a copy that is near
    /// (`client.rack`).
    pub rack: Option<u32>,
}

/// The code of the error that a consumer reports when its client library dropped a message for want of room.
pub const SLOW_CONSUMER: &str = "SLOW_CONSUMER";

impl ConsumerConfig {
    /// Checks, for a bus that lacks [`Capability::Redelivery`], that nothing here asks for it.
    ///
    /// # Errors
    /// Of class `Unsupported` when something does.
    pub fn without_redelivery(&self) -> Result<(), Error> {
        if self.ack_wait.is_some() || self.max_deliver.is_some() || self.buffer.is_some() {
            return Err(Error::unsupported(Capability::Redelivery));
        }
        Ok(())
    }

    /// Checks, for a bus that lacks [`Capability::GroupSettings`], that nothing here asks for it.
    ///
    /// # Errors
    /// Of class `Unsupported` when something does.
    pub fn without_group_settings(&self) -> Result<(), Error> {
        if !self.assignors.is_empty() || self.protocol != GroupProtocol::Classic || self.instance.is_some() {
            return Err(Error::unsupported(Capability::GroupSettings));
        }
        Ok(())
    }

    /// A member of `group` on `topics` that commits by hand and starts at the oldest record.
    #[must_use]
    pub fn group(client: &str, group: &str, topics: &[Topic]) -> Self {
        Self::new(client, Subscription::Group { group: group.to_owned(), topics: topics.to_vec() })
    }

    /// A reader of exactly these units.
    #[must_use]
    pub fn assign(client: &str, units: Vec<(Unit, Option<Position>)>) -> Self {
        Self::new(client, Subscription::Assign(units))
    }

    fn new(client: &str, subscription: Subscription) -> Self {
        Self {
            client: client.to_owned(),
            profile: ClientProfile::Native,
            subscription,
            reset: ResetPolicy::Earliest,
            auto_commit: None,
            session_timeout: None,
            heartbeat_interval: None,
            max_poll_interval: None,
            isolation: None,
            assignors: Vec::new(),
            protocol: GroupProtocol::Classic,
            instance: None,
            prefetch: 500,
            ordered: true,
            confirm_acks: true,
            ack_wait: None,
            max_deliver: None,
            buffer: None,
            rack: None,
        }
    }
}

/// A record as it reaches a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The record; its `partition` is set.
    pub record: Record,
    /// The unit it came from.
    pub unit: Unit,
    /// Its place there.
    pub position: Position,
    /// Which delivery of this record it is, from 1, where the bus counts; not comparable across buses.
    pub attempt: Option<u32>,
    /// Names this delivery to `ack` and its kin.
    pub tag: u64,
}

impl Delivery {
    /// What to write down where an error of the client stands: that the bus gave this record up
    /// ([`ConsumerEvent::Exhausted`]).
    #[must_use]
    pub fn exhausted(&self) -> Error {
        let after = self.attempt.map_or(String::new(), |attempt| format!(" after {attempt} deliveries"));
        let message = format!("the bus gave up the record {} of {}{after}", self.position, self.unit);
        Error::new(ErrorClass::Refused, "EXHAUSTED", message)
    }
}

/// What a consumer learns besides records. In order with the records: a unit's records come after its
/// `Assigned` and never after its `Revoked` or `Lost`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsumerEvent {
    /// These units are now its own, and reading starts at these places where they are known.
    Assigned(Vec<(Unit, Option<Position>)>),
    /// These are handed back in good order: a last commit is still possible before the next event is taken.
    Revoked(Vec<Unit>),
    /// These are gone already: somebody else may own them.
    Lost(Vec<Unit>),
    /// The position was impossible or missing, and was reset.
    Reset {
        /// The unit.
        unit: Unit,
        /// The position it had, if any.
        from: Option<Position>,
        /// Where it goes on.
        to: Position,
    },
    /// The bus delivered this record of the group as often as it may, without an ack, and gave it up: it will not come
    /// again. The record itself is in here; the delivery takes no ack. At most one member is told, and nobody if the
    /// bus' word is lost on the way.
    Exhausted(Delivery),
    /// An error that the client reports but survives.
    Error(Error),
}

/// A consumer's handle. One task reads; others may ack and commit.
pub trait Consumer: Send + Sync + 'static {
    /// The next record. Prefer [`next`](#method.next). An error of class `Fatal` ends the consumer.
    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Result<Delivery, Error>>;
    /// The next event. Prefer [`event`](#method.event).
    fn poll_event(&self, cx: &mut Context<'_>) -> Poll<ConsumerEvent>;
    /// Done with this delivery. On a bus whose acks are prefixes this commits behind it. When the outcome is not ok,
    /// the record may be delivered again.
    fn ack(&self, delivery: &Delivery) -> Pending<Outcome<()>>;
    /// Deliver it again, after a delay. Refused without [`Capability::Redelivery`], like the two below.
    fn nack(&self, _delivery: &Delivery, _delay: Duration) -> Pending<Outcome<()>> {
        without_redelivery()
    }
    /// Never deliver it again.
    fn term(&self, _delivery: &Delivery, _reason: &str) -> Pending<Outcome<()>> {
        without_redelivery()
    }
    /// Still working on it.
    fn extend(&self, _delivery: &Delivery) -> Pending<Outcome<()>> {
        without_redelivery()
    }
    /// The group goes on at these places: the position of the next record to read, per unit.
    fn commit(&self, positions: Vec<(Unit, Position)>) -> Pending<Outcome<()>>;
    /// Reads on at this place.
    fn seek(&self, unit: &Unit, position: Position) -> Result<(), Error>;
    /// Leaves the group in good order. Dropping the last handle without it is a crash.
    fn close(&self) -> Pending<()>;
}

fn without_redelivery() -> Pending<Outcome<()>> {
    Pending::done(Outcome::Fail(Error::unsupported(Capability::Redelivery)))
}

impl dyn Consumer {
    /// The next record.
    pub async fn next(&self) -> Result<Delivery, Error> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The next event: assigned, revoked, lost, reset, error.
    pub async fn event(&self) -> ConsumerEvent {
        poll_fn(|cx| self.poll_event(cx)).await
    }
}
