//! What a reader at read_committed does not see: records of aborted transactions (rule D5).
//!
//! A broker tells of each aborted transaction that reaches into an answer, by its producer id and first offset. From
//! there to the marker of the abort that producer's transactional batches are dropped. Control batches are never
//! shown; like dropped ones they take offsets, so positions go on behind them. At read_uncommitted the broker tells
//! of none, and nothing is dropped.
//!
//! Source: KIP-98; `CompletedFetch` of Apache Kafka's client.

use super::super::{
    protocol::{Entry, Payload},
    txn::partition::Aborted,
};
use std::collections::BTreeSet;

/// Which batches of one answer are shown, asked in their order.
#[derive(Debug)]
pub(super) struct Filter {
    /// Not begun yet, by first offset, the last one first.
    ahead: Vec<Aborted>,
    /// Producers in an aborted transaction.
    aborting: BTreeSet<u64>,
}

impl Filter {
    pub(super) fn new(mut aborted: Vec<Aborted>) -> Self {
        aborted.sort_unstable_by_key(|aborted| std::cmp::Reverse(aborted.first));
        Self { ahead: aborted, aborting: BTreeSet::new() }
    }

    /// Whether the caller sees the records of this batch, the next one.
    pub(super) fn shows(&mut self, entry: &Entry) -> bool {
        if self.ahead.is_empty() && self.aborting.is_empty() {
            return true;
        }
        while let Some(next) = self.ahead.pop_if(|next| next.first < entry.end_offset()) {
            self.aborting.insert(next.pid);
        }
        if let Payload::Marker(marker) = &entry.batch.payload {
            self.aborting.remove(&marker.producer.pid);
        }
        entry.batch.transaction().is_none_or(|producer| !self.aborting.contains(&producer.pid))
    }
}
