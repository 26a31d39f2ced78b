//! Publishing: acks, deduplication, limits.

use super::*;
use crate::nats::{
    config::StreamConfig,
    error::ApiError,
    protocol::GroupIx,
    rules::{Dedup, Sync},
};

fn stored(seq: u64, duplicate: bool) -> Heard {
    Heard::PubAck(PubAck::Stored { stream: STREAM, seq, duplicate })
}

#[test]
fn n13_every_server_takes_a_publish_and_all_copies_are_equal() {
    let mut lab = Lab::new(1);
    for (number, via) in [0, 1, 2, 0, 1].into_iter().enumerate() {
        assert_eq!(lab.stored(NodeId(via), number as u32 % 2), number as u64 + 1);
    }
    lab.run(millis(5));
    let copies: Vec<_> = lab.servers().map(|node| lab.copy(node)).collect();
    assert_eq!(copies[0].len(), 5);
    assert!(copies.iter().all(|copy| *copy == copies[0]));
    let (first, end) = lab.nats().bounds(&Unit::new(&Topic::new("t"), 1)).expect("it leads");
    assert_eq!((first.0, end.0), (2, 5), "partition 1 has the sequences 2 and 4");
}

#[test]
fn n11_a_publish_to_nothing_is_503_at_once_and_a_core_publish_is_silent() {
    let mut lab = Lab::new(2);
    let nowhere = StreamIx(7);
    let record = Arc::new(Record::new(&Topic::new("t"), None, Bytes::new()));
    let publish = Publish { stream: nowhere, partition: 0, record, msg_id: None };
    let inbox = lab.say(NodeId(0), |inbox| ClientMsg::Publish(publish.clone(), Some(inbox)));
    assert_eq!(lab.answer(inbox), Heard::Status(Status::NoResponders));
    assert!(lab.heard_at(inbox)[0] < Time::from_millis(10));
    let inbox = lab.say(NodeId(0), |_| ClientMsg::Publish(Publish { stream: STREAM, ..publish }, None));
    lab.run(secs(1));
    assert!(lab.heard(inbox).is_empty());
    assert_eq!(lab.copy(lab.leader()).len(), 1);
}

#[test]
fn n14_an_id_within_the_window_is_a_duplicate_with_the_first_sequence() {
    let mut lab = Lab::new(3);
    lab.stored(NodeId(0), 0);
    let first = lab.publish(NodeId(0), 0, Some(7));
    assert_eq!(lab.answer(first), stored(2, false));
    lab.run(secs(119));
    let again = lab.publish(NodeId(1), 1, Some(7));
    assert_eq!(lab.answer(again), stored(2, true), "per stream, not per subject");
    // A4: the duplicate did not renew the window.
    lab.run(secs(2));
    let late = lab.publish(NodeId(0), 0, Some(7));
    assert_eq!(lab.answer(late), stored(3, false));
}

#[test]
fn n14_an_id_in_flight_is_refused() {
    let mut lab = Lab::new(4);
    let leader = lab.leader();
    lab.partition(leader);
    let (_, again) = (lab.publish(leader, 0, Some(7)), lab.publish(leader, 0, Some(7)));
    assert_eq!(lab.answer(again), Heard::PubAck(PubAck::Refused(ApiError::DuplicateInFlight)));
}

#[test]
fn n14_the_window_survives_a_change_of_leader_and_a_restart_of_all() {
    let mut lab = Lab::new(5);
    let first = lab.publish(NodeId(0), 0, Some(7));
    assert_eq!(lab.answer(first), stored(1, false));
    let leader = lab.leader();
    lab.world.kill(leader);
    lab.until(secs(20), |lab| lab.has_other_leader(leader));
    let via = lab.leader();
    let again = lab.publish(via, 0, Some(7));
    assert_eq!(lab.answer(again), stored(1, true));
    for node in lab.servers() {
        lab.world.kill(node);
        lab.world.start(node);
    }
    lab.run(secs(20));
    let again = lab.publish(via, 0, Some(7));
    assert_eq!(lab.answer(again), stored(1, true));
}

