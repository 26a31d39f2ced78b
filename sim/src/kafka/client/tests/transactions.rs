//! Transactional producers and consumers of both libraries on the whole simulated Kafka: what their callers see.
//! Outcomes are those measured on a real Kafka 4.3.0 with librdkafka 2.12.1 and the Java client 4.3.0.

use super::{
    super::super::{Kafka, Rules, profile::kafka_4_3_test_cluster, rules::TransactionVersion},
    whole::{cluster, step},
};
use crate::{
    kernel::{NodeId, World},
    model::{BusModel, Call, OpId, Output, TxnCall},
};
use ClientProfile::{Java, Native};
use bytes::Bytes;
use squall_bus::{
    Ack, ClientProfile, ConsumerConfig, ErrorClass, Isolation, Outcome, Position, ProducerConfig, Record,
    Role, Topic, Unit,
};
use std::{collections::BTreeMap, task::Poll, time::Duration};

pub(super) const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

pub(super) struct Stage {
    pub(super) world: World<Kafka>,
    ops: u64,
    sent: BTreeMap<u64, Outcome<Ack>>,
    pub(super) done: BTreeMap<u64, Outcome<()>>,
}

fn topic(name: &str) -> Topic {
    Topic::new(name)
}

impl Stage {
    pub(super) fn new(seed: u64) -> Self {
        Self::with(seed, kafka_4_3_test_cluster())
    }

    fn with(seed: u64, rules: Rules) -> Self {
        let world = cluster(seed, rules, &["orders", "shipments"], 1);
        let mut stage = Self { world, ops: 0, sent: BTreeMap::new(), done: BTreeMap::new() };
        stage.run(SECOND);
        stage
    }

    pub(super) fn run(&mut self, span: Duration) {
        let until = self.world.now() + span;
        while step(&mut self.world, until) {
            self.take_outputs();
        }
    }

    fn take_outputs(&mut self) {
        for output in self.world.take_outputs() {
            match output {
                Output::Sent(op, outcome) => {
                    assert!(self.sent.insert(op.0, outcome).is_none(), "{op:?} has two outcomes");
                }
                Output::Acked(acked) => acked.outcomes().for_each(|(op, outcome)| {
                    assert!(self.sent.insert(op.0, outcome).is_none(), "{op:?} has two outcomes");
                }),
                Output::Done(op, outcome) => {
                    assert!(self.done.insert(op.0, outcome).is_none(), "{op:?} has two outcomes");
                }
                _ => {}
            }
        }
    }

    fn producer(&mut self, name: &str, profile: ClientProfile, timeout: Option<Duration>) -> NodeId {
        let config = ProducerConfig {
            profile,
            linger: Some(Duration::ZERO),
            transactional_id: Some("payments".to_owned()),
            transaction_timeout: timeout,
            ..ProducerConfig::new(name)
        };
        let node = self.world.add_node(name);
        self.world.model_mut().open_producer(node, config).expect("a producer");
        self.world.start(node);
        self.run(Duration::from_millis(1));
        node
    }

    fn op(&mut self) -> OpId {
        self.ops += 1;
        OpId(self.ops)
    }

    pub(super) fn ask(&mut self, node: NodeId, call: TxnCall) -> u64 {
        let op = self.op();
        self.world.call(node, Call::Txn(op, call));
        self.take_outputs();
        op.0
    }

    pub(super) fn wait(&mut self, op: u64) -> Outcome<()> {
        for _ in 0..20_000 {
            if let Some(outcome) = self.done.get(&op) {
                return outcome.clone();
            }
            self.run(Duration::from_millis(10));
        }
        panic!("no outcome");
    }

    /// The outcome in short: `ok`, or the class and code of the error, with `?` if it is unknown.
    pub(super) fn call(&mut self, node: NodeId, call: TxnCall) -> String {
        let op = self.ask(node, call);
        short(&self.wait(op))
    }

    pub(super) fn send_to(&mut self, node: NodeId, name: &str) -> u64 {
        let op = self.op();
        let mut record = Record::new(&topic(name), None, Bytes::copy_from_slice(&op.0.to_le_bytes()));
        record.partition = Some(0);
        self.world.call(node, Call::Send(op, record));
        self.take_outputs();
        op.0
    }

