//! Groups of clients on the whole simulated Kafka: static members (E5) and what a restart costs.

use super::whole::{SECOND, STEP, Whole, topic};
use crate::{kernel::NodeId, model::BusModel};
use squall_bus::{Assignor, ClientProfile, ConsumerConfig, ConsumerEvent, Outcome, Time};
use std::{collections::BTreeSet, time::Duration};

fn named(client: &str, instance: &str, profile: ClientProfile) -> ConsumerConfig {
    ConsumerConfig {
        profile,
        instance: Some(instance.to_owned()),
        session_timeout: Some(6 * SECOND),
        heartbeat_interval: Some(2 * SECOND),
        ..ConsumerConfig::group(client, "billing", &[topic()])
    }
}

pub(super) type Log = Vec<(Time, NodeId, ConsumerEvent)>;

pub(super) fn attend(whole: &mut Whole, nodes: &[NodeId], span: Duration, log: &mut Log) {
    let until = whole.world.now() + span;
    while whole.world.now() < until {
        for node in nodes {
            let (mut read, mut events) = (Vec::new(), Vec::new());
            whole.take_alive(*node, &mut read, &mut events);
            log.extend(events.into_iter().map(|event| (whole.world.now(), *node, event)));
        }
        whole.run(STEP);
    }
}

pub(super) fn of(log: &Log, node: NodeId, from: Time) -> Vec<&ConsumerEvent> {
    log.iter().filter(|(at, who, _)| *who == node && *at >= from).map(|(.., event)| event).collect()
}

#[test]
fn e5_a_static_member_comes_back_to_what_it_had() {
    for profile in [ClientProfile::Native, ClientProfile::Java] {
        let mut whole = Whole::new(3, 6);
        let mut log = Log::new();
        let first = whole.consumer(named("consumer-1", "one", profile));
        let second = whole.consumer(named("consumer-2", "two", profile));
        attend(&mut whole, &[first, second], 10 * SECOND, &mut log);
        let share = |log: &Log, node, from| {
            of(log, node, from).into_iter().rev().find_map(|event| match event {
                ConsumerEvent::Assigned(units) => {
                    Some(units.iter().map(|(unit, _)| unit.partition).collect())
                }
                _ => None,
            })
        };
        let before: Option<Vec<u32>> = share(&log, first, Time::ZERO);
        assert_eq!(before.as_ref().map(Vec::len), Some(3));
        let from = whole.world.now();
        whole.world.kill(first);
        attend(&mut whole, &[second], 2 * SECOND, &mut log);
        let again = whole.consumer(named("consumer-1", "one", profile));
        let started = whole.world.now();
        attend(&mut whole, &[again, second], 5 * SECOND, &mut log);
        assert_eq!(share(&log, again, from), before, "{profile:?}");
        let back = log.iter().find(|(_, who, _)| *who == again).expect("an event").0;
        assert!(back.since(started) <= Duration::from_millis(200), "measured 0.06 to 0.1 s");
        assert!(of(&log, second, from).is_empty(), "the other member hears nothing");

        // Not restarted: out after its session.
        let from = whole.world.now();
        whole.world.kill(again);
        attend(&mut whole, &[second], 10 * SECOND, &mut log);
        let taken: Option<Vec<u32>> = share(&log, second, from);
        assert_eq!(taken.map(|taken| taken.len()), Some(6));
        let moved = log.iter().rev().find(|(_, who, _)| *who == second).expect("an event").0;
        let took = moved.since(from).as_millis();
        assert!((4_000..=8_300).contains(&took), "measured 6.7 to 7.9 s: {took} ms");
    }
}

#[test]
fn e5_closing_a_static_member_leaves_its_units_idle() {
    let mut whole = Whole::new(4, 2);
    let mut log = Log::new();
    let first = whole.consumer(named("consumer-1", "one", ClientProfile::Native));
    let second = whole.consumer(named("consumer-2", "two", ClientProfile::Native));
    attend(&mut whole, &[first, second], 10 * SECOND, &mut log);
    let from = whole.world.now();
    whole.close(first);
    attend(&mut whole, &[second], 3 * SECOND, &mut log);
    assert!(of(&log, second, from).is_empty(), "no LeaveGroup was sent");
}

