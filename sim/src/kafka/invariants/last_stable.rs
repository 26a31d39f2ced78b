//! The last stable offset is the first offset of any transaction without a replicated marker, at most the high
//! watermark, and never falls on one leader while it runs.

use super::committed::{Touched, name, replica};
use crate::{
    kafka::{
        Kafka, Touch,
        by_partition::ByPartition,
        protocol::{PartitionId, Payload},
        replica::Replica,
    },
    kernel::{Invariant, NodeId},
};
use squall_bus::Time;
use std::collections::{BTreeMap, VecDeque};

/// One process' time as the leader of one epoch: the node, how often its process has begun, the epoch.
type Leading = (NodeId, u64, u32);

/// What a log tells of transactions, by reading it batch for batch.
#[derive(Clone, Debug, Default)]
struct Read {
    cuts: u32,
    end: u64,
    /// The first offset of each open transaction, by producer id.
    open: BTreeMap<u64, u64>,
    /// First offset and marker of the transactions whose marker was not replicated when last looked at.
    ended: VecDeque<(u64, u64)>,
    /// Markers below this were forgotten: they were replicated.
    forgotten: u64,
}

impl Read {
    fn look(&mut self, replica: &Replica) {
        // A process that begins again may have an older high watermark.
        let anew = replica.cuts != self.cuts || replica.log.end() < self.end;
        if anew || replica.high_watermark < self.forgotten {
            *self = Self { cuts: replica.cuts, ..Self::default() };
        }
        if replica.log.end() == self.end {
            return;
        }
        for entry in &replica.log.entries()[replica.log.index_of(self.end)..] {
            if let Some(producer) = entry.batch.transaction() {
                self.open.entry(producer.pid).or_insert(entry.base_offset);
            }
            if let Payload::Marker(marker) = &entry.batch.payload
                && let Some(first) = self.open.remove(&marker.producer.pid)
            {
                self.ended.push_back((first, entry.base_offset));
            }
            self.end = entry.end_offset();
        }
    }

    fn last_stable(&self, high_watermark: u64) -> u64 {
        let ended =
            self.ended.iter().filter(|(_, marker)| *marker >= high_watermark).map(|(first, _)| *first);
        let first = self.open.values().copied().chain(ended).min();
        first.map_or(high_watermark, |first| first.min(high_watermark))
    }
}

/// Follows every log that has transactions, by partition and node, and each leader's last stable offset.
#[derive(Debug, Default)]
pub(super) struct LastStableOffset {
    logs: ByPartition<BTreeMap<NodeId, Read>>,
    leaders: ByPartition<(Leading, u64)>,
}

fn check(model: &Kafka, id: PartitionId, replica: &Replica, read: &Read) -> Result<(), String> {
    let (says, should) = (replica.last_stable(), read.last_stable(replica.high_watermark));
    if says == should && says <= replica.high_watermark {
        return Ok(());
    }
    let unit = name(model, id);
    Err(format!("{unit}: the last stable offset is {says}, by the log it is {should}"))
}

impl Invariant<Kafka> for LastStableOffset {
    fn name(&self) -> &'static str {
        "LastStableOffset"
    }

    fn source(&self) -> &'static str {
        "KIP-98: the last stable offset"
    }

    fn kinds(&self) -> u8 {
        Touch::TRANSACTIONAL
    }

    fn after(&mut self, model: &Kafka, _: &[Touch], _: Time) -> Result<(), String> {
        for touched in model.committed.borrow().touched.iter().filter(|touched| touched.transactional) {
            let Touched { node, id, boots, .. } = *touched;
            let Some(replica) = replica(model, node, id) else { continue };
            let read = self.logs.place(id).get_or_insert_default().entry(node).or_default();
            read.look(replica);
            check(model, id, replica, read)?;
            if replica.leading().is_none() {
                continue;
            }
            read.forgotten = replica.high_watermark;
            while read.ended.front().is_some_and(|(_, marker)| *marker < replica.high_watermark) {
                read.ended.pop_front();
            }
            let now = ((node, boots, replica.leader_epoch), replica.last_stable());
            if let Some(before) = self.leaders.place(id).replace(now)
                && before.0 == now.0
                && before.1 > now.1
            {
                let unit = name(model, id);
                return Err(format!("{unit}: the last stable offset fell from {} to {}", before.1, now.1));
            }
        }
        Ok(())
    }

    fn full(&self, model: &Kafka) -> Result<(), String> {
        for id in self.logs.ids() {
            for node in (0..model.shared.servers).map(NodeId) {
                if let Some(replica) = replica(model, node, id) {
                    let mut read = Read::default();
                    read.look(replica);
                    check(model, id, replica, &read)?;
                }
            }
        }
        Ok(())
    }
}
