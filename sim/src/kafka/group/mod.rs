//! One consumer group at its coordinator: a classic one (rules E1 to E5), or one of the consumer protocol
//! ([`consumer`]) as long as it has no classic members.
//!
//! ```text
//! Empty -> PreparingRebalance -> CompletingRebalance -> Stable
//!              (members join)      (leader deals)
//! ```
//! - A member first gets an id (79) and joins with it; a static member joins at once (`statics`). The first join
//!   of an empty group waits the initial delay, which starts over when another member joins inside it; any other
//!   rebalance waits until every member has rejoined, at most the longest rebalance timeout. Who has not rejoined
//!   by then is out, unless it is static; if nobody has, the wait starts over (`joining`).
//! - Heartbeats say 27 while preparing and OK while completing; either way they count as signs of life. SyncGroup
//!   says 27 while preparing and waits while completing; who has not synced within the longest rebalance timeout
//!   is out (`syncing`).
//! - A commit is accepted while preparing with the old generation, is refused with 27 while completing, with 22 in
//!   the wrong generation and with 25 from a stranger; without a member only while the group is empty
//!   (`offsets`).
//! - A member that is silent for its session is out; one whose join or sync waits here is not silent.
//!
//! Source: `GroupMetadataManager` and `ClassicGroup` of Apache Kafka (where the comments of its state enum say
//! otherwise, the handlers win).

pub mod consumer;
mod joining;
mod offsets;
mod statics;
mod syncing;
mod unrest;

use consumer::ConsumerGroupRecord;
pub(super) use consumer::{ConsumerGroup, refused as consumer_refused};
pub(super) use offsets::{Offsets, check_metadata};
pub(super) use unrest::{Place, Unrest};

use super::{
    error::ErrorCode,
    protocol::{
        Assignor, ConsumerGroupHeartbeatRequest, GroupIx, InstanceId, JoinGroupResponse, MemberEpoch,
        MemberId, MemberSubscription, PartitionId, ResponseBody, TopicIx,
    },
    rules::Rules,
};
use crate::kernel::ConnId;
use squall_bus::Time;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// A member as the group's log keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberSnapshot {
    /// Its id.
    pub member: MemberId,
    /// Its instance, if it is a static member.
    pub instance: Option<InstanceId>,
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

/// Where a group is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum GroupState {
    Empty,
    Preparing,
    Completing,
    Stable,
}

#[derive(Clone, Debug)]
struct Member {
    instance: Option<InstanceId>,
    session_timeout: Duration,
    rebalance_timeout: Duration,
    assignors: Vec<Assignor>,
    subscription: Arc<MemberSubscription>,
    assignment: Vec<PartitionId>,
    /// When it will have been silent for too long.
    expires: Time,
    /// Its JoinGroup waits here.
    joining: Option<ConnId>,
    /// Its SyncGroup waits here.
    syncing: Option<ConnId>,
    /// It has asked for the assignment of this generation.
    synced: bool,
}

impl Member {
    /// It was silent for too long, and waits for nothing here.
    fn is_silent(&self, now: Time) -> bool {
        self.expires <= now && self.joining.is_none() && self.syncing.is_none()
    }
}

/// What a group wants done.
#[derive(Debug)]
pub(super) enum Effect {
    /// Answer.
    Reply(ConnId, ResponseBody),
    /// Answer once everything that is written now is committed.
    Answer(ConnId, ResponseBody),
    /// Keep the group as it is in its log, then tell it.
    Persist(Arc<GroupSnapshot>),
    /// Keep the group of the consumer protocol as it is in its log, then answer.
    Keep(Arc<ConsumerGroupRecord>, Option<(ConnId, ResponseBody)>),
    /// A new generation begins with so many members.
    Rebalanced(i32, u32),
}

/// A commit that was taken, and what the group was then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    /// Who committed, at which generation or epoch.
    pub(super) member: Option<(MemberId, i32)>,
    /// At which generation or epoch that member was, if it was one.
    pub(super) epoch: Option<i32>,
    pub(super) state: GroupState,
    pub(super) has_members: bool,
}

/// A group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) id: GroupIx,
    pub(super) state: GroupState,
    pub(super) generation: i32,
    assignor: Assignor,
    leader: Option<MemberId>,
    members: BTreeMap<MemberId, Member>,
    /// The members that are static, by instance.
    statics: BTreeMap<InstanceId, MemberId>,
    /// Ids given out that nobody has joined with, and when they end.
    promised: BTreeMap<MemberId, Time>,
    /// When the joining ends.
    join_ends: Option<Time>,
    /// When everybody must have asked for its assignment.
    sync_ends: Option<Time>,
    /// The first join of an empty group: how much longer it may be put off, and whether somebody came.
    initial: Option<(Duration, bool)>,
    /// When the last member went, by the coordinator's wall clock; nobody ever joined a group without it that has no
    /// generation.
    empty_since: Option<Time>,
    /// What it is instead, if its members speak the consumer protocol.
    pub(super) consumer: Option<Box<ConsumerGroup>>,
    /// Committed offsets.
    pub(super) offsets: Offsets,
    /// The last commit that was taken.
    pub(super) taken: Option<Taken>,
}

