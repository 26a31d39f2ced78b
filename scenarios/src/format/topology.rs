//! The cluster and its topics.

use super::scalar::{Count, Setting};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The cluster under test and the topics on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// How many nodes the cluster has. 3 unless said.
    #[serde(default = "three")]
    pub nodes: Count,
    /// When a node's disk has what the node acknowledged. `lazy` unless said: what was not synced yet goes with the
    /// power.
    #[serde(default)]
    pub fsync: Fsync,
    /// What the brokers of a bus are, by the name of the bus: `kafka: { profile: "4.1" }`. A target of another bus passes it
    /// over.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub brokers: BTreeMap<String, Brokers>,
    /// A bug that the model of a bus is to have, by its id in `squall bugs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bug: Option<String>,
    /// The topics by name. A dead-letter topic `<topic>.dlq` of a topic that stands here need not be listed.
    pub topics: BTreeMap<String, TopicShape>,
}

/// What the brokers of one bus are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Brokers {
    /// The version of the bus whose rules a simulated cluster follows, and that a real one must have. The newest that
    /// Squall knows unless said. `squall list --settings` has them all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<Setting>,
    /// The brokers' configuration, by the bus's own names: `broker.session.timeout.ms: 6000`. `squall list --settings`
    /// has them all, with their defaults.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, Setting>,
}

/// When a node's disk has what the node acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Fsync {
    /// Some time later, as the bus does by itself.
    #[default]
    Lazy,
    /// Before the ack.
    Always,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TopicShape {
    /// How many partitions.
    pub partitions: Count,
    /// How many copies of each partition; at most one on each node. As many as there are nodes, but at most
    /// 3, unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<Count>,
    /// How many copies must be in sync for an ack from all. A majority of the replicas unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_insync: Option<Count>,
    /// Further settings of the topic, by the broker's own names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, Setting>,
}

impl TopicShape {
    /// The number of copies on a cluster of `nodes`.
    #[must_use]
    pub fn replicas_on(&self, nodes: Count) -> u32 {
        self.replicas.map_or(nodes.get().min(3), Count::get)
    }

    /// The number of copies an ack from all needs, on a cluster of `nodes`.
    #[must_use]
    pub fn min_insync_on(&self, nodes: Count) -> u32 {
        self.min_insync.map_or(self.replicas_on(nodes) / 2 + 1, Count::get)
    }
}

fn three() -> Count {
    Count::new(3)
}
