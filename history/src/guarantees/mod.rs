//! What a run promises, as data, and what is therefore forbidden.
//!
//! Two sources: the [`Configuration`] promises what the bus' documentation says of such producers, consumers and
//! topics; [`Expect`] is what the scenario demands beyond that. An anomaly is forbidden when either forbids it;
//! the [`Rules`] name the clause. Without expectations only the configuration speaks; [`warnings()`] says where the
//! expectations ask more than the configuration promises.

mod configuration;
mod expect;
mod rules;
mod warnings;

pub use configuration::{
    AckMode, Cleanup, CommitPolicy, Configuration, Fsync, Isolation, Pipeline, Reading, TopicFacts, TxnOrder,
};
pub use expect::{Delivery, Dlq, Expect, Log, Order};
pub use rules::Rules;
pub(crate) use rules::given_up;
pub use warnings::{Warning, warnings};
