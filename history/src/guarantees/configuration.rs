//! How producers, consumers and topics are set up: what the bus itself promises follows from it.

mod topics;

pub use topics::{Cleanup, Pipeline, TopicFacts};

use super::Delivery;
use serde::{Deserialize, Serialize};
use squall_bus::Acks;
use std::{collections::BTreeMap, time::Duration};

/// When a consumer commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub enum CommitPolicy {
    /// When the record is processed or dead-lettered: at least once.
    #[default]
    AfterProcessing,
    /// Before the handler sees it: at most once.
    BeforeProcessing,
    /// The client library does, on a timer, whatever the handler does. Such commits are not in the history.
    Auto,
}

/// How consumers come to their units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub enum Reading {
    /// The group shares them out: rebalances redeliver.
    #[default]
    Subscribe,
    /// Each consumer has its own.
    Assign,
    /// Every member reads from every unit, and each record is acknowledged on its own: nobody owns a unit.
    Share,
}

/// When a broker's disk has what it acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub enum Fsync {
    /// Some time later: a loss of power forgets acknowledged records.
    #[default]
    Lazy,
    /// Before the ack.
    Always,
}

/// Which deliveries an ack settles, on a bus that wants acks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub enum AckMode {
    /// The one that it names.
    #[default]
    Each,
    /// That one and all before it.
    AllBefore,
    /// None is wanted: a delivery is as good as an ack.
    None,
}

/// What readers of transactional records are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub enum Isolation {
    /// Whatever is in the log, also what is aborted later.
    #[default]
    ReadUncommitted,
    /// Only what is committed.
    ReadCommitted,
}

/// Which order the transactions of a run promise beyond what they read and wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub enum TxnOrder {
    /// None.
    #[default]
    Any,
    /// Each process' own.
    Process,
    /// That of real time, and with it each process' own.
    Realtime,
}

