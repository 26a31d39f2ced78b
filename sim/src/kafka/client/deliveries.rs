//! Records whose time is up, or whose transaction will be aborted: what a producer gives up.

use super::super::Shared;
use super::{Io, Timer, batch::Queue, connections::next_scan, producer::Producer};
use crate::model::OpId;
use squall_bus::{Error, ErrorClass, Outcome, Time};

impl Producer {
    /// Sees to it that somebody looks when the time of a record handed over at `created` is up.
    pub(super) fn watch_deliveries(&mut self, created: Time, io: &mut dyn Io) {
        if self.deliveries_at.is_some() && created >= self.deliveries_since {
            return;
        }
        let library = &self.settings.library;
        let start = self.started.unwrap_or(created);
        let at = next_scan(start, created + library.delivery_timeout, library.delivery_scan);
        if self.deliveries_at.is_none_or(|armed| at < armed) {
            (self.deliveries_at, self.deliveries_since) = (Some(at), created);
            io.timer(at.since(io.now()), Timer::Deliveries);
        }
    }

    /// Drops everything that is not in flight: its transaction will be aborted.
    pub(super) fn purge(&mut self, io: &mut dyn Io) {
        let code = self.settings.library.purged_code;
        let error = Error::new(ErrorClass::Retriable, code, "the transaction of the record is aborted");
        for number in 0..self.queues.len() {
            let ops = self.queues[number].expire_waiting(Time::MAX);
            self.tell(&ops, &Outcome::Fail(error.clone()), io);
            for attempted in self.queues[number].expire_again(Time::MAX) {
                self.dropped(&attempted, &error, io);
            }
        }
        for place in 0..self.topics.len() {
            let ops: Vec<OpId> = self.topics[place].unassigned.drain(..).map(|waiting| waiting.op).collect();
            self.tell(&ops, &Outcome::Fail(error.clone()), io);
        }
    }

    /// Gives up every record whose time is up.
    pub(super) fn deliveries(&mut self, io: &mut dyn Io, shared: &Shared) {
        let now = io.now();
        if self.deliveries_at.is_some_and(|at| at > now) {
            return;
        }
        self.deliveries_at = None;
        let timeout = self.settings.library.delivery_timeout;
        if let Some(oldest) = now.0.checked_sub(timeout.as_nanos() as u64).map(Time) {
            self.expire(oldest, io);
            self.expire_in_flight(oldest, io);
        }
        let queued = self.queues.iter().filter_map(Queue::oldest).min();
        let unassigned =
            self.topics.iter().filter_map(|topic| topic.unassigned.front()).map(|w| w.created).min();
        if let Some(oldest) = queued.into_iter().chain(unassigned).chain(self.oldest_in_flight()).min() {
            self.watch_deliveries(oldest, io);
        }
        self.try_bump(io, shared);
        self.txn_after_losses(io, shared);
    }

    fn expire(&mut self, oldest: Time, io: &mut dyn Io) {
        let error = self.timeout_error("its time was up before it was sent");
        for number in 0..self.queues.len() {
            let ops = self.queues[number].expire_waiting(oldest);
            self.never_sent(&ops, &error, io);
            for attempted in self.queues[number].expire_again(oldest) {
                self.time_up(&attempted, io);
            }
        }
        for place in 0..self.topics.len() {
            let unassigned = &mut self.topics[place].unassigned;
            let old = unassigned.partition_point(|waiting| waiting.created <= oldest);
            let ops: Vec<OpId> = unassigned.drain(..old).map(|waiting| waiting.op).collect();
            self.never_sent(&ops, &error, io);
        }
    }

    /// The time of these records was up before they were sent.
    fn never_sent(&mut self, ops: &[OpId], error: &Error, io: &mut dyn Io) {
        if !ops.is_empty() {
            self.txn_lacks_a_record();
        }
        self.tell(ops, &Outcome::Fail(error.clone()), io);
    }

    pub(super) fn timeout_error(&self, message: &str) -> Error {
        Error::new(ErrorClass::Retriable, self.settings.library.timeout_code, message)
    }
}
