//! What must hold, and the bounds of exploration: as much of what was drawn as the scenario allows.

use super::clients::spans;
use crate::format::{
    Expect, Explore, Family, KeyChoice, Scenario,
    scalar::{Bound, Count, CountRange, MarkName, Period, PeriodRange},
};
use proptest::{collection::vec, option, prelude::*, sample::select};
use squall_history::guarantees::{Delivery, Dlq, Log, Order};
use squall_sim::kernel::Mark;

/// What is wished for, before it fits.
#[derive(Clone, Debug)]
pub(super) struct Wishes {
    recovery: Period,
    delivery: Option<Delivery>,
    log: bool,
    order: bool,
    dlq: bool,
    /// In seconds, inclusive or not.
    unavailable: Option<(u64, bool)>,
    marks: Vec<Mark>,
    explore: Option<Bounds>,
}

/// Bounds of exploration, before they fit.
#[derive(Clone, Debug)]
struct Bounds {
    nodes: Option<u32>,
    /// All partitions, or from one on.
    partitions: Option<bool>,
    producers: Option<(u32, u32)>,
    consumers: Option<(u32, u32)>,
    lasts: Option<PeriodRange>,
    families: Option<Vec<Family>>,
    every: Option<PeriodRange>,
    lasting: Option<PeriodRange>,
}

pub(super) fn wishes() -> impl Strategy<Value = Wishes> {
    let delivery = select(vec![Delivery::AtLeastOnce, Delivery::AtMostOnce, Delivery::ExactlyOnce]);
    let expect = (
        option::of(delivery),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        option::of((1..=60_u64, any::<bool>())),
        vec(select(Mark::ALL.to_vec()), 0..=2),
    );
    (30..=120_u64, expect, option::weighted(0.2, bounds())).prop_map(|(recovery, expect, explore)| {
        let (delivery, log, order, dlq, unavailable, marks) = expect;
        // Two minutes is what a scenario has that says nothing.
        let recovery = Period::seconds(150 - recovery);
        Wishes { recovery, delivery, log, order, dlq, unavailable, marks, explore }
    })
}

fn bounds() -> impl Strategy<Value = Bounds> {
    let clients = || option::of((1..=4_u32, 0..=4_u32));
    let times = || option::of(spans(1..=20_000));
    let families = option::of(vec(select(Family::ALL.to_vec()), 1..=3));
    (
        option::of(0..=3_u32),
        option::of(any::<bool>()),
        clients(),
        clients(),
        times(),
        families,
        times(),
        times(),
    )
        .prop_map(|(nodes, partitions, producers, consumers, lasts, families, every, lasting)| Bounds {
            nodes,
            partitions,
            producers,
            consumers,
            lasts,
            families,
            every,
            lasting,
        })
}

impl Wishes {
    pub(super) fn recovery(&self) -> Period {
        self.recovery
    }

    pub(super) fn expect(&self, scenario: &Scenario) -> Expect {
        let groups = scenario.consumer_groups();
        let keyed = scenario.producer_groups().iter().any(|group| group.key != KeyChoice::None);
        let dead_letters = groups.iter().any(|group| group.dlq.is_some());
        let bound = |(seconds, inclusive): (u64, bool)| -> Option<Bound> {
            format!("{} {seconds}s", if inclusive { "<=" } else { "<" }).parse().ok()
        };
        Expect {
            delivery: self.delivery.filter(|one| *one == Delivery::AtLeastOnce || !groups.is_empty()),
            log: self.log.then_some(Log::ExactlyOnce),
            order: (self.order && keyed).then_some(Order::PerKey),
            dlq: (self.dlq && dead_letters).then_some(Dlq::ExactlyThePoison),
            unavailable: self.unavailable.and_then(bound),
            marks: self.marks.iter().copied().map(MarkName).collect(),
        }
    }

    pub(super) fn explore(&self, scenario: &Scenario) -> Option<Explore> {
        let bounds = self.explore.as_ref()?;
        let topics = scenario.topology.topics.values();
        let copies = topics.clone().filter_map(|shape| shape.replicas).max().map(Count::get);
        let partitions = topics.map(|shape| shape.partitions.get()).min().unwrap_or(1);
        let nodes = copies.unwrap_or(1);
        let clients = |(least, more)| CountRange::new(least, least + more);
        Some(Explore {
            nodes: bounds.nodes.map(|more| CountRange::new(nodes, nodes + more)),
            partitions: bounds
                .partitions
                .map(|all| CountRange::new(if all { partitions } else { 1 }, partitions)),
            producers: bounds.producers.map(clients),
            consumers: bounds.consumers.map(clients),
            lasts: bounds.lasts,
            families: bounds.families.clone(),
            every: bounds.every,
            lasting: bounds.lasting,
        })
    }
}
