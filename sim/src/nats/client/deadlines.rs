//! What a client waits for until some time: one set, one timer.

use super::{Io, Timer};
use squall_bus::Time;
use std::collections::BTreeSet;

/// What becomes due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Due {
    /// A question's answer, or the time to ask it again.
    Question(u32),
    /// The ack of a publish, by its inbox.
    Attempt(u64),
    /// The time to send a record again, by its number.
    Again(u64),
    /// The end of a record's time.
    Bound(u64),
    /// The confirmation of an ack, by its inbox.
    Ack(u64),
    /// A look at a pull, by its place and the number of the look.
    Pull(u32, u32),
}

/// Deadlines of a client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deadlines {
    waiting: BTreeSet<(Time, Due)>,
    /// When the next timer fires.
    armed: Option<Time>,
}

impl Deadlines {
    /// Waits with `what` until `at`.
    pub(crate) fn add(&mut self, at: Time, what: Due, io: &mut dyn Io) {
        self.waiting.insert((at, what));
        self.arm(io);
    }

    /// No longer waits with `what`, which was to be due at `at`.
    pub(crate) fn remove(&mut self, at: Time, what: Due) {
        self.waiting.remove(&(at, what));
    }

    /// The timer has fired.
    pub(crate) fn fired(&mut self, io: &mut dyn Io) {
        if self.armed.is_some_and(|at| at <= io.now()) {
            self.armed = None;
        }
    }

    /// Takes the next thing that is due; arms the timer when there is none.
    pub(crate) fn next_due(&mut self, io: &mut dyn Io) -> Option<Due> {
        if let Some((at, what)) = self.waiting.first().copied()
            && at <= io.now()
        {
            self.waiting.pop_first();
            return Some(what);
        }
        self.arm(io);
        None
    }

    fn arm(&mut self, io: &mut dyn Io) {
        if let Some((at, _)) = self.waiting.first()
            && self.armed.is_none_or(|armed| *at < armed)
        {
            self.armed = Some(*at);
            io.timer(at.since(io.now()), Timer::Due);
        }
    }
}
