//! Compaction: of each key the log cleaner leaves the last record that is committed, and everything behind it.
//!
//! A record that is missing in a cleaned part has a later one of its key, has no key, or is a tombstone.

use super::committed::{Partition, Touched, name, replica};
use crate::{
    kafka::{
        Kafka, Touch,
        by_partition::ByPartition,
        protocol::{Entry, PartitionId},
        replica::Replica,
    },
    kernel::{Invariant, NodeId},
};
use squall_bus::Time;
use std::collections::BTreeMap;

/// Looks at each log when it was cleaned.
#[derive(Debug, Default)]
pub(super) struct Compaction {
    /// Up to where each node's log was cleaned when it was looked at last.
    seen: ByPartition<Vec<u64>>,
}

/// The first offset that the cleaner took away without a right to.
fn wrong(committed: &Partition, replica: &Replica) -> Option<u64> {
    let upto = replica.log.sparse_below();
    // Only asked, by the bytes of the keys.
    let mut latest: BTreeMap<&[u8], u64> = BTreeMap::new();
    let records = |entry: &'_ Entry| entry.batch.records().len() as u32;
    for entry in committed.entries() {
        for place in 0..records(entry) {
            if let Some(key) = &entry.batch.records()[place as usize].key {
                latest.insert(&key[..], entry.base_offset + u64::from(place));
            }
        }
    }
    let kept = replica.log.entries();
    for entry in committed.entries().iter().take_while(|entry| entry.end_offset() <= upto) {
        if entry.base_offset < replica.log.start() {
            continue;
        }
        let found = kept.get(replica.log.index_of(entry.base_offset));
        let found = found.filter(|found| found.base_offset == entry.base_offset);
        for place in 0..records(entry) {
            let has = found.is_some_and(|found| found.has(place));
            let record = &entry.batch.records()[place as usize];
            let offset = entry.base_offset + u64::from(place);
            let is_last = record.key.as_ref().is_some_and(|key| latest.get(&key[..]) == Some(&offset));
            if !has && is_last && !record.value.is_empty() {
                return Some(offset);
            }
        }
    }
    None
}

fn check(committed: &Partition, model: &Kafka, node: NodeId, id: PartitionId) -> Result<(), String> {
    let cleaned = |replica: &&Replica| replica.log.sparse_below() > replica.log.start();
    let Some(replica) = replica(model, node, id).filter(cleaned) else { return Ok(()) };
    // What an unclean election dropped may be there still.
    if committed.tainted {
        return Ok(());
    }
    match wrong(committed, replica) {
        None => Ok(()),
        Some(offset) => Err(format!(
            "{}: the cleaner of node {} took the last record of its key, at offset {offset}",
            name(model, id),
            node.0 + 1
        )),
    }
}

impl Invariant<Kafka> for Compaction {
    fn name(&self) -> &'static str {
        "CompactionKeepsLast"
    }

    fn source(&self) -> &'static str {
        "Apache Kafka's design, log compaction: the last known value of each key is retained"
    }

    fn kinds(&self) -> u8 {
        Touch::CLEANED
    }

    fn after(&mut self, model: &Kafka, _: &[Touch], _: Time) -> Result<(), String> {
        let logs = &mut *model.committed.borrow_mut();
        for place in 0..logs.touched.len() {
            let Touched { node, id, cleaned, .. } = logs.touched[place];
            if cleaned == 0 {
                continue;
            }
            let seen = self.seen.place(id).get_or_insert_default();
            if node.index() >= seen.len() {
                seen.resize(node.index() + 1, 0);
            }
            if std::mem::replace(&mut seen[node.index()], cleaned) != cleaned
                && let Some(committed) = logs.get_mut(id)
            {
                check(committed, model, node, id)?;
            }
        }
        Ok(())
    }

    fn full(&self, model: &Kafka) -> Result<(), String> {
        model.committed.borrow().each_anew(model, |id, committed| {
            (0..model.shared.servers).map(NodeId).try_for_each(|node| check(committed, model, node, id))
        })
    }
}
