//! Run events: the one stream that every output (terminal, report, JSON, JUnit) is a fold over.
//!
//! One run is `Started`, `Plan`, any number of `Progress`, `FaultResolved` and `FaultHealed`, then each
//! `Anomaly`, the `Verdict` and `Finished`. A run that cannot start goes from `Started` (or `Plan`) straight to
//! its `Verdict`. Plain data: it can be stored and folded again years later. Times are nanoseconds since the run
//! began: virtual in the simulator, real elsewhere.

use crate::{Anomaly, Report, Verdict, serde_time};
use serde::{Deserialize, Serialize};
use squall_bus::Time;
use std::{collections::BTreeMap, time::Duration};

/// Something happened to a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RunEvent {
    /// A run begins.
    Started(Started),
    /// Its plan is made: what will be sent and broken.
    Plan(Plan),
    /// How far it is.
    Progress(Progress),
    /// A fault struck: its role is resolved.
    FaultResolved(FaultResolved),
    /// A fault was healed; recovery takes its own time.
    FaultHealed(FaultHealed),
    /// The checks found something.
    Anomaly(Anomaly),
    /// The run is judged.
    Verdict(Judged),
    /// The run is over.
    Finished(Finished),
}

/// The head of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The scenario's name.
    pub scenario: String,
    /// What the scenario is about, in a sentence; may be empty.
    pub about: String,
    /// The target: `sim:kafka`.
    pub target: String,
    /// The seed.
    pub seed: u64,
    /// The command that runs exactly this again.
    pub reproduce: String,
    /// Every option after defaults and overrides, by its path: `workload.producers.acks` is `all`.
    pub options: BTreeMap<String, String>,
    /// What the expectations ask beyond the configuration's promises, in sentences.
    pub warnings: Vec<String>,
}

/// What a seed means for a scenario.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// How many records will be sent.
    pub operations: u64,
    /// How long the workload lasts.
    #[serde(with = "serde_time")]
    pub lasts: Time,
    /// The faults, in the order of their times.
    pub faults: Vec<PlannedFault>,
}

/// A fault of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFault {
    /// Its number in the plan.
    pub id: u32,
    /// What breaks: `kill`.
    pub verb: String,
    /// What it is aimed at: `leader(orders/0)`.
    pub role: String,
    /// When, since the workload began.
    #[serde(with = "serde_time")]
    pub at: Time,
    /// For how long; zero for faults that are over at once.
    #[serde(with = "serde_time")]
    pub lasts: Time,
}

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The target is being made ready.
    Preparing,
    /// Records are sent and faults strike.
    Working,
    /// Everything is healed, and the target recovers.
    Recovering,
    /// Consumers catch up, and the whole log is read.
    Draining,
    /// The history is judged.
    Judging,
}

/// How far a run is. Counts are totals since the run began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The run's own time.
    #[serde(with = "serde_time")]
    pub time: Time,
    /// Real time since the run began, in milliseconds; the same as `time` on real targets.
    pub real_ms: u64,
    /// What it is doing.
    pub stage: Stage,
    /// Sends begun.
    pub sent: u64,
    /// Sends acknowledged.
    pub acked: u64,
    /// Sends that definitely failed.
    pub failed: u64,
    /// Sends whose outcome is unknown.
    pub unknown: u64,
    /// Records handed to the workload's consumers, redeliveries included.
    pub delivered: u64,
    /// Latency from the intended send to the ack, of the acks since the last progress; `None` without any.
    pub latency: Option<Latency>,
}

/// Quantiles of a latency, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// How many were measured.
    pub count: u64,
    /// The median.
    pub p50: u64,
    /// 95 of 100 are at most this.
    pub p95: u64,
    /// 99 of 100 are at most this.
    pub p99: u64,
    /// 999 of 1,000 are at most this.
    pub p999: u64,
    /// The longest.
    pub max: u64,
}

/// A fault struck.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultResolved {
    /// Its number in the plan.
    pub id: u32,
    /// What broke.
    pub verb: String,
    /// What it was aimed at.
    pub role: String,
    /// What that meant at this moment.
    pub hit: Hit,
    /// When it was in force.
    #[serde(with = "serde_time")]
    pub time: Time,
}

/// What a role meant when a fault struck.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Hit {
    /// These nodes, from 1.
    Nodes(Vec<u32>),
    /// This client's process.
    Client(String),
    /// Nobody had the role: nothing was broken.
    Nobody,
}

/// A fault was healed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultHealed {
    /// Its number in the plan.
    pub id: u32,
    /// When the repair was under way.
    #[serde(with = "serde_time")]
    pub time: Time,
}

/// The judgement in a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// Why, in a lower-case sentence.
    pub reason: String,
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    /// The whole judgement, counts included.
    pub report: Report,
    /// The run's own time at its end.
    #[serde(with = "serde_time")]
    pub time: Time,
    /// Real time that the run took, in milliseconds.
    pub real_ms: u64,
    /// The hash of everything that happened, in hexadecimal; `None` on real targets.
    pub hash: Option<String>,
    /// Latency from the intended send to the ack over the whole run; `None` without acks.
    pub latency: Option<Latency>,
}

impl FaultHealed {
    /// How long after `struck` it was healed.
    #[must_use]
    pub fn after(&self, struck: &FaultResolved) -> Duration {
        self.time.since(struck.time)
    }
}
