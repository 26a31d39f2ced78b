//! What the kernel is told of messages and timers: the hash of events tells apart whatever a run can differ in, and
//! links carry as many bytes as there are.

use super::*;
use crate::{
    kafka::{
        broker::BrokerTimer,
        client,
        metadata::TopicId,
        protocol::{
            AdminRequest, AlterPartitionRequest, AlteredPartition, Assignor, BrokerHeartbeatRequest,
            BrokerHeartbeatResponse, BrokerRegistrationRequest, CommittedOffset,
            ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, DeleteRecordsRequest,
            DeletedRecords, Election, Entry, EpochEnd, EpochPartition, GroupIx, IsrProposal,
            JoinGroupRequest, JoinGroupResponse, MemberEpoch, MemberId, MemberSubscription, MetadataResponse,
            OffsetCommitRequest, OffsetFetchRequest, PartitionMetadata, SyncGroupRequest, TopicIx,
            TopicMetadata,
        },
        quorum::{MetadataBatch, QuorumRequest, QuorumResponse},
        rules::TransactionVersion,
        txn::messages::{
            Marker, ProduceTxn, ProducerIdAndEpoch, TxnIx, TxnOffsetCommitRequest, TxnRequest, TxnResponse,
        },
        voter::QuorumTimer,
    },
    kernel::{Digest, Message},
    nodes::NodeSet,
};
use std::fmt::Debug;

const VERSION: TransactionVersion = TransactionVersion::V2;
const NONE: ErrorCode = ErrorCode::None;
const BUSY: ErrorCode = ErrorCode::RequestTimedOut;

fn at(partition: u32) -> PartitionId {
    PartitionId::new(TopicIx(1), partition)
}

fn producer(pid: u64) -> ProducerIdAndEpoch {
    ProducerIdAndEpoch { pid, epoch: 0 }
}

fn member(id: u64, epoch: i32) -> MemberEpoch {
    MemberEpoch { id: MemberId(id), epoch, instance: None }
}

fn position(partition: u32, offset: u64) -> CommittedOffset {
    CommittedOffset { partition: at(partition), offset, leader_epoch: None, metadata_bytes: 0 }
}

fn batch(records: usize, bytes: usize) -> Arc<Batch> {
    let record = |_| Record::new(&Topic::new("t"), None, vec![0; bytes].into());
    Arc::new(Batch::of_records((0..records).map(record).collect::<Vec<_>>(), None, Time::ZERO))
}

fn request(body: RequestBody) -> Msg {
    Msg::Request(Request { correlation: 1, client: NodeId(9), body })
}

fn response(body: ResponseBody) -> Msg {
    Msg::Response(Response { correlation: 1, body })
}

/// No two have the same digest.
#[track_caller]
fn all_differ<T: Debug>(all: &[T], digest: impl Fn(&T) -> u64) {
    let mut seen = BTreeMap::new();
    for one in all {
        if let Some(other) = seen.insert(digest(one), one) {
            panic!("alike: {other:?} and {one:?}");
        }
    }
}

fn produce(partition: u32, batch: Arc<Batch>) -> RequestBody {
    let batches = [(at(partition), batch)].into();
    RequestBody::Produce(ProduceRequest { acks: Acks::All.into(), timeout: secs(1), txn: None, batches })
}

fn fetch(at: &[(u32, u64)]) -> RequestBody {
    let first = a_fetch(self::at(0), 0);
    let one = first.partitions[0];
    let each = |(partition, offset): &(u32, u64)| FetchPartition {
        id: self::at(*partition),
        offset: *offset,
        ..one
    };
    RequestBody::Fetch(FetchRequest { partitions: Arc::new(at.iter().map(each).collect()), ..first })
}

fn join(group: u32, id: Option<u64>) -> RequestBody {
    RequestBody::JoinGroup(JoinGroupRequest {
        group: GroupIx(group),
        member: id.map(MemberId),
        instance: None,
        session_timeout: secs(45),
        rebalance_timeout: secs(300),
        assignors: vec![Assignor::Range],
        subscription: Arc::new(MemberSubscription {
            topics: Vec::new(),
            owned: Vec::new(),
            generation: None,
        }),
    })
}

