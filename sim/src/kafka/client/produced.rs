//! What a producer makes of responses, lost connections and lost time.
//!
//! - A batch that the broker has is ok, each record at the base offset plus its place. A broker that recognises
//!   an idempotent retry answers with the original offset; the client does not learn that it was one.
//! - An error that may pass (table in [`outcome`](super::outcome)) puts the batch back with a back-off. So does a
//!   lost connection: its requests may or may not have gone through. A batch that may have been appended by any
//!   attempt is remembered as such: if it is given up its outcome is unknown.
//! - Idempotent: while anything failed waits, the partition drains, so that batches are sent again in order; those
//!   sent behind it come back as OUT_OF_ORDER_SEQUENCE_NUMBER and are sent again too. Giving up a batch leaves
//!   a gap in the sequence: the epoch is bumped once nothing is in flight, and every partition counts anew
//!   (KIP-360). OUT_OF_ORDER_SEQUENCE_NUMBER for the oldest batch means that the broker lost something:
//!   librdkafka is finished, Java bumps.

use super::super::{
    Shared,
    error::ErrorCode,
    protocol::{Few, ProducedPartition, RequestBody},
};
use super::{
    Io,
    batch::{Attempted, Identity, records},
    connections::{Lost, Slot},
    defaults::{Backoff, Desynchronized, NextEpoch, Resend, TimedOut},
    net::What,
    outcome::{self, Appended, Meaning},
    partitioner,
    producer::{Asked, Producer, Standing},
};
use crate::{
    kernel::{Mark, Site},
    model::{Acked, OpId, Output},
};
use squall_bus::{Error, ErrorClass, Outcome, Position, Time};

const RETRY: Site = Site::new("kafka.client.produce-retry");

impl Producer {
    /// A produce request was answered.
    pub(super) fn produced(
        &mut self,
        slot: Slot,
        mut batches: Vec<(u32, Attempted)>,
        results: &[ProducedPartition],
        io: &mut dyn Io,
        shared: &Shared,
    ) {
        self.windows[slot as usize] -= 1;
        let mut numbers = Few::<u32>::with_capacity(batches.len());
        batches.iter().for_each(|(number, _)| numbers.push(*number));
        for ((number, attempted), result) in batches.drain(..).zip(results) {
            self.queues[number as usize].in_flight -= 1;
            if result.error.is_error() {
                self.refused(number, attempted, result, io, shared);
            } else {
                self.acknowledged(number, attempted, result.base_offset, io, shared);
            }
        }
        self.spare.push(batches);
        self.try_bump(io, shared);
        for number in numbers {
            self.serve(number, io, shared);
        }
        self.serve_blocked(io, shared);
    }

    fn acknowledged(
        &mut self,
        number: u32,
        attempted: Attempted,
        base: Option<u64>,
        io: &mut dyn Io,
        shared: &Shared,
    ) {
        let queue = &mut self.queues[number as usize];
        queue.sequences.acknowledged(&attempted.batch);
        let (unit, records) = (shared.names.unit(queue.id), attempted.ops.len() as u32);
        if records > 0 {
            io.emit(Output::Acked(Acked { ops: attempted.ops, unit, base: base.map(Position) }));
        }
        self.released(records, io);
    }

    fn refused(
        &mut self,
        number: u32,
        attempted: Attempted,
        result: &ProducedPartition,
        io: &mut dyn Io,
        shared: &Shared,
    ) {
        let mut meaning = outcome::of_produce(result.error);
        if result.error == ErrorCode::NotLeaderOrFollower && !shared.rules.doubt_not_leader {
            meaning.appended = Appended::NotThisTime;
        }
        if meaning.appended == Appended::Maybe && !shared.rules.resend_in_sequence {
            self.want_bump();
        }
        if result.error == ErrorCode::OutOfOrderSequenceNumber && self.settings.idempotent {
            meaning = self.out_of_order(number, &attempted, meaning);
        }
        if self.txn.is_some() {
            meaning = self.txn_meaning(meaning);
        }
        if meaning.refresh {
            if let Some(hint) = result.leader {
                self.net.metadata.learn_leader(result.id, hint);
            }
            self.net.refresh(io);
        }
        let error = outcome::error(result.error, meaning.class, "the broker refused the batch");
        let free = meaning.refresh && self.settings.library.free_retry_after_refresh
            || result.error == ErrorCode::OutOfOrderSequenceNumber;
        self.failed(number, attempted, meaning, free, error, io);
    }

