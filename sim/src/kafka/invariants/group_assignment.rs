//! A classic group deals each partition to one member of a generation, and its generations rise under one
//! coordinator, while its process runs. (Another one may have missed a generation that never got into the log, or
//! that was lost with it.)

use crate::{
    kafka::{
        Kafka, Touch,
        group::Group,
        protocol::{GroupIx, MemberId, PartitionId},
    },
    kernel::{Invariant, NodeId},
};
use squall_bus::Time;
use std::collections::BTreeMap;

/// One process' time as a coordinator: its node, how often it has begun, the epoch of its leadership.
type Coordinating = (NodeId, u64, u32);

/// Remembers each group's generation under each coordinator.
#[derive(Debug, Default)]
pub(super) struct GroupAssignment {
    generations: BTreeMap<(GroupIx, Coordinating), i32>,
    /// Kept for its memory.
    dealt: Vec<(PartitionId, MemberId)>,
}

/// Whether each partition is dealt to one member; `dealt` is a buffer.
fn once(model: &Kafka, group: &Group, dealt: &mut Vec<(PartitionId, MemberId)>) -> Result<(), String> {
    dealt.clear();
    let assignments = group.assignments();
    dealt.extend(assignments.flat_map(|(member, partitions)| partitions.iter().map(move |id| (*id, member))));
    dealt.sort_unstable();
    let Some(pair) = dealt.windows(2).find(|pair| pair[0].0 == pair[1].0) else { return Ok(()) };
    let (name, unit) = (model.shared.names.group(group.id), model.shared.names.unit(pair[1].0));
    let (generation, member) = (group.generation, pair[1].1);
    Err(format!("group {name}: generation {generation} deals {unit} twice, also to {member:?}"))
}

fn groups(model: &Kafka) -> impl Iterator<Item = (Coordinating, &Group)> {
    (0..).map(NodeId).zip(&model.servers).filter_map(|(node, server)| Some((node, server.data()?))).flat_map(
        |(node, broker)| {
            let groups = broker.coordinator.groups();
            groups.map(move |(epoch, group)| ((node, broker.boots(), epoch), group))
        },
    )
}

impl Invariant<Kafka> for GroupAssignment {
    fn name(&self) -> &'static str {
        "GroupAssignment"
    }

    fn source(&self) -> &'static str {
        "Kafka's group protocol: one owner per partition and generation"
    }

    fn kinds(&self) -> u8 {
        Touch::GROUP
    }

    fn after(&mut self, model: &Kafka, touched: &[Touch], _: Time) -> Result<(), String> {
        for touch in touched {
            let Touch::Group(id) = *touch else { continue };
            let lives = |here| groups(model).any(|(there, group)| (group.id, there) == (id, here));
            // A group that was forgotten begins anew.
            self.generations.retain(|(group, here), _| *group != id || lives(*here));
            for (coordinating, group) in groups(model).filter(|(_, group)| group.id == id) {
                once(model, group, &mut self.dealt)?;
                let before = self.generations.insert((id, coordinating), group.generation).unwrap_or(0);
                if before > group.generation {
                    let (name, now) = (model.shared.names.group(id), group.generation);
                    return Err(format!("group {name}: the generation fell from {before} to {now}"));
                }
            }
        }
        Ok(())
    }

    fn full(&self, model: &Kafka) -> Result<(), String> {
        groups(model).try_for_each(|(_, group)| once(model, group, &mut Vec::new()))
    }
}
