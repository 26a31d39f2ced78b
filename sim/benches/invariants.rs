//! What each invariant of the models costs in a storm: how often it is asked, how long it takes, and which part of the
//! run that is.
//!
//! The storm: three nodes, six partitions with three copies, an idempotent producer, a transactional one where the bus
//! has transactions, a group of two members that acknowledge what they read, for twenty seconds of virtual time; in it
//! the leader of a partition is killed for two seconds, a minority of the nodes cut off for two, and a leader paused for
//! two.
//!
//! - `storm/all` and `storm/none` are whole runs with all invariants and without any: what they cost together.
//! - The table below each is of every invariant alone. Checks are counted, and are the same in every run. Times are the
//!   least of several runs of the same seed, without what it costs to read the clock twice, which is measured in the
//!   same runs by an invariant that looks at nothing. `at the end` is the one recomputation from the whole state.

#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use squall_bus::{
    AckModel, Bus, Capability, Cluster, ClusterSpec, ConsumerConfig, Error, Fault, FaultKind, Main,
    ProducerConfig, Record, Role, Strike, Time, Topic, TopicSpec, Unit,
};
use squall_sim::{
    SimCluster, Simulation,
    kafka::{self, Kafka},
    kernel::{Choices, Invariant, LinkSpec, Model},
    model::BusModel,
    nats::{self, Nats},
    runtime::Options,
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

const RECORDS: u32 = 1_000;
const TRANSACTIONS: u32 = 40;
const WINDOW: Duration = Duration::from_secs(20);
/// Runs of which the least times are taken.
const RUNS: usize = 15;

/// What an invariant did in one run.
#[derive(Default)]
struct Meter {
    checks: AtomicU64,
    nanos: AtomicU64,
    at_the_end: AtomicU64,
}

/// An invariant with a clock beside it.
struct Metered<M: Model> {
    inner: Box<dyn Invariant<M>>,
    meter: Arc<Meter>,
}

fn spent(total: &AtomicU64, since: Instant) {
    total.fetch_add(u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
}

impl<M: Model> Invariant<M> for Metered<M> {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn source(&self) -> &'static str {
        self.inner.source()
    }

    fn kinds(&self) -> u8 {
        self.inner.kinds()
    }

    fn after(&mut self, model: &M, touched: &[M::Touch], now: Time) -> Result<(), String> {
        let began = Instant::now();
        let result = self.inner.after(model, touched, now);
        spent(&self.meter.nanos, began);
        self.meter.checks.fetch_add(1, Ordering::Relaxed);
        result
    }

    fn full(&self, model: &M) -> Result<(), String> {
        let began = Instant::now();
        let result = self.inner.full(model);
        spent(&self.meter.at_the_end, began);
        result
    }
}

/// Looks at nothing, so its time is the clock's.
struct Nothing;

impl<M: Model> Invariant<M> for Nothing {
    fn name(&self) -> &'static str {
        "(the clock)"
    }

    fn source(&self) -> &'static str {
        "none"
    }

    fn after(&mut self, _: &M, _: &[M::Touch], _: Time) -> Result<(), String> {
        Ok(())
    }

    fn full(&self, _: &M) -> Result<(), String> {
        Ok(())
    }
}

fn record(topic: &str, number: u32) -> Record {
    let key = Bytes::from(format!("customer-{}", number % 64));
    Record::new(&Topic::new(topic), Some(key), Bytes::from(format!("order number {number:087}")))
}

async fn prepare(cluster: &dyn Cluster) {
    let specs = [TopicSpec {
        topic: Topic::new("orders"),
        partitions: 6,
        replicas: 3,
        min_insync: 2,
        config: BTreeMap::new(),
    }];
    let (admin, clock) = (cluster.admin(), cluster.clock());
    while admin.create_topics(&specs).await.is_err() {
        clock.sleep(Duration::from_millis(100)).await;
    }
}

