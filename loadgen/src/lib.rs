//! The load engine: when records are meant to be sent, how they are sent then, and what came of it.
//!
//! The loop is open: a [`Schedule`] fixes every intended send time before the run, a [`Pacer`] emits what is
//! due and never skips or shifts an arrival, and a [`Recorder`] measures from the **intended** time. A
//! bus that stalls therefore shows its whole stall in the quantiles, also when the stall kept records from
//! being sent at all. A tool that measures from the actual send omits exactly those (coordinated omission);
//! `tests/stall.rs` holds both views against the theory.
//!
//! | part | what it is |
//! |---|---|
//! | [`Schedule`] | intended send times, a function of the seed's draws |
//! | [`Pacer`] | waits for them on any [`Clock`](squall_bus::Clock), virtual or real |
//! | [`Recorder`] | takes what happened to each record |
//! | [`Ledger`] | counts: offered, sent, acked, unknown, failed, received, duplicate |
//! | [`Distribution`] | a histogram of one span, with quantiles as integers |
//! | [`Series`] | throughput and latency over time |
//! | [`Warning`] | reasons to distrust the numbers, each with its remedy |
//!
//! Nothing here reads a clock of its own, and no number that leaves this crate was a float.

mod distribution;
mod exponential;
mod health;
mod ledger;
mod pacer;
mod recorder;
mod schedule;
mod series;

pub use distribution::{Distribution, Quantile, Reading, Summary};
pub use hdrhistogram::Counter;
pub use health::{Limits, Warning};
pub use ledger::Ledger;
pub use pacer::{Due, Pacer};
pub use recorder::Recorder;
pub use schedule::{Arrival, Arrivals, Rate, Schedule, Times};
pub use series::{Series, Slice};
