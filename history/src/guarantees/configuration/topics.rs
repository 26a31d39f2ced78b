//! What topics keep, and what groups make of them.

use super::is_default;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a topic throws away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub enum Cleanup {
    /// Nothing during a run.
    #[default]
    Keep,
    /// Records older than its retention.
    Delete,
    /// All but the latest record of each key.
    Compact,
    /// Both.
    CompactAndDelete,
}

/// How long a topic keeps its records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub struct TopicFacts {
    /// What it throws away.
    pub cleanup: Cleanup,
    /// For how many nanoseconds a record stays at least.
    #[serde(with = "crate::serde_time::span", skip_serializing_if = "is_default")]
    #[cfg_attr(any(test, feature = "schema"), schemars(with = "Option<u64>"))]
    pub retention: Option<Duration>,
    /// How many nanoseconds longer than that a record may stay.
    #[serde(with = "crate::serde_time::span", skip_serializing_if = "is_default")]
    #[cfg_attr(any(test, feature = "schema"), schemars(with = "Option<u64>"))]
    pub retention_slack: Option<Duration>,
    /// How many nanoseconds a message lives that says nothing else.
    #[serde(with = "crate::serde_time::span", skip_serializing_if = "is_default")]
    #[cfg_attr(any(test, feature = "schema"), schemars(with = "Option<u64>"))]
    pub ttl: Option<Duration>,
}

impl TopicFacts {
    /// Whether older records of a key go when a newer one comes.
    #[must_use]
    pub fn compacts(&self) -> bool {
        matches!(self.cleanup, Cleanup::Compact | Cleanup::CompactAndDelete)
    }

    /// Whether records go with age.
    #[must_use]
    pub fn deletes(&self) -> bool {
        matches!(self.cleanup, Cleanup::Delete | Cleanup::CompactAndDelete)
    }
}

/// A group that reads one topic and writes what it computes to another, in transactions: exactly once. Each output
/// names its input as its `cause`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub struct Pipeline {
    /// The group that reads.
    pub group: String,
    /// The topic it reads.
    pub from: String,
    /// The topic it writes.
    pub to: String,
}
