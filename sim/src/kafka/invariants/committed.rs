//! What several invariants know of a partition: its committed records, and how far each replica has them.
//!
//! A record is committed when its rightful leader's high watermark passes it. An unclean election (its leader
//! begins in recovery) is a declared loss: what is committed begins anew with the new leader. So does a loss of
//! written bytes on as many replicas as the minimum of in-sync replicas, which Kafka does not promise to survive.

use crate::{
    kafka::{
        Kafka,
        by_partition::ByPartition,
        metadata::{PartitionImage, TopicId, TopicImage},
        protocol::{Entry, PartitionId},
        replica::Replica,
    },
    kernel::NodeId,
};
use smallvec::SmallVec;
use std::sync::Arc;

/// How far a log was found to equal what is committed.
#[derive(Clone, Copy, Debug, Default)]
struct Verified {
    /// The offset behind the last equal entry.
    upto: u64,
    /// How many entries that is.
    entries: usize,
    /// How often the log had been cut by then.
    cuts: u32,
}

/// One partition's committed records.
#[derive(Clone, Debug, Default)]
pub(super) struct Partition {
    /// Of which topic of its name it is.
    topic: Option<TopicId>,
    /// Shared with those who look at everything anew.
    entries: Option<Arc<Vec<Entry>>>,
    /// The offset behind the last committed record.
    pub(super) end: u64,
    /// How far each node's log was found to equal it, by node.
    verified: SmallVec<[Verified; 4]>,
    /// Unclean elections that were taken into account.
    unclean: u32,
    /// Something was lost that may be lost: replicas out of sync may still hold what the others have not.
    pub(super) tainted: bool,
    /// Losses of written bytes that were taken into account.
    losses: u32,
    /// Starts of processes that were looked at for losses.
    starts: u64,
    /// What was committed when all that must have it were looked at last.
    pub(super) had_by_all: Option<Version>,
}

/// What stands for all that is committed of a partition: its end, unclean elections, starts of processes.
pub(super) type Version = (u64, u32, u64);

/// A replica that an event touched, of a topic that the controller has: looked up once for all that look at it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Touched {
    pub(super) node: NodeId,
    pub(super) id: PartitionId,
    pub(super) topic: TopicId,
    /// Where its log begins and ends.
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) high_watermark: u64,
    /// Up to where its log was cleaned.
    pub(super) cleaned: u64,
    /// How often its log was cut.
    pub(super) cuts: u32,
    /// The epoch that it leads, if it does.
    pub(super) leads: Option<u32>,
    /// How often its node's process has begun.
    pub(super) boots: u64,
    /// There were transactions in it.
    pub(super) transactional: bool,
    /// It leads rightly, and leaves out somebody whom the controller has in sync.
    pub(super) leaves_out: bool,
}

impl Touched {
    /// A node's replica as it is now, if there is one, of the topic that the controller has.
    pub(super) fn find<'m>(
        model: &'m Kafka,
        truth: &TopicImage,
        node: NodeId,
        id: PartitionId,
    ) -> Option<(Self, &'m Replica)> {
        let topic = truth.id;
        let broker = model.servers.get(node.index())?.data()?;
        let replica = broker.replica(id).filter(|replica| replica.topic_id == topic)?;
        let leads = replica.leading().map(|_| replica.leader_epoch);
        let truth = truth.partitions.get(id.partition as usize);
        let rightly =
            |truth: &&PartitionImage| truth.leader == Some(node) && leads == Some(truth.leader_epoch);
        let leaves_out = |truth: &PartitionImage| !truth.isr.is_within(replica.maximal_isr());
        let touched = Self {
            node,
            id,
            topic,
            start: replica.log.start(),
            end: replica.log.end(),
            high_watermark: replica.high_watermark,
            cleaned: replica.log.sparse_below(),
            cuts: replica.cuts,
            leads,
            boots: broker.boots(),
            transactional: replica.producers.transactions().is_some(),
            leaves_out: truth.filter(rightly).is_some_and(leaves_out),
        };
        Some((touched, replica))
    }

    /// The replica itself, within the event that touched it.
    pub(super) fn replica<'m>(&self, model: &'m Kafka) -> Option<&'m Replica> {
        model.servers.get(self.node.index())?.data()?.replica(self.id)
    }
}

