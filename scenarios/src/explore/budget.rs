//! The fault budget: how many faults at once a configuration is made to survive.
//!
//! - So many nodes may be broken at once that every topic keeps `min_insync` of its copies and the cluster a majority
//!   of its nodes.
//! - A node that was down, or lost power, is broken until it has caught up: 15 s after it is started again. One that
//!   was frozen or cut off is broken for 5 s longer.
//! - Where disks are synced some time after the ack, fewer than `min_insync` nodes may lose power in the whole run:
//!   what one lost it gets back from the others, and nobody knows how soon.
//! - Delays and lost responses break no node; faults of clients break none either.
//!
//! A fault at a role counts for as many nodes as the role can mean.

use crate::format::{Fsync, Scenario};
use squall_bus::{Fault, FaultKind, Role, Time};
use std::time::Duration;

/// How long a node that was down needs to catch up.
const DOWN: Duration = Duration::from_secs(15);
/// How long a node needs that went on running.
const AWAY: Duration = Duration::from_secs(5);

/// What the faults of a draw are, measured against the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// The configuration is made to survive them: everything that the scenario expects must hold.
    Within,
    /// They are more than that: only what the configuration promises by itself must hold.
    Beyond,
}

/// How many faults a configuration is made to survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// So many nodes may be broken at once.
    pub nodes: u32,
    /// So many nodes may lose power over the whole run.
    pub powerless: u32,
    cluster: u32,
    replicas: u32,
}

impl Budget {
    /// The budget of a scenario's topology.
    #[must_use]
    pub fn of(scenario: &Scenario) -> Self {
        let cluster = scenario.topology.nodes;
        let topics = scenario.topics();
        let spare =
            topics.values().map(|shape| shape.replicas_on(cluster) - shape.min_insync_on(cluster)).min();
        let min_insync = topics.values().map(|shape| shape.min_insync_on(cluster)).min().unwrap_or(1);
        let nodes = spare.unwrap_or(0).min((cluster.get() - 1) / 2);
        Self {
            nodes,
            powerless: match scenario.topology.fsync {
                Fsync::Lazy => min_insync.saturating_sub(1).min(nodes),
                Fsync::Always => u32::MAX,
            },
            cluster: cluster.get(),
            replicas: topics.values().map(|shape| shape.replicas_on(cluster)).max().unwrap_or(1),
        }
    }

    /// How many nodes a fault breaks at most.
    #[must_use]
    pub fn breaks(&self, fault: &Fault) -> u32 {
        match (fault.kind, &fault.role) {
            (FaultKind::Delay(_) | FaultKind::DropResponses(_), _) | (_, Role::Client(_)) => 0,
            (_, Role::Followers(_)) => self.replicas - 1,
            (_, Role::Minority) => (self.cluster - 1) / 2,
            (_, Role::All) => self.cluster,
            _ => 1,
        }
    }

    /// When the nodes that a fault broke are whole again.
    fn over(fault: &Fault) -> Time {
        let after = match fault.kind {
            FaultKind::Kill | FaultKind::Stop | FaultKind::Restart | FaultKind::PowerFail => DOWN,
            _ => AWAY,
        };
        fault.at + fault.lasts + after
    }

    /// Whether these faults are within the budget.
    #[must_use]
    pub fn class(&self, faults: &[Fault]) -> Class {
        let mut kept = Vec::new();
        if faults.iter().all(|fault| self.admit(&mut kept, fault)) { Class::Within } else { Class::Beyond }
    }

    /// Takes a fault to those that were taken, in the order of time, unless that is more than the budget.
    pub(super) fn admit(&self, taken: &mut Vec<Fault>, fault: &Fault) -> bool {
        let at_once: u32 = taken
            .iter()
            .filter(|other| Self::over(other) > fault.at && other.at < Self::over(fault))
            .map(|other| self.breaks(other))
            .sum();
        let lost_power =
            |fault: &Fault| if fault.kind == FaultKind::PowerFail { self.breaks(fault) } else { 0 };
        let powerless: u32 = taken.iter().map(lost_power).sum();
        let fits = self.breaks(fault) == 0 || at_once + self.breaks(fault) <= self.nodes;
        let powered = lost_power(fault) == 0 || powerless + lost_power(fault) <= self.powerless;
        if fits && powered {
            taken.push(fault.clone());
        }
        fits && powered
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library;
    use squall_bus::{Topic, Unit};

    fn budget(set: &[&str]) -> Budget {
        let set: Vec<_> = set.iter().map(|text| text.parse().expect("an override")).collect();
        Budget::of(&library::open("leader-failover", &set).expect("it parses"))
    }

    fn fault(kind: FaultKind, role: Role, at: u64, lasts: u64) -> Fault {
        Fault { id: 0, kind, role, at: Time::from_millis(at * 1_000), lasts: Duration::from_secs(lasts) }
    }

    #[test]
    fn a_budget_follows_from_copies_and_majorities() {
        assert_eq!(budget(&[]).nodes, 1);
        assert_eq!(budget(&["topology.nodes=5"]).nodes, 1, "min_insync 2 of 3 copies");
        assert_eq!(budget(&["topology.topics.order-events.min_insync=3"]).nodes, 0);
        assert_eq!(budget(&["topology.topics.order-events.min_insync=1"]).powerless, 0);
        assert_eq!(budget(&["topology.fsync=always"]).powerless, u32::MAX);
    }

    #[test]
    fn faults_count_while_their_nodes_are_broken() {
        let budget = budget(&[]);
        let leader = || Role::Leader(Unit::new(&Topic::new("order-events"), 0));
        let kill = |at| fault(FaultKind::Kill, leader(), at, 5);
        assert_eq!(budget.class(&[kill(1), kill(30)]), Class::Within);
        assert_eq!(budget.class(&[kill(1), kill(12)]), Class::Beyond, "the first has not caught up");
        let cut = |at| fault(FaultKind::Partition, Role::Minority, at, 5);
        assert_eq!(budget.class(&[cut(1), cut(12)]), Class::Within);
        let everybody = fault(FaultKind::PowerFail, Role::All, 1, 5);
        assert_eq!(budget.class(&[everybody]), Class::Beyond);
        let powerless = |at| fault(FaultKind::PowerFail, Role::Node(1), at, 1);
        assert_eq!(budget.class(&[powerless(1)]), Class::Within);
        assert_eq!(budget.class(&[powerless(1), powerless(60)]), Class::Beyond, "two losses of power");
        let slow = fault(FaultKind::Delay(Duration::from_millis(100)), Role::All, 1, 9);
        let client = fault(FaultKind::Kill, Role::Client("consumer-1".to_owned()), 1, 9);
        assert_eq!(budget.class(&[kill(1), slow, client]), Class::Within);
    }
}
