//! What a consumer makes, asks for, hands out and acknowledges.

use super::stage::{Manner, PARTITIONS, SECOND, STREAM, Stage};
use crate::{
    kernel::NodeId,
    model::Call,
    nats::{
        config::{AckPolicy, DeliverPolicy},
        protocol::{AckBody, ConsumerId, GroupIx, ServerMsg, Status},
    },
};
use squall_bus::{ConsumerConfig, ConsumerEvent, Position, Topic, Unit};
use std::time::Duration;

fn group(change: impl FnOnce(&mut ConsumerConfig)) -> ConsumerConfig {
    let mut config = ConsumerConfig::group("consumer-1", "billing", &[Topic::new("orders")]);
    change(&mut config);
    config
}

fn unit(partition: u32) -> Unit {
    Unit::new(&Topic::new("orders"), partition)
}

/// A member of a group without order: one consumer, so one pull.
fn member(stage: &mut Stage) -> NodeId {
    stage.consumer(group(|config| config.ordered = false))
}

fn errors(events: &[ConsumerEvent]) -> Vec<String> {
    events
        .iter()
        .filter_map(|event| match event {
            ConsumerEvent::Error(error) => Some(error.code.to_string()),
            _ => None,
        })
        .collect()
}

#[test]
fn order_is_one_consumer_a_unit_with_one_record_pending() {
    let mut stage = Stage::new(3);
    let consumer = stage.consumer(group(|_| {}));
    let created = &stage.world.model().created;
    let durables: Vec<_> = created.iter().map(|(id, config)| (*id, config.max_ack_pending)).collect();
    let of = |partition| (ConsumerId::durable(STREAM, GroupIx(0), Some(partition)), Some(1));
    assert_eq!(durables, [of(0), of(1)]);
    let all = (0..PARTITIONS).map(|partition| (unit(partition), None)).collect();
    assert_eq!(stage.events(consumer), [ConsumerEvent::Assigned(all)]);
    assert_eq!(stage.played().pulls.len(), 2, "it pulls from each");
}

#[test]
fn without_order_a_topic_has_one_consumer() {
    let mut stage = Stage::new(3);
    let consumer = member(&mut stage);
    let created = &stage.world.model().created;
    assert_eq!(created.len(), 1);
    assert_eq!(
        (created[0].0, created[0].1.max_ack_pending),
        (ConsumerId::durable(STREAM, GroupIx(0), None), None)
    );
    assert!(matches!(&stage.events(consumer)[..], [ConsumerEvent::Assigned(units)] if units.len() == 2));
}

#[test]
fn nobody_is_assigned_before_the_consumers_are_there() {
    let mut stage = Stage::new(3);
    stage.played().manner = Manner::NoResponders;
    let consumer = member(&mut stage);
    stage.run(20 * SECOND);
    assert_eq!((stage.events(consumer).len(), stage.played().pulls.len()), (0, 0));
    stage.played().manner = Manner::Fine;
    stage.run(SECOND);
    assert_eq!((stage.events(consumer).len(), stage.played().pulls.len()), (1, 1));
}

#[test]
fn a_pull_is_made_again_when_half_of_it_is_used_up() {
    let mut stage = Stage::new(3);
    let consumer = stage.consumer(group(|config| (config.ordered, config.prefetch) = (false, 4)));
    for seq in 1..=2 {
        stage.deliver(seq, seq, 1);
    }
    assert_eq!(stage.played().pulls.len(), 1, "fetched is not handed out");
    assert_eq!(stage.records(consumer).len(), 2);
    assert_eq!(stage.played().pulls.len(), 1, "on its way");
    stage.run(SECOND);
    let batches: Vec<u32> = stage.played().pulls.iter().map(|(_, _, request, _)| request.batch).collect();
    assert_eq!(batches, [4, 4]);
}

