//! What one Fetch of several partitions brings.

use super::*;

/// Two partitions that one broker leads, with a batch of three records in each.
fn two_of_one_leader(lab: &mut Lab) -> (NodeId, NodeId, [PartitionId; 2]) {
    let first = lab.topic_of("t", 6, 3, 2, &[]);
    let probe = lab.probe();
    let ids: Vec<PartitionId> = (0..6).map(|partition| PartitionId::new(first.topic, partition)).collect();
    let leader = lab.leader(ids[0]).expect("it has one");
    let other = ids[1..].iter().copied().find(|id| lab.leader(*id) == Some(leader)).expect("six over three");
    for id in [ids[0], other] {
        let (batch, _) = lab.batch(3, None);
        let asked = lab.produce_batch(probe, leader, id, Acks::All, batch, secs(5));
        assert_eq!(lab.produced(asked, secs(6)).expect("an answer").error, ErrorCode::None);
    }
    (probe, leader, [ids[0], other])
}

/// The limit holds over all partitions, but the first batch always comes (KIP-74).
#[test]
fn b13_one_answer_brings_what_several_partitions_hold_up_to_the_limit() {
    let mut lab = Lab::new(51);
    let (probe, leader, ids) = two_of_one_leader(&mut lab);
    let mut read = |max_bytes: u32| {
        let one = a_fetch(ids[0], 0);
        let partitions = ids.map(|id| FetchPartition { id, ..one.partitions[0] });
        let request = FetchRequest { max_bytes, partitions: Arc::new(partitions.to_vec()), ..one };
        let asked = lab.ask(probe, leader, RequestBody::Fetch(request));
        match lab.wait(asked, secs(2)) {
            Some(ResponseBody::Fetch(said)) => {
                let has = |id| said.iter().find(|at| at.id == id).map_or(0, |at| at.entries.len());
                ids.map(has)
            }
            other => panic!("not an answer to Fetch: {other:?}"),
        }
    };
    assert_eq!(read(50 << 20), [1, 1]);
    assert_eq!(read(1), [1, 0]);
    // 61 bytes of the batch and 20 of each record.
    assert_eq!(read(121), [1, 0], "the first fills it");
    assert_eq!(read(122), [1, 1], "there is room left, and a batch comes whole");
}

/// A fetch session forgets what it told of a partition that it refuses (`FetchSession.CachedPartition`), so that the
/// partition is told of again once it is not refused, though nothing is new.
#[test]
fn b1_a_refused_partition_is_told_of_again() {
    let mut lab = Lab::with(53, 3, Rules { dedicated_controllers: 1, ..kafka_4_3_test_cluster() });
    let id = lab.topic(2);
    let probe = lab.probe();
    lab.run(secs(1));
    let leader = lab.leader(id).expect("it has one");
    let follower = (0..3).map(NodeId).find(|node| *node != leader).expect("three brokers");
    let leading = lab.replica(leader, id).leading().expect("it leads");
    let known = leading.followers.iter().find(|known| known.node == follower).expect("it follows");
    let (broker_epoch, leader_epoch) = (known.broker_epoch, lab.replica(leader, id).leader_epoch);
    // From here on the probe speaks as the follower.
    lab.world.kill(follower);
    let mut fetch = |epoch: u32| {
        let one = a_fetch(id, 0);
        let at = FetchPartition { current_leader_epoch: Some(epoch), ..one.partitions[0] };
        let replica = Some((follower, broker_epoch));
        let request = FetchRequest { replica, max_wait: millis(100), partitions: Arc::new(vec![at]), ..one };
        let asked = lab.ask(probe, leader, RequestBody::Fetch(request));
        match lab.wait(asked, secs(2)) {
            Some(ResponseBody::Fetch(said)) => said.first().map(|said| (said.error, said.high_watermark)),
            other => panic!("not an answer to Fetch: {other:?}"),
        }
    };
    fetch(leader_epoch);
    assert_eq!(fetch(leader_epoch), None, "nothing is new");
    assert_eq!(fetch(leader_epoch + 1), Some((ErrorCode::UnknownLeaderEpoch, 0)));
    assert_eq!(fetch(leader_epoch), Some((ErrorCode::None, 0)));
    assert_eq!(fetch(leader_epoch), None);
}
