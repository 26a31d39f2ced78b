//! What travels between Kafka's processes: requests and responses as plain data.
//!
//! - A request carries a correlation id that its response repeats. A broker handles the requests of one client
//!   connection one after the other (it does not read the next before it answered the last), so responses come
//!   in order, as with Kafka; a Produce with acks=0 gets none.
//! - Topics, groups and partitions are interned numbers ([`Names`](super::Names) has the names).
//! - Batches are shared by reference between clients, leaders and followers; nobody changes one.
//! - A Fetch response leaves out partitions that have nothing to say, as an incremental fetch session does.
//! - Offsets and epochs are Kafka's own; `None` stands for Kafka's -1.

use super::{
    error::ErrorCode,
    group::GroupSnapshot,
    nodes::NodeSet,
    quorum::{QuorumRequest, QuorumResponse},
};
use crate::kernel::{Digest, Message, NodeId, mix};
use squall_bus::{Acks, Record, Time};
use std::{fmt, sync::Arc, time::Duration};

/// A topic, interned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicIx(pub u32);

impl TopicIx {
    /// `__consumer_offsets`, which every cluster has.
    pub const CONSUMER_OFFSETS: Self = Self(0);
}

/// A group, interned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupIx(pub u32);

/// A member of a group, as its coordinator named it. Random, as the uuid in Kafka's member ids is, so that their
/// order (by which assignors deal) says nothing about who came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub u64);

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

/// Who wrote a batch, for deduplication (rule C3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProducerStamp {
    /// The producer id.
    pub pid: u64,
    /// The producer epoch.
    pub epoch: u16,
    /// The sequence number of the first record.
    pub base_seq: u32,
}

/// One offset that a group committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CommittedOffset {
    /// Of which partition.
    pub partition: PartitionId,
    /// The next record to read.
    pub offset: u64,
    /// The leader epoch of the last record read, if the client knew it.
    pub leader_epoch: Option<u32>,
}

/// What is in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A client's records.
    Records(Vec<Record>),
    /// Offsets committed by a group, one record each.
    Offsets(GroupIx, Vec<CommittedOffset>),
    /// A group's members and generation after a rebalance.
    Group(Arc<GroupSnapshot>),
}

/// A batch of records, shared by everyone who holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// What is in it.
    pub payload: Payload,
    /// The producer's stamp, if it is idempotent.
    pub stamp: Option<ProducerStamp>,
    /// Bytes on the wire and on disk.
    pub bytes: u32,
    /// When it was made, by its maker's wall clock.
    pub timestamp: Time,
    /// Whether its checksum fits.
    pub intact: bool,
}

/// Bytes of a batch header (magic 2).
pub const BATCH_OVERHEAD: u32 = 61;
/// Bytes around one record in a batch: length, attributes, deltas and the lengths of key and value.
pub const RECORD_OVERHEAD: u32 = 12;

/// The bytes that one record takes in a batch.
#[must_use]
pub fn record_bytes(record: &Record) -> u32 {
    let headers: usize = record.headers.iter().map(|header| header.name.len() + header.value.len() + 2).sum();
    let bytes = record.key.as_ref().map_or(0, |key| key.len()) + record.value.len() + headers;
    RECORD_OVERHEAD.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX))
}

impl Batch {
    /// A batch of client records, intact, with its size counted.
    #[must_use]
    pub fn of_records(records: Vec<Record>, stamp: Option<ProducerStamp>, timestamp: Time) -> Self {
        let bytes =
            records.iter().fold(BATCH_OVERHEAD, |bytes, record| bytes.saturating_add(record_bytes(record)));
        Self { payload: Payload::Records(records), stamp, bytes, timestamp, intact: true }
    }

    /// How many records it has, and so how many offsets it takes.
    #[must_use]
    pub fn count(&self) -> u32 {
        match &self.payload {
            Payload::Records(records) => records.len() as u32,
            Payload::Offsets(_, offsets) => offsets.len() as u32,
            Payload::Group(_) => 1,
        }
    }

