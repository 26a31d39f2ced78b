//! One replica of a partition: its log, its high watermark, and what it knows as leader (rules B1 to B5).
//!
//! - The leader keeps, for each follower, how far its log reaches (the offset it fetches from) and when it was
//!   caught up last.
//! - The high watermark is the least log end over the maximal ISR (confirmed and proposed members) and over
//!   caught-up eligible replicas that are about to join. It never falls on one leader and stands still while the
//!   confirmed ISR is below the minimum.
//! - A follower that reaches the high watermark and the beginning of the leader's epoch is proposed for the ISR;
//!   one that was not caught up for `replica_lag` is proposed to leave it.
//! - One proposal at a time; the metadata or the controller's answer ends it.

use super::{
    broker::Env,
    error::ErrorCode,
    log::Log,
    metadata::{Image, PartitionImage, TopicId, TopicImage, TopicSettings, UNREGISTERED},
    producers::Producers,
    protocol::{Entry, FetchPartition, PartitionId},
    rules::{ReadCommittedUpto, Rules, WatermarkOver},
    segments::SegmentLimits,
};
use crate::kernel::{ConnId, DiskError, FileId, NodeId};
use crate::nodes::NodeSet;
use smallvec::SmallVec;
use squall_bus::{Isolation, Time};
use std::{collections::VecDeque, sync::Arc};

/// What a leader knows of a follower.
#[derive(Clone, Copy, Debug)]
pub(super) struct Follower {
    pub(super) node: NodeId,
    /// Where its log ends; `None` until it fetches.
    pub(super) end: Option<u64>,
    /// The broker epoch that it fetched with.
    pub(super) broker_epoch: u64,
    /// When its log last reached as far as the leader's.
    caught_up: Time,
    last_fetch: Time,
    /// The leader's log end at its last fetch.
    end_at_last_fetch: u64,
    /// The high watermark it was told last; nothing after an error, as in a new fetch session (`CachedPartition`).
    pub(super) told: Option<u64>,
    /// The start of the log that it was told last.
    pub(super) told_start: u64,
    /// Where its own log begins.
    pub(super) start: u64,
}

/// Who waits for the high watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiter {
    /// A partition of a Produce request.
    Produce {
        /// The connection.
        conn: ConnId,
        /// The request.
        correlation: u32,
        /// Its place in the request.
        index: u32,
    },
    /// A commit of a group's offsets, or a group's new generation.
    Coordinator(u64),
    /// A record of the transaction coordinator, or a marker.
    Transactions(u64),
}

/// A connection whose fetch waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Watcher {
    pub(super) conn: ConnId,
    /// It is a follower's, which reads up to the end of the log.
    pub(super) follows: bool,
}

/// What a leader keeps.
#[derive(Debug)]
pub(super) struct Leading {
    /// Where its epoch begins.
    pub(super) begin: u64,
    pub(super) followers: Vec<Follower>,
    /// The ISR it asked the controller for.
    pub(super) proposed: Option<NodeSet>,
    /// Who waits for which high watermark, in order.
    pub(super) waiters: VecDeque<(u64, Waiter)>,
}

/// What a replica is to its partition.
#[derive(Debug)]
pub(super) enum Role {
    /// Nothing yet, or there is no leader.
    Idle,
    Follower,
    Leader(Leading),
}

/// One replica.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) id: PartitionId,
    /// Which topic of this name it is a replica of.
    pub(super) topic_id: TopicId,
    pub(super) file: FileId,
    pub(super) log: Log,
    pub(super) producers: Producers,
    pub(super) high_watermark: u64,
    /// The high watermark on disk.
    pub(super) checkpoint: u64,
    pub(super) role: Role,
    /// What this broker knows of the partition.
    pub(super) leader: Option<NodeId>,
    pub(super) leader_epoch: u32,
    pub(super) partition_epoch: u32,
    pub(super) isr: NodeSet,
    /// ISR members that acks=all needs.
    pub(super) min_insync: u32,
    /// What its topic is like.
    pub(super) settings: Arc<TopicSettings>,
    /// What producers were remembered by where the log begins, if something was deleted before that.
    producers_before: Option<Box<Producers>>,
    /// Its place among what is fetched from its leader, if it is still there.
    pub(super) fetched_at: usize,
    /// Whose fetch waits for this replica to grow.
    pub(super) watchers: SmallVec<[Watcher; 3]>,
    /// Batches that this replica took as leader, where some of them are dropped ([`Rules::drop_appends`]).
    taken: u32,
    /// It follows and has asked its leader where its last epoch ends ([`ByFirstEpoch`](super::rules::Truncate::ByFirstEpoch)).
    pub(super) aligned: bool,
    /// Connections whose DeleteRecords waits for the low watermark.
    pub(super) deletions: Vec<ConnId>,
    /// At so many starts of the process less was on disk than had been written; for the invariants.
    pub(super) losses: u32,
    /// How often the log was cut; for the invariants.
    pub(super) cuts: u32,
}

