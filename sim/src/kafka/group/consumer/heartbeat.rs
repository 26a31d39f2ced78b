//! A member's heartbeat: who speaks, what changed, what it is told.
//!
//! | said | answer |
//! |---|---|
//! | epoch 0 | a new member; under an instance name that is in use 111 |
//! | another epoch, unknown member | 25; unknown instance 25, an instance that is another member's 82 |
//! | an epoch above the member's | 110 |
//! | the epoch before, owning no more than it has | the answer to the last heartbeat was lost: said again |
//! | any other epoch below | 110 |
//! | an assignor that the coordinator has not | 112 |
//! | -1 | it is gone; -2 from a static member: its partitions wait for it for a session |

use super::{AWAY, ConsumerGroup, ConsumerMember, Limits, Reconciliation};
use crate::kafka::{
    assign::{self, Wish},
    error::ErrorCode,
    protocol::{
        Assignor, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, MemberId, PartitionId,
        TopicIx,
    },
    rules::Rules,
};
use squall_bus::Time;
use std::collections::BTreeMap;

/// How many partitions a topic has.
type Partitions<'a> = &'a dyn Fn(TopicIx) -> u32;

/// An answer that is an error.
pub(in crate::kafka) const fn refused(error: ErrorCode) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse {
        error,
        epoch: -1,
        heartbeat_interval: std::time::Duration::ZERO,
        assignment: None,
    }
}

impl ConsumerGroup {
    /// Takes a heartbeat in. The answer counts once the log has kept what changed.
    pub(in crate::kafka) fn heartbeat(
        &mut self,
        request: &ConsumerGroupHeartbeatRequest,
        partitions: Partitions<'_>,
        rules: &Rules,
        now: Time,
    ) -> ConsumerGroupHeartbeatResponse {
        if request.assignor.is_some_and(|assignor| !matches!(assignor, Assignor::Uniform | Assignor::Range)) {
            return refused(ErrorCode::UnsupportedAssignor);
        }
        if request.epoch < 0 {
            return self.leave(request);
        }
        if let Err(error) = self.admit(request, rules) {
            return refused(error);
        }
        let id = request.member;
        self.take_in(request);
        self.deal(partitions, rules);
        let before = self.record.members.get(&id).map(|member| member.assigned.clone());
        self.reconcile(id, request.owned.as_deref(), rules);
        let Some(member) = self.record.members.get(&id) else { return refused(ErrorCode::UnknownMemberId) };
        let revocation = match (member.state, self.limits.get(&id).and_then(|limits| limits.revocation)) {
            (Reconciliation::Unrevoked, None) => Some(now + member.rebalance_timeout),
            (Reconciliation::Unrevoked, running) => running,
            _ => None,
        };
        self.limits.insert(id, Limits { session: now + rules.consumer_session, revocation });
        let news = request.is_full() || before.as_ref() != Some(&member.assigned);
        ConsumerGroupHeartbeatResponse {
            error: ErrorCode::None,
            epoch: member.epoch,
            heartbeat_interval: rules.consumer_heartbeat,
            assignment: news.then(|| member.assigned.clone()),
        }
    }

    fn leave(&mut self, request: &ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
        let Some(member) = self.record.members.get_mut(&request.member) else {
            return refused(ErrorCode::UnknownMemberId);
        };
        if request.epoch == AWAY && member.instance.is_some() {
            // What it had stays its own, and its session goes on.
            member.previous_epoch = member.epoch;
            member.epoch = AWAY;
        } else {
            self.remove(request.member);
        }
        ConsumerGroupHeartbeatResponse { epoch: request.epoch, ..refused(ErrorCode::None) }
    }

    /// Lets a member speak, as a new one if it joins.
    fn admit(&mut self, request: &ConsumerGroupHeartbeatRequest, rules: &Rules) -> Result<(), ErrorCode> {
        if let Some(instance) = &request.instance {
            let named = self.record.members.iter();
            let mut named = named.filter(|(_, member)| member.instance.as_ref() == Some(instance));
            match named.next().map(|(id, member)| (*id, member.epoch)) {
                Some((owner, epoch)) if owner != request.member => {
                    if request.epoch > 0 {
                        return Err(ErrorCode::FencedInstanceId);
                    }
                    if epoch != AWAY {
                        return Err(ErrorCode::UnreleasedInstanceId);
                    }
                    self.rename(owner, request.member);
                    return Ok(());
                }
                None if request.epoch > 0 => return Err(ErrorCode::UnknownMemberId),
                _ => {}
            }
        }
        let Some(member) = self.record.members.get_mut(&request.member) else {
            if request.epoch > 0 {
                return Err(ErrorCode::UnknownMemberId);
            }
            if self.record.members.len() >= rules.consumer_group_max_size as usize {
                return Err(ErrorCode::GroupMaxSizeReached);
            }
            self.record.members.insert(request.member, ConsumerMember::new());
            return Ok(());
        };
        if member.epoch == AWAY {
            (member.epoch, member.previous_epoch) = (0, 0);
            return Ok(());
        }
        let has_more = |owned: &[PartitionId]| owned.iter().any(|id| !member.assigned.contains(id));
        let repeats = request.epoch == member.previous_epoch
            && request.owned.as_deref().is_some_and(|owned| !has_more(owned));
        if request.epoch == member.epoch || (request.epoch < member.epoch && repeats) {
            Ok(())
        } else {
            Err(ErrorCode::FencedMemberEpoch)
        }
    }

