//! The records of a producer that are on their way: how many there may be, who waits for room, and who waits for
//! a flush.
//!
//! Room is counted from `send` to the outcome. A flush waits for exactly the records that were sent before it.
//! After a crash outcomes are dropped: nobody learns them.

use squall_bus::{Ack, BoxFuture, Completer, Error, Outcome, Pending, Sending};
use std::{
    collections::BTreeMap,
    future::poll_fn,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

/// What is on its way.
pub(crate) struct Flight {
    most: u32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Records without an outcome, by the flushes that there had been.
    waiting: BTreeMap<u64, u32>,
    count: u32,
    flushes: u64,
    wakers: Vec<Waker>,
    crashed: bool,
}

/// A record that is on its way: it has to land.
pub(crate) struct Ticket {
    completer: Completer<Outcome<Ack>>,
    /// How many flushes there had been.
    flushes: u64,
}

impl Flight {
    /// Room for so many.
    pub(crate) fn new(most: u32) -> Self {
        Self { most: most.max(1), state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for one more; `None` when there is none.
    pub(crate) fn take_off(&self) -> Option<(Ticket, Sending)> {
        let mut state = self.lock();
        if state.count >= self.most {
            return None;
        }
        state.count += 1;
        let flushes = state.flushes;
        *state.waiting.entry(flushes).or_default() += 1;
        let (completer, sending) = Pending::pair();
        Some((Ticket { completer, flushes }, sending))
    }

    /// A record has its outcome.
    pub(crate) fn land(&self, ticket: Ticket, outcome: Outcome<Ack>) {
        let mut state = self.lock();
        let was_full = state.count >= self.most;
        state.count -= 1;
        let is_last = state.waiting.get_mut(&ticket.flushes).is_some_and(|waiting| {
            *waiting -= 1;
            *waiting == 0
        });
        if is_last {
            state.waiting.remove(&ticket.flushes);
        }
        let wakers = if was_full || is_last { std::mem::take(&mut state.wakers) } else { Vec::new() };
        let crashed = state.crashed;
        drop(state);
        // A crashed process never learns its outcomes.
        let waker = if crashed { None } else { ticket.completer.complete(outcome) };
        waker.into_iter().chain(wakers).for_each(Waker::wake);
    }

    /// Nothing that waits gets an outcome any more.
    pub(crate) fn crash(&self) {
        let mut state = self.lock();
        state.crashed = true;
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Whether the process has crashed.
    #[cfg(feature = "nats")]
    pub(crate) fn has_crashed(&self) -> bool {
        self.lock().crashed
    }

    /// Ready when there is room.
    pub(crate) fn poll_ready(&self, cx: &Context<'_>) -> Poll<Result<(), Error>> {
        self.poll(cx, |state| state.count < self.most)
    }

    /// Resolves when what was sent so far has its outcome.
    pub(crate) fn flush(&self) -> BoxFuture<'_, Result<(), Error>> {
        let mut state = self.lock();
        state.flushes += 1;
        let before = state.flushes;
        drop(state);
        let is_done =
            move |state: &State| state.waiting.first_key_value().is_none_or(|(first, _)| *first >= before);
        Box::pin(poll_fn(move |cx| self.poll(cx, is_done)))
    }

    fn poll(&self, cx: &Context<'_>, is_done: impl Fn(&State) -> bool) -> Poll<Result<(), Error>> {
        let mut state = self.lock();
        if state.crashed {
            return Poll::Ready(Err(Error::closed()));
        }
        if is_done(&state) {
            return Poll::Ready(Ok(()));
        }
        if !state.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.wakers.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;

    fn is_ready(poll: Poll<Result<(), Error>>) -> bool {
        matches!(poll, Poll::Ready(Ok(())))
    }

    fn unknown() -> Outcome<Ack> {
        Outcome::Unknown(Error::closed(), None)
    }

    #[test]
    fn a_flush_waits_for_what_was_sent_before_it_and_room_comes_with_outcomes() {
        let (flight, mut cx) = (Flight::new(2), Context::from_waker(Waker::noop()));
        let (before, _sending) = flight.take_off().expect("room");
        let mut flush = flight.flush();
        let (after, _sending) = flight.take_off().expect("room");
        assert!(flight.take_off().is_none() && flight.poll_ready(&cx).is_pending());
        assert!(flush.as_mut().poll(&mut cx).is_pending());
        flight.land(before, unknown());
        assert!(is_ready(flush.as_mut().poll(&mut cx)) && is_ready(flight.poll_ready(&cx)));
        flight.land(after, unknown());
    }

    #[test]
    fn after_a_crash_nobody_learns_an_outcome() {
        let (flight, mut cx) = (Flight::new(2), Context::from_waker(Waker::noop()));
        let (ticket, sending) = flight.take_off().expect("room");
        flight.crash();
        flight.land(ticket, unknown());
        assert!(pin!(sending).poll(&mut cx).is_pending());
        assert_eq!(flight.poll_ready(&cx), Poll::Ready(Err(Error::closed())));
    }
}