/// Appends a batch to a replica's file, as durably as the rules say.
pub(super) fn store(file: FileId, entry: &Entry, env: &mut Env<'_, '_>) -> Result<(), DiskError> {
    env.ctx.disk().append(file, u64::from(entry.bytes()))?;
    if env.rules.flush_every_message { env.ctx.disk().flush(file) } else { Ok(()) }
}

impl Replica {
    pub(super) fn new(id: PartitionId, file: FileId, topic: &TopicImage) -> Self {
        Self {
            id,
            topic_id: topic.id,
            file,
            log: Log::default(),
            producers: Producers::default(),
            high_watermark: 0,
            checkpoint: 0,
            role: Role::Idle,
            leader: None,
            leader_epoch: 0,
            partition_epoch: 0,
            isr: NodeSet::EMPTY,
            min_insync: 1,
            settings: Arc::clone(&topic.settings),
            producers_before: None,
            fetched_at: 0,
            watchers: SmallVec::new(),
            taken: 0,
            aligned: false,
            deletions: Vec::new(),
            losses: 0,
            cuts: 0,
        }
    }

    /// The process begins with what the disk kept: this replica knows neither leader nor ISR.
    pub(super) fn restart(&mut self, file_len: u64, rules: &Rules) {
        if file_len < self.log.file_len() {
            self.losses += 1;
            self.cuts += 1;
        }
        self.log.truncate_file(file_len);
        self.high_watermark = self.checkpoint.min(self.log.end()).max(self.log.start());
        self.remember_producers(rules);
        self.role = Role::Idle;
        self.leader = None;
        (self.leader_epoch, self.partition_epoch) = (0, 0);
        self.isr = NodeSet::EMPTY;
        self.watchers.clear();
        self.deletions.clear();
    }

    /// What it keeps as leader, if it leads.
    pub(super) fn leading(&self) -> Option<&Leading> {
        match &self.role {
            Role::Leader(leading) => Some(leading),
            Role::Idle | Role::Follower => None,
        }
    }

    pub(super) fn leading_mut(&mut self) -> Option<&mut Leading> {
        match &mut self.role {
            Role::Leader(leading) => Some(leading),
            Role::Idle | Role::Follower => None,
        }
    }

    /// Whether it leads, in the epoch that somebody has in mind (rule A3).
    pub(super) fn check_leads(&self, epoch: Option<u32>) -> Result<(), ErrorCode> {
        match epoch {
            Some(epoch) if epoch < self.leader_epoch => Err(ErrorCode::FencedLeaderEpoch),
            Some(epoch) if epoch > self.leader_epoch => Err(ErrorCode::UnknownLeaderEpoch),
            _ if self.leading().is_none() => Err(ErrorCode::NotLeaderOrFollower),
            _ => Ok(()),
        }
    }

    /// The ISR with what was proposed.
    pub(super) fn maximal_isr(&self) -> NodeSet {
        self.leading().and_then(|leading| leading.proposed).map_or(self.isr, |proposed| self.isr.or(proposed))
    }

    /// Whether fewer replicas are in sync than acks=all needs.
    pub(super) fn is_under_min_isr(&self) -> bool {
        self.isr.len() < self.min_insync
    }

    /// Begins to lead the epoch of this image.
    pub(super) fn lead(&mut self, image: &PartitionImage, me: NodeId, now: Time) {
        self.log.begin_epoch(image.leader_epoch);
        let end = self.log.end();
        let followers = image.replicas.iter().filter(|node| **node != me).map(|node| Follower {
            node: *node,
            end: None,
            broker_epoch: UNREGISTERED,
            caught_up: if image.isr.contains(*node) { now } else { Time::ZERO },
            last_fetch: Time::ZERO,
            end_at_last_fetch: 0,
            told: None,
            told_start: 0,
            start: 0,
        });
        self.role = Role::Leader(Leading {
            begin: end,
            followers: followers.collect(),
            proposed: None,
            waiters: VecDeque::new(),
        });
    }

