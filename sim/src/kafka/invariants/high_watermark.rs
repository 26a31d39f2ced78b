//! The high watermark is sane: not beyond the log, not before its start, and never falling on one leader while it runs.
//!
//! A process that begins again reads an older one from its checkpoint, and may believe for a while that it leads as
//! before, until it hears of the epoch that its own return began.

use super::committed::{Touched, name};
use crate::{
    kafka::{Kafka, Touch, by_partition::ByPartition, metadata::TopicId, protocol::PartitionId},
    kernel::{Invariant, NodeId},
};
use squall_bus::Time;

/// One process' time as the leader of one epoch: the node, how often its process has begun, the topic, the epoch.
type Leading = (NodeId, u64, TopicId, u32);

/// Remembers each leader's high watermark.
#[derive(Debug, Default)]
pub(super) struct HighWatermark {
    seen: ByPartition<(Leading, u64)>,
}

#[inline]
fn within_log(model: &Kafka, touched: &Touched) -> Result<(), String> {
    let Touched { start, high_watermark, end, .. } = *touched;
    if high_watermark > end || high_watermark < start { Err(outside(model, touched)) } else { Ok(()) }
}

#[cold]
fn outside(model: &Kafka, touched: &Touched) -> String {
    let Touched { node, id, start, high_watermark, end, .. } = *touched;
    let unit = name(model, id);
    format!("{unit}: node {} has a high watermark {high_watermark} outside of {start}..{end}", node.0 + 1)
}

impl Invariant<Kafka> for HighWatermark {
    fn name(&self) -> &'static str {
        "HighWatermarkSane"
    }

    fn source(&self) -> &'static str {
        "Kafka's replication protocol: HW <= LEO, monotone per leader and epoch"
    }

    fn kinds(&self) -> u8 {
        Touch::REPLICA
    }

    fn after(&mut self, model: &Kafka, _: &[Touch], _: Time) -> Result<(), String> {
        for touched in &model.committed.borrow().touched {
            within_log(model, touched)?;
            let Touched { node, id, topic, boots, leads: Some(epoch), high_watermark, .. } = *touched else {
                continue;
            };
            let leading = (node, boots, topic, epoch);
            match self.seen.place(id) {
                Some((before, seen)) if *before == leading => {
                    let before = std::mem::replace(seen, high_watermark);
                    if before > high_watermark {
                        let unit = name(model, id);
                        return Err(format!(
                            "{unit}: the high watermark of leader {} fell from {before} to {high_watermark}",
                            node.0 + 1
                        ));
                    }
                }
                seen => *seen = Some((leading, high_watermark)),
            }
        }
        Ok(())
    }

    fn full(&self, model: &Kafka) -> Result<(), String> {
        let nodes = || (0..model.shared.servers).map(NodeId);
        model.truth().topics().try_for_each(|(index, topic)| {
            (0..topic.partitions.len() as u32).try_for_each(|number| {
                let id = PartitionId::new(index, number);
                let mut found = nodes().filter_map(|node| Touched::find(model, topic, node, id));
                found.try_for_each(|(touched, _)| within_log(model, &touched))
            })
        })
    }
}
