//! What travels between Kafka's processes: requests and responses as plain data.
//!
//! - A request carries a correlation id that its response repeats. A broker handles the requests of one client
//!   connection one after the other (it does not read the next before it answered the last), so responses come
//!   in order, as with Kafka; a Produce with acks=0 gets none.
//! - Topics, groups and partitions are interned numbers ([`Names`](super::Names) has the names).
//! - Batches are shared by reference between clients, leaders and followers; nobody changes one.
//! - A Fetch response leaves out partitions that have nothing to say, as an incremental fetch session does.
//! - Offsets and epochs are Kafka's own; `None` stands for Kafka's -1.

pub use super::batch::{
    BATCH_OVERHEAD, Batch, CommittedOffset, Entry, Kept, Payload, ProducerStamp, RECORD_OVERHEAD,
    record_bytes,
};

pub use super::log_requests::{
    AdminRequest, DeleteRecordsRequest, DeletedRecords, Election, EpochEnd, EpochPartition,
};

pub use super::group_protocol::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, GroupIx, InstanceId, JoinGroupRequest,
    JoinGroupResponse, JoinedMember, MemberEpoch, MemberId, MemberSubscription, OffsetCommitRequest,
    OffsetFetchRequest, SyncGroupRequest,
};
pub use crate::few::Few;
pub use squall_bus::Assignor;

use super::{
    error::ErrorCode,
    metadata::TopicId,
    quorum::{QuorumRequest, QuorumResponse},
    txn::{
        messages::{ProduceTxn, TxnOffsetCommitRequest, TxnRequest, TxnResponse},
        partition::Aborted,
    },
};
use crate::kernel::NodeId;
use crate::nodes::NodeSet;
use squall_bus::{Acks, Isolation};
use std::{fmt, sync::Arc, time::Duration};

/// A topic, interned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicIx(pub u32);

impl TopicIx {
    /// `__consumer_offsets`, which every cluster has.
    pub const CONSUMER_OFFSETS: Self = Self(0);
}

/// A partition of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId {
    /// The topic.
    pub topic: TopicIx,
    /// The partition, from 0.
    pub partition: u32,
}

impl PartitionId {
    /// This partition of this topic.
    #[must_use]
    pub const fn new(topic: TopicIx, partition: u32) -> Self {
        Self { topic, partition }
    }

    /// The id in one word, for digests and choices.
    #[must_use]
    pub const fn word(self) -> u64 {
        (self.topic.0 as u64) << 32 | self.partition as u64
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}/{}", self.topic.0, self.partition)
    }
}

/// Who leads a partition, as far as the answering broker knows (KIP-951).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaderHint {
    /// The leader, if there is one.
    pub node: Option<NodeId>,
    /// Its epoch.
    pub epoch: u32,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Repeated by the response.
    pub correlation: u32,
    /// The client id: the node that asks.
    pub client: NodeId,
    /// What is asked.
    pub body: RequestBody,
}

/// A response.
#[derive(Clone, Debug)]
pub struct Response {
    /// The request's.
    pub correlation: u32,
    /// What is answered.
    pub body: ResponseBody,
}

/// What travels over a connection.
#[derive(Clone, Debug)]
pub enum Msg {
    /// From the side that opened the connection.
    Request(Request),
    /// From the other side.
    Response(Response),
}

impl Msg {
    /// Whether it is about records alone: most messages are.
    pub(super) const fn is_data(&self) -> bool {
        match self {
            Self::Request(request) => {
                matches!(request.body, RequestBody::Produce(_) | RequestBody::Fetch(_))
            }
            Self::Response(response) => matches!(response.body, ResponseBody::Fetch(_)),
        }
    }
}

