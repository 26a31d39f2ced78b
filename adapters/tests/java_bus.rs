//! The bus over Kafka's own Java clients against a real local cluster.

#![cfg(feature = "kafka")]

use squall_adapters::{
    kafka::{KafkaBus, KafkaConfig, java::JavaClients},
    providers::{
        java_program::skips_for_want_of_java_clients,
        kafka::{KafkaOptions, LocalKafka},
        skips_for_want_of_brokers,
    },
};
use squall_bus::{
    Admin, Bus, ClientProfile, Consumer, ConsumerConfig, ConsumerEvent, Error, GroupProtocol, Isolation,
    Outcome, Producer, ProducerConfig, Record, Topic, TopicSpec, Unit,
};
use std::{collections::BTreeMap, sync::Arc, sync::OnceLock, time::Duration};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);

/// One cluster with its Java clients for all tests of this file. It is never dropped; guards end both with the test
/// process.
fn cluster() -> &'static (LocalKafka, JavaClients) {
    static CLUSTER: OnceLock<(LocalKafka, JavaClients)> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let cluster = LocalKafka::start(KafkaOptions::default(), &|_| ()).expect("the cluster starts");
        let clients = JavaClients::start(&cluster.bootstrap(), &|_| ()).expect("the clients start");
        (cluster, clients)
    })
}

fn bus() -> KafkaBus {
    let (cluster, clients) = cluster();
    let mut config = KafkaConfig::new(&cluster.bootstrap()).expect("addresses");
    config.java = Some(clients.clone());
    KafkaBus::new(config)
}

fn skips() -> bool {
    skips_for_want_of_brokers("kafka") || skips_for_want_of_java_clients()
}

async fn topic(name: &str, partitions: u32) -> Topic {
    let topic = Topic::new(name);
    let spec =
        TopicSpec { topic: topic.clone(), partitions, replicas: 3, min_insync: 2, config: BTreeMap::new() };
    cluster().0.admin().create_topics(&[spec]).await.expect("it is created");
    topic
}

fn record(topic: &Topic, value: &str) -> Record {
    Record::new(topic, Some(b"k".to_vec().into()), value.as_bytes().to_vec().into())
        .header("trace", vec![0, 255])
}

fn java(name: &str, id: &str) -> ProducerConfig {
    let transactional_id = Some(id.to_owned());
    ProducerConfig { profile: ClientProfile::Java, transactional_id, ..ProducerConfig::new(name) }
}