fn beat(id: u64, epoch: i32, owned: Option<Vec<PartitionId>>) -> RequestBody {
    RequestBody::ConsumerGroupHeartbeat(ConsumerGroupHeartbeatRequest {
        group: GroupIx(0),
        member: MemberId(id),
        epoch,
        instance: None,
        rebalance_timeout: None,
        topics: None,
        assignor: None,
        owned,
    })
}

/// Requests of clients, in pairs and more of a kind.
fn of_clients() -> Vec<RequestBody> {
    let list = |partition| {
        let at =
            ListOffsetsPartition { id: at(partition), current_leader_epoch: None, at: OffsetSpec::Latest };
        RequestBody::ListOffsets(vec![at])
    };
    let sync = |id, epoch| {
        let request =
            SyncGroupRequest { group: GroupIx(0), member: member(id, epoch), assignments: Vec::new() };
        RequestBody::SyncGroup(request)
    };
    let commit = |partition, offset| {
        let offsets = [position(partition, offset)].into();
        RequestBody::OffsetCommit(OffsetCommitRequest { group: GroupIx(0), member: None, offsets })
    };
    let committed = |group, partitions| {
        let group = GroupIx(group);
        RequestBody::OffsetFetch(OffsetFetchRequest { group, member: None, partitions, stable: false })
    };
    let end_of = |partition, leader_epoch| {
        let of = EpochPartition { id: at(partition), current_leader_epoch: None, leader_epoch };
        RequestBody::OffsetForLeaderEpoch(vec![of])
    };
    let delete = |partition, upto| {
        let partitions = vec![(at(partition), upto)];
        RequestBody::DeleteRecords(DeleteRecordsRequest { timeout: secs(1), partitions })
    };
    let leave = |id| RequestBody::LeaveGroup(GroupIx(0), MemberId(id), None);
    vec![
        RequestBody::Metadata(None),
        RequestBody::Metadata(Some(Vec::new())),
        RequestBody::Metadata(Some(vec![TopicIx(1)])),
        produce(0, batch(1, 8)),
        produce(1, batch(1, 8)),
        produce(0, batch(1, 9)),
        produce(0, batch(2, 8)),
        fetch(&[]),
        fetch(&[(0, 0)]),
        fetch(&[(1, 0)]),
        fetch(&[(0, 1)]),
        fetch(&[(0, 1), (1, 0)]),
        fetch(&[(1, 0), (0, 1)]),
        list(0),
        list(1),
        RequestBody::InitProducerId,
        RequestBody::FindCoordinator(GroupIx(0)),
        RequestBody::FindCoordinator(GroupIx(1)),
        join(0, None),
        join(1, None),
        join(0, Some(1)),
        sync(1, 1),
        sync(2, 1),
        sync(1, 2),
        RequestBody::Heartbeat(GroupIx(0), member(1, 1)),
        RequestBody::Heartbeat(GroupIx(0), member(2, 1)),
        RequestBody::Heartbeat(GroupIx(0), member(1, 2)),
        leave(1),
        leave(2),
        beat(1, 1, None),
        beat(2, 1, None),
        beat(1, 2, None),
        beat(1, 1, Some(Vec::new())),
        commit(0, 1),
        commit(1, 1),
        commit(0, 2),
        committed(0, Vec::new()),
        committed(1, Vec::new()),
        committed(0, vec![at(0)]),
        end_of(0, 0),
        end_of(1, 0),
        end_of(0, 1),
        delete(0, None),
        delete(1, None),
        delete(0, Some(0)),
    ]
}

