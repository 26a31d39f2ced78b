//! Groups (measured: section 6; golden case G9; reference E1 to E3, E8).

use super::super::super::error::ErrorCode;
use super::stage::{Seen, Stage, TOPIC};
use crate::kernel::NodeId;
use squall_bus::{ClientProfile, ConsumerConfig, ConsumerEvent, Outcome, Position, Time, Topic, Unit};
use std::time::Duration;

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const BOTH: [ClientProfile; 2] = [ClientProfile::Native, ClientProfile::Java];

/// As measured: session 6 s, heartbeat 2 s.
pub(super) fn member(client: &str, profile: ClientProfile) -> ConsumerConfig {
    ConsumerConfig {
        profile,
        session_timeout: Some(6 * SECOND),
        heartbeat_interval: Some(2 * SECOND),
        ..ConsumerConfig::group(client, "billing", &[Topic::new(TOPIC)])
    }
}

pub(super) type Log = Vec<(Time, NodeId, Seen)>;

/// The units of the last `Assigned` of a node after a moment, and when it came.
pub(super) fn assigned(log: &Log, node: NodeId, after: Time) -> Option<(Time, Vec<u32>)> {
    log.iter().rev().find_map(|(at, who, what)| match what {
        Seen::Event(ConsumerEvent::Assigned(units)) if *who == node && *at >= after => {
            Some((*at, units.iter().map(|(unit, _)| unit.partition).collect()))
        }
        _ => None,
    })
}

pub(super) fn events(log: &Log, node: NodeId, after: Time) -> Vec<&'static str> {
    log.iter()
        .filter(|(at, who, _)| *who == node && *at >= after)
        .filter_map(|(_, _, what)| match what {
            Seen::Event(ConsumerEvent::Assigned(_)) => Some("assigned"),
            Seen::Event(ConsumerEvent::Revoked(_)) => Some("revoked"),
            Seen::Event(ConsumerEvent::Lost(_)) => Some("lost"),
            _ => None,
        })
        .collect()
}

/// How long after `from` every one of these nodes had its last assignment.
pub(super) fn settled(log: &Log, nodes: &[NodeId], from: Time) -> Duration {
    let last = nodes.iter().map(|node| assigned(log, *node, from).expect("an assignment").0).max();
    last.expect("nodes").since(from)
}

#[test]
fn members_come_and_go() {
    for profile in BOTH {
        let mut stage = Stage::new(4, 1, 6);
        let mut log = Log::new();
        let first = stage.consumer(member("consumer-1", profile));
        let from = stage.world.now();
        stage.attend(&[first], 5 * SECOND, &mut log);
        assert_eq!(assigned(&log, first, from).expect("assigned").1, [0, 1, 2, 3, 4, 5]);
        assert!(settled(&log, &[first], from) <= Duration::from_millis(400), "measured 0.1 to 0.4 s");

        let from = stage.world.now();
        let second = stage.consumer(member("consumer-2", profile));
        stage.attend(&[first, second], 5 * SECOND, &mut log);
        let shares = [first, second].map(|node| assigned(&log, node, from).expect("assigned").1);
        assert_eq!(shares, [vec![0, 1, 2], vec![3, 4, 5]]);
        assert_eq!(events(&log, first, from), ["revoked", "assigned"]);
        let took = settled(&log, &[first, second], from);
        assert!(took <= Duration::from_millis(2_300), "one heartbeat interval: {took:?}");

        let from = stage.world.now();
        stage.close(second);
        stage.attend(&[first], 5 * SECOND, &mut log);
        let took = settled(&log, &[first], from);
        assert!(took <= Duration::from_millis(2_100), "measured 0.4 to 1.6 s: {took:?}");
        assert_eq!(stage.world.life(second), crate::kernel::Life::Down);

        let third = stage.consumer(member("consumer-3", profile));
        stage.attend(&[first, third], 5 * SECOND, &mut log);
        let from = stage.world.now();
        stage.world.kill(third);
        stage.attend(&[first], 12 * SECOND, &mut log);
        assert_eq!(assigned(&log, first, from).expect("assigned").1.len(), 6);
        let took = settled(&log, &[first], from).as_millis();
        assert!((4_000..=8_200).contains(&took), "measured 6.4 to 8.1 s: {took} ms");
    }
}

