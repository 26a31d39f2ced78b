//! Classic consumer groups.

use super::protocol::{Assignor, GroupIx, MemberId, MemberSubscription, PartitionId};
use std::{sync::Arc, time::Duration};

/// A member as the group's log keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberSnapshot {
    /// Its id.
    pub member: MemberId,
    /// Its session timeout.
    pub session_timeout: Duration,
    /// Its rebalance timeout.
    pub rebalance_timeout: Duration,
    /// What it wants.
    pub subscription: Arc<MemberSubscription>,
    /// What it was dealt.
    pub assignment: Vec<PartitionId>,
}

/// A group's members and generation after a rebalance, as the group's log keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSnapshot {
    /// The group.
    pub group: GroupIx,
    /// Its generation.
    pub generation: i32,
    /// The assignor chosen.
    pub assignor: Assignor,
    /// The member that deals.
    pub leader: Option<MemberId>,
    /// The members.
    pub members: Vec<MemberSnapshot>,
}
