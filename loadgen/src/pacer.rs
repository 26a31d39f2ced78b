//! Pacing: emits each arrival at its intended time, on any clock.
//!
//! - The schedule is never shifted and no arrival is skipped. Who is late emits everything that is due, at
//!   once, each with its own intended time.
//! - The clock is read, and slept on, only when the next arrival is not yet due by the last reading. A clock with
//!   a grain of 1 ms (tokio's timers) thus wakes once for a batch and not once for each record.
//! - In a long batch it lets other tasks run now and then: the acks of what was sent must be seen in time.

use crate::Arrival;
use squall_bus::{Clock, Time};
use std::{fmt, future::poll_fn, sync::Arc, task::Poll, time::Duration};

/// So many arrivals are emitted in a row before other tasks get a turn.
const TURN: u32 = 128;

/// An arrival that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Its number in the schedule, from 0.
    pub ordinal: u64,
    /// When it was meant to be sent: what its latency counts from.
    pub intended: Time,
    /// How much too late the clock woke the pacer for it; `None` when the pacer did not sleep for it, because it
    /// was due already. This is the generator's own error; being late for other reasons is back-pressure.
    pub overslept: Option<Duration>,
}

/// Emits a schedule's arrivals in time.
pub struct Pacer<I> {
    clock: Arc<dyn Clock>,
    start: Time,
    now: Time,
    arrivals: I,
    in_a_row: u32,
}

impl<I: Iterator<Item = Arrival>> Pacer<I> {
    /// A pacer of a schedule that starts at `start`, which may be past or future.
    pub fn new(clock: Arc<dyn Clock>, start: Time, arrivals: I) -> Self {
        Self { clock, start, now: Time::ZERO, arrivals, in_a_row: 0 }
    }

    /// Waits until the next arrival is due; `None` at the schedule's end. Dropping the future after it began to
    /// wait loses that arrival.
    pub async fn next(&mut self) -> Option<Due> {
        let arrival = self.arrivals.next()?;
        let intended = self.start + arrival.at;
        if intended > self.now {
            self.now = self.clock.now();
        }
        let overslept = if intended > self.now {
            self.in_a_row = 0;
            Some(self.sleep_until(intended).await)
        } else {
            self.give_way().await;
            None
        };
        Some(Due { ordinal: arrival.ordinal, intended, overslept })
    }

    async fn sleep_until(&mut self, intended: Time) -> Duration {
        self.clock.sleep_until(intended).await;
        self.now = self.clock.now();
        self.now.since(intended)
    }

    async fn give_way(&mut self) {
        self.in_a_row += 1;
        if self.in_a_row == TURN {
            self.in_a_row = 0;
            let mut gave_way = false;
            poll_fn(|cx| {
                if std::mem::replace(&mut gave_way, true) {
                    return Poll::Ready(());
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
        }
    }
}

impl<I> fmt::Debug for Pacer<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pacer").field("start", &self.start).finish_non_exhaustive()
    }
}
