//! proptest strategies of whole scenarios and of their plans. Behind the feature `proptest`.
//!
//! - Every scenario is one that a file could hold: it is written as YAML and read again as itself, and all in it fits
//!   together. It need not fit every bus: [`Plan::needs`] says what a target must have.
//! - Whatever a scenario file can say is drawn, but for settings by a broker's own names.
//! - Nothing is drawn that depends on what was drawn before: numbers are drawn, and made to fit when the scenario is
//!   put together. So every part shrinks by itself: towards one node, topic, partition and producer, without consumers
//!   and faults, and with everything optional left out.
//!
//! ```
//! use proptest::{strategy::{Strategy, ValueTree}, test_runner::TestRunner};
//! use squall_scenarios::{Scenario, strategies::{Bounds, plans, scenarios}};
//!
//! let mut runner = TestRunner::deterministic();
//! let bounds = Bounds { nodes: 3, ..Bounds::default() };
//! let scenario = scenarios(&bounds).new_tree(&mut runner).expect("a scenario").current();
//! assert_eq!(Scenario::parse("drawn.yaml", &scenario.to_yaml(), &[]).ok(), Some(scenario));
//! let plan = plans(&bounds).new_tree(&mut runner).expect("a plan").current();
//! assert!(plan.values().count() > 0);
//! ```
//!
//! | file | what it draws |
//! |---|---|
//! | here | the cluster, its topics, and the whole |
//! | `clients` | producers and consumers |
//! | `faults` | what breaks, when, whom it strikes |
//! | `wishes` | what must hold, and the bounds of exploration |

mod clients;
mod faults;
mod wishes;

use crate::{
    Plan, Scenario,
    format::{
        Fsync, OneOrMany, TopicShape, Topology, Workload,
        scalar::{Count, Period},
    },
    requirements,
};
use clients::{Reader, Writer};
use faults::Strike;
use proptest::{collection::vec, option, prelude::*, sample::select};
use std::{collections::BTreeMap, time::Duration};
use wishes::Wishes;

/// What times are drawn in, in milliseconds.
const GRAIN: u64 = 100;

/// How large a scenario may be. The least of each is 1, of consumers and faults 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// So many nodes at most.
    pub nodes: u32,
    /// So many topics at most, besides dead-letter topics.
    pub topics: u32,
    /// So many partitions of a topic at most.
    pub partitions: u32,
    /// So many groups of producers at most.
    pub producers: u32,
    /// So many groups of consumers at most.
    pub consumers: u32,
    /// So many clients of a group at most.
    pub members: u32,
    /// So many records a second at most, of each group of producers.
    pub rate: u64,
    /// Records are sent for so long at most; for a second at least.
    pub lasts: Duration,
    /// So many faults at most; one that strikes again and again is one.
    pub faults: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            nodes: 5,
            topics: 2,
            partitions: 4,
            producers: 2,
            consumers: 2,
            members: 3,
            rate: 20,
            lasts: Duration::from_secs(20),
            faults: 4,
        }
    }
}

/// Scenarios within these bounds.
pub fn scenarios(bounds: &Bounds) -> impl Strategy<Value = Scenario> + use<> {
    let head = ("\\PC{0,30}", vec(select(requirements::ids().collect::<Vec<_>>()), 0..=2));
    let clients = (
        vec(clients::writers(bounds), 1..=most(bounds.producers)),
        vec(clients::readers(bounds), 0..=bounds.consumers as usize),
    );
    let strikes = vec(faults::strikes(), 0..=bounds.faults as usize);
    let tenths = (bounds.lasts.as_millis() / u128::from(GRAIN)).clamp(10, 1_000_000) as u64;
    (head, topologies(bounds), 10..=tenths, clients, strikes, wishes::wishes()).prop_map(
        |((about, covers), topology, tenths, (writers, readers), strikes, wishes)| {
            let lasts = Period::millis(tenths * GRAIN);
            Parts { about, covers, topology, lasts, writers, readers, strikes, wishes }.fitted()
        },
    )
}

/// Plans of such scenarios, each with a seed of its own.
pub fn plans(bounds: &Bounds) -> impl Strategy<Value = Plan> + use<> {
    (scenarios(bounds), any::<u64>()).prop_map(|(scenario, seed)| Plan::new(scenario, seed))
}

fn most(bound: u32) -> usize {
    bound.max(1) as usize
}

fn topologies(bounds: &Bounds) -> impl Strategy<Value = Topology> + use<> {
    let shape = (1..=bounds.partitions.max(1), option::of(1..=5_u32), option::of(1..=5_u32));
    let shapes = vec(shape, 1..=most(bounds.topics));
    let fsync = select(vec![Fsync::Lazy, Fsync::Always]);
    (1..=bounds.nodes.max(1), fsync, shapes).prop_map(|(nodes, fsync, shapes)| {
        let nodes = Count::new(nodes);
        let topics = (1..).zip(shapes).map(|(number, (partitions, replicas, min_insync))| {
            let mut shape = TopicShape {
                partitions: Count::new(partitions),
                replicas: replicas.map(|replicas| Count::new(replicas.min(nodes.get()))),
                min_insync: None,
                config: BTreeMap::new(),
            };
            let copies = shape.replicas_on(nodes);
            shape.min_insync = min_insync.map(|least| Count::new(least.min(copies)));
            (format!("events-{number}"), shape)
        });
        Topology { nodes, fsync, brokers: BTreeMap::new(), bug: None, topics: topics.collect() }
    })
}

/// Everything that was drawn.
struct Parts {
    about: String,
    covers: Vec<&'static str>,
    topology: Topology,
    lasts: Period,
    writers: Vec<Writer>,
    readers: Vec<Reader>,
    strikes: Vec<Strike>,
    wishes: Wishes,
}

impl Parts {
    /// The parts as one scenario, each made to fit those before it.
    fn fitted(self) -> Scenario {
        let Self { about, covers, topology, lasts, writers, readers, strikes, wishes } = self;
        let producers = writers.iter().map(|writer| writer.fitted(&topology)).collect();
        let consumers: Vec<_> =
            (1..).zip(&readers).map(|(number, reader)| reader.fitted(number, &topology)).collect();
        let mut scenario = Scenario {
            name: "drawn".to_owned(),
            about,
            covers: covers.into_iter().map(str::to_owned).collect(),
            topology,
            workload: Workload {
                producers: OneOrMany::of(producers),
                consumers: (!consumers.is_empty()).then(|| OneOrMany::of(consumers)),
                lasts,
            },
            faults: Vec::new(),
            expect: crate::format::Expect::default(),
            changes: Vec::new(),
            recovery: wishes.recovery(),
            explore: None,
        };
        scenario.faults = strikes.iter().map(|strike| strike.fitted(&scenario)).collect();
        scenario.expect = wishes.expect(&scenario);
        scenario.explore = wishes.explore(&scenario);
        scenario
    }
}
