//! Known hashes: whole runs that are the same event by event on every machine, in debug and release builds alike.
//!
//! A change of a model on purpose changes them: `SQUALL_UPDATE=1 cargo test -p squall-scenarios --test hashes` writes
//! them anew. In release, with the committed capsules: `cargo test --release -p squall-scenarios --test hashes --test capsules`.

use squall_bus::{ConsumerConfig, Error, FaultKind, ProducerConfig, Record, Role, Unit};
use squall_scenarios::{Job, library};
use squall_sim::storm::{Storm, Trial};
use std::{env, fs, path::PathBuf, sync::Arc, time::Duration};

/// One line for each run, `name hash`; a comment begins with `#`.
fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/hashes.txt")
}

const HEAD: &str = "# Hashes of whole runs. Debug and release builds must agree with them: `cargo test -p squall-scenarios --test hashes`.\n";

/// The scenario that the README begins with.
fn scenario(bus: &str, seed: u64) -> String {
    let job = Job {
        scenario: Arc::new(library::open("leader-failover", &[]).expect("it parses")),
        named: "leader-failover".to_owned(),
        overrides: Vec::new(),
        target: format!("sim:{bus}").parse().expect("a target"),
        seed,
    };
    let hash = job.run(&(Arc::new(|_| {}) as _), &|_| {}).finished.hash;
    format!("leader-failover sim:{bus} seed {seed}: {}", hash.expect("it is simulated"))
}

/// A shop, and a service that bills its orders: async code of a user's, with timers of tokio's.
async fn shop(trial: Trial) -> Result<(), Error> {
    trial.start("billing", |service| async move {
        let config = ConsumerConfig::group("billing", "billing", &["orders".into()]);
        let (sink, Ok(orders)) = (service.sink("billing"), service.bus().consumer(config)) else { return };
        while let Ok(order) = orders.next().await {
            tokio::time::sleep(Duration::from_millis(7)).await;
            sink.processed(&order);
            let _ = orders.ack(&order).await;
        }
    });
    let producer = trial.bus("shop").producer(ProducerConfig::new("shop"))?;
    for number in 0..100 {
        producer.ready().await?;
        let order =
            Record::new(&"orders".into(), Some(format!("c-{}", number % 7).into()), "an order".into());
        drop(producer.send(order));
        trial.clock().sleep(Duration::from_millis(60)).await;
    }
    producer.flush().await
}

fn storm(bus: &str, storm: &Storm, seed: u64) -> String {
    let storm = (storm.clone().seeds(seed..seed + 1).topic("orders", 3).shrinking(0))
        .kill(Role::Client("billing".into()), 1)
        .kill(Role::Leader(Unit::new(&"orders".into(), 0)), 1)
        .strike(FaultKind::Partition, Role::Minority, 1);
    let run = storm.run(shop).runs.remove(0);
    assert!(run.events > 1_000 && run.history.is_some(), "{run}");
    format!("storm sim:{bus} seed {seed}: {:016x}", run.hash)
}

#[test]
fn known_runs_have_their_known_hashes_in_every_build() {
    let mut here = HEAD.to_owned();
    for line in [
        scenario("kafka", 7),
        scenario("nats", 7),
        storm("kafka", &Storm::kafka(), 7),
        storm("nats", &Storm::nats(), 7),
    ] {
        here.push_str(&line);
        here.push('\n');
    }
    if env::var_os("SQUALL_UPDATE").is_some() {
        fs::write(file(), &here).expect("a writable folder");
    }
    let kept = fs::read_to_string(file()).expect("the file");
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    assert_eq!(
        here, kept,
        "in a {build} build: a model has changed (SQUALL_UPDATE=1 cargo test -p squall-scenarios --test hashes), or \
         builds differ"
    );
}