    /// The client's records; none in a batch of an internal topic.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        match &self.payload {
            Payload::Records(records) => records,
            Payload::Offsets(..) | Payload::Group(_) => &[],
        }
    }
}

/// A batch at its place in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The offset of its first record.
    pub base_offset: u64,
    /// The leader epoch it was appended in.
    pub epoch: u32,
    /// The batch.
    pub batch: Arc<Batch>,
}

impl Entry {
    /// The offset behind its last record.
    #[must_use]
    pub fn end_offset(&self) -> u64 {
        self.base_offset + u64::from(self.batch.count())
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
    Heartbeat(GroupIx, MemberId, i32),
    /// A member goes.
    LeaveGroup(GroupIx, MemberId),
    /// The group goes on here.
    OffsetCommit(OffsetCommitRequest),
    /// Where the group goes on.
    OffsetFetch(GroupIx, Vec<PartitionId>),
    /// A broker process presents itself to the controller.
    BrokerRegistration(BrokerRegistrationRequest),
    /// A broker's sign of life to the controller.
    BrokerHeartbeat(BrokerHeartbeatRequest),
    /// A leader proposes in-sync replicas.
    AlterPartition(AlterPartitionRequest),
    /// Between the voters of the metadata quorum, and from its observers.
    Quorum(QuorumRequest),
}

/// What can be answered; each variant answers the request of its name.
#[derive(Clone, Debug)]
pub enum ResponseBody {
    /// See [`MetadataResponse`].
    Metadata(MetadataResponse),
    /// One result for each partition of the request, in its order.
    Produce(Vec<ProducedPartition>),
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
    /// OK, or why not.
    LeaveGroup(ErrorCode),
    /// One result for each offset of the request, in its order.
    OffsetCommit(Vec<(PartitionId, ErrorCode)>),
    /// Where the group goes on, if it ever committed there.
    OffsetFetch(ErrorCode, Vec<(PartitionId, Option<CommittedOffset>)>),
    /// The broker epoch.
    BrokerRegistration(ErrorCode, u64),
    /// See [`BrokerHeartbeatResponse`].
    BrokerHeartbeat(BrokerHeartbeatResponse),
    /// One result for each partition; or one error for the whole request.
    AlterPartition(ErrorCode, Vec<AlteredPartition>),
    /// See [`QuorumResponse`].
    Quorum(QuorumResponse),
}

/// Asks for batches to be appended.
#[derive(Clone, Debug)]
pub struct ProduceRequest {
    /// Who must have them before the answer; with [`Acks::None`] there is no answer.
    pub acks: Acks,
    /// How long acks=all may wait at the broker (`request.timeout.ms` of the client).
    pub timeout: Duration,
    /// One batch for each partition.
    pub batches: Vec<(PartitionId, Arc<Batch>)>,
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
    /// How long the broker may wait for `min_bytes`.
    pub max_wait: Duration,
    /// How much the broker waits for.
    pub min_bytes: u32,
    /// The most it answers, except that the first batch always comes.
    pub max_bytes: u32,
    /// Where to read.
    pub partitions: Arc<Vec<FetchPartition>>,
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
    /// The epoch of the last record the reader has (followers; consumers that check for truncation).
    pub last_fetched_epoch: Option<u32>,
    /// The most for this partition, except that the first batch always comes.
    pub max_bytes: u32,
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
    /// Batches from the one that holds the offset asked for; consumers get none above the high watermark.
    pub entries: Vec<Entry>,
    /// The reader's log diverges: the largest epoch of the leader's log that is not above the reader's last
    /// one, and where it ends there.
    pub diverging: Option<(u32, u64)>,
    /// With NOT_LEADER_OR_FOLLOWER or FENCED_LEADER_EPOCH: who leads now.
    pub leader: Option<LeaderHint>,
}

/// Which offset is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OffsetSpec {
    /// The first of the log.
    Earliest,
    /// The high watermark.
    Latest,
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

/// How partitions are dealt to a group's members. Kafka's protocol names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Assignor {
    /// `range`.
    Range,
    /// `roundrobin`.
    RoundRobin,
}

