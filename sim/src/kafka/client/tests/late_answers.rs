//! Answers that are lost, or come when nobody waits for them any more (C1, E1 to E4, E6).

use super::membership::{BOTH, Log, SECOND, assigned, events, member};
use super::stage::{Seen, Stage, TOPIC};
use super::whole::{Whole, topic};
use super::whole_groups::{Log as WholeLog, attend};
use crate::{
    kafka::{
        client::{Client, consumer::Consumer},
        error::ErrorCode,
        group_protocol::ConsumerGroupHeartbeatResponse,
    },
    kernel::NodeId,
};
use squall_bus::{ClientProfile, ConsumerConfig, ConsumerEvent, GroupProtocol, Time, Topic};
use std::time::Duration;

const MILLISECOND: Duration = Duration::from_millis(1);
const BROKER: NodeId = NodeId(0);

fn consumer(stage: &mut Stage, node: NodeId) -> &mut Consumer {
    match stage.state(node) {
        Client::Consumer(consumer) => consumer,
        Client::Producer(_) => panic!("a consumer"),
    }
}

/// The only broker falls while it owes an answer, whichever that is, and is back soon.
fn falls_and_comes_back(stage: &mut Stage) {
    stage.world.pause(BROKER);
    stage.run(400 * MILLISECOND);
    stage.world.kill(BROKER);
    stage.run(100 * MILLISECOND);
    stage.world.start(BROKER);
}

#[test]
fn e1_whatever_was_asked_of_a_coordinator_that_fell_is_asked_again() {
    for profile in BOTH {
        for step in 0..60 {
            let mut stage = Stage::new(4, 1, 2);
            (0..2).for_each(|partition| stage.fill(partition, 1));
            let node = stage.consumer(member("consumer-1", profile));
            stage.run(step * MILLISECOND / 4);
            falls_and_comes_back(&mut stage);
            let mut log = Log::new();
            stage.attend(&[node], 25 * SECOND, &mut log);
            assert!(assigned(&log, node, Time::ZERO).is_some(), "{profile:?} step {step}");
            let records = log.iter().filter(|(_, _, seen)| matches!(seen, Seen::Record(..))).count();
            assert!(records >= 2, "{profile:?} step {step}: it knows where to read");
        }
    }
}

#[test]
fn e2_a_heartbeat_without_an_answer_is_not_the_last() {
    let mut stage = Stage::new(4, 1, 2);
    let mut log = Log::new();
    let node = stage.consumer(member("consumer-1", ClientProfile::Native));
    stage.attend(&[node], 1_800 * MILLISECOND, &mut log);
    // Heartbeats go out every two seconds.
    falls_and_comes_back(&mut stage);
    stage.attend(&[node], 12 * SECOND, &mut log);
    assert_eq!(events(&log, node, Time::ZERO), ["assigned"]);
    assert_eq!(stage.world.model().coordinator.members(), 1, "within its session");
}

#[test]
fn e3_answers_to_what_was_asked_before_a_member_was_away_too_long_mean_nothing() {
    let mut stage = Stage::new(1, 1, 1);
    stage.fill(0, 3);
    let config = ConsumerConfig {
        max_poll_interval: Some(10 * SECOND),
        ..member("consumer-1", ClientProfile::Native)
    };
    let node = stage.consumer(config);
    stage.run(SECOND);
    assert!(matches!(stage.event(node), Some(ConsumerEvent::Assigned(_))));
    assert!(stage.record(node).is_some());
    let attempt = |stage: &mut Stage| consumer(stage, node).member.as_ref().expect("a member").attempt;
    let before = attempt(&mut stage);
    stage.run(11 * SECOND);
    assert!(attempt(&mut stage) > before, "no number that was used before");
}

