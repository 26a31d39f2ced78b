//! madsim-rdkafka: one broker without replicas, which deals records to partitions in turn whatever their keys; a
//! producer that sends what it has when it is flushed, and a consumer that is told its partitions.

use crate::work::{PARTITIONS, Read, Work};
use futures_util::StreamExt;
use madsim::{
    Config,
    runtime::{Handle, Runtime},
    time::sleep,
};
use madsim_rdkafka::{
    ClientConfig, Message, SimBroker, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::StreamConsumer,
    producer::{BaseProducer, BaseRecord},
};
use std::{net::SocketAddr, time::Duration};

const BROKER: &str = "10.0.0.1:9092";

/// One run.
///
/// # Panics
/// When something fails: nothing is broken on purpose.
pub fn run(work: Work) {
    let runtime = Runtime::with_seed_and_config(work.seed, Config::default());
    let read = runtime.block_on(async move {
        let address: SocketAddr = BROKER.parse().expect("an address");
        let handle = Handle::current();
        handle.create_node().name("broker").ip(address.ip()).build().spawn(async move {
            SimBroker::default().serve(address).await.expect("the broker serves");
        });
        // Until then it listens.
        sleep(Duration::from_millis(100)).await;
        let producer = handle.create_node().name("producer").ip([10, 0, 1, 1].into()).build();
        producer.spawn(create_topic()).await.expect("a topic");
        let consumer = handle.create_node().name("consumer").ip([10, 0, 2, 1].into()).build();
        let reading = consumer.spawn(consume(work.messages));
        producer.spawn(produce(work)).await.expect("the producer ends");
        reading.await.expect("the consumer ends")
    });
    work.check(&read);
}

fn config() -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", BROKER)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest");
    config
}

async fn create_topic() {
    let admin: AdminClient<DefaultClientContext> = config().create().await.expect("an administrator");
    let topic = NewTopic::new("orders", i32::from(PARTITIONS), TopicReplication::Fixed(1));
    admin.create_topics(&[topic], &AdminOptions::new()).await.expect("a topic");
}

async fn produce(work: Work) {
    let producer: BaseProducer = config().create().await.expect("a producer");
    for batch in work.batches() {
        for number in batch {
            let (key, value) = (work.records.key(number), work.records.value(number));
            let record = BaseRecord::to("orders").key(key).payload(value);
            producer.send(record).map_err(|(error, _)| error).expect("there is room");
        }
        producer.flush(None).await.expect("the broker takes it");
    }
}

async fn consume(messages: u64) -> Read {
    let consumer: StreamConsumer = config().create().await.expect("a consumer");
    let mut assignment = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        assignment.add_partition("orders", i32::from(partition));
    }
    consumer.assign(&assignment).expect("partitions");
    let mut stream = consumer.stream();
    let mut read = Read::default();
    while read.messages < messages {
        let message = stream.next().await.expect("the stream goes on").expect("a record");
        read.take(message.payload());
    }
    read
}
