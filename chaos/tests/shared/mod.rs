//! What the tests on live clusters share.

use squall_bus::{
    Bus, Cluster, ConsumerConfig, Error, ErrorClass, Fault, FaultKind, Main, ProducerConfig, Record, Role,
    Strike, StruckFault, Time, Topic, TopicSpec, TopicState, Unit,
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

pub(crate) const SOON: Duration = Duration::from_secs(40);

pub(crate) fn fault(id: u32, kind: FaultKind, role: Role) -> Fault {
    Fault { id, kind, role, at: Time::ZERO, lasts: Duration::ZERO }
}

pub(crate) async fn hit(cluster: &LiveCluster, fault: &Fault) -> StruckFault {
    match cluster.strike(fault).await.expect("it strikes") {
        Strike::Hit(struck) => struck,
        Strike::Nobody => panic!("nobody was hit by {fault}"),
    }
}

pub(crate) async fn topic(cluster: &LiveCluster, name: &str, partitions: u32) -> Topic {
    let topic = Topic::new(name);
    let spec =
        TopicSpec { topic: topic.clone(), partitions, replicas: 3, min_insync: 2, config: BTreeMap::new() };
    let specs = [spec];
    answered("it is created", async || cluster.admin().create_topics(&specs).await).await;
    topic
}

/// What the cluster says to a question, asked again while it has nobody to answer it: a fault that has just been healed
/// may cost one more election.
async fn answered<T>(question: &str, ask: impl AsyncFn() -> Result<T, Error>) -> T {
    let end = Instant::now() + SOON;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) if error.class == ErrorClass::Retriable && Instant::now() < end => {
                eprintln!("asked again: {question}: {error}");
                sleep(Duration::from_millis(100)).await;
            }
            Err(error) => panic!("{question}: {error}"),
        }
    }
}

/// The values in a unit, read by the harness past every fault on clients.
pub(crate) async fn drain(cluster: &LiveCluster, unit: &Unit) -> Vec<String> {
    let (first, end) = answered("it has ends", async || cluster.admin().bounds(unit).await).await;
    let config = ConsumerConfig::assign("drain", vec![(unit.clone(), Some(first))]);
    let reader = cluster.bus().consumer(config).expect("a reader");
    let (mut values, mut next) = (Vec::new(), first);
    while next < end {
        let delivery = timeout(SOON, reader.next()).await.expect("in time").expect("a record");
        next = delivery.position.next();
        values.push(String::from_utf8_lossy(&delivery.record.value).into_owned());
    }
    values
}

/// A process that sends one record after the other and tells which were acknowledged.
pub(crate) fn sender(unit: &Unit, config: &ProducerConfig, acked: &UnboundedSender<String>) -> Main {
    let (unit, config, acked) = (unit.clone(), config.clone(), acked.clone());
    Arc::new(move |bus: Arc<dyn Bus>, life| {
        let (unit, config, acked) = (unit.clone(), config.clone(), acked.clone());
        Box::pin(async move {
            let producer = bus.producer(config).expect("a producer");
            for number in 0.. {
                let value = format!("{}-{number}", life.0);
                let record = Record::new(&unit.topic, None, value.clone().into());
                let record = Record { partition: Some(unit.partition), ..record };
                if producer.send(record).await.is_ok() && acked.send(value).is_err() {
                    return;
                }
            }
        })
    })
}

pub(crate) async fn some(acked: &mut UnboundedReceiver<String>, count: usize) -> Vec<String> {
    let mut values = Vec::new();
    while values.len() < count {
        values.push(timeout(SOON, acked.recv()).await.expect("an ack in time").expect("the sender lives"));
    }
    values
}

async fn described(cluster: &LiveCluster, topic: &Topic) -> Vec<TopicState> {
    answered("it is described", async || cluster.admin().describe(topic).await).await
}

pub(crate) async fn leader(cluster: &LiveCluster, unit: &Unit) -> Option<u32> {
    described(cluster, &unit.topic)
        .await
        .into_iter()
        .find(|state| state.unit == *unit)
        .and_then(|state| state.leader)
}

pub(crate) async fn leader_is_not(cluster: &LiveCluster, unit: &Unit, old: u32) {
    let end = Instant::now() + SOON;
    while leader(cluster, unit).await.is_none_or(|leader| leader == old) {
        assert!(Instant::now() < end, "no other leader");
        sleep(Duration::from_millis(100)).await;
    }
}

pub(crate) async fn all_insync(cluster: &LiveCluster, unit: &Unit) {
    let end = Instant::now() + SOON;
    while described(cluster, &unit.topic).await[0].insync.len() < 3 {
        assert!(Instant::now() < end, "not all are in sync again");
        sleep(Duration::from_millis(100)).await;
    }
}

pub(crate) async fn killed_and_partitioned(cluster: &LiveCluster) {
    let topic = topic(cluster, "orders", 1).await;
    let unit = Unit::new(&topic, 0);
    assert!(cluster.elections().await.is_empty());
    let (acks, mut acked) = unbounded_channel();
    let config = ProducerConfig { idempotent: true, ..ProducerConfig::new("producer-1") };
    cluster.start("producer-1", sender(&unit, &config, &acks));
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
pub(crate) async fn responses_dropped(cluster: &LiveCluster, like: &ProducerConfig) {
    for (id, idempotent) in [(10, false), (11, true)] {
        let name = format!("responses-{idempotent}");
        let topic = topic(cluster, &name, 1).await;
        let unit = Unit::new(&topic, 0);
        let (acks, mut acked) = unbounded_channel();
        let config = ProducerConfig { client: name.clone(), idempotent, ..like.clone() };
        cluster.start(&name, sender(&unit, &config, &acks));
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
