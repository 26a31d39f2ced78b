//! Positions that a change of the leader may have made wrong, records that are too large, and how long knowledge
//! of the cluster lasts.

use super::stage::{Seen, Stage, TOPIC};
use crate::kernel::NodeId;
use bytes::Bytes;
use squall_bus::{
    ClientProfile, ConsumerConfig, ConsumerEvent, ProducerConfig, Record, ResetPolicy, Topic, Unit,
};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn unit() -> Unit {
    Unit::new(&Topic::new(TOPIC), 0)
}

fn reader(profile: ClientProfile, reset: ResetPolicy) -> ConsumerConfig {
    ConsumerConfig { profile, reset, ..ConsumerConfig::assign("consumer-1", vec![(unit(), None)]) }
}

fn attend(stage: &mut Stage, node: NodeId, span: Duration) -> Vec<Seen> {
    let mut seen = Vec::new();
    stage.attend(&[node], span, &mut seen);
    seen.into_iter().map(|(_, _, what)| what).collect()
}

/// The offsets that were read, and the resets.
fn summary(seen: &[Seen]) -> (Vec<u64>, Vec<(Option<u64>, u64)>) {
    let (mut offsets, mut resets) = (Vec::new(), Vec::new());
    for what in seen {
        match what {
            Seen::Record(_, offset) => offsets.push(*offset),
            Seen::Event(ConsumerEvent::Reset { from, to, .. }) => resets.push((from.map(|p| p.0), to.0)),
            Seen::Event(_) => {}
        }
    }
    (offsets, resets)
}

/// Five records are read under epoch 1; then another leader has only `left` of them, and two of its own.
fn after_unclean_election(profile: ClientProfile, left: usize) -> (Stage, NodeId) {
    let mut stage = Stage::new(2, 3, 1);
    stage.fill(0, 5);
    let consumer = stage.consumer(reader(profile, ResetPolicy::Earliest));
    assert_eq!(summary(&attend(&mut stage, consumer, SECOND)).0, [0, 1, 2, 3, 4]);
    let partition = &mut stage.world.model_mut().partitions[0];
    partition.log.truncate(left);
    (partition.leader, partition.epoch) = (1, 2);
    stage.fill(0, 2);
    (stage, consumer)
}

#[test]
fn b6_a_truncation_below_the_position_is_noticed_although_the_offset_exists_again() {
    // Four were left and two are new: offset 5 exists, and without epochs the reader would go on there.
    for profile in [ClientProfile::Java, ClientProfile::Native] {
        let (mut stage, consumer) = after_unclean_election(profile, 4);
        let (offsets, resets) = summary(&attend(&mut stage, consumer, SECOND));
        assert_eq!(
            (offsets, resets),
            (vec![4, 5], vec![(Some(5), 4)]),
            "{profile:?} goes on where the logs part"
        );
    }
}

#[test]
fn b6_a_leader_that_has_everything_is_asked_once_and_read_on() {
    for profile in [ClientProfile::Native, ClientProfile::Java] {
        let (mut stage, consumer) = after_unclean_election(profile, 5);
        let (offsets, resets) = summary(&attend(&mut stage, consumer, SECOND));
        assert_eq!((offsets, resets), (vec![5, 6], Vec::new()));
        stage.fill(0, 3);
        assert_eq!(summary(&attend(&mut stage, consumer, SECOND)).0, [7, 8, 9]);
        assert_eq!(stage.world.model().epoch_requests, 1);
    }
}

#[test]
fn b6_nobody_is_asked_while_the_leader_stays() {
    let mut stage = Stage::new(2, 3, 1);
    stage.fill(0, 5);
    let consumer = stage.consumer(reader(ClientProfile::Java, ResetPolicy::Earliest));
    for _ in 0..5 {
        stage.fill(0, 5);
        attend(&mut stage, consumer, SECOND);
    }
    assert_eq!(stage.world.model().epoch_requests, 0);
}

#[test]
fn b13_a_record_larger_than_a_request_is_refused_by_the_client() {
    for (profile, largest) in [(ClientProfile::Native, 1_000_000), (ClientProfile::Java, 1_048_576)] {
        let mut stage = Stage::new(1, 1, 1);
        let config =
            ProducerConfig { profile, linger: Some(Duration::ZERO), ..ProducerConfig::new("producer-1") };
        let producer = stage.producer(config, |_| ());
        let overhead = crate::kafka::protocol::RECORD_OVERHEAD;
        for (bytes, code) in [(largest - overhead, None), (largest - overhead + 1, Some("MESSAGE_TOO_LARGE"))]
        {
            let mut record = Record::new(&Topic::new(TOPIC), None, Bytes::from(vec![0; bytes as usize]));
            record.partition = Some(0);
            let before = stage.world.model().produced.len();
            let (_, outcome) = stage.send_record_and_wait(producer, record);
            assert_eq!(outcome.error().map(|error| &*error.code), code, "{profile:?}, {bytes} bytes");
            assert_eq!(stage.world.model().produced.len() > before, code.is_none(), "it is not even sent");
        }
    }
}

#[test]
fn a5_what_a_client_knows_is_asked_for_again_after_five_minutes() {
    for profile in [ClientProfile::Native, ClientProfile::Java] {
        let mut stage = Stage::new(1, 1, 1);
        let config = ProducerConfig { profile, ..ProducerConfig::new("producer-1") };
        let producer = stage.producer(config, |_| ());
        assert!(stage.send_and_wait(producer, 1).1.is_ok());
        stage.run(2 * SECOND);
        let before = stage.world.model().metadata_requests;
        stage.run(290 * SECOND);
        assert_eq!(stage.world.model().metadata_requests, before, "{profile:?}");
        stage.run(10 * SECOND);
        assert_eq!(stage.world.model().metadata_requests, before + 1, "{profile:?}");
    }
}

#[test]
fn a5_a_refusal_that_names_the_leader_is_believed_at_once() {
    let mut stage = Stage::new(1, 2, 1);
    let config = ProducerConfig { linger: Some(Duration::ZERO), ..ProducerConfig::new("producer-1") };
    let producer = stage.producer(config, |_| ());
    assert!(stage.send_and_wait(producer, 1).1.is_ok());
    stage.run(2 * SECOND);
    let partition = &mut stage.world.model_mut().partitions[0];
    (partition.leader, partition.epoch) = (1, 2);
    let (took, outcome) = stage.send_and_wait(producer, 2);
    assert!(outcome.is_ok());
    // One refused attempt and its back-off, at most 120 ms, and no round of metadata in between.
    assert!(took < Duration::from_millis(130), "{took:?}");
}