/// What can be asked.
#[derive(Clone, Debug)]
pub enum RequestBody {
    /// Which topics there are and who leads their partitions; `None` for all topics.
    Metadata(Option<Vec<TopicIx>>),
    /// Append batches.
    Produce(ProduceRequest),
    /// Read batches.
    Fetch(FetchRequest),
    /// First or next offset of partitions.
    ListOffsets(Vec<ListOffsetsPartition>),
    /// A producer id for an idempotent producer.
    InitProducerId,
    /// Who coordinates this group.
    FindCoordinator(GroupIx),
    /// Become a member of a group, or take part in its rebalance.
    JoinGroup(JoinGroupRequest),
    /// Hand in (the group's leader) and receive the assignment.
    SyncGroup(SyncGroupRequest),
    /// A member's sign of life.
    Heartbeat(GroupIx, MemberEpoch),
    /// Everything a member of the consumer protocol has to say (KIP-848).
    ConsumerGroupHeartbeat(ConsumerGroupHeartbeatRequest),
    /// A member goes.
    LeaveGroup(GroupIx, MemberId, Option<InstanceId>),
    /// The group goes on here.
    OffsetCommit(OffsetCommitRequest),
    /// Where the group goes on.
    OffsetFetch(OffsetFetchRequest),
    /// About transactions.
    Txn(TxnRequest),
    /// The group goes on here once the transaction is committed. Answered like OffsetCommit.
    TxnOffsetCommit(TxnOffsetCommitRequest),
    /// A broker process presents itself to the controller.
    BrokerRegistration(BrokerRegistrationRequest),
    /// A broker's sign of life to the controller.
    BrokerHeartbeat(BrokerHeartbeatRequest),
    /// A leader proposes in-sync replicas.
    AlterPartition(AlterPartitionRequest),
    /// Between the voters of the metadata quorum, and from its observers.
    Quorum(QuorumRequest),
    /// Move the start of logs.
    DeleteRecords(DeleteRecordsRequest),
    /// Where leader epochs end.
    OffsetForLeaderEpoch(Vec<EpochPartition>),
    /// An administrator asks the controller.
    Admin(AdminRequest),
}

/// What can be answered; each variant answers the request of its name.
#[derive(Clone, Debug)]
pub enum ResponseBody {
    /// See [`MetadataResponse`].
    Metadata(MetadataResponse),
    /// One result for each partition of the request, in its order.
    Produce(Few<ProducedPartition>),
    /// Partitions that have something to say.
    Fetch(Vec<FetchedPartition>),
    /// One result for each partition of the request, in its order.
    ListOffsets(Vec<ListedOffset>),
    /// The producer id; its epoch is 0.
    InitProducerId(u64),
    /// The coordinator, or why there is none.
    FindCoordinator(ErrorCode, Option<NodeId>),
    /// See [`JoinGroupResponse`].
    JoinGroup(JoinGroupResponse),
    /// The member's partitions.
    SyncGroup(ErrorCode, Vec<PartitionId>),
    /// OK, or what the member must do.
    Heartbeat(ErrorCode),
    /// See [`ConsumerGroupHeartbeatResponse`].
    ConsumerGroupHeartbeat(ConsumerGroupHeartbeatResponse),
    /// OK, or why not.
    LeaveGroup(ErrorCode),
    /// One result for each offset of the request, in its order.
    OffsetCommit(Few<(PartitionId, ErrorCode)>),
    /// Where the group goes on, if it ever committed there.
    OffsetFetch(ErrorCode, Vec<(PartitionId, Option<CommittedOffset>)>),
    /// About transactions.
    Txn(TxnResponse),
    /// The broker epoch.
    BrokerRegistration(ErrorCode, u64),
    /// See [`BrokerHeartbeatResponse`].
    BrokerHeartbeat(BrokerHeartbeatResponse),
    /// One result for each partition; or one error for the whole request.
    AlterPartition(ErrorCode, Vec<AlteredPartition>),
    /// See [`QuorumResponse`].
    Quorum(QuorumResponse),
    /// One result for each partition of the request, in its order.
    DeleteRecords(Vec<DeletedRecords>),
    /// One result for each partition of the request, in its order.
    OffsetForLeaderEpoch(Vec<EpochEnd>),
    /// How it went; of an election one result for each partition, in order.
    Admin(ErrorCode, Vec<(PartitionId, ErrorCode)>),
}

/// Who must have a batch before the answer, as the wire has it: -1 for all in sync, 1 for the leader, 0 for nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequiredAcks(pub i16);

