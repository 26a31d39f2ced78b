//! What the leader of a classic group does: it deals partitions to the members, and watches whether there are more.

use super::super::{
    Shared,
    assign::{self, Wish},
    protocol::{JoinedMember, MemberId, PartitionId, TopicIx},
};
use super::{Io, consumer::Consumer, group::Phase};

impl Consumer {
    /// Topics of other members become interesting.
    pub(super) fn learn_topics_to_deal(&mut self, io: &mut dyn Io) {
        let Some(Some((_, members))) = self.member.as_ref().map(|member| &member.to_deal) else { return };
        let mut new = false;
        for topic in members.iter().flat_map(|joined| &joined.subscription.topics) {
            new |= self.net.metadata.follow(*topic).1;
        }
        if new {
            self.net.ask_at_once(io);
        }
    }

    /// Whether it is to deal partitions of topics that it has not heard of yet.
    pub(super) fn knows_too_little_to_deal(&self) -> bool {
        let Some(Some((_, members))) = self.member.as_ref().map(|member| &member.to_deal) else {
            return false;
        };
        let metadata = &self.net.metadata;
        let unheard = |topic: &TopicIx| {
            metadata.place(*topic).is_none_or(|place| {
                let view = &metadata.topics[place];
                view.partitions.is_empty() && !view.error.is_error()
            })
        };
        members.iter().flat_map(|joined| &joined.subscription.topics).any(unheard)
    }

    /// The assignment, by the assignor that the group chose; nothing from who does not lead.
    pub(super) fn deal(&mut self) -> Vec<(MemberId, Vec<PartitionId>)> {
        let Some(member) = &mut self.member else { return Vec::new() };
        let Some((assignor, members)) = member.to_deal.take() else { return Vec::new() };
        let mut topics: Vec<TopicIx> =
            members.iter().flat_map(|joined| joined.subscription.topics.iter().copied()).collect();
        topics.sort_unstable();
        topics.dedup();
        member.dealt = topics.iter().map(|topic| (*topic, self.net.metadata.partitions(*topic))).collect();
        let counts: Vec<u32> = member.dealt.iter().map(|(_, count)| *count).collect();
        let place = |topic: &TopicIx| topics.binary_search(topic).ok();
        let wanted = |joined: &JoinedMember| joined.subscription.topics.iter().filter_map(place).collect();
        let had = |joined: &JoinedMember| {
            let owned = joined.subscription.owned.iter();
            owned.filter_map(|id| Some((place(&id.topic)?, id.partition))).collect()
        };
        let (wanted, owned): (Vec<Vec<usize>>, Vec<Vec<assign::Place>>) =
            members.iter().map(|joined| (wanted(joined), had(joined))).unzip();
        let wishes: Vec<Wish<'_, MemberId>> = members
            .iter()
            .zip(wanted.iter().zip(&owned))
            .map(|(joined, (topics, owned))| Wish {
                id: joined.id,
                instance: joined.instance.as_ref(),
                topics,
                owned,
                generation: joined.subscription.generation,
            })
            .collect();
        let shares = assign::assign(assignor, &wishes, &counts);
        let name = |(topic, partition): assign::Place| PartitionId::new(topics[topic], partition);
        let named = shares.into_iter().map(|share| share.into_iter().map(name).collect());
        members.iter().map(|joined| joined.id).zip(named).collect()
    }

    /// The metadata changed: a leader whose topics have other partitions than it dealt begins a rebalance. Java's does with
    /// any news; librdkafka's only when it asked because what it knew was old, not because a leader was lost.
    pub(super) fn learned(&mut self, io: &mut dyn Io, shared: &Shared) {
        let Some(member) = &self.member else { return };
        if self.settings.library.counts_partitions_by_age && !self.net.aged() {
            return;
        }
        let metadata = &self.net.metadata;
        let grown = member.dealt.iter().any(|(topic, count)| metadata.partitions(*topic) != *count);
        if grown && member.phase == Phase::Stable {
            self.release(io, shared);
        }
    }
}
