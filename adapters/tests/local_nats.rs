//! A real local NATS cluster: it starts, answers, loses and regains a node, lives on, and leaves nothing behind.

use squall_adapters::providers::{
    nats::{LocalNats, NatsOptions},
    process::is_alive,
    state::State,
};
use std::{
    future::Future,
    time::{Duration, Instant},
};

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

fn start(options: NatsOptions) -> LocalNats {
    LocalNats::start(options, &|line| eprintln!("{line}")).expect("the cluster starts")
}

#[test]
fn starts_answers_and_survives_the_loss_of_a_node() {
    if squall_adapters::providers::skips_for_want_of_brokers("nats") {
        return;
    }
    let cluster = start(NatsOptions::default());
    let controller = || wait(cluster.monitor().survey()).ok().and_then(|survey| survey.controller());
    let first = controller().expect("a controller");
    let victim = cluster.running().node(first).expect("a node");
    victim.kill().expect("it can be killed");
    let end = Instant::now() + Duration::from_secs(30);
    while controller().is_none_or(|now| now == first) {
        assert!(Instant::now() < end, "no other controller");
        std::thread::sleep(Duration::from_millis(100));
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
fn a_server_that_refuses_its_settings_is_told_with_what_it_said() {
    if squall_adapters::providers::skips_for_want_of_brokers("nats") {
        return;
    }
    let mut options = NatsOptions { nodes: 1, ..NatsOptions::default() };
    options.settings.insert("nonsense".to_owned(), "1".to_owned());
    let error = LocalNats::start(options, &|_| ()).expect_err("it does not start").to_string();
    assert!(error.starts_with("node 1 ended while the cluster was starting"), "{error}");
    assert!(error.contains("nonsense"), "{error}");
}

#[test]
fn brokers_stay_up_between_commands() {
    if squall_adapters::providers::skips_for_want_of_brokers("nats") {
        return;
    }
    let cache = tempfile::tempdir().expect("a folder");
    let cluster = start(NatsOptions { nodes: 1, ..NatsOptions::default() });
    let state = cluster.detach().expect("it lives on");
    state.save(cache.path()).expect("it is written");
    let found = State::load(cache.path(), "nats").expect("it is read").expect("it is up");
    assert_eq!((found.alive(), &*found.bus), (1, "nats"));
    assert!(std::net::TcpStream::connect(found.bootstrap()).is_ok());
    found.down(cache.path()).expect("it ends");
    assert_eq!(found.alive(), 0);
    assert!(!found.folder.exists());
}
