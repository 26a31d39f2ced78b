//! Faults on a real local NATS cluster: what strikes is what the servers and the clients feel.

#![cfg(feature = "nats")]

mod shared;

use shared::{SOON, drain, fault, hit, killed_and_partitioned, responses_dropped, sender, some, topic};
use squall_bus::{
    Bus, Cluster, ConsumerConfig, Delivery, FaultKind, Main, ProducerConfig, Role, Strike, Topic, Unit,
};
use squall_chaos::live::LiveCluster;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{sleep, timeout},
};

fn start() -> LiveCluster {
    LiveCluster::nats(Default::default(), &|line| eprintln!("{line}")).expect("the cluster starts")
}

/// How long the server waits for an ack of what may have died on its way to a member.
const ACK_WAIT: Duration = Duration::from_secs(5);
/// A member's puller misses the server that died only after two heartbeats, 30 s; before and after that may be an
/// election, and an ack wait.
const READ_AGAIN: Duration = Duration::from_secs(90);

type Read = (String, Delivery);

/// A member of a group that acknowledges what it gets.
fn member(topic: &Topic, name: &str, read: &UnboundedSender<Read>) -> Main {
    let (topic, name, read) = (topic.clone(), name.to_owned(), read.clone());
    Arc::new(move |bus: Arc<dyn Bus>, _| {
        let (topic, name, read) = (topic.clone(), name.clone(), read.clone());
        Box::pin(async move {
            let like = ConsumerConfig {
                ack_wait: Some(ACK_WAIT),
                ..ConsumerConfig::group(&name, "billing", &[topic])
            };
            let consumer = bus.consumer(like).expect("a consumer");
            loop {
                let delivery = tokio::select! {
                    delivery = consumer.next() => delivery,
                    event = consumer.event() => {
                        eprintln!("{name} hears {event:?}");
                        continue;
                    }
                };
                let Ok(delivery) = delivery.inspect_err(|error| eprintln!("{name} ends: {error}")) else {
                    return;
                };
                while let Some(error) = consumer.ack(&delivery).await.error() {
                    eprintln!("{name}'s ack failed: {error}");
                    sleep(Duration::from_millis(100)).await;
                }
                if read.send((name.clone(), delivery)).is_err() {
                    return;
                }
            }
        })
    })
}

async fn read_by(name: &str, read: &mut UnboundedReceiver<Read>, count: usize) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    while deliveries.len() < count {
        let (by, delivery) = timeout(READ_AGAIN, read.recv()).await.expect("in time").expect("they live");
        if by == name {
            deliveries.push(delivery);
        }
    }
    deliveries
}

/// Who pulls gets records, who crashed does not, and the coordinator's death stops nobody for good.
async fn members_crash(cluster: &LiveCluster) {
    let topic = topic(cluster, "shared", 2).await;
    let (acks, mut acked) = unbounded_channel();
    for (partition, name) in ["left", "right"].into_iter().enumerate() {
        let config = ProducerConfig::new(name);
        let partition = u32::try_from(partition).expect("small");
        cluster.start(name, sender(&Unit::new(&topic, partition), &config, &acks));
    }
    let (reads, mut read) = unbounded_channel();
    cluster.start("a", member(&topic, "a", &reads));
    read_by("a", &mut read, 20).await;
    cluster.start("b", member(&topic, "b", &reads));
    read_by("b", &mut read, 20).await;
    let struck = hit(cluster, &fault(20, FaultKind::Kill, Role::Client("b".to_owned()))).await;
    // What the crashed one had is delivered again after the ack wait; the other unit goes on at once.
    read_by("a", &mut read, 50).await;
    cluster.heal(&struck).await.expect("it heals");
    read_by("b", &mut read, 5).await;

    let struck = hit(cluster, &fault(21, FaultKind::Kill, Role::Coordinator("billing".to_owned()))).await;
    eprintln!("the coordinator was node {}", struck.nodes[0]);
    let begin = Instant::now();
    while cluster.admin().coordinator("billing").await.ok().flatten().is_none_or(|now| now == struck.nodes[0])
    {
        assert!(begin.elapsed() < SOON, "no other coordinator");
        sleep(Duration::from_millis(100)).await;
    }
    cluster.heal(&struck).await.expect("it heals");
    while acked.try_recv().is_ok() {}
    some(&mut acked, 20).await;
    while read.try_recv().is_ok() {}
    read_by("a", &mut read, 20).await;
    ["left", "right", "a", "b"].into_iter().for_each(|name| cluster.end(name));

    let nobody = cluster.strike(&fault(22, FaultKind::Kill, Role::Client("nobody".to_owned()))).await;
    assert_eq!(nobody, Ok(Strike::Nobody));
    let refused = cluster.strike(&fault(23, FaultKind::PowerFail, Role::Node(1))).await;
    let refused = refused.expect_err("there is no power to cut").to_string();
    assert!(refused.contains("power-fail: what its nodes wrote lies in the page cache"), "{refused}");
    assert!(cluster.strike(&fault(24, FaultKind::Kill, Role::Node(9))).await.is_err());
}