/// Requests of administrators and between brokers and controllers.
fn of_the_cluster() -> Vec<RequestBody> {
    let register = |incarnation| {
        let request = BrokerRegistrationRequest { broker: NodeId(0), incarnation, previous_epoch: None };
        RequestBody::BrokerRegistration(request)
    };
    let alive = |metadata_offset, want_shutdown| {
        let (broker, epoch, want_fence) = (NodeId(0), 0, false);
        let request = BrokerHeartbeatRequest { broker, epoch, metadata_offset, want_fence, want_shutdown };
        RequestBody::BrokerHeartbeat(request)
    };
    let propose = |partition, isr: u32| {
        let isr = (0..isr).map(|node| (NodeId(node), 0)).collect();
        let proposal = IsrProposal { id: at(partition), leader_epoch: 0, partition_epoch: 0, isr };
        let request = AlterPartitionRequest { broker: NodeId(0), epoch: 0, proposals: vec![proposal] };
        RequestBody::AlterPartition(request)
    };
    let vote = |pre, epoch, last_epoch, end| QuorumRequest::Vote { pre, epoch, last_epoch, end };
    let pull = |epoch, last_epoch, end| QuorumRequest::Fetch { epoch, end, last_epoch, committed: 0 };
    let quorum = [
        vote(true, 7, 0, 0),
        vote(false, 7, 0, 0),
        vote(true, 8, 0, 0),
        vote(true, 7, 1, 0),
        vote(true, 7, 0, 1),
        QuorumRequest::BeginEpoch { epoch: 1 },
        QuorumRequest::BeginEpoch { epoch: 2 },
        QuorumRequest::EndEpoch { epoch: 1 },
        QuorumRequest::EndEpoch { epoch: 2 },
        pull(1, 1, 0),
        pull(2, 1, 0),
        pull(1, 0, 0),
        pull(1, 1, 1),
    ];
    let config = vec![("retention.ms".to_owned(), "1".to_owned())];
    let admin = [
        AdminRequest::DeleteTopic(TopicIx(1)),
        AdminRequest::DeleteTopic(TopicIx(2)),
        AdminRequest::CreatePartitions(TopicIx(1), 2),
        AdminRequest::CreatePartitions(TopicIx(1), 3),
        AdminRequest::CreatePartitions(TopicIx(2), 2),
        AdminRequest::AlterConfigs(TopicIx(1), Vec::new()),
        AdminRequest::AlterConfigs(TopicIx(1), config),
        AdminRequest::ElectLeaders(Election::Preferred, vec![at(0)]),
        AdminRequest::ElectLeaders(Election::Unclean, vec![at(0)]),
        AdminRequest::ElectLeaders(Election::Unclean, vec![at(1)]),
    ];
    let quorum = quorum.into_iter().map(RequestBody::Quorum);
    let admin = admin.into_iter().map(RequestBody::Admin);
    let own = [
        register(1),
        register(2),
        alive(1, false),
        alive(2, false),
        alive(1, true),
        propose(0, 1),
        propose(1, 1),
        propose(0, 2),
    ];
    own.into_iter().chain(quorum).chain(admin).collect()
}

fn of_transactions() -> Vec<RequestBody> {
    let (txn, timeout) = (TxnIx(1), secs(60));
    let end = |pid, commit| TxnRequest::End { txn, producer: producer(pid), commit, version: VERSION };
    let verify = |pid, partitions| TxnRequest::Verify {
        token: 0,
        txn,
        producer: producer(pid),
        partitions,
        add: true,
    };
    let mark = |pid, commit, partition| {
        let marker = Marker { producer: producer(pid), commit, coordinator_epoch: 0, version: VERSION };
        TxnRequest::WriteMarkers { token: 0, marker, partitions: vec![at(partition)] }
    };
    let asked = [
        TxnRequest::FindCoordinator(TxnIx(1)),
        TxnRequest::FindCoordinator(TxnIx(2)),
        TxnRequest::InitProducerId { txn: TxnIx(1), timeout, current: None },
        TxnRequest::InitProducerId { txn: TxnIx(2), timeout, current: None },
        TxnRequest::AddPartitions(TxnIx(1), producer(1), vec![at(0)]),
        TxnRequest::AddPartitions(TxnIx(2), producer(1), vec![at(0)]),
        TxnRequest::AddPartitions(TxnIx(1), producer(2), vec![at(0)]),
        TxnRequest::AddPartitions(TxnIx(1), producer(1), vec![at(1)]),
        TxnRequest::AddOffsets(TxnIx(1), producer(1), GroupIx(0)),
        TxnRequest::AddOffsets(TxnIx(1), producer(2), GroupIx(0)),
        TxnRequest::AddOffsets(TxnIx(1), producer(1), GroupIx(1)),
        end(1, true),
        end(2, true),
        end(1, false),
        verify(1, vec![at(0)]),
        verify(2, vec![at(0)]),
        verify(1, vec![at(1)]),
        mark(1, true, 0),
        mark(2, true, 0),
        mark(1, false, 0),
        mark(1, true, 1),
    ];
    let commit = |pid, group, offset| {
        RequestBody::TxnOffsetCommit(TxnOffsetCommitRequest {
            txn: ProduceTxn { txn, version: VERSION },
            producer: producer(pid),
            group: GroupIx(group),
            member: None,
            offsets: vec![position(0, offset)],
        })
    };
    let commits = [commit(1, 0, 0), commit(2, 0, 0), commit(1, 1, 0), commit(1, 0, 1)];
    asked.into_iter().map(RequestBody::Txn).chain(commits).collect()
}