    pub(super) fn sent(&mut self, op: u64) -> String {
        for _ in 0..20_000 {
            if let Some(outcome) = self.sent.get(&op) {
                return short(outcome);
            }
            self.run(Duration::from_millis(10));
        }
        panic!("no outcome");
    }

    pub(super) fn send(&mut self, node: NodeId) -> String {
        let op = self.send_to(node, "orders");
        self.sent(op)
    }

    /// A transaction with two records in each topic.
    pub(super) fn transaction(&mut self, node: NodeId, commit: bool) -> Vec<u64> {
        assert_eq!(self.call(node, TxnCall::Begin), "ok");
        let ops: Vec<u64> = ["orders", "orders", "shipments", "shipments"]
            .iter()
            .map(|name| self.send_to(node, name))
            .collect();
        for op in &ops {
            assert_eq!(self.sent(*op), "ok");
        }
        assert_eq!(self.call(node, if commit { TxnCall::Commit } else { TxnCall::Abort }), "ok");
        ops
    }

    /// What a reader of a topic sees within three seconds: offsets and values.
    fn read(&mut self, name: &str, isolation: Isolation) -> Vec<(u64, u64)> {
        let unit = Unit::new(&topic(name), 0);
        let config = ConsumerConfig {
            isolation: Some(isolation),
            ..ConsumerConfig::assign("reader", vec![(unit, None)])
        };
        let node = self.world.add_node("reader");
        self.world.model_mut().open_consumer(node, config).expect("a consumer");
        self.world.start(node);
        let mut read = Vec::new();
        for _ in 0..150 {
            self.run(Duration::from_millis(20));
            while self.world.enter(node, |kafka, ctx| kafka.take_event(node, ctx)).is_some() {}
            while let Poll::Ready(record) = self.world.enter(node, |kafka, ctx| kafka.take_record(node, ctx))
            {
                let delivery = record.expect("the consumer lives");
                let value = u64::from_le_bytes(delivery.record.value.as_ref().try_into().expect("8 bytes"));
                read.push((delivery.position.0, value));
            }
            self.take_outputs();
        }
        read
    }

    pub(super) fn offsets(&mut self, isolation: Isolation) -> Vec<u64> {
        self.read("orders", isolation).into_iter().map(|(offset, _)| offset).collect()
    }

    pub(super) fn role(&self, role: &str) -> NodeId {
        let role: Role = role.parse().expect("a role");
        self.world.model().resolve(&role)[0]
    }
}

pub(super) fn short<T>(outcome: &Outcome<T>) -> String {
    let class = |error: &squall_bus::Error| match error.class {
        ErrorClass::Fatal => "fatal",
        ErrorClass::Refused => "refused",
        ErrorClass::Retriable => "retriable",
        ErrorClass::Unsupported => "unsupported",
    };
    match outcome {
        Outcome::Ok(_) => "ok".to_owned(),
        Outcome::Fail(error) => format!("{} {}", class(error), error.code),
        Outcome::Unknown(error, _) => format!("{} {}?", class(error), error.code),
    }
}

pub(super) fn begun(
    stage: &mut Stage,
    name: &str,
    profile: ClientProfile,
    timeout: Option<Duration>,
) -> NodeId {
    let node = stage.producer(name, profile, timeout);
    assert_eq!(stage.call(node, TxnCall::Init), "ok");
    assert_eq!(stage.call(node, TxnCall::Begin), "ok");
    node
}

/// A transaction of `producer-1` in which one record has arrived.
pub(super) fn open(seed: u64, profile: ClientProfile, timeout: Option<Duration>) -> (Stage, NodeId) {
    let mut stage = Stage::new(seed);
    let producer = begun(&mut stage, "producer-1", profile, timeout);
    assert_eq!(stage.send(producer), "ok");
    (stage, producer)
}

#[test]
fn d5_both_libraries_show_committed_records_and_skip_markers() {
    for profile in [Native, Java] {
        let mut stage = Stage::new(1);
        let producer = stage.producer("producer-1", profile, None);
        assert_eq!(stage.call(producer, TxnCall::Init), "ok");
        for commit in [true, true, false, true] {
            stage.transaction(producer, commit);
        }
        // Measured: markers at 2, 5, 8 and 11.
        assert_eq!(stage.offsets(Isolation::ReadCommitted), [0, 1, 3, 4, 9, 10], "{profile:?}");
        assert_eq!(stage.offsets(Isolation::ReadUncommitted), [0, 1, 3, 4, 6, 7, 9, 10], "{profile:?}");
    }
}

