//! A group's positions in transactions (D6).

use super::*;
use crate::kafka::protocol::OffsetFetchRequest;

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
