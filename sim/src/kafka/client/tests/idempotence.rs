//! Idempotent producers: the producer id, sequence numbers over retries, and what happens when they break.

use super::super::super::error::ErrorCode;
use super::{brokers::Fault, stage::Stage};
use crate::kernel::NodeId;
use squall_bus::{ClientProfile, ErrorClass, Outcome, ProducerConfig};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const BOTH: [ClientProfile; 2] = [ClientProfile::Native, ClientProfile::Java];

fn config(profile: ClientProfile) -> ProducerConfig {
    ProducerConfig {
        profile,
        idempotent: true,
        linger: Some(Duration::ZERO),
        ..ProducerConfig::new("producer-1")
    }
}

/// Measured: the first idempotent produce costs librdkafka half a second.
#[test]
fn the_first_send_waits_for_a_producer_id() {
    for (profile, least, most) in [(ClientProfile::Native, 495, 520), (ClientProfile::Java, 0, 20)] {
        let mut stage = Stage::new(1, 1, 1);
        let producer = stage.producer(config(profile), |_| ());
        stage.run(Duration::from_millis(1));
        let (took, outcome) = stage.send_and_wait(producer, 0);
        assert!(outcome.is_ok());
        assert!((least..=most).contains(&took.as_millis()), "{profile:?}: {took:?}");
    }
}

/// One failure among five in flight: those behind it are refused as out of order, and all come out in order.
#[test]
fn c3_a_failed_batch_and_those_behind_it_are_sent_again_in_order() {
    for profile in BOTH {
        for fault in [
            Fault::Refuse(ErrorCode::NotEnoughReplicas),
            Fault::AppendAndRefuse(ErrorCode::RequestTimedOut),
            Fault::AppendAndRefuse(ErrorCode::NotLeaderOrFollower),
        ] {
            let mut stage = Stage::new(1, 1, 1);
            stage.world.model_mut().faults.insert(6, fault);
            let producer = stage.producer(config(profile), |producer| producer.limits.records = 1);
            stage.run(SECOND);
            for value in 0..40 {
                stage.send(producer, value);
            }
            stage.run(20 * SECOND);
            assert_eq!(stage.log(), (0..40).collect::<Vec<_>>(), "{profile:?} {fault:?}");
            assert!(stage.sent.values().all(|(_, outcome)| outcome.is_ok()));
        }
    }
}

/// The broker lost what it had acknowledged: librdkafka is finished, Java bumps its epoch and goes on.
#[test]
fn c3_a_desynchronized_producer_ends_or_recovers() {
    for profile in BOTH {
        let mut stage = Stage::new(1, 1, 1);
        let fault = Fault::Refuse(ErrorCode::OutOfOrderSequenceNumber);
        stage.world.model_mut().faults.insert(3, fault);
        let producer = stage.producer(config(profile), |_| ());
        stage.run(SECOND);
        let outcomes: Vec<Outcome<_>> = (0..3).map(|value| stage.send_and_wait(producer, value).1).collect();
        stage.run(SECOND);
        let room = stage.state(producer).has_room();
        match profile {
            ClientProfile::Native => {
                assert!(
                    matches!(&outcomes[2], Outcome::Unknown(error, None) if error.class == ErrorClass::Fatal)
                );
                assert_eq!(room.expect_err("finished").code, "OUT_OF_ORDER_SEQUENCE_NUMBER");
            }
            ClientProfile::Java | ClientProfile::Java3 => {
                assert!(outcomes[2].is_ok() && room == Ok(true));
                let last = stage.world.model().partitions[0].log.last().and_then(|entry| entry.batch.stamp);
                assert_eq!(last.map(|stamp| (stamp.epoch, stamp.base_seq)), Some((1, 0)));
            }
        }
    }
}

/// Records that are given up leave a gap in the sequence: a new epoch (or id) goes on without it.
#[test]
fn c3_after_a_timeout_the_sequence_begins_anew() {
    for profile in BOTH {
        let config = ProducerConfig { delivery_timeout: Some(3 * SECOND), ..config(profile) };
        let (mut stage, producer) = Stage::of_producer(config);
        assert!(stage.send_and_wait(producer, 0).1.is_ok());
        stage.world.pause(NodeId(0));
        let lost = stage.send(producer, 1);
        stage.run(40 * SECOND);
        assert!(matches!(stage.sent[&lost].1, Outcome::Unknown(..)), "{profile:?}");
        stage.world.resume(NodeId(0));
        stage.run(20 * SECOND);
        assert!(stage.send_and_wait(producer, 2).1.is_ok(), "{profile:?}");
        let log = stage.log();
        assert_eq!((log.first(), log.last()), (Some(&0), Some(&2)), "{profile:?}: {log:?}");
        let stamps = stage.world.model().partitions[0].log.iter().filter_map(|entry| entry.batch.stamp);
        let last = { stamps }.next_back().expect("a stamp");
        assert!(last.base_seq == 0 && (last.pid, last.epoch) != (1, 0), "{profile:?}: {last:?}");
    }
}

/// After a failure nothing more leaves a partition until nothing of it is in flight: the retry comes a whole
/// round trip after the last request before it.
#[test]
fn a_partition_drains_before_it_sends_again() {
    let mut stage = Stage::new(1, 1, 1);
    stage.world.model_mut().faults.insert(7, Fault::Refuse(ErrorCode::NotEnoughReplicas));
    let producer = stage.producer(config(ClientProfile::Native), |producer| producer.limits.records = 1);
    let way = Duration::from_millis(200);
    stage.world.delay(NodeId(0), producer, way);
    stage.world.delay(producer, NodeId(0), way);
    stage.run(5 * SECOND);
    assert!(stage.send_and_wait(producer, 0).1.is_ok());
    for value in 1..30 {
        stage.send(producer, value);
        stage.run(Duration::from_millis(100));
    }
    stage.run(20 * SECOND);
    assert_eq!(stage.log(), (0..30).collect::<Vec<_>>());
    const WINDOW: Duration = Duration::from_millis(450);
    let arrived = &stage.world.model().produced;
    let retry = arrived.iter().find(|at| at.since(arrived[6]) > WINDOW);
    let last = arrived.iter().rfind(|at| at.since(arrived[6]) <= WINDOW);
    let pause = retry.zip(last).map(|(retry, last)| retry.since(*last));
    assert!(pause.is_some_and(|pause| pause >= 2 * way), "{arrived:?}");
}