#[test]
fn d2_a_zombie_is_fenced_as_each_library_says() {
    // What the old producer does, and what it is told. Measured on a Kafka 4.3.0 cluster.
    let measured: [(ClientProfile, &[(&str, &str)]); 4] = [
        (
            Native,
            &[
                ("send", "fatal INVALID_PRODUCER_EPOCH"),
                ("commit", "fatal _FENCED"),
                ("abort", "fatal _FENCED"),
            ],
        ),
        (Native, &[("commit", "fatal _FENCED"), ("begin", "fatal _FENCED")]),
        (
            Java,
            &[
                ("send", "refused INVALID_PRODUCER_EPOCH"),
                ("commit", "refused INVALID_PRODUCER_EPOCH"),
                ("abort", "fatal PRODUCER_FENCED"),
            ],
        ),
        (Java, &[("commit", "fatal PRODUCER_FENCED")]),
    ];
    for (profile, steps) in measured {
        let mut stage = Stage::new(2);
        let old = begun(&mut stage, "producer-1", profile, None);
        assert_eq!(stage.send(old), "ok");
        let new = begun(&mut stage, "producer-2", profile, None);
        assert_eq!(stage.send(new), "ok");
        for (step, told) in steps {
            let says = match *step {
                "send" => stage.send(old),
                "commit" => stage.call(old, TxnCall::Commit),
                "abort" => stage.call(old, TxnCall::Abort),
                _ => stage.call(old, TxnCall::Begin),
            };
            assert_eq!(says, *told, "{profile:?}: {step} of {steps:?}");
        }
        assert_eq!(stage.call(new, TxnCall::Commit), "ok");
        stage.run(SECOND);
        assert_eq!(stage.offsets(Isolation::ReadCommitted), [2], "what the zombie wrote is aborted");
    }
}

#[test]
fn d2_g8_after_a_timeout_only_version_2_can_go_on() {
    for (profile, version, first, steps) in [
        (Native, TransactionVersion::V2, "commit", ["fatal _FENCED", "fatal _FENCED", "fatal _FENCED"]),
        (
            Java,
            TransactionVersion::V2,
            "commit",
            ["fatal INVALID_TXN_STATE", "fatal INVALID_TXN_STATE", "fatal INVALID_TXN_STATE"],
        ),
        (Java, TransactionVersion::V2, "send", ["refused INVALID_PRODUCER_EPOCH", "ok", "ok"]),
        (
            Java,
            TransactionVersion::V1,
            "commit",
            ["fatal PRODUCER_FENCED", "fatal PRODUCER_FENCED", "fatal PRODUCER_FENCED"],
        ),
        (
            Java,
            TransactionVersion::V1,
            "send",
            ["refused INVALID_PRODUCER_EPOCH", "fatal PRODUCER_FENCED", "fatal PRODUCER_FENCED"],
        ),
    ] {
        let rules = Rules { transaction_version: version, ..kafka_4_3_test_cluster() };
        let mut stage = Stage::with(3, rules);
        let producer = begun(&mut stage, "producer-1", profile, Some(5 * SECOND));
        assert_eq!(stage.send(producer), "ok");
        stage.run(17 * SECOND);
        let begin =
            if first == "send" { stage.send(producer) } else { stage.call(producer, TxnCall::Commit) };
        let abort = stage.call(producer, TxnCall::Abort);
        let next = stage.call(producer, TxnCall::Begin);
        assert_eq!([begin.as_str(), &abort, &next], steps, "{profile:?} {version:?} {first}");
    }
}

