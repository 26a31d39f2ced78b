//! The high watermark is sane: not beyond the log, not before its start, and never falling on one leader while it runs.
//!
//! A process that begins again reads an older one from its checkpoint, and may believe for a while that it leads as
//! before, until it hears of the epoch that its own return began.

use super::committed::{name, replica};
use crate::{
    kafka::{
        Kafka, Touch, broker::Broker, by_partition::ByPartition, metadata::TopicId, protocol::PartitionId,
    },
    kernel::{Invariant, NodeId},
};
use squall_bus::Time;

/// One process' time as the leader of one epoch: the node, how often its process has begun, the topic, the epoch.
type Leading = (NodeId, u64, TopicId, u32);

/// Remembers each leader's high watermark.
#[derive(Debug, Default)]
pub(super) struct HighWatermark(ByPartition<(Leading, u64)>);

fn within_log(model: &Kafka, node: NodeId, id: PartitionId) -> Result<(), String> {
    let Some(replica) = replica(model, node, id) else { return Ok(()) };
    let (start, high_watermark, end) = (replica.log.start(), replica.high_watermark, replica.log.end());
    if high_watermark > end || high_watermark < start {
        let unit = name(model, id);
        return Err(format!(
            "{unit}: node {} has a high watermark {high_watermark} outside of {start}..{end}",
            node.0 + 1
        ));
    }
    Ok(())
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

    fn after(&mut self, model: &Kafka, touched: &[Touch], _: Time) -> Result<(), String> {
        for touch in touched {
            let Touch::Replica(node, id) = *touch else { continue };
            within_log(model, node, id)?;
            let Some(replica) = replica(model, node, id).filter(|replica| replica.leading().is_some()) else {
                continue;
            };
            let boots = model.servers[node.index()].data().map_or(0, Broker::boots);
            let now = ((node, boots, replica.topic_id, replica.leader_epoch), replica.high_watermark);
            if let Some(before) = self.0.place(id).replace(now)
                && before.0 == now.0
                && before.1 > now.1
            {
                let unit = name(model, id);
                return Err(format!(
                    "{unit}: the high watermark of leader {} fell from {} to {}",
                    node.0 + 1,
                    before.1,
                    now.1
                ));
            }
        }
        Ok(())
    }

    fn full(&self, model: &Kafka) -> Result<(), String> {
        let ids: Vec<PartitionId> = model.truth().partitions().map(|(id, _)| id).collect();
        ids.into_iter().try_for_each(|id| {
            (0..model.shared.servers).try_for_each(|node| within_log(model, NodeId(node), id))
        })
    }
}
