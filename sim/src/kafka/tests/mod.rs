//! Tests of the brokers, driven by messages and time only.
//!
//! A [`Probe`] is a client node that a test plays by hand; the [`Lab`] holds the world around it, steps it, and
//! breaks things at given times. Names carry the ids of the rules in the reference (`a1_`, `b4_`, ...); `g1_` and
//! the like are the golden cases measured on a real Kafka 4.3.0 cluster.

mod compaction;
mod coverage;
mod digests;
mod failover;
mod fetches;
mod groups;
mod invariants;
mod liveness;
mod logs;
mod lulls;
mod near;
mod proposals;
mod quorum;
mod replication;
mod requests;
mod restarts;
mod topics;
mod transactions;

use super::{
    Kafka, Rules, Timer,
    error::ErrorCode,
    profile::kafka_4_3_test_cluster,
    protocol::{
        Batch, FetchPartition, FetchRequest, FetchedPartition, ListOffsetsPartition, ListedOffset, Msg,
        OffsetSpec, PartitionId, ProduceRequest, ProducedPartition, ProducerStamp, Request, RequestBody,
        RequiredAcks, Response, ResponseBody,
    },
    replica::Replica,
};
use crate::{
    kernel::{Choices, ConnId, Ctx, Event, LinkSpec, NodeId, World},
    model::BusModel,
};
use squall_bus::{Acks, Isolation, Record, Role, Time, Topic, TopicSpec, Unit};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// A client played by hand.
#[derive(Debug, Default)]
pub(super) struct Probe {
    answers: BTreeMap<(ConnId, u32), (Time, ResponseBody)>,
    closed: Vec<ConnId>,
    conns: BTreeMap<NodeId, ConnId>,
    correlation: u32,
}

impl Probe {
    pub(super) fn on(&mut self, event: Event<Msg, Timer>, ctx: &mut Ctx<'_, Kafka>) {
        match event {
            Event::Message(conn, Msg::Response(Response { correlation, body })) => {
                self.answers.insert((conn, correlation), (ctx.now(), body));
            }
            Event::Closed(conn) => {
                self.closed.push(conn);
                self.conns.retain(|_, known| *known != conn);
            }
            _ => {}
        }
    }
}

/// A request that was sent.
#[derive(Clone, Copy, Debug)]
struct Asked {
    probe: NodeId,
    conn: ConnId,
    correlation: u32,
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

type Deed = Box<dyn FnOnce(&mut World<Kafka>)>;

/// What a client asks for that reads one unit.
fn a_fetch(id: PartitionId, offset: u64) -> FetchRequest {
    let at = FetchPartition {
        id,
        current_leader_epoch: None,
        offset,
        last_fetched_epoch: None,
        max_bytes: 1 << 20,
        log_start: 0,
    };
    FetchRequest {
        replica: None,
        isolation: Isolation::ReadUncommitted,
        max_wait: millis(500),
        min_bytes: 1,
        max_bytes: 50 << 20,
        partitions: Arc::new(vec![at]),
        rack: None,
        topic_ids: None,
    }
}

/// Whether a process that is up leads a partition, by what it has heard.
fn leads(kafka: &Kafka, node: NodeId, id: PartitionId) -> bool {
    let server = &kafka.servers[node.index()];
    let replica = server.data().filter(|_| server.is_up()).and_then(|broker| broker.replica(id));
    replica.is_some_and(|replica| replica.leading().is_some())
}

/// A cluster with probes and what will happen to it.
struct Lab {
    world: World<Kafka>,
    deeds: Vec<(Time, Deed)>,
    sequence: u64,
    /// A broken invariant fails the test at once.
    strict: bool,
}

impl Lab {
    /// Three brokers by the rules of the test cluster.
    fn new(seed: u64) -> Self {
        Self::with(seed, 3, kafka_4_3_test_cluster())
    }

    fn with(seed: u64, brokers: u32, rules: Rules) -> Self {
        let choices = Choices::new(seed);
        let kafka = Kafka::new(rules, brokers, &choices).expect("the cluster can be");
        let servers = kafka.servers();
        let mut world = World::new(kafka, choices, LinkSpec::default());
        for node in 0..servers {
            let node = world.add_node(&format!("kafka-{}", node + 1));
            world.start(node);
        }
        for invariant in super::invariants::all() {
            world.watch(invariant);
        }
        Self { world, deeds: Vec::new(), sequence: 0, strict: true }
    }