/// All partitions' committed records: the model holds them, `LogMatching` keeps them up to date and others read them.
#[derive(Clone, Debug, Default)]
pub(in crate::kafka) struct CommittedLogs {
    pub(super) partitions: ByPartition<Partition>,
    /// The replicas that the event touched.
    pub(super) touched: Vec<Touched>,
    /// The event touched a partition in the metadata, or a replica that leaves out somebody.
    pub(super) isr_in_doubt: bool,
    /// The partitions that the event touched, and the node if it is one replica alone, of which it is not known yet
    /// that those in sync have all that is committed.
    pub(super) doubtful: Vec<(PartitionId, Option<NodeId>)>,
}

impl CommittedLogs {
    /// A partition as it was taken in last.
    pub(super) fn get_mut(&mut self, id: PartitionId) -> Option<&mut Partition> {
        self.partitions.get_mut(id)
    }

    /// Looks at each partition anew: at what is committed of it now, with nothing found yet. The first thing wrong.
    pub(super) fn each_anew(
        &self,
        model: &Kafka,
        mut look: impl FnMut(PartitionId, &mut Partition) -> Result<(), String>,
    ) -> Result<(), String> {
        self.partitions.ids().try_for_each(|id| {
            let Some(known) = self.partitions.get(id) else { return Ok(()) };
            let mut partition = known.unverified();
            if let Some(topic) = model.truth().topic(id.topic) {
                partition.take_in(model, topic, id, None);
            }
            look(id, &mut partition)
        })
    }
}

impl Partition {
    /// The same with nothing found yet.
    fn unverified(&self) -> Self {
        Self { entries: self.entries.clone(), verified: SmallVec::new(), ..*self }
    }

    /// Takes in what a replica has committed as rightful leader. `only`: nothing else of the partition changed but this
    /// node's replica.
    pub(super) fn take_in(
        &mut self,
        model: &Kafka,
        topic: &TopicImage,
        id: PartitionId,
        only: Option<NodeId>,
    ) {
        let Some(truth) = topic.partitions.get(id.partition as usize) else { return };
        let mut anew = only.is_none();
        if self.topic != Some(topic.id) {
            let starts = self.starts;
            *self = Partition { topic: Some(topic.id), starts, ..Partition::default() };
            anew = true;
        }
        let unclean = model.unclean_elections.get(&id).copied().unwrap_or(0);
        // Nothing is lost but at the start of a broker's process.
        if unclean != self.unclean || self.starts != model.starts && self.has_lost(model, topic, id, truth) {
            let Partition { topic, losses, starts, .. } = *self;
            *self = Partition { topic, unclean, tainted: true, losses, starts, ..Partition::default() };
            anew = true;
        }
        if let Some(leader) = truth.leader
            && (anew || only == Some(leader))
            && let Some(replica) = replica_of(model, topic, leader, id)
            && self.end < replica.high_watermark
            && replica.leader_epoch == truth.leader_epoch
            && replica.leading().is_some()
        {
            self.extend(replica);
        }
    }

    /// What is committed, in order.
    pub(super) fn entries(&self) -> &[Entry] {
        self.entries.as_ref().map_or(&[], |entries| entries)
    }

    /// While this is the same, no more is committed and nothing anew.
    pub(super) const fn version(&self) -> Version {
        (self.end, self.unclean, self.starts)
    }

    /// Whether written bytes were lost since the last time, on as many replicas as may not lose any.
    #[inline(never)]
    fn has_lost(
        &mut self,
        model: &Kafka,
        topic: &TopicImage,
        id: PartitionId,
        truth: &PartitionImage,
    ) -> bool {
        self.starts = model.starts;
        let replicas = truth.replicas.iter().filter_map(|node| replica_of(model, topic, *node, id));
        let (total, lossy) = replicas.fold((0, 0), |(total, lossy), replica| {
            (total + replica.losses, lossy + u32::from(replica.losses > 0))
        });
        std::mem::replace(&mut self.losses, total) < total
            && lossy >= truth.effective_min_insync(&topic.settings)
    }

    fn extend(&mut self, leader: &Replica) {
        let entries = Arc::make_mut(self.entries.get_or_insert_default());
        while self.end < leader.high_watermark {
            let Some(entry) = leader.log.entries().get(leader.log.index_of(self.end)) else { break };
            if entry.end_offset() > leader.high_watermark {
                break;
            }
            self.end = entry.end_offset();
            entries.push(entry.clone());
        }
    }

    /// Whether a log that begins at `start` has deleted something of what is kept here.
    pub(super) fn is_kept_too_long(&self, start: u64) -> bool {
        self.entries().first().is_some_and(|first| first.end_offset() <= start)
    }

