//! A stage for the tests: a world with played brokers, clients on it, and what came out.

use super::super::super::{Shared, names::Names, profile, protocol::PartitionId};
use super::super::{Client, Producer};
use super::brokers::Brokers;
use crate::{
    kernel::{Choices, LinkSpec, NodeId, World},
    model::{Call, OpId, Output},
};
use bytes::Bytes;
use squall_bus::{
    Ack, ConsumerConfig, ConsumerEvent, Delivery, Error, Outcome, Position, ProducerConfig, Record, Time,
    Topic, Unit,
};
use std::{collections::BTreeMap, task::Poll, time::Duration};

pub(super) const TOPIC: &str = "orders";

pub(super) struct Stage {
    pub(super) world: World<Brokers>,
    ops: u64,
    pub(super) sent: BTreeMap<u64, (Time, Outcome<Ack>)>,
    pub(super) done: BTreeMap<u64, (Time, Outcome<()>)>,
    /// How often a producer said that there is room again.
    pub(super) rooms: u32,
}

impl Stage {
    pub(super) fn new(seed: u64, brokers: u32, partitions: u32) -> Self {
        let mut names = Names::default();
        let topic = names.intern_topic(&Topic::new(TOPIC));
        names.intern_group("billing");
        let shared = Shared { rules: profile::kafka_4_3(), names, brokers, servers: brokers };
        let model = Brokers::new(shared, topic, partitions);
        let mut world = World::new(model, Choices::new(seed), LinkSpec::default());
        for broker in 0..brokers {
            let node = world.add_node(&format!("broker-{}", broker + 1));
            world.start(node);
        }
        Self { world, ops: 0, sent: BTreeMap::new(), done: BTreeMap::new(), rooms: 0 }
    }

    /// One broker with one partition, and a producer that had a second to connect.
    pub(super) fn of_producer(config: ProducerConfig) -> (Self, NodeId) {
        let mut stage = Self::new(1, 1, 1);
        let producer = stage.producer(config, |_| ());
        stage.run(Duration::from_secs(1));
        (stage, producer)
    }

    pub(super) fn producer(&mut self, config: ProducerConfig, change: impl FnOnce(&mut Producer)) -> NodeId {
        let mut client = Client::producer(config, &self.world.model().shared).expect("a fine configuration");
        if let Client::Producer(producer) = &mut client {
            change(producer);
        }
        self.client(client)
    }

    pub(super) fn consumer(&mut self, config: ConsumerConfig) -> NodeId {
        let client = Client::consumer(config, &self.world.model().shared).expect("a fine configuration");
        self.client(client)
    }

    fn client(&mut self, client: Client) -> NodeId {
        let node = self.world.add_node("client");
        self.world.model_mut().clients.push(Some(client));
        self.world.start(node);
        self.run(Duration::ZERO);
        node
    }

    pub(super) fn state(&mut self, node: NodeId) -> &mut Client {
        let place = node.index() - self.world.model().shared.servers as usize;
        self.world.model_mut().clients[place].as_mut().expect("a client")
    }

    fn take_outputs(&mut self) {
        let now = self.world.now();
        for output in self.world.take_outputs() {
            match output {
                Output::Sent(op, outcome) => {
                    assert!(self.sent.insert(op.0, (now, outcome)).is_none(), "{op:?} has two outcomes");
                }
                Output::Acked(acked) => acked.outcomes().for_each(|(op, outcome)| {
                    assert!(self.sent.insert(op.0, (now, outcome)).is_none(), "{op:?} has two outcomes");
                }),
                Output::Done(op, outcome) => {
                    assert!(self.done.insert(op.0, (now, outcome)).is_none(), "{op:?} has two outcomes");
                }
                Output::Room(_) => self.rooms += 1,
                _ => {}
            }
        }
    }

    /// Runs until a moment.
    pub(super) fn run_to(&mut self, limit: Time) {
        while self.world.next_time().is_some_and(|at| at <= limit) {
            self.world.step();
            self.take_outputs();
        }
        self.world.advance_to(limit);
    }

    pub(super) fn run(&mut self, span: Duration) {
        self.run_to(self.world.now() + span);
    }

    fn op(&mut self) -> OpId {
        self.ops += 1;
        OpId(self.ops)
    }

    /// Sends a record whose value is its number.
    pub(super) fn send(&mut self, node: NodeId, value: u64) -> u64 {
        self.send_to(node, 0, value)
    }

