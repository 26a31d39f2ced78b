//! The bus over librdkafka against a real local cluster.

#![cfg(feature = "kafka")]

use squall_adapters::{
    kafka::{KafkaBus, KafkaConfig},
    providers::{
        kafka::{KafkaOptions, LocalKafka},
        skips_for_want_of_brokers,
    },
};
use squall_bus::{
    Acks, Admin, Bus, Consumer, ConsumerConfig, ConsumerEvent, Error, ErrorClass, Outcome, Position,
    Producer, ProducerConfig, Record, Topic, TopicSpec, Unit,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);

/// One cluster for all tests of this file. It is never dropped; the guard ends it with the test process.
fn cluster() -> &'static LocalKafka {
    static CLUSTER: OnceLock<LocalKafka> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        LocalKafka::start(KafkaOptions::default(), &|line| eprintln!("{line}")).expect("the cluster starts")
    })
}

fn bus() -> KafkaBus {
    KafkaBus::new(KafkaConfig::new(&cluster().bootstrap()).expect("addresses"))
}

async fn topic(name: &str, partitions: u32) -> Topic {
    let topic = Topic::new(name);
    let spec =
        TopicSpec { topic: topic.clone(), partitions, replicas: 3, min_insync: 2, config: BTreeMap::new() };
    cluster().admin().create_topics(&[spec]).await.expect("it is created");
    topic
}

fn record(topic: &Topic, number: u32) -> Record {
    let key = format!("k{}", number % 7).into_bytes().into();
    Record::new(topic, Some(key), number.to_string().into_bytes().into())
        .header("number", number.to_be_bytes().to_vec())
}

async fn send_all(producer: &Arc<dyn Producer>, topic: &Topic, numbers: std::ops::Range<u32>) {
    let mut sendings = Vec::new();
    for number in numbers {
        producer.ready().await.expect("room");
        sendings.push(producer.send(record(topic, number)));
    }
    for sending in sendings {
        assert!(timeout(SOON, sending).await.expect("in time").is_ok());
    }
}