/// The set-up of a run. The faults that occurred are not in here: they are in the history. What is left out
/// promises nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub struct Configuration {
    /// What an ack means: `0`, `1` or `all`.
    #[serde(with = "acks")]
    #[cfg_attr(any(test, feature = "schema"), schemars(with = "acks::Words"))]
    pub acks: Acks,
    /// Retries do not duplicate within one producer session.
    pub idempotent: bool,
    /// Requests in flight at most; `None` is the client library's default, which is more than one.
    pub max_in_flight: Option<u32>,
    /// Retries of a request at most; `None` is the client library's default, which is more than none.
    pub retries: Option<u32>,
    /// Copies of each unit.
    pub replicas: u32,
    /// Copies that an ack from all needs at least.
    pub min_insync: u32,
    /// A replica that is not in sync may become the leader.
    pub unclean_election: bool,
    /// When a broker's disk has what it acknowledged.
    pub fsync: Fsync,
    /// When consumers commit.
    pub commit: CommitPolicy,
    /// How consumers come to their units.
    pub reading: Reading,
    /// The dead-letter topic of the consumers, if they have one.
    pub dlq: Option<String>,
    /// The consumer groups whose handlers write down what they do. One that is handed nothing makes a run
    /// `unknown`, and every record of its topics must be processed.
    pub groups: Vec<String>,
    /// Those of them that have no dead-letter topic: what they give up they skip.
    pub skipping: Vec<String>,
    /// How many nodes may fail at once; `None` if the contract sets no limit.
    #[serde(skip_serializing_if = "is_default")]
    pub faults_tolerated: Option<u32>,
    /// How far, in nanoseconds, clocks of clients and bus may be from the history's; `None` if nobody knows, and then
    /// nothing that needs a clock is judged.
    #[serde(with = "crate::serde_time::span", skip_serializing_if = "is_default")]
    #[cfg_attr(any(test, feature = "schema"), schemars(with = "Option<u64>"))]
    pub clock_bound: Option<Duration>,
    /// What readers of transactional records are shown.
    #[serde(skip_serializing_if = "is_default")]
    pub isolation: Isolation,
    /// Which order transactions promise beyond what they read and wrote.
    #[serde(skip_serializing_if = "is_default")]
    pub txn_order: TxnOrder,
    /// The writes of two transactions do not interleave.
    #[serde(skip_serializing_if = "is_default")]
    pub isolated_writes: bool,
    /// A read is handed the whole unit from its beginning: a list, not a log.
    #[serde(skip_serializing_if = "is_default")]
    pub whole_reads: bool,
    /// After how many nanoseconds the bus aborts a transaction that does not end.
    #[serde(with = "crate::serde_time::span", skip_serializing_if = "is_default")]
    #[cfg_attr(any(test, feature = "schema"), schemars(with = "Option<u64>"))]
    pub txn_timeout: Option<Duration>,
    /// Groups that read, compute and write exactly once.
    #[serde(skip_serializing_if = "is_default")]
    pub pipelines: Vec<Pipeline>,
    /// Topics whose records' amounts add up to nothing in each transaction.
    #[serde(skip_serializing_if = "is_default")]
    pub conserved: Vec<String>,
    /// What a group commits is what it reads next, whoever asks and whenever.
    #[serde(skip_serializing_if = "is_default")]
    pub linearizable_commits: bool,
    /// A read sees everything that was acknowledged before it began.
    #[serde(skip_serializing_if = "is_default")]
    pub linearizable_reads: bool,
    /// Which deliveries an ack settles.
    #[serde(skip_serializing_if = "is_default")]
    pub ack_mode: AckMode,
    /// A message has one holder at a time: a work queue.
    #[serde(skip_serializing_if = "is_default")]
    pub exclusive: bool,
    /// How many nanoseconds a delivery waits for its ack before the message comes again.
    #[serde(with = "crate::serde_time::span", skip_serializing_if = "is_default")]
    #[cfg_attr(any(test, feature = "schema"), schemars(with = "Option<u64>"))]
    pub ack_wait: Option<Duration>,
    /// How often a message is delivered at most.
    #[serde(skip_serializing_if = "is_default")]
    pub max_deliver: Option<u32>,
    /// A change of the leader may add one delivery to `max_deliver`.
    #[serde(skip_serializing_if = "is_default")]
    pub extra_delivery_at_leader_change: bool,
    /// How many deliveries of a group wait for their acks at most.
    #[serde(skip_serializing_if = "is_default")]
    pub max_ack_pending: Option<u32>,
    /// For how many nanoseconds a message id is known: a repeat within it is not stored again.
    #[serde(with = "crate::serde_time::span", skip_serializing_if = "is_default")]
    #[cfg_attr(any(test, feature = "schema"), schemars(with = "Option<u64>"))]
    pub dedup_window: Option<Duration>,
    /// How often the bus itself puts an exhausted message into the dead-letter topic, if it does.
    #[serde(skip_serializing_if = "is_default")]
    pub dead_lettering: Option<Delivery>,
    /// How long each topic keeps its records; a topic that is left out keeps them.
    #[serde(skip_serializing_if = "is_default")]
    pub topics: BTreeMap<String, TopicFacts>,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            idempotent: false,
            max_in_flight: None,
            retries: None,
            replicas: 3,
            min_insync: 2,
            unclean_election: false,
            fsync: Fsync::Lazy,
            commit: CommitPolicy::AfterProcessing,
            reading: Reading::Subscribe,
            dlq: None,
            groups: Vec::new(),
            skipping: Vec::new(),
            faults_tolerated: None,
            clock_bound: None,
            isolation: Isolation::ReadUncommitted,
            txn_order: TxnOrder::Any,
            isolated_writes: false,
            whole_reads: false,
            txn_timeout: None,
            pipelines: Vec::new(),
            conserved: Vec::new(),
            linearizable_commits: false,
            linearizable_reads: false,
            ack_mode: AckMode::Each,
            exclusive: false,
            ack_wait: None,
            max_deliver: None,
            extra_delivery_at_leader_change: false,
            max_ack_pending: None,
            dedup_window: None,
            dead_lettering: None,
            topics: BTreeMap::new(),
        }
    }
}

impl Configuration {
    /// Whether one producer session's records must stand in the order in which they were sent.
    #[must_use]
    pub fn keeps_send_order(&self) -> bool {
        self.idempotent || self.max_in_flight == Some(1)
    }

    /// What a topic keeps, and how long.
    #[must_use]
    pub fn topic(&self, name: &str) -> TopicFacts {
        self.topics.get(name).copied().unwrap_or_default()
    }

    /// Whether readers are promised committed records only.
    #[must_use]
    pub fn reads_committed(&self) -> bool {
        self.isolation == Isolation::ReadCommitted
    }
}

/// Whether a field says no more than its absence.
fn is_default<T: Default + PartialEq>(field: &T) -> bool {
    *field == T::default()
}

/// `acks` in the words of the brokers' own docs.
mod acks {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use squall_bus::Acks;
    use std::borrow::Cow;

    /// For the schema alone.
    #[cfg(any(test, feature = "schema"))]
    #[derive(schemars::JsonSchema)]
    #[schemars(inline)]
    #[expect(dead_code, reason = "names the words for the schema and is never constructed")]
    pub(super) enum Words {
        #[serde(rename = "0")]
        None,
        #[serde(rename = "1")]
        One,
        #[serde(rename = "all")]
        All,
    }

    pub(super) fn serialize<S: Serializer>(acks: &Acks, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(acks)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Acks, D::Error> {
        match &*Cow::<'de, str>::deserialize(deserializer)? {
            "0" => Ok(Acks::None),
            "1" => Ok(Acks::One),
            "all" => Ok(Acks::All),
            other => Err(D::Error::custom(format!("`{other}` is not a kind of acks; it is 0, 1 or all"))),
        }
    }
}
