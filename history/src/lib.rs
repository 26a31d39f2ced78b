//! The operation log, the checks over it and the verdict.
//!
//! A run is recorded as a [`History`]: what every client saw and every fault that struck. Everything here is
//! a pure function of that value:
//!
//! ```text
//! History ──▶ Analysis ──checks──▶ findings ──guarantees──▶ anomalies ──▶ Report with its Verdict
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | [`events`] | the one stream of run events that every output is a fold over |
//! | [`history`] | the log in memory: interned, columnar, with the recorder |
//! | [`analysis`] | one pass over a history that all checks share |
//! | [`catalogue`] | every anomaly that the field knows, as data |
//! | [`checks`] | one file per check, and the table of them |
//! | [`cycles`] | what may not go in a circle: graph, components, shortest circles |
//! | [`linear`] | linearizability by search, for conditional appends and fencing |
//! | [`verdict`] | [`judge`]: the report of a history |
//! | [`impact`] | what each fault did |
//! | [`jsonl`] | the log on disk: JSON Lines, version 1 (`FORMAT.md`) |
//! | [`import`] | histories of other tools: of Jepsen's Kafka and list-append workloads |
//! | [`online`] | lost, duplicate, order and completeness of runs too long to keep |
//! | `strategies` | proptest strategies of histories, behind the feature `proptest` |
//! | [`guarantees`] | what a run promises, as data, and what is therefore forbidden |
//!
//! No clock, no thread, no iteration over a hash map, no float: equal histories give equal reports.

pub mod analysis;
pub mod anomaly;
pub mod catalogue;
pub mod checks;
pub mod cycles;
pub mod events;
pub mod guarantees;
pub mod history;
pub mod impact;
pub mod import;
pub mod jsonl;
pub mod linear;
pub mod online;
#[cfg(any(test, feature = "proptest"))]
mod scribe;
#[cfg(test)]
mod selftest;
mod serde_time;
#[cfg(feature = "proptest")]
pub mod strategies;
pub mod verdict;

pub use anomaly::{Anomaly, Example, Kind, Moment, Neighbour, Ruling, What};
pub use events::RunEvent;
pub use guarantees::{Configuration, Expect};
pub use history::{History, Meta};
pub use verdict::{Counts, Report, Verdict, judge};
