//! ReplicationQuorumSuperset: a leader that takes connections counts at least the replicas that the controller takes for
//! in sync. (One that has not been unfenced may find that a proposal of its former process was taken up; it is fenced
//! before anybody asks it.)

use super::committed::{name, replica};
use crate::{
    kafka::{Kafka, Touch, protocol::PartitionId},
    kernel::{Invariant, NodeId},
};
use squall_bus::Time;

/// The maximal ISR of the present leader holds the controller's ISR.
#[derive(Debug, Default)]
pub(super) struct MaximalIsr;

fn check(model: &Kafka, id: PartitionId) -> Result<(), String> {
    let Some(truth) = model.truth().partition(id) else { return Ok(()) };
    let listens = |leader: &NodeId| model.servers[leader.index()].listening().is_some();
    let Some(leader) = truth.leader.filter(listens) else { return Ok(()) };
    let Some(replica) = replica(model, leader, id) else { return Ok(()) };
    let current = replica.leading().is_some() && replica.leader_epoch == truth.leader_epoch;
    if current && !truth.isr.is_within(replica.maximal_isr()) {
        let (counts, has) = (replica.maximal_isr(), truth.isr);
        return Err(format!("{}: the leader counts {counts:?}, the controller has {has:?}", name(model, id)));
    }
    Ok(())
}

#[inline(never)]
fn check_touched(model: &Kafka, touched: &[Touch]) -> Result<(), String> {
    for replica in model.committed.borrow().touched.iter().filter(|replica| replica.leaves_out) {
        check(model, replica.id)?;
    }
    for touch in touched {
        if let Touch::Partition(id) = *touch {
            check(model, id)?;
        }
    }
    Ok(())
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
        if model.committed.borrow().isr_in_doubt { check_touched(model, touched) } else { Ok(()) }
    }

    fn full(&self, model: &Kafka) -> Result<(), String> {
        model.truth().partitions().try_for_each(|(id, _)| check(model, id))
    }
}
