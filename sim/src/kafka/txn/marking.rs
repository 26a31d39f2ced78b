//! Markers: how the end of a transaction reaches every partition of it (rule D1).
//!
//! - The coordinator sends a marker to each partition's leader, all partitions of one leader in one request. A
//!   leader appends it with acks=all and answers when it is committed.
//! - In a partition of `__consumer_offsets` the groups' coordinator does that, as it writes its own records: with acks 1,
//!   and 6 until it has read the partition (`KafkaApis`, `CoordinatorRuntime.scheduleTransactionCompletion` of Kafka 4.0).
//! - What fails for a reason that may pass, and what a lost connection leaves open, is sent again after
//!   [`transaction_marker_retry`](crate::kafka::rules::Rules::transaction_marker_retry), to whoever leads then. A
//!   partition that is gone (3 for a topic that the coordinator does not know either) needs no marker.
//! - 47 and 52 say that a newer producer epoch or a newer coordinator has been there: the marker is not needed.
//! - When the last partition has its marker, the transaction is complete.

use super::{
    messages::{Marker, TxnIx, TxnRequest, TxnResponse},
    state::TxnState,
};
use crate::{
    kafka::{
        broker::{Broker, Env},
        error::ErrorCode,
        links::{Lane, ReplyTo},
        protocol::{Batch, PartitionId, RequestBody, TopicIx},
        replica::Waiter,
    },
    kernel::NodeId,
};
use squall_bus::{Acks, Time};
use std::{collections::BTreeMap, sync::Arc};

/// A transaction whose partitions get their markers.
#[derive(Debug)]
struct Ending {
    marker: Marker,
    /// Partitions without a marker; with the request that is under way.
    left: BTreeMap<PartitionId, Option<u64>>,
    /// No request before this.
    rests_until: Time,
}

/// A request for markers that has no answer yet.
#[derive(Clone, Copy, Debug)]
struct Asked {
    shard: u32,
    txn: TxnIx,
    leader: NodeId,
    since: Time,
}

/// A request for markers at a leader.
#[derive(Debug)]
struct Writing {
    to: ReplyTo,
    token: u64,
    marker: Marker,
    results: Vec<(PartitionId, ErrorCode)>,
    left: u32,
}

/// What is under way, as coordinator and as leader.
#[derive(Debug, Default)]
pub(super) struct Marking {
    endings: BTreeMap<(u32, TxnIx), Ending>,
    asked: BTreeMap<u64, Asked>,
    writing: BTreeMap<u64, Writing>,
    /// Which marker waits for the high watermark: the request that it belongs to, and its place in it.
    waiting: BTreeMap<u64, (u64, u32)>,
}

impl Broker {
    // As coordinator.

    /// The end of a transaction is decided: every partition is to have its marker.
    pub(super) fn mark_partitions(&mut self, shard: u32, txn: TxnIx, env: &mut Env<'_, '_>) {
        let Some(coordinator_epoch) = self.txns.shard(shard).map(|shard| shard.epoch) else { return };
        let known = self.txns.shard(shard).and_then(|shard| shard.txns.get(&txn));
        let Some(kept) = known.and_then(|known| known.kept.as_ref()) else { return };
        let marker = Marker {
            producer: kept.producer,
            commit: kept.state == TxnState::PrepareCommit,
            coordinator_epoch,
            version: kept.version,
        };
        let left = kept.partitions.iter().map(|id| (*id, None)).collect();
        let ending = Ending { marker, left, rests_until: Time::ZERO };
        self.txns.marking.endings.insert((shard, txn), ending);
        self.send_markers(shard, txn, env);
    }

