//! What administrators change meanwhile: topics grow, come again, get other settings, lose records.
//!
//! A change is a struct with one optional field for each verb, exactly one of them set, as a fault is: an unknown verb
//! is an unknown key, with its place and a suggestion. A change is no fault: nothing is broken, and nothing is healed.

use super::scalar::{Count, PeriodRange, Setting};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ChangeSpec {
    /// When, since the workload began; of a range the seed draws.
    pub at: PeriodRange,
    /// A topic gets more partitions: records of a key may go to another one from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grow: Option<GrowArgs>,
    /// A topic is deleted with its records and created again, as it was at first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recreate: Option<String>,
    /// All records that a topic has by then are deleted; the topic stays.
    #[serde(default, rename = "delete-records", skip_serializing_if = "Option::is_none")]
    pub delete_records: Option<String>,
    /// A topic gets other settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<SetArgs>,
}

/// How far a topic grows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct GrowArgs {
    /// Which topic.
    pub topic: String,
    /// How many partitions it has then, in all.
    pub partitions: Count,
}

/// Which settings change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SetArgs {
    /// Of which topic.
    pub topic: String,
    /// The settings, by the broker's own names.
    pub config: BTreeMap<String, Setting>,
}

/// Every verb, in the order of the format.
pub(crate) const CHANGES: [&str; 4] = ["grow", "recreate", "delete-records", "set"];

/// What changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Changes<'a> {
    Grow(&'a GrowArgs),
    Recreate(&'a str),
    DeleteRecords(&'a str),
    Set(&'a SetArgs),
}

impl Changes<'_> {
    pub(crate) fn verb(&self) -> &'static str {
        match self {
            Self::Grow(_) => "grow",
            Self::Recreate(_) => "recreate",
            Self::DeleteRecords(_) => "delete-records",
            Self::Set(_) => "set",
        }
    }

    pub(crate) fn topic(&self) -> &str {
        match self {
            Self::Grow(args) => &args.topic,
            Self::Set(args) => &args.topic,
            Self::Recreate(topic) | Self::DeleteRecords(topic) => topic,
        }
    }
}

impl ChangeSpec {
    /// Every verb that is set. Checked scenarios have exactly one.
    pub(crate) fn verbs(&self) -> Vec<Changes<'_>> {
        let mut verbs: Vec<Changes<'_>> = self.grow.iter().map(Changes::Grow).collect();
        verbs.extend(self.recreate.iter().map(|topic| Changes::Recreate(topic)));
        verbs.extend(self.delete_records.iter().map(|topic| Changes::DeleteRecords(topic)));
        verbs.extend(self.set.iter().map(Changes::Set));
        verbs
    }
}
