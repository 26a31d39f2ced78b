//! Reading: order, prefetch, seek, resets, leaders that move, and the order of records and events.

use super::stage::{Seen, Stage, TOPIC};
use crate::{
    kernel::NodeId,
    model::{Call, OpId},
};
use squall_bus::{ConsumerConfig, ConsumerEvent, Position, ResetPolicy, Topic, Unit};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn unit(partition: u32) -> Unit {
    Unit::new(&Topic::new(TOPIC), partition)
}

fn reader(from: Option<u64>) -> ConsumerConfig {
    ConsumerConfig::assign("consumer-1", vec![(unit(0), from.map(Position))])
}

/// Everything that a lone consumer sees in a while.
fn attend(stage: &mut Stage, node: NodeId, span: Duration) -> Vec<Seen> {
    let mut seen = Vec::new();
    stage.attend(&[node], span, &mut seen);
    seen.into_iter().map(|(_, _, what)| what).collect()
}

fn offsets(seen: &[Seen]) -> Vec<u64> {
    seen.iter()
        .filter_map(|what| match what {
            Seen::Record(_, offset) => Some(*offset),
            Seen::Event(_) => None,
        })
        .collect()
}

#[test]
fn reads_chosen_units_from_where_it_is_told() {
    for (from, first) in [(None, 0), (Some(4), 4)] {
        let mut stage = Stage::new(1, 2, 1);
        stage.fill(0, 10);
        let consumer = stage.consumer(reader(from));
        let seen = attend(&mut stage, consumer, SECOND);
        let assigned = ConsumerEvent::Assigned(vec![(unit(0), from.map(Position))]);
        assert_eq!(seen[0], Seen::Event(assigned));
        assert_eq!(offsets(&seen), (first..10).collect::<Vec<_>>());
        stage.fill(0, 5);
        let seen = attend(&mut stage, consumer, SECOND);
        assert_eq!(offsets(&seen), (10..15).collect::<Vec<_>>(), "what comes later is read within the wait");
    }
}

#[test]
fn a_seek_drops_what_was_fetched_before_it() {
    let mut stage = Stage::new(1, 1, 1);
    stage.fill(0, 10);
    let consumer = stage.consumer(reader(None));
    stage.run(SECOND);
    assert!(stage.event(consumer).is_some());
    assert_eq!(
        stage.record(consumer).and_then(Result::ok).map(|delivery| delivery.position),
        Some(Position(0))
    );
    stage.world.call(consumer, Call::Seek(unit(0), Position(7)));
    assert_eq!(offsets(&attend(&mut stage, consumer, SECOND)), [7, 8, 9]);
    stage.world.call(consumer, Call::Seek(unit(0), Position(2)));
    assert_eq!(offsets(&attend(&mut stage, consumer, SECOND)), (2..10).collect::<Vec<_>>());
}

#[test]
fn does_not_fetch_while_enough_waits() {
    let mut stage = Stage::new(1, 1, 1);
    let consumer = stage.consumer(ConsumerConfig { prefetch: 3, ..reader(None) });
    stage.run(SECOND);
    let waiting = |stage: &mut Stage| match stage.state(consumer) {
        super::super::Client::Consumer(consumer) => consumer.ready_records,
        super::super::Client::Producer(_) => 0,
    };
    for _ in 0..10 {
        stage.fill(0, 1);
        stage.run(SECOND);
    }
    assert_eq!(waiting(&mut stage), 3);
    assert_eq!(offsets(&attend(&mut stage, consumer, SECOND)), (0..10).collect::<Vec<_>>());
}

#[test]
fn an_impossible_position_is_reset_by_policy_and_said_so() {
    for (policy, to, read) in
        [(ResetPolicy::Earliest, 3, (3..10).collect::<Vec<_>>()), (ResetPolicy::Latest, 10, Vec::new())]
    {
        let mut stage = Stage::new(1, 1, 1);
        stage.fill(0, 10);
        stage.world.model_mut().log_start = 3;
        let consumer = stage.consumer(ConsumerConfig { reset: policy, ..reader(Some(50)) });
        let seen = attend(&mut stage, consumer, SECOND);
        let reset = ConsumerEvent::Reset { unit: unit(0), from: Some(Position(50)), to: Position(to) };
        assert!(seen.contains(&Seen::Event(reset)), "{seen:?}");
        assert_eq!(offsets(&seen), read);
    }
}

#[test]
fn follows_the_leader() {
    let mut stage = Stage::new(2, 3, 1);
    stage.fill(0, 5);
    let consumer = stage.consumer(reader(None));
    assert_eq!(offsets(&attend(&mut stage, consumer, SECOND)).len(), 5);
    let partition = &mut stage.world.model_mut().partitions[0];
    (partition.leader, partition.epoch) = (1, 2);
    stage.fill(0, 5);
    assert_eq!(offsets(&attend(&mut stage, consumer, SECOND)), (5..10).collect::<Vec<_>>());
    stage.world.kill(NodeId(1));
    let partition = &mut stage.world.model_mut().partitions[0];
    (partition.leader, partition.epoch) = (2, 3);
    stage.fill(0, 5);
    let seen = attend(&mut stage, consumer, 3 * SECOND);
    assert_eq!(offsets(&seen), (10..15).collect::<Vec<_>>());
    let transport =
        |what: &&Seen| matches!(what, Seen::Event(ConsumerEvent::Error(e)) if e.code == "_TRANSPORT");
    assert_eq!(seen.iter().filter(transport).count(), 1, "librdkafka tells its error callback once");
}

/// A reader without a group cannot commit.
#[test]
fn commits_need_a_group() {
    let mut stage = Stage::new(1, 1, 1);
    let consumer = stage.consumer(reader(None));
    stage.run(SECOND);
    let op = stage.commit(consumer, 0, 1);
    assert_eq!(stage.done[&op].1.error().map(|error| &*error.code), Some("_UNKNOWN_GROUP"));
    stage.world.call(consumer, Call::Ack(OpId(99), 1));
    let op = stage.close(consumer);
    assert!(stage.done[&op].1.is_ok());
}
