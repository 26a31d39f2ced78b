//! A leader moves while a request to the old one is under way (C1, C3).

use super::super::super::error::ErrorCode;
use super::brokers::Fault;
use super::stage::Stage;
use crate::kernel::NodeId;
use squall_bus::{ClientProfile, ProducerConfig};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// A producer sends a record to a leader that it does not reach, hears that another broker leads now, and sends a second
/// one; then the first request reaches the old leader. The log's values, and how many Produce requests came before that.
fn moved(config: ProducerConfig) -> (Vec<u64>, usize) {
    for seed in 0..20 {
        let mut stage = Stage::new(seed, 2, 2);
        let config = ProducerConfig { linger: Some(Duration::ZERO), ..config.clone() };
        let producer = stage.producer(config, |_| ());
        stage.run(SECOND);
        let first = [stage.send_to(producer, 0, 0), stage.send_to(producer, 1, 0)];
        stage.run(SECOND);
        stage.world.hold(producer, NodeId(0));
        let before = stage.send_to(producer, 0, 1);
        stage.run(SECOND / 10);
        let model = stage.world.model_mut();
        (model.partitions[0].leader, model.partitions[0].epoch) = (1, 2);
        let next = model.produced.len() as u64 + 1;
        model.faults.insert(next, Fault::Refuse(ErrorCode::NotLeaderOrFollower));
        let asks = model.metadata_requests;
        let other = stage.send_to(producer, 1, 1);
        stage.run(SECOND);
        if stage.world.model().metadata_requests == asks {
            // It asks the broker that it does not reach.
            continue;
        }
        let came = stage.world.model().produced.len();
        let behind = stage.send_to(producer, 0, 2);
        stage.run(SECOND);
        let came = stage.world.model().produced.len() - came;
        stage.world.unhold(producer, NodeId(0));
        stage.run(5 * SECOND);
        for op in first.into_iter().chain([before, other, behind]) {
            assert!(stage.sent.get(&op).is_some_and(|(_, outcome)| outcome.is_ok()), "{:?}", stage.sent);
        }
        return (stage.log(), came);
    }
    panic!("no draw asks the other broker");
}

/// With one request in flight a record may still overtake another in librdkafka, whose limit is a connection's: the new
/// leader's has none in flight. Java keeps a partition back until its batch is done (`Sender.guaranteeMessageOrder`).
#[test]
fn c1_one_request_in_flight_keeps_the_order_over_a_leaders_move_in_java_alone() {
    let config = |profile| ProducerConfig {
        profile,
        idempotent: false,
        max_in_flight: Some(1),
        ..ProducerConfig::new("producer-1")
    };
    assert_eq!(moved(config(ClientProfile::Native)), (vec![0, 2, 1], 1));
    assert_eq!(moved(config(ClientProfile::Java)), (vec![0, 1, 2], 0));
}

/// An idempotent librdkafka sends nothing to a new leader before everything sent to the old one is answered
/// (`rd_kafka_idemp_drain_toppar`); Java sends on, and the new leader refuses what comes too early.
#[test]
fn c3_librdkafka_drains_a_partition_before_it_sends_to_a_new_leader() {
    let config = |profile| ProducerConfig { profile, idempotent: true, ..ProducerConfig::new("producer-1") };
    assert_eq!(moved(config(ClientProfile::Native)), (vec![0, 1, 2], 0));
    let (log, came) = moved(config(ClientProfile::Java));
    assert_eq!(log, [0, 1, 2]);
    assert!(came > 0);
}
