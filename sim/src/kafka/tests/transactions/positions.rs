//! A group's positions in transactions (D6).

use super::*;
use crate::kafka::protocol::{OffsetFetchRequest, TopicIx};

/// The group's coordinator and what it says of positions in a transaction.
impl Txns {
    fn group(&mut self) -> (GroupIx, NodeId) {
        let group = self.lab.world.model_mut().shared.names.intern_group("billing");
        let node = self.lab.kafka().resolve(&Role::Coordinator("billing".to_owned()))[0];
        (group, node)
    }

    fn add_offsets(&mut self, producer: ProducerIdAndEpoch, group: GroupIx) -> ErrorCode {
        match self.request(TxnRequest::AddOffsets(self.txn, producer, group)) {
            TxnResponse::AddOffsets(error) => error,
            other => panic!("{other:?}"),
        }
    }

    fn commit_offset(
        &mut self,
        producer: ProducerIdAndEpoch,
        offset: u64,
        member: Option<crate::kafka::protocol::MemberEpoch>,
        version: TransactionVersion,
    ) -> ErrorCode {
        let (group, node) = self.group();
        let request = TxnOffsetCommitRequest {
            txn: ProduceTxn { txn: self.txn, version },
            producer,
            group,
            member,
            offsets: vec![CommittedOffset {
                partition: self.ids[0],
                offset,
                leader_epoch: None,
                metadata_bytes: 0,
            }],
        };
        let asked = self.lab.ask(self.probe, node, RequestBody::TxnOffsetCommit(request));
        match self.lab.wait(asked, secs(5)) {
            Some(ResponseBody::OffsetCommit(results)) => results[0].1,
            other => panic!("{other:?}"),
        }
    }