/// G9: a member that is stopped for longer than its session. Its first commit fails with 25, which Java calls
/// `CommitFailedException`, then with 22 or 27
/// until it is back; it hears of a loss, not of a revocation.
#[test]
fn a_zombies_commit_fails_and_its_units_are_lost() {
    for (profile, refused, outside) in [
        (ClientProfile::Native, "UNKNOWN_MEMBER_ID", "ILLEGAL_GENERATION"),
        (ClientProfile::Java, "CommitFailedException", "REBALANCE_IN_PROGRESS"),
    ] {
        let mut stage = Stage::new(4, 1, 6);
        let mut log = Log::new();
        let zombie = stage.consumer(member("consumer-1", profile));
        let other = stage.consumer(member("consumer-2", profile));
        stage.attend(&[zombie, other], 10 * SECOND, &mut log);
        let from = stage.world.now();
        stage.world.pause(zombie);
        stage.attend(&[other], 9 * SECOND, &mut log);
        let (at, units) = assigned(&log, other, from).expect("taken over");
        assert_eq!(units.len(), 6);
        let took = at.since(from).as_millis();
        assert!((4_000..=8_500).contains(&took), "{took} ms");

        stage.world.resume(zombie);
        let commit = stage.commit(zombie, 0, 1);
        stage.run(Duration::from_millis(5));
        let code = |stage: &Stage, op| match &stage.done[&op].1 {
            Outcome::Fail(error) => error.code.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(code(&stage, commit), refused, "{profile:?}");
        let commit = stage.commit(zombie, 0, 1);
        stage.run(Duration::from_millis(5));
        assert_eq!(code(&stage, commit), outside);

        let from = stage.world.now();
        stage.attend(&[zombie, other], 5 * SECOND, &mut log);
        assert_eq!(events(&log, zombie, from), ["lost", "assigned"]);
        let took = settled(&log, &[zombie], from);
        assert!(took <= Duration::from_millis(2_300), "measured 0.4 to 2.1 s: {took:?}");
        let share = assigned(&log, zombie, from).expect("back").1;
        let commit = stage.commit(zombie, share[0], 1);
        stage.run(SECOND);
        assert!(stage.done[&commit].1.is_ok());
    }
}

/// A commit that nobody answers is given up after a minute, also one that comes when all others are done.
#[test]
fn every_commit_has_a_minute_of_its_own() {
    for profile in [ClientProfile::Native, ClientProfile::Java] {
        let mut stage = Stage::new(1, 1, 1);
        let mut log = Log::new();
        let consumer = stage.consumer(member("consumer-1", profile));
        stage.attend(&[consumer], 5 * SECOND, &mut log);
        let first = stage.commit(consumer, 0, 1);
        stage.attend(&[consumer], 61 * SECOND, &mut log);
        assert!(stage.done[&first].1.is_ok());
        stage.world.pause(NodeId(0));
        let from = stage.world.now();
        let late = stage.commit(consumer, 0, 2);
        stage.attend(&[consumer], 61 * SECOND, &mut log);
        let (at, outcome) = &stage.done[&late];
        assert!(matches!(outcome, Outcome::Unknown(..)), "{profile:?}: {outcome:?}");
        assert_eq!(at.since(from), 60 * SECOND, "{profile:?}");
    }
}

/// A group goes on where it committed; without a position the policy decides, and the caller is told.
#[test]
fn a_group_goes_on_where_it_committed() {
    let mut stage = Stage::new(1, 1, 2);
    stage.fill(0, 5);
    stage.fill(1, 5);
    let mut log = Log::new();
    let first = stage.consumer(member("consumer-1", ClientProfile::Native));
    stage.attend(&[first], SECOND, &mut log);
    let commit = stage.commit(first, 0, 3);
    stage.run(SECOND);
    assert!(stage.done[&commit].1.is_ok());
    stage.close(first);
    stage.run(SECOND);

    let mut log = Log::new();
    let second = stage.consumer(member("consumer-2", ClientProfile::Native));
    stage.attend(&[second], SECOND, &mut log);
    let read: Vec<(u32, u64)> = log
        .iter()
        .filter_map(|(_, _, what)| match what {
            Seen::Record(partition, offset) => Some((*partition, *offset)),
            Seen::Event(_) => None,
        })
        .collect();
    let of = |wanted| read.iter().filter(|(p, _)| *p == wanted).map(|(_, o)| *o).collect::<Vec<_>>();
    assert_eq!((of(0), of(1)), (vec![3, 4], vec![0, 1, 2, 3, 4]));
    let unit = Unit::new(&Topic::new(TOPIC), 1);
    let reset = ConsumerEvent::Reset { unit, from: None, to: Position(0) };
    assert_eq!(
        log.iter().filter(|(_, _, what)| matches!(what, Seen::Event(ConsumerEvent::Reset { .. }))).count(),
        1
    );
    assert!(log.iter().any(|(_, _, what)| *what == Seen::Event(reset.clone())));
}

/// E8: what an automatic commit covers differs by one record: the one that the caller is working on.
#[test]
fn automatic_commits_cover_the_record_in_hand_or_not() {
    for (profile, committed) in [(ClientProfile::Native, 3), (ClientProfile::Java, 2)] {
        let mut stage = Stage::new(1, 1, 1);
        stage.fill(0, 10);
        let consumer =
            stage.consumer(ConsumerConfig { auto_commit: Some(SECOND), ..member("consumer-1", profile) });
        stage.run(Duration::from_millis(500));
        assert!(matches!(stage.event(consumer), Some(ConsumerEvent::Assigned(_))));
        stage.run(Duration::from_millis(100));
        (0..3).for_each(|_| drop(stage.record(consumer).expect("a record")));
        stage.run(SECOND);
        let kept = stage.world.model().coordinator.committed.get(&stage.id(0)).map(|kept| kept.offset);
        assert_eq!(kept, Some(committed), "{profile:?}");
    }
}

/// The order of events and records: nothing of a unit before its `Assigned` is taken.
#[test]
fn no_record_comes_before_its_assignment_is_taken() {
    let mut stage = Stage::new(1, 1, 1);
    stage.fill(0, 3);
    let consumer = stage.consumer(member("consumer-1", ClientProfile::Native));
    stage.run(SECOND);
    assert!(stage.record(consumer).is_none());
    assert!(matches!(stage.event(consumer), Some(ConsumerEvent::Assigned(_))));
    assert!(matches!(stage.event(consumer), Some(ConsumerEvent::Reset { .. })));
    assert!(stage.record(consumer).is_some());
}

/// A caller that never takes events gets its records all the same, and takes part in rebalances.
#[test]
fn a_caller_that_takes_no_events_is_not_waited_for() {
    let mut stage = Stage::new(1, 1, 2);
    stage.fill(0, 1);
    stage.fill(1, 1);
    let deaf = stage.consumer(member("consumer-1", ClientProfile::Native));
    stage.run(SECOND);
    assert!(stage.record(deaf).is_none());
    stage.run(super::super::doors::GRACE);
    assert!(stage.record(deaf).is_some() && stage.record(deaf).is_some());
    let mut log = Log::new();
    let second = stage.consumer(member("consumer-2", ClientProfile::Native));
    for _ in 0..300 {
        let _ = stage.record(deaf);
        stage.attend(&[second], Duration::from_millis(10), &mut log);
    }
    assert_eq!(assigned(&log, second, Time::ZERO).expect("assigned").1, [1]);
}

/// A last commit is possible while a revocation is dealt with; the member rejoins when the caller comes back.
#[test]
fn a_revocation_waits_for_its_caller() {
    let mut stage = Stage::new(1, 1, 2);
    let mut log = Log::new();
    let first = stage.consumer(member("consumer-1", ClientProfile::Native));
    stage.attend(&[first], SECOND, &mut log);
    let second = stage.consumer(member("consumer-2", ClientProfile::Native));
    let mut revoked = None;
    for _ in 0..300 {
        stage.run(Duration::from_millis(10));
        revoked = revoked.or_else(|| stage.event(first));
        if revoked.is_some() {
            break;
        }
    }
    assert!(matches!(revoked, Some(ConsumerEvent::Revoked(units)) if units.len() == 2));
    stage.attend(&[second], 3 * SECOND, &mut log);
    assert!(assigned(&log, second, Time::ZERO).is_none(), "the first member is still dealing with it");
    let commit = stage.commit(first, 0, 0);
    stage.run(Duration::from_millis(5));
    assert!(stage.done[&commit].1.is_ok());
    stage.attend(&[first, second], SECOND, &mut log);
    assert_eq!(assigned(&log, second, Time::ZERO).expect("assigned").1, [1]);
}

/// E3: a caller that holds a record for longer than `max.poll.interval` loses its membership, and gets it back
/// when it asks again.
#[test]
fn a_caller_that_stays_away_loses_its_membership() {
    let mut stage = Stage::new(1, 1, 1);
    stage.fill(0, 3);
    let config = ConsumerConfig {
        max_poll_interval: Some(10 * SECOND),
        ..member("consumer-1", ClientProfile::Native)
    };
    let consumer = stage.consumer(config);
    stage.run(SECOND);
    assert!(matches!(stage.event(consumer), Some(ConsumerEvent::Assigned(_))));
    assert!(stage.record(consumer).is_some());
    stage.run(9 * SECOND);
    assert_eq!(stage.world.model().coordinator.members(), 1);
    stage.run(2 * SECOND);
    assert_eq!(stage.world.model().coordinator.members(), 0);
    let codes: Vec<Option<ConsumerEvent>> = (0..3).map(|_| stage.event(consumer)).collect();
    assert!(matches!(&codes[0], Some(ConsumerEvent::Reset { .. })), "{codes:?}");
    assert!(matches!(&codes[1], Some(ConsumerEvent::Error(error)) if error.code == "_MAX_POLL_EXCEEDED"));
    assert!(matches!(&codes[2], Some(ConsumerEvent::Lost(_))));
    stage.run(5 * SECOND);
    assert_eq!(stage.world.model().coordinator.members(), 0, "its caller has not come back");
    let mut log = Log::new();
    stage.attend(&[consumer], SECOND, &mut log);
    assert_eq!(events(&log, consumer, Time::ZERO), ["assigned"]);

    // A caller that waits for a record is not away.
    stage.attend(&[consumer], 30 * SECOND, &mut log);
    assert_eq!(events(&log, consumer, Time::ZERO), ["assigned"]);
}

/// E7: trouble with the coordinator stays inside the client; a refusal comes out.
#[test]
fn commits_outlast_the_coordinators_trouble() {
    use ClientProfile::{Java, Native};
    for (profile, code, times, ok) in [
        (Native, ErrorCode::CoordinatorLoadInProgress, 2, true),
        (Native, ErrorCode::CoordinatorLoadInProgress, 3, false),
        (Java, ErrorCode::CoordinatorLoadInProgress, 20, true),
        (Native, ErrorCode::NotCoordinator, 3, true),
        (Native, ErrorCode::IllegalGeneration, 1, false),
    ] {
        let mut stage = Stage::new(1, 1, 1);
        let mut log = Log::new();
        let consumer = stage.consumer(member("consumer-1", profile));
        stage.attend(&[consumer], SECOND, &mut log);
        stage.world.model_mut().coordinator.refuse_commits = Some((times, code));
        let commit = stage.commit(consumer, 0, 0);
        stage.attend(&[consumer], 25 * SECOND, &mut log);
        match &stage.done[&commit].1 {
            Outcome::Ok(()) => assert!(ok, "{profile:?} {code}"),
            Outcome::Fail(error) => assert_eq!((ok, &*error.code), (false, code.name()), "{profile:?}"),
            Outcome::Unknown(error, _) => panic!("{profile:?}: every attempt was refused: {error}"),
        }
    }
}

/// A coordinator that gives up waiting for the copies may have committed: the refusal of the next attempt does not say
/// that nothing happened.
#[test]
fn a_refusal_after_a_doubtful_attempt_is_unknown() {
    for (first, is_unknown) in
        [(ErrorCode::CoordinatorNotAvailable, true), (ErrorCode::CoordinatorLoadInProgress, false)]
    {
        let mut stage = Stage::new(1, 1, 1);
        let mut log = Log::new();
        let consumer = stage.consumer(member("consumer-1", ClientProfile::Native));
        stage.attend(&[consumer], SECOND, &mut log);
        stage.world.model_mut().coordinator.refuse_commits = Some((1, first));
        let commit = stage.commit(consumer, 0, 0);
        stage.run(Duration::from_millis(5));
        stage.world.model_mut().coordinator.refuse_commits = Some((1, ErrorCode::UnknownMemberId));
        stage.attend(&[consumer], 5 * SECOND, &mut log);
        let outcome = &stage.done[&commit].1;
        assert_eq!(matches!(outcome, Outcome::Unknown(..)), is_unknown, "{first}: {outcome:?}");
        assert!(!outcome.is_ok());
    }
}

/// A commit that no coordinator answers is unknown in the end.
#[test]
fn an_unanswered_commit_is_unknown() {
    let mut stage = Stage::new(1, 1, 1);
    let mut log = Log::new();
    let consumer = stage.consumer(member("consumer-1", ClientProfile::Native));
    stage.attend(&[consumer], SECOND, &mut log);
    stage.world.pause(NodeId(0));
    let commit = stage.commit(consumer, 0, 0);
    stage.run(70 * SECOND);
    assert!(matches!(&stage.done[&commit].1, Outcome::Unknown(error, None) if error.code == "_TIMED_OUT"));
}
