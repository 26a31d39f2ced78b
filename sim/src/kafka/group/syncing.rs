//! The second half of a rebalance: the leader hands in who gets what, the log keeps it, everybody learns its share.

use super::{Effect, Effects, Group, GroupState, sync_failed};
use crate::{
    kafka::{
        error::ErrorCode,
        protocol::{ResponseBody, SyncGroupRequest},
        rules::Rules,
    },
    kernel::ConnId,
};
use squall_bus::Time;

impl Group {
    pub(in crate::kafka) fn sync(&mut self, conn: ConnId, request: SyncGroupRequest, now: Time) -> Effects {
        if let Err(error) = self.check_member(&request.member) {
            return vec![sync_failed(conn, error)];
        }
        let id = request.member.id;
        match self.state {
            GroupState::Empty => vec![sync_failed(conn, ErrorCode::UnknownMemberId)],
            GroupState::Preparing => vec![sync_failed(conn, ErrorCode::RebalanceInProgress)],
            GroupState::Stable => {
                self.alive(id, now);
                self.has_synced(&request);
                let assignment = self.members[&id].assignment.clone();
                vec![Effect::Reply(conn, ResponseBody::SyncGroup(ErrorCode::None, assignment))]
            }
            GroupState::Completing => {
                self.has_synced(&request);
                let member = self.members.get_mut(&id);
                if let Some(before) = member.and_then(|member| member.syncing.replace(conn)) {
                    return vec![sync_failed(before, ErrorCode::RebalanceInProgress)];
                }
                if self.leader != Some(id) {
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

    fn has_synced(&mut self, request: &SyncGroupRequest) {
        if let Some(member) = self.members.get_mut(&request.member.id) {
            member.synced = true;
        }
        if self.members.values().all(|member| member.synced) {
            self.sync_ends = None;
        }
    }

    /// The log kept, or did not keep, the group as of this generation.
    pub(in crate::kafka) fn persisted(
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
}
