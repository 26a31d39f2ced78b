//! StrongIsr and LeaderCompleteness: every in-sync and eligible replica, and so every leader that can be elected,
//! has everything that is committed.

use super::committed::{CommittedLogs, Partition, name, replica_of};
use crate::{
    kafka::{Kafka, Touch, metadata::UNREGISTERED, protocol::PartitionId},
    kernel::{Invariant, NodeId},
};
use squall_bus::Time;

/// Every member of the controller's ISR and ELR has all that is committed.
#[derive(Debug, Default)]
pub(super) struct StrongIsr;

/// After a change of the partition, or of this node's replica alone.
fn changed(
    logs: &mut CommittedLogs,
    model: &Kafka,
    id: PartitionId,
    replica: Option<NodeId>,
) -> Result<(), String> {
    let Some(committed) = logs.get_mut(id) else { return Ok(()) };
    let version = Some(committed.version());
    let same = std::mem::replace(&mut committed.had_by_all, version) == version;
    check(committed, model, id, replica.filter(|_| same))
}

/// Checks all members, or only this node if it is one.
fn check(
    committed: &mut Partition,
    model: &Kafka,
    id: PartitionId,
    only: Option<NodeId>,
) -> Result<(), String> {
    let end = committed.end;
    let Some(topic) = model.truth().topic(id.topic) else { return Ok(()) };
    let Some(truth) = topic.partitions.get(id.partition as usize) else { return Ok(()) };
    let members = truth.isr.or(truth.elr);
    let members = only.map_or(members, |node| members.minus(members.without(node)));
    for node in members.iter() {
        let Some(replica) = replica_of(model, topic, node, id) else { continue };
        // A process that has lost written bytes and has not registered since is not a candidate: nobody can
        // reach it, and when it registers it is taken out.
        let broker = model.servers[node.index()].broker.as_ref();
        if replica.losses > 0 && broker.is_some_and(|broker| broker.life.epoch == UNREGISTERED) {
            continue;
        }
        let found = replica.log.end();
        let short = found < end;
        let has_all = || committed.is_verified(node, replica, end);
        if short || !has_all() && committed.verify(node, replica, end).is_err() {
            let unit = name(model, id);
            let what = if short { format!("ends at {found}") } else { "differs".to_owned() };
            return Err(format!(
                "{unit}: node {} is in sync, but {end} records are committed and its log {what}",
                node.0 + 1
            ));
        }
    }
    Ok(())
}

#[inline(never)]
fn check_doubtful(model: &Kafka) -> Result<(), String> {
    let logs = &mut *model.committed.borrow_mut();
    for place in 0..logs.doubtful.len() {
        let (id, replica) = logs.doubtful[place];
        changed(logs, model, id, replica)?;
    }
    Ok(())
}

impl Invariant<Kafka> for StrongIsr {
    fn name(&self) -> &'static str {
        "StrongIsr"
    }

    fn source(&self) -> &'static str {
        "kafka-tlaplus: StrongIsr, LeaderCandidateCompleteness, LeaderCompleteness"
    }

    fn kinds(&self) -> u8 {
        Touch::REPLICA | Touch::PARTITION
    }

    fn after(&mut self, model: &Kafka, _: &[Touch], _: Time) -> Result<(), String> {
        if model.committed.borrow().doubtful.is_empty() { Ok(()) } else { check_doubtful(model) }
    }

    fn full(&self, model: &Kafka) -> Result<(), String> {
        let logs = model.committed.borrow();
        logs.each_anew(model, |id, committed| check(committed, model, id, None))
    }
}
