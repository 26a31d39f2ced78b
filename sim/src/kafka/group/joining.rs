//! The first half of a rebalance: members join until all are here, or the time is up.

use super::{Effect, Effects, Group, GroupState, Member, join_failed, sync_failed};
use crate::{
    kafka::{
        error::ErrorCode,
        protocol::{Assignor, JoinGroupRequest, JoinGroupResponse, JoinedMember, MemberId, ResponseBody},
        rules::Rules,
    },
    kernel::ConnId,
};
use squall_bus::Time;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

impl Group {
    /// A client asks to join. `fresh` is the id for one that has none yet.
    pub(in crate::kafka) fn join(
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
        if self.consumer.as_ref().is_some_and(|group| group.has_members()) {
            return vec![join_failed(conn, ErrorCode::InconsistentGroupProtocol, request.member)];
        }
        self.consumer = None;
        if !self.has_room_for(request.member, rules) {
            return vec![join_failed(conn, ErrorCode::GroupMaxSizeReached, None)];
        }
        if !self.supports(&request.assignors) {
            return vec![join_failed(conn, ErrorCode::InconsistentGroupProtocol, request.member)];
        }
        let Some(id) = request.member else {
            if request.instance.is_some() {
                return self.join_as_instance(conn, fresh, request, rules, now);
            }
            self.promised.insert(fresh, now + session);
            return vec![join_failed(conn, ErrorCode::MemberIdRequired, Some(fresh))];
        };
        if self.promised.remove(&id).is_some() {
            return self.add(conn, id, request, rules, now);
        }
        if let Err(error) = self.check_instance(id, request.instance.as_ref()) {
            return vec![join_failed(conn, error, Some(id))];
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
            return vec![self.joined(conn, id, self.leader)];
        }
        self.rejoin(conn, id, request, rules, now)
    }

    /// Whether `group.max.size` allows for this member.
    fn has_room_for(&self, id: Option<MemberId>, rules: &Rules) -> bool {
        let most = rules.group_max_size as usize;
        let known = id.and_then(|id| self.members.get(&id));
        match self.state {
            GroupState::Empty => true,
            GroupState::Preparing => {
                let joining = self.members.values().filter(|member| member.joining.is_some()).count();
                known.is_some_and(|member| member.joining.is_some()) || joining < most
            }
            GroupState::Completing | GroupState::Stable => known.is_some() || self.members.len() < most,
        }
    }

    /// Whether some of these assignors is supported by every member.
    fn supports(&self, assignors: &[Assignor]) -> bool {
        let by_all = |assignor| self.members.values().all(|member| member.assignors.contains(assignor));
        assignors.iter().any(by_all)
    }

    pub(super) fn add(
        &mut self,
        conn: ConnId,
        id: MemberId,
        request: JoinGroupRequest,
        rules: &Rules,
        now: Time,
    ) -> Effects {
        if let Some(instance) = &request.instance {
            self.statics.insert(instance.clone(), id);
        }
        let member = Member {
            instance: request.instance,
            session_timeout: request.session_timeout,
            rebalance_timeout: request.rebalance_timeout,
            assignors: request.assignors,
            subscription: request.subscription,
            assignment: Vec::new(),
            expires: now + request.session_timeout,
            joining: Some(conn),
            syncing: None,
            synced: false,
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

    pub(super) fn longest_rebalance(&self) -> Duration {
        self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default()
    }

    /// Begins a rebalance unless one is being prepared; ends the preparation if everybody is here.
    pub(super) fn prepare(&mut self, rules: &Rules, now: Time) -> Effects {
        let mut effects = Vec::new();
        let longest = self.longest_rebalance();
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
                self.sync_ends = None;
                self.join_ends = Some(now + longest);
            }
        }
        self.state = GroupState::Preparing;
        effects.extend(self.complete_join_if_all_here(now));
        effects
    }

    pub(super) fn complete_join_if_all_here(&mut self, now: Time) -> Effects {
        let all = self.promised.is_empty() && self.members.values().all(|member| member.joining.is_some());
        if self.state == GroupState::Preparing && self.initial.is_none() && all {
            return self.complete_join(now);
        }
        Vec::new()
    }

    /// The time for joining is up, or for putting the first joining off.
    pub(super) fn join_ended(&mut self, rules: &Rules, now: Time) -> Effects {
        match self.initial {
            Some((left, true)) if !left.is_zero() => {
                let delay = rules.group_initial_rebalance_delay.min(left);
                self.initial = Some((left - delay, false));
                self.join_ends = Some(now + delay);
                Vec::new()
            }
            _ => self.complete_join(now),
        }
    }

    fn complete_join(&mut self, now: Time) -> Effects {
        self.initial = None;
        self.members.retain(|_, member| member.joining.is_some() || member.instance.is_some());
        if self.leader.is_none_or(|leader| !self.has_joined(leader)) {
            let joined = self.members.iter().find(|(_, member)| member.joining.is_some());
            if joined.is_none() && !self.members.is_empty() {
                // Static members alone, and none of them has rejoined: their sessions decide.
                self.join_ends = Some(now + self.longest_rebalance());
                return Vec::new();
            }
            self.leader = joined.map(|(id, _)| *id);
        }
        self.join_ends = None;
        self.generation += 1;
        let mut effects = vec![Effect::Rebalanced(self.generation, self.members.len() as u32)];
        if self.members.is_empty() {
            self.state = GroupState::Empty;
            effects.push(Effect::Persist(self.snapshot()));
            return effects;
        }
        self.assignor = self.choose_assignor();
        self.state = GroupState::Completing;
        self.sync_ends = Some(now + self.longest_rebalance());
        let ids: Vec<MemberId> = self.members.keys().copied().collect();
        for id in ids {
            let Some(member) = self.members.get_mut(&id) else { continue };
            member.synced = false;
            if let Some(conn) = member.joining.take() {
                self.alive(id, now);
                effects.push(self.joined(conn, id, self.leader));
            }
        }
        effects
    }

    fn has_joined(&self, id: MemberId) -> bool {
        self.members.get(&id).is_some_and(|member| member.joining.is_some())
    }

    /// The assignor that all support and most like best.
    pub(super) fn choose_assignor(&self) -> Assignor {
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

    /// The answer to a member's JoinGroup; `leader` is who it is told deals.
    pub(super) fn joined(&self, conn: ConnId, id: MemberId, leader: Option<MemberId>) -> Effect {
        let members = if leader == Some(id) {
            let known = self.members.iter();
            known
                .map(|(id, member)| JoinedMember {
                    id: *id,
                    instance: member.instance.clone(),
                    subscription: Arc::clone(&member.subscription),
                })
                .collect()
        } else {
            Vec::new()
        };
        let response = JoinGroupResponse {
            error: ErrorCode::None,
            member: Some(id),
            generation: self.generation,
            assignor: self.assignor,
            leader,
            members,
        };
        Effect::Reply(conn, ResponseBody::JoinGroup(response))
    }
}
