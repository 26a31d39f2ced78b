//! The models against the plainest reference there is: a log for each partition and one place for each group.

use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner},
};
use squall_bus::{
    Cluster, ClusterSpec, ConsumerConfig, Outcome, Producer, ProducerConfig, Record, Topic, TopicSpec, Unit,
};
use squall_sim::{
    kernel::Choices,
    runtime::Options,
    strategies::{Operation, faults, operations},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

const PARTITIONS: u32 = 2;
/// How often a cluster is looked at that is not ready yet.
const LOOK: Duration = Duration::from_millis(100);

fn topic() -> Topic {
    Topic::new("orders")
}

/// What there is to know about a topic and its one group.
#[derive(Default)]
struct Reference {
    logs: [Vec<Vec<u8>>; PARTITIONS as usize],
    taken: [usize; PARTITIONS as usize],
    sent: u32,
}

impl Reference {
    fn is_anything_left(&self) -> bool {
        self.logs.iter().zip(self.taken).any(|(log, taken)| taken < log.len())
    }

    fn payload(&mut self, bytes: u16) -> Vec<u8> {
        self.sent += 1;
        let mut payload = self.sent.to_be_bytes().to_vec();
        payload.resize(4 + usize::from(bytes), b'.');
        payload
    }
}

/// Where the bus and the reference disagree.
type Agreed = Result<(), String>;

fn same<T: PartialEq + std::fmt::Debug>(what: &str, bus: T, reference: T) -> Agreed {
    if bus == reference {
        Ok(())
    } else {
        Err(format!("{what}: {bus:?} on the bus, {reference:?} by reference"))
    }
}

async fn ready(cluster: &Arc<dyn Cluster>) -> Arc<dyn Producer> {
    let spec = TopicSpec {
        topic: topic(),
        partitions: PARTITIONS,
        replicas: 3,
        min_insync: 2,
        config: BTreeMap::new(),
    };
    let clock = cluster.clock();
    while cluster.admin().create_topics(std::slice::from_ref(&spec)).await.is_err() {
        clock.sleep(LOOK).await;
    }
    cluster
        .bus()
        .producer(ProducerConfig { idempotent: true, ..ProducerConfig::new("shop") })
        .expect("a producer")
}

/// Does these operations on the bus and on the reference.
async fn agree(cluster: Arc<dyn Cluster>, operations: Vec<Operation>) -> Agreed {
    let (clock, bus) = (cluster.clock(), cluster.bus());
    let producer = ready(&cluster).await;
    let mut members = 0;
    let mut join = || {
        members += 1;
        let config = ConsumerConfig::group(&format!("billing-{members}"), "billing", &[topic()]);
        bus.consumer(ConsumerConfig { ordered: true, ..config }).map_err(|error| error.to_string())
    };
    let (mut reference, mut consumer) = (Reference::default(), join()?);
    for operation in operations {
        match operation {
            Operation::Send { partition, bytes } => {
                let payload = reference.payload(bytes);
                producer.ready().await.map_err(|error| error.to_string())?;
                let record = Record {
                    partition: Some(partition),
                    ..Record::new(&topic(), None, payload.clone().into())
                };
                let Outcome::Ok(ack) = producer.send(record).await else {
                    return Err("a send failed".to_owned());
                };
                same("the unit of an ack", ack.unit, Unit::new(&topic(), partition))?;
                same("an ack of a duplicate", ack.duplicate, false)?;
                reference.logs[partition as usize].push(payload);
            }
            Operation::Take if reference.is_anything_left() => {
                // A bus that counts deliveries may have given a record twice to a member that was slow to take it.
                let (delivery, unit, next) = loop {
                    let delivery = consumer.next().await.map_err(|error| error.to_string())?;
                    let unit = delivery.unit.partition as usize;
                    let next = reference.taken[unit];
                    let taken = reference.logs[unit][..next].iter().any(|log| *log == *delivery.record.value);
                    if !taken || delivery.attempt.is_none_or(|attempt| attempt < 2) {
                        break (delivery, unit, next);
                    }
                };
                same(
                    "a record",
                    Some(&*delivery.record.value),
                    reference.logs[unit].get(next).map(Vec::as_slice),
                )?;
                match consumer.ack(&delivery).await {
                    Outcome::Ok(()) => reference.taken[unit] += 1,
                    other => return Err(format!("an ack is {other:?}")),
                }
            }
            Operation::Take => {}
            Operation::Leave => {
                consumer.close().await;
                consumer = join()?;
            }
            Operation::Vanish => {
                consumer = join()?;
            }
            Operation::Wait(span) => clock.sleep(span).await,
        }
    }
    for partition in 0..PARTITIONS {
        let (unit, index) = (Unit::new(&topic(), partition), partition as usize);
        // A cluster that has just begun still has to find its leaders.
        let (from, to) = loop {
            match cluster.admin().bounds(&unit).await {
                Ok(bounds) => break bounds,
                Err(_) => clock.sleep(LOOK).await,
            }
        };
        let committed = loop {
            match cluster.admin().committed("billing", &unit).await {
                Ok(committed) => break committed,
                Err(_) => clock.sleep(LOOK).await,
            }
        };
        same("an empty log", from == to, reference.logs[index].is_empty())?;
        let done = reference.taken[index] == reference.logs[index].len();
        same("a group at the end", from == to || committed.is_some_and(|place| place >= to), done)?;
    }
    Ok(())
}

/// What comes of these operations on a simulated bus.
fn agreed(bus: &str, seed: u64, operations: Vec<Operation>) -> Agreed {
    let simulation = squall_sim::open(bus, ClusterSpec::of(3), Choices::new(seed)).expect("a model");
    let kept: Arc<Mutex<Agreed>> = Arc::new(Mutex::new(Err("the run did not end".to_owned())));
    let result = Arc::clone(&kept);
    let options = Options { host_timers: false, watchdog: None, max_events: 300_000, ..Options::default() };
    let main: squall_sim::SimulatedMain = Box::new(move |cluster| {
        Box::pin(async move {
            let agreed = agree(cluster, operations).await;
            *kept.lock().unwrap_or_else(PoisonError::into_inner) = agreed;
        })
    });
    simulation.run(options, main).map_err(|broken| broken.to_string())?;
    let agreed = result.lock().unwrap_or_else(PoisonError::into_inner);
    agreed.clone()
}

/// Draws the same cases every time.
fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

#[test]
fn both_models_agree_with_the_reference() {
    for bus in squall_sim::BUSES {
        let cases = (0..1_000_u64, operations(PARTITIONS, 30));
        let agrees = |(seed, operations)| agreed(bus, seed, operations).map_err(TestCaseError::fail);
        runner(12).run(&cases, agrees).unwrap_or_else(|error| panic!("{bus}: {error}"));
    }
}

#[test]
fn a_disagreement_shrinks_to_the_operations_that_matter() {
    // Planted: a bus that loses the third record of a partition.
    let loses_the_third = |operations: &[Operation]| {
        let mut counts = [0; PARTITIONS as usize];
        operations.iter().any(|operation| match operation {
            Operation::Send { partition, .. } => {
                counts[*partition as usize] += 1;
                counts[*partition as usize] == 3
            }
            _ => false,
        })
    };
    let found = runner(200).run(&operations(PARTITIONS, 30), |operations| {
        prop_assert!(!loses_the_third(&operations));
        Ok(())
    });
    let Err(TestError::Fail(_, smallest)) = found else { panic!("the loss is found") };
    let Some(Operation::Send { partition, bytes: 0 }) = smallest.first() else { panic!("{smallest:?}") };
    assert_eq!(smallest, vec![Operation::Send { partition: *partition, bytes: 0 }; 3]);
}

#[test]
fn faults_of_a_schedule_come_one_after_the_other() {
    let schedules = faults(3, "orders", PARTITIONS, Duration::from_secs(60));
    runner(200)
        .run(&schedules, |faults| {
            prop_assert!(faults.windows(2).all(|pair| pair[0].at + pair[0].lasts < pair[1].at));
            prop_assert!(faults.iter().zip(0..).all(|(fault, id)| fault.id == id));
            Ok(())
        })
        .expect("all schedules are so");
}
