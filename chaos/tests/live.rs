//! Faults on a real local cluster: what strikes is what the brokers and the clients feel.

#![cfg(feature = "kafka")]

mod shared;

use shared::{SOON, fault, hit, killed_and_partitioned, responses_dropped, topic};
use squall_bus::{
    Bus, Cluster, ConsumerConfig, ConsumerEvent, FaultKind, Main, ProducerConfig, Role, Strike, Topic,
};
use squall_chaos::live::LiveCluster;
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::time::sleep;

fn start() -> LiveCluster {
    LiveCluster::kafka(Default::default(), &|line| eprintln!("{line}")).expect("the cluster starts")
}

type Seen = Arc<Mutex<Vec<(String, u32, &'static str, usize)>>>;

fn member(topic: &Topic, name: &str, seen: &Seen) -> Main {
    let (topic, name, seen) = (topic.clone(), name.to_owned(), Arc::clone(seen));
    Arc::new(move |bus: Arc<dyn Bus>, life| {
        let (topic, name, seen) = (topic.clone(), name.clone(), Arc::clone(&seen));
        Box::pin(async move {
            let config = ConsumerConfig {
                session_timeout: Some(Duration::from_secs(6)),
                heartbeat_interval: Some(Duration::from_secs(1)),
                ..ConsumerConfig::group(&name, "billing", &[topic])
            };
            let consumer = bus.consumer(config).expect("a consumer");
            loop {
                let (what, count) = match consumer.event().await {
                    ConsumerEvent::Assigned(units) => ("assigned", units.len()),
                    ConsumerEvent::Revoked(units) => ("revoked", units.len()),
                    ConsumerEvent::Lost(units) => ("lost", units.len()),
                    _ => continue,
                };
                seen.lock().expect("no panic").push((name.clone(), life.0, what, count));
            }
        })
    })
}

async fn seen_in(seen: &Seen, wanted: (&str, u32, &str, usize)) -> Duration {
    let begin = Instant::now();
    loop {
        let found = seen
            .lock()
            .expect("no panic")
            .iter()
            .rev()
            .any(|(name, life, what, count)| (name.as_str(), *life, *what, *count) == wanted);
        if found {
            return begin.elapsed();
        }
        assert!(begin.elapsed() < SOON, "{wanted:?} is missing in {:?}", seen.lock());
        sleep(Duration::from_millis(20)).await;
    }
}

/// A member that crashes is missed only when its session is over, one that stops at once.
async fn members_crash_and_stop(cluster: &LiveCluster) {
    let topic = topic(cluster, "shared", 4).await;
    let seen = Seen::default();
    cluster.start("a", member(&topic, "a", &seen));
    seen_in(&seen, ("a", 0, "assigned", 4)).await;
    cluster.start("b", member(&topic, "b", &seen));
    seen_in(&seen, ("b", 0, "assigned", 2)).await;
    seen_in(&seen, ("a", 0, "assigned", 2)).await;

    seen.lock().expect("no panic").clear();
    let struck = hit(cluster, &fault(20, FaultKind::Kill, Role::Client("b".to_owned()))).await;
    let missed = seen_in(&seen, ("a", 0, "assigned", 4)).await;
    assert!(missed > Duration::from_secs(3), "the group learned of the crash after {missed:?}");
    assert!(cluster.running("b"), "it will be started again");
    cluster.heal(&struck).await.expect("it heals");
    seen_in(&seen, ("b", 1, "assigned", 2)).await;

    seen.lock().expect("no panic").clear();
    hit(cluster, &fault(21, FaultKind::Stop, Role::Client("b".to_owned()))).await;
    let left = seen_in(&seen, ("a", 0, "assigned", 4)).await;
    assert!(left < Duration::from_secs(4), "the group learned of the stop after {left:?}");
    cluster.heal_all().await.expect("all heals");
    seen_in(&seen, ("b", 2, "assigned", 2)).await;

    let nobody = cluster.strike(&fault(22, FaultKind::Kill, Role::Client("nobody".to_owned()))).await;
    assert_eq!(nobody, Ok(Strike::Nobody));
    assert!(cluster.strike(&fault(23, FaultKind::PowerFail, Role::Node(1))).await.is_err());
    assert!(cluster.strike(&fault(24, FaultKind::Kill, Role::Node(9))).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_cluster_breaks_and_heals() {
    if squall_adapters::providers::skips_for_want_of_brokers("kafka") {
        return;
    }
    let cluster = tokio::task::spawn_blocking(start).await.expect("it starts");
    let stage = Instant::now();
    let like = ProducerConfig { linger: Some(Duration::ZERO), ..ProducerConfig::new("like") };
    responses_dropped(&cluster, &like).await;
    eprintln!("responses dropped: {:?}", stage.elapsed());
    members_crash_and_stop(&cluster).await;
    eprintln!("members: {:?}", stage.elapsed());
    killed_and_partitioned(&cluster).await;
    eprintln!("killed and partitioned: {:?}", stage.elapsed());
    cluster.close().await;
}
