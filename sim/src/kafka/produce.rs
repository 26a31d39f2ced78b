//! Produce at the broker (rules B3, B4, B13, C3).
//!
//! - Refused before the append, and so certain not to be in the log: no leader here (6), too large for the topic (10)
//!   or for a segment (18), without a key where the cleaner needs one (87), broken checksum (2), sequence number out of
//!   order (45) or of a fenced producer (47), acks=all below the minimum of in-sync replicas (19), acks that are neither
//!   -1 nor 0 nor 1 (21).
//! - acks=0 has no answer; a refused batch closes the connection instead. acks=1 is answered after the append.
//!   acks=all is answered when the high watermark has passed the batch; until then the request waits, and is
//!   answered 7 when its time is up and 6 when the leader is deposed: both leave the batch where it is.

use super::{
    Touch,
    broker::{Broker, Env, Growth},
    conns::Busy,
    error::ErrorCode,
    producers::Checked,
    protocol::{Batch, Entry, Few, PartitionId, ProduceRequest, ProducedPartition, ResponseBody},
    replica::{Replica, Waiter, store},
    rules::Rules,
};
use crate::kernel::{ConnId, Mark};
use squall_bus::{Acks, Time};
use std::sync::Arc;

/// A Produce request that waits for high watermarks.
#[derive(Debug)]
pub(super) struct ParkedProduce {
    correlation: u32,
    pub(super) until: Time,
    results: Few<ProducedPartition>,
    /// Which results are still open.
    open: Few<bool>,
    left: u32,
}

impl Broker {
    pub(super) fn produce(
        &mut self,
        conn: ConnId,
        correlation: u32,
        request: ProduceRequest,
        env: &mut Env<'_, '_>,
    ) {
        if let Some(request) = self.verified(conn, correlation, request, env) {
            self.append_request(conn, correlation, request, &[], env);
        }
    }

    /// Appends what is not refused for another reason, and answers or waits.
    pub(super) fn append_request(
        &mut self,
        conn: ConnId,
        correlation: u32,
        request: ProduceRequest,
        refused: &[(PartitionId, ErrorCode)],
        env: &mut Env<'_, '_>,
    ) {
        let Some(acks) = request.acks.acks() else {
            return self.refuse_acks(conn, correlation, &request, env);
        };
        let mut results = Few::with_capacity(request.batches.len());
        let mut open: Few<bool> = request.batches.iter().map(|_| false).collect();
        for (index, (id, batch)) in request.batches.into_iter().enumerate() {
            let waits =
                acks == Acks::All && (env.rules.replicate_transactions || batch.transaction().is_none());
            let appended = match refused.iter().find(|(other, _)| *other == id) {
                Some((_, error)) => Err(*error),
                None => self.append_as_leader(id, batch, acks, env),
            };
            let (error, base_offset) = match appended {
                Ok((base, end)) => {
                    if waits {
                        let index = index as u32;
                        open[index as usize] =
                            self.wait_for(id, end, Waiter::Produce { conn, correlation, index });
                    }
                    (ErrorCode::None, Some(if env.rules.ack_offsets { base } else { 0 }))
                }
                Err(error) => (error, None),
            };
            let leader = match error {
                ErrorCode::NotLeaderOrFollower => Self::leader_hint(id, env.image),
                _ => None,
            };
            results.push(ProducedPartition { id, error, base_offset, leader });
        }
        match acks {
            Acks::None if results.iter().any(|result| result.error.is_error()) => {
                self.closed(conn);
                env.ctx.close(conn);
            }
            Acks::None => {}
            Acks::One => self.answer(conn, correlation, ResponseBody::Produce(results), env),
            Acks::All => {
                let left = open.iter().filter(|open| **open).count() as u32;
                if left == 0 {
                    self.answer(conn, correlation, ResponseBody::Produce(results), env);
                } else if let Some(known) = self.conns.get_mut(conn) {
                    let until = env.ctx.now() + request.timeout;
                    known.busy = Busy::Produce(ParkedProduce { correlation, until, results, open, left });
                    self.wake_at(until, env);
                }
            }
        }
    }

    /// Refuses a request whose acks mean nothing, before anything is appended.
    fn refuse_acks(
        &mut self,
        conn: ConnId,
        correlation: u32,
        request: &ProduceRequest,
        env: &mut Env<'_, '_>,
    ) {
        let refused = |(id, _): &(PartitionId, Arc<Batch>)| ProducedPartition {
            id: *id,
            error: ErrorCode::InvalidRequiredAcks,
            base_offset: None,
            leader: None,
        };
        let results = request.batches.iter().map(refused).collect();
        self.answer(conn, correlation, ResponseBody::Produce(results), env);
    }

