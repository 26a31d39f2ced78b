//! The transaction coordinator of a broker: the transactional ids whose `__transaction_state` partition it leads
//! (rules D1, D2).
//!
//! - A transactional id lives in the partition that its name hashes to. Whoever leads that partition reads it (14
//!   until it has) and coordinates; anybody else says 16, and 15 while nobody leads it.
//! - A change counts once its record is committed with acks=all; until then everybody else hears 51. An append
//!   that is refused leaves everything as it was and is answered 15 (16 if the leadership was lost).
//! - EndTxn is answered when its Prepare record is committed; the markers go out after that, so a producer may go
//!   on before readers see the end of its transaction. What was prepared when a coordinator fell is completed by
//!   its successor.
//! - An id that is idle for
//!   [`transaction_id_expiry`](crate::kafka::rules::Rules::transaction_id_expiry) is forgotten.
//! - Transactions that are open for longer than their timeout are looked for every
//!   [`transaction_sweep`](crate::kafka::rules::Rules::transaction_sweep), fenced by the next epoch and aborted.

use super::{
    marking::Marking,
    messages::{ProducerIdAndEpoch, TxnIx, TxnRequest, TxnResponse},
    state::{TxnSnapshot, TxnState},
    transaction::{By, End, Init, Transaction},
    verify::Verifications,
};
use crate::{
    kafka::{
        broker::{Broker, Env},
        conns::Busy,
        coordinator::{loading, offsets_partition_of, partition_of},
        error::ErrorCode,
        links::{Lane, ReplyTo},
        protocol::{PartitionId, ResponseBody},
        rules::TransactionVersion,
    },
    kernel::{Mark, NodeId},
};
use squall_bus::Time;
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// The transactional ids of one partition.
#[derive(Debug)]
pub(in crate::kafka) struct Shard {
    /// The leader epoch: the coordinator epoch of markers.
    pub(super) epoch: u32,
    /// Still reading, until then.
    pub(super) loading: Option<Time>,
    pub(super) txns: BTreeMap<TxnIx, Transaction>,
}

/// What happens when a record is committed.
#[derive(Debug)]
pub(super) enum Then {
    /// This is answered.
    Answer(ReplyTo, TxnResponse),
    /// Nobody waits for it.
    Nothing,
}

/// A record on its way into the log.
#[derive(Debug)]
pub(super) struct Appending {
    pub(super) partition: u32,
    /// The leader epoch it was appended in.
    pub(super) epoch: u32,
    pub(super) next: TxnSnapshot,
    pub(super) then: Then,
}

/// Partitions that are to belong to a transaction, or to be found to.
#[derive(Clone, Copy)]
struct Adding<'a> {
    txn: TxnIx,
    producer: ProducerIdAndEpoch,
    partitions: &'a [PartitionId],
    version: TransactionVersion,
}

/// A broker's transaction coordinator, and what the broker's partitions ask of others.
#[derive(Debug, Default)]
pub(in crate::kafka) struct TxnCoordinator {
    pub(super) shards: Vec<Option<Shard>>,
    pub(super) appending: BTreeMap<u64, Appending>,
    appended: VecDeque<(u64, ErrorCode)>,
    pub(super) tokens: u64,
    pub(super) marking: Marking,
    pub(super) verifications: Verifications,
    pub(super) armed: Option<Time>,
    pub(super) sweep_at: Option<Time>,
    pub(super) expiry_at: Option<Time>,
}

impl TxnCoordinator {
    /// A record that waited for the high watermark is committed, or not.
    pub(in crate::kafka) fn appended(&mut self, token: u64, error: ErrorCode) {
        self.appended.push_back((token, error));
    }

    /// The next of those.
    pub(in crate::kafka) fn next_appended(&mut self) -> Option<(u64, ErrorCode)> {
        self.appended.pop_front()
    }

    pub(super) fn token(&mut self) -> u64 {
        self.tokens += 1;
        self.tokens
    }

    pub(super) fn shard(&mut self, partition: u32) -> Option<&mut Shard> {
        self.shards.get_mut(partition as usize)?.as_mut()
    }

