//! Faults on a real local cluster: what strikes is what the brokers and the clients feel.

#![cfg(feature = "kafka")]

use squall_bus::{
    Bus, Cluster, ConsumerConfig, ConsumerEvent, Fault, FaultKind, Main, ProducerConfig, Record, Role,
    Strike, StruckFault, Time, Topic, TopicSpec, Unit,
};
use squall_chaos::live::LiveKafka;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{sleep, timeout},
};

const SOON: Duration = Duration::from_secs(40);

fn fault(id: u32, kind: FaultKind, role: Role) -> Fault {
    Fault { id, kind, role, at: Time::ZERO, lasts: Duration::ZERO }
}

async fn hit(cluster: &LiveKafka, fault: &Fault) -> StruckFault {
    match cluster.strike(fault).await.expect("it strikes") {
        Strike::Hit(struck) => struck,
        Strike::Nobody => panic!("nobody was hit by {fault}"),
    }
}

async fn topic(cluster: &LiveKafka, name: &str, partitions: u32) -> Topic {
    let topic = Topic::new(name);
    let spec =
        TopicSpec { topic: topic.clone(), partitions, replicas: 3, min_insync: 2, config: BTreeMap::new() };
    cluster.admin().create_topics(&[spec]).await.expect("it is created");
    topic
}

/// The values in a unit, read by the harness past every fault on clients.
async fn drain(cluster: &LiveKafka, unit: &Unit) -> Vec<String> {
    let (first, end) = cluster.admin().bounds(unit).await.expect("it has ends");
    let config = ConsumerConfig::assign("drain", vec![(unit.clone(), Some(first))]);
    let reader = cluster.bus().consumer(config).expect("a reader");
    let mut values = Vec::new();
    while (values.len() as u64) < end.0 - first.0 {
        let delivery = timeout(SOON, reader.next()).await.expect("in time").expect("a record");
        values.push(String::from_utf8_lossy(&delivery.record.value).into_owned());
    }
    values
}

/// A process that sends one record after the other and tells which were acknowledged.
fn sender(topic: &Topic, config: &ProducerConfig, acked: &UnboundedSender<String>) -> Main {
    let (topic, config, acked) = (topic.clone(), config.clone(), acked.clone());
    Arc::new(move |bus: Arc<dyn Bus>, life| {
        let (topic, config, acked) = (topic.clone(), config.clone(), acked.clone());
        Box::pin(async move {
            let producer = bus.producer(config).expect("a producer");
            for number in 0.. {
                let value = format!("{}-{number}", life.0);
                let record = Record { partition: Some(0), ..Record::new(&topic, None, value.clone().into()) };
                if producer.send(record).await.is_ok() && acked.send(value).is_err() {
                    return;
                }
            }
        })
    })
}

async fn some(acked: &mut UnboundedReceiver<String>, count: usize) -> Vec<String> {
    let mut values = Vec::new();
    while values.len() < count {
        values.push(timeout(SOON, acked.recv()).await.expect("an ack in time").expect("the sender lives"));
    }
    values
}

fn start() -> LiveKafka {
    LiveKafka::start(Default::default(), &|line| eprintln!("{line}")).expect("the cluster starts")
}

async fn leader(cluster: &LiveKafka, unit: &Unit) -> Option<u32> {
    let units = cluster.admin().describe(&unit.topic).await.expect("an answer");
    units.into_iter().find(|state| state.unit == *unit).and_then(|state| state.leader)
}

async fn leader_is_not(cluster: &LiveKafka, unit: &Unit, old: u32) {
    let end = Instant::now() + SOON;
    while leader(cluster, unit).await.is_none_or(|leader| leader == old) {
        assert!(Instant::now() < end, "no other leader");
        sleep(Duration::from_millis(100)).await;
    }
}

async fn all_insync(cluster: &LiveKafka, unit: &Unit) {
    let end = Instant::now() + SOON;
    while cluster.admin().describe(&unit.topic).await.expect("an answer")[0].insync.len() < 3 {
        assert!(Instant::now() < end, "not all are in sync again");
        sleep(Duration::from_millis(100)).await;
    }
}

async fn killed_and_partitioned(cluster: &LiveKafka) {
    let topic = topic(cluster, "orders", 1).await;
    let unit = Unit::new(&topic, 0);
    assert!(cluster.elections().await.is_empty());
    let (acks, mut acked) = unbounded_channel();
    let config = ProducerConfig { idempotent: true, ..ProducerConfig::new("producer-1") };
    cluster.start("producer-1", sender(&topic, &config, &acks));
    let mut all = some(&mut acked, 20).await;
    for (id, kind) in [(0, FaultKind::Kill), (1, FaultKind::Partition)] {
        let struck = hit(cluster, &fault(id, kind, Role::Leader(unit.clone()))).await;
        let begin = Instant::now();
        leader_is_not(cluster, &unit, struck.nodes[0]).await;
        eprintln!("{} of node {}: another leader after {:?}", kind.verb(), struck.nodes[0], begin.elapsed());
        let elections = cluster.elections().await;
        assert!(elections.iter().any(|election| election.unit == unit && !election.unclean), "{elections:?}");
        cluster.heal(&struck).await.expect("it heals");
        while acked.try_recv().map(|value| all.push(value)).is_ok() {}
        all.extend(some(&mut acked, 20).await);
        all_insync(cluster, &unit).await;
    }
    assert!(cluster.running("producer-1"));
    cluster.end("producer-1");
    assert!(!cluster.running("producer-1"));
    while acked.try_recv().map(|value| all.push(value)).is_ok() {}
    let found = drain(cluster, &unit).await;
    let mut unique = found.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), found.len(), "an idempotent producer made a duplicate");
    assert!(all.iter().all(|value| unique.binary_search(value).is_ok()), "an acknowledged record is lost");
}

/// A response that is lost after the append makes exactly one duplicate, unless the producer is idempotent.
async fn responses_dropped(cluster: &LiveKafka) {
    for (id, idempotent) in [(10, false), (11, true)] {
        let name = format!("responses-{idempotent}");
        let topic = topic(cluster, &name, 1).await;
        let unit = Unit::new(&topic, 0);
        let (acks, mut acked) = unbounded_channel();
        let config =
            ProducerConfig { idempotent, linger: Some(Duration::ZERO), ..ProducerConfig::new(&name) };
        cluster.start(&name, sender(&topic, &config, &acks));
        some(&mut acked, 5).await;
        let struck = hit(cluster, &fault(id, FaultKind::DropResponses(1), Role::Leader(unit.clone()))).await;
        some(&mut acked, 200).await;
        cluster.heal(&struck).await.expect("it heals");
        cluster.end(&name);
        let mut found = drain(cluster, &unit).await;
        let records = found.len();
        found.sort_unstable();
        found.dedup();
        assert_eq!(
            records - found.len(),
            usize::from(!idempotent),
            "duplicates with idempotent: {idempotent}"
        );
    }
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
async fn members_crash_and_stop(cluster: &LiveKafka) {
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
    if squall_adapters::providers::skips_for_want_of_brokers() {
        return;
    }
    let cluster = tokio::task::spawn_blocking(start).await.expect("it starts");
    let stage = Instant::now();
    responses_dropped(&cluster).await;
    eprintln!("responses dropped: {:?}", stage.elapsed());
    members_crash_and_stop(&cluster).await;
    eprintln!("members: {:?}", stage.elapsed());
    killed_and_partitioned(&cluster).await;
    eprintln!("killed and partitioned: {:?}", stage.elapsed());
    cluster.close().await;
}
