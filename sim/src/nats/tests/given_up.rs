//! What consumers gave up: who of a queue hears of it, and what can be had of it then.

use super::*;
use crate::nats::protocol::GroupIx;

/// A consumer that gives up after its first delivery, and so many messages for it.
fn hasty(lab: &mut Lab, messages: u64) -> (ConsumerId, GroupIx) {
    let id = lab.consumer(NodeId(0), None, |config| {
        config.max_deliver = Some(1);
        config.ack_wait = Some(secs(2));
    });
    for _ in 0..messages {
        lab.stored(NodeId(0), 0);
    }
    (id, GroupIx(0))
}

fn queue(lab: &mut Lab, at: NodeId, group: GroupIx) -> u64 {
    let inbox = lab.say(at, |inbox| ClientMsg::QueueGivenUp(STREAM, group, inbox));
    lab.run(millis(50));
    inbox
}

/// Has every message delivered and given up.
fn give_up(lab: &mut Lab, id: ConsumerId) {
    lab.pull(NodeId(0), id, 100, Some(secs(60)));
    lab.run(secs(4));
}

#[test]
fn n1_of_a_queue_one_hears_and_who_is_near_comes_first() {
    let mut lab = Lab::new(21);
    let (id, group) = hasty(&mut lab, 6);
    let near = lab.consumer_leader(id);
    let inboxes: Vec<(NodeId, u64)> =
        lab.servers().collect::<Vec<_>>().into_iter().map(|at| (at, queue(&mut lab, at, group))).collect();
    give_up(&mut lab, id);
    for (at, inbox) in inboxes {
        let heard = lab.heard(inbox).len();
        assert_eq!(heard, if at == near { 6 } else { 0 }, "{at}, {near} leads");
    }
}

#[test]
fn n1_of_a_queue_elsewhere_one_hears_drawn() {
    let mut lab = Lab::new(22);
    let (id, group) = hasty(&mut lab, 12);
    let near = lab.consumer_leader(id);
    let far: Vec<NodeId> = lab.servers().filter(|server| *server != near).collect();
    let inboxes: Vec<u64> = far.into_iter().map(|at| queue(&mut lab, at, group)).collect();
    give_up(&mut lab, id);
    let heard: Vec<usize> = inboxes.iter().map(|inbox| lab.heard(*inbox).len()).collect();
    assert_eq!(heard.iter().sum::<usize>(), 12, "each once: {heard:?}");
    assert!(heard.iter().all(|times| *times > 0), "both: {heard:?}");
}

/// Also what becomes of it: nobody keeps an advisory, and the message stays where it was.
#[test]
fn n2_without_anybody_in_the_queue_the_advisory_is_lost_and_the_message_can_still_be_fetched() {
    let mut lab = Lab::new(23);
    let (id, group) = hasty(&mut lab, 1);
    let left = queue(&mut lab, NodeId(1), group);
    lab.hang_up();
    lab.run(secs(1));
    give_up(&mut lab, id);
    let late = queue(&mut lab, NodeId(1), group);
    lab.run(secs(10));
    assert_eq!((lab.heard(left).len(), lab.heard(late).len()), (0, 0));
    assert_eq!(lab.api(NodeId(2), ApiRequest::MessageGet(STREAM, 1)), "message 1");
    assert_eq!(lab.api(NodeId(2), ApiRequest::MessageGet(STREAM, 2)), "10037");
    assert_eq!(lab.api(NodeId(2), ApiRequest::MessageGet(StreamIx(9), 1)), "10059");
}
