//! Faults on the simulated cluster: roles resolved at the moment of the strike, lowered to what the kernel can
//! do to nodes and links.

use crate::{
    kernel::{Choices, Life, NodeId, Site, World},
    model::BusModel,
};
use squall_bus::{Fault, FaultKind, Role};

const MINORITY: Site = Site::new("nemesis.minority");

/// A fault in force.
#[derive(Clone, Debug)]
struct Active {
    fault: u32,
    kind: FaultKind,
    /// The brokers, or the client's nodes, that it hit.
    targets: Vec<NodeId>,
    /// Which process each target ran when it was hit.
    processes: Vec<u32>,
    /// The client process that it hit.
    client: Option<String>,
}

impl Active {
    /// Whether it ends processes, which its healing starts again.
    fn ends_process(&self) -> bool {
        matches!(self.kind, FaultKind::Kill | FaultKind::Stop | FaultKind::Restart | FaultKind::PowerFail)
    }

    /// Whether a node that both hit stays as it is when only `healed` is mended. Faults may overlap: a node starts
    /// again, and a frozen one goes on, when the last fault that held it is healed.
    fn holds_like(&self, healed: &Self) -> bool {
        self.ends_process() && healed.ends_process()
            || self.kind == FaultKind::Pause && healed.kind == FaultKind::Pause
    }
}

/// What is broken now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Nemesis {
    active: Vec<Active>,
}

/// The nodes that a role means now: brokers.
pub(crate) fn resolve<M: BusModel>(world: &World<M>, fault: &Fault) -> Vec<NodeId> {
    let brokers = world.model().brokers();
    match &fault.role {
        Role::Minority => minority(world.choices(), brokers, fault.id),
        Role::Node(number) if (1..=brokers).contains(number) => vec![NodeId(number - 1)],
        Role::All => (0..brokers).map(NodeId).collect(),
        Role::Node(_) | Role::Client(_) => Vec::new(),
        role => world.model().resolve(role),
    }
}

/// The largest number of brokers that is no majority, drawn for this fault.
fn minority(choices: &Choices, brokers: u32, fault: u32) -> Vec<NodeId> {
    let mut nodes: Vec<NodeId> = (0..brokers).map(NodeId).collect();
    let size = (brokers.saturating_sub(1) / 2) as usize;
    for place in 0..size {
        let left = nodes.len() as u64 - place as u64;
        let drawn = choices.below(MINORITY, u64::from(fault), place as u64, left) as usize;
        nodes.swap(place, place + drawn);
    }
    nodes.truncate(size);
    nodes.sort_unstable();
    nodes
}

/// The directed links that a link fault on `targets` concerns, seen from one target.
fn links<M: BusModel>(world: &World<M>, active: &Active, target: NodeId) -> Vec<(NodeId, NodeId)> {
    let with_clients = active.kind != FaultKind::Partition && active.client.is_none();
    let others = if with_clients { world.nodes() } else { world.model().servers() };
    (0..others)
        .map(NodeId)
        .filter(|other| !active.targets.contains(other))
        .flat_map(|other| [(target, other), (other, target)])
        .collect()
}

fn change_link<M: BusModel>(
    world: &mut World<M>,
    active: &Active,
    (from, to): (NodeId, NodeId),
    strike: bool,
) {
    let outward = active.targets.contains(&from);
    match (active.kind, strike) {
        (FaultKind::Partition | FaultKind::Isolate, true) => world.cut(from, to),
        (FaultKind::Partition | FaultKind::Isolate, false) => world.uncut(from, to),
        (FaultKind::Stall, true) if outward => world.hold(from, to),
        (FaultKind::Stall, false) if outward => world.unhold(from, to),
        (FaultKind::Delay(more), true) => world.delay(from, to, more),
        (FaultKind::Delay(less), false) => world.undelay(from, to, less),
        _ => {}
    }
}

fn is_link_fault(kind: FaultKind) -> bool {
    matches!(kind, FaultKind::Partition | FaultKind::Isolate | FaultKind::Stall | FaultKind::Delay(_))
}