    /// The transactional ids that are coordinated here, with the epoch of the leadership that makes it so.
    pub(in crate::kafka) fn transactions(&self) -> impl Iterator<Item = (u32, &TxnSnapshot)> {
        let shards = self.shards.iter().flatten().filter(|shard| shard.loading.is_none());
        shards.flat_map(|shard| {
            shard.txns.values().filter_map(|txn| txn.kept.as_ref()).map(|kept| (shard.epoch, kept))
        })
    }
}

/// The partition of the transactions topic that keeps this id; `None` while there is no such topic.
pub(in crate::kafka) fn home(txn: TxnIx, env: &Env<'_, '_>) -> Option<PartitionId> {
    let topic = env.names.transaction_state()?;
    let partitions = env.image.topic(topic)?.partitions.len() as u32;
    Some(PartitionId::new(topic, partition_of(env.names.transaction(txn), partitions)))
}

impl Broker {
    // Who coordinates.

    /// The leadership of a partition of the transactions topic changed.
    pub(in crate::kafka) fn txn_partition_changed(
        &mut self,
        id: PartitionId,
        leads: bool,
        env: &mut Env<'_, '_>,
    ) {
        let index = id.partition as usize;
        if index >= self.txns.shards.len() {
            self.txns.shards.resize_with(index + 1, || None);
        }
        if let Some(shard) = self.txns.shards[index].take() {
            let open = |txn: &Transaction| {
                txn.pending.is_some() || txn.kept.as_ref().is_some_and(|kept| kept.state == TxnState::Ongoing)
            };
            if shard.txns.values().any(open) {
                env.ctx.mark(Mark::TxnCoordinatorMoved);
            }
            self.stop_marking(id.partition);
        }
        if leads {
            let epoch = env.image.partition(id).map_or(0, |image| image.leader_epoch);
            let until = loading::read_at(id, epoch, env);
            self.txns.shards[index] = Some(Shard { epoch, loading: Some(until), txns: BTreeMap::new() });
            self.arm_txns(until, env);
        }
    }

    /// The shard of a transactional id that is coordinated here and ready, or what to answer.
    fn txn_shard(&mut self, txn: TxnIx, env: &Env<'_, '_>) -> Result<u32, ErrorCode> {
        let home = home(txn, env).ok_or(ErrorCode::CoordinatorNotAvailable)?;
        match self.txns.shard(home.partition) {
            None => Err(ErrorCode::NotCoordinator),
            Some(shard) if shard.loading.is_some() => Err(ErrorCode::CoordinatorLoadInProgress),
            Some(_) => Ok(home.partition),
        }
    }

    // What comes in from other brokers.

    /// Another broker, or this one, answered.
    pub(in crate::kafka) fn txn_answered(&mut self, answer: TxnResponse, env: &mut Env<'_, '_>) {
        match answer {
            TxnResponse::Verify(token, results) => self.word_given(token, &results, env),
            TxnResponse::WriteMarkers(token, results) => self.markers_answered(token, &results, env),
            _ => {}
        }
        self.settle(env);
    }

    /// This broker asks itself.
    pub(in crate::kafka) fn txn_asked(&mut self, to: ReplyTo, request: TxnRequest, env: &mut Env<'_, '_>) {
        self.txn_request(to, request, env);
        self.settle(env);
    }

    /// A connection to another broker broke.
    pub(in crate::kafka) fn txn_link_broke(&mut self, peer: NodeId, lane: Lane, env: &mut Env<'_, '_>) {
        match lane {
            Lane::Verify => self.verify_broke(peer, env),
            _ => self.markers_broke(peer, env),
        }
        self.settle(env);
    }

    // Requests.