    /// What an idempotent producer makes of OUT_OF_ORDER_SEQUENCE_NUMBER.
    fn out_of_order(&mut self, number: u32, attempted: &Attempted, meaning: Meaning) -> Meaning {
        let sequences = self.queues[number as usize].sequences;
        let oldest = attempted
            .batch
            .stamp
            .is_none_or(|stamp| !sequences.counts(stamp) || stamp.base_seq == sequences.acked);
        if !oldest {
            // An earlier batch failed; this one was refused because of it.
            return Meaning { again: true, appended: Appended::NotThisTime, ..meaning };
        }
        match self.settings.library.desynchronized {
            Desynchronized::Bump => {
                self.want_bump();
                Meaning { again: true, ..meaning }
            }
            Desynchronized::Fatal => meaning,
        }
    }

    /// An attempt failed: again, or given up.
    fn failed(
        &mut self,
        number: u32,
        mut attempted: Attempted,
        meaning: Meaning,
        free: bool,
        error: Error,
        io: &mut dyn Io,
    ) {
        let library = self.settings.library;
        let before = attempted.perhaps;
        attempted.perhaps |= meaning.appended == Appended::Maybe;
        if attempted.ops.is_empty() {
            // Its records have their outcome already; only the sequence is left to mend.
            return self.gave_up(&attempted);
        }
        let retries = attempted.retries + u32::from(!free);
        if meaning.again && attempted.created + library.delivery_timeout <= io.now() {
            return self.time_up(&attempted, io);
        }
        if meaning.again && retries <= library.retries {
            attempted.retries = retries;
            attempted.not_before = io.now() + back_off(library.retry, &attempted, io);
            attempted.failures += 1;
            let resend = if self.settings.idempotent { Resend::InOrder } else { library.resend };
            let queue = &mut self.queues[number as usize];
            queue.sequences.draining = self.settings.idempotent;
            io.mark(Mark::BatchSentAgain);
            return queue.put_back(attempted, resend);
        }
        let is_fatal = meaning.class == ErrorClass::Fatal && self.settings.idempotent;
        let outcome = outcome::given_up(error.clone(), meaning.appended, before);
        self.tell(&attempted.ops, &outcome, io);
        if is_fatal {
            // The records are told what the broker said, everybody else what the library makes of it.
            let error = if self.txn.is_some() { self.txn_error(error, meaning.code) } else { error };
            self.finish(error, io);
        } else {
            self.gave_up(&attempted);
        }
    }

    /// The time of a batch that was sent before is up.
    pub(super) fn time_up(&mut self, attempted: &Attempted, io: &mut dyn Io) {
        let error = self.timeout_error("its time was up; an attempt may have gone through");
        let outcome = outcome::given_up(error, Appended::NotThisTime, attempted.perhaps);
        self.tell(&attempted.ops, &outcome, io);
        self.gave_up(attempted);
    }

    /// A batch that was sent before is dropped with its transaction.
    pub(super) fn dropped(&mut self, attempted: &Attempted, error: &Error, io: &mut dyn Io) {
        let outcome = outcome::given_up(error.clone(), Appended::NotThisTime, attempted.perhaps);
        self.tell(&attempted.ops, &outcome, io);
        self.gave_up(attempted);
    }

    /// A batch that had sequence numbers will not be sent again: they are missing from now on.
    fn gave_up(&mut self, attempted: &Attempted) {
        if attempted.batch.stamp.is_some() && !self.txn_gave_up() {
            self.want_bump();
        }
    }

    /// The producer is finished: nothing that waits will be sent.
    pub(super) fn finish(&mut self, error: Error, io: &mut dyn Io) {
        self.fatal = Some(error.clone());
        self.txn_finished(&error, io);
        for number in 0..self.queues.len() {
            let ops = self.queues[number].expire_waiting(Time::MAX);
            self.tell(&ops, &Outcome::Fail(error.clone()), io);
            for attempted in self.queues[number].expire_again(Time::MAX) {
                let outcome = outcome::given_up(error.clone(), Appended::NotThisTime, attempted.perhaps);
                self.tell(&attempted.ops, &outcome, io);
            }
        }
        io.emit(Output::Room(io.node()));
    }

