//! How long a client waits for a connection to come up (C1).

use super::super::Client;
use super::stage::Stage;
use crate::kernel::NodeId;
use squall_bus::{ClientProfile, ProducerConfig, Time};
use std::time::Duration;

const BROKER: NodeId = NodeId(0);

/// For how long a client that finds the only broker like this tries to connect before it gives that up, by attempt, in
/// milliseconds.
fn attempts(profile: ClientProfile, like: impl Fn(&mut Stage), span: u64) -> Vec<u128> {
    let mut stage = Stage::new(1, 1, 1);
    stage.run(Duration::from_millis(1));
    like(&mut stage);
    let config = ProducerConfig { profile, ..ProducerConfig::new("producer-1") };
    let node = stage.producer(config, |_| ());
    let (mut begun, mut took): (Option<Time>, Vec<u128>) = (None, Vec::new());
    for _ in 0..span * 100 {
        let Client::Producer(producer) = stage.state(node) else { panic!("a producer") };
        let down = producer.net.conns.is_down(0);
        let now = stage.world.now();
        match begun {
            None if !down => begun = Some(now),
            Some(from) if down => {
                took.push(now.since(from).as_millis());
                begun = None;
            }
            _ => {}
        }
        stage.run(Duration::from_millis(10));
    }
    took
}

fn within(took: &[u128], bounds: &[(u128, u128)]) {
    let fits = took.iter().zip(bounds).all(|(took, (least, most))| (least..=most).contains(&took));
    assert!(took.len() >= bounds.len() && fits, "{took:?} is not within {bounds:?}");
}

/// `socket.connection.setup.timeout.ms`: 30 s in librdkafka. 10 s in Java, twice that after an attempt that took too long,
/// and up to 30 s (`socket.connection.setup.timeout.max.ms`), spread by a fifth.
#[test]
fn c1_a_machine_that_does_not_answer_is_given_up_after_30_s_by_librdkafka_and_10_s_by_java() {
    let off = |stage: &mut Stage| stage.world.power_fail(BROKER);
    within(&attempts(ClientProfile::Native, off, 80), &[(29_990, 30_020), (29_990, 30_020)]);
    let java = attempts(ClientProfile::Java, off, 120);
    within(&java, &[(8_000, 12_020), (16_000, 24_020), (24_000, 30_020)]);
}

/// A frozen broker's machine accepts. `api.version.request.timeout.ms` is 10 s in librdkafka, which looks once a second;
/// Java's ApiVersions has the 30 s of any request, and connecting is over by then.
#[test]
fn c1_a_broker_that_does_not_answer_is_given_up_after_10_s_by_librdkafka_and_30_s_by_java() {
    let frozen = |stage: &mut Stage| stage.world.pause(BROKER);
    within(&attempts(ClientProfile::Native, frozen, 30), &[(9_990, 11_020), (9_990, 11_020)]);
    within(&attempts(ClientProfile::Java, frozen, 70), &[(29_990, 30_020), (29_990, 30_020)]);
}
