//! What automatic commits cover (E8), and what a caller that is away costs (E3).

use super::membership::{BOTH, Log, SECOND, events, member};
use super::stage::Stage;
use squall_bus::{ClientProfile, ConsumerConfig, ConsumerEvent, Time};
use std::time::Duration;

fn automatic(profile: ClientProfile) -> ConsumerConfig {
    ConsumerConfig { auto_commit: Some(5 * SECOND), ..member("consumer-1", profile) }
}

/// A consumer that has taken its assignment and so many records, one by one.
fn reading(stage: &mut Stage, config: ConsumerConfig, records: u64) -> crate::kernel::NodeId {
    stage.fill(0, 20);
    let consumer = stage.consumer(config);
    stage.run(SECOND);
    assert!(matches!(stage.event(consumer), Some(ConsumerEvent::Assigned(_))));
    stage.run(Duration::from_millis(100));
    (0..records).for_each(|_| drop(stage.record(consumer).expect("a record")));
    consumer
}

fn committed(stage: &Stage) -> Option<u64> {
    stage.world.model().coordinator.committed.get(&stage.id(0)).map(|kept| kept.offset)
}

/// The window: librdkafka commits a record that its caller has in hand, so a crash before it is done loses it; Java
/// commits it when the caller comes back for more, so a crash repeats it.
#[test]
fn e8_a_crash_loses_or_repeats_the_record_in_hand() {
    for (profile, next_reader_begins_at) in [(ClientProfile::Native, 4), (ClientProfile::Java, 3)] {
        let mut stage = Stage::new(1, 1, 1);
        let consumer = reading(&mut stage, automatic(profile), 4);
        assert_eq!(committed(&stage), None, "nothing before 5 s");
        stage.run(5 * SECOND);
        assert_eq!(committed(&stage), Some(next_reader_begins_at), "{profile:?}");
        stage.world.kill(consumer);
        stage.run(10 * SECOND);
        let mut log = Log::new();
        let second = stage.consumer(member("consumer-2", profile));
        stage.attend(&[second], 2 * SECOND, &mut log);
        let first = log.iter().find_map(|(_, _, what)| match what {
            super::stage::Seen::Record(_, offset) => Some(*offset),
            super::stage::Seen::Event(_) => None,
        });
        // The record in hand was 3.
        assert_eq!(first, Some(next_reader_begins_at), "{profile:?}");
    }
}

#[test]
fn e8_a_close_commits_what_was_handed_out() {
    for profile in BOTH {
        let mut stage = Stage::new(1, 1, 1);
        let consumer = reading(&mut stage, automatic(profile), 4);
        stage.close(consumer);
        stage.run(SECOND);
        assert_eq!(committed(&stage), Some(4), "{profile:?}");
    }
}

#[test]
fn e8_a_revocation_commits_before_it() {
    for (profile, position) in [(ClientProfile::Native, 4), (ClientProfile::Java, 3)] {
        let mut stage = Stage::new(1, 1, 1);
        let consumer = reading(&mut stage, automatic(profile), 4);
        stage.consumer(member("consumer-2", profile));
        stage.run(3 * SECOND);
        let told: Vec<Option<ConsumerEvent>> = (0..3).map(|_| stage.event(consumer)).collect();
        assert!(told.iter().flatten().any(|event| matches!(event, ConsumerEvent::Revoked(_))), "{told:?}");
        stage.run(SECOND);
        assert_eq!(committed(&stage), Some(position), "{profile:?}");
    }
}

/// A member that does not poll for `max.poll.interval.ms` leaves its group by itself; what its caller commits then fails.
#[test]
fn e3_a_member_that_stops_polling_leaves() {
    for profile in BOTH {
        let mut stage = Stage::new(1, 1, 1);
        let config = ConsumerConfig { max_poll_interval: Some(10 * SECOND), ..member("consumer-1", profile) };
        let consumer = reading(&mut stage, config, 1);
        let begin = stage.world.now();
        while stage.world.model().coordinator.members() == 1 {
            stage.run(Duration::from_millis(100));
        }
        let took = stage.world.now().since(begin).as_millis();
        assert!((9_800..=10_200).contains(&took), "{took} ms");
        let commit = stage.commit(consumer, 0, 1);
        stage.run(SECOND);
        assert!(!stage.done[&commit].1.is_ok(), "{profile:?}");
        let mut log = Log::new();
        stage.attend(&[consumer], 3 * SECOND, &mut log);
        assert_eq!(events(&log, consumer, Time::ZERO)[..2], ["lost", "assigned"], "{profile:?}");
    }
}

#[test]
fn e3_the_default_interval_is_five_minutes() {
    for profile in BOTH {
        let library = super::super::defaults::consumer(profile);
        assert_eq!(library.max_poll_interval, 300 * SECOND);
        assert_eq!((library.session_timeout, library.heartbeat_interval), (45 * SECOND, 3 * SECOND));
    }
}

/// The habit of librdkafka issue 5604: what a member was doing in units that it lost goes along with its next commit, over
/// what their new owner has committed.
#[test]
fn e8_a_lost_owner_commits_over_the_new_one_only_by_its_bug() {
    for (forgets, kept) in [(true, 20), (false, 4)] {
        let mut stage = Stage::new(4, 1, 2);
        stage.world.model_mut().shared.rules.clients_forget_lost_positions = forgets;
        stage.fill(0, 20);
        let automatic =
            |client| ConsumerConfig { auto_commit: Some(SECOND), ..member(client, ClientProfile::Native) };
        let mut log = Log::new();
        let zombie = stage.consumer(automatic("consumer-1"));
        stage.run(SECOND);
        assert!(matches!(stage.event(zombie), Some(ConsumerEvent::Assigned(_))));
        stage.run(Duration::from_millis(100));
        (0..4).for_each(|_| drop(stage.record(zombie).expect("a record")));
        stage.world.pause(zombie);
        let other = stage.consumer(automatic("consumer-2"));
        stage.attend(&[other], 12 * SECOND, &mut log);
        assert_eq!(committed(&stage), Some(20));
        stage.world.resume(zombie);
        stage.attend(&[zombie, other], 10 * SECOND, &mut log);
        assert_eq!(committed(&stage), Some(kept));
    }
}