    fn fetch_offset(&mut self, stable: bool) -> Result<Option<u64>, ErrorCode> {
        let (group, node) = self.group();
        let body = RequestBody::OffsetFetch(OffsetFetchRequest {
            group,
            member: None,
            partitions: vec![self.ids[0]],
            stable,
        });
        let asked = self.lab.ask(self.probe, node, body);
        match self.lab.wait(asked, secs(5)) {
            Some(ResponseBody::OffsetFetch(ErrorCode::None, found)) => {
                Ok(found[0].1.map(|found| found.offset))
            }
            Some(ResponseBody::OffsetFetch(error, _)) => Err(error),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn d6_positions_count_from_the_marker_on() {
    for (version, rules) in [(V1, v1()), (V2, kafka_4_3_test_cluster())] {
        let mut txns = Txns::with(26, rules);
        let mut producer = txns.init();
        let (group, _) = txns.group();
        for (offset, commit, then) in [(7, true, Some(7)), (9, false, Some(7))] {
            if version == V1 {
                while txns.add_offsets(producer, group) != ErrorCode::None {
                    txns.lab.run(millis(20));
                }
            }
            assert_eq!(txns.commit_offset(producer, offset, None, version), ErrorCode::None);
            assert_eq!(txns.fetch_offset(true), Err(ErrorCode::UnstableOffsetCommit));
            let before = txns.fetch_offset(false).expect("whatever counts now");
            assert_eq!(before, if commit { None } else { Some(7) });
            let (error, next) = txns.end(producer, commit, version);
            assert_eq!(error, ErrorCode::None);
            producer = next.unwrap_or(producer);
            txns.lab.run(millis(200));
            assert_eq!(txns.fetch_offset(true), Ok(then));
        }
    }
}

#[test]
fn d6_positions_name_the_member_and_its_generation() {
    let mut txns = Txns::new(27);
    let producer = txns.init();
    let id = crate::kafka::protocol::MemberId(99);
    let stranger = Some(crate::kafka::protocol::MemberEpoch { id, epoch: 1, instance: None });
    assert_eq!(txns.commit_offset(producer, 3, stranger, V2), ErrorCode::UnknownMemberId);
    assert_eq!(txns.commit_offset(producer, 3, None, V2), ErrorCode::None);
}

#[test]
fn d6_a_fenced_producer_commits_no_positions() {
    let mut txns = Txns::with(28, v1());
    let old = txns.init();
    let (group, _) = txns.group();
    assert_eq!(txns.add_offsets(old, group), ErrorCode::None);
    assert_eq!(txns.commit_offset(old, 3, None, V1), ErrorCode::None);
    txns.init();
    assert_eq!(txns.commit_offset(old, 4, None, V1), ErrorCode::InvalidProducerEpoch);
    assert_eq!(txns.fetch_offset(true), Ok(None));
}

/// What a coordinator that does not look at the generation does.
#[test]
fn d6_without_the_check_a_stranger_commits_positions() {
    let rules = Rules { check_transaction_generation: false, ..kafka_4_3_test_cluster() };
    let mut txns = Txns::with(27, rules);
    txns.lab.strict = false;
    let producer = txns.init();
    let id = crate::kafka::protocol::MemberId(99);
    let stranger = Some(crate::kafka::protocol::MemberEpoch { id, epoch: 1, instance: None });
    assert_eq!(txns.commit_offset(producer, 3, stranger, V2), ErrorCode::None);
}

/// Only version 2 adds the group's partition to the transaction by itself, and only in a cluster that has it.
#[test]
fn d6_the_older_version_of_cluster_and_client_counts() {
    for (rules, client) in [(v1(), V1), (v1(), V2), (kafka_4_3_test_cluster(), V1)] {
        let mut txns = Txns::with(30, rules);
        let producer = txns.init();
        let (group, _) = txns.group();
        assert_eq!(txns.commit_offset(producer, 3, None, client), ErrorCode::TransactionAbortable);
        while txns.add_offsets(producer, group) != ErrorCode::None {
            txns.lab.run(millis(20));
        }
        assert_eq!(txns.commit_offset(producer, 3, None, client), ErrorCode::None);
    }
    let mut txns = Txns::new(30);
    let producer = txns.init();
    assert_eq!(txns.commit_offset(producer, 3, None, V2), ErrorCode::None);
}

impl Txns {
    /// The group's partition.
    fn office(&self) -> PartitionId {
        PartitionId::new(TopicIx::CONSUMER_OFFSETS, self.lab.kafka().offsets_partition("billing"))
    }

    /// What the leader of a partition says of a marker within a second.
    fn mark(&mut self, producer: ProducerIdAndEpoch, id: PartitionId) -> Option<ErrorCode> {
        let marker =
            crate::kafka::txn::messages::Marker { producer, commit: true, coordinator_epoch: 5, version: V1 };
        let leader = self.lab.leader(id).expect("it has one");
        let asked = self.ask_at(leader, TxnRequest::WriteMarkers { token: 1, marker, partitions: vec![id] });
        match self.lab.wait(asked, secs(1))? {
            ResponseBody::Txn(TxnResponse::WriteMarkers(1, results)) => Some(results[0].1),
            other => panic!("{other:?}"),
        }
    }
}

/// A transaction with a record and a position, committed: its marker may come again.
fn with_a_marked_office(seed: u64, rules: Rules) -> (Txns, ProducerIdAndEpoch) {
    let mut txns = Txns::with(seed, rules);
    let producer = txns.init();
    let (group, _) = txns.group();
    assert_eq!(txns.add_offsets(producer, group), ErrorCode::None);
    assert_eq!(txns.commit_offset(producer, 3, None, V1), ErrorCode::None);
    let id = txns.ids[0];
    txns.whole_v1(producer, id, 1, true);
    (txns, producer)
}

/// The groups' coordinator writes it as it writes its own records: with acks 1.
#[test]
fn d6_a_marker_below_min_isr_is_refused_in_a_partition_and_written_in_a_groups() {
    let (mut txns, producer) = with_a_marked_office(31, Rules { dedicated_controllers: 1, ..v1() });
    let (office, id) = (txns.office(), txns.ids[0]);
    let leader = txns.lab.leader(office).expect("it has one");
    for node in (0..3).map(NodeId).filter(|node| *node != leader) {
        txns.lab.world.kill(node);
    }
    let alone = |kafka: &Kafka, id| {
        kafka.truth().partition(id).is_some_and(|at| at.isr.len() == 1 && at.leader == Some(leader))
    };
    txns.lab.until(secs(20), |kafka| alone(kafka, office) && alone(kafka, id));
    txns.lab.run(millis(600));
    assert_eq!(txns.mark(producer, id), Some(ErrorCode::NotEnoughReplicas));
    let end = txns.lab.replica(leader, office).log.end();
    assert_eq!(txns.mark(producer, office), None, "it waits for the second copy");
    assert_eq!(txns.lab.replica(leader, office).log.end(), end + 1);
}

#[test]
fn d6_a_marker_waits_until_the_groups_coordinator_has_read_its_partition() {
    let (mut txns, producer) = with_a_marked_office(32, v1());
    let office = txns.office();
    let leader = txns.lab.leader(office).expect("it has one");
    txns.lab.world.model_mut().shared.rules.group_load_takes = secs(5);
    txns.lab.world.stop(leader);
    txns.lab.until(secs(10), |kafka| {
        kafka.truth().partition(office).is_some_and(|at| at.leader.is_some_and(|next| next != leader))
    });
    txns.lab.run(millis(600));
    assert_eq!(txns.mark(producer, office), Some(ErrorCode::NotLeaderOrFollower));
    txns.lab.run(secs(5));
    assert_eq!(txns.mark(producer, office), Some(ErrorCode::None));
}
