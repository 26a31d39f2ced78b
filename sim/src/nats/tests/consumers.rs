//! Pull consumers: deliveries, acks, redelivery, requests.

use super::*;

#[test]
fn n15_a_pull_delivers_in_order_and_no_wait_ends_with_404() {
    let mut lab = Lab::new(1);
    for partition in [0, 1, 0, 0] {
        lab.stored(NodeId(0), partition);
    }
    let id = lab.consumer(NodeId(1), Some(0), |_| ());
    let pull = lab.pull(NodeId(1), id, 10, None);
    lab.run(millis(100));
    assert_eq!(lab.delivered(pull), [(1, 1, 1), (3, 2, 1), (4, 3, 1)]);
    assert_eq!(lab.heard(pull).last(), Some(&Heard::Status(Status::NoMessages)));
    let nothing = lab.pull(NodeId(1), id, 10, None);
    assert_eq!(lab.answer(nothing), Heard::Status(Status::NoMessages));
}

#[test]
fn n15_a_request_waits_for_messages_and_expires_with_408() {
    let mut lab = Lab::new(2);
    let id = lab.consumer(NodeId(0), None, |_| ());
    let begin = lab.now();
    let pull = lab.pull(NodeId(2), id, 3, Some(secs(5)));
    lab.run(secs(1));
    lab.stored(NodeId(1), 0);
    lab.run(secs(6));
    assert_eq!(lab.delivered(pull), [(1, 1, 1)]);
    assert_eq!(lab.heard(pull).last(), Some(&Heard::Status(Status::RequestTimeout(2))));
    let expired = lab.heard_at(pull)[1].since(begin);
    assert!(expired >= secs(5) && expired < millis(5_010), "{expired:?}");
}

#[test]
fn n15_heartbeats_come_while_a_request_waits() {
    let mut lab = Lab::new(3);
    let id = lab.consumer(NodeId(0), None, |_| ());
    let request =
        PullRequest { batch: 1, expires: Some(secs(10)), no_wait: false, idle_heartbeat: Some(secs(3)) };
    let pull = lab.say(NodeId(0), |inbox| ClientMsg::Pull(id, request, inbox));
    lab.run(secs(11));
    let beat = Heard::Status(Status::IdleHeartbeat(0, 0));
    assert_eq!(lab.heard(pull), [beat.clone(), beat.clone(), beat, Heard::Status(Status::RequestTimeout(1))]);
}

#[test]
fn n15_redelivery_order_as_a_real_server_does() {
    let mut lab = Lab::new(4);
    for _ in 0..8 {
        lab.stored(NodeId(0), 0);
    }
    let id = lab.consumer(NodeId(0), None, |_| ());
    let pull = lab.pull(NodeId(0), id, 4, Some(secs(30)));
    lab.run(millis(50));
    let deliveries = lab.delivered(pull);
    assert_eq!(deliveries.iter().map(|delivery| delivery.0).collect::<Vec<_>>(), [1, 2, 3, 4]);
    for (place, body) in [
        (2, AckBody::Nak(None)),
        (0, AckBody::Nak(None)),
        (1, AckBody::Nak(Some(millis(400)))),
        (3, AckBody::Ack),
    ] {
        lab.ack(NodeId(0), id, deliveries[place], body);
    }
    lab.run(millis(50));
    // As measured: NAK 3, NAK 1, NAK 2 (400 ms), ack 4 -> 3, 1, 5, 6, 7, 8, 2.
    let pull = lab.pull(NodeId(0), id, 7, Some(secs(30)));
    lab.run(secs(1));
    let again: Vec<_> = lab.delivered(pull).iter().map(|delivery| (delivery.0, delivery.2)).collect();
    assert_eq!(again, [(3, 2), (1, 2), (5, 1), (6, 1), (7, 1), (8, 1), (2, 2)]);
}

#[test]
fn a11_after_the_ack_wait_everything_due_comes_again_in_order() {
    let mut lab = Lab::new(5);
    for _ in 0..4 {
        lab.stored(NodeId(0), 0);
    }
    let id = lab.consumer(NodeId(0), None, |_| ());
    let pull = lab.pull(NodeId(0), id, 3, Some(secs(100)));
    lab.run(secs(29));
    assert_eq!(lab.delivered(pull).len(), 3);
    let pull = lab.pull(NodeId(0), id, 10, Some(secs(100)));
    lab.run(millis(500));
    assert_eq!(lab.delivered(pull), [(4, 4, 1)], "nothing is due");
    lab.run(secs(2));
    assert_eq!(lab.delivered(pull), [(4, 4, 1), (1, 5, 2), (2, 6, 2), (3, 7, 2)]);
}

