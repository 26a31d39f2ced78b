//! Which faults strike in a draw: families that are on or off, each with distances and durations of its own.
//!
//! - A family's rate and shortest duration are drawn once for the seed, so that some seeds have few long faults and
//!   others many short ones; each strike is drawn by (family, ordinal). Leaving one strike out changes no other.
//! - The scenario's own faults are in it or not, one by one.
//! - A seed that is limited leaves out what is more than the fault budget, in the order of time. In one that is not, a
//!   loss of power strikes all nodes: one node after the other, before the first has caught up, is what no
//!   configuration says anything about.

use super::{
    budget::Budget,
    draw::{Knobs, within},
};
use crate::{
    Plan,
    format::{
        Family, Scenario,
        scalar::{Period, PeriodRange},
    },
};
use squall_bus::{Capabilities, Fault, FaultKind, Role, Time, Topic, Unit};
use squall_sim::kernel::{Choices, Site, mix};
use std::time::Duration;

const ON: Site = Site::new("explore.family.on");
const SURE: Site = Site::new("explore.family.sure");
const EVERY: Site = Site::new("explore.family.every");
const LEAST: Site = Site::new("explore.family.least");
const MOST: Site = Site::new("explore.family.most");
const DISTANCE: Site = Site::new("explore.strike.distance");
const LASTS: Site = Site::new("explore.strike.for");
const ROLE: Site = Site::new("explore.strike.role");
const PLACE: Site = Site::new("explore.strike.place");
const VERB: Site = Site::new("explore.strike.verb");
const BY: Site = Site::new("explore.strike.by");
const COUNT: Site = Site::new("explore.strike.count");
const OWN: Site = Site::new("explore.own-fault");
const LIMITED: Site = Site::new("explore.limited");

/// No family strikes more often in one run.
const MOST_STRIKES: u64 = 12;
/// A delay is longer than any round trip, and shorter than any session.
const DELAYS: (u64, u64) = (20, 900);

/// The strikes of a seed on this cluster and workload, in the order of time.
pub(super) fn strikes(
    scenario: &Scenario,
    own: &Scenario,
    knobs: &Knobs,
    capabilities: &Capabilities,
    choices: &Choices,
) -> Vec<Fault> {
    let limited = !choices.happens(LIMITED, 0, 0, knobs.unlimited);
    let swarm = Swarm { scenario, knobs, choices, limited };
    let mut faults = own_faults(scenario, own, knobs, choices);
    let can = |fault: &Fault| capabilities.has(fault.kind.needs(&fault.role));
    let families = swarm.families(capabilities);
    faults.extend(families.into_iter().flat_map(|family| swarm.of_family(family)).filter(can));
    faults.sort_by_key(|fault| fault.at);
    if limited {
        let (budget, mut taken) = (Budget::of(scenario), Vec::new());
        for fault in &faults {
            budget.admit(&mut taken, fault);
        }
        faults = taken;
    }
    faults.truncate(knobs.strikes);
    for (id, fault) in (0_u32..).zip(&mut faults) {
        fault.id = id;
    }
    faults
}

/// The scenario's own faults, in full or not at all, as far as they still fit.
fn own_faults(scenario: &Scenario, own: &Scenario, knobs: &Knobs, choices: &Choices) -> Vec<Fault> {
    let mut kept = scenario.clone();
    let stays = |place: u64| choices.happens(OWN, place, 0, knobs.own);
    let specs = (0_u64..).zip(&own.faults).filter(|(place, _)| stays(*place)).map(|(_, fault)| fault.clone());
    kept.faults = specs
        .filter(|fault| {
            let alone = Scenario { faults: vec![fault.clone()], ..scenario.clone() };
            alone.fits()
        })
        .collect();
    Plan::with_choices(kept, choices.clone()).faults().to_vec()
}

/// The draws of one seed's faults.
struct Swarm<'a> {
    scenario: &'a Scenario,
    knobs: &'a Knobs,
    choices: &'a Choices,
    limited: bool,
}