    /// Whether a follower has everything, knows so and is in sync; it has just fetched, from the end. There is nothing
    /// else to find out about it, and nothing to tell it.
    pub(super) fn is_still_caught_up(
        &mut self,
        node: NodeId,
        broker_epoch: u64,
        at: &FetchPartition,
        now: Time,
    ) -> bool {
        let end = self.log.end();
        let (start, high_watermark) = (self.log.start(), self.high_watermark);
        if at.current_leader_epoch != Some(self.leader_epoch)
            || at.offset != end
            || high_watermark != end
            || !self.isr.contains(node)
            || self.divergence(at).is_some()
        {
            return false;
        }
        let Some(leading) = self.leading_mut() else { return false };
        let follower = leading.followers.iter_mut().find(|follower| follower.node == node);
        let known =
            |follower: &&mut Follower| follower.told == Some(high_watermark) && follower.told_start == start;
        let Some(follower) = follower.filter(known) else { return false };
        if follower.start != at.log_start {
            return false;
        }
        (follower.end, follower.end_at_last_fetch) = (Some(end), end);
        (follower.caught_up, follower.last_fetch) = (now, now);
        follower.broker_epoch = broker_epoch;
        true
    }

    /// Whether a follower that fetches from `at` has everything, knows so and is in sync.
    pub(super) fn is_caught_up(&self, node: NodeId, at: &FetchPartition) -> bool {
        let end = self.log.end();
        at.current_leader_epoch == Some(self.leader_epoch)
            && (at.offset, self.high_watermark) == (end, end)
            && self.isr.contains(node)
            && self.divergence(at).is_none()
            && self.leading().is_some_and(|leading| {
                let mut followers = leading.followers.iter();
                let starts = (self.log.start(), at.log_start);
                followers.any(|known| {
                    (known.node, known.end, known.told) == (node, Some(end), Some(end))
                        && (known.told_start, known.start) == starts
                })
            })
    }

    /// A follower that has had everything up to now was heard of then.
    pub(super) fn heard_follower(&mut self, node: NodeId, then: Time) {
        let Some(leading) = self.leading_mut() else { return };
        if let Some(follower) = leading.followers.iter_mut().find(|follower| follower.node == node) {
            follower.caught_up = follower.caught_up.max(then);
            follower.last_fetch = follower.last_fetch.max(then);
        }
    }

    /// Whether a follower has not been told the high watermark, or where the log begins.
    pub(super) fn has_news_for(&self, node: NodeId) -> bool {
        let followers = self.leading().map_or(&[][..], |leading| &leading.followers[..]);
        followers.iter().any(|follower| {
            follower.node == node
                && (follower.told != Some(self.high_watermark) || follower.told_start != self.log.start())
        })
    }

    /// Whether this follower of a leader is in sync and has everything before an offset.
    pub(super) fn has_in_sync(&self, node: NodeId, offset: u64) -> bool {
        let followers = self.leading().map_or(&[][..], |leading| &leading.followers[..]);
        let has = |follower: &Follower| {
            follower.node == node && follower.end.is_some_and(|end| end >= offset) && follower.start <= offset
        };
        self.isr.contains(node) && followers.iter().any(has)
    }

    /// The least start of the log over this replica and the followers that are alive.
    pub(super) fn low_watermark(&self, image: &Image) -> u64 {
        let followers = self.leading().map_or(&[][..], |leading| &leading.followers[..]);
        let live = followers.iter().filter(|follower| image.is_active(follower.node));
        live.map(|follower| follower.start).fold(self.log.start(), u64::min)
    }

    /// A follower fetches from `at`: how far it is, by the leader's clock.
    pub(super) fn follower_fetched(
        &mut self,
        node: NodeId,
        broker_epoch: u64,
        at: &FetchPartition,
        now: Time,
    ) {
        let end = self.log.end();
        let Some(leading) = self.leading_mut() else { return };
        let Some(follower) = leading.followers.iter_mut().find(|follower| follower.node == node) else {
            return;
        };
        if at.offset >= end {
            follower.caught_up = now;
        } else if at.offset >= follower.end_at_last_fetch && follower.last_fetch > Time::ZERO {
            follower.caught_up = follower.caught_up.max(follower.last_fetch);
        }
        follower.end = Some(at.offset);
        follower.start = at.log_start;
        follower.broker_epoch = broker_epoch;
        follower.last_fetch = now;
        follower.end_at_last_fetch = end;
    }