    /// A topic `t` with one partition on three brokers.
    fn topic(&mut self, min_insync: u32) -> PartitionId {
        self.topic_of("t", 1, 3, min_insync, &[])
    }

    fn topic_of(
        &mut self,
        name: &str,
        partitions: u32,
        replicas: u32,
        min_insync: u32,
        config: &[(&str, &str)],
    ) -> PartitionId {
        let topic = Topic::new(name);
        let config = config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let spec = TopicSpec { topic: topic.clone(), partitions, replicas, min_insync, config };
        let choices = self.world.choices().clone();
        self.world.model_mut().create_topic(&spec, &choices).expect("the topic can be");
        self.kafka().shared.names.partition(&Unit::new(&topic, 0)).expect("it exists")
    }

    fn kafka(&self) -> &Kafka {
        self.world.model()
    }

    fn probe(&mut self) -> NodeId {
        let node = self.world.add_node("probe");
        self.world.model_mut().probes.insert(node, Probe::default());
        self.world.start(node);
        self.run(millis(1));
        node
    }

    fn now(&self) -> Time {
        self.world.now()
    }

    /// Does something `after` from now.
    fn after(&mut self, after: Duration, deed: impl FnOnce(&mut World<Kafka>) + 'static) {
        self.deeds.push((self.now() + after, Box::new(deed)));
        self.deeds.sort_by_key(|(at, _)| *at);
    }

    /// One event, or one deed; `false` if there is nothing before `limit`.
    fn step(&mut self, limit: Time) -> bool {
        let next = self.world.next_time().unwrap_or(Time::MAX);
        if let Some((at, _)) = self.deeds.first()
            && *at <= next
            && *at <= limit
        {
            let (at, deed) = self.deeds.remove(0);
            self.world.advance_to(at);
            deed(&mut self.world);
            return true;
        }
        if next > limit {
            self.world.advance_to(limit);
            return false;
        }
        self.world.step();
        if self.strict
            && let Some(violation) = self.world.violation()
        {
            panic!("{violation:?}");
        }
        true
    }

    fn run(&mut self, span: Duration) {
        let limit = self.now() + span;
        while self.step(limit) {}
    }

    /// Runs until `done`, at most `patience`; how long it took.
    fn until(&mut self, patience: Duration, mut done: impl FnMut(&Kafka) -> bool) -> Duration {
        let begin = self.now();
        while !done(self.world.model()) {
            assert!(self.step(begin + patience), "it did not happen within {patience:?}");
        }
        self.now().since(begin)
    }

    /// A process is killed, and the next one comes up.
    fn kill_and_start(&mut self, node: NodeId) {
        self.world.kill(node);
        self.world.start(node);
        self.run(millis(1));
    }

    // Roles.

    fn leader(&self, id: PartitionId) -> Option<NodeId> {
        self.kafka().truth().partition(id).and_then(|partition| partition.leader)
    }

    fn isr(&self, id: PartitionId) -> u32 {
        self.kafka().truth().partition(id).map_or(0, |partition| partition.isr.len())
    }

    fn controller(&self) -> NodeId {
        self.kafka().resolve(&Role::Controller)[0]
    }

    fn replica(&self, node: NodeId, id: PartitionId) -> &Replica {
        self.kafka().servers[node.index()].data().and_then(|broker| broker.replica(id)).expect("it is there")
    }

    fn values(&self, node: NodeId, id: PartitionId) -> Vec<u64> {
        self.replica(node, id)
            .log
            .entries()
            .iter()
            .flat_map(|entry| entry.batch.records())
            .map(value_of)
            .collect()
    }

    // Asking.

    fn ask(&mut self, probe: NodeId, broker: NodeId, body: RequestBody) -> Asked {
        self.world.enter(probe, |model, ctx| {
            let known = model.probes.get_mut(&probe).expect("it is a probe");
            let conn = *known.conns.entry(broker).or_insert_with(|| ctx.connect(broker));
            known.correlation += 1;
            let correlation = known.correlation;
            ctx.send(conn, Msg::Request(Request { correlation, client: probe, body }));
            Asked { probe, conn, correlation }
        })
    }

