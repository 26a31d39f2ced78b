//! What goes wrong in transactions: batches and positions that are refused, answers that never come.

use super::{Phase, Step};
use crate::{
    kafka::{
        Shared,
        client::{
            Io, Timer,
            defaults::FencedWrite,
            outcome::{self, Appended, Meaning},
            own,
            producer::Producer,
        },
        error::ErrorCode,
    },
    kernel::Site,
    model::Output,
};
use squall_bus::{Error, ErrorClass, Outcome, Time};
use std::time::Duration;

const BACK_OFF: Site = Site::new("kafka.client.txn-backoff");

impl Producer {
    /// The transaction can only be aborted.
    pub(in crate::kafka::client) fn txn_failed(&mut self, error: Error, io: &mut dyn Io, shared: &Shared) {
        let Some(txn) = &mut self.txn else { return };
        if matches!(txn.phase, Phase::Open | Phase::Ending { commit: true }) && txn.failed.is_none() {
            txn.failed = Some(error.clone());
        }
        if let Some(positions) = txn.positions.take() {
            let outcome = outcome::given_up(error.clone(), Appended::NotThisTime, positions.perhaps);
            io.emit(Output::Done(positions.op, outcome));
        }
        if txn.phase == (Phase::Ending { commit: true }) && !txn.perhaps {
            txn.phase = Phase::Open;
            if let Some((op, _)) = txn.waiting.take() {
                io.emit(Output::Done(op, Outcome::Fail(error)));
            }
        }
        self.txn_step(io, shared);
    }

    /// A batch's sequence numbers are missing from now on.
    pub(in crate::kafka::client) fn txn_gave_up(&mut self) -> bool {
        self.txn_lacks_a_record();
        let Some(txn) = &mut self.txn else { return false };
        txn.needs_bump = true;
        true
    }

    /// A record was given up: what was to be one transaction with it can only be aborted.
    pub(in crate::kafka::client) fn txn_lacks_a_record(&mut self) {
        let Some(txn) = &mut self.txn else { return };
        if txn.failed.is_none() && txn.phase != (Phase::Ending { commit: false }) {
            let message = "a record of the transaction was not delivered: abort";
            txn.failed = Some(Error::new(ErrorClass::Refused, "_INCONSISTENT", message));
        }
    }

    /// Records were given up: what that means for a transaction that ends.
    pub(in crate::kafka::client) fn txn_after_losses(&mut self, io: &mut dyn Io, shared: &Shared) {
        if self.txn.as_ref().is_some_and(|txn| txn.failed.is_some()) {
            self.txn_step(io, shared);
        }
    }

    /// A commit whose transaction failed before the coordinator was asked fails too: only an abort is left.
    pub(super) fn txn_refuse_commit(&mut self, io: &mut dyn Io) {
        let Some(txn) = &mut self.txn else { return };
        let asks = txn.in_flight || txn.perhaps;
        if let (Phase::Ending { commit: true }, false, Some(error)) = (txn.phase, asks, &txn.failed) {
            let error = error.clone();
            txn.phase = Phase::Open;
            if let Some((op, _)) = txn.waiting.take() {
                io.emit(Output::Done(op, Outcome::Fail(error)));
            }
        }
    }

    /// What an error of a batch means within a transaction; the transaction fails with it, unless it may pass.
    pub(in crate::kafka::client) fn txn_meaning(&mut self, meaning: Meaning) -> Meaning {
        let abortable = self.settings.library.fenced_write == FencedWrite::Abortable;
        let Some(txn) = &mut self.txn else { return meaning };
        let meaning = match meaning.code {
            ErrorCode::InvalidProducerEpoch if abortable => Meaning { class: ErrorClass::Refused, ..meaning },
            ErrorCode::OutOfOrderSequenceNumber if !meaning.again => {
                Meaning { class: ErrorClass::Refused, ..meaning }
            }
            _ => meaning,
        };
        if !meaning.again && meaning.class != ErrorClass::Fatal && txn.failed.is_none() {
            let message = "the broker refused a batch of the transaction: abort";
            txn.failed = Some(outcome::error(meaning.code, meaning.class, message));
        }
        meaning
    }

