//! One group of the consumer protocol at its coordinator (KIP-848, rule E6): three kinds of epoch and no common round.
//!
//! ```text
//! group epoch      +1 when the members, their topics or the topics' partitions change
//! target epoch     the group epoch that the target assignment was dealt for, by the coordinator itself
//! member epoch     the target epoch that a member has reached, each at its own pace
//! ```
//! - All goes by heartbeats: joining (epoch 0), leaving (-1; a static member that comes back -2), signs of life,
//!   confirmations (`heartbeat`).
//! - A member is led to the target in steps (`reconcile`): it is told what to give up, confirms that it has, and then
//!   gets what is free. A partition is free when nobody is assigned it or is still giving it up.
//! - A member that is silent for the session, or takes longer to give up than its own rebalance timeout, is out.
//! - Whatever changes is kept in the log before anybody hears of it. What the log refuses is undone: the group is as it
//!   was last written, which may be on its way still. Time goes on for who is a member then; who was to be put out is
//!   so again after `RETRY_BACKOFF`.
//!
//! Source: KIP-848, `GroupMetadataManager`, `ConsumerGroup` and `CurrentAssignmentBuilder` of Apache Kafka 4; its
//! `CoordinatorRuntime` goes back to the last written offset when an append fails, and leaves timers as they are.

mod heartbeat;
mod reconcile;

pub(in crate::kafka) use heartbeat::refused;

use crate::kafka::{
    error::ErrorCode,
    protocol::{Assignor, GroupIx, InstanceId, MemberEpoch, MemberId, PartitionId, TopicIx},
    rules::Rules,
};
use squall_bus::Time;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// The member epoch of a static member that said it will be back.
pub(super) const AWAY: i32 = -2;

/// After a timer's change was refused by the log the coordinator tries it again (`CoordinatorTimer` of Apache Kafka).
const RETRY_BACKOFF: Duration = Duration::from_millis(500);

/// How far a member is with what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reconciliation {
    /// It has what it is to have.
    Stable,
    /// It has not confirmed yet that it gave up what it was told to.
    Unrevoked,
    /// Something that it is to have is still another's.
    Unreleased,
}

/// A member, as the group's log keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerMember {
    /// Its epoch.
    pub epoch: i32,
    /// The one before.
    pub previous_epoch: i32,
    /// Its instance, if it is a static member.
    pub instance: Option<InstanceId>,
    /// How long it may take to give something up (`max.poll.interval.ms` of the client).
    pub rebalance_timeout: Duration,
    /// Its topics.
    pub topics: Vec<TopicIx>,
    /// The assignor that it asks for.
    pub assignor: Option<Assignor>,
    /// What is its own.
    pub assigned: Vec<PartitionId>,
    /// What it is giving up.
    pub revoking: Vec<PartitionId>,
    /// How far it is.
    pub state: Reconciliation,
}

/// A group, as its log keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerGroupRecord {
    /// The group.
    pub group: GroupIx,
    /// The group epoch.
    pub epoch: i32,
    /// The group epoch that the target was dealt for.
    pub target_epoch: i32,
    /// Who is to have what.
    pub target: BTreeMap<MemberId, Vec<PartitionId>>,
    /// How many partitions the topics had that the target was dealt for.
    pub counts: BTreeMap<TopicIx, u32>,
    /// The members.
    pub members: BTreeMap<MemberId, ConsumerMember>,
}

impl ConsumerGroupRecord {
    /// Whether this is a member of this epoch, by this record of the group.
    pub(in crate::kafka) fn check_member(&self, member: Option<&MemberEpoch>) -> Result<(), ErrorCode> {
        let Some(who) = member else {
            return if self.members.is_empty() { Ok(()) } else { Err(ErrorCode::UnknownMemberId) };
        };
        match self.members.get(&who.id) {
            None => Err(ErrorCode::UnknownMemberId),
            Some(member) if member.epoch != who.epoch => Err(ErrorCode::StaleMemberEpoch),
            Some(_) => Ok(()),
        }
    }
}

/// What a member's time is up for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// When it will have been silent for too long.
    pub(super) session: Time,
    /// When it must have given up what it was told to.
    pub(super) revocation: Option<Time>,
}

