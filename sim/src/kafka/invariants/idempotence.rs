//! Idempotence: in every log the sequence numbers of one producer epoch follow each other without gap or repeat.

use super::committed::{name, replica};
use crate::{
    kafka::{Kafka, Touch, by_partition::ByPartition, log::Log, protocol::PartitionId},
    kernel::{Invariant, NodeId},
};
use squall_bus::Time;
use std::collections::BTreeMap;

/// How far a log was looked at, and what is next of each producer.
#[derive(Clone, Debug, Default)]
struct Seen {
    cuts: u32,
    end: u64,
    next: BTreeMap<u64, (u16, u32)>,
}

impl Seen {
    /// Looks at what is new in a log; the first offset that is out of sequence, if one is.
    fn look(&mut self, log: &Log, cuts: u32) -> Result<(), u64> {
        if log.end() < self.end || cuts != self.cuts {
            *self = Self { cuts, ..Self::default() };
        }
        if log.end() == self.end {
            return Ok(());
        }
        for entry in &log.entries()[log.index_of(self.end)..] {
            self.end = entry.end_offset();
            let Some(stamp) = entry.batch.stamp else { continue };
            let after = (stamp.base_seq + entry.records) & i32::MAX as u32;
            match self.next.insert(stamp.pid, (stamp.epoch, after)) {
                Some((epoch, expected)) if epoch == stamp.epoch && expected != stamp.base_seq => {
                    return Err(entry.base_offset);
                }
                Some((epoch, _)) if epoch > stamp.epoch => return Err(entry.base_offset),
                Some((epoch, _)) if epoch < stamp.epoch && stamp.base_seq != 0 => {
                    return Err(entry.base_offset);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Follows every log, by partition and node.
#[derive(Debug, Default)]
pub(super) struct Idempotence(ByPartition<Vec<Seen>>);

fn wrong(model: &Kafka, node: NodeId, id: PartitionId, offset: u64) -> String {
    format!("{}: node {} has a batch out of sequence at offset {offset}", name(model, id), node.0 + 1)
}

impl Invariant<Kafka> for Idempotence {
    fn name(&self) -> &'static str {
        "Idempotence"
    }

    fn source(&self) -> &'static str {
        "KIP-98: sequence numbers per producer id and epoch"
    }

    fn kinds(&self) -> u8 {
        Touch::REPLICA
    }

    fn after(&mut self, model: &Kafka, touched: &[Touch], _: Time) -> Result<(), String> {
        for touch in touched {
            let Touch::Replica(node, id) = *touch else { continue };
            let Some(replica) = replica(model, node, id) else { continue };
            let logs = self.0.place(id).get_or_insert_default();
            if node.index() >= logs.len() {
                logs.resize_with(node.index() + 1, Seen::default);
            }
            logs[node.index()]
                .look(&replica.log, replica.cuts)
                .map_err(|offset| wrong(model, node, id, offset))?;
        }
        Ok(())
    }

    fn full(&self, model: &Kafka) -> Result<(), String> {
        for id in self.0.ids() {
            for node in (0..model.shared.servers).map(NodeId) {
                if let Some(replica) = replica(model, node, id) {
                    Seen::default().look(&replica.log, 0).map_err(|offset| wrong(model, node, id, offset))?;
                }
            }
        }
        Ok(())
    }
}
