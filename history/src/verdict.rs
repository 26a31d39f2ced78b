//! The verdict: judging a history, and how verdicts of several runs add up.
//!
//! [`judge`] runs every check, lets the guarantees rule on what was found, and says in this order: `invalid` when
//! something forbidden was found; `unknown` when there is nothing to judge (nothing acknowledged or nothing
//! delivered), when a finding is undecided, or when a final drain did not finish; else `valid`.

mod judging;
mod vacuous;

pub(crate) use judging::{conclude, forbidden_first};
pub use judging::{judge, judge_analysis, judge_without};
pub use vacuous::VACUOUS;

use crate::Anomaly;
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// The verdict on a run. Only `valid` is a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing forbidden was found, and the evidence is complete.
    Valid,
    /// A forbidden anomaly was found.
    Invalid,
    /// Nothing forbidden was found, but evidence is missing.
    Unknown,
    /// The target lacks a capability that the scenario needs.
    Unsupported,
    /// The harness itself could not do its work. Only the runner says so.
    Broken,
}

impl Verdict {
    /// The exit code of a run with this verdict.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Valid => 0,
            Self::Invalid => 1,
            Self::Unsupported => 2,
            Self::Unknown => 3,
            Self::Broken => 4,
        }
    }

    /// The word in reports.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Invalid => "invalid",
            Self::Unknown => "unknown",
            Self::Unsupported => "unsupported",
            Self::Broken => "broken",
        }
    }

    /// The worse of two, in the order broken, unsupported, invalid, unknown, valid.
    #[must_use]
    pub const fn worst(self, other: Self) -> Self {
        if self.badness() >= other.badness() { self } else { other }
    }

    const fn badness(self) -> u8 {
        match self {
            Self::Valid => 0,
            Self::Unknown => 1,
            Self::Invalid => 2,
            Self::Unsupported => 3,
            Self::Broken => 4,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What was counted in a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Sends begun by the workload's producers; those to the dead-letter topic are not among them.
    pub sent: u64,
    /// Of these, acknowledged.
    pub acked: u64,
    /// Of these, definitely failed.
    pub failed: u64,
    /// Of these, with an unknown outcome.
    pub unknown: u64,
    /// Records handed to the workload's consumers, redeliveries included.
    pub delivered: u64,
    /// Of these, to a group that had been given the record before.
    pub redelivered: u64,
    /// Records processed successfully, repeats included.
    pub handled: u64,
    /// Records that stand at more than one place of the log.
    pub duplicates: u64,
    /// Records that the plan or a handler called poison.
    pub poison: u64,
    /// Records of the workload that are in the dead-letter topic.
    pub dead_lettered: u64,
    /// Records that the final drain read.
    pub drained: u64,
    /// Faults that struck somebody.
    pub faults: u64,
    /// How long the worst unit was unavailable; `None` when no send had a schedule or no ack was asked for.
    #[serde(with = "crate::serde_time::span", rename = "unavailable_ns")]
    pub unavailable: Option<Duration>,
    /// The worst unit.
    pub worst_unit: Option<String>,
}

/// The judgement of a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The verdict.
    pub verdict: Verdict,
    /// Why, in a lower-case sentence.
    pub reason: String,
    /// Everything found, forbidden first.
    pub anomalies: Vec<Anomaly>,
    /// What was counted.
    pub counts: Counts,
}

impl Report {
    /// A report of a run that was not judged: the target is unsupported, or the harness broke.
    #[must_use]
    pub fn unjudged(verdict: Verdict, reason: impl Into<String>) -> Self {
        Self { verdict, reason: reason.into(), anomalies: Vec::new(), counts: Counts::default() }
    }
}
