//! The clients on the whole simulated Kafka: three brokers, replicas, elections, a real coordinator.

use super::super::super::{Kafka, Rules, profile::kafka_4_3_test_cluster};
use crate::{
    kernel::{Choices, LinkSpec, NodeId, World},
    model::{BusModel, Call, OpId, Output},
};
use bytes::Bytes;
use squall_bus::{
    Ack, ClientProfile, ConsumerConfig, ConsumerEvent, Error, Outcome, Position, ProducerConfig, Record,
    Role, Time, Topic, TopicSpec, Unit,
};
use std::{collections::BTreeMap, task::Poll, time::Duration};

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const STEP: Duration = Duration::from_millis(10);

pub(super) struct Whole {
    pub(super) world: World<Kafka>,
    ops: u64,
    sent: Vec<(u64, Time, Outcome<Ack>)>,
    done: BTreeMap<u64, (Time, Outcome<()>)>,
}

pub(super) fn topic() -> Topic {
    Topic::new("orders")
}

/// One event of those that are due until then, which breaks no invariant; without one, the clock goes there.
pub(super) fn step(world: &mut World<Kafka>, until: Time) -> bool {
    if world.next_time().is_none_or(|at| at > until) {
        world.advance_to(until);
        return false;
    }
    world.step();
    assert!(world.violation().is_none(), "{:?}", world.violation());
    true
}

/// Three brokers with these topics, watched by every invariant.
pub(super) fn cluster(seed: u64, rules: Rules, topics: &[&str], partitions: u32) -> World<Kafka> {
    let choices = Choices::new(seed);
    let mut kafka = Kafka::new(rules, 3, &choices).expect("a cluster");
    for name in topics {
        let topic = Topic::new(name);
        let spec = TopicSpec { topic, partitions, replicas: 3, min_insync: 2, config: BTreeMap::new() };
        kafka.create_topic(&spec, &choices).expect("a topic");
    }
    let servers = kafka.servers();
    let mut world = World::new(kafka, choices, LinkSpec::default());
    for number in 0..servers {
        let node = world.add_node(&format!("kafka-{}", number + 1));
        world.start(node);
    }
    for invariant in crate::kafka::invariants::all() {
        world.watch(invariant);
    }
    world
}

impl Whole {
    pub(super) fn new(seed: u64, partitions: u32) -> Self {
        let world = cluster(seed, kafka_4_3_test_cluster(), &["orders"], partitions);
        let mut whole = Self { world, ops: 0, sent: Vec::new(), done: BTreeMap::new() };
        whole.run(10 * SECOND);
        whole
    }

    fn producer(&mut self, config: ProducerConfig) -> NodeId {
        let node = self.world.add_node(&config.client);
        self.world.model_mut().open_producer(node, config).expect("a producer");
        self.world.start(node);
        self.run(SECOND);
        node
    }

    pub(super) fn consumer(&mut self, config: ConsumerConfig) -> NodeId {
        let node = self.world.add_node(&config.client);
        self.world.model_mut().open_consumer(node, config).expect("a consumer");
        self.world.start(node);
        node
    }

    pub(super) fn run(&mut self, span: Duration) {
        let until = self.world.now() + span;
        while step(&mut self.world, until) {
            self.take_outputs();
        }
    }

    fn take_outputs(&mut self) {
        let now = self.world.now();
        for output in self.world.take_outputs() {
            match output {
                Output::Sent(op, outcome) => self.sent.push((op.0, now, outcome)),
                Output::Acked(acked) => {
                    self.sent.extend(acked.outcomes().map(|(op, outcome)| (op.0, now, outcome)));
                }
                Output::Done(op, outcome) => drop(self.done.insert(op.0, (now, outcome))),
                _ => {}
            }
        }
    }

    pub(super) fn role(&self, role: &str) -> NodeId {
        let role: Role = role.parse().expect("a role");
        self.world.model().resolve(&role)[0]
    }

