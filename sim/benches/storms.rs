//! What a developer waits for: seeds per second of a whole storm. Two services (one reads orders, sends an invoice for
//! each and then acknowledges; one mails invoices, and acknowledges each) on three nodes, 500 records (250 orders in
//! five seconds, and their invoices), and in every seed the leader of a unit killed, the first service crashed and a
//! minority of the nodes cut off; then recovery, the drain and the judgement.
//!
//! - `storm`: all of that.
//! - `calm`: the same without faults: what the faults and the recovery from them add.
//! - `heap`: the limit: a bare binary heap that pops and pushes once for each kernel event of the storm, which no
//!   simulation of these events on one heap can beat.
//!
//! `awaited` is what it costs to await one thing that the bus completes, here a sleep through its `Clock`: from the
//! call into the kernel to the task that goes on. The limit is `yield`, the same executor and no bus.
//!
//! `idle hour` is what a cluster costs that nobody uses: one simulated hour of three nodes and of five, without topics
//! and with 26 partitions.

#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mimalloc::MiMalloc;
use squall_bus::{
    ClusterSpec, ConsumerConfig, Error, FaultKind, ProducerConfig, Record, Role, Topic, TopicSpec, Unit,
};
use squall_sim::{
    BUSES, SimulatedMain,
    kernel::{Choices, mix},
    open,
    runtime::Options,
    storm::{Service, Storm, Trial},
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    hint::black_box,
    sync::LazyLock,
    time::Duration,
};

/// The allocator of the `squall` command, and what the README advises for tests.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Each becomes an invoice: 500 records in all.
const ORDERS: u32 = 250;
const WINDOW: Duration = Duration::from_secs(5);
const PARTITIONS: u32 = 3;
const AWAITED: u32 = 20_000;
const HOUR: Duration = Duration::from_secs(3_600);

fn options() -> Options {
    Options { host_timers: false, watchdog: None, ..Options::default() }
}

/// The orders' topic, keys and payloads: made once, so that the bus is measured and not the formatting of numbers.
struct Orders {
    topic: Topic,
    keys: Vec<Bytes>,
    payloads: Vec<Bytes>,
}

static ORDERS_SENT: LazyLock<Orders> = LazyLock::new(|| Orders {
    topic: Topic::new("orders"),
    keys: (0..64).map(|customer| Bytes::from(format!("customer-{customer}"))).collect(),
    payloads: (0..ORDERS).map(|number| Bytes::from(format!("order number {number:090}"))).collect(),
});

fn order(number: u32) -> Record {
    let Orders { topic, keys, payloads } = &*ORDERS_SENT;
    let key = keys[number as usize % keys.len()].clone();
    Record::new(topic, Some(key), payloads[number as usize].clone())
}

/// Sends an invoice for every order, and acknowledges the order when the invoice is stored.
async fn billing(service: Service) -> Result<(), Error> {
    let producer = service
        .bus()
        .producer(ProducerConfig { idempotent: true, ..ProducerConfig::new("billing-producer") })?;
    let orders =
        service.bus().consumer(ConsumerConfig::group("billing-consumer", "billing", &["orders".into()]))?;
    let invoices = Topic::new("invoices");
    let sink = service.sink("billing");
    loop {
        let order = orders.next().await?;
        let invoice = Record::new(&invoices, order.record.key.clone(), order.record.value.clone());
        producer.ready().await?;
        if producer.send(invoice).await.is_ok() {
            sink.processed(&order);
            let _ = orders.ack(&order).await;
        }
    }
}

async fn mail(service: Service) -> Result<(), Error> {
    let invoices =
        service.bus().consumer(ConsumerConfig::group("mail-consumer", "mail", &["invoices".into()]))?;
    let sink = service.sink("mail");
    loop {
        let invoice = invoices.next().await?;
        sink.processed(&invoice);
        let _ = invoices.ack(&invoice).await;
    }
}

async fn shop(trial: Trial) -> Result<(), Error> {
    trial.start("billing", |service| async move {
        let _ = billing(service).await;
    });
    trial.start("mail", |service| async move {
        let _ = mail(service).await;
    });
    let (bus, clock) = (trial.bus("shop"), trial.clock());
    let producer = bus.producer(ProducerConfig { idempotent: true, ..ProducerConfig::new("shop") })?;
    let mut under_way = Vec::new();
    for number in 0..ORDERS {
        producer.ready().await?;
        under_way.push(producer.send(order(number)));
        clock.sleep(WINDOW / ORDERS).await;
    }
    producer.flush().await?;
    for sending in under_way {
        let _ = sending.await;
    }
    Ok(())
}

