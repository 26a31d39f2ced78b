//! The coordinator's log: records on their way into it, and what is read from it (rule D1).
//!
//! A change counts once its record is committed with acks=all. What was prepared when a coordinator fell is completed by
//! its successor, which finds it here.

use super::{
    coordinator::{Appending, Then},
    messages::{ProducerIdAndEpoch, TxnIx, TxnResponse},
    state::{TxnSnapshot, TxnState},
    transaction::Transaction,
};
use crate::{
    kafka::{
        Touch,
        broker::{Broker, Env},
        error::ErrorCode,
        protocol::{BATCH_OVERHEAD, Batch, PartitionId, Payload},
        replica::Waiter,
    },
    kernel::Mark,
};
use squall_bus::Acks;
use std::{collections::BTreeMap, sync::Arc};

/// Bytes of a transactional id's record, and of each partition in it.
const RECORD_BYTES: u32 = 64;
const PARTITION_BYTES: u32 = 16;

impl Broker {
    /// The partition's log was read: what was prepared is completed.
    pub(super) fn load_txns(&mut self, partition: u32, env: &mut Env<'_, '_>) {
        let Some(topic) = env.names.transaction_state() else { return };
        let id = PartitionId::new(topic, partition);
        let mut latest: BTreeMap<TxnIx, Arc<TxnSnapshot>> = BTreeMap::new();
        for entry in self.replica(id).map_or(&[][..], |replica| replica.log.entries()) {
            if let Payload::Transaction(kept) = &entry.batch.payload {
                latest.insert(kept.txn, Arc::clone(kept));
            }
        }
        let Some(shard) = self.txns.shard(partition) else { return };
        shard.loading = None;
        let mut prepared = Vec::new();
        for (txn, kept) in latest {
            if kept.state.is_prepared() {
                prepared.push(txn);
            }
            if kept.state == TxnState::Dead {
                continue;
            }
            let kept = Some(TxnSnapshot::clone(&kept));
            shard.txns.insert(txn, Transaction { kept, pending: None });
            env.ctx.touch(Touch::Transaction(txn));
        }
        for txn in prepared {
            self.mark_partitions(partition, txn, env);
        }
        self.arm_sweep(env);
        self.arm_expiry(env);
    }

    /// Writes a record; what follows from it happens when it is committed.
    pub(super) fn keep(&mut self, partition: u32, next: TxnSnapshot, then: Then, env: &mut Env<'_, '_>) {
        let Some(topic) = env.names.transaction_state() else { return };
        let (id, token) = (PartitionId::new(topic, partition), self.txns.token());
        let (timestamp, txn, state) = (env.ctx.wall(), next.txn, next.state);
        let Some(shard) = self.txns.shard(partition) else { return };
        let known = shard.txns.entry(txn).or_insert(Transaction { kept: None, pending: None });
        known.pending = Some(state);
        let epoch = shard.epoch;
        let bytes = BATCH_OVERHEAD + RECORD_BYTES + PARTITION_BYTES * next.partitions.len() as u32;
        let payload = Payload::Transaction(Arc::new(next.clone()));
        self.txns.appending.insert(token, Appending { partition, epoch, next, then });
        if !env.rules.log_transactions {
            return self.txns.appended(token, ErrorCode::None);
        }
        let batch = Batch { payload, stamp: None, bytes, timestamp, intact: true };
        match self.append_as_leader(id, Arc::new(batch), Acks::All, env) {
            Ok((_, end)) if self.wait_for(id, end, Waiter::Transactions(token)) => {}
            Ok(_) => self.txns.appended(token, ErrorCode::None),
            Err(error) => self.txns.appended(token, error),
        }
    }

    /// A record or marker is committed, or failed.
    pub(in crate::kafka) fn txn_appended(&mut self, token: u64, error: ErrorCode, env: &mut Env<'_, '_>) {
        let Some(Appending { partition, epoch, next, then }) = self.txns.appending.remove(&token) else {
            return self.marker_appended(token, error, env);
        };
        let (txn, state, producer) = (next.txn, next.state, next.producer);
        let error = coordinator_error(error);
        let Some(shard) = self.txns.shard(partition).filter(|shard| shard.epoch == epoch) else {
            // Another leadership: who waits looks for the coordinator again.
            return self.finish(then, ErrorCode::NotCoordinator, env);
        };
        if let Some(known) = shard.txns.get_mut(&txn) {
            known.pending = None;
            if !error.is_error() && state != TxnState::Dead {
                known.kept = Some(next);
            } else if known.kept.is_none() || (!error.is_error() && state == TxnState::Dead) {
                shard.txns.remove(&txn);
            }
        }
        env.ctx.touch(Touch::Transaction(txn));
        self.finish(then, error, env);
        if error.is_error() {
            if matches!(state, TxnState::CompleteCommit | TxnState::CompleteAbort) {
                self.complete_later(partition, txn, env);
            }
        } else if state.is_prepared() {
            if state == TxnState::PrepareAbort && producer.epoch > 0 {
                env.ctx.mark(Mark::TxnAborted);
            }
            self.mark_partitions(partition, txn, env);
        } else if state == TxnState::Ongoing {
            self.arm_sweep(env);
        } else if state == TxnState::Empty {
            self.arm_expiry(env);
        }
    }

    fn finish(&mut self, then: Then, error: ErrorCode, env: &mut Env<'_, '_>) {
        match then {
            Then::Nothing => {}
            Then::Answer(to, answer) if !error.is_error() => self.txn_reply(to, answer, env),
            Then::Answer(to, answer) => self.txn_reply(to, failed(answer, error), env),
        }
    }

    /// Every partition has its marker: the transaction is complete.
    pub(super) fn complete_txn(&mut self, partition: u32, txn: TxnIx, env: &mut Env<'_, '_>) {
        let now = env.ctx.wall();
        let Some(shard) = self.txns.shard(partition) else { return };
        let Some(kept) = shard.txns.get(&txn).and_then(|known| known.kept.as_ref()) else { return };
        if kept.state.is_prepared() {
            let next = Transaction::completed(kept, now);
            self.keep(partition, next, Then::Nothing, env);
        }
    }
}

/// What a failed append means for a transaction's client.
fn coordinator_error(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::None => ErrorCode::None,
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        _ => ErrorCode::CoordinatorNotAvailable,
    }
}

/// An answer that says so instead.
fn failed(answer: TxnResponse, error: ErrorCode) -> TxnResponse {
    match answer {
        TxnResponse::FindCoordinator(..) => TxnResponse::FindCoordinator(error, None),
        TxnResponse::InitProducerId(..) => TxnResponse::InitProducerId(error, ProducerIdAndEpoch::NONE),
        TxnResponse::AddPartitions(_) => TxnResponse::AddPartitions(error),
        TxnResponse::AddOffsets(_) => TxnResponse::AddOffsets(error),
        TxnResponse::End(..) => TxnResponse::End(error, None),
        TxnResponse::Verify(token, results) => {
            TxnResponse::Verify(token, results.into_iter().map(|(id, _)| (id, error)).collect())
        }
        TxnResponse::WriteMarkers(token, results) => {
            TxnResponse::WriteMarkers(token, results.into_iter().map(|(id, _)| (id, error)).collect())
        }
    }
}