    /// The same, to this partition.
    pub(super) fn send_to(&mut self, node: NodeId, partition: u32, value: u64) -> u64 {
        let op = self.op();
        let mut record = Record::new(&Topic::new(TOPIC), None, Bytes::copy_from_slice(&value.to_le_bytes()));
        record.partition = Some(partition);
        self.world.call(node, Call::Send(op, record));
        self.take_outputs();
        op.0
    }

    /// Sends this record and waits for its outcome.
    pub(super) fn send_record_and_wait(&mut self, node: NodeId, record: Record) -> (Duration, Outcome<Ack>) {
        let from = self.world.now();
        let op = self.op();
        self.world.call(node, Call::Send(op, record));
        self.take_outputs();
        while !self.sent.contains_key(&op.0) {
            assert!(self.world.step(), "the send never ends");
            self.take_outputs();
        }
        let (at, outcome) = &self.sent[&op.0];
        (at.since(from), outcome.clone())
    }

    /// Sends a record and waits for its outcome.
    pub(super) fn send_and_wait(&mut self, node: NodeId, value: u64) -> (Duration, Outcome<Ack>) {
        let from = self.world.now();
        let op = self.send(node, value);
        while !self.sent.contains_key(&op) {
            assert!(self.world.step(), "the send never ends");
            self.take_outputs();
        }
        let (at, outcome) = &self.sent[&op];
        (at.since(from), outcome.clone())
    }

    pub(super) fn commit(&mut self, node: NodeId, partition: u32, position: u64) -> u64 {
        let op = self.op();
        let unit = Unit::new(&Topic::new(TOPIC), partition);
        self.world.call(node, Call::Commit(op, [(unit, Position(position))].into()));
        self.take_outputs();
        op.0
    }

    pub(super) fn close(&mut self, node: NodeId) -> u64 {
        let op = self.op();
        self.world.call(node, Call::Close(op));
        self.take_outputs();
        op.0
    }

    pub(super) fn record(&mut self, node: NodeId) -> Option<Result<Delivery, Error>> {
        let place = node.index() - self.world.model().shared.servers as usize;
        let taken = self.world.enter(node, |model, ctx| {
            let client = model.clients[place].as_mut().expect("a client");
            client.take_record(ctx, &model.shared)
        });
        self.take_outputs();
        match taken {
            Poll::Ready(record) => Some(record),
            Poll::Pending => None,
        }
    }

    pub(super) fn event(&mut self, node: NodeId) -> Option<ConsumerEvent> {
        let place = node.index() - self.world.model().shared.servers as usize;
        let taken = self
            .world
            .enter(node, |model, ctx| model.clients[place].as_mut().expect("a client").take_event(ctx));
        self.take_outputs();
        taken
    }

    /// Asks for events and records every millisecond, as a service does that is never busy.
    pub(super) fn attend(&mut self, nodes: &[NodeId], span: Duration, seen: &mut Vec<(Time, NodeId, Seen)>) {
        let until = self.world.now() + span;
        while self.world.now() < until {
            for node in nodes {
                while let Some(event) = self.event(*node) {
                    seen.push((self.world.now(), *node, Seen::Event(event)));
                }
                while let Some(record) = self.record(*node) {
                    let delivery = record.expect("the consumer lives");
                    let read = Seen::Record(delivery.unit.partition, delivery.position.0);
                    seen.push((self.world.now(), *node, read));
                }
            }
            self.run(Duration::from_millis(1));
        }
    }

    /// Puts records into a partition's log, one batch each, as another producer would.
    pub(super) fn fill(&mut self, partition: u32, records: u64) {
        use super::super::super::protocol::{Batch, Entry};
        let log = &mut self.world.model_mut().partitions[partition as usize];
        for _ in 0..records {
            let base_offset = log.log.last().map_or(0, Entry::end_offset);
            let value = Bytes::copy_from_slice(&base_offset.to_le_bytes());
            let record = Record::new(&Topic::new(TOPIC), None, value);
            let batch = Batch::of_records(vec![record], None, Time::ZERO).into();
            log.log.push(Entry::new(base_offset, log.epoch, batch));
        }
    }

    pub(super) fn id(&self, partition: u32) -> PartitionId {
        PartitionId::new(self.world.model().topic, partition)
    }

    /// The values in partition 0's log, in order.
    pub(super) fn log(&self) -> Vec<u64> {
        let entries = &self.world.model().partitions[0].log;
        let records = entries.iter().flat_map(|entry| entry.batch.records());
        let number = |record: &Record| u64::from_le_bytes(record.value.as_ref().try_into().expect("8 bytes"));
        records.map(number).collect()
    }
}

/// What a service saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Event(ConsumerEvent),
    /// A record of this partition at this offset.
    Record(u32, u64),
}