    /// Appends a batch: the offsets where it begins and ends, or why it is not in the log.
    pub(super) fn append_as_leader(
        &mut self,
        id: PartitionId,
        batch: Arc<Batch>,
        acks: Acks,
        env: &mut Env<'_, '_>,
    ) -> Result<(u64, u64), ErrorCode> {
        if env.image.partition(id).is_none() {
            return Err(ErrorCode::UnknownTopicOrPartition);
        }
        let me = self.me;
        let replica = self.replica_mut(id).ok_or(ErrorCode::NotLeaderOrFollower)?;
        let count = batch.count();
        let checked = check(replica, &batch, acks, env.rules);
        if checked == Err(ErrorCode::NotEnoughReplicas) {
            env.ctx.mark(Mark::RefusedBelowMinIsr);
        }
        if let Some(base) = checked? {
            env.ctx.mark(Mark::DuplicateRecognised);
            return Ok((base, base + u64::from(count)));
        }
        let base = replica.log.end();
        if env.rules.drop_appends > 0 && replica.drops_one(env.rules.drop_appends) {
            return Ok((base, base + u64::from(count)));
        }
        let entry = Entry::new(base, replica.leader_epoch, batch);
        if store(replica.file, &entry, env).is_err() {
            self.storage_failed = true;
            return Err(ErrorCode::KafkaStorageError);
        }
        if replica.append(entry, env.rules) {
            self.log_rolled(id, env);
        }
        env.ctx.touch(Touch::Replica(me, id));
        self.grown.push((id, Growth::End));
        self.raise_high_watermark(id, env);
        Ok((base, base + u64::from(count)))
    }

    /// Puts somebody into the line for a high watermark; whether there is anything to wait for.
    pub(super) fn wait_for(&mut self, id: PartitionId, required: u64, waiter: Waiter) -> bool {
        let Some(replica) = self.replica_mut(id) else { return false };
        if replica.high_watermark >= required {
            return false;
        }
        let Some(leading) = replica.leading_mut() else { return false };
        let place = leading.waiters.partition_point(|(other, _)| *other <= required);
        leading.waiters.insert(place, (required, waiter));
        true
    }

    /// One partition of a Produce request is done.
    pub(super) fn produced(
        &mut self,
        conn: ConnId,
        correlation: u32,
        index: u32,
        error: ErrorCode,
        env: &mut Env<'_, '_>,
    ) {
        let Some(known) = self.conns.get_mut(conn) else { return };
        let Busy::Produce(parked) = &mut known.busy else { return };
        let index = index as usize;
        if parked.correlation != correlation || !parked.open.get(index).is_some_and(|open| *open) {
            return;
        }
        parked.open[index] = false;
        parked.left -= 1;
        fail(&mut parked.results[index], error, env);
        if parked.left == 0 {
            let results = std::mem::take(&mut parked.results);
            self.answer(conn, correlation, ResponseBody::Produce(results), env);
        }
    }

    /// Answers a Produce request whose time is up: what is still open has timed out.
    pub(super) fn expire_produce(&mut self, conn: ConnId, env: &mut Env<'_, '_>) {
        let now = env.ctx.now();
        let Some(known) = self.conns.get_mut(conn) else { return };
        let Busy::Produce(parked) = &mut known.busy else { return };
        if parked.until > now {
            return;
        }
        let correlation = parked.correlation;
        let mut results = std::mem::take(&mut parked.results);
        for (result, open) in results.iter_mut().zip(&parked.open) {
            if *open {
                fail(result, ErrorCode::RequestTimedOut, env);
            }
        }
        self.answer(conn, correlation, ResponseBody::Produce(results), env);
    }
}

fn fail(result: &mut ProducedPartition, error: ErrorCode, env: &Env<'_, '_>) {
    if error.is_error() {
        result.error = error;
        result.base_offset = None;
        if error == ErrorCode::NotLeaderOrFollower {
            result.leader = Broker::leader_hint(result.id, env.image);
        }
    }
}

/// Whether a batch may be appended; the original offset if it is there already.
fn check(replica: &Replica, batch: &Batch, acks: Acks, rules: &Rules) -> Result<Option<u64>, ErrorCode> {
    if replica.leading().is_none() {
        return Err(ErrorCode::NotLeaderOrFollower);
    }
    if acks == Acks::All && rules.refuse_below_min_isr && replica.is_under_min_isr() {
        return Err(ErrorCode::NotEnoughReplicas);
    }
    if !batch.intact {
        return Err(ErrorCode::CorruptMessage);
    }
    if batch.bytes > replica.settings.max_message_bytes {
        return Err(ErrorCode::MessageTooLarge);
    }
    if batch.bytes > replica.settings.log.segment_bytes {
        return Err(ErrorCode::RecordListTooLarge);
    }
    if replica.settings.log.cleanup.compacts() && batch.records().iter().any(|record| record.key.is_none()) {
        return Err(ErrorCode::InvalidRecord);
    }
    match batch.stamp.map(|stamp| replica.producers.check(stamp, batch.count())) {
        None | Some(Checked::Next) => Ok(None),
        Some(Checked::Duplicate(base)) if rules.answer_duplicates => Ok(Some(base)),
        Some(Checked::Duplicate(_)) => Err(ErrorCode::OutOfOrderSequenceNumber),
        Some(Checked::Refused(error)) => Err(error),
    }
}