/// What a member wants to read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MemberSubscription {
    /// Its topics.
    pub topics: Vec<TopicIx>,
    /// What it owns now.
    pub owned: Vec<PartitionId>,
}

/// Asks to become or stay a member.
#[derive(Clone, Debug)]
pub struct JoinGroupRequest {
    /// The group.
    pub group: GroupIx,
    /// The member id that the coordinator gave, if it did.
    pub member: Option<MemberId>,
    /// How long the coordinator waits for a heartbeat.
    pub session_timeout: Duration,
    /// How long the coordinator waits for this member in a rebalance (`max.poll.interval.ms`).
    pub rebalance_timeout: Duration,
    /// The assignors it supports, best first.
    pub assignors: Vec<Assignor>,
    /// What it wants.
    pub subscription: Arc<MemberSubscription>,
}

/// A new generation.
#[derive(Clone, Debug)]
pub struct JoinGroupResponse {
    /// How it went.
    pub error: ErrorCode,
    /// The member's id; also with MEMBER_ID_REQUIRED.
    pub member: Option<MemberId>,
    /// The generation.
    pub generation: i32,
    /// The assignor chosen.
    pub assignor: Assignor,
    /// The member that deals the partitions.
    pub leader: Option<MemberId>,
    /// All members with what they want; to the leader only.
    pub members: Vec<(MemberId, Arc<MemberSubscription>)>,
}

/// Hands in or asks for the assignment.
#[derive(Clone, Debug)]
pub struct SyncGroupRequest {
    /// The group.
    pub group: GroupIx,
    /// The member.
    pub member: MemberId,
    /// Its generation.
    pub generation: i32,
    /// From the leader: who gets what.
    pub assignments: Vec<(MemberId, Vec<PartitionId>)>,
}

/// Asks to keep offsets.
#[derive(Clone, Debug)]
pub struct OffsetCommitRequest {
    /// The group.
    pub group: GroupIx,
    /// The member and its generation; `None` from a client that is no member.
    pub member: Option<(MemberId, i32)>,
    /// The offsets.
    pub offsets: Vec<CommittedOffset>,
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

impl RequestBody {
    fn digest(&self) -> u64 {
        match self {
            Self::Metadata(topics) => mix(1, topics.as_ref().map_or(u64::MAX, |topics| topics.len() as u64)),
            Self::Produce(request) => request.batches.iter().fold(2, |hash, (id, batch)| {
                mix(mix(hash, id.word()), u64::from(batch.count()) << 32 | u64::from(batch.bytes))
            }),
            Self::Fetch(request) => request
                .partitions
                .iter()
                .fold(3, |hash, partition| mix(mix(hash, partition.id.word()), partition.offset)),
            Self::ListOffsets(partitions) => partitions.iter().fold(4, |hash, p| mix(hash, p.id.word())),
            Self::InitProducerId => 5,
            Self::FindCoordinator(group) => mix(6, u64::from(group.0)),
            Self::JoinGroup(request) => {
                mix(mix(7, u64::from(request.group.0)), request.member.map_or(0, |member| member.0))
            }
            Self::SyncGroup(request) => mix(mix(8, request.member.0), request.generation as u64),
            Self::Heartbeat(_, member, generation) => mix(mix(9, member.0), *generation as u64),
            Self::LeaveGroup(_, member) => mix(10, member.0),
            Self::OffsetCommit(request) => request
                .offsets
                .iter()
                .fold(11, |hash, offset| mix(mix(hash, offset.partition.word()), offset.offset)),
            Self::OffsetFetch(group, partitions) => mix(mix(12, u64::from(group.0)), partitions.len() as u64),
            Self::BrokerRegistration(request) => mix(13, request.incarnation),
            Self::BrokerHeartbeat(request) => {
                mix(mix(14, request.metadata_offset), u64::from(request.want_shutdown))
            }
            Self::AlterPartition(request) => request
                .proposals
                .iter()
                .fold(15, |hash, proposal| mix(mix(hash, proposal.id.word()), proposal.isr.len() as u64)),
            Self::Quorum(request) => mix(16, request.digest()),
        }
    }

