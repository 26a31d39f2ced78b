//! How a transactional producer learns who coordinates once its coordinator has died (D1).

use super::transactions::{Stage, open, short};
use crate::{
    kernel::{NodeId, TraceEvent},
    model::TxnCall,
};
use ClientProfile::{Java, Native};
use squall_bus::{ClientProfile, Time};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// An open transaction, its producer, and its coordinator, which neither leads a partition of it nor controls the
/// cluster; if this draw has one.
fn apart(seed: u64, profile: ClientProfile) -> Option<(Stage, NodeId, NodeId)> {
    let (stage, producer) = open(seed, profile, None);
    let coordinator = stage.role("coordinator(payments)");
    let others = ["leader(orders/0)", "controller"].map(|role| stage.role(role));
    (!others.contains(&coordinator)).then_some((stage, producer, coordinator))
}

/// How long after the election of another coordinator a transaction ends that was open when its coordinator died, in
/// milliseconds, from the least to the greatest of these draws.
fn ends_after_the_election(profile: ClientProfile) -> Vec<u128> {
    let late = (0..24).filter_map(|seed| {
        let (mut stage, producer, coordinator) = apart(seed, profile)?;
        stage.world.kill(coordinator);
        let commit = stage.ask(producer, TxnCall::Commit);
        while stage.role("coordinator(payments)") == coordinator {
            stage.run(Duration::from_millis(10));
        }
        let elected = stage.world.now();
        assert_eq!(short(&stage.wait(commit)), "ok", "{profile:?} seed {seed}");
        Some(stage.world.now().since(elected).as_millis())
    });
    let mut late: Vec<u128> = late.collect();
    late.sort_unstable();
    late
}

/// librdkafka asks who coordinates half a second after each of its own attempts to connect to the dead one; Java asks
/// on. Measured with librdkafka: 0.2 to 8.3 s.
#[test]
fn d1_librdkafka_hears_of_a_new_coordinator_only_after_an_attempt_to_reach_the_old_one() {
    let (native, java) = (ends_after_the_election(Native), ends_after_the_election(Java));
    assert!(native.len() >= 5 && java.len() >= 5, "{native:?} {java:?}");
    assert!(native.iter().all(|late| *late < 10_500), "{native:?}");
    assert!(*native.last().expect("some") > 4_000, "{native:?}");
    assert!(java.iter().all(|late| *late < 2_500), "{java:?}");
}

/// When the coordinator of an open transaction dies and nothing is asked for, within the 8 seconds before there is
/// another: when its producer lost a connection to it or failed to make one, and when it asked who coordinates.
fn asks_when_idle(seed: u64, profile: ClientProfile) -> Option<(Vec<Time>, Vec<Time>)> {
    let (mut stage, producer, coordinator) = apart(seed, profile)?;
    stage.world.trace_mut().start_recording();
    stage.world.kill(coordinator);
    stage.run(8 * SECOND);
    let events = stage.world.trace_mut().take();
    let is_gone = |event: &TraceEvent| event.node == Some(producer) && event.peer == Some(coordinator);
    let asks = |event: &TraceEvent| event.peer == Some(producer) && event.text.contains("FindCoordinator");
    let gone = events.iter().filter(|event| is_gone(event) && event.text == "connection closed");
    let asked = events.iter().filter(|event| asks(event));
    Some((gone.map(|event| event.at).collect(), asked.map(|event| event.at).collect()))
}

/// Seen in librdkafka's debug log: the question follows the loss and each attempt by half a second, whether there is
/// something to say or not.
#[test]
fn d1_librdkafka_asks_half_a_second_after_each_attempt_with_nothing_to_say() {
    let idle = |profile| (0..24).filter_map(|seed| asks_when_idle(seed, profile)).collect::<Vec<_>>();
    let (native, java) = (idle(Native), idle(Java));
    assert!(native.len() >= 5 && java.len() >= 5, "{} {}", native.len(), java.len());
    for (gone, asked) in native {
        assert!((2..=4).contains(&asked.len()), "the loss, and attempts after 0.2, 0.8 and 3.2 s: {asked:?}");
        let later = |asked: &Time| gone.iter().map(|gone| asked.since(*gone).as_millis()).collect::<Vec<_>>();
        assert!(asked.iter().all(|asked| later(asked).contains(&500)), "{gone:?} {asked:?}");
    }
    assert!(java.iter().all(|(_, asked)| asked.is_empty()), "{java:?}");
}
