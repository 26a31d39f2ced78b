//! What a producer publishes, when, how often, and how a send ends.

use super::stage::{Manner, SECOND, Stage};
use crate::{
    model::Call,
    nats::{
        ApiError,
        protocol::{PubAck, ServerMsg},
    },
};
use bytes::Bytes;
use squall_bus::{Acks, Record, Topic};
use std::collections::BTreeSet;

#[test]
fn the_library_sends_nothing_again_by_itself() {
    let mut stage = Stage::new(3);
    let producer = stage.producer(|_| {});
    stage.send(producer, 0, 1);
    stage.run(SECOND);
    for (manner, outcome) in [
        (Manner::Silent, "unknown TIMED_OUT"),
        (Manner::NoResponders, "fail 503"),
        (Manner::Refuse(ApiError::TooManyRequests), "fail 10167"),
        (Manner::Refuse(ApiError::MessageTooLarge), "fail 10054"),
    ] {
        stage.played().manner = manner;
        let before = stage.played().published.len();
        let op = stage.send(producer, 0, 2);
        stage.run(30 * SECOND);
        assert_eq!(stage.outcome(op), outcome);
        assert_eq!(stage.played().published.len(), before + 1, "{manner:?}");
    }
}

#[test]
fn a_retry_without_idempotence_publishes_again_without_an_id() {
    let mut stage = Stage::new(3);
    let producer = stage.producer(|config| config.retries = Some(2));
    stage.send(producer, 0, 1);
    stage.run(SECOND);
    stage.played().manner = Manner::Silent;
    let op = stage.send(producer, 0, 2);
    stage.run(6 * SECOND);
    stage.played().manner = Manner::Fine;
    stage.run(6 * SECOND);
    assert_eq!(stage.values(), [1, 2, 2, 2], "it stands in the log three times");
    assert!(stage.played().published.iter().all(|published| published.msg_id.is_none()));
    assert_eq!(stage.outcome(op), "ok");
}

#[test]
fn retries_are_counted() {
    let mut stage = Stage::new(3);
    let producer = stage.producer(|config| config.retries = Some(2));
    stage.send(producer, 0, 1);
    stage.run(SECOND);
    stage.played().manner = Manner::Silent;
    let op = stage.send(producer, 0, 2);
    stage.run(14 * SECOND);
    assert_eq!(stage.outcome(op), "nothing yet");
    stage.run(2 * SECOND);
    assert_eq!((stage.values(), stage.outcome(op)), (vec![1, 2, 2, 2], "unknown TIMED_OUT".to_owned()));
}

#[test]
fn an_idempotent_record_keeps_its_id_and_its_place() {
    let mut stage = Stage::new(3);
    let producer = stage.producer(|config| config.idempotent = true);
    stage.send(producer, 0, 1);
    stage.run(SECOND);
    stage.played().manner = Manner::Silent;
    for value in 2..5 {
        stage.send(producer, 0, value);
    }
    // Another unit does not wait for this one.
    stage.send(producer, 1, 5);
    stage.run(12 * SECOND);
    stage.played().manner = Manner::Fine;
    stage.run(10 * SECOND);
    let of = |partition| {
        let published = &stage.world.model().published;
        published.iter().filter(|p| p.partition == partition).map(|p| p.value).collect::<Vec<_>>()
    };
    assert_eq!((of(0), of(1)), (vec![1, 2, 2, 2, 2, 3, 4], vec![5, 5, 5, 5]));
    let published = &stage.world.model().published;
    let ids: BTreeSet<_> = published.iter().map(|p| (p.value, p.msg_id.expect("an id"))).collect();
    assert_eq!(ids.len(), 5, "one id a record");
    assert_eq!(ids.iter().map(|(_, id)| *id).collect::<BTreeSet<_>>().len(), 5, "and each its own");
    assert!((1..=5).all(|op| stage.outcome(op) == "ok"));
}

#[test]
fn what_is_refused_for_now_is_sent_again_after_a_pause_until_its_time_is_up() {
    let mut stage = Stage::new(3);
    let producer =
        stage.producer(|config| (config.idempotent, config.delivery_timeout) = (true, Some(2 * SECOND)));
    stage.send(producer, 0, 1);
    stage.run(SECOND);
    stage.played().manner = Manner::NoResponders;
    let first = stage.send(producer, 0, 2);
    stage.run(5 * SECOND);
    let times: Vec<_> = stage.world.model().published.iter().filter(|p| p.value == 2).map(|p| p.at).collect();
    assert_eq!(times.len(), 8, "every 250 ms for two seconds");
    assert!(times.windows(2).all(|pair| pair[1].since(pair[0]).as_millis() >= 250));
    assert_eq!(stage.outcome(first), "fail 503");
}

