//! What befell the run: faults, elections and phases. The guarantees are conditional on these.

use crate::{
    events::Hit,
    history::{History, Observation, Phase, Struck, UnitId},
};
use std::time::Duration;

/// What befell a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// How many faults struck somebody.
    pub faults: u64,
    /// The first fault that struck a node, in words, with the index of its event.
    pub node_fault: Option<(u32, String)>,
    /// The first fault that struck a client's process, in words.
    pub client_fault: Option<(u32, String)>,
    /// The nodes that lost power, in order.
    pub powerless: Vec<u32>,
    /// How many nodes were broken at once, at most.
    pub most_nodes_broken: u32,
    /// How far clocks may be from the times of the history; `None` if nobody knows.
    pub clock_bound: Option<Duration>,
    /// The first change of a leader after the first one of that unit.
    pub leader_change: Option<(u32, UnitId)>,
    /// The first election of a leader that was not in sync.
    pub unclean: Option<(u32, UnitId)>,
    /// The consumers had come to the end of every unit.
    pub caught_up: bool,
    /// When the schedule wanted no more sends.
    pub workload_over: Option<u32>,
    /// Why some leader may have changed, in words.
    pub(crate) risk: Option<String>,
}

impl Facts {
    pub(crate) fn of(history: &History) -> Self {
        let mut facts = Self { clock_bound: history.meta.configuration.clock_bound, ..Self::default() };
        let mut broken = Broken::default();
        let mut leaders: Vec<Option<Option<u32>>> = vec![None; history.unit_count()];
        for (event, note) in history.notes() {
            match note {
                Observation::Fault(fault) => {
                    facts.strike(*event, fault);
                    facts.most_nodes_broken = facts.most_nodes_broken.max(broken.strike(fault));
                }
                Observation::Heal { id } => broken.heal(*id),
                Observation::ClockBound(bound) => facts.clock_bound = facts.clock_bound.max(Some(*bound)),
                Observation::Elected { unit, leader, unclean, .. } => {
                    let known = &mut leaders[unit.index()];
                    if known.is_some_and(|before| before != *leader) {
                        facts.leader_change.get_or_insert((*event, *unit));
                    }
                    *known = Some(*leader);
                    if *unclean {
                        facts.unclean.get_or_insert((*event, *unit));
                    }
                }
                Observation::Phase(Phase::CaughtUp) => facts.caught_up = true,
                Observation::Phase(Phase::WorkloadOver) => facts.workload_over = Some(*event),
                _ => {}
            }
        }
        facts.powerless.sort_unstable();
        facts.powerless.dedup();
        facts.risk = match (&facts.node_fault, facts.leader_change) {
            (Some((event, fault)), _) => Some(format!("`{fault}` struck ({})", history.quoted(*event))),
            (None, Some((event, _))) => Some(format!("a leader changed ({})", history.quoted(event))),
            (None, None) => None,
        };
        facts
    }

    fn strike(&mut self, event: u32, fault: &Struck) {
        let words = || format!("{} {}", fault.verb, fault.role);
        match &fault.hit {
            Hit::Nodes(nodes) if !nodes.is_empty() => {
                self.faults += 1;
                self.node_fault.get_or_insert_with(|| (event, words()));
                if fault.verb == "power-fail" {
                    self.powerless.extend(nodes);
                }
            }
            Hit::Client(_) => {
                self.faults += 1;
                self.client_fault.get_or_insert_with(|| (event, words()));
            }
            Hit::Nodes(_) | Hit::Nobody => {}
        }
    }

    /// Whether some leader may have changed, with the reason in words.
    #[must_use]
    pub fn leader_at_risk(&self) -> Option<String> {
        self.risk.clone()
    }
}

/// The faults in force, with the nodes that they hit.
#[derive(Default)]
struct Broken(Vec<(u32, Vec<u32>)>);

impl Broken {
    /// A fault strikes: how many nodes are broken now.
    fn strike(&mut self, fault: &Struck) -> u32 {
        if let Hit::Nodes(nodes) = &fault.hit {
            self.0.push((fault.id, nodes.clone()));
        }
        let mut nodes: Vec<u32> = self.0.iter().flat_map(|(_, nodes)| nodes).copied().collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes.len() as u32
    }

    fn heal(&mut self, id: u32) {
        self.0.retain(|(fault, _)| *fault != id);
    }
}