    /// A request about transactions, of a client, another broker or this one.
    pub(in crate::kafka) fn txn_request(&mut self, to: ReplyTo, request: TxnRequest, env: &mut Env<'_, '_>) {
        match request {
            TxnRequest::FindCoordinator(txn) => {
                let leader =
                    home(txn, env).and_then(|id| env.image.partition(id)).and_then(|image| image.leader);
                let error =
                    if leader.is_some() { ErrorCode::None } else { ErrorCode::CoordinatorNotAvailable };
                self.txn_reply(to, TxnResponse::FindCoordinator(error, leader), env);
            }
            TxnRequest::InitProducerId { txn, timeout, current } => {
                if let Err(error) = self.init_producer(to, txn, timeout, current, env) {
                    let answer = TxnResponse::InitProducerId(error, ProducerIdAndEpoch::NONE);
                    self.txn_reply(to, answer, env);
                }
            }
            TxnRequest::AddPartitions(txn, producer, partitions) => {
                let adding =
                    Adding { txn, producer, partitions: &partitions, version: TransactionVersion::V1 };
                self.add_partitions(to, &adding, TxnResponse::AddPartitions, env);
            }
            TxnRequest::AddOffsets(txn, producer, group) => {
                let partitions = &[offsets_partition_of(group, env.names, env.image)];
                let adding = Adding { txn, producer, partitions, version: TransactionVersion::V1 };
                self.add_partitions(to, &adding, TxnResponse::AddOffsets, env);
            }
            TxnRequest::End { txn, producer, commit, version } => {
                let version = version.min(env.rules.transaction_version);
                if let Err(error) = self.end_txn(Some(to), txn, producer, commit, By::Client(version), env) {
                    self.txn_reply(to, TxnResponse::End(error, None), env);
                }
            }
            TxnRequest::Verify { token, txn, producer, partitions, add } => {
                let version = if add { TransactionVersion::V2 } else { TransactionVersion::V1 };
                let adding = Adding { txn, producer, partitions: &partitions, version };
                self.verify_for(to, token, &adding, env);
            }
            TxnRequest::WriteMarkers { token, marker, partitions } => {
                self.write_markers(to, token, marker, &partitions, env);
            }
        }
    }

    /// Answers, over a connection or within this broker.
    pub(super) fn txn_reply(&mut self, to: ReplyTo, answer: TxnResponse, env: &mut Env<'_, '_>) {
        let body = ResponseBody::Txn(answer);
        match to {
            ReplyTo::Conn(conn, correlation) => {
                if matches!(self.conns.get(conn).map(|known| &known.busy), Some(Busy::Group(c)) if *c == correlation)
                {
                    self.answer(conn, correlation, body, env);
                }
            }
            ReplyTo::Own(_) => env.links.reply(to, body, env.ctx),
        }
    }

    fn init_producer(
        &mut self,
        to: ReplyTo,
        txn: TxnIx,
        timeout: Duration,
        current: Option<ProducerIdAndEpoch>,
        env: &mut Env<'_, '_>,
    ) -> Result<(), ErrorCode> {
        let partition = self.txn_shard(txn, env)?;
        if timeout.is_zero() || timeout > env.rules.transaction_max_timeout {
            return Err(ErrorCode::InvalidTransactionTimeout);
        }
        let (now, fresh) = (env.ctx.wall(), self.next_producer_id());
        let Some(shard) = self.txns.shard(partition) else { return Err(ErrorCode::NotCoordinator) };
        let next = match shard.txns.get(&txn) {
            None => Transaction::first(txn, fresh, timeout, now),
            Some(known) => match known.init(timeout, current, fresh, now)? {
                Init::Write(next) => next,
                Init::Fence(producer) => {
                    self.fence_txn(txn, producer, env);
                    return Err(ErrorCode::ConcurrentTransactions);
                }
            },
        };
        let answer = TxnResponse::InitProducerId(ErrorCode::None, next.producer);
        self.keep(partition, next, Then::Answer(to, answer), env);
        Ok(())
    }

    /// Aborts the open transaction of a producer that is fenced from now on.
    pub(super) fn fence_txn(&mut self, txn: TxnIx, producer: ProducerIdAndEpoch, env: &mut Env<'_, '_>) {
        env.ctx.mark(Mark::ProducerFenced);
        let home = home(txn, env).map_or(0, |id| id.partition);
        self.set_pending(home, txn, Some(TxnState::PrepareEpochFence));
        if self.end_txn(None, txn, producer, false, By::Fence, env).is_err() {
            // Nobody is told: the sweep, or the next producer, tries again.
            self.set_pending(home, txn, None);
        }
    }

