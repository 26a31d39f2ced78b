//! How producers, consumers and topics are set up: what the bus itself promises follows from it.

use serde::{Deserialize, Serialize};
use squall_bus::Acks;

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

/// The set-up of a run. The faults that occurred are not in here: they are in the history.
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
        }
    }
}

impl Configuration {
    /// Whether one producer session's records must stand in the order in which they were sent.
    #[must_use]
    pub fn keeps_send_order(&self) -> bool {
        self.idempotent || self.max_in_flight == Some(1) || self.retries == Some(0)
    }
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
