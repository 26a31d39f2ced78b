//! The clients on the whole simulated NATS, through the bus traits: elections, redelivery, lost acks.

use crate::{
    SimCluster, Simulation,
    kernel::{Choices, LinkSpec},
    nats::{Nats, invariants, profile::nats_2_15},
    runtime::Options,
};
use bytes::Bytes;
use squall_bus::{
    Cluster, Consumer, ConsumerConfig, ConsumerEvent, Fault, FaultKind, ID_HEADER, Outcome, ProducerConfig,
    Record, Role, Time, Topic, TopicSpec, Unit,
};
use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    sync::Arc,
    task::Poll,
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);

fn topic() -> Topic {
    Topic::new("orders")
}

/// Runs this on three servers with a topic of two partitions, once they are ready.
fn on_cluster<T, F>(seed: u64, body: impl FnOnce(Arc<SimCluster<Nats>>) -> F + Send + 'static) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let choices = Choices::new(seed);
    let nats = Nats::new(nats_2_15(), 3, &choices).expect("a cluster");
    let simulation = Simulation::new(nats, choices, LinkSpec::default(), invariants::all());
    let options = Options { host_timers: false, watchdog: None, ..Options::default() };
    let ran = simulation.run(options, |cluster| async move {
        let spec =
            TopicSpec { topic: topic(), partitions: 2, replicas: 3, min_insync: 2, config: BTreeMap::new() };
        let clock = cluster.clock();
        while cluster.admin().create_topics(std::slice::from_ref(&spec)).await.is_err() {
            clock.sleep(SECOND).await;
        }
        clock.sleep(15 * SECOND).await;
        body(cluster).await
    });
    ran.expect("no invariant is broken")
}

fn record(partition: u32, value: u64) -> Record {
    let value = Bytes::copy_from_slice(&value.to_le_bytes());
    Record { partition: Some(partition), ..Record::new(&topic(), None, value) }
}

fn number(value: &Bytes) -> u64 {
    u64::from_le_bytes(value.as_ref().try_into().expect("8 bytes"))
}

async fn strike(cluster: &SimCluster<Nats>, kind: FaultKind, role: Role) -> squall_bus::StruckFault {
    let fault = Fault { id: 0, at: Time::ZERO, lasts: Duration::ZERO, role, kind };
    match cluster.strike(&fault).await.expect("it can strike") {
        squall_bus::Strike::Hit(struck) => struck,
        squall_bus::Strike::Nobody => panic!("somebody has the role"),
    }
}

/// What stands in partition 0, read by a reader that no fault touched.
async fn log(cluster: &SimCluster<Nats>) -> Vec<u64> {
    let unit = Unit::new(&topic(), 0);
    let (from, to) = cluster.admin().bounds(&unit).await.expect("a leader");
    let mut values = Vec::new();
    if from == to {
        return values;
    }
    let reader =
        cluster.bus().consumer(ConsumerConfig::assign("reader", vec![(unit, Some(from))])).expect("fine");
    loop {
        let delivery = reader.next().await.expect("the reader lives");
        values.push(number(&delivery.record.value));
        if delivery.position.next() >= to {
            return values;
        }
    }
}

/// Sends records 0 to 9, one every 300 ms, while the acks of all servers are lost once: the log.
fn lost_acks(idempotent: bool, retries: Option<u32>) -> (Vec<u64>, u32) {
    on_cluster(5, move |cluster| async move {
        let config = ProducerConfig { idempotent, retries, ..ProducerConfig::new("producer-1") };
        let producer = cluster.bus().producer(config).expect("a producer");
        producer.ready().await.expect("room");
        assert!(producer.send(record(0, 0)).await.is_ok());
        strike(&cluster, FaultKind::DropResponses(1), Role::All).await;
        let mut sends = Vec::new();
        for value in 1..10 {
            producer.ready().await.expect("room");
            sends.push(producer.send(record(0, value)));
            cluster.clock().sleep(Duration::from_millis(300)).await;
        }
        let mut duplicates = 0;
        for send in sends {
            if let Outcome::Ok(ack) = send.await {
                duplicates += u32::from(ack.duplicate);
            }
        }
        (log(&cluster).await, duplicates)
    })
}

#[test]
fn a_retry_without_a_message_id_duplicates_and_overtakes_nothing_with_one() {
    let once: Vec<u64> = (0..10).collect();
    let (log, _) = lost_acks(false, Some(5));
    let mut sorted = log.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted, once);
    assert!(log.len() > 10, "some record stands twice: {log:?}");
    let (log, duplicates) = lost_acks(true, None);
    assert_eq!(log, once);
    assert!(duplicates > 0, "its repeat was called a duplicate");
    assert_eq!(lost_acks(false, None).0, once, "the library itself sends nothing again");
}

#[test]
fn an_idempotent_producer_keeps_order_and_loses_nothing_over_the_death_of_a_leader() {
    for seed in 1..=3 {
        let (log, outcomes) = on_cluster(seed, |cluster| async move {
            let config = ProducerConfig { idempotent: true, ..ProducerConfig::new("producer-1") };
            let producer = cluster.bus().producer(config).expect("a producer");
            let mut sends = Vec::new();
            let mut struck = None;
            for value in 0..200 {
                if value == 50 {
                    let role = Role::Leader(Unit::new(&topic(), 0));
                    struck = Some(strike(&cluster, FaultKind::Kill, role).await);
                }
                producer.ready().await.expect("room");
                sends.push(producer.send(record(0, value)));
                cluster.clock().sleep(Duration::from_millis(50)).await;
            }
            cluster.heal(&struck.expect("struck")).await.expect("healed");
            let mut outcomes = Vec::new();
            for send in sends {
                outcomes.push(send.await.is_ok());
            }
            (log(&cluster).await, outcomes)
        });
        assert!(outcomes.iter().all(|ok| *ok), "seed {seed}: a minute is enough to find the next leader");
        assert_eq!(log, (0..200).collect::<Vec<_>>(), "seed {seed}");
    }
}

