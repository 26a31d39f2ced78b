//! A group takes commits only from whom it may: a member of the current generation while no assignment is being dealt
//! (rule E2), a member of the consumer protocol at its epoch (E6), anybody while nobody is a member.

use crate::{
    kafka::{
        Kafka, Touch,
        coordinator::offsets_partition_of,
        group::{Group, GroupState},
        server::Server,
    },
    kernel::{Invariant, NodeId},
};
use squall_bus::Time;

/// Judges every commit that a coordinator took, by what the group was at that moment.
#[derive(Debug, Default)]
pub(super) struct GroupCommits;

fn lawful(model: &Kafka, group: &Group) -> Result<(), String> {
    let Some(taken) = group.taken else { return Ok(()) };
    let name = model.shared.names.group(group.id);
    match taken.member {
        None if taken.has_members => Err(format!("group {name}: took a commit of a stranger")),
        None => Ok(()),
        Some((id, _)) if taken.epoch.is_none() => {
            Err(format!("group {name}: took a commit of {id:?}, which is no member"))
        }
        Some((id, epoch)) if taken.epoch != Some(epoch) => {
            Err(format!("group {name}: took a commit of {id:?} at {epoch}, not at {:?}", taken.epoch))
        }
        Some(_) if taken.state == GroupState::Completing => {
            Err(format!("group {name}: took a commit while its partitions are being dealt"))
        }
        Some(_) => Ok(()),
    }
}

fn coordinated(model: &Kafka) -> impl Iterator<Item = (NodeId, &Group)> {
    let brokers =
        (0..).map(NodeId).zip(&model.servers).filter_map(|(node, server)| Some((node, server.data()?)));
    brokers.flat_map(|(node, broker)| broker.coordinator.groups().map(move |(_, group)| (node, group)))
}

impl Invariant<Kafka> for GroupCommits {
    fn name(&self) -> &'static str {
        "GroupCommits"
    }

    fn source(&self) -> &'static str {
        "Kafka's group protocol: a commit needs the member and its generation; KIP-848: or its epoch"
    }

    fn kinds(&self) -> u8 {
        Touch::COMMIT
    }

    fn after(&mut self, model: &Kafka, touched: &[Touch], _: Time) -> Result<(), String> {
        for touch in touched {
            let Touch::Commit(id) = *touch else { continue };
            let partition = offsets_partition_of(id, &model.shared.names, model.truth()).partition;
            let mut brokers = model.servers.iter().filter_map(Server::data);
            brokers.try_for_each(|broker| {
                let group = broker.coordinator.group_in(partition, id);
                group.map_or(Ok(()), |group| lawful(model, group))
            })?;
        }
        Ok(())
    }

    fn full(&self, model: &Kafka) -> Result<(), String> {
        coordinated(model).try_for_each(|(_, group)| lawful(model, group))
    }
}
