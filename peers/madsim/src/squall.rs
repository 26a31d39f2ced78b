//! Squall's simulated Kafka: three nodes, three copies of every partition, an idempotent producer with acks from all,
//! a consumer in a group, all invariants on.

use crate::work::{PARTITIONS, Read, Work};
use squall_bus::{
    Bus, Cluster, ClusterSpec, ConsumerConfig, Error, Main, ProducerConfig, Record, Sending, Topic, TopicSpec,
};
use squall_sim::{SimulatedMain, kernel::Choices, open, runtime::Options};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// One run.
///
/// # Panics
/// When something fails: nothing is broken on purpose.
pub fn run(work: Work) {
    let simulation = open("kafka", ClusterSpec::of(3), Choices::new(work.seed)).expect("a model of Kafka");
    let read = Arc::new(Mutex::new(Read::default()));
    let reading = Arc::clone(&read);
    let main: SimulatedMain = Box::new(move |cluster| {
        Box::pin(async move {
            create_topic(&*cluster).await;
            let producing: Main = Arc::new(move |bus, _| {
                Box::pin(async move { produce(bus, work).await.expect("the brokers take it") })
            });
            cluster.start("producer", producing);
            let consumed = consume(cluster.bus(), work.messages).await.expect("every record");
            *reading.lock().unwrap_or_else(PoisonError::into_inner) = consumed;
        })
    });
    // On this thread, as the rival's runs are, and with nobody who needs timers of the host's.
    let options = Options { host_timers: false, watchdog: None, ..Options::default() };
    simulation.run(options, main).expect("every invariant holds");
    work.check(&read.lock().unwrap_or_else(PoisonError::into_inner));
}

async fn create_topic(cluster: &dyn Cluster) {
    let specs = [TopicSpec {
        topic: Topic::new("orders"),
        partitions: PARTITIONS.into(),
        replicas: 3,
        min_insync: 2,
        config: BTreeMap::new(),
    }];
    let (admin, clock) = (cluster.admin(), cluster.clock());
    // Until then the cluster starts.
    while admin.create_topics(&specs).await.is_err() {
        clock.sleep(Duration::from_millis(100)).await;
    }
    while !matches!(admin.describe(&specs[0].topic).await, Ok(units) if units.iter().all(|unit| unit.leader.is_some()))
    {
        clock.sleep(Duration::from_millis(100)).await;
    }
}

async fn produce(bus: Arc<dyn Bus>, work: Work) -> Result<(), Error> {
    let topic = Topic::new("orders");
    let producer = bus.producer(ProducerConfig { idempotent: true, ..ProducerConfig::new("producer") })?;
    let mut under_way: Vec<Sending> = Vec::new();
    for batch in work.batches() {
        for number in batch {
            let (key, value) = (work.records.shared_key(number), work.records.shared_value(number));
            producer.ready().await?;
            under_way.push(producer.send(Record::new(&topic, Some(key), value)));
        }
        producer.flush().await?;
        for sending in under_way.drain(..) {
            assert!(sending.await.is_ok(), "nothing can fail here");
        }
    }
    Ok(())
}

async fn consume(bus: Arc<dyn Bus>, messages: u64) -> Result<Read, Error> {
    let consumer = bus.consumer(ConsumerConfig::group("consumer", "billing", &["orders".into()]))?;
    let mut read = Read::default();
    while read.messages < messages {
        read.take(Some(&consumer.next().await?.record.value));
    }
    Ok(read)
}
