//! Single requests to healthy brokers.

use super::*;
use crate::kafka::protocol::EpochPartition;

/// A lab with a topic, its leader and a probe.
fn lab(min_insync: u32) -> (Lab, PartitionId, NodeId, NodeId) {
    let mut lab = Lab::new(1);
    let id = lab.topic(min_insync);
    let probe = lab.probe();
    let leader = lab.leader(id).expect("a new topic has a leader");
    (lab, id, leader, probe)
}

#[test]
fn b4_what_is_acknowledged_by_all_is_on_all_in_sync_replicas() {
    let (mut lab, id, leader, probe) = lab(2);
    let (asked, value) = lab.produce(probe, leader, id, Acks::All);
    let produced = lab.produced(asked, secs(1)).expect("an answer");
    assert_eq!((produced.error, produced.base_offset), (ErrorCode::None, Some(0)));
    assert!(lab.now() < Time::from_millis(10), "two round trips, not a wait: {}", lab.now());
    for node in 0..3 {
        assert_eq!(lab.values(NodeId(node), id), [value]);
    }
    assert_eq!(lab.replica(leader, id).high_watermark, 1);
}

#[test]
fn b1_the_high_watermark_reaches_followers_one_fetch_later() {
    let (mut lab, id, leader, probe) = lab(2);
    let (asked, _) = lab.produce(probe, leader, id, Acks::All);
    lab.produced(asked, secs(1)).expect("an answer");
    let follower = NodeId((leader.0 + 1) % 3);
    assert_eq!(lab.replica(follower, id).high_watermark, 0);
    lab.run(millis(600));
    assert_eq!(lab.replica(follower, id).high_watermark, 1);
}

#[test]
fn b4_no_answer_to_acks_0_and_an_early_one_to_acks_1() {
    let (mut lab, id, leader, probe) = lab(2);
    let (asked, _) = lab.produce(probe, leader, id, Acks::None);
    assert_eq!(lab.produced(asked, secs(1)), None);
    let (asked, value) = lab.produce(probe, leader, id, Acks::One);
    let produced = lab.produced(asked, secs(1)).expect("an answer");
    assert_eq!(produced.base_offset, Some(1), "the first one is in the log too");
    assert_eq!(lab.values(leader, id).last(), Some(&value));
}

/// Nobody waits for an answer that would say what went wrong: a connection that closes says that something did.
#[test]
fn b4_a_refused_write_with_acks_0_closes_its_connection() {
    let (mut lab, id, leader, probe) = lab(2);
    let follower = NodeId((leader.0 + 1) % 3);
    for (broker, refused) in [(leader, false), (follower, true)] {
        let (asked, _) = lab.produce(probe, broker, id, Acks::None);
        assert_eq!(lab.produced(asked, secs(1)), None);
        assert_eq!(lab.kafka().probes[&probe].closed.contains(&asked.conn), refused);
    }
}

#[test]
fn b9_consumers_read_up_to_the_high_watermark() {
    let (mut lab, id, leader, probe) = lab(2);
    let (asked, _) = lab.produce(probe, leader, id, Acks::All);
    lab.produced(asked, secs(1)).expect("an answer");
    let asked = lab.fetch(probe, leader, id, 0);
    let fetched = lab.fetched(asked).expect("a record");
    assert_eq!((fetched.entries.len(), fetched.high_watermark), (1, 1));
    let begin = lab.now();
    let asked = lab.fetch(probe, leader, id, 1);
    assert!(lab.fetched(asked).is_none(), "nothing to say");
    assert_between(lab.now().since(begin), 500, 502);
    let asked = lab.fetch(probe, leader, id, 2);
    assert_eq!(lab.fetched(asked).expect("an error").error, ErrorCode::OffsetOutOfRange);
}

#[test]
fn a_fetch_that_waits_is_answered_when_a_record_is_committed() {
    let (mut lab, id, leader, probe) = lab(2);
    let waiting = lab.fetch(probe, leader, id, 0);
    lab.run(millis(100));
    let writer = lab.probe();
    let (asked, _) = lab.produce(writer, leader, id, Acks::All);
    lab.produced(asked, secs(1)).expect("an answer");
    let begin = lab.now();
    assert_eq!(lab.fetched(waiting).expect("a record").entries.len(), 1);
    assert!(lab.now().since(begin) < millis(1));
}