    /// Raises the high watermark as far as it may; whether it rose.
    pub(super) fn raise_high_watermark(&mut self, image: &Image, rules: &Rules, now: Time) -> bool {
        let Role::Leader(leading) = &self.role else { return false };
        if self.high_watermark >= self.log.end() {
            return false;
        }
        let counted = match rules.watermark_over {
            WatermarkOver::MaximalIsr => self.maximal_isr(),
            WatermarkOver::CommittedIsr => self.isr,
            WatermarkOver::LeaderOnly => NodeSet::EMPTY,
        };
        let joining = rules.watermark_over == WatermarkOver::MaximalIsr;
        let mut least = self.log.end();
        for follower in &leading.followers {
            let end = follower.end.unwrap_or(0);
            let holds = counted.contains(follower.node)
                || (joining
                    && now.since(follower.caught_up) <= rules.replica_lag
                    && follower.caught_up > Time::ZERO
                    && is_eligible(follower, image));
            if end < least && holds {
                least = end;
            }
        }
        let frozen = || rules.freeze_below_min_isr && self.is_under_min_isr();
        let rose = least > self.high_watermark && !frozen();
        if rose {
            self.high_watermark = least;
        }
        rose
    }

    /// The ISR with the follower that just fetched, if it may join.
    pub(super) fn expanded_isr(&self, node: NodeId, image: &Image, rules: &Rules) -> Option<NodeSet> {
        let leading = self.leading()?;
        if leading.proposed.is_some() || self.isr.contains(node) {
            return None;
        }
        let follower = leading.followers.iter().find(|follower| follower.node == node)?;
        let end = follower.end?;
        let caught_up = end >= self.high_watermark && end >= leading.begin;
        ((caught_up || !rules.join_caught_up) && is_eligible(follower, image)).then(|| self.isr.with(node))
    }

    /// The ISR without followers that lag, if there are any.
    pub(super) fn shrunk_isr(&self, rules: &Rules, now: Time) -> Option<NodeSet> {
        let leading = self.leading()?;
        if leading.proposed.is_some() {
            return None;
        }
        let end = self.log.end();
        let lags = |follower: &&Follower| {
            self.isr.contains(follower.node)
                && follower.end != Some(end)
                && now.since(follower.caught_up) > rules.replica_lag
        };
        let shrunk =
            leading.followers.iter().filter(lags).fold(self.isr, |isr, follower| isr.without(follower.node));
        (shrunk != self.isr).then_some(shrunk)
    }

    /// The broker epochs under which the members of an ISR fetched; the leader's own is given.
    pub(super) fn with_epochs(
        &self,
        isr: NodeSet,
        me: NodeId,
        own: u64,
        image: &Image,
    ) -> Vec<(NodeId, u64)> {
        let followers = self.leading().map_or(&[][..], |leading| &leading.followers[..]);
        let epoch = |node: NodeId| {
            if node == me {
                return own;
            }
            let fetched = followers.iter().find(|follower| follower.node == node && follower.end.is_some());
            // A member that has not fetched from this leader yet counts with the epoch it is registered with.
            fetched.map_or_else(
                || image.broker(node).map_or(0, |broker| broker.epoch),
                |follower| follower.broker_epoch,
            )
        };
        isr.iter().map(|node| (node, epoch(node))).collect()
    }

    /// Takes in what the controller says of the ISR, if it is news.
    pub(super) fn update_isr(&mut self, isr: NodeSet, partition_epoch: u32) -> bool {
        let news = partition_epoch > self.partition_epoch;
        if news {
            self.isr = isr;
            self.partition_epoch = partition_epoch;
            if let Some(leading) = self.leading_mut() {
                leading.proposed = None;
            }
        }
        news
    }

    /// Whether it has this offset, or ends there.
    pub(super) fn has_offset(&self, offset: u64) -> bool {
        (self.log.start()..=self.log.end()).contains(&offset)
    }

