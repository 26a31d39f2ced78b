//! Messages per second through the bus traits, on every bus that there is a model of: three nodes, three copies, acks
//! from all, the same workload on each.
//!
//! - `one by one`: each record is sent and acknowledged before the next, and read by a consumer meanwhile.
//! - `pipelined`: records are sent as fast as the client takes them.
//! - `seeds`: whole runs of 100 messages through a storm without faults: a new cluster, producer and consumer, the
//!   final drain and the judgement.
//!
//! The limit of the first two is `channel`: the same two tasks with a channel and an acknowledgement for each record
//! between them, which no bus under an async executor can beat. That of `seeds` is `1 message`: what a seed costs
//! whatever it sends. How many kernel events a message takes is printed beside: Kafka's clients put many records into a
//! batch, NATS' publish, replicate, deliver and acknowledge each on its own.

#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mimalloc::MiMalloc;
use squall_bus::{
    AckModel, Bus, Cluster, ClusterSpec, ConsumerConfig, Error, Incarnation, ProducerConfig, Record, Sending,
    Topic, TopicSpec,
};
use squall_sim::{BUSES, SimulatedMain, kernel::Choices, open, runtime::Options, storm::Storm};
use std::{
    collections::BTreeMap,
    hint::black_box,
    sync::{Arc, LazyLock},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// The allocator of the `squall` command, and what the README advises for tests.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const MESSAGES: u32 = 2_000;
const SEED_MESSAGES: u32 = 100;

fn options() -> Options {
    Options { host_timers: false, watchdog: None, ..Options::default() }
}

/// Keys and payloads of about 100 bytes: made once, so that the bus is measured and not the formatting of numbers.
struct Orders {
    keys: Vec<Bytes>,
    payloads: Vec<Bytes>,
}

static ORDERS: LazyLock<Orders> = LazyLock::new(|| Orders {
    keys: (0..64).map(|customer| Bytes::from(format!("customer-{customer}"))).collect(),
    payloads: (0..MESSAGES).map(|number| Bytes::from(format!("order number {number:090}"))).collect(),
});

fn record(topic: &Topic, number: u32) -> Record {
    let Orders { keys, payloads } = &*ORDERS;
    let key = keys[number as usize % keys.len()].clone();
    Record::new(topic, Some(key), payloads[number as usize].clone())
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

/// Reads so many messages. On a bus that holds the next one back until this one is acknowledged it does so.
async fn consume(bus: Arc<dyn Bus>, messages: u32) -> Result<(), Error> {
    let consumer = bus.consumer(ConsumerConfig::group("consumer", "billing", &["orders".into()]))?;
    let acknowledges = bus.capabilities().ack_model == AckModel::Individual;
    for _ in 0..messages {
        let delivery = consumer.next().await?;
        if acknowledges {
            assert!(consumer.ack(&delivery).await.is_ok(), "nothing can fail here");
        }
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

/// A new cluster, so many messages in and out. How many kernel events that took.
fn run(bus: &str, seed: u64, pipelined: bool) -> u64 {
    let simulation = open(bus, ClusterSpec::of(3), Choices::new(seed)).expect("a model of the bus");
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
    simulation.events()
}

/// The limit: the same tasks on the same executor, and a channel instead of a bus.
fn channel(pipelined: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without I/O");
    runtime.block_on(async move {
        let (records, mut readable) = mpsc::unbounded_channel::<(Record, oneshot::Sender<()>)>();
        let producing = tokio::spawn(async move {
            let topic = Topic::new("orders");
            let mut under_way = Vec::new();
            for number in 0..MESSAGES {
                let (ack, acked) = oneshot::channel();
                records.send((record(&topic, number), ack)).expect("the consumer reads on");
                if pipelined {
                    under_way.push(acked);
                } else {
                    acked.await.expect("an ack");
                }
            }
            for acked in under_way {
                acked.await.expect("an ack");
            }
        });
        while let Some((record, ack)) = readable.recv().await {
            black_box(record);
            ack.send(()).expect("the producer waits");
        }
        producing.await.expect("the producer ends");
    });
}

fn storm(bus: &str) -> Storm {
    let storm = match bus {
        "kafka" => Storm::kafka(),
        "nats" => Storm::nats(),
        _ => panic!("there are no storms on {bus}"),
    };
    storm.topic("orders", 6).during(Duration::from_secs(1)).options(options())
}

/// One seed with so many messages, judged.
fn judged(bus: &str, seed: u64, messages: u32) {
    let sweep = storm(bus).seeds(seed..seed + 1).run(move |trial| async move {
        trial.start("billing", |service| async move {
            let sink = service.sink("billing");
            let config = ConsumerConfig::group("consumer", "billing", &["orders".into()]);
            let consumer = service.bus().consumer(config).expect("a consumer");
            while let Ok(delivery) = consumer.next().await {
                sink.processed(&delivery);
                let _ = consumer.ack(&delivery).await;
            }
        });
        produce(trial.bus("shop"), messages, false).await
    });
    sweep.assert_valid();
}

fn bus(c: &mut Criterion) {
    let mut group = c.benchmark_group("messages");
    group.throughput(Throughput::Elements(u64::from(MESSAGES))).sample_size(10);
    for (line, pipelined) in [("one by one", false), ("pipelined", true)] {
        for bus in BUSES {
            let mut events = None;
            group.bench_function(BenchmarkId::new(line, bus), |b| {
                b.iter(|| events = Some(run(bus, 1, pipelined)));
            });
            if let Some(events) = events {
                println!("{line}/{bus}: {:.1} kernel events a message", events as f64 / f64::from(MESSAGES));
            }
        }
        group.bench_function(BenchmarkId::new(line, "channel"), |b| b.iter(|| channel(pipelined)));
    }
    group.finish();

    let mut group = c.benchmark_group("seeds");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    for (line, messages) in [("100 messages", SEED_MESSAGES), ("1 message", 1)] {
        for bus in BUSES {
            let mut seed = 0;
            group.bench_function(BenchmarkId::new(line, bus), |b| {
                b.iter(|| {
                    seed += 1;
                    judged(bus, seed, messages);
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, bus);
criterion_main!(benches);
