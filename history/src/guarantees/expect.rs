//! What a scenario demands, in the words of scenario files.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How often each acknowledged record must be processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub enum Delivery {
    /// Once or more: nothing acknowledged is lost, in the log or by a consumer.
    AtLeastOnce,
    /// Once or never: nothing is processed twice.
    AtMostOnce,
    /// Once: both.
    ExactlyOnce,
}

/// What the log must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub enum Log {
    /// Each record at one place only.
    ExactlyOnce,
}

/// In which order records must come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub enum Order {
    /// Records of one key in the order in which they were sent.
    PerKey,
}

/// What the dead-letter topic must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub enum Dlq {
    /// All the poison and nothing else.
    ExactlyThePoison,
}

/// What a scenario demands beyond the configuration's promises. Fields that are `None` demand nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub struct Expect {
    /// How often each acknowledged record is processed.
    pub delivery: Option<Delivery>,
    /// What the log holds.
    pub log: Option<Log>,
    /// In which order records come.
    pub order: Option<Order>,
    /// What the dead-letter topic holds.
    pub dlq: Option<Dlq>,
    /// How long, in nanoseconds, the worst unit may be unavailable: less than this.
    #[serde(with = "crate::serde_time::span")]
    #[cfg_attr(any(test, feature = "schema"), schemars(with = "Option<u64>"))]
    pub unavailable: Option<Duration>,
    /// How long, in nanoseconds, after everything is healed a client with work to do may stand still: less than this.
    #[serde(with = "crate::serde_time::span", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(any(test, feature = "schema"), schemars(with = "Option<u64>"))]
    pub progress: Option<Duration>,
    /// How long, in nanoseconds, a reader may be behind: less than this.
    #[serde(with = "crate::serde_time::span", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(any(test, feature = "schema"), schemars(with = "Option<u64>"))]
    pub lag: Option<Duration>,
    /// How many rebalances without a reason there may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spurious_rebalances: Option<u64>,
}

impl Expect {
    /// Whether nothing acknowledged may be lost.
    #[must_use]
    pub fn at_least_once(&self) -> bool {
        matches!(self.delivery, Some(Delivery::AtLeastOnce | Delivery::ExactlyOnce))
    }

    /// Whether nothing may be processed twice.
    #[must_use]
    pub fn at_most_once(&self) -> bool {
        matches!(self.delivery, Some(Delivery::AtMostOnce | Delivery::ExactlyOnce))
    }
}