    /// Sends what is not under way; the transaction is complete if nothing is left.
    fn send_markers(&mut self, shard: u32, txn: TxnIx, env: &mut Env<'_, '_>) {
        let now = env.ctx.now();
        let Some(ending) = self.txns.marking.endings.get_mut(&(shard, txn)) else { return };
        ending.left.retain(|id, _| env.image.topic(id.topic).is_some());
        if ending.left.is_empty() {
            self.txns.marking.endings.remove(&(shard, txn));
            return self.complete_txn(shard, txn, env);
        }
        if ending.rests_until > now {
            let until = ending.rests_until;
            return self.arm_txns(until, env);
        }
        let marker = ending.marker;
        let mut by_leader: BTreeMap<NodeId, Vec<PartitionId>> = BTreeMap::new();
        let mut leaderless = false;
        for (id, request) in &ending.left {
            match env.image.partition(*id).and_then(|image| image.leader) {
                Some(leader) if request.is_none() => by_leader.entry(leader).or_default().push(*id),
                Some(_) => {}
                None => leaderless |= request.is_none(),
            }
        }
        for (leader, partitions) in by_leader {
            let token = self.txns.token();
            self.txns.marking.asked.insert(token, Asked { shard, txn, leader, since: now });
            if let Some(ending) = self.txns.marking.endings.get_mut(&(shard, txn)) {
                partitions.iter().for_each(|id| {
                    ending.left.insert(*id, Some(token));
                });
            }
            let request = TxnRequest::WriteMarkers { token, marker, partitions };
            env.links.ask(leader, Lane::Markers, RequestBody::Txn(request), env.ctx);
            self.arm_txns(now + env.rules.transaction_request_timeout, env);
        }
        if leaderless {
            self.marks_rest(shard, txn, env);
        }
    }

    /// Something has to be sent again, later.
    fn marks_rest(&mut self, shard: u32, txn: TxnIx, env: &mut Env<'_, '_>) {
        let until = env.ctx.now() + env.rules.transaction_marker_retry;
        if let Some(ending) = self.txns.marking.endings.get_mut(&(shard, txn)) {
            ending.rests_until = until;
            self.arm_txns(until, env);
        }
    }

    /// The record of a complete transaction could not be written: again, later.
    pub(super) fn complete_later(&mut self, shard: u32, txn: TxnIx, env: &mut Env<'_, '_>) {
        self.mark_none(shard, txn);
        self.marks_rest(shard, txn, env);
    }

    /// A transaction that waits for nothing but its record.
    fn mark_none(&mut self, shard: u32, txn: TxnIx) {
        let epoch = self.txns.shard(shard).map_or(0, |shard| shard.epoch);
        let known = self.txns.shard(shard).and_then(|shard| shard.txns.get(&txn));
        let Some(kept) = known.and_then(|known| known.kept.as_ref()) else { return };
        let (producer, commit, version) =
            (kept.producer, kept.state == TxnState::PrepareCommit, kept.version);
        let marker = Marker { producer, commit, coordinator_epoch: epoch, version };
        let ending = Ending { marker, left: BTreeMap::new(), rests_until: Time::ZERO };
        self.txns.marking.endings.insert((shard, txn), ending);
    }

    /// The coordinator moves away.
    pub(super) fn stop_marking(&mut self, shard: u32) {
        self.txns.marking.endings.retain(|(other, _), _| *other != shard);
        self.txns.marking.asked.retain(|_, asked| asked.shard != shard);
    }

    /// A leader answered.
    pub(super) fn markers_answered(
        &mut self,
        token: u64,
        results: &[(PartitionId, ErrorCode)],
        env: &mut Env<'_, '_>,
    ) {
        let Some(Asked { shard, txn, .. }) = self.txns.marking.asked.remove(&token) else { return };
        let Some(ending) = self.txns.marking.endings.get_mut(&(shard, txn)) else { return };
        let mut again = false;
        for (id, error) in results {
            match error {
                ErrorCode::None
                | ErrorCode::InvalidProducerEpoch
                | ErrorCode::TransactionCoordinatorFenced => {
                    ending.left.remove(id);
                }
                _ => {
                    ending.left.insert(*id, None);
                    again = true;
                }
            }
        }
        if again {
            self.marks_rest(shard, txn, env);
        } else {
            self.send_markers(shard, txn, env);
        }
    }

    /// The connection for markers to a broker broke: what it was asked is asked again.
    pub(in crate::kafka) fn markers_broke(&mut self, leader: NodeId, env: &mut Env<'_, '_>) {
        self.forget_markers(|asked| asked.leader == leader, env);
    }

