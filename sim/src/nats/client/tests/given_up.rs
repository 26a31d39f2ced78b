//! What a consumer makes of records that the bus gave up, and of a subscription that is full.

use super::stage::{SECOND, STREAM, Stage};
use crate::{
    kernel::NodeId,
    nats::{
        ApiError,
        protocol::{Advisory, ConsumerId, GroupIx, ServerMsg},
    },
};
use squall_bus::{ConsumerConfig, ConsumerEvent, Topic};
use std::time::Duration;

const GROUP: GroupIx = GroupIx(0);

fn config(change: impl FnOnce(&mut ConsumerConfig)) -> ConsumerConfig {
    let mut config = ConsumerConfig::group("consumer-1", "billing", &[Topic::new("orders")]);
    config.ordered = false;
    change(&mut config);
    config
}

fn patient(stage: &mut Stage) -> NodeId {
    stage.consumer(config(|config| {
        (config.max_deliver, config.ack_wait) = (Some(3), Some(Duration::from_secs(2)));
    }))
}

/// The server says that a message of this sequence was given up.
fn give_up(stage: &mut Stage, stream_seq: u64) {
    let (_, _, inbox) = *stage.played().queues.last().expect("it is in the queue");
    let consumer = ConsumerId::durable(STREAM, GROUP, None);
    stage.say(ServerMsg::Advisory(inbox, Advisory::MaxDeliveries { consumer, stream_seq, deliveries: 3 }));
    stage.run(SECOND);
}

/// Events other than the first, which is that of its units.
fn events(stage: &mut Stage, consumer: NodeId) -> Vec<String> {
    let events = stage.events(consumer).into_iter().filter_map(|event| match event {
        ConsumerEvent::Exhausted(delivery) => {
            let place = (delivery.unit.to_string(), delivery.position.0, delivery.attempt);
            Some(format!("exhausted {place:?}"))
        }
        ConsumerEvent::Error(error) => Some(error.code.to_string()),
        _ => None,
    });
    events.collect()
}

#[test]
fn who_lets_the_bus_count_has_it_count_and_hears_of_the_end() {
    let mut stage = Stage::new(3);
    let consumer = patient(&mut stage);
    let (_, made) = stage.played().created[0].clone();
    assert_eq!((made.max_deliver, made.ack_wait), (Some(3), Some(Duration::from_secs(2))));
    assert_eq!(
        stage.played().queues.iter().map(|(stream, group, _)| (*stream, *group)).collect::<Vec<_>>(),
        [(STREAM, GROUP)]
    );
    give_up(&mut stage, 7);
    assert_eq!(events(&mut stage, consumer), ["exhausted (\"orders/0\", 7, Some(3))"]);
}

#[test]
fn who_counts_alone_is_in_no_queue() {
    let mut stage = Stage::new(3);
    stage.consumer(config(|_| {}));
    assert_eq!(stage.played().queues, []);
}

#[test]
fn it_is_in_the_queue_again_on_a_new_connection() {
    let mut stage = Stage::new(3);
    let consumer = patient(&mut stage);
    stage.cut();
    stage.run(SECOND);
    assert_eq!(stage.played().queues.len(), 2);
    give_up(&mut stage, 7);
    assert_eq!(events(&mut stage, consumer), ["DISCONNECTED", "exhausted (\"orders/0\", 7, Some(3))"]);
}

#[test]
fn what_cannot_be_fetched_now_is_asked_for_again_and_what_is_gone_is_told() {
    let mut stage = Stage::new(3);
    let consumer = patient(&mut stage);
    stage.played().manner = super::stage::Manner::NoResponders;
    give_up(&mut stage, 7);
    assert!(events(&mut stage, consumer).is_empty());
    stage.played().manner = super::stage::Manner::Fine;
    stage.run(SECOND);
    assert_eq!(events(&mut stage, consumer).len(), 1);
    stage.played().manner = super::stage::Manner::Refuse(ApiError::MessageNotFound);
    give_up(&mut stage, 8);
    assert_eq!(events(&mut stage, consumer), ["10037"]);
}

#[test]
fn a_full_subscription_drops_what_comes_and_counts_it_as_asked_for() {
    let mut stage = Stage::new(3);
    let consumer = stage.consumer(config(|config| (config.prefetch, config.buffer) = (8, Some(2))));
    for seq in 1..=5 {
        stage.deliver(seq, seq, 1);
    }
    assert_eq!(events(&mut stage, consumer), ["SLOW_CONSUMER"; 3]);
    let positions: Vec<u64> = stage.records(consumer).iter().map(|(_, position, ..)| *position).collect();
    assert_eq!(positions, [1, 2], "the others will come again when their ack wait is over");
    stage.run(SECOND);
    assert_eq!(stage.played().pulls.len(), 1, "six of eight were not handed out");
    // Until it is taken for lost: it is silent.
    stage.run(31 * SECOND);
    assert_eq!(events(&mut stage, consumer), ["MISSED_HEARTBEAT"]);
    assert_eq!(stage.played().pulls.len(), 2);
}

#[test]
fn who_is_busy_with_what_waits_misses_no_heartbeat() {
    let mut stage = Stage::new(3);
    let consumer = stage.consumer(config(|config| config.prefetch = 8));
    stage.deliver(1, 1, 1);
    stage.run(100 * SECOND);
    assert!(events(&mut stage, consumer).is_empty());
    assert_eq!(stage.records(consumer).len(), 1);
    stage.run(31 * SECOND);
    assert_eq!(events(&mut stage, consumer), ["MISSED_HEARTBEAT"]);
}
