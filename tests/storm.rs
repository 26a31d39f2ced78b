//! Storms through the face, as a user writes them: what they find, what they tell, what they refuse.

mod shape;

use shape::shape;
use squall::prelude::*;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// A service that takes its time over each order, and commits before that or behind it.
async fn billing(service: Service, commits_first: bool) -> Result<(), Error> {
    let config = ConsumerConfig {
        session_timeout: Some(Duration::from_secs(6)),
        ..ConsumerConfig::group("billing", "billing", &["orders".into()])
    };
    let consumer = service.bus().consumer(config)?;
    let sink = service.sink("billing");
    loop {
        let order = consumer.next().await?;
        if commits_first {
            let _ = consumer.ack(&order).await;
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
        sink.processed(&order);
        if !commits_first {
            let _ = consumer.ack(&order).await;
        }
    }
}

async fn shop(trial: &Trial, orders: u32) -> Result<(), Error> {
    let producer = trial.bus("shop").producer(ProducerConfig::new("shop"))?;
    for n in 0..orders {
        producer.ready().await?;
        let order =
            Record::new(&"orders".into(), Some(format!("c-{}", n % 5).into()), format!("order {n}").into());
        drop(producer.send(order)); // does not wait for the outcome of each
        trial.clock().sleep(Duration::from_millis(200)).await;
    }
    producer.flush().await
}

fn storm() -> Storm {
    on(Storm::kafka())
}

fn on(bus: Storm) -> Storm {
    bus.seeds(0..4).topic("orders", 2).kill(Role::Client("billing".into()), 1)
}

fn sweep(storm: &Storm, commits_first: bool) -> Sweep {
    storm.run(move |trial| async move {
        trial.start("billing", move |service| async move { drop(billing(service, commits_first).await) });
        shop(&trial, 50).await
    })
}

#[test]
fn a_service_that_commits_first_is_found_out_and_told_in_full() {
    let found = sweep(&storm(), true);
    insta::assert_snapshot!(shape(&found.to_string()));
    let first = found.failures().next().expect("a failing seed");
    assert_eq!(first.repeats, Some(true));
    let kinds: Vec<_> = first.forbidden().map(|anomaly| anomaly.kind).collect();
    assert!(kinds.contains(&Kind::CommittedTooFar), "{found}");
    let left_out = |run: &Run| run.forbidden().any(|anomaly| anomaly.kind == Kind::Unprocessed);
    assert!(found.failures().any(left_out), "a crash between the commit and the work: {found}");
}

#[test]
fn a_service_that_commits_behind_its_work_is_valid() {
    sweep(&storm(), false).assert_valid();
}

#[test]
fn the_same_service_has_the_same_bug_on_the_other_bus_and_is_valid_without_it() {
    let storm = on(Storm::nats()).seeds(0..12).kill(Role::Leader(Unit::new(&"orders".into(), 0)), 1);
    let found = sweep(&storm, true);
    let kinds: Vec<_> = found.failures().flat_map(Run::forbidden).map(|anomaly| anomaly.kind).collect();
    assert!(!kinds.is_empty() && kinds.iter().all(|kind| *kind == Kind::Unprocessed), "{found}");
    sweep(&storm, false).assert_valid();
}

#[test]
fn equal_seeds_are_equal_runs_and_other_seeds_are_others() {
    let hashes = |sweep: &Sweep| sweep.runs.iter().map(|run| run.hash).collect::<Vec<_>>();
    let (one, two) = (sweep(&storm(), false), sweep(&storm(), false));
    assert_eq!(hashes(&one), hashes(&two));
    assert_ne!(one.runs[0].hash, one.runs[1].hash);
    assert_eq!(one.runs[0].history, two.runs[0].history);
}

#[test]
#[should_panic(expected = "nothing was tested")]
fn a_storm_without_seeds_is_no_pass() {
    sweep(&storm().seeds(3..3), false).assert_valid();
}

#[test]
fn a_service_that_never_processes_is_no_pass() {
    let found = storm().seeds(0..1).run(|trial| async move {
        trial.start("billing", |service| async move {
            let _sink = service.sink("billing");
            let config = ConsumerConfig::group("billing", "billing", &["orders".into()]);
            let Ok(consumer) = service.bus().consumer(config) else { return };
            while let Ok(order) = consumer.next().await {
                let _ = consumer.ack(&order).await;
            }
        });
        shop(&trial, 10).await
    });
    assert_eq!(found.runs[0].report.verdict, Verdict::Invalid, "{found}");
}

#[test]
fn a_service_that_panics_and_a_body_that_gives_up_break_the_run() {
    let panics = storm().seeds(0..1).run(|trial| async move {
        trial.start("billing", |_| async move { panic!("no such table") });
        shop(&trial, 1).await
    });
    let gives_up = storm().seeds(0..1).run(|_| async move { Err(Error::closed()) });
    for (found, says) in [(panics, "process billing panicked: no such table"), (gives_up, "gave up: CLOSED")]
    {
        assert_eq!(found.runs[0].report.verdict, Verdict::Broken);
        assert!(found.runs[0].report.reason.contains(says), "{found}");
    }
}

#[test]
fn a_failing_seed_that_does_not_repeat_says_so() {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let found = storm().seeds(0..1).run(|trial| async move {
        let orders = CALLS.fetch_add(1, Ordering::Relaxed);
        shop(&trial, 1 + u32::try_from(orders).expect("few calls")).await?;
        Err(Error::closed())
    });
    assert_eq!(found.runs[0].repeats, Some(false));
    assert!(found.to_string().contains("a second run of this seed went another way"), "{found}");
}

#[test]
fn a_service_that_waits_for_records_and_takes_no_events_takes_part_in_rebalances() {
    // The service is killed and joins again while the group still counts its former self, which leaves when its
    // session is over: then no record is there that could wake the service.
    let late = storm().seeds(0..4).run(|trial| async move {
        trial.start("billing", |service| async move { drop(billing(service, false).await) });
        trial.clock().sleep(Duration::from_secs(30)).await;
        shop(&trial, 10).await
    });
    late.assert_valid();
}

#[test]
fn a_dead_letter_on_its_way_when_the_services_have_caught_up_is_waited_for() {
    let storm = Storm::kafka().seeds(0..1).topic("orders", 1).topic("dead", 1).dead_letters("dead");
    let sweep = storm.run(|trial| async move {
        trial.start("billing", |service| async move {
            let config = ConsumerConfig::group("billing", "billing", &["orders".into()]);
            let (bus, sink) = (service.bus(), service.sink("billing"));
            let lingers =
                ProducerConfig { linger: Some(Duration::from_secs(2)), ..ProducerConfig::new("billing") };
            let (Ok(orders), Ok(dead)) = (bus.consumer(config), bus.producer(lingers)) else { return };
            while let Ok(order) = orders.next().await {
                sink.gave_up(&order);
                drop(dead.send(Record { topic: "dead".into(), partition: None, ..order.record.clone() }));
                let _ = orders.ack(&order).await;
            }
        });
        shop(&trial, 3).await
    });
    sweep.assert_valid();
}