    fn send(&mut self, node: NodeId) -> u64 {
        self.ops += 1;
        let value = Bytes::copy_from_slice(&self.ops.to_le_bytes());
        let mut record = Record::new(&topic(), None, value);
        record.partition = Some(0);
        self.world.call(node, Call::Send(OpId(self.ops), record));
        self.take_outputs();
        self.ops
    }

    /// One record after the other for a while; the longest time between two acks.
    fn write(&mut self, node: NodeId, span: Duration) -> Duration {
        let until = self.world.now() + span;
        let (mut last, mut gap) = (self.world.now(), Duration::ZERO);
        while self.world.now() < until {
            let op = self.send(node);
            while self.sent.last().is_none_or(|(sent, ..)| *sent != op) {
                self.run(STEP);
            }
            gap = gap.max(self.world.now().since(last));
            last = self.world.now();
        }
        gap
    }

    /// Everything in partition 0 as a reader of it sees it: values by offset.
    fn read_all(&mut self) -> Vec<(u64, u64)> {
        let unit = Unit::new(&topic(), 0);
        let reader = self.consumer(ConsumerConfig::assign("reader", vec![(unit, None)]));
        let mut read = Vec::new();
        for _ in 0..300 {
            self.take(reader, &mut read, &mut Vec::new());
            self.run(STEP);
        }
        read
    }

    fn take(&mut self, node: NodeId, read: &mut Vec<(u64, u64)>, events: &mut Vec<ConsumerEvent>) {
        while let Some(event) = self.world.enter(node, |kafka, ctx| kafka.take_event(node, ctx)) {
            events.push(event);
        }
        while let Poll::Ready(record) = self.world.enter(node, |kafka, ctx| kafka.take_record(node, ctx)) {
            let delivery = record.expect("the consumer lives");
            let value = u64::from_le_bytes(delivery.record.value.as_ref().try_into().expect("8 bytes"));
            read.push((delivery.position.0, value));
        }
        self.take_outputs();
    }

    /// Records' offsets and events; the error that ended the consumer, if one did.
    pub(super) fn take_alive(
        &mut self,
        node: NodeId,
        read: &mut Vec<(Unit, u64)>,
        events: &mut Vec<ConsumerEvent>,
    ) -> Option<Error> {
        while let Some(event) = self.world.enter(node, |kafka, ctx| kafka.take_event(node, ctx)) {
            events.push(event);
        }
        let mut end = None;
        while let Poll::Ready(record) = self.world.enter(node, |kafka, ctx| kafka.take_record(node, ctx)) {
            match record {
                Ok(delivery) => read.push((delivery.unit, delivery.position.0)),
                Err(error) => {
                    end = Some(error);
                    break;
                }
            }
        }
        self.take_outputs();
        end
    }

    /// Commits this position of partition 0; the number of the operation.
    pub(super) fn commit(&mut self, node: NodeId, position: u64) -> u64 {
        self.ops += 1;
        let positions = vec![(Unit::new(&topic(), 0), Position(position))];
        self.world.call(node, Call::Commit(OpId(self.ops), positions.into()));
        self.take_outputs();
        self.ops
    }

    pub(super) fn close(&mut self, node: NodeId) {
        self.ops += 1;
        self.world.call(node, Call::Close(OpId(self.ops)));
        self.take_outputs();
    }

    pub(super) fn outcome(&self, op: u64) -> &Outcome<()> {
        &self.done[&op].1
    }

    /// Acknowledged records that the log lacks or has elsewhere, and records that it has twice.
    fn judge(&mut self) -> (usize, usize) {
        let log = self.read_all();
        let lost = self.sent.iter().filter(|(op, _, outcome)| match outcome {
            Outcome::Ok(ack) => !log.contains(&(ack.position.expect("an offset").0, *op)),
            Outcome::Fail(_) | Outcome::Unknown(..) => false,
        });
        let mut values: Vec<u64> = log.iter().map(|(_, value)| *value).collect();
        values.sort_unstable();
        let duplicates = values.windows(2).filter(|pair| pair[0] == pair[1]).count();
        (lost.count(), duplicates)
    }
}