fn storm(bus: &str, faults: bool) -> Storm {
    let storm = match bus {
        "kafka" => Storm::kafka(),
        "nats" => Storm::nats(),
        _ => panic!("there are no storms on {bus}"),
    };
    let storm = storm
        .topic("orders", PARTITIONS)
        .topic("invoices", PARTITIONS)
        .during(WINDOW)
        .handling(Duration::from_secs(5))
        .options(options());
    if !faults {
        return storm;
    }
    storm
        .kill(Role::Leader(Unit::new(&"orders".into(), 0)), 1)
        .kill(Role::Client("billing".to_owned()), 1)
        .strike(FaultKind::Partition, Role::Minority, 1)
}

/// One seed, judged: it may find what it finds, but it must have been judged.
fn judged(bus: &str, seed: u64, faults: bool) {
    let sweep = storm(bus, faults).seeds(seed..seed + 1).run(shop);
    assert!(sweep.runs[0].history.is_some(), "{sweep}");
}

/// Kernel events of the same, in the mean of these seeds.
fn events(bus: &str, faults: bool) -> u64 {
    let sweep = storm(bus, faults).seeds(0..10).run(shop);
    sweep.runs.iter().map(|run| run.events).sum::<u64>() / sweep.runs.len() as u64
}

fn bare_heap(events: u64) {
    let mut heap: BinaryHeap<_> = (0..64_u64).map(|sequence| Reverse((sequence, sequence, 0_u64))).collect();
    for sequence in 64..64 + events {
        let Some(Reverse((time, _, payload))) = heap.pop() else { break };
        heap.push(Reverse((time + mix(payload, sequence) % 1_000_000, sequence, payload + 1)));
    }
    black_box(heap.len());
}

/// An hour of a cluster that nobody uses.
fn idle(bus: &str, nodes: u32, partitions: u32) {
    let simulation = open(bus, ClusterSpec::of(nodes), Choices::new(1)).expect("a model of the bus");
    let main: SimulatedMain = Box::new(move |cluster| {
        Box::pin(async move {
            let spec = TopicSpec {
                topic: Topic::new("orders"),
                partitions,
                replicas: 3,
                min_insync: 2,
                config: BTreeMap::new(),
            };
            let (admin, clock, specs) = (cluster.admin(), cluster.clock(), [spec]);
            while partitions > 0 && admin.create_topics(&specs).await.is_err() {
                clock.sleep(Duration::from_millis(100)).await;
            }
            clock.sleep(HOUR).await;
        })
    });
    simulation.run(options(), main).expect("the hour passes");
}

/// So many sleeps, one after the other.
fn awaited(bus: &str) {
    let simulation = open(bus, ClusterSpec::of(3), Choices::new(1)).expect("a model of the bus");
    let main: SimulatedMain = Box::new(move |cluster| {
        Box::pin(async move {
            let clock = cluster.clock();
            for _ in 0..AWAITED {
                clock.sleep(Duration::from_nanos(100)).await;
            }
        })
    });
    simulation.run(options(), main).expect("the sleeps end");
}

fn yields() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without I/O");
    runtime.block_on(async {
        let yielding = tokio::spawn(async {
            for _ in 0..AWAITED {
                tokio::task::yield_now().await;
            }
        });
        yielding.await.expect("the task ends");
    });
}

fn storms(c: &mut Criterion) {
    let mut group = c.benchmark_group("seeds");
    group.throughput(Throughput::Elements(1)).sample_size(20);
    for bus in BUSES {
        for (line, faults) in [("storm", true), ("calm", false)] {
            let mut seed = 0;
            group.bench_function(BenchmarkId::new(line, bus), |b| {
                b.iter(|| {
                    seed += 1;
                    judged(bus, seed, faults);
                });
            });
        }
        let events = events(bus, true);
        println!("storm/{bus}: {events} kernel events a seed");
        group.bench_function(BenchmarkId::new("heap", bus), |b| b.iter(|| bare_heap(events)));
    }
    group.finish();

    let mut group = c.benchmark_group("awaited");
    group.throughput(Throughput::Elements(u64::from(AWAITED))).sample_size(20);
    for bus in BUSES {
        group.bench_function(BenchmarkId::new("sleep", bus), |b| b.iter(|| awaited(bus)));
    }
    group.bench_function("yield", |b| b.iter(yields));
    group.finish();

    let mut group = c.benchmark_group("idle hour");
    group.sample_size(10);
    for bus in BUSES {
        for nodes in [3, 5] {
            for (line, partitions) in [("no topics", 0), ("26 partitions", 26)] {
                let line = format!("{nodes} nodes, {line}");
                group.bench_function(BenchmarkId::new(line, bus), |b| {
                    b.iter(|| idle(bus, nodes, partitions));
                });
            }
        }
    }
    group.finish();
}

criterion_group!(benches, storms);
criterion_main!(benches);