type Effects = Vec<Effect>;

impl Group {
    pub(super) fn new(id: GroupIx) -> Self {
        Self {
            id,
            state: GroupState::Empty,
            generation: 0,
            assignor: Assignor::Range,
            leader: None,
            members: BTreeMap::new(),
            statics: BTreeMap::new(),
            promised: BTreeMap::new(),
            join_ends: None,
            sync_ends: None,
            initial: None,
            empty_since: None,
            consumer: None,
            offsets: Offsets::default(),
            taken: None,
        }
    }

    /// The group that its log tells of, written at this time of its coordinator's wall clock; sessions begin now.
    pub(super) fn restore(&mut self, snapshot: &GroupSnapshot, at: Time, now: Time) {
        self.generation = snapshot.generation;
        self.assignor = snapshot.assignor;
        self.leader = snapshot.leader;
        self.empty_since = snapshot.members.is_empty().then_some(at);
        self.state = if snapshot.members.is_empty() { GroupState::Empty } else { GroupState::Stable };
        let instances =
            snapshot.members.iter().filter_map(|kept| Some((kept.instance.clone()?, kept.member)));
        self.statics = instances.collect();
        self.members = snapshot
            .members
            .iter()
            .map(|kept| {
                let member = Member {
                    instance: kept.instance.clone(),
                    session_timeout: kept.session_timeout,
                    rebalance_timeout: kept.rebalance_timeout,
                    assignors: vec![snapshot.assignor],
                    subscription: Arc::clone(&kept.subscription),
                    assignment: kept.assignment.clone(),
                    expires: now + kept.session_timeout,
                    joining: None,
                    syncing: None,
                    synced: true,
                };
                (kept.member, member)
            })
            .collect();
    }

    fn snapshot(&self) -> Arc<GroupSnapshot> {
        let members = self.members.iter().map(|(id, member)| MemberSnapshot {
            member: *id,
            instance: member.instance.clone(),
            session_timeout: member.session_timeout,
            rebalance_timeout: member.rebalance_timeout,
            subscription: Arc::clone(&member.subscription),
            assignment: member.assignment.clone(),
        });
        Arc::new(GroupSnapshot {
            group: self.id,
            generation: self.generation,
            assignor: self.assignor,
            leader: self.leader,
            members: members.collect(),
        })
    }

    /// Who owns what in this generation.
    pub(super) fn assignments(&self) -> impl Iterator<Item = (MemberId, &[PartitionId])> {
        self.members.iter().map(|(id, member)| (*id, &member.assignment[..]))
    }

    // Signs of life.

    fn alive(&mut self, id: MemberId, now: Time) {
        if let Some(member) = self.members.get_mut(&id) {
            member.expires = now + member.session_timeout;
        }
    }

    /// Whether positions of a transaction may be taken from this member: a rebalance under way does not refuse them.
    pub(super) fn check_txn_commit(&self, member: &MemberEpoch) -> Result<(), ErrorCode> {
        match &self.consumer {
            Some(group) => group.check_member(Some(member)),
            None => self.check_member(member),
        }
    }

    /// Whether this is a member, of this generation.
    fn check_member(&self, member: &MemberEpoch) -> Result<(), ErrorCode> {
        self.check_instance(member.id, member.instance.as_ref())?;
        if !self.members.contains_key(&member.id) {
            return Err(ErrorCode::UnknownMemberId);
        }
        if member.epoch != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        Ok(())
    }

    pub(super) fn heartbeat(&mut self, member: &MemberEpoch, now: Time) -> ErrorCode {
        if let Err(error) = self.check_member(member) {
            return error;
        }
        self.alive(member.id, now);
        match self.state {
            GroupState::Preparing => ErrorCode::RebalanceInProgress,
            GroupState::Empty => ErrorCode::UnknownMemberId,
            GroupState::Completing | GroupState::Stable => ErrorCode::None,
        }
    }

    pub(super) fn leave(
        &mut self,
        id: MemberId,
        instance: Option<&InstanceId>,
        rules: &Rules,
        now: Time,
    ) -> (ErrorCode, Effects) {
        if self.promised.remove(&id).is_some() {
            return (ErrorCode::None, self.complete_join_if_all_here(now));
        }
        if let Err(error) = self.check_instance(id, instance) {
            return (error, Vec::new());
        }
        if !self.members.contains_key(&id) {
            return (ErrorCode::UnknownMemberId, Vec::new());
        }
        (ErrorCode::None, self.remove(id, rules, now))
    }

    fn remove(&mut self, id: MemberId, rules: &Rules, now: Time) -> Effects {
        let Some(member) = self.members.remove(&id) else { return Vec::new() };
        if let Some(instance) = &member.instance {
            self.statics.remove(instance);
        }
        let mut effects = Vec::new();
        effects.extend(member.joining.map(|conn| join_failed(conn, ErrorCode::UnknownMemberId, Some(id))));
        effects.extend(member.syncing.map(|conn| sync_failed(conn, ErrorCode::UnknownMemberId)));
        match self.state {
            GroupState::Stable | GroupState::Completing => effects.extend(self.prepare(rules, now)),
            GroupState::Preparing => effects.extend(self.complete_join_if_all_here(now)),
            GroupState::Empty => {}
        }
        effects
    }

