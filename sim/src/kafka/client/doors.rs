//! What a consumer hands to its caller, and when.
//!
//! Records and events reach the caller through two doors, and their order matters: a unit's records come after
//! its `Assigned` and never after its `Revoked` or `Lost`. So
//!
//! - when units are taken away, what was fetched from them and not handed out is dropped at once;
//! - while an assignment event has not been taken, no record is handed out;
//! - `Revoked` and `Lost` are dealt with when the caller comes back for the next event: until then it can still
//!   commit, and the member does not rejoin;
//! - a caller that asks for records only, and takes no events for [`GRACE`], is taken not to care about them.
//!
//! A caller that holds a record and does not ask for another one within `max.poll.interval.ms` loses its
//! membership. A caller that waits for a record is asking.

use super::super::Shared;
use super::{Io, Timer, consumer::Consumer, group::Phase};
use crate::model::Output;
use squall_bus::{ConsumerEvent, Delivery, Error, ErrorClass, Position};
use std::{task::Poll, time::Duration};

/// How long a caller may ask for records without taking an assignment event before it is taken not to care.
pub(super) const GRACE: Duration = Duration::from_millis(50);

/// How far the caller is with assignment events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Barrier {
    /// How many wait to be taken.
    queued: u32,
    /// Whether the caller took `Revoked` or `Lost` and has not come back.
    dealing: bool,
    /// Counts barriers, so that an old timer does not open a new one.
    number: u32,
    /// Whether the timer runs.
    armed: bool,
}

impl Barrier {
    fn is_closed(&self) -> bool {
        self.queued > 0 || self.dealing
    }
}

impl Consumer {
    /// The next record for the caller.
    pub(super) fn take_record(&mut self, io: &mut dyn Io, shared: &Shared) -> Poll<Result<Delivery, Error>> {
        if let Some(error) = &self.fatal {
            return Poll::Ready(Err(error.clone()));
        }
        self.polled();
        if self.barrier.is_closed() {
            if !std::mem::replace(&mut self.barrier.armed, true) {
                self.barrier.number += 1;
                io.timer(GRACE, Timer::Grace(self.barrier.number));
            }
            return Poll::Pending;
        }
        if self.ready.is_empty() {
            return Poll::Pending;
        }
        self.asking = false;
        self.last_poll = io.now();
        if !self.poll_armed && self.member.is_some() {
            self.watch_polls(io);
        }
        let was_full = self.ready_records >= self.settings.config.prefetch;
        self.ready_records -= 1;
        if was_full && self.ready_records < self.settings.config.prefetch {
            self.fetch(io);
        }
        self.hand_out(shared)
    }

    /// The caller asks for a record, so it is done with the one before.
    fn polled(&mut self) {
        self.asking = true;
        self.done_with_held();
    }

    pub(super) fn done_with_held(&mut self) {
        if let Some(place) = self.holding.take()
            && let Some(reading) = self.units.get_mut(place as usize)
        {
            reading.done = reading.handed;
        }
    }

    // Where it is called, and as it is returned: a delivery is large, and not moved on its way.
    #[inline(always)]
    fn hand_out(&mut self, shared: &Shared) -> Poll<Result<Delivery, Error>> {
        let Some(chunk) = self.ready.front_mut() else { return Poll::Pending };
        let place = chunk.unit;
        let reading = &mut self.units[place as usize];
        let unit = shared.names.unit(reading.id);
        let next = chunk.next();
        self.tags += 1;
        reading.handed = Some(next.offset + 1);
        reading.handed_epoch = Some(next.epoch);
        self.holding = Some(place);
        let delivery = Delivery {
            record: next.record(unit.partition),
            unit,
            position: Position(next.offset),
            attempt: None,
            tag: self.tags,
        };
        if chunk.is_empty() {
            self.ready.pop_front();
        }
        Poll::Ready(Ok(delivery))
    }

    /// The next event for the caller.
    pub(super) fn take_event(&mut self, io: &mut dyn Io) -> Option<ConsumerEvent> {
        if self.barrier.dealing {
            self.barrier.dealing = false;
            if self.barrier.queued == 0 {
                self.open_barrier(io);
            }
        }
        let event = self.events.pop_front()?;
        if self.barrier.queued > 0 {
            match event {
                ConsumerEvent::Assigned(_) => self.barrier.queued -= 1,
                ConsumerEvent::Revoked(_) | ConsumerEvent::Lost(_) => {
                    self.barrier.queued -= 1;
                    self.barrier.dealing = true;
                }
                ConsumerEvent::Reset { .. } | ConsumerEvent::Exhausted(_) | ConsumerEvent::Error(_) => {}
            }
            if !self.barrier.is_closed() {
                self.open_barrier(io);
            }
        }
        Some(event)
    }

    /// The caller has dealt with every assignment event, or does not care.
    fn open_barrier(&mut self, io: &mut dyn Io) {
        self.barrier = Barrier { number: self.barrier.number + 1, ..Barrier::default() };
        if let Some(member) = &mut self.member
            && member.phase == Phase::Releasing
        {
            if member.epochs.is_some() {
                self.epoch_released();
            } else {
                member.phase = Phase::Join;
            }
        }
        if !self.ready.is_empty() {
            io.emit(Output::Readable(io.node()));
        }
        self.go_on(io);
    }

    /// A caller that asked for a record while this barrier was closed has had its time: it is asking still, since the
    /// barrier has not been opened.
    pub(super) fn grace_over(&mut self, number: u32, io: &mut dyn Io) {
        if self.barrier.number == number {
            self.open_barrier(io);
        }
    }

    /// Tells the caller that units came or went.
    pub(super) fn tell_assignment(&mut self, event: ConsumerEvent, io: &mut dyn Io) {
        self.barrier.queued += 1;
        self.tell(event, io);
    }

    /// The member has nothing to hand back, but must not rejoin before its caller is heard of.
    pub(super) fn await_caller(&mut self) {
        self.barrier.dealing = true;
    }

    /// Sees to it that somebody looks whether the caller has been away for too long.
    pub(super) fn watch_polls(&mut self, io: &mut dyn Io) {
        if !std::mem::replace(&mut self.poll_armed, true) {
            let at = self.last_poll + self.settings.library.max_poll_interval;
            io.timer(at.since(io.now()), Timer::Poll);
        }
    }

    pub(super) fn look_at_polls(&mut self, io: &mut dyn Io, shared: &Shared) {
        self.poll_armed = false;
        if self.asking {
            return;
        }
        let most = self.settings.library.max_poll_interval;
        if io.now().since(self.last_poll) < most {
            return self.watch_polls(io);
        }
        let message = format!("no record was asked for in {most:?}: the member leaves its group");
        self.report(Error::new(ErrorClass::Retriable, "_MAX_POLL_EXCEEDED", message), io);
        self.away_too_long(io, shared);
    }
}
