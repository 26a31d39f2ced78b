//! Committed offsets of a group (rules E2, E7): who may commit, and how long offsets are kept.
//!
//! - An offset whose metadata is longer than `offset.metadata.max.bytes` is refused (12), the others of its commit
//!   are not.
//! - Offsets expire `offsets.retention.minutes` after the group's last member went; those of a group that never had
//!   members so long after their commit. While a group has members, those of topics that no member wants expire so
//!   long after their commit. An offset that is being committed does not expire.
//! - A group without members and offsets is forgotten.
//!
//! Source: `OffsetMetadataManager` and `ClassicGroup` of Apache Kafka, KIP-211.

use super::{Group, GroupState, Taken};
use crate::kafka::{
    error::ErrorCode,
    protocol::{CommittedOffset, MemberEpoch, PartitionId, TopicIx},
    rules::Rules,
};
use squall_bus::Time;
use std::collections::BTreeMap;

/// What a group committed.
#[derive(Debug, Default)]
pub(in crate::kafka) struct Offsets {
    /// With the time of the commit, by the coordinator's wall clock.
    kept: BTreeMap<PartitionId, (CommittedOffset, Time)>,
}

impl Offsets {
    /// Where the group goes on in this partition.
    pub(in crate::kafka) fn get(&self, id: &PartitionId) -> Option<&CommittedOffset> {
        self.kept.get(id).map(|(offset, _)| offset)
    }

    /// Takes in what was committed at this time.
    pub(in crate::kafka) fn keep(&mut self, offsets: &[CommittedOffset], at: Time) {
        self.kept.extend(offsets.iter().map(|offset| (offset.partition, (*offset, at))));
    }

    /// Takes in only what is not known yet, as a coordinator does that replays its log the wrong way.
    pub(in crate::kafka) fn keep_unknown(&mut self, offsets: &[CommittedOffset], at: Time) {
        for offset in offsets {
            self.kept.entry(offset.partition).or_insert((*offset, at));
        }
    }

    /// Forgets these.
    pub(in crate::kafka) fn forget(&mut self, partitions: &[PartitionId]) {
        for id in partitions {
            self.kept.remove(id);
        }
    }

    /// Forgets those of a topic that is gone; which they were.
    pub(in crate::kafka) fn forget_topic(&mut self, topic: TopicIx) -> Vec<PartitionId> {
        let gone: Vec<PartitionId> = self.kept.keys().copied().filter(|id| id.topic == topic).collect();
        self.forget(&gone);
        gone
    }

    /// Whether nothing is kept.
    pub(in crate::kafka) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

impl Group {
    /// Whether a commit is allowed now; if it is, it is a sign of life.
    pub(in crate::kafka) fn check_commit(
        &mut self,
        member: Option<&MemberEpoch>,
        rules: &Rules,
        now: Time,
    ) -> Result<(), ErrorCode> {
        self.may_commit(member, rules, now)?;
        let epoch_of = |who: &MemberEpoch| match &self.consumer {
            Some(group) => group.record.members.get(&who.id).map(|member| member.epoch),
            None => self.members.contains_key(&who.id).then_some(self.generation),
        };
        self.taken = Some(Taken {
            member: member.map(|who| (who.id, who.epoch)),
            epoch: member.and_then(epoch_of),
            state: self.state,
            has_members: self.has_members(),
        });
        Ok(())
    }

    fn may_commit(
        &mut self,
        member: Option<&MemberEpoch>,
        rules: &Rules,
        now: Time,
    ) -> Result<(), ErrorCode> {
        if let Some(group) = &self.consumer {
            return if rules.check_commit_generation { group.check_member(member) } else { Ok(()) };
        }
        let Some(member) = member else {
            return match self.state {
                GroupState::Empty => Ok(()),
                _ => Err(ErrorCode::UnknownMemberId),
            };
        };
        if rules.check_commit_generation {
            self.check_member(member)?;
            if self.state == GroupState::Completing {
                return Err(ErrorCode::RebalanceInProgress);
            }
        }
        self.alive(member.id, now);
        Ok(())
    }

    /// Whether this member may be told where the group goes on; the consumer protocol asks that, the classic does not. By
    /// what is `written`, or by what is committed.
    pub(in crate::kafka) fn check_fetch(
        &self,
        member: Option<&MemberEpoch>,
        written: bool,
    ) -> Result<(), ErrorCode> {
        match &self.consumer {
            Some(group) if member.is_some() && written => group.check_member(member),
            Some(group) if member.is_some() => group.kept().check_member(member),
            _ => Ok(()),
        }
    }

    /// The last member went, at this time of the coordinator's wall clock; or somebody is here again.
    pub(in crate::kafka) fn note_members(&mut self, wall: Time) {
        if self.has_members() || self.state != GroupState::Empty {
            self.empty_since = None;
        } else if self.generation > 0 || self.consumer.is_some() {
            self.empty_since.get_or_insert(wall);
        }
    }

    /// Offsets that need not be kept any longer at this time of the coordinator's wall clock.
    pub(in crate::kafka) fn expired_offsets(&self, rules: &Rules, wall: Time) -> Vec<PartitionId> {
        let over = |since: Time| wall.since(since) >= rules.offsets_retention;
        let wanted = |id: &PartitionId| {
            self.members.values().any(|member| member.subscription.topics.contains(&id.topic))
                || self.consumer.as_ref().is_some_and(|group| group.wants(id.topic))
        };
        let gone = |(id, (_, at)): &(&PartitionId, &(CommittedOffset, Time))| match self.state {
            GroupState::Empty if !self.has_members() => over(self.empty_since.unwrap_or(*at)),
            GroupState::Empty | GroupState::Stable => !wanted(id) && over(*at),
            GroupState::Preparing | GroupState::Completing => false,
        };
        self.offsets.kept.iter().filter(gone).map(|(id, _)| *id).collect()
    }

    /// Whether nothing of it is left to remember.
    pub(in crate::kafka) fn is_dead(&self) -> bool {
        let idle = self.state == GroupState::Empty && self.promised.is_empty();
        idle && !self.has_members() && self.offsets.is_empty()
    }
}

/// How a commit's offsets fare before anything is appended: OFFSET_METADATA_TOO_LARGE or nothing against it.
pub(in crate::kafka) fn check_metadata(offset: &CommittedOffset, rules: &Rules) -> ErrorCode {
    if offset.metadata_bytes > rules.offset_metadata_max_bytes {
        ErrorCode::OffsetMetadataTooLarge
    } else {
        ErrorCode::None
    }
}