impl RequiredAcks {
    /// What that means; `None` for a number that means nothing (INVALID_REQUIRED_ACKS).
    #[must_use]
    pub const fn acks(self) -> Option<Acks> {
        match self.0 {
            -1 => Some(Acks::All),
            0 => Some(Acks::None),
            1 => Some(Acks::One),
            _ => None,
        }
    }
}

impl From<Acks> for RequiredAcks {
    fn from(acks: Acks) -> Self {
        Self(match acks {
            Acks::All => -1,
            Acks::None => 0,
            Acks::One => 1,
        })
    }
}

/// Asks for batches to be appended.
#[derive(Clone, Debug)]
pub struct ProduceRequest {
    /// Who must have them before the answer; with 0 there is no answer.
    pub acks: RequiredAcks,
    /// How long acks=all may wait at the broker (`request.timeout.ms` of the client).
    pub timeout: Duration,
    /// Of a transactional producer: its transactional id.
    pub txn: Option<ProduceTxn>,
    /// One batch for each partition.
    pub batches: Few<(PartitionId, Arc<Batch>)>,
}

/// What became of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducedPartition {
    /// The partition.
    pub id: PartitionId,
    /// How it went.
    pub error: ErrorCode,
    /// The offset of the batch's first record; of a repeated batch the original one.
    pub base_offset: Option<u64>,
    /// With NOT_LEADER_OR_FOLLOWER: who leads now.
    pub leader: Option<LeaderHint>,
}

/// Asks for batches, waiting until there are some.
#[derive(Clone, Debug)]
pub struct FetchRequest {
    /// Set by followers: the node and its broker epoch.
    pub replica: Option<(NodeId, u64)>,
    /// What a consumer wants to see (rule D5).
    pub isolation: Isolation,
    /// How long the broker may wait for `min_bytes`.
    pub max_wait: Duration,
    /// How much the broker waits for.
    pub min_bytes: u32,
    /// The most it answers, except that the first batch always comes.
    pub max_bytes: u32,
    /// Where to read.
    pub partitions: Arc<Vec<FetchPartition>>,
    /// The broker in whose rack a consumer is (`client.rack`).
    pub rack: Option<NodeId>,
    /// The ids of the topics, from who names them by id (Fetch 13 and later).
    pub topic_ids: Option<Arc<[(TopicIx, TopicId)]>>,
}

/// Where to read in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchPartition {
    /// The partition.
    pub id: PartitionId,
    /// The leader epoch that the reader knows.
    pub current_leader_epoch: Option<u32>,
    /// From here on.
    pub offset: u64,
    /// The epoch of the last record that a follower has; consumers ask by OffsetForLeaderEpoch instead.
    pub last_fetched_epoch: Option<u32>,
    /// The most for this partition, except that the first batch always comes.
    pub max_bytes: u32,
    /// Where a follower's own log begins; 0 from a consumer.
    pub log_start: u64,
}

/// What was read in one partition.
#[derive(Clone, Debug)]
pub struct FetchedPartition {
    /// The partition.
    pub id: PartitionId,
    /// How it went.
    pub error: ErrorCode,
    /// The leader's high watermark.
    pub high_watermark: u64,
    /// The first offset of the leader's log.
    pub log_start: u64,
    /// At read_committed: the aborted transactions that reach into `entries`, by their first offsets.
    pub aborted: Vec<Aborted>,
    /// Batches from the one that holds the offset asked for; consumers get none above the high watermark, at
    /// read_committed none above the last stable offset.
    pub entries: Few<Entry>,
    /// The reader's log diverges: the largest epoch of the leader's log that is not above the reader's last
    /// one, and where it ends there.
    pub diverging: Option<(u32, u64)>,
    /// With NOT_LEADER_OR_FOLLOWER or FENCED_LEADER_EPOCH: who leads now.
    pub leader: Option<LeaderHint>,
    /// A consumer is to read from this replica instead (KIP-392).
    pub preferred: Option<NodeId>,
}

impl FetchedPartition {
    /// An error and nothing else.
    #[must_use]
    pub const fn refused(id: PartitionId, error: ErrorCode) -> Self {
        Self {
            id,
            error,
            high_watermark: 0,
            log_start: 0,
            aborted: Vec::new(),
            entries: Few::new_const(),
            diverging: None,
            leader: None,
            preferred: None,
        }
    }

