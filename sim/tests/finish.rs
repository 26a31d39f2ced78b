//! The end of a storm: what is about to be readable is waited for, and what is lost is not.

use squall_bus::{Acks, ConsumerConfig, Error, Fault, FaultKind, ProducerConfig, Record, Role, Time, Unit};
use squall_history::Kind;
use squall_sim::storm::{Storm, Trial};
use std::time::Duration;

/// Sends for a moment what a leader alone acknowledges. A service may read along.
async fn shop(trial: Trial, reads: bool) -> Result<(), Error> {
    if reads {
        trial.start("billing", |service| async move {
            let config = ConsumerConfig::group("billing", "billing", &["orders".into()]);
            let (sink, Ok(orders)) = (service.sink("billing"), service.bus().consumer(config)) else {
                return;
            };
            while let Ok(order) = orders.next().await {
                sink.processed(&order);
                let _ = orders.ack(&order).await;
            }
        });
        trial.clock().sleep(Duration::from_secs(10)).await;
    }
    let producer =
        trial.bus("shop").producer(ProducerConfig { acks: Acks::One, ..ProducerConfig::new("shop") })?;
    for number in 0..10 {
        producer.ready().await?;
        drop(producer.send(Record::new(&"orders".into(), None, format!("order {number}").into())));
        trial.clock().sleep(Duration::from_millis(20)).await;
    }
    producer.flush().await
}

/// What forbids something lost or left out, over some seeds with the followers frozen when the last orders are sent.
fn losses(storm: &Storm, reads: bool, fault: FaultKind, lasts: Duration) -> Vec<String> {
    let role = Role::Followers(Unit::new(&"orders".into(), 0));
    let at = Time::from_millis(if reads { 10_100 } else { 100 });
    let runs = (0..20).map(|seed| {
        let fault = Fault { id: 0, kind: fault, role: role.clone(), at, lasts };
        storm.run_faults(seed, vec![fault], move |trial| shop(trial, reads))
    });
    runs.filter(|run| !run.is_valid()).map(|run| run.to_string()).collect()
}

/// Followers that were frozen for a moment are about to have what their leader acknowledged. The log does not end
/// before that, neither for the drain nor for a group.
#[test]
fn what_followers_are_about_to_have_is_not_lost() {
    let storm = Storm::kafka().topic("orders", 1);
    for reads in [false, true] {
        let lost = losses(&storm, reads, FaultKind::Pause, Duration::from_millis(100));
        assert!(lost.is_empty(), "reads {reads}: {} of 20: {}", lost.len(), lost[0]);
    }
}

/// What the followers never get is lost, and is told; nobody waits for it for ever.
#[test]
fn what_a_leader_alone_had_is_lost_with_it() {
    let fault = |id, kind, role, at, lasts| {
        let (at, lasts) = (Time::from_millis(at), Duration::from_secs(lasts));
        Fault { id, kind, role, at, lasts }
    };
    let unit = Unit::new(&"orders".into(), 0);
    // The leader is gone for good before the followers are awake again, as far as what it had is concerned.
    let faults = vec![
        fault(0, FaultKind::Pause, Role::Followers(unit.clone()), 100, 2),
        fault(1, FaultKind::PowerFail, Role::Leader(unit), 1_000, 30),
    ];
    let run = Storm::kafka().topic("orders", 1).run_faults(1, faults, |trial| shop(trial, false));
    let history = run.history.as_ref().expect("it was carried out");
    assert!(run.forbidden().any(|anomaly| anomaly.kind == Kind::LostPostfix), "{run}");
    let end = history.time(u32::try_from(history.len() - 1).expect("few events"));
    assert!(end < Time::from_millis(120_000), "it waits for what is lost until {end}");
}