impl Nemesis {
    /// Breaks these nodes (all brokers, or all of one client).
    pub(crate) fn strike<M: BusModel>(
        &mut self,
        world: &mut World<M>,
        fault: &Fault,
        targets: Vec<NodeId>,
        client: Option<String>,
    ) {
        let processes = targets.iter().map(|node| world.process(*node)).collect();
        let active = Active { fault: fault.id, kind: fault.kind, targets, processes, client };
        for node in &active.targets {
            match fault.kind {
                FaultKind::Kill => world.kill(*node),
                FaultKind::Stop | FaultKind::Restart => world.stop(*node),
                FaultKind::Pause => world.pause(*node),
                FaultKind::PowerFail => world.power_fail(*node),
                FaultKind::DropResponses(count) => world.drop_responses(*node, count),
                _ => {
                    for link in links(world, &active, *node) {
                        change_link(world, &active, link, true);
                    }
                }
            }
        }
        self.active.push(active);
    }

    /// Mends one fault; answers with the client process to start again, if it hit one.
    pub(crate) fn heal<M: BusModel>(
        &mut self,
        world: &mut World<M>,
        fault: u32,
    ) -> Option<(String, FaultKind)> {
        let place = self.active.iter().position(|active| active.fault == fault)?;
        let active = self.active.remove(place);
        for node in &active.targets {
            let held =
                self.active.iter().any(|other| other.holds_like(&active) && other.targets.contains(node));
            match active.kind {
                _ if active.ends_process() => {
                    if active.client.is_none() && !held {
                        world.start(*node);
                    }
                }
                FaultKind::Pause if held => {}
                FaultKind::Pause => world.resume(*node),
                FaultKind::DropResponses(_) => world.drop_responses(*node, 0),
                _ => {
                    for link in links(world, &active, *node) {
                        change_link(world, &active, link, false);
                    }
                }
            }
        }
        // A client that another fault of this sort still holds is left to that one's healing.
        let held = |client: &str| {
            self.active
                .iter()
                .any(|other| other.holds_like(&active) && other.client.as_deref() == Some(client))
        };
        if active.client.as_deref().is_some_and(held) {
            return None;
        }
        active.client.map(|client| (client, active.kind))
    }

    /// Whether nothing is broken now.
    pub(crate) fn is_idle(&self) -> bool {
        self.active.is_empty()
    }

    /// The faults in force, oldest first.
    pub(crate) fn in_force(&self) -> Vec<u32> {
        self.active.iter().map(|active| active.fault).collect()
    }

    /// A client opened a new node: link faults in force reach it too.
    pub(crate) fn joined<M: BusModel>(&mut self, world: &mut World<M>, node: NodeId, process: &str) {
        let servers = world.model().servers();
        for active in self.active.iter_mut().filter(|active| is_link_fault(active.kind)) {
            if active.client.as_deref() == Some(process) {
                active.targets.push(node);
                for link in links(world, active, node) {
                    change_link(world, active, link, true);
                }
            } else if active.client.is_none() && active.kind != FaultKind::Partition {
                let targets = active.targets.clone();
                for broker in targets.into_iter().filter(|target| target.0 < servers) {
                    change_link(world, active, (broker, node), true);
                    change_link(world, active, (node, broker), true);
                }
            }
        }
    }

    /// Whether every broker that this fault asked to stop has stopped, also if it runs again by now.
    pub(crate) fn has_stopped<M: BusModel>(&self, world: &World<M>, fault: u32) -> bool {
        let active = self.active.iter().find(|active| active.fault == fault);
        active.is_none_or(|active| {
            active.client.is_some()
                || !matches!(active.kind, FaultKind::Stop | FaultKind::Restart)
                || active.targets.iter().zip(&active.processes).all(|(node, process)| {
                    matches!(world.life(*node), Life::Down | Life::Off) || world.process(*node) != *process
                })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minority_is_the_largest_set_that_is_none() {
        for (brokers, size) in [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (7, 3)] {
            let nodes = minority(&Choices::new(5), brokers, 0);
            assert_eq!(nodes.len(), size, "{brokers} brokers");
            assert!(nodes.iter().all(|node| node.0 < brokers));
            assert!(nodes.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }

    #[test]
    fn every_broker_is_drawn_by_some_seed() {
        let drawn: std::collections::BTreeSet<_> =
            (0..50).map(|seed| minority(&Choices::new(seed), 3, 0)).collect();
        assert_eq!(drawn.len(), 3);
    }
}
