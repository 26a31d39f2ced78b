//! The swarm: what a seed makes of a scenario and its bounds.
//!
//! Every choice is keyed by the seed, its site and what it is about (a topic, a group, a family of faults), so leaving
//! something out changes no other choice. In swarm testing each seed leaves whole features out (Groce and others,
//! 2012): groups of clients, families of faults, poison. The draw is a plain scenario: its faults stand at fixed times
//! for fixed spans, and it has no bounds.
//!
//! `expect.unavailable` bounds the scenario's own faults and is not asked of a draw. What a draw beyond the budget must
//! still hold is what the configuration promises by itself: it has no expectations at all.

use super::{
    budget::{Budget, Class},
    strikes::strikes,
};
use crate::format::{
    Arrivals, Consumers, Expect, Explore, Family, FaultSpec, KeyChoice, OneOrMany, PayloadKind, Producers,
    Scenario, TopicShape,
    scalar::{Count, CountRange, Period, PeriodRange, Ratio},
};
use squall_bus::{Capabilities, Fault, FaultKind, Role};
use squall_sim::kernel::{Choices, Site};
use std::{collections::BTreeSet, fmt, str::FromStr, sync::Arc, time::Duration};

const NODES: Site = Site::new("explore.nodes");
const PARTITIONS: Site = Site::new("explore.partitions");
const FOR: Site = Site::new("explore.for");
const PRODUCERS_OFF: Site = Site::new("explore.producers.off");
const PRODUCERS: Site = Site::new("explore.producers.count");
const RATE: Site = Site::new("explore.producers.rate");
const ARRIVALS: Site = Site::new("explore.producers.arrivals");
const CUSTOMERS: Site = Site::new("explore.producers.customers");
const KEY: Site = Site::new("explore.producers.key");
const TIMEOUT: Site = Site::new("explore.producers.timeout");
const LINGER: Site = Site::new("explore.producers.linger");
const CONSUMERS_OFF: Site = Site::new("explore.consumers.off");
const CONSUMERS: Site = Site::new("explore.consumers.count");
const POISON: Site = Site::new("explore.consumers.poison");
const FAILS: Site = Site::new("explore.consumers.fails");
const PREFETCH: Site = Site::new("explore.consumers.prefetch");

const MILLISECOND: u64 = 1_000_000;

/// How long a group may take to recover when a node lost power that a member waited for: nobody tells the member, and
/// client libraries wait for the answer to a join as long as a rebalance may take, 300 s, and some seconds more. Twice in
/// a row is beyond what is waited for.
const ANSWERS_LOST: Period = Period::seconds(400);

/// How much a seed draws.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Preset {
    /// Little and short, always within the fault budget: a first look.
    Lite,
    /// Half of all families of faults; one seed in four has no fault budget.
    #[default]
    Swarm,
    /// Nearly all families, close together; more than half of the seeds have no fault budget.
    Storm,
}

impl Preset {
    /// The flag of the command line; `None` for the usual one.
    #[must_use]
    pub const fn flag(self) -> Option<&'static str> {
        match self {
            Self::Lite => Some("--lite"),
            Self::Swarm => None,
            Self::Storm => Some("--storm"),
        }
    }
}

impl FromStr for Preset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let presets = [Self::Lite, Self::Swarm, Self::Storm];
        presets
            .into_iter()
            .find(|preset| preset.to_string() == text)
            .ok_or_else(|| format!("`{text}` is no preset; write lite, swarm or storm"))
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lite => "lite",
            Self::Swarm => "swarm",
            Self::Storm => "storm",
        })
    }
}

/// What a seed drew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draw {
    /// The scenario, with nothing left to draw but what its plan draws.
    pub scenario: Arc<Scenario>,
    /// Its faults against its budget.
    pub class: Class,
}

/// Bounds and odds of one sweep: the scenario's, and where it says nothing, the preset's. Odds are in millionths.
pub(super) struct Knobs {
    pub(super) families: Vec<Family>,
    /// A family is on.
    pub(super) on: u32,
    /// A fault of the scenario's own is kept.
    pub(super) own: u32,
    /// The seed has no fault budget.
    pub(super) unlimited: u32,
    pub(super) every: PeriodRange,
    pub(super) lasting: PeriodRange,
    /// So many strikes at most.
    pub(super) strikes: usize,
}