#[test]
fn requests_that_differ_have_other_digests() {
    let bodies = [of_clients(), of_the_cluster(), of_transactions()].concat();
    let mut all: Vec<Msg> = bodies.into_iter().map(request).collect();
    let later = Request { correlation: 2, client: NodeId(9), body: RequestBody::InitProducerId };
    all.push(Msg::Request(later));
    all_differ(&all, Msg::digest);
}

/// Answers of brokers to clients.
fn to_clients() -> Vec<ResponseBody> {
    let topic = |topic, leader_epoch| {
        let partition = PartitionMetadata { error: NONE, leader: None, leader_epoch };
        let id = Some(TopicId(1));
        let topic = TopicMetadata { topic: TopicIx(topic), error: NONE, id, partitions: vec![partition] };
        ResponseBody::Metadata(MetadataResponse { brokers: Vec::new(), topics: vec![topic] })
    };
    let produced = |error, base_offset| {
        ResponseBody::Produce([ProducedPartition { id: at(0), error, base_offset, leader: None }].into())
    };
    let fetched = |error, high_watermark, records| {
        let entries = if records == 0 {
            [].into_iter().collect()
        } else {
            [Entry::new(0, 0, batch(records, 8))].into()
        };
        let partition =
            FetchedPartition { high_watermark, entries, ..FetchedPartition::refused(at(0), error) };
        ResponseBody::Fetch(vec![partition])
    };
    let listed = |error, offset| {
        ResponseBody::ListOffsets(vec![ListedOffset { id: at(0), error, offset, leader_epoch: 0 }])
    };
    let joined = |error, generation| {
        let (member, assignor, leader, members) = (None, Assignor::Range, None, Vec::new());
        ResponseBody::JoinGroup(JoinGroupResponse { error, member, generation, assignor, leader, members })
    };
    let beaten = |error, epoch, assignment| {
        let heartbeat_interval = secs(5);
        let response = ConsumerGroupHeartbeatResponse { error, epoch, heartbeat_interval, assignment };
        ResponseBody::ConsumerGroupHeartbeat(response)
    };
    let deleted = |error, low_watermark| {
        ResponseBody::DeleteRecords(vec![DeletedRecords { id: at(0), error, low_watermark }])
    };
    let ends = |error, end| ResponseBody::OffsetForLeaderEpoch(vec![EpochEnd { id: at(0), error, end }]);
    let committed = |error, found| ResponseBody::OffsetFetch(error, vec![(at(0), found)]);
    vec![
        topic(1, 0),
        topic(2, 0),
        topic(1, 1),
        produced(NONE, None),
        produced(BUSY, None),
        produced(NONE, Some(0)),
        fetched(NONE, 0, 0),
        fetched(BUSY, 0, 0),
        fetched(NONE, 1, 0),
        fetched(NONE, 0, 1),
        listed(NONE, 0),
        listed(BUSY, 0),
        listed(NONE, 1),
        ResponseBody::InitProducerId(1),
        ResponseBody::InitProducerId(2),
        ResponseBody::FindCoordinator(NONE, None),
        ResponseBody::FindCoordinator(BUSY, None),
        ResponseBody::FindCoordinator(NONE, Some(NodeId(0))),
        joined(NONE, 1),
        joined(BUSY, 1),
        joined(NONE, 2),
        ResponseBody::SyncGroup(NONE, Vec::new()),
        ResponseBody::SyncGroup(BUSY, Vec::new()),
        ResponseBody::SyncGroup(NONE, vec![at(0)]),
        ResponseBody::Heartbeat(NONE),
        ResponseBody::Heartbeat(BUSY),
        ResponseBody::LeaveGroup(NONE),
        ResponseBody::LeaveGroup(BUSY),
        beaten(NONE, 1, None),
        beaten(BUSY, 1, None),
        beaten(NONE, 2, None),
        beaten(NONE, 1, Some(Vec::new())),
        ResponseBody::OffsetCommit([(at(0), NONE)].into()),
        ResponseBody::OffsetCommit([(at(0), BUSY)].into()),
        committed(NONE, None),
        committed(BUSY, None),
        committed(NONE, Some(position(0, 1))),
        deleted(NONE, 0),
        deleted(BUSY, 0),
        deleted(NONE, 1),
        ends(NONE, None),
        ends(BUSY, None),
        ends(NONE, Some((0, 1))),
    ]
}