    fn set_pending(&mut self, partition: u32, txn: TxnIx, pending: Option<TxnState>) {
        if let Some(known) = self.txns.shard(partition).and_then(|shard| shard.txns.get_mut(&txn)) {
            known.pending = pending;
        }
    }

    fn add_partitions(
        &mut self,
        to: ReplyTo,
        adding: &Adding<'_>,
        answer: impl Fn(ErrorCode) -> TxnResponse,
        env: &mut Env<'_, '_>,
    ) {
        let Adding { txn, producer, partitions, version } = *adding;
        let now = env.ctx.wall();
        let found = self.txn_shard(txn, env).and_then(|partition| {
            let shard = self.txns.shard(partition).ok_or(ErrorCode::NotCoordinator)?;
            let known = shard.txns.get(&txn).ok_or(ErrorCode::InvalidProducerIdMapping)?;
            Ok((partition, known.add(producer, partitions, version, now)?))
        });
        match found {
            Ok((partition, Some(next))) => {
                self.keep(partition, next, Then::Answer(to, answer(ErrorCode::None)), env);
            }
            Ok((_, None)) => self.txn_reply(to, answer(ErrorCode::None), env),
            Err(error) => self.txn_reply(to, answer(error), env),
        }
    }

    /// A leader asks whether partitions belong to a transaction, or that they do from now on.
    fn verify_for(&mut self, to: ReplyTo, token: u64, adding: &Adding<'_>, env: &mut Env<'_, '_>) {
        let Adding { txn, producer, partitions, version } = *adding;
        if version == TransactionVersion::V2 {
            let answer =
                |error| TxnResponse::Verify(token, partitions.iter().map(|id| (*id, error)).collect());
            return self.add_partitions(to, adding, answer, env);
        }
        let shard = self.txn_shard(txn, env);
        let known = shard.map(|partition| self.txns.shard(partition).and_then(|shard| shard.txns.get(&txn)));
        let verify = |id: PartitionId| match &known {
            Ok(Some(known)) => known.verify(producer, id),
            Ok(None) => ErrorCode::InvalidProducerIdMapping,
            Err(error) => *error,
        };
        let results = partitions.iter().map(|id| (*id, verify(*id))).collect();
        self.txn_reply(to, TxnResponse::Verify(token, results), env);
    }

    /// A transaction is to end; whoever waits for that is answered here, unless it fails.
    fn end_txn(
        &mut self,
        to: Option<ReplyTo>,
        txn: TxnIx,
        producer: ProducerIdAndEpoch,
        commit: bool,
        by: By,
        env: &mut Env<'_, '_>,
    ) -> Result<(), ErrorCode> {
        let partition = self.txn_shard(txn, env)?;
        let (now, fresh) = (env.ctx.wall(), self.next_producer_id());
        let shard = self.txns.shard(partition).ok_or(ErrorCode::NotCoordinator)?;
        let known = shard.txns.get(&txn).ok_or(ErrorCode::InvalidProducerIdMapping)?;
        let told = |producer| (by == By::Client(TransactionVersion::V2)).then_some(producer);
        match known.end(producer, commit, by, fresh, now)? {
            End::Done(producer) => {
                if let Some(to) = to {
                    self.txn_reply(to, TxnResponse::End(ErrorCode::None, told(producer)), env);
                }
            }
            End::Prepare(next) => {
                let goes_on = next.next_pid.map_or(next.producer, |pid| ProducerIdAndEpoch { pid, epoch: 0 });
                let answer = TxnResponse::End(ErrorCode::None, told(goes_on));
                let then = to.map_or(Then::Nothing, |to| Then::Answer(to, answer));
                self.keep(partition, next, then, env);
            }
        }
        Ok(())
    }
}
