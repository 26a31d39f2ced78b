//! When a member's heartbeats go out (E2): every interval, and what keeps them.

use super::super::super::error::ErrorCode;
use super::membership::{BOTH, Log, SECOND, events, member};
use super::stage::Stage;
use crate::kernel::NodeId;
use squall_bus::{ClientProfile, Time};
use std::time::Duration;

const BROKER: NodeId = NodeId(0);
const MILLISECOND: Duration = Duration::from_millis(1);

/// A member whose heartbeats are two seconds apart, two of which have come.
fn beating(profile: ClientProfile) -> (Stage, NodeId, Log, Time) {
    let mut stage = Stage::new(4, 1, 2);
    let mut log = Log::new();
    let node = stage.consumer(member("consumer-1", profile));
    stage.attend(&[node], 4_500 * MILLISECOND, &mut log);
    let beats = &stage.world.model().coordinator.beats;
    assert_eq!(beats.len(), 2, "{profile:?}: {beats:?}");
    let last = beats[1];
    (stage, node, log, last)
}

/// The heartbeats that came after a moment, in milliseconds after it.
fn beats(stage: &Stage, after: Time) -> Vec<u128> {
    let beats = stage.world.model().coordinator.beats.iter().filter(|at| **at > after);
    beats.map(|at| at.since(after).as_millis()).collect()
}

/// Java's thread looks again every `retry.backoff.ms` whether it knows a coordinator; librdkafka serves the group when its
/// broker is up. Either way one that was due goes out then, and the next an interval after it.
#[test]
fn e2_a_heartbeat_that_was_due_without_a_coordinator_goes_out_when_there_is_one() {
    for profile in BOTH {
        let (mut stage, node, mut log, last) = beating(profile);
        let due = last + 2 * SECOND;
        stage.world.kill(BROKER);
        stage.attend(&[node], due.since(stage.world.now()) + 20 * MILLISECOND, &mut log);
        stage.world.start(BROKER);
        let from = stage.world.now();
        stage.attend(&[node], 4_900 * MILLISECOND, &mut log);
        let beats = beats(&stage, from);
        assert!(beats[0] < 1_700, "{profile:?}: with the connection, not an interval later: {beats:?}");
        let between = beats[1] - beats[0];
        assert!((1_990..=2_010).contains(&between), "{profile:?}: an interval after that: {beats:?}");
        assert_eq!(events(&log, node, Time::ZERO), ["assigned"], "{profile:?}");
    }
}

/// `Heartbeat.failHeartbeat` of Java: after `retry.backoff.ms` again. librdkafka waits for the interval.
#[test]
fn e2_java_repeats_a_heartbeat_that_failed_and_librdkafka_sends_the_next() {
    for profile in BOTH {
        let (mut stage, node, mut log, last) = beating(profile);
        let due = last + 2 * SECOND;
        stage.attend(&[node], due.since(stage.world.now()) - 50 * MILLISECOND, &mut log);
        stage.world.pause(BROKER);
        stage.attend(&[node], 100 * MILLISECOND, &mut log);
        stage.world.kill(BROKER);
        stage.attend(&[node], 10 * MILLISECOND, &mut log);
        stage.world.start(BROKER);
        stage.attend(&[node], 3 * SECOND, &mut log);
        let first = beats(&stage, due)[0];
        match profile {
            ClientProfile::Native => assert!((1_990..=2_010).contains(&first), "{first} ms"),
            ClientProfile::Java | ClientProfile::Java3 => assert!((100..=700).contains(&first), "{first} ms"),
        }
    }
}

/// A wake-up that is armed already, for later, is not the one that a back-off needs.
#[test]
fn e1_a_member_that_backs_off_wakes_at_the_earlier_of_two_times() {
    let mut stage = Stage::new(4, 1, 1);
    let mut log = Log::new();
    let node = stage.consumer(member("consumer-1", ClientProfile::Native));
    // Somebody is to look for the coordinator again a second after it was first asked for.
    stage.attend(&[node], 300 * MILLISECOND, &mut log);
    assert_eq!(events(&log, node, Time::ZERO), ["assigned"]);
    stage.world.model_mut().coordinator.refuse_commits = Some((1, ErrorCode::CoordinatorLoadInProgress));
    let commit = stage.commit(node, 0, 0);
    stage.run(150 * MILLISECOND);
    assert!(stage.done.get(&commit).is_some_and(|(_, outcome)| outcome.is_ok()), "{:?}", stage.done);
}
