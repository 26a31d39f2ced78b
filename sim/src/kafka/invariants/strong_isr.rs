//! StrongIsr and LeaderCompleteness: every in-sync and eligible replica, and so every leader that can be elected,
//! has everything that is committed.

use super::committed::{CommittedLogs, name, replica};
use crate::{
    kafka::{Kafka, Touch, protocol::PartitionId},
    kernel::Invariant,
};
use squall_bus::Time;

/// Every member of the controller's ISR and ELR has all that is committed.
#[derive(Debug, Default)]
pub(super) struct StrongIsr(CommittedLogs);

fn check(logs: &mut CommittedLogs, model: &Kafka, id: PartitionId) -> Result<(), String> {
    let committed = logs.update(model, id);
    let end = committed.end;
    let Some(truth) = model.truth().partition(id) else { return Ok(()) };
    for node in truth.isr.or(truth.elr).iter() {
        let Some(replica) = replica(model, node, id) else { continue };
        // A process that has lost written bytes and has not registered since is not a candidate.
        if replica.losses > 0 && replica.leader_epoch == 0 && replica.leader.is_none() {
            continue;
        }
        let found = replica.log.end();
        let short = found < end;
        if short || committed.verify(node, replica, end).is_err() {
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

impl Invariant<Kafka> for StrongIsr {
    fn name(&self) -> &'static str {
        "StrongIsr"
    }

    fn source(&self) -> &'static str {
        "kafka-tlaplus: StrongIsr, LeaderCandidateCompleteness, LeaderCompleteness"
    }

    fn after(&mut self, model: &Kafka, touched: &[Touch], _: Time) -> Result<(), String> {
        for touch in touched {
            match touch {
                Touch::Replica(_, id) | Touch::Partition(id) => check(&mut self.0, model, *id)?,
                Touch::Group(_) => {}
            }
        }
        Ok(())
    }

    fn full(&self, model: &Kafka) -> Result<(), String> {
        let mut logs = self.0.unverified();
        logs.ids().into_iter().try_for_each(|id| check(&mut logs, model, id))
    }
}
