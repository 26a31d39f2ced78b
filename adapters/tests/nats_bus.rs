//! The bus over async-nats against a real local cluster.

#![cfg(feature = "nats")]

use squall_adapters::{
    nats::{NatsBus, NatsConfig, admin::NatsAdmin},
    providers::nats::{LocalNats, NatsOptions},
};
use squall_bus::{
    Acks, Admin, Bus, Consumer, ConsumerConfig, ConsumerEvent, Delivery, ErrorClass, ID_HEADER, Outcome,
    Position, Producer, ProducerConfig, Record, ResetPolicy, SLOW_CONSUMER, Topic, TopicSpec, Unit,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);

/// One cluster for all tests of this file. It is never dropped; the guard ends it with the test process.
fn cluster() -> &'static (LocalNats, NatsAdmin) {
    static CLUSTER: OnceLock<(LocalNats, NatsAdmin)> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let cluster = LocalNats::start(NatsOptions::default(), &|line| eprintln!("{line}"))
            .expect("the cluster starts");
        let admin = NatsAdmin::direct(&cluster.addresses().direct(), cluster.monitor(), "admin");
        (cluster, admin)
    })
}

fn admin() -> &'static NatsAdmin {
    &cluster().1
}

fn bus() -> NatsBus {
    let config = NatsConfig::new(&cluster().0.bootstrap(), Arc::new(admin().clone()));
    NatsBus::new(NatsConfig { ack_wait: Some(Duration::from_secs(2)), ..config })
}

fn spec(name: &str, partitions: u32) -> TopicSpec {
    TopicSpec { topic: Topic::new(name), partitions, replicas: 3, min_insync: 2, config: BTreeMap::new() }
}

async fn topic(name: &str, partitions: u32) -> Topic {
    let spec = spec(name, partitions);
    admin().create_topics(std::slice::from_ref(&spec)).await.expect("it is created");
    spec.topic
}

fn record(topic: &Topic, number: u32) -> Record {
    let key = format!("k.{} *", number % 7).into_bytes().into();
    Record::new(topic, Some(key), number.to_string().into_bytes().into()).header("number", number.to_string())
}

async fn send_all(producer: &Arc<dyn Producer>, topic: &Topic, numbers: std::ops::Range<u32>) {
    let mut sendings = Vec::new();
    for number in numbers {
        producer.ready().await.expect("room");
        sendings.push(producer.send(record(topic, number)));
    }
    for sending in sendings {
        let outcome = timeout(SOON, sending).await.expect("in time");
        assert!(outcome.is_ok(), "{outcome:?}");
    }
}

async fn next(consumer: &Arc<dyn Consumer>) -> Delivery {
    timeout(SOON, consumer.next()).await.expect("in time").expect("a record")
}

