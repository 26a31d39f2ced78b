//! One classic consumer group at its coordinator (rules E1 to E3).
//!
//! ```text
//! Empty -> PreparingRebalance -> CompletingRebalance -> Stable
//!              (members join)      (leader deals)
//! ```
//! - A member first gets an id (79) and joins with it. The first join of an empty group waits the initial delay,
//!   which starts over when another member joins inside it; any other rebalance waits until every member has
//!   rejoined, at most the longest rebalance timeout. Who has not rejoined by then is out.
//! - Heartbeats say 27 while preparing and OK while completing; either way they count as signs of life. SyncGroup
//!   says 27 while preparing and waits while completing. A commit is accepted while preparing with the old
//!   generation, is refused with 27 while completing, with 22 in the wrong generation and with 25 from a
//!   stranger; without a member only while the group is empty.
//! - A member that is silent for its session is out; one whose join or sync waits here is not silent.
//!
//! Source: `GroupCoordinator` of Apache Kafka and its handlers (where the comments of its state enum say
//! otherwise, the handlers win).

use super::{
    error::ErrorCode,
    protocol::{
        Assignor, CommittedOffset, GroupIx, JoinGroupRequest, JoinGroupResponse, MemberId,
        MemberSubscription, PartitionId, ResponseBody, SyncGroupRequest,
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
    /// Keep the group as it is in its log, then tell it.
    Persist(Arc<GroupSnapshot>),
    /// A new generation begins with so many members.
    Rebalanced(i32, u32),
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
    /// Ids given out that nobody has joined with, and when they end.
    promised: BTreeMap<MemberId, Time>,
    /// When the joining ends.
    join_ends: Option<Time>,
    /// The first join of an empty group: how much longer it may be put off, and whether somebody came.
    initial: Option<(Duration, bool)>,
    /// Committed offsets.
    pub(super) offsets: BTreeMap<PartitionId, CommittedOffset>,
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
            promised: BTreeMap::new(),
            join_ends: None,
            initial: None,
            offsets: BTreeMap::new(),
        }
    }

    /// The group that its log tells of; sessions begin now.
    pub(super) fn restore(&mut self, snapshot: &GroupSnapshot, now: Time) {
        self.generation = snapshot.generation;
        self.assignor = snapshot.assignor;
        self.leader = snapshot.leader;
        self.state = if snapshot.members.is_empty() { GroupState::Empty } else { GroupState::Stable };
        self.members = snapshot
            .members
            .iter()
            .map(|kept| {
                let member = Member {
                    session_timeout: kept.session_timeout,
                    rebalance_timeout: kept.rebalance_timeout,
                    assignors: vec![snapshot.assignor],
                    subscription: Arc::clone(&kept.subscription),
                    assignment: kept.assignment.clone(),
                    expires: now + kept.session_timeout,
                    joining: None,
                    syncing: None,
                };
                (kept.member, member)
            })
            .collect();
    }

    fn snapshot(&self) -> Arc<GroupSnapshot> {
        let members = self.members.iter().map(|(id, member)| MemberSnapshot {
            member: *id,
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

    // Joining.

    /// A client asks to join. `fresh` is the id for one that has none yet.
    pub(super) fn join(
        &mut self,
        conn: ConnId,
        request: JoinGroupRequest,
        fresh: MemberId,
        rules: &Rules,
        now: Time,
    ) -> Effects {
        let session = request.session_timeout;
        if session < rules.group_min_session || session > rules.group_max_session {
            return vec![join_failed(conn, ErrorCode::InvalidSessionTimeout, None)];
        }
        let Some(id) = request.member else {
            self.promised.insert(fresh, now + session);
            return vec![join_failed(conn, ErrorCode::MemberIdRequired, Some(fresh))];
        };
        if !self.supports(id, &request.assignors) {
            return vec![join_failed(conn, ErrorCode::InconsistentGroupProtocol, Some(id))];
        }
        if self.promised.remove(&id).is_some() {
            return self.add(conn, id, request, rules, now);
        }
        let Some(member) = self.members.get(&id) else {
            return vec![join_failed(conn, ErrorCode::UnknownMemberId, Some(id))];
        };
        let same = member.subscription == request.subscription && member.assignors == request.assignors;
        let repeats = match self.state {
            GroupState::Completing => same,
            GroupState::Stable => same && self.leader != Some(id),
            GroupState::Empty | GroupState::Preparing => false,
        };
        if repeats {
            self.alive(id, now);
            return vec![self.joined(conn, id)];
        }
        self.rejoin(conn, id, request, rules, now)
    }

    /// Whether some assignor is supported by everybody including this member.
    fn supports(&self, id: MemberId, assignors: &[Assignor]) -> bool {
        assignors.iter().any(|assignor| {
            self.members.iter().all(|(other, member)| *other == id || member.assignors.contains(assignor))
        })
    }

    fn add(
        &mut self,
        conn: ConnId,
        id: MemberId,
        request: JoinGroupRequest,
        rules: &Rules,
        now: Time,
    ) -> Effects {
        let member = Member {
            session_timeout: request.session_timeout,
            rebalance_timeout: request.rebalance_timeout,
            assignors: request.assignors,
            subscription: request.subscription,
            assignment: Vec::new(),
            expires: now + request.session_timeout,
            joining: Some(conn),
            syncing: None,
        };
        self.members.insert(id, member);
        self.leader.get_or_insert(id);
        if let Some((_, somebody_came)) = &mut self.initial {
            *somebody_came = true;
        }
        self.prepare(rules, now)
    }

    fn rejoin(
        &mut self,
        conn: ConnId,
        id: MemberId,
        request: JoinGroupRequest,
        rules: &Rules,
        now: Time,
    ) -> Effects {
        let mut effects = Vec::new();
        if let Some(member) = self.members.get_mut(&id) {
            if let Some(before) = member.joining.replace(conn) {
                // A retry over another connection: the old request's answer is of no use.
                effects.push(join_failed(before, ErrorCode::RebalanceInProgress, Some(id)));
            }
            member.assignors = request.assignors;
            member.subscription = request.subscription;
            member.session_timeout = request.session_timeout;
            member.rebalance_timeout = request.rebalance_timeout;
        }
        effects.extend(self.prepare(rules, now));
        effects
    }

    /// Begins a rebalance unless one is being prepared; ends the preparation if everybody is here.
    fn prepare(&mut self, rules: &Rules, now: Time) -> Effects {
        let mut effects = Vec::new();
        let longest = self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default();
        match self.state {
            GroupState::Preparing => {}
            GroupState::Empty => {
                let delay = rules.group_initial_rebalance_delay;
                self.initial = Some((longest.saturating_sub(delay), false));
                self.join_ends = Some(now + delay);
            }
            GroupState::Completing | GroupState::Stable => {
                for member in self.members.values_mut() {
                    if let Some(conn) = member.syncing.take() {
                        effects.push(sync_failed(conn, ErrorCode::RebalanceInProgress));
                    }
                }
                self.join_ends = Some(now + longest);
            }
        }
        self.state = GroupState::Preparing;
        effects.extend(self.complete_join_if_all_here(now));
        effects
    }

    fn complete_join_if_all_here(&mut self, now: Time) -> Effects {
        let all = self.promised.is_empty() && self.members.values().all(|member| member.joining.is_some());
        if self.state == GroupState::Preparing && self.initial.is_none() && all {
            return self.complete_join(now);
        }
        Vec::new()
    }

    fn complete_join(&mut self, now: Time) -> Effects {
        self.join_ends = None;
        self.initial = None;
        self.members.retain(|_, member| member.joining.is_some());
        self.generation += 1;
        let mut effects = vec![Effect::Rebalanced(self.generation, self.members.len() as u32)];
        if self.members.is_empty() {
            self.state = GroupState::Empty;
            self.leader = None;
            effects.push(Effect::Persist(self.snapshot()));
            return effects;
        }
        if self.leader.is_none_or(|leader| !self.members.contains_key(&leader)) {
            self.leader = self.members.keys().next().copied();
        }
        self.assignor = self.choose_assignor();
        self.state = GroupState::Completing;
        let ids: Vec<MemberId> = self.members.keys().copied().collect();
        for id in ids {
            self.alive(id, now);
            if let Some(conn) = self.members.get_mut(&id).and_then(|member| member.joining.take()) {
                effects.push(self.joined(conn, id));
            }
        }
        effects
    }

    /// The assignor that all support and most like best.
    fn choose_assignor(&self) -> Assignor {
        let all = |assignor: &Assignor| self.members.values().all(|m| m.assignors.contains(assignor));
        let mut votes: BTreeMap<Assignor, u32> = BTreeMap::new();
        for member in self.members.values() {
            if let Some(assignor) = member.assignors.iter().find(|assignor| all(assignor)) {
                *votes.entry(*assignor).or_default() += 1;
            }
        }
        let most = votes.iter().max_by_key(|(assignor, votes)| (**votes, std::cmp::Reverse(**assignor)));
        most.map_or(self.assignor, |(assignor, _)| *assignor)
    }

    fn joined(&self, conn: ConnId, id: MemberId) -> Effect {
        let members = if self.leader == Some(id) {
            self.members.iter().map(|(id, member)| (*id, Arc::clone(&member.subscription))).collect()
        } else {
            Vec::new()
        };
        let response = JoinGroupResponse {
            error: ErrorCode::None,
            member: Some(id),
            generation: self.generation,
            assignor: self.assignor,
            leader: self.leader,
            members,
        };
        Effect::Reply(conn, ResponseBody::JoinGroup(response))
    }

    // Syncing.

    pub(super) fn sync(&mut self, conn: ConnId, request: SyncGroupRequest, now: Time) -> Effects {
        if let Err(error) = self.check_member(request.member, request.generation) {
            return vec![sync_failed(conn, error)];
        }
        match self.state {
            GroupState::Empty => vec![sync_failed(conn, ErrorCode::UnknownMemberId)],
            GroupState::Preparing => vec![sync_failed(conn, ErrorCode::RebalanceInProgress)],
            GroupState::Stable => {
                self.alive(request.member, now);
                let assignment = self.members[&request.member].assignment.clone();
                vec![Effect::Reply(conn, ResponseBody::SyncGroup(ErrorCode::None, assignment))]
            }
            GroupState::Completing => {
                let member = self.members.get_mut(&request.member);
                if let Some(before) = member.and_then(|member| member.syncing.replace(conn)) {
                    return vec![sync_failed(before, ErrorCode::RebalanceInProgress)];
                }
                if self.leader != Some(request.member) {
                    return Vec::new();
                }
                for (id, member) in &mut self.members {
                    let dealt = request.assignments.iter().find(|(other, _)| other == id);
                    member.assignment = dealt.map(|(_, partitions)| partitions.clone()).unwrap_or_default();
                }
                vec![Effect::Persist(self.snapshot())]
            }
        }
    }

    /// The log kept, or did not keep, the group as of this generation.
    pub(super) fn persisted(
        &mut self,
        generation: i32,
        error: ErrorCode,
        rules: &Rules,
        now: Time,
    ) -> Effects {
        if self.state != GroupState::Completing || self.generation != generation {
            return Vec::new();
        }
        let mut effects = Vec::new();
        for member in self.members.values_mut() {
            if error.is_error() {
                member.assignment.clear();
            }
            if let Some(conn) = member.syncing.take() {
                member.expires = now + member.session_timeout;
                let body = ResponseBody::SyncGroup(error, member.assignment.clone());
                effects.push(Effect::Reply(conn, body));
            }
        }
        if error.is_error() {
            effects.extend(self.prepare(rules, now));
        } else {
            self.state = GroupState::Stable;
        }
        effects
    }

    // Signs of life.

    fn alive(&mut self, id: MemberId, now: Time) {
        if let Some(member) = self.members.get_mut(&id) {
            member.expires = now + member.session_timeout;
        }
    }

    pub(super) fn check_member(&self, id: MemberId, generation: i32) -> Result<(), ErrorCode> {
        if !self.members.contains_key(&id) {
            return Err(ErrorCode::UnknownMemberId);
        }
        if generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        Ok(())
    }

    pub(super) fn heartbeat(&mut self, id: MemberId, generation: i32, now: Time) -> ErrorCode {
        if let Err(error) = self.check_member(id, generation) {
            return error;
        }
        self.alive(id, now);
        match self.state {
            GroupState::Preparing => ErrorCode::RebalanceInProgress,
            GroupState::Empty => ErrorCode::UnknownMemberId,
            GroupState::Completing | GroupState::Stable => ErrorCode::None,
        }
    }

    pub(super) fn leave(&mut self, id: MemberId, rules: &Rules, now: Time) -> (ErrorCode, Effects) {
        if self.promised.remove(&id).is_some() {
            return (ErrorCode::None, self.complete_join_if_all_here(now));
        }
        if !self.members.contains_key(&id) {
            return (ErrorCode::UnknownMemberId, Vec::new());
        }
        (ErrorCode::None, self.remove(id, rules, now))
    }

    fn remove(&mut self, id: MemberId, rules: &Rules, now: Time) -> Effects {
        let Some(member) = self.members.remove(&id) else { return Vec::new() };
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

    /// Whether a commit is allowed now; it is a sign of life.
    pub(super) fn check_commit(
        &mut self,
        member: Option<(MemberId, i32)>,
        rules: &Rules,
        now: Time,
    ) -> Result<(), ErrorCode> {
        let Some((id, generation)) = member else {
            return match self.state {
                GroupState::Empty => Ok(()),
                _ => Err(ErrorCode::UnknownMemberId),
            };
        };
        match self.check_member(id, generation) {
            Err(error) if rules.check_commit_generation => return Err(error),
            _ => {}
        }
        self.alive(id, now);
        if self.state == GroupState::Completing && rules.check_commit_generation {
            return Err(ErrorCode::RebalanceInProgress);
        }
        Ok(())
    }

    // Time.

    /// When something is due next.
    pub(super) fn due_at(&self) -> Option<Time> {
        let waits = |member: &&Member| member.joining.is_none() && member.syncing.is_none();
        let sessions = self.members.values().filter(waits).map(|member| member.expires);
        sessions.chain(self.promised.values().copied()).chain(self.join_ends).min()
    }

    /// Whether it has members.
    pub(super) fn has_members(&self) -> bool {
        !self.members.is_empty()
    }

    /// Whether a member's session is over.
    pub(super) fn is_missing_somebody(&self, now: Time) -> bool {
        self.members.values().any(|member| member.is_silent(now))
    }

    /// Does what is due.
    pub(super) fn due(&mut self, rules: &Rules, now: Time) -> Effects {
        let mut effects = Vec::new();
        let promised = self.promised.len();
        self.promised.retain(|_, ends| *ends > now);
        if self.promised.len() < promised {
            effects.extend(self.complete_join_if_all_here(now));
        }
        let gone: Vec<MemberId> =
            self.members.iter().filter(|(_, member)| member.is_silent(now)).map(|(id, _)| *id).collect();
        for id in gone {
            effects.extend(self.remove(id, rules, now));
        }
        if self.join_ends.is_some_and(|ends| ends <= now) {
            match self.initial {
                Some((left, true)) if !left.is_zero() => {
                    let delay = rules.group_initial_rebalance_delay.min(left);
                    self.initial = Some((left - delay, false));
                    self.join_ends = Some(now + delay);
                }
                _ => effects.extend(self.complete_join(now)),
            }
        }
        effects
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