#[test]
fn d1_a_coordinator_that_falls_in_a_transaction_is_found_again() {
    for seed in 0..4 {
        for profile in [Native, Java] {
            let mut stage = Stage::new(seed);
            let producer = begun(&mut stage, "producer-1", profile, None);
            let sent = [stage.send_to(producer, "orders"), stage.send_to(producer, "shipments")];
            sent.iter().for_each(|op| assert_eq!(stage.sent(*op), "ok"));
            let coordinator = stage.role("coordinator(payments)");
            stage.world.kill(coordinator);
            assert_eq!(stage.call(producer, TxnCall::Commit), "ok", "{profile:?} seed {seed}");
            stage.run(15 * SECOND);
            for (name, op) in ["orders", "shipments"].into_iter().zip(sent) {
                assert_eq!(stage.read(name, Isolation::ReadCommitted), [(0, op)], "{profile:?} seed {seed}");
            }
            stage.transaction(producer, true);
        }
    }
}

#[test]
fn d1_a_commit_without_an_answer_is_unknown_and_goes_on() {
    for profile in [Native, Java] {
        let (mut stage, producer) = open(5, profile, Some(600 * SECOND));
        let brokers: Vec<NodeId> = (0..3).map(NodeId).collect();
        brokers.iter().for_each(|broker| stage.world.cut(producer, *broker));
        assert_eq!(stage.call(producer, TxnCall::Commit), "retriable _TIMED_OUT?", "{profile:?}");
        assert_eq!(stage.call(producer, TxnCall::Abort), "refused _STATE", "it can only be tried again");
        brokers.iter().for_each(|broker| stage.world.uncut(producer, *broker));
        stage.run(2 * MINUTE);
        assert_eq!(stage.call(producer, TxnCall::Commit), "ok", "it went on by itself");
        assert_eq!(stage.call(producer, TxnCall::Begin), "ok");
        assert_eq!(stage.offsets(Isolation::ReadCommitted), [0]);
    }
}

#[test]
fn d3_a_transaction_without_records_needs_no_coordinator() {
    for profile in [Native, Java] {
        let mut stage = Stage::new(6);
        let producer = begun(&mut stage, "producer-1", profile, None);
        (0..3).map(NodeId).for_each(|broker| stage.world.cut(producer, broker));
        let op = stage.ask(producer, TxnCall::Commit);
        assert!(stage.done.contains_key(&op), "{profile:?}: at once");
        assert!(stage.offsets(Isolation::ReadUncommitted).is_empty());
    }
}

#[test]
fn d3_records_outside_a_transaction_are_refused() {
    let mut stage = Stage::new(7);
    let producer = stage.producer("producer-1", Native, None);
    assert_eq!(stage.call(producer, TxnCall::Begin), "refused _STATE");
    assert_eq!(stage.call(producer, TxnCall::Init), "ok");
    assert_eq!(stage.send(producer), "refused _STATE");
    assert_eq!(stage.call(producer, TxnCall::Commit), "refused _STATE");
}

#[test]
fn d3_an_abort_drops_what_was_not_sent() {
    for profile in [Native, Java] {
        let (mut stage, producer) = open(8, profile, None);
        let leader = stage.role("leader(shipments/0)");
        stage.world.cut(producer, leader);
        let op = stage.send_to(producer, "shipments");
        let abort = stage.ask(producer, TxnCall::Abort);
        stage.run(Duration::from_millis(1));
        stage.world.uncut(producer, leader);
        assert_eq!(short(&stage.wait(abort)), "ok");
        assert_ne!(stage.sent(op), "ok");
        stage.transaction(producer, true);
        stage.run(SECOND);
        assert_eq!(stage.offsets(Isolation::ReadCommitted).len(), 2, "{profile:?}");
    }
}

/// A batch that left and waits to be sent again goes with its transaction: whether it arrived is unknown.
#[test]
fn d3_an_abort_gives_up_what_was_sent_before() {
    for profile in [Native, Java] {
        let (mut stage, producer) = open(8, profile, None);
        let leader = stage.role("leader(orders/0)");
        stage.world.pause(leader);
        let op = stage.send_to(producer, "orders");
        stage.run(Duration::from_millis(20));
        stage.world.kill(leader);
        stage.run(Duration::from_millis(20));
        let abort = stage.ask(producer, TxnCall::Abort);
        stage.run(Duration::from_millis(200));
        let outcome = stage.sent.get(&op).expect("told by the abort");
        assert!(matches!(outcome, Outcome::Unknown(..)), "{profile:?}: {outcome:?}");
        stage.world.start(leader);
        assert_eq!(short(&stage.wait(abort)), "ok", "{profile:?}");
    }
}