fn config(profile: ClientProfile, idempotent: bool) -> ProducerConfig {
    ProducerConfig {
        profile,
        idempotent,
        max_in_flight: Some(1),
        linger: Some(Duration::ZERO),
        ..ProducerConfig::new("producer-1")
    }
}

/// G1: kill -9 of the leader.
#[test]
fn g1_a_killed_leader_costs_a_session_and_nothing_else() {
    for seed in 0..3 {
        for profile in [ClientProfile::Native, ClientProfile::Java] {
            let mut whole = Whole::new(seed, 1);
            let producer = whole.producer(config(profile, true));
            whole.write(producer, 2 * SECOND);
            let leader = whole.role("leader(orders/0)");
            let controller = whole.role("controller");
            whole.world.kill(leader);
            let gap = whole.write(producer, 20 * SECOND);
            let most = if leader == controller { 15_500 } else { 12_500 };
            assert!((7_000..=most).contains(&gap.as_millis()), "{profile:?} seed {seed}: {gap:?}");
            whole.world.start(leader);
            whole.write(producer, 10 * SECOND);
            assert_eq!(whole.judge(), (0, 0), "{profile:?} seed {seed}");
            assert!(whole.sent.iter().all(|(.., outcome)| outcome.is_ok()));
        }
    }
}

/// G3: a leader that stops in good order.
#[test]
fn g3_a_stopped_leader_costs_next_to_nothing() {
    for seed in 0..5 {
        let mut whole = Whole::new(seed, 1);
        let producer = whole.producer(config(ClientProfile::Native, false));
        whole.write(producer, 2 * SECOND);
        let leader = whole.role("leader(orders/0)");
        whole.world.stop(leader);
        let gap = whole.write(producer, 10 * SECOND);
        assert!(gap < Duration::from_millis(1_500), "seed {seed}: {gap:?}");
        let (lost, duplicates) = whole.judge();
        assert!(lost == 0 && duplicates <= 1, "seed {seed}: {lost} lost, {duplicates} duplicates");
    }
}

/// G7 on real replicas: the response of one produce request is lost.
#[test]
fn g7_a_lost_response_duplicates_only_without_idempotence() {
    for profile in [ClientProfile::Native, ClientProfile::Java] {
        for (idempotent, duplicates) in [(true, 0), (false, 1)] {
            let mut whole = Whole::new(1, 1);
            let producer = whole.producer(config(profile, idempotent));
            whole.write(producer, SECOND);
            let leader = whole.role("leader(orders/0)");
            whole.world.drop_responses(leader, 1);
            whole.write(producer, SECOND);
            assert_eq!(whole.judge(), (0, duplicates), "{profile:?} {idempotent}");
        }
    }
}

/// Section 12: a reader sees every offset once and in order across the loss of the leader.
#[test]
fn a_reader_sees_each_offset_once_across_a_failover() {
    let mut whole = Whole::new(2, 1);
    let producer = whole.producer(config(ClientProfile::Native, false));
    let unit = Unit::new(&topic(), 0);
    let reader = whole.consumer(ConsumerConfig::assign("reader-1", vec![(unit, None)]));
    let (mut read, mut events) = (Vec::new(), Vec::new());
    for step in 0..300 {
        whole.write(producer, Duration::from_millis(50));
        if step == 50 {
            let leader = whole.role("leader(orders/0)");
            whole.world.kill(leader);
        }
        whole.take(reader, &mut read, &mut events);
    }
    whole.run(2 * SECOND);
    whole.take(reader, &mut read, &mut events);
    let offsets: Vec<u64> = read.iter().map(|(offset, _)| *offset).collect();
    assert_eq!(offsets, (0..offsets.len() as u64).collect::<Vec<_>>());
    assert!(offsets.len() as u64 >= whole.ops);
}