    /// A static member is back, under a new id.
    fn rename(&mut self, from: MemberId, to: MemberId) {
        let Some(mut member) = self.record.members.remove(&from) else { return };
        (member.epoch, member.previous_epoch) = (0, 0);
        self.record.members.insert(to, member);
        self.limits.remove(&from);
        if let Some(target) = self.record.target.remove(&from) {
            self.record.target.insert(to, target);
        }
    }

    /// What the member says of itself; the group epoch rises when that changes who may have what.
    fn take_in(&mut self, request: &ConsumerGroupHeartbeatRequest) {
        let Some(member) = self.record.members.get_mut(&request.member) else { return };
        if let Some(timeout) = request.rebalance_timeout {
            member.rebalance_timeout = timeout;
        }
        if request.instance.is_some() {
            member.instance.clone_from(&request.instance);
        }
        let mut changed = false;
        if let Some(topics) = &request.topics
            && member.topics != *topics
        {
            member.topics.clone_from(topics);
            changed = true;
        }
        if request.assignor.is_some() && member.assignor != request.assignor {
            member.assignor = request.assignor;
            changed = true;
        }
        self.record.epoch += i32::from(changed);
    }

    /// Deals a new target when members or partitions have changed.
    fn deal(&mut self, partitions: Partitions<'_>, rules: &Rules) {
        let topics = self.record.members.values().flat_map(|member| member.topics.iter().copied());
        let counts: BTreeMap<TopicIx, u32> = topics.map(|topic| (topic, partitions(topic))).collect();
        if counts != self.record.counts {
            // A topic that comes with its only member has raised the epoch already.
            let fresh = self.record.epoch > self.record.target_epoch;
            self.record.epoch += i32::from(!fresh);
            self.record.counts = counts;
        }
        if self.record.epoch == self.record.target_epoch {
            return;
        }
        let topics: Vec<TopicIx> = self.record.counts.keys().copied().collect();
        let sizes: Vec<u32> = self.record.counts.values().copied().collect();
        let place = |topic: &TopicIx| topics.binary_search(topic).ok();
        let members = &self.record.members;
        let wanted: Vec<Vec<usize>> =
            members.values().map(|member| member.topics.iter().filter_map(place).collect()).collect();
        let had = |id: &MemberId| -> Vec<assign::Place> {
            let target = self.record.target.get(id).into_iter().flatten();
            target.filter_map(|id| Some((place(&id.topic)?, id.partition))).collect()
        };
        let owned: Vec<Vec<assign::Place>> = members.keys().map(had).collect();
        let wishes: Vec<Wish<'_, MemberId>> = members
            .iter()
            .zip(wanted.iter().zip(&owned))
            .map(|((id, member), (topics, owned))| Wish {
                id: *id,
                instance: member.instance.as_ref(),
                topics,
                owned,
                generation: None,
            })
            .collect();
        let shares = assign::assign(self.assignor(rules), &wishes, &sizes);
        let name = |(topic, partition): assign::Place| PartitionId::new(topics[topic], partition);
        let named = shares.into_iter().map(|share| share.into_iter().map(name).collect());
        self.record.target = members.keys().copied().zip(named).collect();
        self.record.target_epoch = self.record.epoch;
    }

    /// The assignor that most members ask for; the broker's first if none does.
    fn assignor(&self, rules: &Rules) -> Assignor {
        let mut votes: BTreeMap<Assignor, u32> = BTreeMap::new();
        for assignor in self.record.members.values().filter_map(|member| member.assignor) {
            *votes.entry(assignor).or_default() += 1;
        }
        let most = votes.iter().max_by_key(|(assignor, votes)| (**votes, std::cmp::Reverse(**assignor)));
        most.map_or(rules.consumer_assignor, |(assignor, _)| *assignor)
    }
}

impl ConsumerMember {
    const fn new() -> Self {
        Self {
            epoch: 0,
            previous_epoch: 0,
            instance: None,
            rebalance_timeout: std::time::Duration::ZERO,
            topics: Vec::new(),
            assignor: None,
            assigned: Vec::new(),
            revoking: Vec::new(),
            state: Reconciliation::Stable,
        }
    }
}