async fn shop(bus: Arc<dyn Bus>) -> Result<(), Error> {
    let clock = bus.clock();
    let producer = bus.producer(ProducerConfig { idempotent: true, ..ProducerConfig::new("shop") })?;
    for number in 0..RECORDS {
        producer.ready().await?;
        // It is delivered or not, as the faults have it.
        drop(producer.send(record("orders", number)));
        clock.sleep(WINDOW / RECORDS).await;
    }
    producer.flush().await
}

/// Transactions, every fourth of them aborted.
async fn ledger(bus: Arc<dyn Bus>) -> Result<(), Error> {
    let config = ProducerConfig {
        idempotent: true,
        transactional_id: Some("ledger".to_owned()),
        ..ProducerConfig::new("ledger")
    };
    let (clock, producer) = (bus.clock(), bus.producer(config)?);
    let transaction = producer.transaction()?;
    transaction.init().await?;
    for number in 0..TRANSACTIONS {
        transaction.begin().await?;
        for place in 0..5 {
            producer.ready().await?;
            drop(producer.send(record("orders", number * 5 + place)));
        }
        if number % 4 == 3 {
            let _ = transaction.abort().await;
        } else {
            let _ = transaction.commit().await;
        }
        clock.sleep(WINDOW / TRANSACTIONS).await;
    }
    Ok(())
}

async fn billing(bus: Arc<dyn Bus>, member: &str) -> Result<(), Error> {
    let consumer = bus.consumer(ConsumerConfig::group(member, "billing", &["orders".into()]))?;
    for read in 1_u64.. {
        let delivery = consumer.next().await?;
        if bus.capabilities().ack_model == AckModel::Individual || read.is_multiple_of(10) {
            let _ = consumer.ack(&delivery).await;
        }
    }
    Ok(())
}

/// The process runs until its work is done or fails; how it ends is none of the bench's business.
fn process<F>(work: impl Fn(Arc<dyn Bus>) -> F + Send + Sync + 'static) -> Main
where
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    Arc::new(move |bus, _| {
        let work = work(bus);
        Box::pin(async move {
            let _ = work.await;
        })
    })
}

async fn faults(cluster: &dyn Cluster) -> Result<(), Error> {
    let clock = cluster.clock();
    let leader = |partition| Role::Leader(Unit::new(&"orders".into(), partition));
    let kinds =
        [(FaultKind::Kill, leader(0)), (FaultKind::Partition, Role::Minority), (FaultKind::Pause, leader(1))];
    let lasts = Duration::from_secs(2);
    for (id, (kind, role)) in (0..).zip(kinds) {
        clock.sleep(WINDOW / 5).await;
        let fault = Fault { id, kind, role, at: clock.now(), lasts };
        if let Strike::Hit(struck) = cluster.strike(&fault).await? {
            clock.sleep(lasts).await;
            cluster.heal(&struck).await?;
        }
    }
    Ok(())
}

async fn storm<M: BusModel>(cluster: Arc<SimCluster<M>>) {
    prepare(&*cluster).await;
    let clock = cluster.clock();
    let over = clock.now() + WINDOW;
    cluster.start("shop", process(shop));
    if cluster.capabilities().has(Capability::Transactions) {
        cluster.start("ledger", process(ledger));
    }
    for member in ["billing-1", "billing-2"] {
        cluster.start(member, process(move |bus| async move { billing(bus, member).await }));
    }
    faults(&*cluster).await.expect("every fault can strike and be healed");
    clock.sleep_until(over).await;
}

/// How many kernel events one run has, and how long it takes.
fn run<M: BusModel>(model: M, choices: Choices, invariants: Vec<Box<dyn Invariant<M>>>) -> (u64, Duration) {
    let began = Instant::now();
    let simulation = Simulation::new(model, choices, LinkSpec::default(), invariants);
    let options = Options { host_timers: false, watchdog: None, ..Options::default() };
    simulation.run(options, storm).expect("every invariant holds");
    (simulation.events(), began.elapsed())
}

/// A bus: its model, and its invariants anew.
struct Bench<M: Model> {
    name: &'static str,
    model: fn() -> M,
    invariants: fn() -> Vec<Box<dyn Invariant<M>>>,
}

