//! Idempotence: in every log the sequence numbers of one producer epoch follow each other without gap or repeat.
//!
//! Where the log cleaner has been there may be gaps. A producer that has written nothing for
//! `producer.id.expiration.ms` is forgotten and may begin anywhere; time stamps are its own clock's, so some time
//! less ([`SLACK`]) is enough here. So may one whose last batch is deleted: a replica that was made from what is left
//! does not know it.

use super::committed::{Touched, name, replica};
use crate::{
    kafka::{
        Kafka, Touch, by_partition::ByPartition, by_pid::ByPid, metadata::TopicId, protocol::PartitionId,
        replica::Replica,
    },
    kernel::{Invariant, NodeId},
};
use smallvec::SmallVec;
use squall_bus::Time;
use std::{cmp::Ordering, time::Duration};

/// How much earlier than it expires a producer may seem to have expired: clocks differ, and records wait.
const SLACK: Duration = Duration::from_secs(600);

/// How far a log was looked at, and what is next of each producer.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// Of which topic the log is.
    topic: Option<TopicId>,
    cuts: u32,
    end: u64,
    /// The last batch of each producer id.
    last: ByPid<Last>,
}

/// A producer's last batch.
#[derive(Clone, Copy, Debug)]
struct Last {
    epoch: u16,
    /// The sequence number that follows.
    next: u32,
    timestamp: Time,
    offset: u64,
}

impl Seen {
    /// Whether there is nothing new in a log.
    fn is_all_of(&self, touched: &Touched) -> bool {
        (self.end, self.cuts, self.topic) == (touched.end, touched.cuts, Some(touched.topic))
    }

    /// Looks at what is new in a log; the first offset that is out of sequence, if one is.
    fn look(&mut self, replica: &Replica, expiration: Duration) -> Result<(), u64> {
        let (log, cuts, topic) = (&replica.log, replica.cuts, Some(replica.topic_id));
        if log.end() < self.end || cuts != self.cuts || topic != self.topic {
            *self = Self { topic, cuts, ..Self::default() };
        }
        if log.end() == self.end {
            return Ok(());
        }
        for entry in &log.entries()[log.index_of(self.end)..] {
            self.end = entry.end_offset();
            let Some(stamp) = entry.batch.stamp else { continue };
            let now = Last {
                epoch: stamp.epoch,
                next: (stamp.base_seq + entry.records) & i32::MAX as u32,
                timestamp: entry.batch.timestamp,
                offset: entry.base_offset,
            };
            let Some(last) = self.last.insert(stamp.pid, now) else { continue };
            let sparse = entry.end_offset() <= log.sparse_below();
            let in_sequence = match last.epoch.cmp(&stamp.epoch) {
                Ordering::Equal => last.next == stamp.base_seq || sparse,
                Ordering::Less => stamp.base_seq == 0 || sparse,
                Ordering::Greater => false,
            };
            let forgotten =
                || now.timestamp.since(last.timestamp) + SLACK >= expiration || last.offset < log.start();
            if !in_sequence && !forgotten() {
                return Err(entry.base_offset);
            }
        }
        Ok(())
    }
}

/// Follows every log, by partition and node.
#[derive(Debug, Default)]
pub(super) struct Idempotence {
    seen: ByPartition<SmallVec<[Seen; 3]>>,
}

fn wrong(model: &Kafka, node: NodeId, id: PartitionId, offset: u64) -> String {
    format!("{}: node {} has a batch out of sequence at offset {offset}", name(model, id), node.0 + 1)
}

impl Invariant<Kafka> for Idempotence {
    fn name(&self) -> &'static str {
        "Idempotence"
    }

    fn source(&self) -> &'static str {
        "KIP-98: sequence numbers per producer id and epoch"
    }

    fn kinds(&self) -> u8 {
        Touch::REPLICA
    }

    fn after(&mut self, model: &Kafka, _: &[Touch], _: Time) -> Result<(), String> {
        for touched in &model.committed.borrow().touched {
            let (node, id) = (touched.node, touched.id);
            let logs = self.seen.place(id).get_or_insert_default();
            if logs.is_empty() {
                logs.resize_with(model.servers.len(), Seen::default);
            }
            let seen = &mut logs[node.index()];
            if seen.is_all_of(touched) {
                continue;
            }
            let Some(replica) = touched.replica(model) else { continue };
            seen.look(replica, model.shared.rules.producer_expiration)
                .map_err(|offset| wrong(model, node, id, offset))?;
        }
        Ok(())
    }

    fn full(&self, model: &Kafka) -> Result<(), String> {
        for id in self.seen.ids() {
            for node in (0..model.shared.servers).map(NodeId) {
                if let Some(replica) = replica(model, node, id) {
                    let expiration = model.shared.rules.producer_expiration;
                    let looked = Seen::default().look(replica, expiration);
                    looked.map_err(|offset| wrong(model, node, id, offset))?;
                }
            }
        }
        Ok(())
    }
}