impl Swarm<'_> {
    /// The families of this seed: some of those that may strike and that the target can, at least one.
    fn families(&self, capabilities: &Capabilities) -> Vec<Family> {
        let possible: Vec<Family> =
            self.knobs.families.iter().copied().filter(|family| can(*family, capabilities)).collect();
        if possible.is_empty() {
            return possible;
        }
        let sure = self.choices.below(SURE, 0, 0, possible.len() as u64) as usize;
        let is_on = |family: Family| self.choices.happens(ON, entity(family), 0, self.knobs.on);
        let chosen = possible.iter().enumerate().filter(|(place, family)| *place == sure || is_on(**family));
        chosen.map(|(_, family)| *family).collect()
    }

    fn of_family(&self, family: Family) -> Vec<Fault> {
        let (id, choices, knobs) = (entity(family), self.choices, self.knobs);
        let every = within(choices, EVERY, id, 0, knobs.every);
        let least = within(choices, LEAST, id, 0, knobs.lasting);
        let most = within(choices, MOST, id, 0, PeriodRange::new(least, knobs.lasting.high()));
        let end = self.scenario.workload.lasts.get();
        let (mut at, mut strikes) = (Duration::ZERO, Vec::new());
        for ordinal in 0..MOST_STRIKES {
            let distance = PeriodRange::new(Period::of(every.get() / 2), Period::of(every.get() * 3 / 2));
            at += within(choices, DISTANCE, id, ordinal, distance).get();
            let lasts = within(choices, LASTS, id, ordinal, PeriodRange::new(least, most)).get();
            if at >= end {
                break;
            }
            let Some((kind, role)) = self.aim(family, ordinal) else { break };
            let lasts = match kind {
                FaultKind::Restart | FaultKind::DropResponses(_) => Duration::ZERO,
                _ => lasts,
            };
            if at + lasts <= end {
                strikes.push(Fault { id: 0, kind, role, at: Time::ZERO + at, lasts });
            }
        }
        strikes
    }

    /// What breaks and whom it strikes.
    fn aim(&self, family: Family, ordinal: u64) -> Option<(FaultKind, Role)> {
        let id = entity(family);
        let below = |site, bound: u64| self.choices.below(site, id, ordinal, bound);
        let kind = match family {
            Family::Kill => FaultKind::Kill,
            Family::Stop => FaultKind::Stop,
            Family::Restart => FaultKind::Restart,
            Family::Pause => FaultKind::Pause,
            Family::Partition => FaultKind::Partition,
            Family::Isolate => FaultKind::Isolate,
            Family::Stall => FaultKind::Stall,
            Family::PowerFail => FaultKind::PowerFail,
            Family::Delay => FaultKind::Delay(Duration::from_millis(
                self.choices.between(BY, id, ordinal, DELAYS.0, DELAYS.1),
            )),
            Family::DropResponses => FaultKind::DropResponses(1 + below(COUNT, 4) as u32),
            Family::Clients => {
                let clients = self.scenario.client_names();
                let name = clients.get(below(PLACE, clients.len() as u64) as usize)?;
                let verbs = [FaultKind::Kill, FaultKind::Stop, FaultKind::Restart, FaultKind::Pause];
                return Some((verbs[below(VERB, 4) as usize], Role::Client(name.clone())));
            }
        };
        if family == Family::PowerFail && !self.limited {
            return Some((kind, Role::All));
        }
        Some((kind, self.role(kind, id, ordinal)))
    }

    /// A role at nodes: mostly one node, since that is what the budget is about.
    fn role(&self, kind: FaultKind, id: u64, ordinal: u64) -> Role {
        let nodes = self.scenario.topology.nodes;
        let below = |site, place: u64, bound: u64| self.choices.below(site, mix(id, place), ordinal, bound);
        let topics: Vec<_> = self.scenario.topology.topics.iter().collect();
        let (name, shape) = topics[below(PLACE, 1, topics.len() as u64) as usize];
        let partition = below(PLACE, 2, u64::from(shape.partitions.get())) as u32;
        let unit = Unit::new(&Topic::new(name), partition);
        let groups = self.scenario.consumer_groups();
        let has_followers = shape.replicas_on(nodes) > 1;
        let node = || Role::Node(1 + below(PLACE, 3, u64::from(nodes.get())) as u32);
        match below(ROLE, 0, 16) {
            0..5 => Role::Leader(unit),
            5..8 if has_followers => Role::Follower(unit),
            8 => Role::Controller,
            9 | 10 if !groups.is_empty() => {
                Role::Coordinator(groups[below(PLACE, 4, groups.len() as u64) as usize].group.clone())
            }
            11 if nodes.get() >= 3 => Role::Minority,
            12 if has_followers && !self.limited => Role::Followers(unit),
            13 if !self.limited && kind != FaultKind::Partition => Role::All,
            _ => node(),
        }
    }
}

/// Whether a target can do any of this family.
fn can(family: Family, capabilities: &Capabilities) -> bool {
    use squall_bus::Capability;
    capabilities.has(match family {
        Family::Kill | Family::Stop | Family::Restart | Family::Pause => Capability::ProcessFaults,
        Family::Partition | Family::Isolate | Family::Stall | Family::Delay => Capability::LinkFaults,
        Family::DropResponses => Capability::DropResponses,
        Family::PowerFail => Capability::PowerFail,
        Family::Clients => Capability::ClientFaults,
    })
}

/// A family in the key of a choice.
fn entity(family: Family) -> u64 {
    family as u64
}
