//! A classic group deals each partition to one member of a generation, and its generations rise under one
//! coordinator. (Another one may have missed a generation that never got into the log.)

use crate::{
    kafka::{Kafka, Touch, group::Group, protocol::GroupIx, server::Server},
    kernel::Invariant,
};
use squall_bus::Time;
use std::collections::{BTreeMap, BTreeSet};

/// Remembers each group's generation under each leadership that coordinated it.
#[derive(Debug, Default)]
pub(super) struct GroupAssignment(BTreeMap<(GroupIx, u32), i32>);

fn once(model: &Kafka, group: &Group) -> Result<(), String> {
    let mut dealt = BTreeSet::new();
    for (member, partitions) in group.assignments() {
        for id in partitions {
            if !dealt.insert(*id) {
                let (name, unit) = (model.shared.names.group(group.id), model.shared.names.unit(*id));
                let generation = group.generation;
                return Err(format!(
                    "group {name}: generation {generation} deals {unit} twice, also to {member:?}"
                ));
            }
        }
    }
    Ok(())
}

fn groups(model: &Kafka) -> impl Iterator<Item = (u32, &Group)> {
    model.servers.iter().filter_map(Server::data).flat_map(|broker| broker.coordinator.groups())
}

impl Invariant<Kafka> for GroupAssignment {
    fn name(&self) -> &'static str {
        "GroupAssignment"
    }

    fn source(&self) -> &'static str {
        "Kafka's group protocol: one owner per partition and generation"
    }

    fn after(&mut self, model: &Kafka, touched: &[Touch], _: Time) -> Result<(), String> {
        for touch in touched {
            let Touch::Group(id) = *touch else { continue };
            for (epoch, group) in groups(model).filter(|(_, group)| group.id == id) {
                once(model, group)?;
                let before = self.0.insert((id, epoch), group.generation).unwrap_or(0);
                if before > group.generation {
                    let (name, now) = (model.shared.names.group(id), group.generation);
                    return Err(format!("group {name}: the generation fell from {before} to {now}"));
                }
            }
        }
        Ok(())
    }

    fn full(&self, model: &Kafka) -> Result<(), String> {
        groups(model).try_for_each(|(_, group)| once(model, group))
    }
}