    fn forget_markers(&mut self, which: impl Fn(&Asked) -> bool, env: &mut Env<'_, '_>) {
        let marking = &mut self.txns.marking;
        let lost: Vec<(u64, Asked)> = marking.asked.extract_if(.., |_, asked| which(asked)).collect();
        for (token, Asked { shard, txn, .. }) in lost {
            if let Some(ending) = self.txns.marking.endings.get_mut(&(shard, txn)) {
                ending.left.values_mut().filter(|request| **request == Some(token)).for_each(|r| *r = None);
            }
            self.marks_rest(shard, txn, env);
        }
    }

    /// Sends what has rested, and gives up what was not answered in time.
    pub(super) fn markers_due(&mut self, env: &mut Env<'_, '_>) {
        let now = env.ctx.now();
        let patience = env.rules.transaction_request_timeout;
        let is_late = |asked: &Asked| now.since(asked.since) >= patience;
        let late: Vec<NodeId> = self
            .txns
            .marking
            .asked
            .values()
            .filter(|asked| is_late(asked))
            .map(|asked| asked.leader)
            .collect();
        for leader in late {
            env.links.hang_up(leader, Lane::Markers, env.ctx);
            self.markers_broke(leader, env);
        }
        let endings: Vec<(u32, TxnIx)> = self.txns.marking.endings.keys().copied().collect();
        for (shard, txn) in endings {
            self.send_markers(shard, txn, env);
        }
        if let Some(since) = self.txns.marking.asked.values().map(|asked| asked.since).min() {
            self.arm_txns(since + patience, env);
        }
    }

    // As leader.

    /// Appends a marker to these partitions, and answers when it is committed in all of them.
    pub(super) fn write_markers(
        &mut self,
        to: ReplyTo,
        token: u64,
        marker: Marker,
        partitions: &[PartitionId],
        env: &mut Env<'_, '_>,
    ) {
        let request = self.txns.token();
        let mut writing =
            Writing { to, token, marker, results: Vec::with_capacity(partitions.len()), left: 0 };
        for (place, id) in partitions.iter().enumerate() {
            let error = match self.append_marker(*id, marker, env) {
                Ok(end) => {
                    let token = self.txns.token();
                    self.txns.marking.waiting.insert(token, (request, place as u32));
                    writing.left += 1;
                    if !self.wait_for(*id, end, Waiter::Transactions(token)) {
                        self.txns.appended(token, ErrorCode::None);
                    }
                    ErrorCode::None
                }
                Err(error) => error,
            };
            writing.results.push((*id, error));
        }
        if writing.left == 0 {
            return self.txn_reply(to, TxnResponse::WriteMarkers(token, writing.results), env);
        }
        self.txns.marking.writing.insert(request, writing);
    }

    fn append_marker(
        &mut self,
        id: PartitionId,
        marker: Marker,
        env: &mut Env<'_, '_>,
    ) -> Result<u64, ErrorCode> {
        let replica = self.replica(id).filter(|replica| replica.leading().is_some());
        replica.ok_or(ErrorCode::NotLeaderOrFollower)?.producers.check_marker(&marker)?;
        let acks = if id.topic == TopicIx::CONSUMER_OFFSETS {
            self.coordinator.coordinates(id.partition).map_err(|_| ErrorCode::NotLeaderOrFollower)?;
            Acks::One
        } else {
            Acks::All
        };
        let batch = Batch::of_marker(marker, env.ctx.wall());
        self.append_as_leader(id, Arc::new(batch), acks, env).map(|(_, end)| end)
    }

    /// A marker is committed, or its leader was deposed.
    pub(super) fn marker_appended(&mut self, token: u64, error: ErrorCode, env: &mut Env<'_, '_>) {
        let Some((request, place)) = self.txns.marking.waiting.remove(&token) else { return };
        let Some(writing) = self.txns.marking.writing.get_mut(&request) else { return };
        writing.left -= 1;
        let Some(result) = writing.results.get_mut(place as usize) else { return };
        result.1 = error;
        let (id, marker) = (result.0, writing.marker);
        if id.topic == TopicIx::CONSUMER_OFFSETS && !error.is_error() {
            self.coordinator.txn_ended(id.partition, &marker, env);
        }
        let Some(writing) = self.txns.marking.writing.get(&request) else { return };
        if writing.left == 0
            && let Some(Writing { to, token, results, .. }) = self.txns.marking.writing.remove(&request)
        {
            self.txn_reply(to, TxnResponse::WriteMarkers(token, results), env);
        }
    }
}
