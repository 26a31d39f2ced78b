//! Static members (rule E5): a member with an instance name is known by it, over its restarts.
//!
//! - Who joins under a name that nobody has becomes a member at once, without the detour of 79.
//! - Who joins without an id under a name that is taken takes its owner's place: a new member id, the old one's
//!   assignment. In a stable group nothing else happens, unless the group would now choose another assignor. The old
//!   owner hears 82 from then on. If it was the leader, the new one is told the old id, so that it deals nothing.
//! - A request under a name that nobody has gets 25, one with another id than the name's owner 82.
//!
//! Source: KIP-345, `GroupMetadataManager` of Apache Kafka.

use super::{Effect, Effects, Group, GroupState, join_failed, sync_failed};
use crate::{
    kafka::{
        error::ErrorCode,
        protocol::{InstanceId, JoinGroupRequest, MemberId},
        rules::Rules,
    },
    kernel::ConnId,
};
use squall_bus::Time;

impl Group {
    /// Whether this member is who has this name, if it has one.
    pub(super) fn check_instance(
        &self,
        id: MemberId,
        instance: Option<&InstanceId>,
    ) -> Result<(), ErrorCode> {
        let Some(instance) = instance else { return Ok(()) };
        match self.statics.get(instance) {
            None => Err(ErrorCode::UnknownMemberId),
            Some(owner) if *owner != id => Err(ErrorCode::FencedInstanceId),
            Some(_) => Ok(()),
        }
    }

    /// A process joins under its name.
    pub(super) fn join_as_instance(
        &mut self,
        conn: ConnId,
        fresh: MemberId,
        request: JoinGroupRequest,
        rules: &Rules,
        now: Time,
    ) -> Effects {
        let owner = request.instance.as_ref().and_then(|instance| self.statics.get(instance)).copied();
        let Some(owner) = owner else { return self.add(conn, fresh, request, rules, now) };
        let mut effects = self.replace(owner, fresh, conn, request, now);
        let same_assignor = self.choose_assignor() == self.assignor;
        if self.state != GroupState::Stable || !same_assignor {
            effects.extend(self.prepare(rules, now));
            return effects;
        }
        if let Some(member) = self.members.get_mut(&fresh) {
            member.joining = None;
        }
        // Its own id if the leader is another one; if it took the leader's place, the id of before.
        let leader = if self.leader == Some(fresh) { Some(owner) } else { self.leader };
        effects.push(self.joined(conn, fresh, leader));
        effects.push(Effect::Persist(self.snapshot()));
        effects
    }

    /// Puts a new process in the place of the one before.
    fn replace(
        &mut self,
        owner: MemberId,
        fresh: MemberId,
        conn: ConnId,
        request: JoinGroupRequest,
        now: Time,
    ) -> Effects {
        let mut effects = Vec::new();
        let Some(mut member) = self.members.remove(&owner) else { return effects };
        let fenced = ErrorCode::FencedInstanceId;
        effects.extend(member.joining.replace(conn).map(|conn| join_failed(conn, fenced, Some(owner))));
        effects.extend(member.syncing.take().map(|conn| sync_failed(conn, fenced)));
        member.session_timeout = request.session_timeout;
        member.rebalance_timeout = request.rebalance_timeout;
        member.assignors = request.assignors;
        member.subscription = request.subscription;
        member.expires = now + member.session_timeout;
        member.synced = true;
        if let Some(instance) = &member.instance {
            self.statics.insert(instance.clone(), fresh);
        }
        self.members.insert(fresh, member);
        if self.leader == Some(owner) {
            self.leader = Some(fresh);
        }
        effects
    }
}
