//! A response that is lost after the append, before it, or never sent (measured: section 4; golden case G7).

use super::{brokers::Fault, stage::Stage};
use squall_bus::{ClientProfile, Outcome, Position, ProducerConfig, Time};
use std::time::Duration;

const JAVA: ClientProfile = ClientProfile::Java;
const RDKAFKA: ClientProfile = ClientProfile::Native;

/// As measured: 3 s was said for Java, and for librdkafka nothing that counts here. Its `request.timeout.ms` is the
/// broker's, and its `socket.timeout.ms`, which the adapter would set too, had its default of a minute.
fn config(profile: ClientProfile, idempotent: bool) -> ProducerConfig {
    ProducerConfig {
        profile,
        idempotent,
        linger: Some(Duration::ZERO),
        request_timeout: (profile == JAVA).then_some(Duration::from_secs(3)),
        ..ProducerConfig::new("producer-1")
    }
}

/// What became of a run.
#[derive(Debug, PartialEq, Eq)]
struct Log {
    duplicates: usize,
    /// First copies are in the order of sending.
    ordered: bool,
    /// So are second copies.
    again_ordered: bool,
}

fn judge(stage: &Stage, sent: u64) -> Log {
    let log = stage.log();
    let (mut first, mut again): (Vec<u64>, Vec<u64>) = Default::default();
    for value in log {
        if first.contains(&value) { again.push(value) } else { first.push(value) }
    }
    assert_eq!(first.len() as u64, sent, "a record is missing");
    Log { duplicates: again.len(), ordered: first.is_sorted(), again_ordered: again.is_sorted() }
}

/// 20 records one by one with a fault on the fifth request: the log, and how long the fifth took.
fn one_by_one(profile: ClientProfile, idempotent: bool, fault: Fault) -> (Log, Duration) {
    let mut stage = Stage::new(7, 1, 1);
    stage.world.model_mut().faults.insert(5, fault);
    let producer = stage.producer(config(profile, idempotent), |_| ());
    stage.run(Duration::from_secs(1));
    let mut took = Duration::ZERO;
    for value in 0..20 {
        let (span, outcome) = stage.send_and_wait(producer, value);
        took = if value == 4 { span } else { took };
        let Outcome::Ok(ack) = outcome else { panic!("{profile:?} {value}: {outcome:?}") };
        let position = ack.position.expect("an offset").0;
        assert_eq!(stage.log()[position as usize], value, "the ack names another record's offset");
        if idempotent {
            assert_eq!(ack.position, Some(Position(value)), "a retry's ack carries the original offset");
        }
    }
    (judge(&stage, 20), took)
}

/// 60 records at once, one a batch, with a fault on the eighth request.
fn all_at_once(profile: ClientProfile, idempotent: bool, fault: Fault) -> Log {
    let mut stage = Stage::new(7, 1, 1);
    stage.world.model_mut().faults.insert(8, fault);
    let producer = stage.producer(config(profile, idempotent), |producer| producer.limits.records = 1);
    stage.run(Duration::from_secs(1));
    for value in 0..60 {
        stage.send(producer, value);
    }
    stage.run(Duration::from_secs(30));
    assert!(stage.sent.values().all(|(_, outcome)| outcome.is_ok()), "an error reached the application");
    assert_eq!(stage.sent.len(), 60);
    judge(&stage, 60)
}

#[test]
fn one_by_one_only_a_lost_response_duplicates_and_only_without_idempotence() {
    for (profile, idempotent, fault, duplicates, least_ms, most_ms) in [
        (JAVA, true, Fault::Cut, 0, 50, 400),
        (JAVA, true, Fault::Swallow, 0, 3_000, 3_400),
        (JAVA, true, Fault::Pre, 0, 50, 400),
        (JAVA, false, Fault::Cut, 1, 50, 400),
        (JAVA, false, Fault::Swallow, 1, 3_000, 3_400),
        (JAVA, false, Fault::Pre, 0, 50, 400),
        (RDKAFKA, true, Fault::Cut, 0, 80, 500),
        (RDKAFKA, true, Fault::Swallow, 0, 60_000, 63_000),
        (RDKAFKA, true, Fault::Pre, 0, 80, 500),
        (RDKAFKA, false, Fault::Cut, 1, 80, 500),
        (RDKAFKA, false, Fault::Swallow, 1, 60_000, 63_000),
        (RDKAFKA, false, Fault::Pre, 0, 80, 500),
    ] {
        let (log, took) = one_by_one(profile, idempotent, fault);
        assert_eq!(
            log,
            Log { duplicates, ordered: true, again_ordered: true },
            "{profile:?} {idempotent} {fault:?}"
        );
        let took = took.as_millis();
        assert!((least_ms..=most_ms).contains(&took), "{profile:?} {idempotent} {fault:?} took {took} ms");
    }
}

#[test]
fn c1_at_once_java_reorders_and_librdkafka_duplicates_in_order() {
    for fault in [Fault::Cut, Fault::Pre] {
        for profile in [JAVA, RDKAFKA] {
            let log = all_at_once(profile, true, fault);
            assert_eq!(
                log,
                Log { duplicates: 0, ordered: true, again_ordered: true },
                "{profile:?} idempotent {fault:?}"
            );
        }
        let java = all_at_once(JAVA, false, fault);
        assert!(!(java.ordered && java.again_ordered), "several batches come back reversed: {java:?}");
        let rdkafka = all_at_once(RDKAFKA, false, fault);
        assert!(rdkafka.ordered && rdkafka.again_ordered, "{rdkafka:?}");
    }
    for profile in [JAVA, RDKAFKA] {
        let log = all_at_once(profile, false, Fault::Cut);
        assert!(log.duplicates > 1, "{profile:?}: everything in flight went through, {log:?}");
    }
}

/// The kernel's own response loss.
#[test]
fn a_response_that_the_network_drops_duplicates_once() {
    for (idempotent, copies) in [(false, 2), (true, 1)] {
        let mut stage = Stage::new(3, 1, 1);
        let producer = stage.producer(config(RDKAFKA, idempotent), |_| ());
        stage.run_to(Time::from_millis(1_000));
        stage.world.drop_responses(crate::kernel::NodeId(0), 1);
        let (_, outcome) = stage.send_and_wait(producer, 1);
        assert!(outcome.is_ok());
        assert_eq!(stage.log(), vec![1; copies]);
    }
}
