//! A real local cluster: it starts, answers, loses and regains a node, lives on, and leaves nothing behind.

use squall_adapters::providers::{
    kafka::{KafkaOptions, LocalKafka},
    process::is_alive,
    skips_for_want_of_brokers,
    state::State,
};
use squall_bus::{Admin, Position, Topic, TopicSpec, Unit};
use std::{
    collections::BTreeMap,
    future::Future,
    time::{Duration, Instant},
};

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

fn start() -> LocalKafka {
    LocalKafka::start(KafkaOptions::default(), &|line| eprintln!("{line}")).expect("the cluster starts")
}

fn spec(name: &str) -> TopicSpec {
    let topic = Topic::new(name);
    TopicSpec { topic, partitions: 4, replicas: 3, min_insync: 2, config: BTreeMap::new() }
}

#[test]
fn starts_answers_and_survives_the_loss_of_a_node() {
    if skips_for_want_of_brokers("kafka") {
        return;
    }
    let cluster = start();
    let admin = cluster.admin();
    let orders = spec("orders");
    wait(admin.create_topics(std::slice::from_ref(&orders))).expect("it is created");
    wait(admin.create_topics(std::slice::from_ref(&orders))).expect("the same shape is fine");
    let other = TopicSpec { partitions: 5, ..orders.clone() };
    assert!(wait(admin.create_topics(&[other])).is_err(), "another shape is not fine");

    let units = wait(admin.describe(&orders.topic)).expect("it is there");
    assert_eq!(units.len(), 4);
    assert!(units.iter().all(|unit| unit.leader.is_some() && unit.insync.len() == 3));
    let unit = Unit::new(&orders.topic, 0);
    assert_eq!(wait(admin.bounds(&unit)).expect("it has ends"), (Position(0), Position(0)));
    assert_eq!(wait(admin.committed("billing", &unit)).expect("the group is known"), None);
    assert!(wait(admin.coordinator("billing")).expect("an answer").is_some());

    let controller = wait(admin.controller()).expect("an answer").expect("a controller");
    let victim = cluster.running().node(controller).expect("a node");
    victim.kill().expect("it can be killed");
    let end = Instant::now() + Duration::from_secs(20);
    while matches!(wait(admin.controller()), Ok(Some(now)) if now == controller) {
        assert!(Instant::now() < end, "no other controller");
    }
    victim.start().expect("it starts again");
    cluster.await_ready(Duration::from_secs(60)).expect("all are back");

    let (folder, processes): (_, Vec<_>) = (
        cluster.running().folder().to_owned(),
        (1..=3).filter_map(|node| cluster.running().node(node)?.watched()).collect(),
    );
    assert_eq!(processes.len(), 3);
    drop(cluster);
    assert!(!folder.exists());
    assert!(!processes.into_iter().any(is_alive));
}

#[test]
fn brokers_stay_up_between_commands() {
    if skips_for_want_of_brokers("kafka") {
        return;
    }
    let cache = tempfile::tempdir().expect("a folder");
    let cluster = LocalKafka::start(KafkaOptions { nodes: 1, ..KafkaOptions::default() }, &|_| ());
    let state = cluster.expect("the node starts").detach().expect("it lives on");
    state.save(cache.path()).expect("it is written");
    let found = State::load(cache.path(), "kafka").expect("it is read").expect("it is up");
    assert_eq!(found.alive(), 1);
    let admin = squall_adapters::wire::WireAdmin::discover(&found.bootstrap()).expect("its addresses");
    assert_eq!(wait(admin.controller()).expect("it answers"), Some(1));
    found.down(cache.path()).expect("it ends");
    assert_eq!(found.alive(), 0);
    assert!(!found.folder.exists());
}