    fn size(&self) -> u32 {
        match self {
            Self::Produce(request) => {
                request.batches.iter().fold(64, |bytes, (_, batch)| batch.bytes.saturating_add(bytes))
            }
            Self::Fetch(request) => 64 + 32 * request.partitions.len() as u32,
            _ => 64,
        }
    }
}

impl ResponseBody {
    fn digest(&self) -> u64 {
        match self {
            Self::Metadata(response) => response.topics.iter().fold(1, |hash, topic| {
                topic.partitions.iter().fold(mix(hash, u64::from(topic.topic.0)), |hash, partition| {
                    mix(hash, u64::from(partition.leader_epoch))
                })
            }),
            Self::Produce(partitions) => partitions.iter().fold(2, |hash, partition| {
                mix(mix(hash, partition.error as u64), partition.base_offset.unwrap_or(u64::MAX))
            }),
            Self::Fetch(partitions) => partitions.iter().fold(3, |hash, partition| {
                let end = partition.entries.last().map_or(0, Entry::end_offset);
                mix(mix(mix(hash, partition.error as u64), partition.high_watermark), end)
            }),
            Self::ListOffsets(offsets) => {
                offsets.iter().fold(4, |hash, offset| mix(mix(hash, offset.error as u64), offset.offset))
            }
            Self::InitProducerId(pid) => mix(5, *pid),
            Self::FindCoordinator(error, node) => {
                mix(mix(6, *error as u64), node.map_or(u64::MAX, |node| u64::from(node.0)))
            }
            Self::JoinGroup(response) => mix(mix(7, response.error as u64), response.generation as u64),
            Self::SyncGroup(error, partitions) => mix(mix(8, *error as u64), partitions.len() as u64),
            Self::Heartbeat(error) => mix(9, *error as u64),
            Self::LeaveGroup(error) => mix(10, *error as u64),
            Self::OffsetCommit(results) => {
                results.iter().fold(11, |hash, (_, error)| mix(hash, *error as u64))
            }
            Self::OffsetFetch(error, offsets) => {
                offsets.iter().fold(mix(12, *error as u64), |hash, (_, found)| {
                    mix(hash, found.map_or(u64::MAX, |found| found.offset))
                })
            }
            Self::BrokerRegistration(error, epoch) => mix(mix(13, *error as u64), *epoch),
            Self::BrokerHeartbeat(response) => {
                mix(mix(14, response.error as u64), u64::from(response.fenced))
            }
            Self::AlterPartition(error, results) => {
                results.iter().fold(mix(15, *error as u64), |hash, result| mix(hash, result.error as u64))
            }
            Self::Quorum(response) => mix(16, response.digest()),
        }
    }

    fn size(&self) -> u32 {
        match self {
            Self::Fetch(partitions) => partitions
                .iter()
                .flat_map(|partition| &partition.entries)
                .fold(64, |bytes, entry| entry.batch.bytes.saturating_add(bytes)),
            _ => 64,
        }
    }
}

impl Digest for Msg {
    fn digest(&self) -> u64 {
        match self {
            Self::Request(request) => mix(u64::from(request.correlation), request.body.digest()),
            Self::Response(response) => mix(!u64::from(response.correlation), response.body.digest()),
        }
    }
}

impl Message for Msg {
    fn size(&self) -> u32 {
        match self {
            Self::Request(request) => request.body.size(),
            Self::Response(response) => response.body.size(),
        }
    }

    fn acknowledges_write(&self) -> bool {
        matches!(self, Self::Response(Response { body: ResponseBody::Produce(_), .. }))
    }
}
