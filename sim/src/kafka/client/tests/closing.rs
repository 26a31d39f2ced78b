//! A producer's full buffer and its end: who is told of room, and what a close waits for.

use super::stage::Stage;
use crate::kernel::NodeId;
use squall_bus::{ClientProfile, Outcome, ProducerConfig};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const PROFILES: [ClientProfile; 3] = [ClientProfile::Native, ClientProfile::Java, ClientProfile::Java3];

fn config(profile: ClientProfile) -> ProducerConfig {
    ProducerConfig { profile, ..ProducerConfig::new("producer-1") }
}

/// Callers that wait for room are woken by what leaves a full buffer, and by nothing else.
#[test]
fn c5_a_full_buffer_says_when_there_is_room() {
    for profile in PROFILES {
        let (mut stage, producer) = Stage::of_producer(ProducerConfig { buffer: 2, ..config(profile) });
        let before = stage.rooms;
        assert!(stage.send_and_wait(producer, 1).1.is_ok());
        assert_eq!(stage.rooms, before, "it was not full");
        stage.world.pause(NodeId(0));
        stage.send(producer, 2);
        stage.send(producer, 3);
        stage.run(SECOND);
        assert_eq!((stage.rooms, stage.state(producer).has_room()), (before, Ok(false)));
        stage.world.resume(NodeId(0));
        stage.run(SECOND);
        assert_eq!((stage.rooms, stage.state(producer).has_room()), (before + 1, Ok(true)), "{profile:?}");
    }
}

/// What lingers is sent at once, and the close is done when every record has its outcome.
#[test]
fn c1_a_close_sends_what_lingers_and_waits_for_it() {
    for profile in PROFILES {
        let config = ProducerConfig { linger: Some(100 * SECOND), ..config(profile) };
        let (mut stage, producer) = Stage::of_producer(config);
        let ops: Vec<u64> = (0..3).map(|value| stage.send(producer, value)).collect();
        stage.run(SECOND);
        assert!(stage.sent.is_empty() && stage.log().is_empty(), "it lingers");
        let close = stage.close(producer);
        assert!(!stage.done.contains_key(&close), "not before its records have arrived");
        stage.run(SECOND);
        assert_eq!(stage.done[&close].1, Outcome::Ok(()), "{profile:?}");
        assert!(ops.iter().all(|op| stage.sent[op].1.is_ok()));
        assert_eq!(stage.log(), [0, 1, 2]);
    }
}
