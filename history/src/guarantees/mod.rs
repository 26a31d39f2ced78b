//! What a run promises, as data, and what is therefore forbidden.
//!
//! Two sources: the [`Configuration`] promises what the bus' documentation says of such producers, consumers and
//! topics; [`Expect`] is what the scenario demands beyond that. An anomaly is forbidden when either forbids it;
//! the rules (`rules.rs`) name the clause. Without expectations only the configuration speaks.

mod configuration;
mod expect;

pub use configuration::{CommitPolicy, Configuration, Fsync, Reading};
pub use expect::{Delivery, Dlq, Expect, Log, Order};