/// The first event of a member: its units.
async fn joined(consumer: &Arc<dyn Consumer>) -> usize {
    match consumer.event().await {
        ConsumerEvent::Assigned(units) => units.len(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_record_that_is_not_acknowledged_comes_again_to_somebody() {
    let (first, second, attempts) = on_cluster(3, |cluster| async move {
        let member = |name: &str| {
            cluster.bus().consumer(ConsumerConfig::group(name, "billing", &[topic()])).expect("fine")
        };
        let one = member("consumer-1");
        assert_eq!(joined(&one).await, 2);
        let producer = cluster.bus().producer(ProducerConfig::new("producer-1")).expect("a producer");
        for value in 0..2 {
            producer.ready().await.expect("room");
            assert!(producer.send(record(0, value)).await.is_ok());
        }
        let first = one.next().await.expect("a record");
        let two = member("consumer-2");
        assert_eq!(joined(&two).await, 2, "every member reads all");
        // It neither acknowledges nor asks again; the other one gets it after the ack wait, and before the next.
        drop(one);
        let again = two.next().await.expect("a record");
        assert!(two.ack(&again).await.is_ok());
        let next = two.next().await.expect("a record");
        let values = (number(&again.record.value), number(&next.record.value));
        (number(&first.record.value), values, (first.attempt, again.attempt, next.attempt))
    });
    assert_eq!((first, second), (0, (0, 1)));
    assert_eq!(attempts, (Some(1), Some(2), Some(1)));
}

#[test]
fn what_is_refused_too_often_is_told_to_one_member_and_its_letter_is_one() {
    let (told, log, duplicates) = on_cluster(6, |cluster| async move {
        let member = |name: &str| {
            let config = ConsumerConfig {
                max_deliver: Some(3),
                ack_wait: Some(2 * SECOND),
                ..ConsumerConfig::group(name, "billing", &[topic()])
            };
            cluster.bus().consumer(config).expect("fine")
        };
        let members = [member("consumer-1"), member("consumer-2")];
        for member in &members {
            joined(member).await;
        }
        let producer = cluster
            .bus()
            .producer(ProducerConfig { idempotent: true, ..ProducerConfig::new("producer-1") })
            .expect("a producer");
        producer.ready().await.expect("room");
        assert!(producer.send(record(1, 77)).await.is_ok());
        for attempt in 1..=3 {
            let (delivery, place) = tokio::select! {
                delivery = members[0].next() => (delivery.expect("a record"), 0),
                delivery = members[1].next() => (delivery.expect("a record"), 1),
            };
            assert_eq!(delivery.attempt, Some(attempt));
            assert!(members[place].nack(&delivery, SECOND / 2).await.is_ok());
        }
        cluster.clock().sleep(10 * SECOND).await;
        let mut told = Vec::new();
        let mut duplicates = Vec::new();
        for member in &members {
            while let Poll::Ready(ConsumerEvent::Exhausted(delivery)) =
                poll_fn(|cx| Poll::Ready(member.poll_event(cx))).await
            {
                told.push((number(&delivery.record.value), delivery.attempt));
                // Two letters, as if two had been told.
                for _ in 0..2 {
                    let letter = Record { partition: Some(0), ..delivery.record.clone() };
                    producer.ready().await.expect("room");
                    let outcome = producer.send(letter.header(ID_HEADER, "orders.billing+1.1")).await;
                    duplicates.extend(outcome.ok().map(|ack| ack.duplicate));
                }
            }
        }
        (told, log(&cluster).await, duplicates)
    });
    assert_eq!(told, [(77, Some(3))]);
    assert_eq!((log, duplicates), (vec![77], vec![false, true]));
}

#[test]
fn a_nak_brings_a_record_back_and_a_term_does_not() {
    let attempts = on_cluster(4, |cluster| async move {
        let consumer =
            cluster.bus().consumer(ConsumerConfig::group("consumer-1", "billing", &[topic()])).expect("fine");
        joined(&consumer).await;
        let producer = cluster.bus().producer(ProducerConfig::new("producer-1")).expect("a producer");
        for value in 0..2 {
            producer.ready().await.expect("room");
            assert!(producer.send(record(0, value)).await.is_ok());
        }
        let first = consumer.next().await.expect("a record");
        let at = cluster.clock().now();
        assert!(consumer.nack(&first, 2 * SECOND).await.is_ok());
        let again = consumer.next().await.expect("a record");
        let pause = cluster.clock().now().since(at);
        assert!(pause >= 2 * SECOND && pause < 3 * SECOND, "{pause:?}");
        assert!(consumer.term(&again, "no use").await.is_ok());
        let next = consumer.next().await.expect("a record");
        [first, again, next].map(|delivery| (number(&delivery.record.value), delivery.attempt))
    });
    assert_eq!(attempts, [(0, Some(1)), (0, Some(2)), (1, Some(1))]);
}