#[test]
fn a_record_whose_time_is_up_before_it_was_sent_failed() {
    let mut stage = Stage::new(3);
    let producer =
        stage.producer(|config| (config.idempotent, config.delivery_timeout) = (true, Some(2 * SECOND)));
    stage.send(producer, 0, 1);
    stage.run(SECOND);
    stage.played().manner = Manner::Silent;
    let first = stage.send(producer, 0, 2);
    let behind = stage.send(producer, 0, 3);
    stage.run(3 * SECOND);
    assert_eq!(
        (stage.outcome(first), stage.outcome(behind)),
        ("nothing yet".into(), "fail TIMED_OUT".into())
    );
    stage.run(3 * SECOND);
    assert_eq!((stage.values(), stage.outcome(first)), (vec![1, 2], "unknown TIMED_OUT".into()));
}

#[test]
fn a_doubtful_attempt_leaves_the_record_in_doubt() {
    let mut stage = Stage::new(3);
    let producer =
        stage.producer(|config| (config.idempotent, config.delivery_timeout) = (true, Some(7 * SECOND)));
    stage.send(producer, 0, 1);
    stage.run(SECOND);
    stage.played().manner = Manner::Silent;
    let op = stage.send(producer, 0, 2);
    stage.run(4 * SECOND);
    stage.played().manner = Manner::NoResponders;
    stage.run(10 * SECOND);
    assert_eq!(stage.outcome(op), "unknown 503");
}

#[test]
fn an_answer_that_comes_late_is_nobodys() {
    let mut stage = Stage::new(3);
    let producer = stage.producer(|_| {});
    stage.send(producer, 0, 1);
    stage.run(SECOND);
    stage.played().manner = Manner::Silent;
    let op = stage.send(producer, 0, 2);
    stage.run(6 * SECOND);
    assert_eq!(stage.outcome(op), "unknown TIMED_OUT");
    let stream = super::stage::STREAM;
    for inbox in 1..10 {
        stage.say(ServerMsg::PubAck(inbox, PubAck::Stored { stream, seq: 9, duplicate: false }));
    }
    assert_eq!(stage.sent.len(), 2, "one outcome each");
}

#[test]
fn a_window_bounds_what_is_in_flight() {
    let mut stage = Stage::new(3);
    let producer = stage.producer(|config| config.max_in_flight = Some(2));
    stage.send(producer, 0, 1);
    stage.run(SECOND);
    stage.played().manner = Manner::Silent;
    for value in 2..7 {
        stage.send(producer, 0, value);
    }
    stage.run(SECOND);
    assert_eq!(stage.values(), [1, 2, 3]);
    stage.run(5 * SECOND);
    assert_eq!(stage.values(), [1, 2, 3, 4, 5]);
}

#[test]
fn without_acks_nothing_is_asked_and_nobody_knows() {
    let mut stage = Stage::new(3);
    let producer = stage.producer(|config| config.acks = Acks::None);
    let op = stage.send(producer, 0, 1);
    stage.run(SECOND);
    assert_eq!(stage.outcome(op), "unknown NO_ACK");
    assert!(!stage.played().published[0].wants_ack);
}

#[test]
fn what_no_server_takes_is_refused_by_the_library() {
    let mut stage = Stage::new(3);
    let producer = stage.producer(|_| {});
    let topic = Topic::new("orders");
    let large = Record::new(&topic, None, Bytes::from(vec![0; 2 << 20]));
    let long = Record::new(&topic, Some(Bytes::from(vec![b'.'; 2_000])), Bytes::new());
    let ops = [large, long].map(|record| stage.call(producer, |op| Call::Send(op, record)));
    let outcomes = ops.map(|op| stage.outcome(op));
    assert_eq!(outcomes, ["fail MAX_PAYLOAD_EXCEEDED", "fail SUBJECT_TOO_LONG"]);
}

#[test]
fn a_close_waits_for_the_outcomes() {
    let mut stage = Stage::new(3);
    let producer = stage.producer(|_| {});
    stage.send(producer, 0, 1);
    stage.run(SECOND);
    stage.played().manner = Manner::Silent;
    stage.send(producer, 0, 2);
    let close = stage.call(producer, Call::Close);
    stage.run(4 * SECOND);
    assert_eq!(stage.ack_outcome(close), "nothing yet");
    stage.run(2 * SECOND);
    assert_eq!(stage.ack_outcome(close), "ok");
}
