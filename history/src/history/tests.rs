use super::*;
use squall_bus::{Error, ErrorClass, Outcome, Position, Topic};

fn history_with_a_send(partition: Option<u32>) -> (History, OpId) {
    let mut history = History::default();
    let (process, topic) = (history.process("producer-0"), history.topic("orders"));
    let op = history.invoke(Time(1), process, Invoke::Send(Send { partition, ..Send::new(topic, None, 7) }));
    (history, op)
}

#[test]
fn a_send_without_a_completion_is_unknown() {
    let (history, op) = history_with_a_send(None);
    let send = history.sends()[0];
    assert_eq!((send.invoke, send.status, send.completion()), (op, Status::Unknown, None));
}

#[test]
fn a_timeout_keeps_the_position_that_the_client_learned() {
    let (mut history, op) = history_with_a_send(Some(4));
    let error = Error::new(ErrorClass::Retriable, "_MSG_TIMED_OUT", "");
    history.complete_send(Time(2), op, &Outcome::Unknown(error, Some(Position(11))));
    let send = history.sends()[0];
    assert_eq!((send.status, send.position()), (Status::Unknown, Some(11)));
    assert_eq!(send.unit().map(|unit| history.unit_name(unit)), Some(Unit::new(&Topic::new("orders"), 4)));
    assert_eq!(history.send_error(&send), Some("_MSG_TIMED_OUT"));
}

#[test]
#[should_panic(expected = "ends twice")]
fn an_operation_ends_once() {
    let (mut history, op) = history_with_a_send(None);
    history.complete(Time(2), op, Completion::Ok);
    history.complete(Time(3), op, Completion::Ok);
}

#[test]
fn keys_that_are_not_text_keep_their_bytes() {
    let mut history = History::default();
    let key = history.key([0xff, 0x00]);
    assert_eq!(history.key_name(key), "0xff00");
    assert_ne!(history.key("a"), history.key("b"));
    assert_eq!(history.key("a"), history.key(b"a"));
}

#[test]
fn a_record_stays_within_its_memory() {
    // A record is sent (two events and a row) and delivered (one event and a row).
    let event = size_of::<Time>() + size_of::<ProcessId>() + size_of::<What>() + size_of::<u32>();
    let record = 3 * event + size_of::<SendRow>() + size_of::<DeliverRow>();
    assert!(record <= 200, "a sent and delivered record takes {record} bytes, over 100 per occurrence");
}