/// A record that is given up while its commit waits for it fails the commit: to librdkafka `_INCONSISTENT`.
#[test]
fn d3_a_commit_fails_with_a_record_that_is_given_up() {
    for profile in [Native, Java] {
        let (mut stage, producer) = open(8, profile, Some(600 * SECOND));
        let leader = stage.role("leader(shipments/0)");
        stage.world.cut(producer, leader);
        let op = stage.send_to(producer, "shipments");
        let commit = stage.ask(producer, TxnCall::Commit);
        // Longer than a delivery may take.
        stage.run(6 * MINUTE);
        stage.world.uncut(producer, leader);
        assert_ne!(stage.sent(op), "ok");
        assert!(!stage.wait(commit).is_ok(), "{profile:?}");
        assert_eq!(stage.call(producer, TxnCall::Abort), "ok", "{profile:?}");
        stage.run(SECOND);
        assert!(stage.offsets(Isolation::ReadCommitted).is_empty(), "{profile:?}");
    }
}

/// KAFKA-17754: the EndTxn of a transaction is late, the client tries again on a new connection and goes on.
/// A partition that the coordinator did not add before it lost its office says nothing of the end: a commit that was not
/// asked for yet is refused when a record is given up.
#[test]
fn d3_a_commit_that_lacks_a_record_is_not_asked_of_the_next_coordinator() {
    let mut stage = Stage::new(4);
    let config = ProducerConfig {
        linger: Some(Duration::ZERO),
        transactional_id: Some("payments".to_owned()),
        delivery_timeout: Some(3 * SECOND),
        request_timeout: Some(SECOND),
        ..ProducerConfig::new("producer-1")
    };
    let producer = stage.world.add_node("producer-1");
    stage.world.model_mut().open_producer(producer, config).expect("a producer");
    stage.world.start(producer);
    stage.run(Duration::from_millis(1));
    assert_eq!(stage.call(producer, TxnCall::Init), "ok");
    assert_eq!(stage.call(producer, TxnCall::Begin), "ok");
    assert_eq!(stage.send(producer), "ok");
    let (leader, coordinator) = (stage.role("leader(orders/0)"), stage.role("coordinator(payments)"));
    assert!(leader != coordinator && stage.role("controller") != leader, "another seed is needed");
    stage.world.pause(leader);
    let late = stage.send_to(producer, "orders");
    stage.send_to(producer, "shipments");
    let commit = stage.ask(producer, TxnCall::Commit);
    stage.run(SECOND / 2);
    stage.world.stop(coordinator);
    stage.run(4 * SECOND);
    assert!(stage.sent(late).starts_with("retriable _MSG_TIMED_OUT"), "{}", stage.sent(late));
    stage.world.resume(leader);
    stage.world.start(coordinator);
    assert_eq!(short(&stage.wait(commit)), "refused _INCONSISTENT");
    assert_eq!(stage.call(producer, TxnCall::Abort), "ok");
}

#[test]
fn d3_d4_a_late_end_of_a_transaction_hurts_the_next_one_in_version_1_only() {
    for (profile, version, torn) in [
        (Native, TransactionVersion::V2, true),
        (Java, TransactionVersion::V1, true),
        (Java, TransactionVersion::V2, false),
    ] {
        let rules = Rules { transaction_version: version, ..kafka_4_3_test_cluster() };
        let mut stage = Stage::with(9, rules);
        let producer = begun(&mut stage, "producer-1", profile, Some(600 * SECOND));
        let first = stage.send_to(producer, "orders");
        assert_eq!(stage.sent(first), "ok");
        let coordinator = stage.role("coordinator(payments)");
        let late = 2 * MINUTE;
        stage.world.delay(producer, coordinator, late);
        let commit = stage.ask(producer, TxnCall::Commit);
        stage.run(Duration::from_millis(10));
        stage.world.undelay(producer, coordinator, late);
        let outcome = stage.wait(commit);
        if !outcome.is_ok() {
            // librdkafka's request waits for 60 s, as long as the call may take.
            assert_eq!(stage.call(producer, TxnCall::Commit), "ok");
        }
        assert_eq!(stage.call(producer, TxnCall::Begin), "ok", "{profile:?} {version:?}");
        let second = stage.send_to(producer, "orders");
        assert_eq!(stage.sent(second), "ok");
        // The late EndTxn comes in.
        stage.run(2 * MINUTE);
        let abort = stage.call(producer, TxnCall::Abort);
        assert_eq!(abort == "ok", !torn, "{profile:?} {version:?}: {abort}");
        stage.run(SECOND);
        let values: Vec<u64> =
            stage.read("orders", Isolation::ReadCommitted).into_iter().map(|(_, value)| value).collect();
        assert_eq!(values.contains(&second), torn, "{profile:?} {version:?}: an aborted read");
        assert!(values.contains(&first));
    }
}

