//! LogMatching: two replicas' logs are equal below both their high watermarks.

use super::committed::{CommittedLogs, Partition, Touched, name};
use crate::{
    kafka::{Kafka, Touch, protocol::PartitionId},
    kernel::{Invariant, NodeId},
};
use squall_bus::Time;

/// Every replica is compared with what is committed, below its own high watermark. What is touched is looked up here
/// for those behind it.
#[derive(Debug, Default)]
pub(super) struct LogMatching;

fn check(
    logs: &mut CommittedLogs,
    model: &Kafka,
    node: NodeId,
    id: PartitionId,
    only: Option<NodeId>,
) -> Result<(), String> {
    let found = Touched::find(model, node, id);
    let committed = Partition::update(&mut logs.partitions, model, id, only);
    let Some((touched, replica)) = found else {
        logs.doubtful.push((id, only));
        return Ok(());
    };
    logs.isr_in_doubt |= touched.leaves_out;
    logs.touched.push(touched);
    if !committed.is_had_by_all(node, replica) {
        logs.doubtful.push((id, only));
    }
    if committed.is_kept_too_long(touched.start) {
        committed.forget_deleted(model, id);
    }
    if committed.is_verified(node, replica, replica.high_watermark) {
        return Ok(());
    }
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

    fn after(&mut self, model: &Kafka, touched: &[Touch], _: Time) -> Result<(), String> {
        let mut logs = model.committed.borrow_mut();
        logs.touched.clear();
        logs.doubtful.clear();
        logs.isr_in_doubt = false;
        for touch in touched {
            match touch {
                Touch::Replica(node, id) => check(&mut logs, model, *node, *id, Some(*node))?,
                Touch::Partition(id) => {
                    logs.update(model, *id, None);
                    logs.doubtful.push((*id, None));
                    logs.isr_in_doubt = true;
                }
                Touch::Group(_) | Touch::Commit(_) | Touch::Transaction(_) => {}
            }
        }
        Ok(())
    }

    fn full(&self, model: &Kafka) -> Result<(), String> {
        let mut logs = model.committed.borrow().unverified();
        for id in logs.ids() {
            for node in 0..model.shared.servers {
                check(&mut logs, model, NodeId(node), id, None)?;
            }
        }
        Ok(())
    }
}
