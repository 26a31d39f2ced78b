//! What travels between a group's members and its coordinator.

use super::{
    error::ErrorCode,
    protocol::{Assignor, CommittedOffset, Few, PartitionId, TopicIx},
};
use std::{fmt, sync::Arc, time::Duration};

/// A group, interned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupIx(pub u32);

/// A member of a group, as its coordinator named it. Random, as the uuid in Kafka's member ids is, so that their
/// order (by which assignors deal) says nothing about who came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub u64);

/// The name that a static member keeps over its restarts (`group.instance.id`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(Arc<str>);

impl InstanceId {
    /// The instance of this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(Arc::from(name))
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who speaks as a member: its id and the generation (classic) or member epoch (KIP-848) it believes in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MemberEpoch {
    /// The member.
    pub id: MemberId,
    /// Its generation or member epoch.
    pub epoch: i32,
    /// Its instance, if it is a static member.
    pub instance: Option<InstanceId>,
}

/// What a member wants to read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MemberSubscription {
    /// Its topics.
    pub topics: Vec<TopicIx>,
    /// What it owns now, or was dealt last (the sticky assignor's memory).
    pub owned: Vec<PartitionId>,
    /// The generation in which it was dealt that.
    pub generation: Option<i32>,
}

/// Asks to become or stay a member.
#[derive(Clone, Debug)]
pub struct JoinGroupRequest {
    /// The group.
    pub group: GroupIx,
    /// The member id that the coordinator gave, if it did.
    pub member: Option<MemberId>,
    /// Its instance, if it is a static member.
    pub instance: Option<InstanceId>,
    /// How long the coordinator waits for a heartbeat.
    pub session_timeout: Duration,
    /// How long the coordinator waits for this member in a rebalance (`max.poll.interval.ms`).
    pub rebalance_timeout: Duration,
    /// The assignors it supports, best first.
    pub assignors: Vec<Assignor>,
    /// What it wants.
    pub subscription: Arc<MemberSubscription>,
}

/// A member as the leader hears of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub id: MemberId,
    /// Its instance, if it is a static member.
    pub instance: Option<InstanceId>,
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
    /// The member that deals the partitions. A static member that comes back as the leader of a stable group is
    /// told its id of before, so that it deals nothing.
    pub leader: Option<MemberId>,
    /// All members with what they want; to the leader only.
    pub members: Vec<JoinedMember>,
}

/// Hands in or asks for the assignment.
#[derive(Clone, Debug)]
pub struct SyncGroupRequest {
    /// The group.
    pub group: GroupIx,
    /// The member and its generation.
    pub member: MemberEpoch,
    /// From the leader: who gets what.
    pub assignments: Vec<(MemberId, Vec<PartitionId>)>,
}

/// Asks to keep offsets.
#[derive(Clone, Debug)]
pub struct OffsetCommitRequest {
    /// The group.
    pub group: GroupIx,
    /// The member and its generation or epoch; `None` from a client that is no member.
    pub member: Option<MemberEpoch>,
    /// The offsets.
    pub offsets: Few<CommittedOffset>,
}

/// Asks where the group goes on.
#[derive(Clone, Debug)]
pub struct OffsetFetchRequest {
    /// The group.
    pub group: GroupIx,
    /// The member and its epoch; a member of the consumer protocol says it, others do not.
    pub member: Option<MemberEpoch>,
    /// Where.
    pub partitions: Vec<PartitionId>,
    /// Whether only an answer is wanted that no open transaction can change (`require_stable`).
    pub stable: bool,
}

/// A heartbeat of the consumer protocol. What has not changed since the last one is left out.
#[derive(Clone, Debug)]
pub struct ConsumerGroupHeartbeatRequest {
    /// The group.
    pub group: GroupIx,
    /// The member, by the id that it gave itself.
    pub member: MemberId,
    /// Its epoch: 0 joins, -1 leaves, -2 leaves for a while (a static member).
    pub epoch: i32,
    /// Its instance, if it is a static member.
    pub instance: Option<InstanceId>,
    /// How long it may take to give something up.
    pub rebalance_timeout: Option<Duration>,
    /// Its topics.
    pub topics: Option<Vec<TopicIx>>,
    /// The coordinator's assignor that it asks for (`group.remote.assignor`).
    pub assignor: Option<Assignor>,
    /// What it owns.
    pub owned: Option<Vec<PartitionId>>,
}

impl ConsumerGroupHeartbeatRequest {
    /// Whether nothing is left out, so that the assignment is answered in any case.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.epoch == 0 || (self.topics.is_some() && self.owned.is_some() && self.rebalance_timeout.is_some())
    }
}

/// What the coordinator makes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerGroupHeartbeatResponse {
    /// How it went.
    pub error: ErrorCode,
    /// The member's epoch.
    pub epoch: i32,
    /// When the next heartbeat is expected.
    pub heartbeat_interval: Duration,
    /// What the member is to have, if there is news.
    pub assignment: Option<Vec<PartitionId>>,
}