/// Section 7: the coordinator is killed. A commit blocks for a session and succeeds; no error, no rebalance.
#[test]
fn a_lost_coordinator_only_delays_commits() {
    for (seed, profile) in [(1, ClientProfile::Native), (2, ClientProfile::Java)] {
        let mut whole = Whole::new(seed, 2);
        let config = ConsumerConfig { profile, ..ConsumerConfig::group("consumer-1", "billing", &[topic()]) };
        let member = whole.consumer(config);
        let (mut read, mut events) = (Vec::new(), Vec::new());
        for _ in 0..1_000 {
            whole.run(STEP);
            whole.take(member, &mut read, &mut events);
        }
        let unit = Unit::new(&topic(), 0);
        let coordinator = whole.role("coordinator(billing)");
        whole.world.kill(coordinator);
        whole.run(SECOND);
        let from = whole.world.now();
        whole.ops += 1;
        let op = whole.ops;
        whole.world.call(member, Call::Commit(OpId(op), [(unit.clone(), Position(0))].into()));
        for _ in 0..2_000 {
            whole.run(STEP);
            whole.take(member, &mut read, &mut events);
        }
        let (at, outcome) = &whole.done[&op];
        assert!(outcome.is_ok(), "{profile:?}: {outcome:?}");
        let took = at.since(from).as_millis();
        assert!((6_000..=14_500).contains(&took), "{profile:?}: {took} ms");
        let assignments = |event: &&ConsumerEvent| {
            matches!(event, ConsumerEvent::Assigned(_) | ConsumerEvent::Revoked(_) | ConsumerEvent::Lost(_))
        };
        assert_eq!(events.iter().filter(assignments).count(), 1, "{profile:?}: {events:?}");
        assert_eq!(whole.world.model().committed("billing", &unit), Ok(Some(Position(0))));
    }
}

/// G9 on the real coordinator: a member is stopped for 9 s with a session of 6 s.
#[test]
fn g9_a_stopped_member_loses_its_units() {
    let mut whole = Whole::new(3, 6);
    let config = |client: &str| ConsumerConfig {
        session_timeout: Some(6 * SECOND),
        heartbeat_interval: Some(2 * SECOND),
        ..ConsumerConfig::group(client, "billing", &[topic()])
    };
    let members = [whole.consumer(config("consumer-1")), whole.consumer(config("consumer-2"))];
    let mut seen = [Vec::new(), Vec::new()];
    let attend =
        |whole: &mut Whole, who: &[usize], span: Duration, seen: &mut [Vec<(Time, ConsumerEvent)>; 2]| {
            let until = whole.world.now() + span;
            while whole.world.now() < until {
                for member in who {
                    let (mut read, mut events) = (Vec::new(), Vec::new());
                    whole.take(members[*member], &mut read, &mut events);
                    let now = whole.world.now();
                    seen[*member].extend(events.into_iter().map(|event| (now, event)));
                }
                whole.run(STEP);
            }
        };
    attend(&mut whole, &[0, 1], 15 * SECOND, &mut seen);
    let last = |seen: &[(Time, ConsumerEvent)]| {
        let assigned = seen.iter().rev().find_map(|(at, event)| match event {
            ConsumerEvent::Assigned(units) => Some((*at, units.len())),
            _ => None,
        });
        assigned.expect("an assignment")
    };
    let share = |seen: &[(Time, ConsumerEvent)]| last(seen).1;
    assert_eq!((share(&seen[0]), share(&seen[1])), (3, 3));

    let from = whole.world.now();
    whole.world.pause(members[0]);
    attend(&mut whole, &[1], 9 * SECOND, &mut seen);
    assert_eq!(share(&seen[1]), 6);
    let took = last(&seen[1]).0.since(from).as_millis();
    assert!((4_000..=8_500).contains(&took), "{took} ms");

    whole.world.resume(members[0]);
    let unit = Unit::new(&topic(), 0);
    whole.world.call(members[0], Call::Commit(OpId(900), [(unit, Position(0))].into()));
    whole.run(STEP);
    assert!(matches!(&whole.done[&900].1, Outcome::Fail(error) if error.code == "UNKNOWN_MEMBER_ID"));
    seen[0].clear();
    attend(&mut whole, &[0, 1], 5 * SECOND, &mut seen);
    assert!(matches!(&seen[0][0].1, ConsumerEvent::Lost(units) if units.len() == 3), "{:?}", seen[0]);
    assert_eq!((share(&seen[0]), share(&seen[1])), (3, 3));
}