#[test]
fn a_record_says_which_delivery_it_is_and_is_acknowledged_by_its_tag() {
    let mut stage = Stage::new(3);
    let consumer = member(&mut stage);
    stage.deliver(7, 1, 1);
    stage.deliver(7, 2, 2);
    let records = stage.records(consumer);
    assert_eq!(records, [(0, 7, Some(1), 1), (0, 7, Some(2), 2)]);
    let op = stage.call(consumer, |op| Call::Ack(op, 2));
    stage.run(SECOND);
    let (_, token, body, confirm) = stage.played().acks[0];
    assert_eq!((token.consumer_seq, token.delivered, body, confirm), (2, 2, AckBody::Ack, true));
    let again = stage.call(consumer, |op| Call::Ack(op, 2));
    assert_eq!(
        (stage.ack_outcome(op), stage.ack_outcome(again)),
        ("ok".into(), "fail NO_SUCH_DELIVERY".into())
    );
}

#[test]
fn an_ack_is_as_certain_as_its_answer() {
    let mut stage = Stage::new(3);
    let consumer = member(&mut stage);
    stage.deliver(7, 1, 1);
    stage.records(consumer);
    for (manner, outcome) in
        [(Manner::Silent, "unknown TIMED_OUT"), (Manner::NoResponders, "fail 503"), (Manner::Fine, "ok")]
    {
        stage.played().manner = manner;
        let op = stage.call(consumer, |op| Call::Ack(op, 1));
        stage.run(4 * SECOND);
        assert_eq!(stage.ack_outcome(op) == "nothing yet", manner == Manner::Silent);
        stage.run(2 * SECOND);
        assert_eq!(stage.ack_outcome(op), outcome);
    }
}

#[test]
fn an_ack_that_asks_for_no_confirmation_is_on_its_way_and_unknown() {
    let mut stage = Stage::new(3);
    let consumer = stage.consumer(group(|config| (config.ordered, config.confirm_acks) = (false, false)));
    stage.deliver(7, 1, 1);
    stage.records(consumer);
    let op = stage.call(consumer, |op| Call::Ack(op, 1));
    assert_eq!(stage.ack_outcome(op), "unknown NOT_CONFIRMED");
    stage.run(SECOND);
    assert!(!stage.played().acks[0].3);
}

#[test]
fn naks_terms_and_signs_of_life_keep_or_end_a_delivery() {
    let mut stage = Stage::new(3);
    let consumer = member(&mut stage);
    stage.deliver(7, 1, 1);
    stage.records(consumer);
    stage.call(consumer, |op| Call::Extend(op, 1));
    stage.call(consumer, |op| Call::Nack(op, 1, SECOND));
    stage.call(consumer, |op| Call::Nack(op, 1, Duration::ZERO));
    stage.call(consumer, |op| Call::Term(op, 1));
    stage.run(SECOND);
    let bodies: Vec<AckBody> = stage.played().acks.iter().map(|(_, _, body, _)| *body).collect();
    assert_eq!(bodies, [AckBody::Progress, AckBody::Nak(Some(SECOND)), AckBody::Nak(None), AckBody::Term]);
    let after = stage.call(consumer, |op| Call::Ack(op, 1));
    assert_eq!(stage.ack_outcome(after), "fail NO_SUCH_DELIVERY");
}

#[test]
fn positions_are_not_committed() {
    let mut stage = Stage::new(3);
    let consumer = member(&mut stage);
    let op = stage.call(consumer, |op| Call::Commit(op, [(unit(0), Position(3))].into()));
    assert_eq!(stage.ack_outcome(op), "fail WRONG_CALL");
}

#[test]
fn a_pull_that_comes_to_nothing_is_made_again() {
    let mut stage = Stage::new(3);
    member(&mut stage);
    let (_, _, request, inbox) = stage.played().pulls[0];
    for (status, pause) in [
        (Status::RequestTimeout(request.batch), false),
        (Status::LeadershipChange, false),
        (Status::NoResponders, true),
        (Status::ExceededMaxWaiting, true),
    ] {
        let before = stage.played().pulls.len();
        stage.say(ServerMsg::Status(inbox, status));
        assert_eq!(stage.played().pulls.len() - before, usize::from(!pause), "{status:?}");
        stage.run(SECOND);
        assert_eq!(stage.played().pulls.len() - before, 1, "{status:?}");
    }
    let before = stage.played().pulls.len();
    stage.say(ServerMsg::Status(inbox, Status::IdleHeartbeat(0, 0)));
    stage.run(SECOND);
    assert_eq!(stage.played().pulls.len(), before, "a heartbeat asks for nothing");
}