    /// Whether it leads, as a reader knows, agrees with the reader's log and has the offset.
    #[inline]
    pub(super) fn agrees_with(&self, at: &FetchPartition) -> bool {
        at.current_leader_epoch.is_none_or(|epoch| epoch == self.leader_epoch)
            && self.leading().is_some()
            && self.has_offset(at.offset)
            && self.divergence(at).is_none()
    }

    /// Where a reader's log diverges from this one (rule B5).
    pub(super) fn divergence(&self, at: &FetchPartition) -> Option<(u32, u64)> {
        let last = at.last_fetched_epoch?;
        let (epoch, end) = self.log.epoch_end(last)?;
        (epoch < last || end < at.offset).then_some((epoch, end))
    }

    /// The last stable offset (rule D5).
    pub(super) fn last_stable(&self) -> u64 {
        let transactions = self.producers.transactions();
        transactions.map_or(self.high_watermark, |transactions| transactions.last_stable(self.high_watermark))
    }

    /// Below which offset a consumer reads.
    pub(super) fn readable(&self, isolation: Isolation, rules: &Rules) -> u64 {
        match isolation {
            Isolation::ReadUncommitted => self.high_watermark,
            Isolation::ReadCommitted => match rules.read_committed_upto {
                ReadCommittedUpto::Below => self.last_stable(),
                ReadCommittedUpto::Including => (self.last_stable() + 1).min(self.high_watermark),
            },
        }
    }

    /// Whether a leader that drops every `rate`-th batch drops this one.
    pub(super) fn drops_one(&mut self, rate: u32) -> bool {
        self.taken += 1;
        self.taken.is_multiple_of(rate)
    }

    /// Puts an entry at the end of the log and remembers its producer; whether that began a new segment.
    pub(super) fn append(&mut self, entry: Entry, rules: &Rules) -> bool {
        self.producers.wrote(&entry, rules.dedup_batches);
        let settings = &self.settings.log;
        let limits = SegmentLimits { bytes: u64::from(settings.segment_bytes), age: settings.segment_age };
        self.log.append(entry, limits)
    }

    /// Makes what producers are remembered by from the log.
    fn remember_producers(&mut self, rules: &Rules) {
        let before = self.producers_before.as_deref().cloned().unwrap_or_default();
        self.producers = before.with_log(&self.log, rules.dedup_batches);
    }

    /// Deletes the first so many segments; how many bytes that freed.
    pub(super) fn delete_segments(&mut self, count: usize, rules: &Rules) -> u64 {
        let dropped = self.log.drop_segments(count);
        if dropped.iter().any(|entry| entry.batch.stamp.is_some()) {
            let before = self.producers_before.get_or_insert_default();
            dropped.iter().for_each(|entry| before.wrote(entry, rules.dedup_batches));
        }
        dropped.iter().map(|entry| u64::from(entry.bytes())).sum()
    }

    /// Drops everything and begins anew where the leader's log begins.
    pub(super) fn restart_at(&mut self, offset: u64) {
        self.cuts += 1;
        self.log.restart_at(offset);
        self.producers = Producers::default();
        self.producers_before = None;
        (self.high_watermark, self.checkpoint) = (offset, offset);
    }

    /// Cuts the log.
    pub(super) fn truncate(&mut self, offset: u64, rules: &Rules) {
        if offset < self.log.end() {
            self.cuts += 1;
            self.log.truncate(offset);
            self.remember_producers(rules);
            self.high_watermark = self.high_watermark.min(self.log.end());
            self.checkpoint = self.checkpoint.min(self.log.end());
        }
    }

    /// Lets a connection know when the replica grows.
    pub(super) fn watch(&mut self, watcher: Watcher) {
        match self.watchers.iter_mut().find(|known| known.conn == watcher.conn) {
            Some(known) => *known = watcher,
            None => self.watchers.push(watcher),
        }
    }
}

/// Whether a follower that fetched may join the ISR: registered, not fenced, not stopping, and still the process that
/// fetched, or perhaps one that is not registered yet, as Kafka has it too (`isBrokerEpochIsrEligible`).
fn is_eligible(follower: &Follower, image: &Image) -> bool {
    let same = |epoch| [epoch, UNREGISTERED].contains(&follower.broker_epoch);
    follower.end.is_some()
        && image.broker(follower.node).is_some_and(|broker| broker.is_active() && same(broker.epoch))
}