/// A publish that a leader took and never stored; the answer to its retry when that leader is back in office, and
/// how many messages there are then.
fn a15(dedup: Dedup) -> (Heard, usize) {
    let mut lab = Lab::watched(6, 3, Rules { dedup, ..nats_2_15() }, |_| false);
    lab.topic("t", &[]);
    lab.start();
    let leader = lab.leader();
    lab.partition(leader);
    lab.publish(leader, 0, Some(7));
    lab.until(secs(20), |lab| lab.has_other_leader(leader));
    lab.heal(leader);
    lab.run(secs(5));
    while lab.has_other_leader(leader) {
        let other = lab.leader();
        lab.world.stop(other);
        lab.run(secs(2));
        lab.world.start(other);
        lab.run(secs(5));
    }
    let again = lab.publish(leader, 0, Some(7));
    (lab.answer(again), lab.copy(leader).len())
}

#[test]
fn a15_a_retry_after_a_change_of_leader_is_stored() {
    assert_eq!(a15(Dedup::AtStore), (stored(1, false), 1));
    // Before 2.11.0: a success that is a loss.
    assert_eq!(a15(Dedup::AtReceipt), (stored(1, true), 0));
}

#[test]
fn n12_limits() {
    let mut lab = Lab::bare(7, 3, nats_2_15());
    lab.topic("t", &[("max_msgs", "2"), ("discard", "new"), ("max_msg_size", "1000")]);
    lab.start();
    lab.stored(NodeId(0), 0);
    lab.stored(NodeId(0), 0);
    let full = lab.publish(NodeId(0), 0, None);
    assert_eq!(lab.answer(full), Heard::PubAck(PubAck::Refused(ApiError::StreamStoreFailed)));
    let record = Arc::new(Record::new(&Topic::new("t"), None, Bytes::from(vec![0; 1000])));
    let publish = Publish { stream: STREAM, partition: 0, record, msg_id: None };
    let large = lab.say(NodeId(0), |inbox| ClientMsg::Publish(publish, Some(inbox)));
    assert_eq!(lab.answer(large), Heard::PubAck(PubAck::Refused(ApiError::MessageTooLarge)));
}

#[test]
fn n12_discard_old_drops_from_the_head() {
    let mut lab = Lab::bare(8, 3, nats_2_15());
    lab.topic("t", &[("max_msgs", "2")]);
    lab.start();
    for partition in [0, 1, 1] {
        lab.stored(NodeId(0), partition);
    }
    let bounds =
        |lab: &Lab, partition| lab.nats().bounds(&Unit::new(&Topic::new("t"), partition)).expect("leads");
    assert_eq!((bounds(&lab, 0).0.0, bounds(&lab, 0).1.0), (2, 2), "nothing is left of partition 0");
    assert_eq!((bounds(&lab, 1).0.0, bounds(&lab, 1).1.0), (2, 4));
}

#[test]
fn n12_the_same_stream_again_is_fine_and_another_is_refused() {
    let mut lab = Lab::new(9);
    let known = Arc::clone(&lab.nats().servers[0].meta.streams[&STREAM].config);
    assert_eq!(lab.api(NodeId(0), ApiRequest::StreamCreate(STREAM, Arc::clone(&known))), "stream");
    let other = Arc::new(StreamConfig { partitions: 9, ..(*known).clone() });
    assert_eq!(lab.api(NodeId(1), ApiRequest::StreamCreate(STREAM, other)), "10058");
    let new = StreamIx(1);
    lab.world.model_mut().shared.names.intern_stream(&Topic::new("u"));
    assert_eq!(lab.api(NodeId(2), ApiRequest::StreamInfo(new)), "10059");
    assert_eq!(lab.api(NodeId(2), ApiRequest::StreamCreate(new, known)), "stream");
    assert_eq!(lab.api(NodeId(0), ApiRequest::StreamInfo(new)), "stream");
    let nobody = ConsumerId::durable(new, GroupIx(0), None);
    assert_eq!(lab.api(NodeId(0), ApiRequest::ConsumerInfo(nobody)), "10014");
}

#[test]
fn n12_a_topic_created_while_the_cluster_runs_is_there_soon() {
    let mut lab = Lab::new(10);
    lab.topic("u", &[]);
    lab.run(secs(2));
    assert_eq!(lab.api(NodeId(1), ApiRequest::StreamInfo(StreamIx(1))), "stream");
}

#[test]
fn n17_sync_always_acks_only_what_is_synced() {
    let mut lab = Lab::with(11, Rules { sync: Sync::Always, ..nats_2_15() });
    for node in lab.servers() {
        lab.world.disk_mut(node).sync_time = millis(50);
    }
    let begin = lab.now();
    let inbox = lab.publish(NodeId(0), 0, None);
    lab.answer(inbox);
    let took = lab.now().since(begin);
    assert!(took >= millis(50) && took < millis(110), "{took:?}");
}
