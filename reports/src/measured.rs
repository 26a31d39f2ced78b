//! What a load run measured, as plain data. The runner copies it from its recorder, so that reports know
//! nothing of histograms. All spans are whole nanoseconds.

use serde::{Deserialize, Serialize};

/// Quantiles of one span. `None` means that this share of the records never arrived, or that there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Percentiles {
    /// How many records they speak of.
    pub count: u64,
    /// The median.
    pub p50: Option<u64>,
    /// p95.
    pub p95: Option<u64>,
    /// p99.
    pub p99: Option<u64>,
    /// p99.9.
    pub p999: Option<u64>,
    /// The longest.
    pub max: Option<u64>,
}

/// Everything that was measured in a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// Arrivals that fell due.
    pub offered: u64,
    /// Intended send to outcome.
    pub publish: Percentiles,
    /// The same, where sends without an outcome are infinitely late.
    pub publish_with_losses: Percentiles,
    /// Actual send to outcome: what a closed loop would have shown.
    pub service: Percentiles,
    /// Intended send to first delivery.
    pub end_to_end: Percentiles,
    /// The same, where acknowledged records that never arrived are infinitely late.
    pub end_to_end_with_losses: Percentiles,
    /// Delivery to done.
    pub handling: Percentiles,
    /// Intended send to handed over: how late the generator and the client were.
    pub lag: Percentiles,
    /// Reasons to distrust the numbers.
    pub doubts: Vec<Doubt>,
    /// Acks a second, from the beginning of the workload to the last one.
    #[serde(default)]
    pub acked_per_s: u64,
    /// Deliveries a second, from the beginning of the workload to the last one.
    #[serde(default)]
    pub delivered_per_s: u64,
    /// What happened after each fault that hit somebody, until the next one struck.
    #[serde(default)]
    pub after_faults: Vec<AfterFault>,
    /// All of it over time.
    pub series: Series,
}

/// What happened from one fault to the next, or to the end of the workload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AfterFault {
    /// The fault's number in the plan.
    pub id: u32,
    /// When it struck, in the run's time.
    pub from: u64,
    /// When the next one did.
    pub to: u64,
    /// The longest outage of a unit that began in this time; `None` where it has no meaning.
    pub unavailable: Option<u64>,
    /// The unit.
    pub worst_unit: Option<String>,
    /// Records sent in this time that stand at more than one place of the log.
    pub duplicates: u64,
    /// Acks a second.
    pub acked_per_s: u64,
    /// Deliveries a second.
    pub delivered_per_s: u64,
    /// Intended send to outcome, of the records that were due in this time.
    pub publish: Percentiles,
    /// Intended send to first delivery, of the records that were due in this time.
    pub end_to_end: Percentiles,
}

/// A reason to distrust the numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// What is wrong, in a lower-case sentence.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
    /// Whether the generator itself distorted the numbers.
    pub distorts: bool,
}

/// Throughput and latency over time, in slices of equal width without gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Series {
    /// When the first slice begins: when the workload began, in the run's time.
    pub origin: u64,
    /// How wide a slice is.
    pub width: u64,
    /// The slices.
    pub points: Vec<Point>,
}

/// One slice of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// Arrivals that fell due in it.
    pub offered: u64,
    /// Records handed to a client in it.
    pub sent: u64,
    /// Acks that came in it.
    pub acked: u64,
    /// Sends that ended in it without an ack.
    pub unacked: u64,
    /// Deliveries in it.
    pub delivered: u64,
    /// Intended send to outcome, of the records that were due in it.
    pub publish: Percentiles,
    /// Intended send to first delivery, of the records that were due in it.
    pub end_to_end: Percentiles,
}
