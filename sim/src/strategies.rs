//! proptest strategies over the simulator: what clients do, and which faults strike. Behind the feature `proptest`.
//!
//! Both are plain data, so a failing case shrinks to the few operations or faults that matter.
//!
//! ```
//! use proptest::{strategy::{Strategy, ValueTree}, test_runner::TestRunner};
//! use squall_sim::strategies::{faults, operations};
//! use std::time::Duration;
//!
//! let mut runner = TestRunner::deterministic();
//! let faults = faults(3, "orders", 2, Duration::from_secs(30)).new_tree(&mut runner).expect("faults").current();
//! assert!(faults.windows(2).all(|pair| pair[0].at + pair[0].lasts < pair[1].at));
//! let operations = operations(2, 20).new_tree(&mut runner).expect("operations").current();
//! assert!(operations.len() <= 20);
//! ```
//!
//! A test of a service takes a schedule of faults to [`Storm::run_faults`](crate::storm::Storm::run_faults), which
//! writes a capsule of each run that fails; proptest ends with the smallest.
//!
//! ```no_run
//! use proptest::{prop_assert, proptest};
//! use squall_sim::{storm::Storm, strategies::{crashes, faults, together}};
//! use std::time::Duration;
//!
//! const WINDOW: Duration = Duration::from_secs(10);
//!
//! proptest! {
//!     # #[allow(unused)]
//!     fn no_order_is_lost(brokers in faults(3, "orders", 2, WINDOW), clients in crashes(&["billing"], 3, WINDOW)) {
//!         let storm = Storm::kafka().topic("orders", 2).named("no_order_is_lost");
//!         let run = storm.run_faults(1, together(brokers, clients), |trial| async move {
//!             /* start services, send orders */
//!             Ok(())
//!         });
//!         prop_assert!(run.is_valid(), "{run}");
//!     }
//! }
//! # no_order_is_lost();
//! ```

use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};
use squall_bus::{Fault, FaultKind, Role, Time, Topic, Unit};
use std::time::Duration;

/// What clients of one topic do next: one producer, and one consumer of a group at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The producer sends a record of so many bytes to this partition and awaits its ack.
    Send {
        /// The partition.
        partition: u32,
        /// The size of the payload, in bytes.
        bytes: u16,
    },
    /// The consumer takes the next record, if one is left, and awaits its ack.
    Take,
    /// The consumer leaves its group in good order, and another one begins.
    Leave,
    /// The consumer is gone without a word, and another one begins.
    Vanish,
    /// Time passes.
    Wait(Duration),
}

/// Up to `most` operations on a topic of so many partitions.
pub fn operations(partitions: u32, most: usize) -> impl Strategy<Value = Vec<Operation>> {
    let operation = prop_oneof![
        6 => (0..partitions, 0..2_000_u16).prop_map(|(partition, bytes)| Operation::Send { partition, bytes }),
        4 => Just(Operation::Take),
        1 => Just(Operation::Leave),
        1 => Just(Operation::Vanish),
        1 => (1..5_000_u64).prop_map(|millis| Operation::Wait(Duration::from_millis(millis))),
    ];
    vec(operation, 0..=most)
}

/// How long a fault may last at most.
const LONGEST: Duration = Duration::from_secs(8);
/// What is at least between two faults.
const PAUSE: Duration = Duration::from_secs(5);

/// A schedule of faults on the brokers of a cluster of so many nodes with this topic: one after the other, with time to
/// recover in between, so that a cluster of three which acks from all survives each. It begins within `window`.
pub fn faults(
    nodes: u32,
    topic: &str,
    partitions: u32,
    window: Duration,
) -> impl Strategy<Value = Vec<Fault>> + use<> {
    let slot = LONGEST + PAUSE;
    let most = usize::try_from(window.as_nanos() / slot.as_nanos()).unwrap_or(usize::MAX).max(1);
    let fault = (kinds(), roles(nodes, topic, partitions), 0..5_000_u64, 100..8_000_u64);
    vec(fault, 0..=most).prop_map(|drawn| {
        let mut at = Time::ZERO;
        let mut faults = Vec::new();
        for (id, (kind, role, after, lasts)) in (0..).zip(drawn) {
            at += Duration::from_millis(after);
            let lasts = Duration::from_millis(lasts);
            // What is dropped are answers to producers, and only leaders give those.
            let role = match (kind, role) {
                (FaultKind::DropResponses(_), Role::Minority | Role::Controller) => Role::Node(1),
                (_, role) => role,
            };
            faults.push(Fault { id, kind, role, at, lasts });
            at = at + lasts + PAUSE;
        }
        faults
    })
}

/// Up to `most` faults on processes of these names, such as the services of a storm: each ends or freezes for a while.
/// They begin within `window`, and one may strike while another is struck.
pub fn crashes(
    processes: &[&str],
    most: usize,
    window: Duration,
) -> impl Strategy<Value = Vec<Fault>> + use<> {
    let names: Vec<String> = processes.iter().map(|name| (*name).to_owned()).collect();
    let most = if names.is_empty() { 0 } else { most };
    let kind = select(vec![FaultKind::Kill, FaultKind::Stop, FaultKind::Restart, FaultKind::Pause]);
    let millis = u64::try_from(window.as_millis()).unwrap_or(u64::MAX).max(1);
    let fault = (kind, any::<Index>(), 0..millis, 1..8_000_u64);
    vec(fault, 0..=most).prop_map(move |drawn| {
        let fault = |(kind, process, at, lasts): (FaultKind, Index, u64, u64)| Fault {
            id: 0,
            kind,
            role: Role::Client(process.get(&names).clone()),
            at: Time::from_millis(at),
            lasts: if kind == FaultKind::Restart { Duration::ZERO } else { Duration::from_millis(lasts) },
        };
        together(drawn.into_iter().map(fault).collect(), Vec::new())
    })
}

/// Two schedules as one, in the order of time and numbered in this order.
#[must_use]
pub fn together(one: Vec<Fault>, other: Vec<Fault>) -> Vec<Fault> {
    let mut faults = [one, other].concat();
    faults.sort_by_key(|fault| fault.at);
    for (id, fault) in (0..).zip(&mut faults) {
        fault.id = id;
    }
    faults
}

fn kinds() -> impl Strategy<Value = FaultKind> {
    prop_oneof![
        // The plainest first: a failing case shrinks towards it.
        Just(FaultKind::Kill),
        select(vec![FaultKind::Stop, FaultKind::Restart, FaultKind::Pause]),
        select(vec![FaultKind::Partition, FaultKind::Isolate, FaultKind::Stall]),
        (1..500_u64).prop_map(|millis| FaultKind::Delay(Duration::from_millis(millis))),
        (1..5_u32).prop_map(FaultKind::DropResponses),
    ]
}

fn roles(nodes: u32, topic: &str, partitions: u32) -> impl Strategy<Value = Role> + use<> {
    let topic = Topic::new(topic);
    let unit = (0..partitions.max(1)).prop_map(move |partition| Unit::new(&topic, partition));
    prop_oneof![
        (1..=nodes.max(1)).prop_map(Role::Node),
        unit.clone().prop_map(Role::Leader),
        unit.prop_map(Role::Follower),
        Just(Role::Controller),
    ]
}