    fn answer(&self, asked: Asked) -> Option<(Time, ResponseBody)> {
        self.kafka().probes[&asked.probe].answers.get(&(asked.conn, asked.correlation)).cloned()
    }

    /// The answer, within `patience`; `None` if the connection broke or nothing came.
    fn wait(&mut self, asked: Asked, patience: Duration) -> Option<ResponseBody> {
        let limit = self.now() + patience;
        loop {
            if let Some((_, body)) = self.answer(asked) {
                return Some(body);
            }
            if self.kafka().probes[&asked.probe].closed.contains(&asked.conn) || !self.step(limit) {
                return None;
            }
        }
    }

    fn hang_up(&mut self, probe: NodeId, broker: NodeId) {
        self.world.enter(probe, |model, ctx| {
            if let Some(conn) = model.probes.get_mut(&probe).and_then(|known| known.conns.remove(&broker)) {
                ctx.close(conn);
            }
        });
    }

    /// Values that no other record of this lab has.
    fn batch(&mut self, records: u32, stamp: Option<ProducerStamp>) -> (Arc<Batch>, Vec<u64>) {
        let values: Vec<u64> = (0..u64::from(records)).map(|number| self.sequence + number).collect();
        self.sequence += u64::from(records);
        let topic = Topic::new("t");
        let record = |value: &u64| Record::new(&topic, None, value.to_be_bytes().to_vec().into());
        let records: Vec<_> = values.iter().map(record).collect();
        (Arc::new(Batch::of_records(records, stamp, Time::ZERO)), values)
    }

    fn produce(&mut self, probe: NodeId, broker: NodeId, id: PartitionId, acks: Acks) -> (Asked, u64) {
        let (batch, values) = self.batch(1, None);
        (self.produce_batch(probe, broker, id, acks, batch, secs(30)), values[0])
    }

    fn produce_batch(
        &mut self,
        probe: NodeId,
        broker: NodeId,
        id: PartitionId,
        acks: Acks,
        batch: Arc<Batch>,
        timeout: Duration,
    ) -> Asked {
        let request = ProduceRequest { acks: acks.into(), timeout, txn: None, batches: [(id, batch)].into() };
        self.ask(probe, broker, RequestBody::Produce(request))
    }

    fn produced(&mut self, asked: Asked, patience: Duration) -> Option<ProducedPartition> {
        match self.wait(asked, patience) {
            Some(ResponseBody::Produce(results)) => results.first().copied(),
            None => None,
            other => panic!("not an answer to Produce: {other:?}"),
        }
    }

    fn fetch(&mut self, probe: NodeId, broker: NodeId, id: PartitionId, offset: u64) -> Asked {
        self.ask(probe, broker, RequestBody::Fetch(a_fetch(id, offset)))
    }

    fn fetched(&mut self, asked: Asked) -> Option<FetchedPartition> {
        match self.wait(asked, secs(2)) {
            Some(ResponseBody::Fetch(said)) => said.into_iter().next(),
            other => panic!("not an answer to Fetch: {other:?}"),
        }
    }

    fn latest(&mut self, probe: NodeId, broker: NodeId, id: PartitionId) -> ListedOffset {
        self.listed(probe, broker, id, OffsetSpec::Latest)
    }

    fn listed(&mut self, probe: NodeId, broker: NodeId, id: PartitionId, at: OffsetSpec) -> ListedOffset {
        let at = ListOffsetsPartition { id, current_leader_epoch: None, at };
        let asked = self.ask(probe, broker, RequestBody::ListOffsets(vec![at]));
        match self.wait(asked, secs(2)) {
            Some(ResponseBody::ListOffsets(listed)) => listed[0],
            other => panic!("not an answer to ListOffsets: {other:?}"),
        }
    }

    /// Who leads, as this broker says.
    fn ask_leader(&mut self, probe: NodeId, broker: NodeId, id: PartitionId) -> Option<NodeId> {
        let asked = self.ask(probe, broker, RequestBody::Metadata(Some(vec![id.topic])));
        match self.wait(asked, millis(500)) {
            Some(ResponseBody::Metadata(found)) => {
                found.topics[0].partitions.get(id.partition as usize)?.leader
            }
            _ => {
                self.hang_up(probe, broker);
                None
            }
        }
    }
}

fn value_of(record: &Record) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&record.value);
    u64::from_be_bytes(bytes)
}

