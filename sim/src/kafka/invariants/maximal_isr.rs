//! ReplicationQuorumSuperset: a leader counts at least the replicas that the controller takes for in sync.

use super::committed::{SharedLogs, name, replica};
use crate::{
    kafka::{Kafka, Touch, protocol::PartitionId},
    kernel::{Invariant, NodeId},
};
use squall_bus::Time;

/// The maximal ISR of the present leader holds the controller's ISR.
#[derive(Debug)]
pub(super) struct MaximalIsr(SharedLogs);

impl MaximalIsr {
    pub(super) fn over(logs: SharedLogs) -> Self {
        Self(logs)
    }
}

fn check(model: &Kafka, id: PartitionId) -> Result<(), String> {
    let Some(truth) = model.truth().partition(id) else { return Ok(()) };
    let Some(leader) = truth.leader else { return Ok(()) };
    let Some(replica) = replica(model, leader, id) else { return Ok(()) };
    let current = replica.leading().is_some() && replica.leader_epoch == truth.leader_epoch;
    if current && !truth.isr.is_within(replica.maximal_isr()) {
        let (counts, has) = (replica.maximal_isr(), truth.isr);
        return Err(format!("{}: the leader counts {counts:?}, the controller has {has:?}", name(model, id)));
    }
    Ok(())
}

/// Whether the controller has this node for the leader: what it counts is nobody else's affair.
fn leads(model: &Kafka, node: NodeId, id: PartitionId) -> bool {
    model.truth().partition(id).is_some_and(|truth| truth.leader == Some(node))
}

impl Invariant<Kafka> for MaximalIsr {
    fn name(&self) -> &'static str {
        "ReplicationQuorumSuperset"
    }

    fn source(&self) -> &'static str {
        "kafka-tlaplus"
    }

    fn kinds(&self) -> u8 {
        Touch::REPLICA | Touch::PARTITION
    }

    fn after(&mut self, model: &Kafka, touched: &[Touch], _: Time) -> Result<(), String> {
        for replica in self.0.lock().touched.iter().filter(|replica| replica.leads.is_some()) {
            if leads(model, replica.node, replica.id) {
                check(model, replica.id)?;
            }
        }
        for touch in touched {
            if let Touch::Partition(id) = *touch {
                check(model, id)?;
            }
        }
        Ok(())
    }

    fn full(&self, model: &Kafka) -> Result<(), String> {
        let ids: Vec<PartitionId> = model.truth().partitions().map(|(id, _)| id).collect();
        ids.into_iter().try_for_each(|id| check(model, id))
    }
}