/// Answers to administrators, brokers and coordinators.
fn to_the_cluster() -> Vec<ResponseBody> {
    let alive = |error, fenced| {
        ResponseBody::BrokerHeartbeat(BrokerHeartbeatResponse { error, fenced, should_shutdown: false })
    };
    let altered = |error| {
        let (id, isr) = (at(0), NodeSet::EMPTY);
        AlteredPartition { id, error, leader_epoch: 0, partition_epoch: 0, isr }
    };
    let vote = |epoch, granted| QuorumResponse::Vote { epoch, leader: None, pre: false, granted };
    let one = || MetadataBatch { epoch: 1, records: Vec::new().into() };
    let pulled =
        |batches, committed, diverging| QuorumResponse::Fetch { epoch: 1, batches, committed, diverging };
    let quorum = [
        vote(1, false),
        vote(2, false),
        vote(1, true),
        QuorumResponse::Epoch { epoch: 7, leader: None },
        QuorumResponse::Epoch { epoch: 8, leader: None },
        QuorumResponse::Epoch { epoch: 7, leader: Some(NodeId(2)) },
        pulled(Vec::new(), 0, None),
        pulled(vec![one()], 0, None),
        pulled(Vec::new(), 1, None),
        pulled(Vec::new(), 0, Some((0, 0))),
    ];
    let txn = [
        TxnResponse::FindCoordinator(NONE, None),
        TxnResponse::FindCoordinator(BUSY, None),
        TxnResponse::FindCoordinator(NONE, Some(NodeId(0))),
        TxnResponse::InitProducerId(NONE, producer(1)),
        TxnResponse::InitProducerId(BUSY, producer(1)),
        TxnResponse::InitProducerId(NONE, producer(2)),
        TxnResponse::InitProducerId(NONE, ProducerIdAndEpoch { pid: 1, epoch: 1 }),
        TxnResponse::AddPartitions(NONE),
        TxnResponse::AddPartitions(BUSY),
        TxnResponse::AddOffsets(NONE),
        TxnResponse::AddOffsets(BUSY),
        TxnResponse::End(NONE, None),
        TxnResponse::End(BUSY, None),
        TxnResponse::End(NONE, Some(producer(1))),
        TxnResponse::Verify(0, vec![(at(0), NONE)]),
        TxnResponse::Verify(0, vec![(at(0), BUSY)]),
        TxnResponse::Verify(0, vec![(at(1), NONE)]),
        TxnResponse::WriteMarkers(0, vec![(at(0), NONE)]),
        TxnResponse::WriteMarkers(0, vec![(at(0), BUSY)]),
    ];
    let own = [
        ResponseBody::BrokerRegistration(NONE, 1),
        ResponseBody::BrokerRegistration(BUSY, 1),
        ResponseBody::BrokerRegistration(NONE, 2),
        alive(NONE, false),
        alive(BUSY, false),
        alive(NONE, true),
        ResponseBody::AlterPartition(NONE, Vec::new()),
        ResponseBody::AlterPartition(BUSY, Vec::new()),
        ResponseBody::AlterPartition(NONE, vec![altered(NONE)]),
        ResponseBody::AlterPartition(NONE, vec![altered(BUSY)]),
        ResponseBody::Admin(NONE, Vec::new()),
        ResponseBody::Admin(BUSY, Vec::new()),
        ResponseBody::Admin(NONE, vec![(at(0), BUSY)]),
    ];
    let quorum = quorum.into_iter().map(ResponseBody::Quorum);
    own.into_iter().chain(quorum).chain(txn.into_iter().map(ResponseBody::Txn)).collect()
}