impl Knobs {
    fn new(bounds: &Explore, preset: Preset, lasts: Period) -> Self {
        let part = |of: u32| Period::of(lasts.get() / of);
        let (on, own, unlimited, strikes, closer) = match preset {
            Preset::Lite => (200_000, 300_000, 0, 3, 1),
            Preset::Swarm => (450_000, 500_000, 250_000, 12, 1),
            Preset::Storm => (800_000, 500_000, 600_000, 40, 2),
        };
        let longest = part(3).min(Period::seconds(15));
        let lasting = PeriodRange::new(Period::millis(300).min(longest), longest);
        let fitting =
            |range: PeriodRange| PeriodRange::new(range.low().min(longest), range.high().min(part(1)));
        Self {
            families: bounds.families.clone().unwrap_or_else(|| Family::ALL.to_vec()),
            on,
            own,
            unlimited,
            every: bounds.every.unwrap_or(PeriodRange::new(part(8 * closer), part(2 * closer))),
            lasting: bounds.lasting.map_or(lasting, fitting),
            strikes,
        }
    }
}

/// What this seed draws of a scenario for a target that is capable of so much.
#[must_use]
pub fn draw(base: &Scenario, preset: Preset, capabilities: &Capabilities, seed: u64) -> Draw {
    let choices = Choices::new(seed);
    let bounds = base.explore.clone().unwrap_or_default();
    let mut scenario = Scenario { explore: None, faults: Vec::new(), ..base.clone() };
    scenario.expect = Expect { unavailable: None, marks: Vec::new(), ..base.expect.clone() };
    topology(&mut scenario, &bounds, &choices);
    workload(&mut scenario, &bounds, preset, &choices);
    let knobs = Knobs::new(&bounds, preset, scenario.workload.lasts);
    let faults: Vec<Fault> = strikes(&scenario, base, &knobs, capabilities, &choices);
    scenario.faults = faults.iter().map(FaultSpec::fixed).collect();
    if faults.iter().any(loses_answers) {
        scenario.recovery = scenario.recovery.max(ANSWERS_LOST);
    }
    let class = Budget::of(&scenario).class(&faults);
    if class == Class::Beyond {
        scenario.expect = Expect::default();
    }
    Draw { scenario: Arc::new(scenario), class }
}

/// Whether a fault leaves clients with requests that nobody will ever answer and no broken connection to tell.
fn loses_answers(fault: &Fault) -> bool {
    fault.kind == FaultKind::PowerFail && !matches!(fault.role, Role::Client(_))
}

/// A duration of the range, in whole milliseconds, since people read and shorten these.
pub(super) fn within(choices: &Choices, site: Site, entity: u64, ordinal: u64, range: PeriodRange) -> Period {
    let (low, high) = (range.low().nanos().div_ceil(MILLISECOND), range.high().nanos() / MILLISECOND);
    Period::millis(choices.between(site, entity, ordinal, low, high))
}

fn count(choices: &Choices, site: Site, entity: u64, range: CountRange) -> Count {
    Count::new(choices.between(site, entity, 0, u64::from(range.low()), u64::from(range.high())) as u32)
}

fn topology(scenario: &mut Scenario, bounds: &Explore, choices: &Choices) {
    let own = scenario.topology.nodes.get();
    // Copies that a topic asks for must have their nodes.
    let copies = scenario.topology.topics.values().filter_map(|shape| shape.replicas).map(Count::get).max();
    scenario.topology.nodes = match bounds.nodes {
        Some(range) => count(choices, NODES, 0, range),
        // An even number of nodes survives no more than one less.
        None => Count::new(own + 2 * choices.below(NODES, 0, 0, 2) as u32),
    }
    .max(Count::new(copies.unwrap_or(1)));
    for (place, shape) in (0_u64..).zip(scenario.topology.topics.values_mut()) {
        let own = shape.partitions.get();
        let range = bounds.partitions.unwrap_or(CountRange::new(1, own));
        *shape = TopicShape { partitions: count(choices, PARTITIONS, place, range), ..shape.clone() };
    }
}

fn workload(scenario: &mut Scenario, bounds: &Explore, preset: Preset, choices: &Choices) {
    let own = scenario.workload.lasts;
    let short = |range: PeriodRange| match preset {
        Preset::Lite => PeriodRange::new(range.low(), range.low()),
        Preset::Swarm | Preset::Storm => range,
    };
    scenario.workload.lasts = match (bounds.lasts, preset) {
        (Some(range), _) => within(choices, FOR, 0, 0, short(range)),
        (None, Preset::Lite) => own.min(Period::seconds(15)),
        (None, Preset::Swarm | Preset::Storm) => own,
    };
    let lasts = scenario.workload.lasts.get();
    let groups = scenario.workload.producers.as_mut();
    let any = |_: &Producers| true;
    leave_out(groups, PRODUCERS_OFF, choices, |_| false, any);
    for (place, group) in (0_u64..).zip(groups.iter_mut()) {
        producers(group, place, bounds, lasts, choices);
    }
    let written: BTreeSet<&str> = groups.iter().map(|group| group.topic.as_str()).collect();
    let needs_dlq = scenario.expect.dlq.is_some();
    let Some(groups) = scenario.workload.consumers.as_mut().map(OneOrMany::as_mut) else { return };
    let needed = |group: &Consumers| needs_dlq && group.dlq.is_some();
    let reads =
        |group: &Consumers| group.topic.as_slice().iter().any(|topic| written.contains(topic.as_str()));
    leave_out(groups, CONSUMERS_OFF, choices, needed, reads);
    for (place, group) in (0_u64..).zip(groups) {
        consumers(group, place, bounds, choices);
    }
}

