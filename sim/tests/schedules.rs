//! Storms over schedules of faults that proptest draws: a careful service survives all of them, and for a hasty one the
//! smallest schedule that shows its bug is found.

use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner},
};
use squall_bus::{ConsumerConfig, Error, Fault, FaultKind, ProducerConfig, Record, Role, Topic};
use squall_history::Kind;
use squall_sim::{
    storm::{Run, Service, Storm, Trial},
    strategies::{crashes, faults, together},
};
use std::time::Duration;

const PARTITIONS: u32 = 2;
const WINDOW: Duration = Duration::from_secs(12);
const ORDERS: u32 = 60;

fn topic() -> Topic {
    Topic::new("orders")
}

/// Bills each order, which takes 20 ms; the careful one acknowledges afterwards.
async fn bill(service: Service, careful: bool) -> Result<(), Error> {
    let config = ConsumerConfig {
        session_timeout: Some(Duration::from_secs(6)),
        ..ConsumerConfig::group("billing", "billing", &[topic()])
    };
    let orders = service.bus().consumer(config)?;
    let sink = service.sink("billing");
    loop {
        let order = orders.next().await?;
        if !careful {
            drop(orders.ack(&order).await);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        sink.processed(&order);
        if careful {
            drop(orders.ack(&order).await);
        }
    }
}

async fn shop(trial: &Trial) -> Result<(), Error> {
    let producer = trial.bus("shop").producer(ProducerConfig::new("shop"))?;
    for n in 0..ORDERS {
        producer.ready().await?;
        drop(producer.send(Record::new(
            &topic(),
            Some(format!("c-{}", n % 7).into()),
            format!("{n}").into(),
        )));
        tokio::time::sleep(WINDOW / ORDERS).await;
    }
    producer.flush().await
}

fn storm(bus: &str, name: &str) -> Storm {
    let storm = if bus == "kafka" { Storm::kafka() } else { Storm::nats() };
    storm.topic("orders", PARTITIONS).named(name)
}

fn run(storm: &Storm, faults: Vec<Fault>, careful: bool) -> Run {
    storm.run_faults(1, faults, move |trial| async move {
        trial.start("billing", move |service| async move { drop(bill(service, careful).await) });
        shop(&trial).await
    })
}

fn schedules() -> impl Strategy<Value = Vec<Fault>> {
    let both = (faults(3, "orders", PARTITIONS, WINDOW), crashes(&["billing"], 3, WINDOW));
    both.prop_map(|(brokers, clients)| together(brokers, clients))
}

/// The same cases every time.
fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 100, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

#[test]
fn a_careful_service_survives_every_schedule() {
    for bus in squall_sim::BUSES {
        let storm = storm(bus, "careful");
        let survives = |faults: Vec<Fault>| {
            let run = run(&storm, faults, true);
            prop_assert!(run.is_valid(), "{run}");
            Ok(())
        };
        runner(12).run(&schedules(), survives).unwrap_or_else(|error| panic!("{bus}: {error}"));
    }
}

#[test]
fn the_smallest_schedule_that_loses_an_order_is_one_crash() {
    for bus in squall_sim::BUSES {
        let storm = storm(bus, "hasty");
        let loses = |run: &Run| run.forbidden().any(|found| found.kind == Kind::Unprocessed);
        let keeps = |faults: Vec<Fault>| {
            let run = run(&storm, faults, false);
            prop_assert!(!loses(&run), "{run}");
            Ok(())
        };
        let found = runner(200).run(&schedules(), keeps);
        let Err(TestError::Fail(why, smallest)) = found else { panic!("{bus}: an order is lost") };
        let [Fault { kind: FaultKind::Kill, role: Role::Client(_), .. }] = &*smallest else {
            panic!("{bus}: {smallest:?}\n{why}")
        };
        // The capsule that was written last is the smallest, and the command names it.
        let text = why.to_string();
        let command = text.lines().find_map(|line| line.trim().strip_prefix("run it again: SQUALL_CAPSULE="));
        let file = command.and_then(|command| command.split(' ').next()).expect("a command");
        assert_eq!(text.matches("SQUALL_").count(), 1, "{text}");
        let capsule = std::fs::read_to_string(file).expect("a capsule");
        assert_eq!(capsule.matches("fault: ").count(), 1, "{capsule}");
    }
}
