//! What must hold, beyond what the configuration promises by itself.

use super::scalar::Bound;
use serde::Deserialize;

/// What must hold. What is left out is judged by what the configuration promises.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// How often an acknowledged record is processed.
    pub delivery: Option<Delivery>,
    /// How often a record stands in the log.
    pub log: Option<Log>,
    /// Within what records keep the order in which their producer sent them.
    pub order: Option<Order>,
    /// What the dead-letter topic holds at the end.
    pub dlq: Option<Dlq>,
    /// For how long a unit may take no records: from a missed intended send to the next ack, on the worst unit.
    pub unavailable: Option<Bound>,
}

/// How often an acknowledged record is processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// Never twice; maybe never.
    AtMostOnce,
    /// Never not; maybe twice.
    AtLeastOnce,
    /// Once.
    ExactlyOnce,
}

/// How often a record stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Log {
    /// At least once if it was acknowledged.
    AtLeastOnce,
    /// Once if it was acknowledged, and never twice.
    ExactlyOnce,
}

/// Within what records keep the order in which their producer sent them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Within nothing.
    None,
    /// Within one key.
    PerKey,
}

/// What the dead-letter topic holds at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Dlq {
    /// Every acknowledged poison record, and nothing that was processed.
    ExactlyThePoison,
    /// Nothing.
    Empty,
}