/// Nothing bypasses the proxies: what is isolated takes nothing from its clients, and a process that is held goes on
/// where it was.
async fn isolated_and_held(cluster: &LiveCluster) {
    let topic = topic(cluster, "held", 1).await;
    let unit = Unit::new(&topic, 0);
    let (acks, mut acked) = unbounded_channel();
    let config = ProducerConfig {
        idempotent: true,
        request_timeout: Some(Duration::from_secs(1)),
        ..ProducerConfig::new("held")
    };
    cluster.start("held", sender(&unit, &config, &acks));
    let mut all = some(&mut acked, 20).await;
    for (id, kind, role) in [
        (30, FaultKind::Isolate, Role::All),
        (31, FaultKind::Pause, Role::Client("held".to_owned())),
        (32, FaultKind::Pause, Role::Controller),
    ] {
        let struck = hit(cluster, &fault(id, kind, role.clone())).await;
        sleep(Duration::from_millis(500)).await;
        while acked.try_recv().map(|value| all.push(value)).is_ok() {}
        sleep(Duration::from_millis(1_500)).await;
        let silent = acked.try_recv().is_err();
        assert!(
            silent || role == Role::Controller,
            "records were acknowledged during {} {role}",
            kind.verb()
        );
        cluster.heal(&struck).await.expect("it heals");
        all.extend(some(&mut acked, 20).await);
    }
    cluster.end("held");
    while acked.try_recv().map(|value| all.push(value)).is_ok() {}
    let found = drain(cluster, &unit).await;
    let count = found.iter().fold(BTreeMap::<&str, u32>::new(), |mut count, value| {
        *count.entry(value).or_default() += 1;
        count
    });
    assert!(all.iter().all(|value| count.contains_key(&**value)), "an acknowledged record is lost");
    assert!(count.values().all(|count| *count == 1), "an idempotent producer made a duplicate");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_nats_cluster_breaks_and_heals() {
    if squall_adapters::providers::skips_for_want_of_brokers("nats") {
        return;
    }
    let cluster = tokio::task::spawn_blocking(start).await.expect("it starts");
    let stage = Instant::now();
    let like = ProducerConfig {
        retries: Some(5),
        request_timeout: Some(Duration::from_secs(1)),
        ..ProducerConfig::new("like")
    };
    responses_dropped(&cluster, &like).await;
    eprintln!("responses dropped: {:?}", stage.elapsed());
    isolated_and_held(&cluster).await;
    eprintln!("isolated and held: {:?}", stage.elapsed());
    members_crash(&cluster).await;
    eprintln!("members: {:?}", stage.elapsed());
    killed_and_partitioned(&cluster).await;
    eprintln!("killed and partitioned: {:?}", stage.elapsed());
    cluster.close().await;
}
