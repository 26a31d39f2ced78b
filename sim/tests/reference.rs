//! The models against the plainest reference there is: a log for each partition and one place for each group.

use proptest::{
    prelude::*,
    test_runner::{Config, TestError, TestRunner},
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
        clock.sleep(Duration::from_millis(100)).await;
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
                let delivery = consumer.next().await.map_err(|error| error.to_string())?;
                let unit = delivery.unit.partition as usize;
                let next = reference.taken[unit];
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
            Operation::Vanish => consumer = join()?,
            Operation::Wait(span) => clock.sleep(span).await,
        }
    }
    for partition in 0..PARTITIONS {
        let (unit, index) = (Unit::new(&topic(), partition), partition as usize);
        let (from, to) = cluster.admin().bounds(&unit).await.map_err(|error| error.to_string())?;
        same("an empty log", from == to, reference.logs[index].is_empty())?;
        let committed =
            cluster.admin().committed("billing", &unit).await.map_err(|error| error.to_string())?;
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
    let options = Options { host_timers: false, watchdog: None, max_events: 3_000_000, ..Options::default() };
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

fn config(cases: u32) -> Config {
    Config { cases, failure_persistence: None, ..Config::default() }
}

#[test]
fn both_models_agree_with_the_reference() {
    for bus in squall_sim::BUSES {
        let cases = (0..1_000_u64, operations(PARTITIONS, 30));
        let agrees = |(seed, operations)| agreed(bus, seed, operations).map_err(TestCaseError::fail);
        TestRunner::new(config(24)).run(&cases, agrees).unwrap_or_else(|error| panic!("{bus}: {error}"));
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
    let found = TestRunner::new(config(200)).run(&operations(PARTITIONS, 30), |operations| {
        prop_assert!(!loses_the_third(&operations));
        Ok(())
    });
    let Err(TestError::Fail(_, smallest)) = found else { panic!("the loss is found") };
    assert_eq!(smallest, vec![Operation::Send { partition: 0, bytes: 0 }; 3]);
}

#[test]
fn faults_of_a_schedule_come_one_after_the_other() {
    let schedules = faults(3, "orders", PARTITIONS, Duration::from_secs(60));
    TestRunner::new(config(200))
        .run(&schedules, |faults| {
            prop_assert!(faults.windows(2).all(|pair| pair[0].at + pair[0].lasts < pair[1].at));
            prop_assert!(faults.iter().zip(0..).all(|(fault, id)| fault.id == id));
            Ok(())
        })
        .expect("all schedules are so");
}