#[test]
fn n15_progress_restarts_the_ack_wait_and_term_ends_it() {
    let mut lab = Lab::new(6);
    lab.stored(NodeId(0), 0);
    lab.stored(NodeId(0), 0);
    let id = lab.consumer(NodeId(0), None, |_| ());
    let advisories = lab.say(NodeId(2), |inbox| ClientMsg::Advisories(STREAM, inbox));
    let pull = lab.pull(NodeId(0), id, 10, Some(secs(200)));
    lab.run(secs(20));
    let [first, second] = lab.delivered(pull)[..] else { panic!("two") };
    lab.ack(NodeId(0), id, first, AckBody::Progress);
    lab.ack(NodeId(0), id, second, AckBody::Term);
    lab.run(secs(25));
    assert_eq!(lab.delivered(pull).len(), 2);
    lab.run(secs(10));
    assert_eq!(lab.delivered(pull)[2..], [(1, 3, 2)]);
    let terminated = Advisory::Terminated { consumer: id, stream_seq: 2, deliveries: 1 };
    assert_eq!(lab.heard(advisories), [Heard::Advisory(terminated)]);
}

#[test]
fn n2_the_last_delivery_ends_with_an_advisory_when_it_would_come_again() {
    // Not refused; refused with a delay; refused at once, with and without a request that waits.
    for (refused, waits, told) in [
        (None, true, millis(5_000)),
        (Some(Some(secs(1))), true, millis(2_000)),
        (Some(None), true, millis(1_000)),
        (Some(None), false, millis(8_000)),
    ] {
        last_delivery(refused, waits, told);
    }
}

/// The second and last of two deliveries is `refused` after a second, and `told` is when the advisory comes.
fn last_delivery(refused: Option<Option<Duration>>, waits: bool, told: Duration) {
    let mut lab = Lab::new(7);
    lab.stored(NodeId(0), 0);
    let id = lab.consumer(NodeId(0), None, |config| {
        config.max_deliver = Some(2);
        config.ack_wait = Some(secs(5));
    });
    let advisories = lab.say(NodeId(1), |inbox| ClientMsg::Advisories(STREAM, inbox));
    let pull = lab.pull(NodeId(0), id, if waits { 10 } else { 2 }, Some(secs(200)));
    lab.until(secs(6), |lab| lab.delivered(pull).len() == 2);
    let last = lab.now();
    let [_, second] = lab.delivered(pull)[..] else { panic!("two deliveries") };
    lab.run(secs(1));
    if let Some(delay) = refused {
        lab.ack(NodeId(0), id, second, AckBody::Nak(delay));
    }
    lab.run(secs(7));
    // Time for a request, if none waited.
    let late = lab.pull(NodeId(0), id, 10, Some(secs(200)));
    lab.run(secs(30));
    let after = lab.heard_at(advisories)[0].since(last);
    // Both were heard at the end of their ways.
    assert!(after.abs_diff(told) < millis(20), "{refused:?}: {after:?}, not {told:?}");
    assert!(lab.delivered(late).is_empty());
    let over = Advisory::MaxDeliveries { consumer: id, stream_seq: 1, deliveries: 2 };
    assert_eq!(lab.heard(advisories), [Heard::Advisory(over)]);
    assert_eq!(lab.delivered(pull).len(), 2);
    assert_eq!(lab.copy(NodeId(0)).len(), 1, "the message stays in the stream");
    let committed = lab.nats().committed("g", &lab.unit()).expect("it has a leader");
    assert_eq!(committed.map(|position| position.0), Some(2));
}

#[test]
fn n15_max_ack_pending_stops_new_messages_only() {
    let mut lab = Lab::new(8);
    for _ in 0..3 {
        lab.stored(NodeId(0), 0);
    }
    let id = lab.consumer(NodeId(0), Some(0), |config| config.max_ack_pending = Some(1));
    let pull = lab.pull(NodeId(0), id, 10, Some(secs(100)));
    lab.run(secs(1));
    assert_eq!(lab.delivered(pull), [(1, 1, 1)]);
    lab.ack(NodeId(0), id, (1, 1, 1), AckBody::Nak(None));
    lab.run(secs(1));
    assert_eq!(lab.delivered(pull), [(1, 1, 1), (1, 2, 2)]);
    // A late ack of an older delivery counts.
    let double = lab.ack(NodeId(0), id, (1, 1, 1), AckBody::Ack);
    lab.run(secs(1));
    assert_eq!(lab.heard(double), [Heard::AckReply]);
    assert_eq!(lab.delivered(pull)[2..], [(2, 3, 1)]);
}

