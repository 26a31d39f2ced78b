//! Transactions of the workload: of producers, and of groups that read, compute and write exactly once.

use super::{
    Scenario,
    scalar::{Count, Period, Ratio},
};
use serde::{Deserialize, Serialize};

/// How a producer groups its records into transactions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Transactions {
    /// How many records a transaction has. The last one of a producer may have fewer.
    pub records: Count,
    /// How many transactions are aborted although nothing is wrong with them. None unless said.
    #[serde(default)]
    pub abort: Ratio,
    /// How long a transaction may be open before the bus aborts it. The client's own default unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Period>,
    /// The transactional id, for producers that share one: each that starts takes it from the one before, which is then
    /// finished. Every producer has one of its own unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// What a group writes for what it reads: a record for each, in transactions with its positions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Forward {
    /// Where the results go.
    pub topic: String,
    /// How many records a transaction takes in at most. 10 unless said.
    #[serde(default = "ten")]
    pub records: Count,
    /// How many transactions are aborted although nothing is wrong with them. None unless said.
    #[serde(default)]
    pub abort: Ratio,
    /// After an abort, read the records of the transaction again. `false` is a bug that users have had: what was read
    /// is skipped. `true` unless said.
    #[serde(default = "yes")]
    pub rewind: bool,
    /// How long a transaction may be open before the bus aborts it. The client's own default unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Period>,
}

/// Which records of transactions a group sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// All of them, as soon as enough nodes have them.
    ReadUncommitted,
    /// Those of committed transactions, and nothing behind an open one.
    ReadCommitted,
}

fn ten() -> Count {
    Count::new(10)
}

fn yes() -> bool {
    true
}

impl Scenario {
    /// The transactional ids of all clients: a producer's is its name unless said, a consumer's that forwards is its
    /// group's name and its own.
    #[must_use]
    pub fn transactional_ids(&self) -> Vec<String> {
        let mut ids = Vec::new();
        let mut number = 0;
        for group in self.producer_groups() {
            for _ in 0..group.count.get() {
                number += 1;
                ids.extend(group.transactions.as_ref().map(|transactions| transactions.id_of(number)));
            }
        }
        number = 0;
        for group in self.consumer_groups() {
            for _ in 0..group.count.get() {
                number += 1;
                ids.extend(
                    group.forward.as_ref().map(|_| forward_id(&group.group, &format!("consumer-{number}"))),
                );
            }
        }
        ids.dedup();
        ids
    }
}

impl Transactions {
    /// The transactional id of producer number `number`.
    pub(crate) fn id_of(&self, number: u32) -> String {
        self.id.clone().unwrap_or_else(|| format!("producer-{number}"))
    }
}

/// The transactional id of a member of a group that forwards.
pub(crate) fn forward_id(group: &str, consumer: &str) -> String {
    format!("{group}-{consumer}")
}
