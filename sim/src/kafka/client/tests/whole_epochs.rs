//! Groups of the consumer protocol on the whole simulated Kafka, with both libraries (E6; measured: section 6).

use super::whole::{SECOND, STEP, Whole, topic};
use super::whole_groups::{Log, attend, of};
use crate::kernel::NodeId;
use squall_bus::{Assignor, ClientProfile, ConsumerConfig, ConsumerEvent, GroupProtocol, Outcome, Time};
use std::{collections::BTreeSet, time::Duration};

const BOTH: [ClientProfile; 2] = [ClientProfile::Native, ClientProfile::Java];

fn member(client: &str, profile: ClientProfile) -> ConsumerConfig {
    ConsumerConfig {
        profile,
        protocol: GroupProtocol::Consumer,
        ..ConsumerConfig::group(client, "billing", &[topic()])
    }
}

fn owns(log: &Log, node: NodeId) -> BTreeSet<u32> {
    of(log, node, Time::ZERO).into_iter().fold(BTreeSet::new(), |mut owned, event| {
        match event {
            ConsumerEvent::Assigned(units) => owned.extend(units.iter().map(|(unit, _)| unit.partition)),
            ConsumerEvent::Revoked(units) | ConsumerEvent::Lost(units) => {
                owned.retain(|owned| units.iter().all(|unit| unit.partition != *owned));
            }
            _ => {}
        }
        owned
    })
}

/// When this member last learned of units, since a moment.
fn took(log: &Log, node: NodeId, from: Time) -> Duration {
    let mut told = log.iter().rev().filter(|(at, who, event)| {
        *who == node && *at >= from && matches!(event, ConsumerEvent::Assigned(units) if !units.is_empty())
    });
    told.next().expect("an assignment").0.since(from)
}

fn kinds(log: &Log, node: NodeId, from: Time) -> Vec<&'static str> {
    let kind = |event: &ConsumerEvent| match event {
        ConsumerEvent::Assigned(_) => Some("assigned"),
        ConsumerEvent::Revoked(_) => Some("revoked"),
        ConsumerEvent::Lost(_) => Some("lost"),
        _ => None,
    };
    of(log, node, from).into_iter().filter_map(kind).collect()
}

#[test]
fn e6_a_second_member_gets_its_share_a_heartbeat_later() {
    for profile in BOTH {
        let mut whole = Whole::new(3, 6);
        let mut log = Log::new();
        let begin = whole.world.now();
        let first = whole.consumer(member("consumer-1", profile));
        attend(&mut whole, &[first], 7 * SECOND, &mut log);
        assert_eq!(owns(&log, first).len(), 6);
        assert!(took(&log, first, begin) <= Duration::from_millis(400), "measured 0.05 to 0.3 s");

        let from = whole.world.now();
        let second = whole.consumer(member("consumer-2", profile));
        attend(&mut whole, &[first, second], 12 * SECOND, &mut log);
        assert_eq!((owns(&log, first).len(), owns(&log, second).len()), (3, 3));
        let took = took(&log, second, from).as_millis();
        assert!((1_000..=10_100).contains(&took), "measured 5 to 8 s: {took} ms");
        assert_eq!(kinds(&log, first, from), ["revoked"], "it reads on in the rest");
        let told: &[&str] =
            if profile == ClientProfile::Java { &["assigned", "assigned"] } else { &["assigned"] };
        assert_eq!(kinds(&log, second, from), told, "{profile:?}");

        // A clean leave.
        let from = whole.world.now();
        whole.close(second);
        attend(&mut whole, &[first], 6 * SECOND, &mut log);
        assert_eq!(owns(&log, first).len(), 6);

        // A killed member is missed after its session of 45 s.
        let third = whole.consumer(member("consumer-3", profile));
        attend(&mut whole, &[first, third], 12 * SECOND, &mut log);
        assert_eq!(owns(&log, third).len(), 3);
        assert!(whole.world.now() > from);
        let from = whole.world.now();
        whole.world.kill(third);
        attend(&mut whole, &[first], 51 * SECOND, &mut log);
        let took = self::took(&log, first, from).as_millis();
        assert!((39_900..=50_100).contains(&took), "measured 42.6 to 48.6 s: {took} ms");
    }
}

