//! What must hold, beyond what the configuration promises by itself.

use super::scalar::{Bound, MarkName};
use serde::{Deserialize, Serialize};
use squall_history::guarantees::{self, Delivery, Dlq, Log, Order};
use std::time::Duration;

/// What must hold. What is left out is judged by what the configuration promises.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// How often an acknowledged record is processed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivery>,
    /// How often a record stands in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<Log>,
    /// Within what records keep the order in which their producer sent them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// What the dead-letter topic holds at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dlq: Option<Dlq>,
    /// For how long a unit may take no records: from a missed intended send to the next ack, on the worst unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<Bound>,
    /// Marks that a sweep over many seeds must reach, each in one seed at least; else it has not tried enough and is
    /// `unknown`. Those that the bus of the target cannot reach are not asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<MarkName>,
}

impl Expect {
    /// The same, as the guarantees take it.
    #[must_use]
    pub fn demands(&self) -> guarantees::Expect {
        guarantees::Expect {
            delivery: self.delivery,
            log: self.log,
            order: self.order,
            dlq: self.dlq,
            unavailable: self.unavailable.map(below),
            ..guarantees::Expect::default()
        }
    }
}

/// The duration that a bound stays below: an inclusive limit is the next nanosecond.
fn below(bound: Bound) -> Duration {
    bound.limit().get() + Duration::from_nanos(u64::from(bound.inclusive()))
}