/// Leaves each group out in one seed of four, unless it is needed. One that works stays, if any does: a shop in which
/// nobody reads what is written shows nothing.
fn leave_out<T>(
    groups: &mut Vec<T>,
    site: Site,
    choices: &Choices,
    needed: impl Fn(&T) -> bool,
    works: impl Fn(&T) -> bool,
) {
    let working: Vec<u64> =
        (0..).zip(groups.iter()).filter(|(_, group)| works(group)).map(|(place, _)| place).collect();
    let stays = choices.below(site, u64::MAX, 0, working.len().max(1) as u64);
    let stays = working.get(stays as usize).copied();
    let mut place = 0;
    groups.retain(|group| {
        let off = Some(place) != stays && !needed(group) && choices.happens(site, place, 0, 250_000);
        place += 1;
        !off
    });
}

fn producers(group: &mut Producers, place: u64, bounds: &Explore, lasts: Duration, choices: &Choices) {
    let below = |site, bound| choices.below(site, place, 1, bound);
    let one_in = |site, seeds| choices.below(site, place, 0, seeds) == 0;
    let range = bounds.producers.unwrap_or(CountRange::new(1, group.count.get() + 1));
    group.count = count(choices, PRODUCERS, place, range);
    let own = group.rate;
    group.rate = own.percent([25, 50, 100, 100][below(RATE, 4) as usize]);
    if group.rate.within(lasts) == 0 {
        group.rate = own;
    }
    group.arrivals = if one_in(ARRIVALS, 2) { Arrivals::Constant } else { Arrivals::Poisson };
    // Few customers make hot keys, and with them hot partitions.
    group.customers = Count::new([1, 5, 100, group.customers.get()][below(CUSTOMERS, 4) as usize]);
    if group.key == KeyChoice::CustomerId && group.payload != PayloadKind::Customers && one_in(KEY, 3) {
        group.key = KeyChoice::OrderId;
    }
    if one_in(LINGER, 3) {
        group.linger = Some(Period::millis([0, 1, 20, 100][below(LINGER, 4) as usize]));
    }
    // Short enough that records are given up. An idempotent producer that gives a record up begins a new epoch: what it
    // sends again then may stand twice, and behind what was sent after it, so that nothing of the log would be left to
    // judge.
    let is_free = group.delivery_timeout.is_none() && group.request_timeout.is_none() && !group.idempotent;
    if is_free && one_in(TIMEOUT, 3) {
        group.delivery_timeout = Some(Period::seconds(choices.between(TIMEOUT, place, 1, 3, 12)));
        group.request_timeout = Some(Period::millis(choices.between(TIMEOUT, place, 2, 500, 2_500)));
    }
    if let (Some(linger), Some(request), Some(delivery)) =
        (group.linger, group.request_timeout, group.delivery_timeout)
        && delivery.get() < linger.get() + request.get()
    {
        group.linger = None;
    }
}

fn consumers(group: &mut Consumers, place: u64, bounds: &Explore, choices: &Choices) {
    let one_in = |site, seeds| choices.below(site, place, 0, seeds) == 0;
    let range = bounds.consumers.unwrap_or(CountRange::new(1, group.count.get() + 1));
    group.count = count(choices, CONSUMERS, place, range);
    // None, as much as the scenario says, or enough of it that tries and crashes meet.
    group.handler.poison = match choices.below(POISON, place, 0, 3) {
        0 => Ratio::ZERO,
        1 => group.handler.poison,
        _ => group.handler.poison.times(5).min(Ratio::TENTH),
    };
    if one_in(FAILS, 3) {
        group.handler.fails = Ratio::ZERO;
    }
    if one_in(PREFETCH, 4) {
        group.prefetch = Some(Count::new([1, 10, 100][choices.below(PREFETCH, place, 1, 3) as usize]));
    }
}