#[test]
fn e6_a_zombie_hears_25_and_comes_back() {
    for profile in BOTH {
        let refused = match profile {
            ClientProfile::Java => "CommitFailedException",
            _ => "UNKNOWN_MEMBER_ID",
        };
        let mut whole = Whole::new(4, 2);
        let mut log = Log::new();
        let zombie = whole.consumer(member("consumer-1", profile));
        let other = whole.consumer(member("consumer-2", profile));
        attend(&mut whole, &[zombie, other], 15 * SECOND, &mut log);
        assert_eq!(owns(&log, zombie).len(), 1);
        whole.world.pause(zombie);
        attend(&mut whole, &[other], 52 * SECOND, &mut log);
        assert_eq!(owns(&log, other).len(), 2);
        let from = whole.world.now();
        whole.world.resume(zombie);
        let commit = whole.commit(zombie, 0);
        whole.run(STEP);
        assert!(
            matches!(whole.outcome(commit), Outcome::Fail(error) if error.code == refused),
            "{profile:?}: 25 and not 110"
        );
        attend(&mut whole, &[zombie, other], 12 * SECOND, &mut log);
        assert_eq!(kinds(&log, zombie, from)[0], "lost");
        assert_eq!((owns(&log, zombie).len(), owns(&log, other).len()), (1, 1));
        assert!(took(&log, zombie, from) <= 10 * SECOND, "measured 5.0 to 5.4 s");
    }
}

/// A caller that takes its time with a revocation blocks what it gives up, and nothing else.
#[test]
fn e6_a_slow_revoker_blocks_only_its_own() {
    let mut whole = Whole::new(5, 3);
    let mut log = Log::new();
    let slow = whole.consumer(member("consumer-1", ClientProfile::Native));
    attend(&mut whole, &[slow], 7 * SECOND, &mut log);
    let second = whole.consumer(member("consumer-2", ClientProfile::Native));
    // It is told, and does not come back for the next event.
    attend(&mut whole, &[second], 10 * SECOND, &mut log);
    assert_eq!(owns(&log, second).len(), 0);
    attend(&mut whole, &[slow, second], 12 * SECOND, &mut log);
    assert_eq!((owns(&log, slow).len(), owns(&log, second).len()), (2, 1));
}

#[test]
fn e6_an_assignor_that_the_coordinator_has_not_finishes_the_client() {
    let mut whole = Whole::new(6, 2);
    let config =
        ConsumerConfig { assignors: vec![Assignor::RoundRobin], ..member("consumer-1", ClientProfile::Java) };
    let odd = whole.consumer(config);
    whole.run(2 * SECOND);
    let ended = whole.take_alive(odd, &mut Vec::new(), &mut Vec::new()).expect("it is finished");
    assert_eq!(ended.code, "UNSUPPORTED_ASSIGNOR");
}

#[test]
fn e6_a_static_member_comes_back_to_what_it_had() {
    let mut whole = Whole::new(7, 4);
    let mut log = Log::new();
    let named = |client, instance: &str| ConsumerConfig {
        instance: Some(instance.to_owned()),
        ..member(client, ClientProfile::Java)
    };
    let first = whole.consumer(named("consumer-1", "one"));
    let second = whole.consumer(named("consumer-2", "two"));
    attend(&mut whole, &[first, second], 15 * SECOND, &mut log);
    let had = owns(&log, first);
    assert_eq!(had.len(), 2);
    // A clean close says -2: it will be back.
    let from = whole.world.now();
    whole.close(first);
    attend(&mut whole, &[second], 20 * SECOND, &mut log);
    let again = whole.consumer(named("consumer-1", "one"));
    attend(&mut whole, &[again, second], 6 * SECOND, &mut log);
    assert_eq!(owns(&log, again), had);
    assert!(kinds(&log, second, from).is_empty(), "the other member hears nothing");
    // A second process of a living instance is refused (111).
    let odd = whole.consumer(named("consumer-3", "one"));
    whole.run(2 * SECOND);
    let ended = whole.take_alive(odd, &mut Vec::new(), &mut Vec::new()).expect("it is finished");
    assert_eq!(ended.code, "UNRELEASED_INSTANCE_ID");
}

#[test]
fn e6_commits_carry_the_member_epoch() {
    let mut whole = Whole::new(8, 2);
    let mut log = Log::new();
    let first = whole.consumer(member("consumer-1", ClientProfile::Native));
    attend(&mut whole, &[first], 7 * SECOND, &mut log);
    let commit = whole.commit(first, 0);
    whole.run(SECOND);
    assert!(whole.outcome(commit).is_ok());
    let second = whole.consumer(member("consumer-2", ClientProfile::Native));
    let mut commits = Vec::new();
    for _ in 0..40 {
        commits.push(whole.commit(first, 0));
        attend(&mut whole, &[first, second], Duration::from_millis(250), &mut log);
    }
    for op in commits {
        match whole.outcome(op) {
            Outcome::Ok(()) => {}
            Outcome::Fail(error) => assert_eq!(error.code, "STALE_MEMBER_EPOCH"),
            Outcome::Unknown(error, _) => panic!("{error}"),
        }
    }
}
