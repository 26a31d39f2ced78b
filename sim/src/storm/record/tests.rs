use super::{Recorder, VALUE_HEADER};
use bytes::Bytes;
use squall_bus::{
    Ack, Acks, Clock, ConsumerConfig, Delivery, Error, ErrorClass, Outcome, Position, ProducerConfig, Record,
    Sleep, Time, Topic, Unit,
};
use squall_history::{
    Kind, Meta, Verdict,
    history::{Handling, Phase},
    judge,
};
use std::sync::Arc;

/// A clock that stands still.
struct Still;

impl Clock for Still {
    fn now(&self) -> Time {
        Time(1)
    }

    fn sleep_until(&self, _: Time) -> Sleep {
        Box::pin(std::future::pending())
    }
}

fn unit() -> Unit {
    Unit::new(&Topic::new("orders"), 0)
}

fn record(text: &str) -> Record {
    Record::new(
        &Topic::new("orders"),
        Some(Bytes::from_static(b"c-1")),
        Bytes::copy_from_slice(text.as_bytes()),
    )
}

fn recorder() -> Arc<Recorder> {
    let recorder = Recorder::new(Meta::default(), false, Arc::new(Still));
    recorder.consumer(&ConsumerConfig::group("billing", "billing", &["orders".into()]));
    recorder.sink("billing");
    recorder
}

/// Sends and acknowledges a record at this position: the record as the bus has it.
fn sent(recorder: &Recorder, text: &str, position: u64) -> Record {
    let (op, sent) = recorder.send("shop", 0, record(text));
    let ack = Ack { unit: unit(), position: Some(Position(position)), duplicate: false };
    recorder.sent(op.expect("the run goes on"), &Outcome::Ok(ack));
    sent
}

fn delivery(record: Record, position: u64) -> Delivery {
    Delivery { record, unit: unit(), position: Position(position), attempt: None, tag: 0 }
}

#[test]
fn the_service_never_sees_the_value_of_a_record() {
    let recorder = recorder();
    let sent = sent(&recorder, "one", 0);
    assert!(sent.header_value(VALUE_HEADER).is_some());
    let delivered = recorder.delivered("billing", Some("billing"), delivery(sent, 0));
    assert_eq!(delivered.record, record("one"));
}

#[test]
fn a_record_that_is_passed_and_never_processed_makes_the_run_invalid() {
    for (processes, verdict) in [(true, Verdict::Valid), (false, Verdict::Invalid)] {
        let recorder = recorder();
        recorder.producer("shop", &ProducerConfig::new("shop"));
        for (position, text) in ["one", "two"].iter().enumerate() {
            let position = position as u64;
            let sent = sent(&recorder, text, position);
            let delivery = recorder.delivered("billing", Some("billing"), delivery(sent, position));
            assert!(recorder.is_waiting());
            if processes || position == 0 {
                recorder.handled("billing", "billing", &delivery, Handling::Ok);
                assert!(!recorder.is_waiting());
            }
            let op = recorder.commit("billing", "billing", &[(unit(), Position(position + 1))]);
            recorder.ended(op.expect("the run goes on"), &Outcome::Ok(()));
        }
        recorder.phase(Phase::CaughtUp);
        let report = judge(&recorder.close());
        assert_eq!(report.verdict, verdict, "{}", report.reason);
        assert_eq!(report.anomalies.iter().any(|one| one.kind == Kind::Unprocessed), !processes);
    }
}

#[test]
fn what_arrives_changed_is_corrupt() {
    let recorder = recorder();
    let mut sent = sent(&recorder, "one", 0);
    sent.value = Bytes::from_static(b"two");
    let delivery = recorder.delivered("billing", Some("billing"), delivery(sent, 0));
    recorder.handled("billing", "billing", &delivery, Handling::Ok);
    let report = judge(&recorder.close());
    assert!(report.anomalies.iter().any(|one| one.kind == Kind::Corrupt), "{:?}", report.anomalies);
}

#[test]
fn the_weakest_producer_decides_what_is_promised() {
    let recorder = recorder();
    let strong = ProducerConfig { idempotent: true, max_in_flight: Some(1), ..ProducerConfig::new("a") };
    assert_eq!(recorder.producer("shop", &strong), 0);
    assert_eq!(recorder.producer("shop", &ProducerConfig { acks: Acks::One, ..ProducerConfig::new("b") }), 1);
    assert_eq!(recorder.producer("till", &strong), 0);
    let promised = recorder.close().meta.configuration;
    assert_eq!((promised.acks, promised.idempotent, promised.max_in_flight), (Acks::One, false, None));
}

#[test]
fn what_comes_after_the_end_is_dropped() {
    let recorder = recorder();
    let (op, _) = recorder.send("shop", 0, record("one"));
    assert_eq!(recorder.close().sends().len(), 1);
    let late = Outcome::Unknown(Error::new(ErrorClass::Retriable, "_TIMED_OUT", ""), None);
    recorder.sent(op.expect("the run went on"), &late);
    assert_eq!(recorder.send("shop", 0, record("two")).0, None);
}

#[test]
fn a_dead_letter_is_linked_to_the_record_that_it_stands_for() {
    for (buried, kept) in [("one", true), ("two", false)] {
        let mut meta = Meta::default();
        meta.configuration.dlq = Some("dead".to_owned());
        let recorder = Recorder::new(meta, false, Arc::new(Still));
        recorder.consumer(&ConsumerConfig::group("billing", "billing", &["orders".into()]));
        recorder.sink("billing");
        let sent = sent(&recorder, "one", 0);
        let delivery = recorder.delivered("billing", Some("billing"), delivery(sent, 0));
        recorder.handled("billing", "billing", &delivery, Handling::Poison);
        let letter = Record { topic: Topic::new("dead"), ..record(buried) };
        let (op, _) = recorder.send("billing", 0, letter);
        let ack = Ack { unit: Unit::new(&"dead".into(), 0), position: Some(Position(0)), duplicate: false };
        assert!(recorder.is_waiting(), "for the outcome of the letter");
        recorder.sent(op.expect("the run goes on"), &Outcome::Ok(ack));
        assert!(!recorder.is_waiting());
        recorder.phase(Phase::CaughtUp);
        recorder.drained(&unit(), Position(0), Position(1), true);
        let report = judge(&recorder.close());
        let lost = report.anomalies.iter().any(|one| one.kind == Kind::DlqLost);
        assert_eq!(lost, !kept, "{buried}: {}", report.reason);
    }
}

#[test]
fn nobody_waits_for_the_sends_of_a_process_that_has_ended() {
    let recorder = recorder();
    let (_, _) = recorder.send("shop", 0, record("one"));
    let (_, _) = recorder.send("till", 0, record("two"));
    recorder.ended_process("shop");
    assert!(recorder.is_waiting(), "the till does");
    recorder.ended_process("till");
    assert!(!recorder.is_waiting());
}
