//! Messages per second through the bus traits on a simulated Kafka: three brokers, three copies, acks from all.
//!
//! - `one by one`: each record is sent and acknowledged before the next, and read by a consumer meanwhile.
//! - `pipelined`: records are sent as fast as the client takes them.
//! - `seeds`: whole runs of 100 messages through a storm without faults: a new cluster, producer and consumer, the
//!   final drain and the judgement.

#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use squall_bus::{
    Bus, Cluster, ClusterSpec, ConsumerConfig, Error, Incarnation, ProducerConfig, Record, Sending, Topic,
    TopicSpec,
};
use squall_sim::{SimulatedMain, kernel::Choices, open, runtime::Options, storm::Storm};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

const MESSAGES: u32 = 2_000;
const SEED_MESSAGES: u32 = 100;

fn options() -> Options {
    Options { host_timers: false, watchdog: None, ..Options::default() }
}

fn record(topic: &Topic, number: u32) -> Record {
    let key = Bytes::from(format!("customer-{}", number % 64));
    Record::new(topic, Some(key), Bytes::from(format!("order number {number:090}")))
}

async fn produce(bus: Arc<dyn Bus>, messages: u32, pipelined: bool) -> Result<(), Error> {
    let topic = Topic::new("orders");
    let producer = bus.producer(ProducerConfig { idempotent: true, ..ProducerConfig::new("producer") })?;
    let mut under_way: Vec<Sending> = Vec::new();
    for number in 0..messages {
        producer.ready().await?;
        let sending = producer.send(record(&topic, number));
        if pipelined {
            under_way.push(sending);
        } else {
            assert!(sending.await.is_ok(), "nothing can fail here");
        }
    }
    producer.flush().await?;
    for sending in under_way {
        assert!(sending.await.is_ok(), "nothing can fail here");
    }
    Ok(())
}

async fn consume(bus: Arc<dyn Bus>, messages: u32) -> Result<(), Error> {
    let consumer = bus.consumer(ConsumerConfig::group("consumer", "billing", &["orders".into()]))?;
    for _ in 0..messages {
        consumer.next().await?;
    }
    Ok(())
}

async fn prepare(cluster: &dyn Cluster) {
    let spec = TopicSpec {
        topic: Topic::new("orders"),
        partitions: 6,
        replicas: 3,
        min_insync: 2,
        config: BTreeMap::new(),
    };
    let (admin, clock) = (cluster.admin(), cluster.clock());
    let specs = [spec];
    while admin.create_topics(&specs).await.is_err() {
        clock.sleep(Duration::from_millis(100)).await;
    }
    while !matches!(admin.describe(&specs[0].topic).await, Ok(units) if units.iter().all(|unit| unit.leader.is_some()))
    {
        clock.sleep(Duration::from_millis(100)).await;
    }
}

/// A new cluster, so many messages in and out.
fn run(seed: u64, pipelined: bool) {
    let simulation = open("kafka", ClusterSpec::of(3), Choices::new(seed)).expect("a model of Kafka");
    let main: SimulatedMain = Box::new(move |cluster| {
        Box::pin(async move {
            prepare(&*cluster).await;
            let producing: squall_bus::Main = Arc::new(move |bus, _: Incarnation| {
                Box::pin(
                    async move { produce(bus, MESSAGES, pipelined).await.expect("nothing can fail here") },
                )
            });
            cluster.start("producer", producing);
            consume(cluster.bus(), MESSAGES).await.expect("nothing can fail here");
        })
    });
    simulation.run(options(), main).expect("the run ends");
}

fn storm() -> Storm {
    Storm::kafka().topic("orders", 6).during(Duration::from_secs(1)).options(options())
}

fn bus(c: &mut Criterion) {
    let mut group = c.benchmark_group("messages");
    group.throughput(Throughput::Elements(u64::from(MESSAGES))).sample_size(10);
    group.bench_function("one by one", |b| b.iter(|| run(1, false)));
    group.bench_function("pipelined", |b| b.iter(|| run(1, true)));
    group.finish();

    let mut group = c.benchmark_group("seeds");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    let mut seed = 0;
    group.bench_function("100 messages", |b| {
        b.iter(|| {
            seed += 1;
            let sweep = storm().seeds(seed..seed + 1).run(|trial| async move {
                trial.start("billing", |service| async move {
                    let sink = service.sink("billing");
                    let config = ConsumerConfig::group("consumer", "billing", &["orders".into()]);
                    let consumer = service.bus().consumer(config).expect("a consumer");
                    while let Ok(delivery) = consumer.next().await {
                        sink.processed(&delivery);
                        let _ = consumer.ack(&delivery).await;
                    }
                });
                produce(trial.bus("shop"), SEED_MESSAGES, false).await
            });
            sweep.assert_valid();
        });
    });
    group.finish();
}

criterion_group!(benches, bus);
criterion_main!(benches);