/// A group of the consumer protocol.
#[derive(Debug)]
pub(in crate::kafka) struct ConsumerGroup {
    pub(in crate::kafka) record: ConsumerGroupRecord,
    pub(super) limits: BTreeMap<MemberId, Limits>,
    /// What the log has taken.
    kept: Arc<ConsumerGroupRecord>,
}

impl ConsumerGroup {
    pub(in crate::kafka) fn new(group: GroupIx) -> Self {
        let record = ConsumerGroupRecord {
            group,
            epoch: 0,
            target_epoch: 0,
            target: BTreeMap::new(),
            counts: BTreeMap::new(),
            members: BTreeMap::new(),
        };
        Self { kept: Arc::new(record.clone()), record, limits: BTreeMap::new() }
    }

    /// The group that its log tells of; every time limit begins now.
    pub(in crate::kafka) fn restore(record: &Arc<ConsumerGroupRecord>, rules: &Rules, now: Time) -> Self {
        let mut group = Self {
            record: ConsumerGroupRecord::clone(record),
            limits: BTreeMap::new(),
            kept: Arc::clone(record),
        };
        group.limit_all(now + rules.consumer_session, now);
        group
    }

    /// Every member has its time limits, and nobody else; a session that begins ends then.
    fn limit_all(&mut self, session: Time, now: Time) {
        let members = self.record.members.iter();
        let limits = members.map(|(id, member)| {
            let running = self.limits.get(id);
            let revocation = (member.state == Reconciliation::Unrevoked).then(|| {
                let running = running.and_then(|limits| limits.revocation);
                running.unwrap_or(now + member.rebalance_timeout)
            });
            (*id, Limits { session: running.map_or(session, |limits| limits.session), revocation })
        });
        self.limits = limits.collect();
    }

    /// The log took the group as it was then.
    pub(in crate::kafka) fn persisted(&mut self, record: Arc<ConsumerGroupRecord>) {
        self.kept = record;
    }

    /// The log refused what changed last: the group is as it was `written` before, if that is still on its way, or as
    /// the log has taken it. Who was to be put out for its time (`by_timer`) is so again soon; who wanted to leave stays
    /// for a session (Kafka keeps no time for it until it speaks again).
    pub(in crate::kafka) fn undo(
        &mut self,
        written: Option<&ConsumerGroupRecord>,
        by_timer: bool,
        rules: &Rules,
        now: Time,
    ) {
        self.record = written.unwrap_or(&self.kept).clone();
        let session = if by_timer { RETRY_BACKOFF } else { rules.consumer_session };
        self.limit_all(now + session, now);
    }

    /// What the log has taken.
    pub(in crate::kafka) fn kept(&self) -> &ConsumerGroupRecord {
        &self.kept
    }

    /// Whether it has members.
    pub(in crate::kafka) fn has_members(&self) -> bool {
        !self.record.members.is_empty()
    }

    /// Whether some member wants this topic.
    pub(in crate::kafka) fn wants(&self, topic: TopicIx) -> bool {
        self.record.members.values().any(|member| member.topics.contains(&topic))
    }

    /// Whether this is a member of this epoch: 25 for a stranger, 113 for another epoch.
    pub(in crate::kafka) fn check_member(&self, member: Option<&MemberEpoch>) -> Result<(), ErrorCode> {
        self.record.check_member(member)
    }

    // Time.

    /// When something is due next.
    pub(in crate::kafka) fn due_at(&self) -> Option<Time> {
        self.limits.values().flat_map(|limits| limits.revocation.into_iter().chain([limits.session])).min()
    }

    /// Puts out whose time is up; whether there was anybody.
    pub(in crate::kafka) fn due(&mut self, now: Time) -> bool {
        let over =
            |limits: &Limits| limits.session <= now || limits.revocation.is_some_and(|ends| ends <= now);
        let gone: BTreeSet<MemberId> =
            self.limits.iter().filter(|(_, limits)| over(limits)).map(|(id, _)| *id).collect();
        gone.iter().for_each(|id| self.remove(*id));
        !gone.is_empty()
    }

    fn remove(&mut self, id: MemberId) {
        self.limits.remove(&id);
        if self.record.members.remove(&id).is_some() {
            self.record.target.remove(&id);
            self.record.epoch += 1;
        }
    }
}