/// Consume, produce, and put the position into the transaction.
#[test]
fn d6_positions_of_a_consumer_beside_it_go_with_the_transaction() {
    for profile in [Native, Java] {
        let mut stage = Stage::new(10);
        let producer = stage.producer("producer-1", profile, None);
        let config =
            ConsumerConfig { profile, ..ConsumerConfig::group("consumer-1", "billing", &[topic("orders")]) };
        let consumer = stage.world.add_node("consumer-1");
        stage.world.model_mut().open_consumer(consumer, config).expect("a consumer");
        stage.world.start(consumer);
        assert_eq!(stage.call(producer, TxnCall::Init), "ok");
        for _ in 0..300 {
            stage.run(Duration::from_millis(10));
            while stage.world.enter(consumer, |kafka, ctx| kafka.take_event(consumer, ctx)).is_some() {}
            let _ = stage.world.enter(consumer, |kafka, ctx| kafka.take_record(consumer, ctx));
        }
        let unit = Unit::new(&topic("orders"), 0);
        for (position, commit, committed) in [(7, true, 7), (9, false, 7)] {
            assert_eq!(stage.call(producer, TxnCall::Begin), "ok");
            let op = stage.send_to(producer, "shipments");
            let positions = TxnCall::Positions {
                group: "billing".to_owned(),
                positions: vec![(unit.clone(), Position(position))],
                peers: vec![producer, consumer],
            };
            assert_eq!(stage.call(producer, positions), "ok", "{profile:?}");
            assert_eq!(stage.sent(op), "ok");
            assert_eq!(stage.call(producer, if commit { TxnCall::Commit } else { TxnCall::Abort }), "ok");
            stage.run(SECOND);
            let found = stage.world.model().committed("billing", &unit).expect("a coordinator");
            assert_eq!(found, Some(Position(committed)), "{profile:?}");
        }
    }
}

/// KIP-447: who is no member any more cannot put positions into a transaction.
#[test]
fn d6_a_zombie_of_the_group_cannot_commit_positions() {
    for profile in [Native, Java] {
        let mut stage = Stage::new(11);
        let producer = stage.producer("producer-1", profile, None);
        let mut config = ConsumerConfig::group("consumer-1", "billing", &[topic("orders")]);
        config.session_timeout = Some(6 * SECOND);
        config.heartbeat_interval = Some(SECOND);
        config.profile = profile;
        let consumer = stage.world.add_node("consumer-1");
        stage.world.model_mut().open_consumer(consumer, config).expect("a consumer");
        stage.world.start(consumer);
        assert_eq!(stage.call(producer, TxnCall::Init), "ok");
        stage.run(5 * SECOND);
        stage.world.pause(consumer);
        stage.run(10 * SECOND);
        assert_eq!(stage.call(producer, TxnCall::Begin), "ok");
        let positions = TxnCall::Positions {
            group: "billing".to_owned(),
            positions: vec![(Unit::new(&topic("orders"), 0), Position(3))],
            peers: vec![consumer],
        };
        assert_eq!(stage.call(producer, positions), "refused UNKNOWN_MEMBER_ID", "{profile:?}");
        assert_eq!(stage.call(producer, TxnCall::Commit), "refused UNKNOWN_MEMBER_ID");
        assert_eq!(stage.call(producer, TxnCall::Abort), "ok");
        assert_eq!(stage.call(producer, TxnCall::Begin), "ok");
    }
}