    /// What every replica has deleted is compared with nothing any more, so it is forgotten here as well: a run takes
    /// memory for what its brokers store.
    pub(super) fn forget_deleted(&mut self, model: &Kafka, id: PartitionId) {
        let Some(truth) = model.truth().partition(id) else { return };
        let starts = truth.replicas.iter().map(|node| Some(replica(model, *node, id)?.log.start()));
        // A replica that cannot be looked at may still hold everything.
        let Some(start) = starts.min().flatten() else { return };
        let deleted = self.entries().partition_point(|entry| entry.end_offset() <= start);
        if let Some(entries) = &mut self.entries {
            Arc::make_mut(entries).drain(..deleted);
        }
        for verified in &mut self.verified {
            verified.entries = verified.entries.saturating_sub(deleted);
        }
    }

    /// Whether everybody who must have it has all that is committed, as far as this replica goes.
    pub(super) fn is_had_by_all(&self, node: NodeId, replica: &Replica) -> bool {
        self.had_by_all == Some(self.version())
            && replica.log.end() >= self.end
            && self.is_verified(node, replica, self.end)
    }

    /// Whether a log, as it is now, was found equal up to `upto` before.
    pub(super) fn is_verified(&self, node: NodeId, replica: &Replica, upto: u64) -> bool {
        let upto = upto.min(self.end).min(replica.log.end());
        let verified = self.verified.get(node.index());
        verified.is_some_and(|verified| verified.cuts == replica.cuts && verified.upto >= upto)
    }

    /// Compares a log, as it is now, with what is committed up to `upto`; the first offset that differs, if any does.
    pub(super) fn verify(&mut self, node: NodeId, replica: &Replica, upto: u64) -> Result<(), u64> {
        if node.index() >= self.verified.len() {
            self.verified.resize(node.index() + 1, Verified::default());
        }
        let committed: &[Entry] = self.entries.as_ref().map_or(&[], |entries| entries);
        let verified = &mut self.verified[node.index()];
        if verified.cuts != replica.cuts {
            // Where it was cut is not known: it has to be looked at again.
            *verified = Verified { cuts: replica.cuts, ..Verified::default() };
        }
        let upto = upto.min(self.end).min(replica.log.end());
        while verified.upto < upto {
            let Some(expected) = committed.get(verified.entries) else { break };
            // Equal logs have the same batches, so mostly at the same places.
            let log = replica.log.entries();
            let same_place = log.get(verified.entries).filter(|e| e.base_offset == expected.base_offset);
            let found = same_place.or_else(|| log.get(replica.log.index_of(expected.base_offset)));
            let equal = found.is_some_and(|found| {
                found.base_offset == expected.base_offset
                    && found.epoch == expected.epoch
                    && Arc::ptr_eq(&found.batch, &expected.batch)
            });
            // What the log begins behind is deleted; what is missing in a cleaned part was cleaned away.
            let gone = || {
                expected.end_offset() <= replica.log.start()
                    || (expected.end_offset() <= replica.log.sparse_below()
                        && found.is_none_or(|found| found.base_offset >= expected.end_offset()))
            };
            if !equal && !gone() {
                return Err(expected.base_offset);
            }
            verified.upto = expected.end_offset();
            verified.entries += 1;
        }
        Ok(())
    }
}

/// A node's replica of the topic that the controller has; a replica of another one of its name is about to go.
pub(in crate::kafka) fn replica(model: &Kafka, node: NodeId, id: PartitionId) -> Option<&Replica> {
    replica_of(model, model.truth().topic(id.topic)?, node, id)
}

/// A node's replica of this topic.
pub(super) fn replica_of<'m>(
    model: &'m Kafka,
    topic: &TopicImage,
    node: NodeId,
    id: PartitionId,
) -> Option<&'m Replica> {
    model.servers.get(node.index())?.data()?.replica(id).filter(|replica| replica.topic_id == topic.id)
}

/// The name of a partition, for people.
pub(super) fn name(model: &Kafka, id: PartitionId) -> String {
    model.shared.names.unit(id).to_string()
}

#[cfg(test)]
impl CommittedLogs {
    /// How many batches of a partition are kept to compare logs with.
    pub(in crate::kafka) fn kept(&self, id: PartitionId) -> usize {
        self.partitions.get(id).map_or(0, |partition| partition.entries().len())
    }
}
