//! LogMatching: two replicas' logs are equal below both their high watermarks.

use super::committed::{CommittedLogs, Partition, Touched, name, replica};
use crate::{
    kafka::{Kafka, Touch, protocol::PartitionId, replica::Replica},
    kernel::{Invariant, NodeId},
};
use squall_bus::Time;

/// Every replica is compared with what is committed, below its own high watermark. What is touched is looked up here
/// for those behind it.
#[derive(Debug, Default)]
pub(super) struct LogMatching;

/// After this node's replica was touched.
fn touched(logs: &mut CommittedLogs, model: &Kafka, node: NodeId, id: PartitionId) -> Result<(), String> {
    let committed = logs.partitions.place(id).get_or_insert_default();
    let topic = model.truth().topic(id.topic);
    if let Some(topic) = topic {
        committed.take_in(model, topic, id, Some(node));
    }
    let Some((touched, replica)) = topic.and_then(|topic| Touched::find(model, topic, node, id)) else {
        logs.doubtful.push((id, Some(node)));
        return Ok(());
    };
    logs.isr_in_doubt |= touched.leaves_out;
    logs.touched.push(touched);
    if !committed.is_had_by_all(node, replica) {
        logs.doubtful.push((id, Some(node)));
    }
    check(committed, model, node, id, replica)
}

/// Whether a replica equals what is committed, below its high watermark.
#[inline]
fn check(
    committed: &mut Partition,
    model: &Kafka,
    node: NodeId,
    id: PartitionId,
    replica: &Replica,
) -> Result<(), String> {
    if committed.is_kept_too_long(replica.log.start()) {
        committed.forget_deleted(model, id);
    }
    if committed.is_verified(node, replica, replica.high_watermark) {
        return Ok(());
    }
    compare(committed, model, node, id, replica)
}

#[inline(never)]
fn compare(
    committed: &mut Partition,
    model: &Kafka,
    node: NodeId,
    id: PartitionId,
    replica: &Replica,
) -> Result<(), String> {
    let Some(truth) = model.truth().partition(id) else { return Ok(()) };
    // A replica that has not caught up yet may still hold what an unclean election dropped.
    if committed.tainted && !truth.isr.contains(node) {
        return Ok(());
    }
    committed.verify(node, replica, replica.high_watermark).map_err(|offset| {
        let high_watermark = replica.high_watermark;
        let unit = name(model, id);
        format!(
            "{unit}: node {} differs at offset {offset}, below its high watermark {high_watermark}",
            node.0 + 1
        )
    })
}

impl Invariant<Kafka> for LogMatching {
    fn name(&self) -> &'static str {
        "LogMatching"
    }

    fn source(&self) -> &'static str {
        "kafka-tlaplus, v3.5 and KIP-966"
    }

    fn kinds(&self) -> u8 {
        Touch::REPLICA | Touch::PARTITION
    }

    fn after(&mut self, model: &Kafka, changed: &[Touch], _: Time) -> Result<(), String> {
        let mut logs = model.committed.borrow_mut();
        logs.touched.clear();
        logs.doubtful.clear();
        logs.isr_in_doubt = false;
        for touch in changed {
            match touch {
                Touch::Replica(node, id) => touched(&mut logs, model, *node, *id)?,
                Touch::Partition(id) => {
                    let committed = logs.partitions.place(*id).get_or_insert_default();
                    if let Some(topic) = model.truth().topic(id.topic) {
                        committed.take_in(model, topic, *id, None);
                    }
                    logs.doubtful.push((*id, None));
                    logs.isr_in_doubt = true;
                }
                Touch::Group(_) | Touch::Commit(_) | Touch::Transaction(_) => {}
            }
        }
        Ok(())
    }

    fn full(&self, model: &Kafka) -> Result<(), String> {
        model.committed.borrow().each_anew(model, |id, committed| {
            (0..model.shared.servers).map(NodeId).try_for_each(|node| match replica(model, node, id) {
                Some(replica) => check(committed, model, node, id, replica),
                None => Ok(()),
            })
        })
    }
}