async fn assigned(consumer: &Arc<dyn Consumer>) -> Vec<Unit> {
    loop {
        if let ConsumerEvent::Assigned(units) = timeout(SOON, consumer.event()).await.expect("in time") {
            return units.into_iter().map(|(unit, _)| unit).collect();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_is_read_in_order_and_a_group_goes_on_where_it_committed() {
    if skips_for_want_of_brokers("kafka") {
        return;
    }
    let (bus, orders) = (bus(), topic("orders", 3).await);
    let config = ProducerConfig { idempotent: true, buffer: 50, ..ProducerConfig::new("producer-1") };
    let producer = bus.producer(config).expect("a producer");
    send_all(&producer, &orders, 0..300).await;
    producer.flush().await.expect("nothing is left");

    let open = || bus.consumer(ConsumerConfig::group("consumer-1", "billing", std::slice::from_ref(&orders)));
    let consumer = open().expect("a consumer");
    let mut last: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    let mut committed: BTreeMap<Unit, Position> = BTreeMap::new();
    for _ in 0..200 {
        let delivery = timeout(SOON, consumer.next()).await.expect("in time").expect("a record");
        let number: u32 = String::from_utf8_lossy(&delivery.record.value).parse().expect("a number");
        assert_eq!(delivery.record.header_value("number").expect("a header")[..], number.to_be_bytes());
        let key = delivery.record.key.clone().expect("a key").to_vec();
        assert!(last.insert(key, number).is_none_or(|before| before < number), "out of order");
        committed.insert(delivery.unit, delivery.position.next());
    }
    let positions = committed.clone().into_iter().collect();
    assert!(timeout(SOON, consumer.commit(positions)).await.expect("in time").is_ok());
    timeout(SOON, consumer.close()).await.expect("it leaves in time");
    assert!(consumer.next().await.is_err());
    for (unit, position) in &committed {
        assert_eq!(bus.admin().committed("billing", unit).await.expect("an answer"), Some(*position));
    }

    let consumer = open().expect("a consumer again");
    for _ in 0..100 {
        let delivery = timeout(SOON, consumer.next()).await.expect("in time").expect("a record");
        assert!(committed.get(&delivery.unit).is_none_or(|from| delivery.position >= *from), "read twice");
    }
    timeout(SOON, consumer.close()).await.expect("it leaves in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_member_takes_over_some_units_and_the_first_has_the_last_word() {
    if skips_for_want_of_brokers("kafka") {
        return;
    }
    let (bus, topic) = (bus(), topic("shared", 4).await);
    let open = |name| bus.consumer(ConsumerConfig::group(name, "pair", std::slice::from_ref(&topic)));
    let first = open("consumer-a").expect("a consumer");
    assert_eq!(assigned(&first).await.len(), 4);
    let second = open("consumer-b").expect("a consumer");
    let listening = tokio::spawn({
        let first = Arc::clone(&first);
        async move {
            loop {
                if let ConsumerEvent::Revoked(units) = first.event().await {
                    let unit = units[0].clone();
                    let last = first.commit(vec![(unit.clone(), Position(0))]).await;
                    return (last, unit, assigned(&first).await);
                }
            }
        }
    });
    let theirs = assigned(&second).await;
    let (last, _, own) = timeout(SOON, listening).await.expect("in time").expect("it listens");
    assert!(last.is_ok(), "the last commit failed: {last:?}");
    let all: BTreeSet<_> = own.iter().chain(&theirs).collect();
    assert_eq!((own.len(), theirs.len(), all.len()), (2, 2, 4));
    timeout(SOON, first.close()).await.expect("it leaves");
    timeout(SOON, second.close()).await.expect("it leaves");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_reader_reads_from_where_it_is_told_and_seeks() {
    if skips_for_want_of_brokers("kafka") {
        return;
    }
    let (bus, topic) = (bus(), topic("alone", 1).await);
    let producer = bus.producer(ProducerConfig::new("producer-1")).expect("a producer");
    send_all(&producer, &topic, 0..20).await;
    let unit = Unit::new(&topic, 0);
    let from = vec![(unit.clone(), Some(Position(5)))];
    let reader = bus.consumer(ConsumerConfig::assign("reader", from)).expect("a reader");
    let position = async || timeout(SOON, reader.next()).await.expect("in time").expect("a record").position;
    assert_eq!((position().await, position().await), (Position(5), Position(6)));
    reader.seek(&unit, Position(15)).expect("it is its own");
    assert_eq!(position().await, Position(15));
    reader.seek(&unit, Position(2)).expect("it is its own");
    assert_eq!((position().await, position().await), (Position(2), Position(3)));
    assert!(reader.seek(&Unit::new(&topic, 9), Position(0)).is_err());
    assert!(matches!(reader.commit(vec![(unit, Position(1))]).await, Outcome::Fail(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_seen_as_a_whole_or_not_at_all_and_a_zombie_is_fenced() {
    if skips_for_want_of_brokers("kafka") {
        return;
    }
    let (bus, topic) = (bus(), topic("transfers", 1).await);
    let open = |name| {
        let transactional_id = Some("transfers-1".to_owned());
        bus.producer(ProducerConfig { idempotent: true, transactional_id, ..ProducerConfig::new(name) })
    };
    let producer = open("producer-1").expect("a producer");
    let transaction = producer.transaction().expect("it has an id");
    timeout(SOON, transaction.init()).await.expect("in time").expect("it is registered");
    let unit = Unit::new(&topic, 0);
    for (numbers, commits) in [(0..3, true), (3..6, false), (6..9, true)] {
        transaction.begin().await.expect("it is open");
        send_all(&producer, &topic, numbers.clone()).await;
        let positions = vec![(unit.clone(), Position(numbers.start.into()))];
        assert!(transaction.send_positions("transferring", positions).await.is_ok());
        let ended = if commits { transaction.commit() } else { transaction.abort() };
        assert!(timeout(SOON, ended).await.expect("in time").is_ok());
    }
    assert_eq!(bus.admin().committed("transferring", &unit).await.expect("an answer"), Some(Position(6)));
    let reader = bus.consumer(ConsumerConfig::assign("reader", vec![(unit, None)])).expect("a reader");
    let mut seen = Vec::new();
    for _ in 0..6 {
        let delivery = timeout(SOON, reader.next()).await.expect("in time").expect("a record");
        seen.push(String::from_utf8_lossy(&delivery.record.value).into_owned());
    }
    assert_eq!(seen.concat(), "012678");

    let heir = open("producer-2").expect("a producer");
    timeout(SOON, heir.transaction().expect("an id").init()).await.expect("in time").expect("it takes over");
    transaction.begin().await.expect("it knows nothing yet");
    let sent = timeout(SOON, producer.send(record(&topic, 99))).await.expect("in time");
    assert_eq!(sent.error().map(|error: &Error| error.class), Some(ErrorClass::Fatal), "{sent:?}");
}

/// The partition of one of the brokers' own topics that a name belongs to: by Java's hash of it.
fn partition_of(name: &str, partitions: usize) -> usize {
    let hash = name.bytes().fold(0_i32, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
    hash.checked_abs().map_or(0, |hash| usize::try_from(hash).expect("not negative")) % partitions
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transactional_id_has_a_coordinator_of_its_own_unless_a_group_is_called_like_that() {
    if skips_for_want_of_brokers("kafka") {
        return;
    }
    let (bus, topic) = (bus(), topic("parcels", 1).await);
    let transactional_id = Some("parcels-1".to_owned());
    let config = ProducerConfig { idempotent: true, transactional_id, ..ProducerConfig::new("producer-1") };
    let producer = bus.producer(config).expect("a producer");
    let transaction = producer.transaction().expect("it has an id");
    timeout(SOON, transaction.init()).await.expect("in time").expect("it is registered");
    // A group has the name of the first of these ids.
    let config = ConsumerConfig::group("consumer-1", "parcels-0", std::slice::from_ref(&topic));
    let member = bus.consumer(config).expect("a member");
    assigned(&member).await;

    let leaders = |topic: &'static str| async move {
        let units = cluster().admin().describe(&Topic::new(topic)).await.expect("it is there");
        units.into_iter().map(|unit| unit.leader).collect::<Vec<_>>()
    };
    let (groups, transactions) = (leaders("__consumer_offsets").await, leaders("__transaction_state").await);
    let led = |leaders: &[Option<u32>], name: &str| leaders[partition_of(name, leaders.len())];
    let mut elsewhere = 0;
    for name in (0..9).map(|number| format!("parcels-{number}")) {
        let kept = if name == "parcels-0" { &groups } else { &transactions };
        elsewhere += u32::from(led(&groups, &name) != led(&transactions, &name));
        assert_eq!(bus.admin().coordinator(&name).await.expect("an answer"), led(kept, &name), "{name}");
    }
    assert!(elsewhere > 0, "some names have two coordinators, {groups:?} and {transactions:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_are_honest() {
    if skips_for_want_of_brokers("kafka") {
        return;
    }
    let (bus, topic) = (bus(), topic("outcomes", 1).await);
    let mute = ProducerConfig { acks: Acks::None, ..ProducerConfig::new("producer-0") };
    let mute = bus.producer(mute).expect("a producer");
    assert!(matches!(
        timeout(SOON, mute.send(record(&topic, 0))).await.expect("in time"),
        Outcome::Unknown(..)
    ));

    let producer = bus.producer(ProducerConfig { buffer: 1, ..ProducerConfig::new("producer-1") });
    let producer = producer.expect("a producer");
    let first = producer.send(record(&topic, 1));
    match producer.send(record(&topic, 2)).await {
        Outcome::Fail(error) => {
            assert_eq!((error.class, &*error.code), (ErrorClass::Retriable, "_QUEUE_FULL"));
        }
        other => panic!("there was no room: {other:?}"),
    }
    let acked = timeout(SOON, first).await.expect("in time").ok().expect("it is acked");
    assert_eq!(acked.unit, Unit::new(&topic, 0));
    let mut nowhere = record(&topic, 3);
    nowhere.partition = Some(77);
    timeout(SOON, producer.ready()).await.expect("in time").expect("room again");
    let lost = timeout(SOON, producer.send(nowhere)).await.expect("in time");
    assert!(lost.error().is_some(), "{lost:?}");

    let wrong = ProducerConfig { idempotent: true, acks: Acks::One, ..ProducerConfig::new("p") };
    let error = bus.producer(wrong).err().expect("idempotence needs all acks");
    assert!(error.message.contains("acks"), "{error}");

    bus.crash();
    assert!(producer.ready().await.is_err());
    assert!(bus.producer(ProducerConfig::new("late")).is_err());
}