#[test]
fn a_silent_pull_is_given_up_and_a_heartbeat_keeps_it() {
    let mut stage = Stage::new(3);
    let consumer = member(&mut stage);
    let (_, _, _, inbox) = stage.played().pulls[0];
    stage.run(20 * SECOND);
    stage.say(ServerMsg::Status(inbox, Status::IdleHeartbeat(0, 0)));
    stage.run(25 * SECOND);
    assert_eq!(stage.played().pulls.len(), 1);
    stage.run(10 * SECOND);
    assert_eq!(stage.played().pulls.len(), 2);
    assert_eq!(errors(&stage.events(consumer)), ["MISSED_HEARTBEAT"]);
}

#[test]
fn pulls_are_made_again_on_a_new_connection() {
    let mut stage = Stage::new(3);
    let consumer = stage.consumer(group(|_| {}));
    stage.cut();
    stage.run(SECOND);
    assert_eq!(stage.played().pulls.len(), 4, "both, again");
    assert_eq!(errors(&stage.events(consumer)), ["DISCONNECTED"]);
}

#[test]
fn a_group_that_lost_its_consumer_makes_it_again() {
    let mut stage = Stage::new(3);
    let consumer = member(&mut stage);
    let (_, id, _, inbox) = stage.played().pulls[0];
    stage.say(ServerMsg::Status(inbox, Status::ConsumerDeleted));
    stage.run(SECOND);
    assert_eq!(stage.played().created.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [id, id]);
    assert_eq!(stage.played().pulls.len(), 2);
    let told = stage.events(consumer).len();
    assert_eq!(told, 1, "its units are told once");
}

#[test]
fn a_reader_of_chosen_units_goes_on_behind_what_it_got() {
    let mut stage = Stage::new(3);
    let reader = stage.consumer(ConsumerConfig::assign("drain", vec![(unit(0), Some(Position(5)))]));
    let created = stage.played().created.clone();
    assert_eq!((created[0].1.deliver, created[0].1.ack), (DeliverPolicy::FromSequence(5), AckPolicy::None));
    stage.deliver(5, 1, 1);
    stage.deliver(8, 2, 1);
    // Its third delivery is missing.
    stage.deliver(12, 4, 1);
    stage.run(SECOND);
    let created = stage.played().created.clone();
    assert_eq!(created.len(), 2);
    assert_ne!(created[0].0, created[1].0);
    assert_eq!(created[1].1.deliver, DeliverPolicy::FromSequence(9));
    stage.deliver(10, 1, 1);
    let positions: Vec<u64> = stage.records(reader).iter().map(|(_, position, ..)| *position).collect();
    assert_eq!(positions, [5, 8, 10]);
    stage.cut();
    stage.run(SECOND);
    assert_eq!(stage.played().created.last().expect("another").1.deliver, DeliverPolicy::FromSequence(11));
}

#[test]
fn a_reader_seeks_and_a_group_does_not() {
    let mut stage = Stage::new(3);
    let reader = stage.consumer(ConsumerConfig::assign("reader", vec![(unit(0), None)]));
    stage.deliver(5, 1, 1);
    stage.call(reader, |_| Call::Seek(unit(0), Position(2)));
    stage.run(SECOND);
    assert_eq!(stage.records(reader), []);
    assert_eq!(stage.played().created.last().expect("another").1.deliver, DeliverPolicy::FromSequence(2));
    let mut stage = Stage::new(3);
    let consumer = member(&mut stage);
    stage.call(consumer, |_| Call::Seek(unit(0), Position(2)));
    assert_eq!(errors(&stage.events(consumer)), ["WRONG_CALL"]);
}

#[test]
fn a_close_hands_back_what_was_not_handed_out() {
    let mut stage = Stage::new(3);
    let consumer = member(&mut stage);
    stage.deliver(7, 1, 1);
    stage.deliver(8, 2, 1);
    let close = stage.call(consumer, Call::Close);
    stage.run(SECOND);
    let bodies: Vec<(u64, AckBody)> =
        stage.played().acks.iter().map(|(_, token, body, _)| (token.stream_seq, *body)).collect();
    assert_eq!(bodies, [(7, AckBody::Nak(None)), (8, AckBody::Nak(None))]);
    assert_eq!(stage.ack_outcome(close), "ok");
}