    // Time.

    /// When something is due next.
    pub(super) fn due_at(&self) -> Option<Time> {
        let waits = |member: &&Member| member.joining.is_none() && member.syncing.is_none();
        let sessions = self.members.values().filter(waits).map(|member| member.expires);
        let consumer = self.consumer.as_ref().and_then(|group| group.due_at());
        let rounds = [self.join_ends, self.sync_ends, consumer].into_iter().flatten();
        sessions.chain(self.promised.values().copied()).chain(rounds).min()
    }

    /// Whether it has members.
    pub(super) fn has_members(&self) -> bool {
        !self.members.is_empty() || self.consumer.as_ref().is_some_and(|group| group.has_members())
    }

    /// Whether a member's session is over.
    pub(super) fn is_missing_somebody(&self, now: Time) -> bool {
        let epochs = self.consumer.as_ref().and_then(|group| group.due_at());
        epochs.is_some_and(|due| due <= now) || self.members.values().any(|member| member.is_silent(now))
    }

    /// Does what is due.
    pub(super) fn due(&mut self, rules: &Rules, now: Time) -> Effects {
        let mut effects = Vec::new();
        let promised = self.promised.len();
        self.promised.retain(|_, ends| *ends > now);
        if self.promised.len() < promised {
            effects.extend(self.complete_join_if_all_here(now));
        }
        effects.extend(self.remove_all(rules, now, |member| member.is_silent(now)));
        if self.sync_ends.is_some_and(|ends| ends <= now) {
            self.sync_ends = None;
            effects.extend(self.remove_all(rules, now, |member| !member.synced));
        }
        if self.join_ends.is_some_and(|ends| ends <= now) {
            effects.extend(self.join_ended(rules, now));
        }
        if let Some(group) = &mut self.consumer
            && group.due(now)
        {
            effects.push(Effect::Keep(Arc::new(group.record.clone()), None));
        }
        effects
    }

    /// A heartbeat of the consumer protocol. A group that has classic members does not speak it (69).
    pub(super) fn consumer_heartbeat(
        &mut self,
        conn: ConnId,
        request: &ConsumerGroupHeartbeatRequest,
        partitions: &dyn Fn(TopicIx) -> u32,
        rules: &Rules,
        now: Time,
    ) -> Effects {
        if !self.members.is_empty() || !self.promised.is_empty() {
            let body = ResponseBody::ConsumerGroupHeartbeat(consumer_refused(ErrorCode::GroupIdNotFound));
            return vec![Effect::Reply(conn, body)];
        }
        let id = self.id;
        let group = self.consumer.get_or_insert_with(|| Box::new(ConsumerGroup::new(id)));
        let before = group.record.clone();
        let response = group.heartbeat(request, partitions, rules, now);
        let refused = response.error.is_error();
        let body = ResponseBody::ConsumerGroupHeartbeat(response);
        if group.record == before {
            return vec![if refused { Effect::Reply(conn, body) } else { Effect::Answer(conn, body) }];
        }
        let mut effects = Vec::new();
        if group.record.epoch != before.epoch {
            effects.push(Effect::Rebalanced(group.record.epoch, group.record.members.len() as u32));
        }
        effects.push(Effect::Keep(Arc::new(group.record.clone()), Some((conn, body))));
        effects
    }

    fn remove_all(&mut self, rules: &Rules, now: Time, which: impl Fn(&Member) -> bool) -> Effects {
        let gone: Vec<MemberId> =
            self.members.iter().filter(|(_, member)| which(member)).map(|(id, _)| *id).collect();
        gone.into_iter().flat_map(|id| self.remove(id, rules, now)).collect()
    }

    /// The coordinator moves away: whoever waits here hears it.
    pub(super) fn unload(&mut self) -> Effects {
        let mut effects = Vec::new();
        for (id, member) in &mut self.members {
            let joining = member.joining.take();
            effects.extend(joining.map(|conn| join_failed(conn, ErrorCode::NotCoordinator, Some(*id))));
            effects.extend(member.syncing.take().map(|conn| sync_failed(conn, ErrorCode::NotCoordinator)));
        }
        effects
    }
}

/// A JoinGroup that got nowhere.
pub(super) fn join_failed(conn: ConnId, error: ErrorCode, member: Option<MemberId>) -> Effect {
    let response = JoinGroupResponse {
        error,
        member,
        generation: -1,
        assignor: Assignor::Range,
        leader: None,
        members: Vec::new(),
    };
    Effect::Reply(conn, ResponseBody::JoinGroup(response))
}

/// A SyncGroup that got nowhere.
pub(super) fn sync_failed(conn: ConnId, error: ErrorCode) -> Effect {
    Effect::Reply(conn, ResponseBody::SyncGroup(error, Vec::new()))
}