#[test]
fn e5_a_second_process_of_an_instance_finishes_the_first() {
    for (profile, code) in [(ClientProfile::Native, "_FATAL"), (ClientProfile::Java, "FENCED_INSTANCE_ID")] {
        let mut whole = Whole::new(5, 2);
        let mut log = Log::new();
        let first = whole.consumer(named("consumer-1", "one", profile));
        attend(&mut whole, &[first], 5 * SECOND, &mut log);
        let from = whole.world.now();
        let second = whole.consumer(named("consumer-2", "one", profile));
        attend(&mut whole, &[second], SECOND, &mut log);
        assert!(
            of(&log, second, from)
                .iter()
                .any(|e| matches!(e, ConsumerEvent::Assigned(units) if units.len() == 2)),
            "it takes over at once"
        );
        whole.run(3 * SECOND);
        let (mut read, mut events) = (Vec::new(), Vec::new());
        let ended = whole.take_alive(first, &mut read, &mut events).expect("it is finished");
        assert_eq!(ended.code, code, "{profile:?}");
        assert!(events.iter().any(|event| matches!(event, ConsumerEvent::Lost(units) if units.len() == 2)));
        let fenced = |event: &ConsumerEvent| matches!(event, ConsumerEvent::Error(error) if error.code == "FENCED_INSTANCE_ID");
        assert_eq!(events.iter().any(fenced), profile == ClientProfile::Native);
        let commit = whole.commit(first, 1);
        whole.run(SECOND);
        assert!(!whole.outcome(commit).is_ok());
    }
}

/// librdkafka asks for metadata whenever a connection breaks, but lets its group know only what it asked for because of
/// age: measured on a real cluster, and said in its sources.
#[test]
fn a5_a_group_hears_of_more_partitions_from_any_news_in_java_and_by_age_alone_in_librdkafka() {
    for (profile, hears) in [(ClientProfile::Java, true), (ClientProfile::Native, false)] {
        let mut whole = Whole::new(7, 2);
        let mut log = Log::new();
        let config = ConsumerConfig { profile, ..ConsumerConfig::group("consumer-1", "billing", &[topic()]) };
        let member = whole.consumer(config);
        attend(&mut whole, &[member], 10 * SECOND, &mut log);
        whole.world.model_mut().create_partitions(&topic(), 6).expect("it grows");
        let share = |log: &Log| {
            let dealt = log.iter().rev().find_map(|(.., event)| match event {
                ConsumerEvent::Assigned(units) => Some(units.len()),
                _ => None,
            });
            dealt.expect("something was dealt")
        };
        let leader = whole.role("leader(orders/0)");
        whole.world.kill(leader);
        attend(&mut whole, &[member], 30 * SECOND, &mut log);
        assert_eq!(share(&log) == 6, hears, "{profile:?} after a leader was lost");
        attend(&mut whole, &[member], 300 * SECOND, &mut log);
        assert_eq!(share(&log), 6, "{profile:?} after five minutes");
    }
}

/// Commits of healthy members fail in a cooperative rebalance: librdkafka's wait at the broker behind its JoinGroup and
/// carry the old generation; Java's client refuses them itself. Measured on every cooperative rebalance.
#[test]
fn e4_commits_fail_in_a_cooperative_rebalance_without_any_fault() {
    for (profile, expected) in
        [(ClientProfile::Native, "ILLEGAL_GENERATION"), (ClientProfile::Java, "REBALANCE_IN_PROGRESS")]
    {
        let mut whole = Whole::new(6, 6);
        let mut log = Log::new();
        let cooperative = |client| ConsumerConfig {
            assignors: vec![Assignor::CooperativeSticky],
            instance: None,
            ..named(client, "", profile)
        };
        let first = whole.consumer(cooperative("consumer-1"));
        attend(&mut whole, &[first], 8 * SECOND, &mut log);
        let second = whole.consumer(cooperative("consumer-2"));
        let mut commits = Vec::new();
        for _ in 0..200 {
            commits.push(whole.commit(first, 0));
            attend(&mut whole, &[first, second], 3 * STEP, &mut log);
        }
        attend(&mut whole, &[first, second], 2 * SECOND, &mut log);
        let code = |op: &u64| match whole.outcome(*op) {
            Outcome::Ok(()) => None,
            Outcome::Fail(error) => Some(error.code.to_string()),
            Outcome::Unknown(error, _) => panic!("{error}"),
        };
        let codes: BTreeSet<String> = commits.iter().filter_map(code).collect();
        assert!(codes.contains(expected), "{profile:?}: {codes:?}");
        let own = ["ILLEGAL_GENERATION", "REBALANCE_IN_PROGRESS"];
        assert!(codes.iter().all(|code| own.contains(&code.as_str())), "{profile:?}: {codes:?}");
        assert!(!log.iter().any(|(.., event)| matches!(event, ConsumerEvent::Lost(_))), "{profile:?}");
    }
}