#[test]
fn a5_other_brokers_name_the_leader() {
    let (mut lab, id, leader, probe) = lab(2);
    let other = NodeId((leader.0 + 1) % 3);
    let (asked, _) = lab.produce(probe, other, id, Acks::All);
    let produced = lab.produced(asked, secs(1)).expect("an answer");
    assert_eq!(produced.error, ErrorCode::NotLeaderOrFollower);
    assert_eq!(produced.leader.and_then(|hint| hint.node), Some(leader));
    assert_eq!(lab.ask_leader(probe, other, id), Some(leader));
}

#[test]
fn a3_leader_epochs_of_requests_are_checked() {
    let (mut lab, id, leader, probe) = lab(2);
    let mut list = |epoch| {
        let at = ListOffsetsPartition { id, current_leader_epoch: Some(epoch), at: OffsetSpec::Latest };
        let asked = lab.ask(probe, leader, RequestBody::ListOffsets(vec![at]));
        match lab.wait(asked, secs(1)) {
            Some(ResponseBody::ListOffsets(listed)) => listed[0].error,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(list(0), ErrorCode::None);
    assert_eq!(list(1), ErrorCode::UnknownLeaderEpoch);
}

/// After a leader stopped: who knows the epoch before is fenced (74), who knows a later one is too early (75).
#[test]
fn a3_an_older_leader_epoch_is_fenced() {
    let (mut lab, id, leader, probe) = lab(2);
    lab.run(secs(1));
    lab.world.stop(leader);
    lab.run(secs(2));
    let leader = lab.leader(id).expect("another one");
    let mut said = |epoch: u32| {
        let known = Some(epoch);
        let at = ListOffsetsPartition { id, current_leader_epoch: known, at: OffsetSpec::Latest };
        let of = EpochPartition { id, current_leader_epoch: known, leader_epoch: 0 };
        let read = a_fetch(id, 0);
        let place = FetchPartition { current_leader_epoch: known, ..read.partitions[0] };
        let read = FetchRequest { partitions: Arc::new(vec![place]), ..read };
        let bodies = [
            RequestBody::ListOffsets(vec![at]),
            RequestBody::OffsetForLeaderEpoch(vec![of]),
            RequestBody::Fetch(read),
        ];
        bodies.map(|body| {
            let asked = lab.ask(probe, leader, body);
            match lab.wait(asked, secs(1)) {
                Some(ResponseBody::ListOffsets(listed)) => listed[0].error,
                Some(ResponseBody::OffsetForLeaderEpoch(ends)) => ends[0].error,
                Some(ResponseBody::Fetch(fetched)) => fetched.first().map_or(ErrorCode::None, |it| it.error),
                other => panic!("{other:?}"),
            }
        })
    };
    assert_eq!(said(0), [ErrorCode::FencedLeaderEpoch; 3]);
    assert_eq!(said(1), [ErrorCode::None; 3]);
    assert_eq!(said(2), [ErrorCode::UnknownLeaderEpoch; 3]);
    assert_eq!((ErrorCode::FencedLeaderEpoch.code(), ErrorCode::UnknownLeaderEpoch.code()), (74, 75));
}

/// A node that is a controller and nothing else serves no clients.
#[test]
fn a5_a_dedicated_controller_takes_no_clients() {
    let mut lab = Lab::with(1, 3, Rules { dedicated_controllers: 1, ..kafka_4_3_test_cluster() });
    let probe = lab.probe();
    lab.run(secs(1));
    let asked = lab.ask(probe, NodeId(3), RequestBody::Metadata(None));
    assert!(lab.wait(asked, secs(5)).is_none());
    assert_eq!(lab.kafka().probes[&probe].closed, [asked.conn], "it hangs up");
}

#[test]
fn an_administrator_hears_of_leaders_and_copies_counted_from_1() {
    let (lab, id, ..) = lab(2);
    let truth = lab.kafka().truth().partition(id).expect("it exists").clone();
    let from_1 = |nodes: Vec<NodeId>| nodes.into_iter().map(|node| node.0 + 1).collect::<Vec<u32>>();
    let state = &lab.kafka().describe(&Topic::new("t")).expect("it exists")[0];
    assert_eq!(state.leader.map(|node| NodeId(node - 1)), truth.leader);
    assert_eq!(state.replicas, from_1(truth.replicas.to_vec()));
    assert_eq!(state.insync, from_1(truth.isr.iter().collect()));
    assert_eq!(state.insync.len(), 3);
}

#[test]
fn the_bus_prints_the_rules_as_they_are() {
    let (lab, ..) = lab(2);
    assert_eq!(lab.kafka().rules(), lab.kafka().shared.rules.to_string());
}

#[test]
fn c3_a_repeated_batch_is_answered_with_its_offset() {
    let (mut lab, id, leader, probe) = lab(2);
    let stamp = |base_seq| Some(ProducerStamp { pid: 9, epoch: 0, base_seq, transactional: false });
    let (first, _) = lab.batch(2, stamp(0));
    let (second, _) = lab.batch(2, stamp(2));
    let (gap, _) = lab.batch(2, stamp(8));
    let mut send = |batch: &Arc<Batch>| {
        let asked = lab.produce_batch(probe, leader, id, Acks::All, Arc::clone(batch), secs(5));
        let produced = lab.produced(asked, secs(5)).expect("an answer");
        (produced.error, produced.base_offset)
    };
    assert_eq!(send(&first), (ErrorCode::None, Some(0)));
    assert_eq!(send(&second), (ErrorCode::None, Some(2)));
    assert_eq!(send(&first), (ErrorCode::None, Some(0)));
    assert_eq!(send(&gap), (ErrorCode::OutOfOrderSequenceNumber, None));
    assert_eq!(lab.replica(leader, id).log.end(), 4);
}

#[test]
fn b13_a_batch_beyond_the_limit_is_refused() {
    let (mut lab, id, leader, probe) = lab(2);
    let (batch, _) = lab.batch(1, None);
    let batch = Arc::new(Batch { bytes: 1_048_589, ..(*batch).clone() });
    let asked = lab.produce_batch(probe, leader, id, Acks::One, batch, secs(5));
    assert_eq!(lab.produced(asked, secs(5)).expect("an answer").error, ErrorCode::MessageTooLarge);
    assert_eq!(lab.replica(leader, id).log.end(), 0);
}

#[test]
fn a_batch_with_a_broken_checksum_is_refused() {
    let (mut lab, id, leader, probe) = lab(2);
    let (batch, _) = lab.batch(1, None);
    let batch = Arc::new(Batch { intact: false, ..(*batch).clone() });
    let asked = lab.produce_batch(probe, leader, id, Acks::One, batch, secs(5));
    assert_eq!(lab.produced(asked, secs(5)).expect("an answer").error, ErrorCode::CorruptMessage);
}

#[test]
fn requests_of_one_connection_are_answered_in_order() {
    let (mut lab, id, leader, probe) = lab(2);
    let (parked, _) = lab.produce(probe, leader, id, Acks::All);
    let (quick, _) = lab.produce(probe, leader, id, Acks::One);
    lab.produced(parked, secs(1)).expect("an answer");
    lab.produced(quick, secs(1)).expect("an answer");
    let at = |asked| lab.answer(asked).expect("it was answered").0;
    assert!(at(parked) < at(quick));
}

/// Seen on a real 4.3.0 broker with eight requests in the socket, twice each: closed while the first is at work, the
/// first two are appended; closed while the second is, the first three.
#[test]
fn b4_one_more_of_what_waits_in_a_socket_is_appended_though_its_client_is_gone() {
    for answered in [0, 1] {
        let (mut lab, id, leader, probe) = lab(2);
        for follower in (0..3).map(NodeId).filter(|node| *node != leader) {
            lab.world.pause(follower);
        }
        let produce = |lab: &mut Lab| {
            let (batch, values) = lab.batch(1, None);
            (lab.produce_batch(probe, leader, id, Acks::All, batch, secs(1)), values[0])
        };
        let sent: Vec<(Asked, u64)> = (0..8).map(|_| produce(&mut lab)).collect();
        for (asked, _) in &sent[..answered] {
            lab.produced(*asked, secs(2)).expect("its time is up");
        }
        lab.run(millis(300));
        lab.hang_up(probe, leader);
        lab.run(secs(5));
        let values: Vec<u64> = sent[..answered + 2].iter().map(|(_, value)| *value).collect();
        assert_eq!(lab.values(leader, id), values);
    }
}

#[test]
fn producer_ids_are_unique() {
    let (mut lab, _, _, probe) = lab(2);
    let mut ids = Vec::new();
    for broker in [0, 0, 1, 2] {
        let asked = lab.ask(probe, NodeId(broker), RequestBody::InitProducerId);
        match lab.wait(asked, secs(1)) {
            Some(ResponseBody::InitProducerId(pid)) => ids.push(pid),
            other => panic!("{other:?}"),
        }
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4);
}

#[test]
fn a5_a_topic_created_while_the_cluster_runs_is_unknown_3_and_usable_soon() {
    let (mut lab, _, _, probe) = lab(2);
    lab.run(secs(3));
    let id = lab.topic_of("later", 4, 3, 2, &[]);
    let asked = lab.ask(probe, NodeId(0), RequestBody::Metadata(Some(vec![id.topic])));
    let Some(ResponseBody::Metadata(found)) = lab.wait(asked, secs(1)) else { panic!("no answer") };
    assert_eq!(found.topics[0].error, ErrorCode::UnknownTopicOrPartition, "brokers have not heard of it");
    lab.run(secs(1));
    let leader = lab.leader(id).expect("it has a leader");
    let (asked, _) = lab.produce(probe, leader, id, Acks::All);
    assert_eq!(lab.produced(asked, secs(1)).expect("an answer").error, ErrorCode::None);
}

#[test]
fn b4_other_acks_are_refused_with_21_before_the_append() {
    let (mut lab, id, leader, probe) = lab(2);
    for acks in [-2, 2, i16::MAX] {
        let (batch, _) = lab.batch(1, None);
        let request = ProduceRequest {
            acks: RequiredAcks(acks),
            timeout: secs(5),
            txn: None,
            batches: [(id, batch)].into(),
        };
        let asked = lab.ask(probe, leader, RequestBody::Produce(request));
        let produced = lab.produced(asked, secs(1)).expect("an answer");
        assert_eq!((produced.error, produced.error.code()), (ErrorCode::InvalidRequiredAcks, 21));
    }
    assert_eq!(lab.replica(leader, id).log.end(), 0);
    let (asked, _) = lab.produce(probe, leader, id, Acks::All);
    assert_eq!(lab.produced(asked, secs(1)).expect("the connection lives").error, ErrorCode::None);
}

#[test]
fn a5_without_a_leader_clients_are_told_5_and_6() {
    let (mut lab, _, _, probe) = lab(2);
    let id = lab.topic_of("alone", 1, 1, 1, &[]);
    lab.run(secs(3));
    let leader = lab.leader(id).expect("it has one");
    lab.world.kill(leader);
    lab.until(secs(15), |kafka| {
        kafka.truth().partition(id).is_some_and(|partition| partition.leader.is_none())
    });
    lab.run(millis(100));
    let other = NodeId((leader.0 + 1) % 3);
    let asked = lab.ask(probe, other, RequestBody::Metadata(Some(vec![id.topic])));
    let Some(ResponseBody::Metadata(found)) = lab.wait(asked, secs(1)) else { panic!("no answer") };
    let partition = found.topics[0].partitions[0];
    assert_eq!((partition.error, partition.error.code()), (ErrorCode::LeaderNotAvailable, 5));
    assert_eq!(partition.leader, None);
    let (asked, _) = lab.produce(probe, other, id, Acks::All);
    let produced = lab.produced(asked, secs(1)).expect("an answer");
    assert_eq!((produced.error, produced.error.code()), (ErrorCode::NotLeaderOrFollower, 6));
}

/// The guarantee is the session's: a producer that begins again has another id, and the broker knows nothing of what
/// the one before sent.
#[test]
fn c4_another_session_duplicates() {
    let (mut lab, id, leader, probe) = lab(2);
    let mut offsets = Vec::new();
    let (batch, values) = lab.batch(1, None);
    for pid in [7, 8] {
        let stamp = ProducerStamp { pid, epoch: 0, base_seq: 0, transactional: false };
        let again = Arc::new(Batch::of_records(batch.records().to_vec(), Some(stamp), Time::ZERO));
        let asked = lab.produce_batch(probe, leader, id, Acks::All, again, secs(5));
        offsets.push(lab.produced(asked, secs(5)).expect("an answer").base_offset);
    }
    assert_eq!(offsets, [Some(0), Some(1)]);
    assert_eq!(lab.values(leader, id), [values[0], values[0]]);
}