fn number(delivery: &Delivery) -> u32 {
    String::from_utf8_lossy(&delivery.record.value).parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_is_read_in_order_and_a_group_goes_on_where_it_acknowledged() {
    if squall_adapters::providers::skips_for_want_of_brokers("nats") {
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
    let mut seen = BTreeSet::new();
    for _ in 0..200 {
        let delivery = next(&consumer).await;
        let number = number(&delivery);
        assert_eq!(delivery.record.header_value("number").expect("a header"), &number.to_string());
        assert_eq!((delivery.attempt, delivery.record.headers.len()), (Some(1), 1));
        let key = delivery.record.key.clone().expect("a key").to_vec();
        assert_eq!(key, format!("k.{} *", number % 7).into_bytes());
        assert!(last.insert(key, number).is_none_or(|before| before < number), "out of order");
        assert!(seen.insert(number));
        assert!(timeout(SOON, consumer.ack(&delivery)).await.expect("in time").is_ok());
        assert!(consumer.ack(&delivery).await.error().is_some(), "it has had its word");
    }
    timeout(SOON, consumer.close()).await.expect("it leaves in time");
    assert!(consumer.next().await.is_err());

    // What was fetched ahead was handed back: it comes at once and not after the wait for acks.
    let (consumer, again) = (open().expect("a consumer again"), Instant::now());
    for _ in 0..100 {
        let delivery = next(&consumer).await;
        assert!(seen.insert(number(&delivery)), "read twice");
        assert!(timeout(SOON, consumer.ack(&delivery)).await.expect("in time").is_ok());
    }
    assert!(again.elapsed() < Duration::from_secs(15), "{:?}", again.elapsed());
    for partition in 0..3 {
        let unit = Unit::new(&orders, partition);
        let (_, end) = admin().bounds(&unit).await.expect("it has ends");
        let committed = admin().committed("billing", &unit).await.expect("an answer");
        assert_eq!(committed, Some(end), "{unit}");
    }
    assert!(admin().coordinator("billing").await.expect("an answer").is_some());
    assert_eq!(admin().coordinator("nobody").await.expect("an answer"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_shares_and_what_is_refused_comes_again_while_what_is_ended_does_not() {
    if squall_adapters::providers::skips_for_want_of_brokers("nats") {
        return;
    }
    let (bus, jobs) = (bus(), topic("jobs", 2).await);
    let producer = bus.producer(ProducerConfig::new("producer-2")).expect("a producer");
    send_all(&producer, &jobs, 0..20).await;
    let config = ConsumerConfig {
        ordered: false,
        ..ConsumerConfig::group("consumer-2", "workers", std::slice::from_ref(&jobs))
    };
    let consumer = bus.consumer(config).expect("a consumer");
    let (mut done, mut nacked, mut silent) = (BTreeSet::new(), 0, 0);
    let begin = Instant::now();
    while done.len() < 20 {
        let delivery = next(&consumer).await;
        let said = match (number(&delivery), delivery.attempt) {
            (3, Some(1)) => {
                nacked += 1;
                consumer.nack(&delivery, Duration::from_millis(300))
            }
            (4, Some(1)) => {
                silent += 1;
                assert!(consumer.extend(&delivery).await.is_ok());
                continue;
            }
            (5, _) => consumer.term(&delivery, "no use"),
            _ => consumer.ack(&delivery),
        };
        let said = timeout(SOON, said).await.expect("in time");
        assert!(said.is_ok(), "{said:?}");
        if (number(&delivery), delivery.attempt) != (3, Some(1)) {
            assert!(done.insert(number(&delivery)), "read twice");
        }
    }
    assert_eq!((nacked, silent), (1, 1));
    assert!(begin.elapsed() >= Duration::from_secs(2), "the silent one came again too early");
    assert!(timeout(Duration::from_secs(3), consumer.next()).await.is_err(), "the ended one came again");
    let unit = Unit::new(&jobs, 0);
    let (committed, (_, end)) =
        (admin().committed("workers", &unit).await, admin().bounds(&unit).await.expect("ends"));
    assert!(committed.expect("an answer").expect("a place") >= end);
}

/// A record that the bus gave up, as one of the members hears it.
async fn exhausted(members: &[Arc<dyn Consumer>; 2]) -> Delivery {
    loop {
        let event = tokio::select! {
            event = members[0].event() => event,
            event = members[1].event() => event,
        };
        if let ConsumerEvent::Exhausted(delivery) = event {
            return delivery;
        }
    }
}

/// The advisory comes when the record would be delivered again: at once, after the delay, after the ack wait. The
/// simulated server does alike (`n2_the_last_delivery_ends_with_an_advisory_when_it_would_come_again`).
#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_too_often_is_given_up_and_told_to_one_member() {
    if squall_adapters::providers::skips_for_want_of_brokers("nats") {
        return;
    }
    let (bus, tries, letters) = (bus(), topic("tries", 2).await, topic("letters", 1).await);
    let config = |client: &str| ConsumerConfig {
        max_deliver: Some(2),
        ack_wait: Some(Duration::from_secs(3)),
        ..ConsumerConfig::group(client, "triers", std::slice::from_ref(&tries))
    };
    let members =
        ["consumer-a", "consumer-b"].map(|client| bus.consumer(config(client)).expect("a consumer"));
    let producer = bus
        .producer(ProducerConfig { idempotent: true, ..ProducerConfig::new("producer-t") })
        .expect("a producer");
    for (number, refused, at) in [(1, Some(0), 0), (2, Some(1_000), 1_000), (3, None, 3_000)] {
        assert!(producer.send(Record { partition: Some(1), ..record(&tries, number) }).await.is_ok());
        // The server counts from when it delivers or is refused: after the one, before the other.
        let (mut before, mut since) = (Instant::now(), Instant::now());
        for attempt in 1..=2 {
            let delivery = tokio::select! {
                delivery = next(&members[0]) => (delivery, 0),
                delivery = next(&members[1]) => (delivery, 1),
            };
            let (delivery, member) = delivery;
            assert_eq!((number, delivery.attempt), (self::number(&delivery), Some(attempt)));
            since = Instant::now();
            let pause = refused.filter(|_| attempt == 2).unwrap_or(0);
            if attempt == 1 || refused.is_some() {
                before = Instant::now();
                assert!(members[member].nack(&delivery, Duration::from_millis(pause)).await.is_ok());
            }
        }
        let told = timeout(SOON, exhausted(&members)).await.expect("in time");
        let (least, most) = (Duration::from_millis(at), Duration::from_millis(at + 900));
        let after = (since.elapsed(), before.elapsed());
        assert!(
            after.1 >= least && after.0 < most,
            "record {number}, refused with {refused:?} ms: told {:?} to {:?} after that",
            after.0,
            after.1
        );
        assert_eq!((self::number(&told), told.attempt, told.unit.partition), (number, Some(2), 1));
        assert_eq!(told.record.key, record(&tries, number).key);
        let (again, unit) = (producer.send(letter(&told, &letters)).await, &told.unit);
        let twice = producer.send(letter(&told, &letters)).await;
        let duplicate = |outcome: Outcome<squall_bus::Ack>| outcome.ok().expect("stored").duplicate;
        assert_eq!((duplicate(again), duplicate(twice)), (false, true));
        // Nothing waits although the floor never came past the last record.
        let (committed, (_, end)) =
            (admin().committed("triers", unit).await, admin().bounds(unit).await.expect("ends"));
        assert!(committed.expect("an answer").expect("a place") >= end);
    }
    let more = timeout(Duration::from_secs(4), exhausted(&members)).await;
    assert!(more.is_err(), "told twice: {more:?}");
}

/// The letter for a record, under its name.
fn letter(told: &Delivery, letters: &Topic) -> Record {
    let letter = Record { topic: letters.clone(), partition: None, ..told.record.clone() };
    letter.header(ID_HEADER, format!("tries.triers.{}", told.position))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_is_full_drops_and_says_so_and_the_server_delivers_again() {
    if squall_adapters::providers::skips_for_want_of_brokers("nats") {
        return;
    }
    let (bus, bursts) = (bus(), topic("bursts", 1).await);
    let producer = bus.producer(ProducerConfig::new("producer-b")).expect("a producer");
    send_all(&producer, &bursts, 0..60).await;
    let config = ConsumerConfig {
        ordered: false,
        prefetch: 60,
        buffer: Some(40),
        ack_wait: Some(Duration::from_secs(1)),
        ..ConsumerConfig::group("consumer-s", "slow", std::slice::from_ref(&bursts))
    };
    let consumer = bus.consumer(config).expect("a consumer");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (mut done, mut again) = (BTreeSet::new(), 0);
    while done.len() < 60 {
        let delivery = next(&consumer).await;
        again += u32::from(delivery.attempt > Some(1));
        assert!(timeout(SOON, consumer.ack(&delivery)).await.expect("in time").is_ok());
        done.insert(number(&delivery));
    }
    let mut dropped = 0;
    while let Ok(event) = timeout(Duration::from_millis(100), consumer.event()).await {
        dropped += u32::from(matches!(event, ConsumerEvent::Error(error) if error.code == SLOW_CONSUMER));
    }
    assert!(dropped >= 15 && again >= 15, "{dropped} dropped, {again} delivered again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_units_goes_where_it_is_sent_and_ends_are_known() {
    if squall_adapters::providers::skips_for_want_of_brokers("nats") {
        return;
    }
    let (bus, lines) = (bus(), topic("lines", 2).await);
    let (unit, empty) = (Unit::new(&lines, 1), Unit::new(&lines, 0));
    let (start, end) = admin().bounds(&unit).await.expect("it has ends");
    assert_eq!(start, end);
    let producer = bus.producer(ProducerConfig::new("producer-3")).expect("a producer");
    let mut positions = Vec::new();
    for number in 0..10 {
        let record = Record { partition: Some(1), ..record(&lines, number) };
        let ack = producer.send(record).await.ok().expect("an ack");
        assert_eq!((&ack.unit, ack.duplicate), (&unit, false));
        positions.push(ack.position.expect("a place"));
    }
    assert_eq!(admin().bounds(&unit).await, Ok((positions[0], positions[9].next())));
    let (start, end) = admin().bounds(&empty).await.expect("it has ends");
    assert_eq!(start, end);

    let reader = bus.consumer(ConsumerConfig::assign("r", vec![(unit.clone(), Some(positions[4]))]));
    let reader = reader.expect("a reader");
    assert!(matches!(reader.event().await, ConsumerEvent::Assigned(units) if units.len() == 1));
    assert_eq!(next(&reader).await.position, positions[4]);
    reader.seek(&unit, positions[1]).expect("it is sent there");
    for position in &positions[1..] {
        let delivery = next(&reader).await;
        assert_eq!((delivery.position, delivery.attempt), (*position, None));
    }
    let late = ConsumerConfig {
        reset: ResetPolicy::Latest,
        ..ConsumerConfig::assign("l", vec![(unit.clone(), None)])
    };
    let late = bus.consumer(late).expect("a reader");
    assert!(timeout(Duration::from_millis(700), late.next()).await.is_err(), "there was nothing new");
    let new = Record { partition: Some(1), ..record(&lines, 10) };
    let new = producer.send(new).await.ok().expect("an ack").position.expect("a place");
    assert_eq!(next(&late).await.position, new);
    assert!(matches!(reader.commit(vec![(unit.clone(), Position(1))]).await, Outcome::Fail(_)));
    assert!(reader.seek(&empty, Position(1)).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_and_says_why() {
    if squall_adapters::providers::skips_for_want_of_brokers("nats") {
        return;
    }
    let (bus, small) = (bus(), topic("small", 1).await);
    let config = |acks, idempotent| ProducerConfig { acks, idempotent, ..ProducerConfig::new("p") };
    let class = |config| bus.producer(config).err().expect("no producer").class;
    assert_eq!(class(config(Acks::One, false)), ErrorClass::Unsupported);
    assert_eq!(class(config(Acks::None, true)), ErrorClass::Refused);
    let producer = bus.producer(config(Acks::All, false)).expect("a producer");
    let refused = |outcome: Outcome<_>| match outcome {
        Outcome::Fail(error) => error,
        other => panic!("{other:?}"),
    };
    let nowhere =
        refused(timeout(SOON, producer.send(record(&Topic::new("nowhere"), 1))).await.expect("in time"));
    assert_eq!(nowhere.code, "10059", "{nowhere}");
    let large = Record { value: vec![0; 2 << 20].into(), ..record(&small, 1) };
    assert_eq!(refused(producer.send(large).await).code, "MAX_PAYLOAD_EXCEEDED");
    let binary = record(&small, 1).header("h", vec![0xff, 0xfe]);
    assert_eq!(refused(producer.send(binary).await).code, "INVALID_RECORD");
    let unheard = Record { partition: Some(0), ..record(&Topic::new("unheard"), 1) };
    assert_eq!(refused(producer.send(unheard).await).code, "503");
    let unit = Unit::new(&small, 0);
    assert_eq!(admin().bounds(&unit).await.map(|(start, end)| start == end), Ok(true), "nothing was stored");

    let unacked = bus.producer(config(Acks::None, false)).expect("a producer");
    assert!(
        matches!(unacked.send(record(&small, 1)).await, Outcome::Unknown(error, None) if error.code == "NO_ACK")
    );
    let end = Instant::now() + SOON;
    while admin().bounds(&unit).await.is_ok_and(|(start, end)| start == end) {
        assert!(Instant::now() < end, "what was published without an ack is not there");
    }
    let other = admin().create_topics(&[spec("small", 5)]).await.expect_err("another shape").to_string();
    assert!(
        other.contains("is there with 1 partitions and 3 replicas, and 5 and 3 were asked for"),
        "{other}"
    );
    assert!(admin().create_topics(&[spec("small", 1)]).await.is_ok(), "the same shape is fine");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_ends_every_handle_and_says_nothing() {
    if squall_adapters::providers::skips_for_want_of_brokers("nats") {
        return;
    }
    let (bus, left) = (bus(), topic("left", 1).await);
    let config = || ConsumerConfig { ..ConsumerConfig::group("c", "leavers", std::slice::from_ref(&left)) };
    let producer = bus.producer(ProducerConfig::new("p")).expect("a producer");
    send_all(&producer, &left, 0..3).await;
    let consumer = bus.consumer(config()).expect("a consumer");
    let delivery = next(&consumer).await;
    let (open, acked) = (producer.send(record(&left, 9)), consumer.ack(&delivery));
    bus.crash();
    assert!(producer.ready().await.is_err() && consumer.next().await.is_err());
    assert!(
        matches!(producer.send(record(&left, 4)).await, Outcome::Fail(error) if error.class == ErrorClass::Fatal)
    );
    assert!(bus.producer(ProducerConfig::new("p")).is_err());
    let silence = Duration::from_millis(300);
    assert!(
        timeout(silence, open).await.is_err() || timeout(silence, acked).await.is_err(),
        "both had an outcome"
    );

    let survivor = self::bus();
    let consumer = survivor.consumer(config()).expect("a consumer");
    let first = next(&consumer).await;
    assert!(number(&first) <= 1, "what the crashed one had is delivered again, or what comes behind it");
    assert!(consumer.ack(&first).await.is_ok());
}
