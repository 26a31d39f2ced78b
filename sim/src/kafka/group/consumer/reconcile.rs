//! The next step of a member towards its target.
//!
//! 1. What it has and is not to have is taken from it; until it confirms, by a heartbeat that owns nothing of that, it
//!    stays at its epoch and gets nothing new.
//! 2. Then it reaches the target's epoch, and gets what is free of its target; while the rest is another's it is
//!    asked to come again.

use super::{ConsumerGroup, Reconciliation};
use crate::kafka::{
    protocol::{MemberId, PartitionId},
    rules::Rules,
};

impl ConsumerGroup {
    /// Leads a member on. `owned` is what it says it has, if it says so.
    pub(super) fn reconcile(&mut self, id: MemberId, owned: Option<&[PartitionId]>, rules: &Rules) {
        let target_epoch = self.record.target_epoch;
        let Some(member) = self.record.members.get(&id) else { return };
        let has_any = |revoked: &[PartitionId]| {
            !revoked.is_empty() && owned.is_none_or(|owned| revoked.iter().any(|id| owned.contains(id)))
        };
        match member.state {
            Reconciliation::Stable if member.epoch == target_epoch => return,
            Reconciliation::Unrevoked if has_any(&member.revoking) => return,
            _ => {}
        }
        let target = self.record.target.get(&id).cloned().unwrap_or_default();
        let (stays, goes): (Vec<PartitionId>, Vec<PartitionId>) =
            member.assigned.iter().copied().partition(|id| target.contains(id));
        let wanted = target.iter().filter(|id| !member.assigned.contains(id)).copied();
        let (free, taken): (Vec<PartitionId>, Vec<PartitionId>) =
            wanted.partition(|partition| !rules.consumer_waits_for_release || self.is_free(*partition, id));
        let Some(member) = self.record.members.get_mut(&id) else { return };
        member.assigned = stays;
        if has_any(&goes) {
            member.revoking = goes;
            member.state = Reconciliation::Unrevoked;
            return;
        }
        member.revoking.clear();
        member.assigned.extend(free);
        member.assigned.sort_unstable();
        member.state = if taken.is_empty() { Reconciliation::Stable } else { Reconciliation::Unreleased };
        if member.epoch != target_epoch {
            member.previous_epoch = member.epoch;
            member.epoch = target_epoch;
        }
    }

    /// Whether nobody but this member has it or is giving it up.
    fn is_free(&self, partition: PartitionId, but: MemberId) -> bool {
        let mut others = self.record.members.iter().filter(|(id, _)| **id != but);
        !others.any(|(_, other)| other.assigned.contains(&partition) || other.revoking.contains(&partition))
    }
}
