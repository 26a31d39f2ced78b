//! Groups of the consumer protocol, by the names of its specification:
//!
//! - `LegalTargetAssignment`: the target deals each partition once, to a member that wants its topic.
//! - `ValidPartitionEpoch`: a partition is one member's, or is being given up by one, and never two's.
//! - `ValidMemberEpoch`: member epoch <= target epoch <= group epoch; what the log has kept never falls.
//! - `ValidStableGroupState`: when everybody has arrived at the target, everybody has it.
//! - `NoDoubleClientAssignment`: two clients that the group knows at their epochs do not read one partition.

use crate::{
    kafka::{
        Kafka, Touch,
        client::Client,
        group::{ConsumerGroup, consumer::Reconciliation},
        protocol::{GroupIx, MemberId, PartitionId},
    },
    kernel::{Invariant, NodeId},
};
use squall_bus::Time;
use std::collections::BTreeMap;

/// The member epoch of a static member that is away for a while.
const AWAY: i32 = -2;

/// What the log has kept of a group: the group epoch, the members' epochs.
type Kept = (i32, BTreeMap<MemberId, i32>);

/// Remembers that of each group under each coordinator: its node, how often that has begun.
#[derive(Debug, Default)]
pub(super) struct GroupEpochs(BTreeMap<(GroupIx, NodeId, u64), Kept>);

fn groups(model: &Kafka) -> impl Iterator<Item = ((NodeId, u64), &ConsumerGroup)> {
    let brokers =
        (0..).map(NodeId).zip(&model.servers).filter_map(|(node, server)| Some((node, server.data()?)));
    brokers.flat_map(|(node, broker)| {
        let groups = broker.coordinator.groups();
        groups.filter_map(move |(_, group)| Some(((node, broker.boots()), &**group.consumer.as_ref()?)))
    })
}

/// A partition that two of these have, if one is.
fn twice<'a>(owned: impl Iterator<Item = (MemberId, &'a PartitionId)>) -> Option<(PartitionId, MemberId)> {
    let mut owned: Vec<(PartitionId, MemberId)> = owned.map(|(member, id)| (*id, member)).collect();
    owned.sort_unstable();
    owned.windows(2).find(|pair| pair[0].0 == pair[1].0).map(|pair| pair[1])
}

fn holds(model: &Kafka, group: &ConsumerGroup) -> Result<(), String> {
    let record = &group.record;
    let name = model.shared.names.group(record.group);
    let targets = record.target.iter().flat_map(|(member, ids)| ids.iter().map(|id| (*member, id)));
    if let Some((id, _)) = twice(targets) {
        return Err(format!(
            "LegalTargetAssignment: group {name} deals {} twice",
            model.shared.names.unit(id)
        ));
    }
    for (id, target) in &record.target {
        let wants = |topic| record.members.get(id).is_some_and(|member| member.topics.contains(&topic));
        if record.epoch == record.target_epoch && !target.iter().all(|partition| wants(partition.topic)) {
            return Err(format!("LegalTargetAssignment: group {name} deals {id:?} what it does not want"));
        }
    }
    let owned = record.members.iter();
    let owned =
        owned.flat_map(|(id, member)| member.assigned.iter().chain(&member.revoking).map(|p| (*id, p)));
    if let Some((id, member)) = twice(owned) {
        let unit = model.shared.names.unit(id);
        return Err(format!("ValidPartitionEpoch: group {name}: {unit} is {member:?}'s and another's"));
    }
    for (id, member) in &record.members {
        let within = member.epoch == AWAY || member.epoch <= record.target_epoch;
        if !within || record.target_epoch > record.epoch {
            return Err(format!(
                "ValidMemberEpoch: group {name}: {id:?} is at {} of {}",
                member.epoch, record.epoch
            ));
        }
    }
    let arrived = record
        .members
        .values()
        .all(|member| member.state == Reconciliation::Stable && member.epoch == record.epoch);
    if arrived && record.members.iter().any(|(id, member)| record.target.get(id) != Some(&member.assigned)) {
        return Err(format!("ValidStableGroupState: group {name} is stable beside its target"));
    }
    clients(model, group, name)
}

fn clients(model: &Kafka, group: &ConsumerGroup, name: &str) -> Result<(), String> {
    let readers = model.clients.iter().flatten().filter_map(|client| match client {
        Client::Consumer(consumer) => consumer.reads_as_member_of(group.record.group),
        Client::Producer(_) => None,
    });
    let known = readers
        .filter(|(id, epoch, _)| group.record.members.get(id).is_some_and(|member| member.epoch == *epoch));
    let reads: Vec<(MemberId, Vec<PartitionId>)> = known.map(|(id, _, reads)| (id, reads)).collect();
    match twice(reads.iter().flat_map(|(id, reads)| reads.iter().map(|partition| (*id, partition)))) {
        None => Ok(()),
        Some((id, member)) => {
            let unit = model.shared.names.unit(id);
            Err(format!("NoDoubleClientAssignment: group {name}: {member:?} and another read {unit}"))
        }
    }
}

impl Invariant<Kafka> for GroupEpochs {
    fn name(&self) -> &'static str {
        "GroupEpochs"
    }

    fn source(&self) -> &'static str {
        "KIP-848 and its TLA+ specification: epochs, partition ownership, target assignment"
    }

    fn kinds(&self) -> u8 {
        Touch::GROUP
    }

    fn after(&mut self, model: &Kafka, touched: &[Touch], _: Time) -> Result<(), String> {
        for touch in touched {
            let Touch::Group(touched) = *touch else { continue };
            for ((node, boots), group) in groups(model).filter(|(_, group)| group.record.group == touched) {
                holds(model, group)?;
                let kept = group.kept();
                let epochs = kept.members.iter().map(|(id, member)| (*id, member.epoch)).collect();
                let now = (kept.epoch, epochs);
                let Some(before) = self.0.insert((touched, node, boots), now.clone()) else { continue };
                let fell = before
                    .1
                    .iter()
                    .any(|(id, epoch)| now.1.get(id).is_some_and(|now| *now > 0 && now < epoch));
                if kept.members.is_empty() && kept.epoch == 0 {
                    // It was forgotten, and begins anew.
                    continue;
                }
                if now.0 < before.0 || fell {
                    let name = model.shared.names.group(touched);
                    return Err(format!("ValidMemberEpoch: group {name}: an epoch fell"));
                }
            }
        }
        Ok(())
    }

    fn full(&self, model: &Kafka) -> Result<(), String> {
        groups(model).try_for_each(|(_, group)| holds(model, group))
    }
}