    /// A connection is gone, and with it the answers to what was in flight. If one of them was late, all of them are
    /// called that.
    pub(super) fn connection_lost(&mut self, lost: Lost<Asked>, io: &mut dyn Io, shared: &Shared) {
        let Lost { slot, timed_out, requests, .. } = lost;
        let error = if timed_out {
            self.timeout_error("a response did not come in time")
        } else {
            let code = self.settings.library.transport_code;
            Error::new(ErrorClass::Retriable, code, "the connection to the broker broke")
        };
        let meaning = Meaning {
            code: ErrorCode::None,
            again: true,
            refresh: true,
            appended: Appended::Maybe,
            class: ErrorClass::Retriable,
        };
        for request in requests {
            match request {
                Asked::ProducerId => self.standing = Standing::Wanted,
                Asked::Txn(step) => self.txn_unanswered(&step, io),
                Asked::Produce(batches) => {
                    self.windows[slot as usize] -= 1;
                    for (number, attempted) in batches {
                        self.queues[number as usize].in_flight -= 1;
                        self.failed(number, attempted, meaning, false, error.clone(), io);
                    }
                }
            }
        }
        if slot == self.net.conns.coordinator() {
            self.txn_coordinator_lost(io);
        }
        self.ask_identity(io);
        self.try_bump(io, shared);
        self.serve_all(io, shared);
        self.serve_blocked(io, shared);
    }

    /// Java: what is in flight when its time is up has its outcome, whatever the broker still says.
    pub(super) fn expire_in_flight(&mut self, oldest: Time, io: &mut dyn Io) {
        if self.settings.library.timed_out != TimedOut::ForgetBatch {
            return;
        }
        let error = self.timeout_error("its time was up while a request was in flight");
        let mut ops: Vec<OpId> = Vec::new();
        for what in self.net.conns.in_flight_mut() {
            if let What::Client(Asked::Produce(batches)) = what {
                for (_, attempted) in batches {
                    if attempted.created <= oldest {
                        ops.extend(std::mem::take(&mut attempted.ops));
                    }
                }
            }
        }
        if !ops.is_empty() {
            self.txn_lacks_a_record();
        }
        self.tell(&ops, &Outcome::Unknown(error, None), io);
    }

    /// When the oldest record in flight was handed over, if its time matters.
    pub(super) fn oldest_in_flight(&mut self) -> Option<Time> {
        if self.settings.library.timed_out != TimedOut::ForgetBatch {
            return None;
        }
        let batches = self.net.conns.in_flight_mut().filter_map(|what| match what {
            What::Client(Asked::Produce(batches)) => Some(&*batches),
            _ => None,
        });
        let pending = batches.flatten().filter(|(_, attempted)| !attempted.ops.is_empty());
        pending.map(|(_, attempted)| attempted.created).min()
    }

    fn want_bump(&mut self) {
        if let Standing::Have(identity) = self.standing {
            self.standing = Standing::Bumping(identity);
        }
    }

    /// Bumps the epoch, if that is wanted and nothing is in flight.
    pub(super) fn try_bump(&mut self, io: &mut dyn Io, shared: &Shared) {
        let Standing::Bumping(identity) = self.standing else { return };
        if self.queues.iter().any(|queue| queue.in_flight > 0) {
            return;
        }
        io.mark(Mark::ProducerEpochBumped);
        match (self.settings.library.next_epoch, identity.epoch.checked_add(1)) {
            (NextEpoch::Own, Some(epoch)) => {
                self.standing = Standing::Have(Identity { epoch, ..identity });
                self.serve_all(io, shared);
            }
            (NextEpoch::Own | NextEpoch::FromBroker, _) => {
                self.standing = Standing::Wanted;
                self.ask_identity(io);
            }
        }
    }

    /// Asks for a producer id, if one is wanted and a broker is up.
    pub(super) fn ask_identity(&mut self, io: &mut dyn Io) {
        if self.standing != Standing::Wanted {
            return;
        }
        if let Some(slot) = self.net.any_up(io) {
            self.standing = Standing::Waiting;
            let timeout = self.net.request_timeout();
            let what = What::Client(Asked::ProducerId);
            self.net.conns.send(slot, RequestBody::InitProducerId, what, timeout, io);
        }
    }
}

/// How long a batch waits before it is sent again; drawn by its first record and the attempt.
fn back_off(rule: Backoff, attempted: &Attempted, io: &dyn Io) -> std::time::Duration {
    let entity = records(&attempted.batch).first().map_or(0, partitioner::content);
    let drawn = io.choices().draw(RETRY, entity, u64::from(attempted.failures)) as u32;
    rule.delay(attempted.failures, drawn)
}