fn choices() -> Choices {
    Choices::new(1)
}

fn a_kafka() -> Kafka {
    let rules = kafka::config::rules(&ClusterSpec::of(3)).expect("the newest profile");
    Kafka::new(rules, 3, &choices()).expect("three nodes")
}

fn a_nats() -> Nats {
    let rules = nats::profile::rules(&ClusterSpec::of(3)).expect("the newest profile");
    Nats::new(rules, 3, &choices()).expect("three nodes")
}

/// The least of what several runs took.
struct Least {
    name: &'static str,
    checks: u64,
    nanos: u64,
    at_the_end: u64,
}

impl<M: BusModel> Bench<M> {
    fn criterion(&self, c: &mut Criterion) {
        let mut group = c.benchmark_group("storm");
        group.sample_size(10);
        group.bench_function(BenchmarkId::new("all", self.name), |b| {
            b.iter(|| run((self.model)(), choices(), (self.invariants)()));
        });
        group.bench_function(BenchmarkId::new("none", self.name), |b| {
            b.iter(|| run((self.model)(), choices(), Vec::new()));
        });
        group.finish();
        self.table();
    }

    /// One run with a clock at each invariant.
    fn metered(&self) -> (u64, Vec<(&'static str, Arc<Meter>)>) {
        let invariants = (self.invariants)().into_iter().chain([Box::new(Nothing) as _]);
        let (mut metered, mut meters) = (Vec::<Box<dyn Invariant<M>>>::new(), Vec::new());
        for inner in invariants {
            let meter = Arc::<Meter>::default();
            meters.push((inner.name(), Arc::clone(&meter)));
            metered.push(Box::new(Metered { inner, meter }));
        }
        (run((self.model)(), choices(), metered).0, meters)
    }

    fn table(&self) {
        let mut least: Vec<Least> = Vec::new();
        let (mut events, mut whole) = (0, Duration::MAX);
        for _ in 0..RUNS {
            whole = whole.min(run((self.model)(), choices(), (self.invariants)()).1);
            let (happened, meters) = self.metered();
            events = happened;
            for (place, (name, meter)) in meters.into_iter().enumerate() {
                let read = |value: &AtomicU64| value.load(Ordering::Relaxed);
                let [checks, nanos, at_the_end] = [&meter.checks, &meter.nanos, &meter.at_the_end].map(read);
                match least.get_mut(place) {
                    Some(seen) => {
                        assert_eq!(seen.checks, checks, "{name} is asked as often in every run of a seed");
                        seen.nanos = seen.nanos.min(nanos);
                        seen.at_the_end = seen.at_the_end.min(at_the_end);
                    }
                    None => least.push(Least { name, checks, nanos, at_the_end }),
                }
            }
        }
        let clock = least.pop().expect("the clock is metered as well");
        let of_clock = clock.nanos as f64 / clock.checks.max(1) as f64;
        let whole = whole.as_nanos() as f64;
        println!("storm/{}: {events} kernel events, {:.2} ms with all invariants", self.name, whole / 1e6);
        println!(
            "{:<24}{:>10}{:>12}{:>12}{:>12}{:>12}",
            "invariant", "checks", "a kernel ev.", "ns a check", "% of run", "end, us"
        );
        for Least { name, checks, nanos, at_the_end } in least {
            let spent = (nanos as f64 - of_clock * checks as f64).max(0.0);
            println!(
                "{name:<24}{checks:>10}{:>12.2}{:>12.1}{:>12.2}{:>12.1}",
                checks as f64 / events as f64,
                spent / checks.max(1) as f64,
                100.0 * (spent + at_the_end as f64) / whole,
                at_the_end as f64 / 1e3,
            );
        }
    }
}

fn invariants(c: &mut Criterion) {
    Bench { name: "kafka", model: a_kafka, invariants: kafka::invariants::all }.criterion(c);
    Bench { name: "nats", model: a_nats, invariants: nats::invariants::all }.criterion(c);
}

criterion_group!(benches, invariants);
criterion_main!(benches);