#[test]
fn responses_that_differ_have_other_digests() {
    let mut all: Vec<Msg> = [to_clients(), to_the_cluster()].concat().into_iter().map(response).collect();
    all.push(request(RequestBody::InitProducerId));
    all.push(Msg::Response(Response { correlation: 2, body: ResponseBody::InitProducerId(1) }));
    all_differ(&all, Msg::digest);
}

#[test]
fn timers_that_differ_have_other_digests() {
    let quorum = [QuorumTimer::Election, QuorumTimer::Retry, QuorumTimer::Parked, QuorumTimer::Majority];
    let broker = [
        BrokerTimer::Purgatory,
        BrokerTimer::Lag,
        BrokerTimer::Checkpoint,
        BrokerTimer::Isr,
        BrokerTimer::Groups,
        BrokerTimer::Retention,
        BrokerTimer::Producers,
        BrokerTimer::Cleaner,
        BrokerTimer::Transactions,
    ];
    let nodes =
        (0..3).map(NodeId).flat_map(|node| [BrokerTimer::Fetch(node), BrokerTimer::FetchTimeout(node)]);
    let slots = (0..3).flat_map(|slot| {
        use client::Timer as Of;
        [Of::Reconnect(slot), Of::Setup(slot), Of::Requests(slot), Of::Queue(slot), Of::Grace(slot)]
    });
    let client = [
        client::Timer::Metadata,
        client::Timer::Deliveries,
        client::Timer::ProducerId,
        client::Timer::Fetch,
        client::Timer::Group,
        client::Timer::Heartbeat,
        client::Timer::AutoCommit,
        client::Timer::Poll,
        client::Timer::Commits,
        client::Timer::Close,
        client::Timer::Transaction,
    ];
    let mut all = vec![Timer::Up, Timer::Gone, Timer::Apply, Timer::Lifecycle];
    all.extend((0..3).flat_map(|epoch| [Timer::Sessions(epoch), Timer::Leaders(epoch)]));
    all.extend(quorum.map(Timer::Quorum));
    all.extend(broker.into_iter().chain(nodes).map(Timer::Broker));
    all.extend(client.into_iter().chain(slots).map(Timer::Client));
    all_differ(&all, Timer::digest);
}

/// A frame of 64 bytes stands for what a message says besides records; a partition of a Fetch takes 32.
#[test]
fn a_message_has_the_size_of_its_records() {
    let records = batch(2, 1_000);
    assert!(records.bytes > 2_000);
    let entries = [Entry::new(0, 0, Arc::clone(&records))].into();
    let fetched = FetchedPartition { entries, ..FetchedPartition::refused(at(0), NONE) };
    let sizes = [
        (request(RequestBody::InitProducerId), 64),
        (request(produce(0, Arc::clone(&records))), 64 + records.bytes),
        (request(fetch(&[])), 64),
        (request(fetch(&[(0, 0), (1, 0)])), 128),
        (response(ResponseBody::InitProducerId(1)), 64),
        (response(ResponseBody::Fetch(vec![fetched.clone(), fetched])), 64 + 2 * records.bytes),
    ];
    for (message, size) in sizes {
        assert_eq!(message.size(), size, "{message:?}");
    }
}

#[test]
fn only_an_answer_to_produce_acknowledges_a_write() {
    let acknowledges = |message: Msg| message.acknowledges_write();
    assert!(acknowledges(response(ResponseBody::Produce([].into_iter().collect()))));
    assert!(!acknowledges(response(ResponseBody::InitProducerId(1))));
    assert!(!acknowledges(request(produce(0, batch(1, 8)))));
}