/// One transaction with these records.
async fn transaction(producer: &Arc<dyn Producer>, topic: &Topic, values: &[&str], commits: bool) {
    let steps = producer.transaction().expect("it is transactional");
    steps.begin().await.expect("it begins");
    for value in values {
        let sent = timeout(SOON, producer.send(record(topic, value))).await.expect("in time");
        assert!(sent.is_ok(), "{value}: {sent:?}");
    }
    let ended = if commits { steps.commit().await } else { steps.abort().await };
    assert!(ended.is_ok(), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_is_read_by_a_member_of_the_next_generations_group() {
    if skips() {
        return;
    }
    let (bus, orders) = (bus(), topic("java-orders", 1).await);
    let producer = bus.producer(java("producer-1", "orders")).expect("a producer");
    producer.transaction().expect("it is transactional").init().await.expect("the id is its own");
    transaction(&producer, &orders, &["a", "b"], true).await;
    transaction(&producer, &orders, &["c"], false).await;
    transaction(&producer, &orders, &["d"], true).await;

    let config = ConsumerConfig {
        profile: ClientProfile::Java,
        protocol: GroupProtocol::Consumer,
        isolation: Some(Isolation::ReadCommitted),
        ..ConsumerConfig::group("consumer-1", "java-shipping", std::slice::from_ref(&orders))
    };
    let consumer = bus.consumer(config).expect("a consumer");
    let assigned = timeout(SOON, async {
        loop {
            match consumer.event().await {
                ConsumerEvent::Assigned(units) if !units.is_empty() => return units,
                _ => {}
            }
        }
    });
    assert_eq!(assigned.await.expect("in time"), [(Unit::new(&orders, 0), None)]);
    let mut read = Vec::new();
    for _ in 0..3 {
        let delivery = timeout(SOON, consumer.next()).await.expect("in time").expect("a record");
        assert_eq!(delivery.record.header_value("trace").expect("a header")[..], [0, 255]);
        read.push(String::from_utf8_lossy(&delivery.record.value).into_owned());
        assert!(timeout(SOON, consumer.ack(&delivery)).await.expect("in time").is_ok());
        let behind = bus.admin().committed("java-shipping", &delivery.unit).await.expect("an answer");
        assert_eq!(behind, Some(delivery.position.next()));
    }
    assert_eq!(read, ["a", "b", "d"]);
    timeout(SOON, consumer.close()).await.expect("it leaves in time");
    assert!(consumer.next().await.is_err());
}

/// With transactions of version 2 a batch of an old producer is refused as one of an old epoch, and so is the end of its
/// transaction; an abort tells it that it is fenced.
#[tokio::test(flavor = "multi_thread")]
async fn d4_a_producer_whose_id_another_took_is_fenced() {
    if skips() {
        return;
    }
    let (bus, orders) = (bus(), topic("java-fenced", 1).await);
    let old = bus.producer(java("producer-1", "fenced")).expect("a producer");
    let steps = old.transaction().expect("it is transactional");
    steps.init().await.expect("the id is its own");
    steps.begin().await.expect("it begins");
    assert!(old.send(record(&orders, "a")).await.is_ok());
    let new = bus.producer(java("producer-2", "fenced")).expect("a producer");
    new.transaction().expect("it is transactional").init().await.expect("the id is its own");
    let code = |error: Option<&Error>| error.map(|error| error.code.to_string()).unwrap_or_default();
    let sent = timeout(SOON, old.send(record(&orders, "b"))).await.expect("in time");
    assert_eq!(code(sent.error()), "INVALID_PRODUCER_EPOCH");
    let committed = steps.commit().await;
    assert!(matches!(committed, Outcome::Fail(_)), "the producer itself refuses: {committed:?}");
    assert_eq!(code(committed.error()), "INVALID_PRODUCER_EPOCH");
    assert_eq!(code(steps.abort().await.error()), "PRODUCER_FENCED");
    transaction(&new, &orders, &["c"], true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_java_refuses_are_refused_with_its_sentence_and_a_crash_closes_every_handle() {
    if skips() {
        return;
    }
    let (bus, orders) = (bus(), topic("java-crash", 1).await);
    let wrong = ConsumerConfig {
        profile: ClientProfile::Java,
        protocol: GroupProtocol::Consumer,
        session_timeout: Some(Duration::from_secs(6)),
        ..ConsumerConfig::group("consumer-1", "java-wrong", std::slice::from_ref(&orders))
    };
    let error = bus.consumer(wrong).err().expect("Java refuses it");
    assert!(error.to_string().contains("session.timeout.ms"), "{error}");

    let config = ProducerConfig { profile: ClientProfile::Java, ..ProducerConfig::new("producer-1") };
    let producer = bus.producer(config.clone()).expect("a producer");
    assert!(timeout(SOON, producer.send(record(&orders, "a"))).await.expect("in time").is_ok());
    bus.crash();
    assert!(matches!(producer.send(record(&orders, "b")).await, Outcome::Fail(_)));
    assert!(bus.producer(config).is_err());
    let (_, end) = cluster().0.admin().bounds(&Unit::new(&orders, 0)).await.expect("an answer");
    assert_eq!(end.0, 1);
}

/// The sessions of these members last 45 s: who takes over sooner has heard of the leave.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_closes_leaves_its_group_even_if_its_handle_is_dropped_meanwhile() {
    if skips() {
        return;
    }
    let (bus, orders) = (bus(), topic("java-leaves", 2).await);
    let open = |name: &str| {
        let config = ConsumerConfig {
            profile: ClientProfile::Java,
            ..ConsumerConfig::group(name, "java-leaves", std::slice::from_ref(&orders))
        };
        bus.consumer(config).expect("a consumer")
    };
    let (first, second) = (open("consumer-1"), open("consumer-2"));
    // Range, Java's default, hands back everything and assigns anew.
    let owns = |consumer: Arc<dyn Consumer>, count: usize| async move {
        while !matches!(consumer.event().await, ConsumerEvent::Assigned(units) if units.len() == count) {}
    };
    let both = async { tokio::join!(owns(Arc::clone(&first), 1), owns(Arc::clone(&second), 1)) };
    timeout(SOON, both).await.expect("each has one in time");
    let closed = first.close();
    drop(first);
    timeout(SOON, closed).await.expect("it leaves in time");
    timeout(SOON, owns(second, 2)).await.expect("the other takes over in time");
}
