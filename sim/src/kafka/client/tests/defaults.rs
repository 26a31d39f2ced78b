//! The defaults of each library, as its clients show them (rules A5, C1, C2, C5).

use super::super::super::error::ErrorCode;
use super::super::defaults::{Desynchronized, Partitioning, ProducerDefaults, consumer, producer};
use super::{brokers::Fault, stage::Stage};
use crate::kernel::NodeId;
use squall_bus::{Acks, ClientProfile, ConsumerConfig, Outcome, ProducerConfig, Topic, Unit};
use std::time::Duration;

const ALL: [ClientProfile; 3] = [ClientProfile::Native, ClientProfile::Java, ClientProfile::Java3];
const SECOND: Duration = Duration::from_secs(1);

fn config(profile: ClientProfile) -> ProducerConfig {
    ProducerConfig { profile, ..ProducerConfig::new("producer-1") }
}

/// CONFIGURATION.md of librdkafka 2.12, ProducerConfig of Kafka 3.9 and 4.3.
#[test]
fn c1_the_producers_defaults() {
    let figures = |profile| {
        let ProducerDefaults {
            max_in_flight,
            linger,
            batch_bytes,
            max_record_bytes,
            retries,
            delivery_timeout,
            connecting,
            ..
        } = producer(profile);
        let millis = |span: Duration| span.as_millis();
        (
            max_in_flight,
            millis(linger),
            batch_bytes,
            max_record_bytes,
            retries,
            millis(delivery_timeout),
            millis(connecting.request_timeout),
        )
    };
    let retries = i32::MAX as u32;
    assert_eq!(
        figures(ClientProfile::Native),
        (1_000_000, 5, 1_000_000, 1_000_000, retries, 300_000, 60_000)
    );
    assert_eq!(figures(ClientProfile::Java), (5, 5, 16_384, 1_048_576, retries, 120_000, 30_000));
    assert_eq!(figures(ClientProfile::Java3), (5, 0, 16_384, 1_048_576, retries, 120_000, 30_000));
    assert_eq!(producer(ClientProfile::Java3).desynchronized, Desynchronized::Bump);
    let (java, java_3) = (producer(ClientProfile::Java), producer(ClientProfile::Java3));
    let ProducerDefaults { linger, transaction_version, .. } = java;
    let newer = ProducerDefaults { linger, transaction_version, ..java_3 };
    assert_eq!(newer, java, "nothing but the linger and the version of transactions differs");
}

#[test]
fn c1_the_consumers_defaults() {
    for profile in ALL {
        let library = consumer(profile);
        let spans = [
            library.session_timeout,
            library.heartbeat_interval,
            library.max_poll_interval,
            library.fetch_wait,
            library.connecting.metadata_age,
        ];
        assert_eq!(spans.map(|span| span.as_millis()), [45_000, 3_000, 300_000, 500, 300_000], "{profile:?}");
        assert_eq!((library.fetch_min_bytes, library.partition_max_bytes), (1, 1_048_576));
    }
    assert!(consumer(ClientProfile::Native).auto_commit_covers_last);
    assert!(!consumer(ClientProfile::Java3).auto_commit_covers_last);
}

/// A batch that is due takes those of the broker's other partitions along, however short they have lingered: in Java.
#[test]
fn c1_what_lingers_leaves_with_what_is_due_in_java_and_in_its_own_turn_in_librdkafka() {
    for (profile, requests, apart) in [(ClientProfile::Native, 2, 2..4), (ClientProfile::Java, 1, 0..1)] {
        let mut stage = Stage::new(1, 1, 2);
        let producer = stage.producer(config(profile), |_| {});
        for partition in [0, 1] {
            stage.send_to(producer, partition, 0);
        }
        stage.run(2 * SECOND);
        let before = stage.world.model().produced.len();
        let first = stage.send_to(producer, 0, 1);
        stage.run(Duration::from_millis(3));
        let second = stage.send_to(producer, 1, 2);
        stage.run(SECOND);
        assert_eq!(stage.world.model().produced.len() - before, requests, "{profile:?}");
        let acked = |op| stage.sent[&op].0;
        let between = acked(second).since(acked(first)).as_millis();
        assert!(apart.contains(&between), "{profile:?}: {between} ms");
    }
}

/// A record leaves after the linger: 5 ms, and at once in Java 3.
#[test]
fn c1_a_record_lingers_for_5_ms_and_not_at_all_in_java_3() {
    for (profile, least, most) in
        [(ClientProfile::Native, 5, 7), (ClientProfile::Java, 5, 7), (ClientProfile::Java3, 0, 2)]
    {
        let mut stage = Stage::new(1, 1, 1);
        let producer = stage.producer(config(profile), |_| ());
        assert!(stage.send_and_wait(producer, 0).1.is_ok());
        stage.run(SECOND);
        let (took, outcome) = stage.send_and_wait(producer, 1);
        assert!(outcome.is_ok());
        assert!((least..=most).contains(&took.as_millis()), "{profile:?}: {took:?}");
    }
}