#[test]
fn n15_another_consumer_leader_says_409_and_repeats_what_was_not_acked() {
    let mut lab = Lab::new(9);
    for _ in 0..2 {
        lab.stored(NodeId(0), 0);
    }
    let id = lab.consumer(NodeId(0), None, |_| ());
    let leader = lab.consumer_leader(id);
    let via = lab.servers().find(|node| *node != leader).expect("there are three");
    let pull = lab.pull(via, id, 10, Some(secs(200)));
    lab.run(secs(1));
    lab.ack(via, id, (1, 1, 1), AckBody::Ack);
    lab.run(secs(1));
    lab.world.stop(leader);
    lab.run(secs(3));
    assert_eq!(lab.heard(pull).last(), Some(&Heard::Status(Status::LeadershipChange)));
    let pull = lab.pull(via, id, 10, Some(secs(200)));
    lab.run(secs(31));
    assert_eq!(lab.delivered(pull), [(2, 3, 2)]);
}

#[test]
fn n15_requests_of_a_client_that_is_gone_take_no_messages() {
    let mut lab = Lab::new(10);
    let id = lab.consumer(NodeId(0), None, |_| ());
    let leader = lab.consumer_leader(id);
    let via = lab.servers().find(|node| *node != leader).expect("there are three");
    lab.pull(via, id, 10, Some(secs(200)));
    lab.run(secs(1));
    let probe = lab.probe;
    lab.world.enter(probe, |nats, ctx| {
        let conn = nats.probes.get_mut(&probe).and_then(|probe| probe.conns.remove(&via));
        ctx.close(conn.expect("it is connected"));
    });
    lab.run(secs(1));
    lab.stored(leader, 0);
    let pull = lab.pull(leader, id, 1, Some(secs(5)));
    lab.run(secs(1));
    assert_eq!(lab.delivered(pull), [(1, 1, 1)]);
}

#[test]
fn n15_a_consumer_that_nobody_uses_is_deleted_unless_it_is_durable() {
    let mut lab = Lab::new(11);
    let ephemeral = ConsumerId::ephemeral(STREAM, 77);
    let config = Arc::new(ConsumerConfig { replicas: Some(1), ..ConsumerConfig::new(None) });
    assert_eq!(lab.api(NodeId(0), ApiRequest::ConsumerCreate(ephemeral, config)), "consumer");
    let durable = lab.consumer(NodeId(0), None, |_| ());
    lab.run(secs(4));
    assert_eq!(lab.api(NodeId(0), ApiRequest::ConsumerInfo(ephemeral)), "consumer");
    lab.run(secs(3));
    assert_eq!(lab.api(NodeId(0), ApiRequest::ConsumerInfo(ephemeral)), "10014");
    assert_eq!(lab.api(NodeId(0), ApiRequest::ConsumerInfo(durable)), "consumer");
    let pull = lab.pull(NodeId(0), durable, 1, Some(secs(100)));
    lab.run(secs(1));
    assert_eq!(lab.api(NodeId(1), ApiRequest::ConsumerDelete(durable)), "deleted");
    lab.run(secs(1));
    assert_eq!(lab.heard(pull), [Heard::Status(Status::ConsumerDeleted)]);
}

#[test]
fn a10_a_replicated_consumer_delivers_only_what_a_majority_knows() {
    let delivered = |deliver_after_quorum| {
        let mut lab = Lab::with(12, Rules { deliver_after_quorum, ..nats_2_15() });
        let id = lab.consumer(NodeId(0), None, |_| ());
        lab.stored(NodeId(0), 0);
        let leader = lab.consumer_leader(id);
        lab.partition(leader);
        let pull = lab.pull(leader, id, 1, Some(secs(3)));
        lab.run(secs(2));
        lab.delivered(pull).len()
    };
    assert_eq!((delivered(true), delivered(false)), (0, 1));
}

#[test]
fn n15_the_acknowledged_position_is_the_lowest_that_waits() {
    let mut lab = Lab::new(13);
    for partition in [0, 0, 1, 0] {
        lab.stored(NodeId(0), partition);
    }
    let committed = |lab: &Lab, partition| {
        let unit = Unit::new(&Topic::new("t"), partition);
        lab.nats().committed("g", &unit).expect("it has a leader").map(|position| position.0)
    };
    let id = lab.consumer(NodeId(0), None, |_| ());
    assert_eq!(committed(&lab, 0), Some(1));
    let pull = lab.pull(NodeId(0), id, 3, Some(secs(5)));
    lab.run(millis(50));
    for (delivery, floors) in lab.delivered(pull).into_iter().zip([(2, 3), (4, 3), (4, 4)]) {
        lab.ack(NodeId(0), id, delivery, AckBody::Ack);
        lab.run(millis(50));
        assert_eq!((committed(&lab, 0), committed(&lab, 1)), (Some(floors.0), Some(floors.1)));
    }
}
