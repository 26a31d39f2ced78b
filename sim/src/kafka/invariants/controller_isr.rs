//! ValidControllerIsrAndElr: what the controller keeps of a partition makes sense.

use super::committed::name;
use crate::{
    kafka::{Kafka, Touch, metadata::TopicId, protocol::PartitionId},
    kernel::{Invariant, NodeId},
    nodes::NodeSet,
};
use squall_bus::Time;
use std::collections::BTreeMap;

/// Remembers who led which epoch.
#[derive(Debug, Default)]
pub(super) struct ControllerIsr(BTreeMap<(PartitionId, TopicId, u32), NodeId>);

fn check(model: &Kafka, id: PartitionId) -> Result<(), String> {
    let truth = model.truth();
    let (Some(partition), Some(topic)) = (truth.partition(id), truth.topic(id.topic)) else { return Ok(()) };
    let replicas = NodeSet::of(&partition.replicas);
    let (isr, elr) = (partition.isr, partition.elr);
    let wrong = if !isr.or(elr).is_within(replicas) {
        "in-sync or eligible nodes that are no replicas"
    } else if isr.minus(elr) != isr {
        "nodes both in sync and eligible"
    } else if isr.len() >= partition.effective_min_insync(&topic.settings) && !elr.is_empty() {
        "eligible nodes although enough are in sync"
    } else if model.shared.rules.elr
        && isr.iter().any(|node| truth.broker(node).is_none_or(|broker| broker.fenced))
    {
        "a fenced node in sync"
    } else if partition.leader.is_some_and(|leader| !isr.contains(leader)) {
        "a leader that is not in sync"
    } else {
        return Ok(());
    };
    Err(format!("{}: the controller has {wrong}: {partition:?}", name(model, id)))
}

impl Invariant<Kafka> for ControllerIsr {
    fn name(&self) -> &'static str {
        "ValidControllerIsrAndElr"
    }

    fn source(&self) -> &'static str {
        "kafka-tlaplus, KIP-966"
    }

    fn kinds(&self) -> u8 {
        Touch::PARTITION
    }

    fn after(&mut self, model: &Kafka, touched: &[Touch], _: Time) -> Result<(), String> {
        for touch in touched {
            let Touch::Partition(id) = *touch else { continue };
            check(model, id)?;
            let Some(topic) = model.truth().topic(id.topic) else { continue };
            let Some(partition) = model.truth().partition(id) else { continue };
            let Some(leader) = partition.leader else { continue };
            let first = *self.0.entry((id, topic.id, partition.leader_epoch)).or_insert(leader);
            if first != leader {
                let (unit, epoch) = (name(model, id), partition.leader_epoch);
                return Err(format!(
                    "{unit}: nodes {} and {} both lead epoch {epoch}",
                    first.0 + 1,
                    leader.0 + 1
                ));
            }
        }
        Ok(())
    }

    fn full(&self, model: &Kafka) -> Result<(), String> {
        model.truth().partitions().try_for_each(|(id, _)| check(model, id))
    }
}