    /// Whoever waits for something of the transactions hears that the producer is finished.
    pub(in crate::kafka::client) fn txn_finished(&mut self, error: &Error, io: &mut dyn Io) {
        let Some(txn) = &mut self.txn else { return };
        if let Some((op, _)) = txn.waiting.take() {
            let outcome = outcome::given_up(error.clone(), Appended::NotThisTime, txn.perhaps);
            io.emit(Output::Done(op, outcome));
        }
        if let Some(positions) = txn.positions.take() {
            let outcome = outcome::given_up(error.clone(), Appended::NotThisTime, positions.perhaps);
            io.emit(Output::Done(positions.op, outcome));
        }
    }

    /// A request about transactions whose connection is gone: it may have gone through.
    pub(in crate::kafka::client) fn txn_unanswered(&mut self, step: &Step, io: &mut dyn Io) {
        if self.is_forgotten(step) {
            return;
        }
        let Some(txn) = &mut self.txn else { return };
        *txn.under_way(step) = false;
        match step {
            Step::FindCoordinator => return self.search_unanswered(io),
            Step::End => txn.perhaps = true,
            Step::Offsets => {
                txn.group_coordinator = None;
                if let Some(positions) = &mut txn.positions {
                    positions.perhaps = true;
                }
            }
            _ => {}
        }
        self.txn_back_off(true, None, io);
    }

    pub(super) fn txn_back_off(&mut self, counts: bool, fixed: Option<Duration>, io: &mut dyn Io) {
        let rule = self.settings.library.retry;
        let Some(txn) = &mut self.txn else { return };
        let drawn = io.choices().draw(BACK_OFF, own(io.node()), txn.drawn) as u32;
        txn.drawn += 1;
        let delay = fixed.unwrap_or_else(|| rule.delay(txn.failures, drawn));
        txn.failures += u32::from(counts);
        txn.not_before = io.now() + delay;
        let at = txn.not_before;
        self.wake_txn(at, io);
    }

    pub(super) fn wake_txn(&mut self, at: Time, io: &mut dyn Io) {
        if let Some(txn) = &mut self.txn
            && txn.wake_at.is_none_or(|armed| at < armed)
        {
            txn.wake_at = Some(at);
            io.timer(at.since(io.now()), Timer::Transaction);
        }
    }

    /// Gives up what has no answer in time, and wakes again for the next.
    pub(in crate::kafka::client) fn txn_due(&mut self, io: &mut dyn Io) {
        let now = io.now();
        let Some(txn) = &mut self.txn else { return };
        if txn.wake_at.is_some_and(|at| at > now) {
            return;
        }
        txn.wake_at = None;
        let late =
            || Error::new(ErrorClass::Retriable, "_TIMED_OUT", "the coordinator did not answer in time");
        if let Some((op, _)) = txn.waiting.take_if(|(_, deadline)| *deadline <= now) {
            io.emit(Output::Done(op, Outcome::Unknown(late(), None)));
        }
        if let Some(positions) = txn.positions.take_if(|positions| positions.deadline <= now) {
            txn.failed = Some(late());
            io.emit(Output::Done(positions.op, Outcome::Unknown(late(), None)));
        }
        let next = txn.waiting.map(|(_, deadline)| deadline);
        let positions = txn.positions.as_ref().map(|positions| positions.deadline);
        let resting = Some(txn.not_before).filter(|at| *at > now);
        let search = txn.search_at.filter(|at| *at > now);
        if let Some(at) = next.into_iter().chain(positions).chain(resting).chain(search).min() {
            self.wake_txn(at, io);
        }
    }
}