#[test]
fn e6_an_answer_that_is_late_by_an_attempt_is_not_listened_to() {
    let mut whole = Whole::new(3, 2);
    let mut log = WholeLog::new();
    let config = ConsumerConfig {
        protocol: GroupProtocol::Consumer,
        ..ConsumerConfig::group("consumer-1", "billing", &[topic()])
    };
    let node = whole.consumer(config);
    attend(&mut whole, &[node], 7 * SECOND, &mut log);
    let generation = |late: u32, whole: &mut Whole| {
        whole.world.enter(node, |kafka, ctx| {
            let place = node.index() - kafka.shared.servers as usize;
            let Some(Some(Client::Consumer(consumer))) = kafka.clients.get_mut(place) else {
                panic!("a consumer")
            };
            let attempt = consumer.member.as_ref().expect("a member").attempt;
            let response = ConsumerGroupHeartbeatResponse {
                error: ErrorCode::None,
                epoch: 77,
                heartbeat_interval: 5 * SECOND,
                assignment: None,
            };
            consumer.epoch_answered(attempt.wrapping_sub(late), response, ctx, &kafka.shared);
            consumer.member.as_ref().expect("a member").generation
        })
    };
    assert_ne!(generation(1, &mut whole), 77);
    assert_eq!(generation(0, &mut whole), 77, "one to the last question counts");
}

#[test]
fn e4_an_old_grace_does_not_open_a_new_barrier() {
    let mut stage = Stage::new(1, 1, 1);
    stage.fill(0, 3);
    let node = stage.consumer(member("consumer-1", ClientProfile::Native));
    stage.run(SECOND);
    assert!(stage.record(node).is_none(), "its grace of 50 ms begins");
    stage.run(10 * MILLISECOND);
    assert!(matches!(stage.event(node), Some(ConsumerEvent::Assigned(_))));
    assert!(matches!(stage.event(node), Some(ConsumerEvent::Reset { .. })));
    assert!(stage.record(node).is_some());
    stage.run(10 * MILLISECOND);
    let place = node.index() - stage.world.model().shared.servers as usize;
    stage.world.enter(node, |model, ctx| {
        if let Some(Client::Consumer(consumer)) = &mut model.clients[place] {
            consumer.tell_assignment(ConsumerEvent::Assigned(Vec::new()), ctx);
        }
    });
    assert!(stage.record(node).is_none(), "and another one");
    stage.run(40 * MILLISECOND);
    assert!(stage.record(node).is_none(), "the first grace is over, the second is not");
    stage.run(15 * MILLISECOND);
    assert!(stage.record(node).is_some());
}

#[test]
fn e1_a_leader_does_not_wait_for_a_topic_that_is_not_there() {
    for profile in BOTH {
        let mut whole = Whole::new(3, 2);
        let ghost = Topic::new("ghost");
        whole.world.model_mut().shared.names.intern_topic(&ghost);
        let topics = [topic(), ghost];
        let config = ConsumerConfig { profile, ..ConsumerConfig::group("consumer-1", "billing", &topics) };
        let node = whole.consumer(config);
        let mut log = WholeLog::new();
        attend(&mut whole, &[node], 10 * SECOND, &mut log);
        let dealt = log
            .iter()
            .any(|(_, _, event)| matches!(event, ConsumerEvent::Assigned(units) if units.len() == 2));
        assert!(dealt, "{profile:?}: {log:?}");
    }
}

#[test]
fn c1_a_back_off_begins_anew_with_a_connection_in_java() {
    let mut stage = Stage::new(1, 1, 1);
    let config = squall_bus::ProducerConfig {
        profile: ClientProfile::Java,
        ..squall_bus::ProducerConfig::new("producer-1")
    };
    let node = stage.producer(config, |_| {});
    assert!(stage.send_and_wait(node, 1).1.is_ok());
    stage.world.kill(BROKER);
    // Refused again and again: the delay grows to a second.
    let waiting = stage.send(node, 2);
    stage.run(10 * SECOND);
    stage.world.start(BROKER);
    stage.run(3 * SECOND);
    assert!(stage.sent[&waiting].1.is_ok());
    stage.world.kill(BROKER);
    stage.world.start(BROKER);
    let (took, outcome) = stage.send_and_wait(node, 3);
    assert!(outcome.is_ok(), "{outcome:?}");
    assert!(took < 200 * MILLISECOND, "reconnect.backoff.ms is 50 ms, and it took {took:?} on {TOPIC}");
}