/// Nothing answers: Java has 5 requests under way, librdkafka all of them.
#[test]
fn c1_java_has_5_requests_in_flight_and_librdkafka_all() {
    for (profile, in_flight) in
        [(ClientProfile::Native, 30), (ClientProfile::Java, 5), (ClientProfile::Java3, 5)]
    {
        let mut stage = Stage::new(1, 1, 1);
        let faults = (2..100).map(|request| (request, Fault::Swallow));
        stage.world.model_mut().faults.extend(faults);
        let producer = stage.producer(config(profile), |producer| producer.limits.records = 1);
        assert!(stage.send_and_wait(producer, 0).1.is_ok());
        for value in 1..=30 {
            stage.send(producer, value);
        }
        stage.run(SECOND);
        assert_eq!(stage.world.model().produced.len(), 1 + in_flight, "{profile:?}");
    }
}

/// A record that cannot be delivered fails after 300 s (librdkafka) or 120 s (Java).
#[test]
fn c1_a_record_is_given_up_after_300_s_or_120_s() {
    for (profile, seconds, code) in [
        (ClientProfile::Native, 300, "_MSG_TIMED_OUT"),
        (ClientProfile::Java, 120, "REQUEST_TIMED_OUT"),
        (ClientProfile::Java3, 120, "REQUEST_TIMED_OUT"),
    ] {
        let mut stage = Stage::new(1, 1, 1);
        let producer = stage.producer(config(profile), |_| ());
        assert!(stage.send_and_wait(producer, 0).1.is_ok());
        stage.world.pause(NodeId(0));
        let (took, outcome) = stage.send_and_wait(producer, 1);
        let (Outcome::Fail(error) | Outcome::Unknown(error, _)) = outcome else { panic!("acknowledged") };
        assert_eq!(error.code, code);
        assert!((seconds..=seconds + 1).contains(&took.as_secs()), "{profile:?}: {took:?}");
    }
}

#[test]
fn c2_java_hashes_by_murmur2_and_librdkafka_by_crc32() {
    let by = |profile| producer(profile).partitioning;
    assert_eq!(
        by(ClientProfile::Native),
        Partitioning::ConsistentRandom { sticky: Duration::from_millis(10) }
    );
    assert_eq!(by(ClientProfile::Java), Partitioning::Murmur2);
    assert_eq!(by(ClientProfile::Java3), Partitioning::Murmur2);
}

/// 6 and 7 leave the record in the log, 19 does not: what was appended and answered with an error is unknown, what was
/// refused before the append has failed.
#[test]
fn b4_6_and_7_are_indeterminate_and_19_is_not() {
    for profile in ALL {
        for (code, appended) in [
            (ErrorCode::RequestTimedOut, true),
            (ErrorCode::NotLeaderOrFollower, true),
            (ErrorCode::NotEnoughReplicas, false),
        ] {
            let mut stage = Stage::new(1, 1, 1);
            let fault = if appended { Fault::AppendAndRefuse(code) } else { Fault::Refuse(code) };
            stage.world.model_mut().faults.extend((1..5_000).map(|request| (request, fault)));
            let timeout = Some(2 * SECOND);
            let config = ProducerConfig { acks: Acks::All, delivery_timeout: timeout, ..config(profile) };
            let producer = stage.producer(config, |_| ());
            let (_, outcome) = stage.send_and_wait(producer, 1);
            assert_eq!(matches!(outcome, Outcome::Unknown(..)), appended, "{profile:?} {code}: {outcome:?}");
            assert_eq!(!stage.log().is_empty(), appended);
        }
    }
}

/// Metadata is asked for again after 300 s, whatever happens.
#[test]
fn a5_metadata_is_refreshed_after_300_s() {
    for profile in ALL {
        let mut stage = Stage::new(1, 1, 1);
        let unit = Unit::new(&Topic::new(super::stage::TOPIC), 0);
        let reader = ConsumerConfig { profile, ..ConsumerConfig::assign("reader", vec![(unit, None)]) };
        stage.consumer(reader);
        stage.run(290 * SECOND);
        let before = stage.world.model().metadata_requests;
        assert!(before > 0);
        stage.run(20 * SECOND);
        let asked = stage.world.model().metadata_requests - before;
        assert_eq!(asked, 1, "{profile:?}");
    }
}