    /// Whether the reader has to hear this at once: an error, a divergence, another replica to read from.
    #[must_use]
    pub const fn is_urgent(&self) -> bool {
        self.error.is_error() || self.diverging.is_some() || self.preferred.is_some()
    }
}

/// Which offset is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OffsetSpec {
    /// The first of the log.
    Earliest,
    /// The high watermark.
    Latest,
    /// The last stable offset: LATEST at read_committed.
    LastStable,
}

/// Asks for an offset of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListOffsetsPartition {
    /// The partition.
    pub id: PartitionId,
    /// The leader epoch that the client knows.
    pub current_leader_epoch: Option<u32>,
    /// Which offset.
    pub at: OffsetSpec,
}

/// An offset of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedOffset {
    /// The partition.
    pub id: PartitionId,
    /// How it went.
    pub error: ErrorCode,
    /// The offset, unless there is an error.
    pub offset: u64,
    /// The broker's leader epoch of the partition.
    pub leader_epoch: u32,
}

/// The cluster as the answering broker knows it.
#[derive(Clone, Debug)]
pub struct MetadataResponse {
    /// Brokers that are not fenced.
    pub brokers: Vec<NodeId>,
    /// The topics asked for.
    pub topics: Vec<TopicMetadata>,
}

/// One topic.
#[derive(Clone, Debug)]
pub struct TopicMetadata {
    /// The topic.
    pub topic: TopicIx,
    /// UNKNOWN_TOPIC_OR_PARTITION if the broker does not know it.
    pub error: ErrorCode,
    /// Its id, if the broker knows it.
    pub id: Option<TopicId>,
    /// Its partitions, by number.
    pub partitions: Vec<PartitionMetadata>,
}

/// One partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionMetadata {
    /// LEADER_NOT_AVAILABLE if it has no leader.
    pub error: ErrorCode,
    /// Its leader.
    pub leader: Option<NodeId>,
    /// The leader's epoch.
    pub leader_epoch: u32,
}

/// Presents a broker process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokerRegistrationRequest {
    /// The broker.
    pub broker: NodeId,
    /// Which process of it, so that two can be told apart.
    pub incarnation: u64,
    /// The broker epoch of the process before, if that one shut down cleanly.
    pub previous_epoch: Option<u64>,
}

/// A broker's sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokerHeartbeatRequest {
    /// The broker.
    pub broker: NodeId,
    /// Its broker epoch.
    pub epoch: u64,
    /// How far it has applied the metadata log.
    pub metadata_offset: u64,
    /// Whether it is not ready to serve.
    pub want_fence: bool,
    /// Whether it wants to stop.
    pub want_shutdown: bool,
}

/// What the controller makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokerHeartbeatResponse {
    /// How it went.
    pub error: ErrorCode,
    /// Whether the broker is fenced.
    pub fenced: bool,
    /// Whether it may stop now.
    pub should_shutdown: bool,
}

/// Proposes in-sync replicas.
#[derive(Clone, Debug)]
pub struct AlterPartitionRequest {
    /// The leader that proposes.
    pub broker: NodeId,
    /// Its broker epoch.
    pub epoch: u64,
    /// The proposals.
    pub proposals: Vec<IsrProposal>,
}

/// In-sync replicas for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsrProposal {
    /// The partition.
    pub id: PartitionId,
    /// The proposer's leader epoch.
    pub leader_epoch: u32,
    /// The partition epoch that it builds upon.
    pub partition_epoch: u32,
    /// The new in-sync replicas with the broker epochs that the leader knows of them.
    pub isr: Vec<(NodeId, u64)>,
}

/// What became of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlteredPartition {
    /// The partition.
    pub id: PartitionId,
    /// How it went.
    pub error: ErrorCode,
    /// The leader epoch at the controller.
    pub leader_epoch: u32,
    /// The partition epoch at the controller.
    pub partition_epoch: u32,
    /// The ISR at the controller.
    pub isr: NodeSet,
}