/// What a writer saw.
#[derive(Debug, Default)]
struct Written {
    /// Acknowledged values with their offsets and times.
    acked: Vec<(u64, u64, Time)>,
    /// Values without an answer, or answered 7.
    timed_out: Vec<u64>,
    /// Errors, in order; `None` for a broken connection.
    errors: Vec<Option<ErrorCode>>,
    /// The longest time between two acks.
    gap: Duration,
}

/// How a writer writes: one record at a time, each until it is acknowledged or its time is up.
struct Writer {
    probe: NodeId,
    id: PartitionId,
    acks: Acks,
    /// How long a record may take in all; without a limit it is retried for ever.
    patience: Option<Duration>,
    idempotent: bool,
    /// Between two records.
    pause: Duration,
    leader: Option<NodeId>,
    written: Written,
    last_ack: Time,
    next_seq: u32,
}

impl Writer {
    fn new(lab: &mut Lab, id: PartitionId, acks: Acks) -> Self {
        let probe = lab.probe();
        Self {
            probe,
            id,
            acks,
            patience: None,
            idempotent: false,
            pause: millis(10),
            leader: None,
            written: Written::default(),
            last_ack: lab.now(),
            next_seq: 0,
        }
    }

    /// Writes until `limit`.
    fn write_until(&mut self, lab: &mut Lab, limit: Time) {
        while lab.now() < limit {
            self.write_one(lab, limit);
            lab.run(self.pause);
        }
    }

    fn write_one(&mut self, lab: &mut Lab, limit: Time) {
        let stamp = ProducerStamp {
            pid: u64::from(self.probe.0),
            epoch: 0,
            base_seq: self.next_seq,
            transactional: false,
        };
        let (batch, values) = lab.batch(1, self.idempotent.then_some(stamp));
        self.next_seq += 1;
        let ends = self.patience.map_or(limit + secs(3600), |patience| lab.now() + patience);
        while lab.now() < ends && lab.now() < limit + secs(60) {
            let Some(leader) = self.find_leader(lab) else {
                lab.run(millis(100));
                continue;
            };
            let left = ends.since(lab.now()).min(secs(30));
            let asked = lab.produce_batch(self.probe, leader, self.id, self.acks, Arc::clone(&batch), left);
            match lab.produced(asked, left + millis(500)) {
                Some(ProducedPartition { error: ErrorCode::None, base_offset, .. }) => {
                    let now = lab.now();
                    self.written.gap = self.written.gap.max(now.since(self.last_ack));
                    self.last_ack = now;
                    self.written.acked.push((values[0], base_offset.expect("it has one"), now));
                    return;
                }
                answer => {
                    let error = answer.map(|answer| answer.error);
                    if answer.is_none() {
                        lab.hang_up(self.probe, leader);
                    }
                    if error != Some(ErrorCode::RequestTimedOut) || self.patience.is_none() {
                        self.written.errors.push(error);
                    }
                    self.leader = None;
                    lab.run(millis(100));
                }
            }
        }
        self.written.timed_out.push(values[0]);
    }

    fn find_leader(&mut self, lab: &mut Lab) -> Option<NodeId> {
        if self.leader.is_none() {
            for broker in (0..lab.kafka().shared.brokers).map(NodeId) {
                if let Some(leader) = lab.ask_leader(self.probe, broker, self.id) {
                    self.leader = Some(leader);
                    break;
                }
            }
        }
        self.leader
    }
}

/// (lost, duplicated): acknowledged values that the log lacks, and values that it has more than once.
fn compare(written: &Written, log: &[u64]) -> (usize, usize) {
    let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
    for value in log {
        *counts.entry(*value).or_default() += 1;
    }
    let lost = written.acked.iter().filter(|(value, ..)| !counts.contains_key(value)).count();
    (lost, counts.values().filter(|count| **count > 1).count())
}

/// Whether a span lies between two bounds, in milliseconds.
#[track_caller]
fn assert_between(span: Duration, low: u64, high: u64) {
    assert!((millis(low)..=millis(high)).contains(&span), "{span:?} is not within {low}..{high} ms");
}
