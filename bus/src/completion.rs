//! A value that arrives once: the [`Completer`] gives it, the [`Pending`] future yields it.
//!
//! The one completion primitive of all buses: one allocation, `std` wakers only. A `Completer` that is
//! dropped without a value leaves its `Pending` unresolved for ever: that is how a crashed process looks to
//! its own leaked tasks. Whoever drops a live operation must complete it first.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
};

type Look<T> = Box<dyn FnOnce(&T) + Send>;

enum Slot<T> {
    Empty,
    Full(T),
    Taken,
}

struct State<T> {
    slot: Slot<T>,
    /// Looks at the value on its way.
    look: Option<Look<T>>,
    waiter: Option<Waker>,
}

impl<T> State<T> {
    const fn new(slot: Slot<T>) -> Self {
        Self { slot, look: None, waiter: None }
    }

    /// Shows the value to who looks, once it is there.
    fn show(&mut self) {
        if let Slot::Full(value) = &self.slot
            && let Some(look) = self.look.take()
        {
            look(value);
        }
    }
}

struct Shared<T>(Mutex<State<T>>);

impl<T> Shared<T> {
    fn new(slot: Slot<T>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State::new(slot))))
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows the value to who looks, then wakes who waits.
impl<T: Send> Wake for Shared<T> {
    fn wake(self: Arc<Self>) {
        let mut state = self.lock();
        state.show();
        let waiter = state.waiter.take();
        drop(state);
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}

/// Gives the value.
pub struct Completer<T>(Arc<Shared<T>>);

/// Yields the value.
#[must_use = "the outcome of an operation is known only to who awaits it"]
pub struct Pending<T>(Arc<Shared<T>>);

impl<T: Send + 'static> Completer<T> {
    /// Gives the value and returns the waker of who waits for it or looks at it, so that the caller can wake outside
    /// of its own locks.
    #[must_use = "wake it, once no lock is held"]
    pub fn complete(self, value: T) -> Option<Waker> {
        let mut state = self.0.lock();
        state.slot = Slot::Full(value);
        if state.look.is_none() {
            return state.waiter.take();
        }
        drop(state);
        Some(Waker::from(self.0))
    }
}

impl<T> Pending<T> {
    /// A completer and its future.
    pub fn pair() -> (Completer<T>, Self) {
        let shared = Shared::new(Slot::Empty);
        (Completer(Arc::clone(&shared)), Self(shared))
    }

    /// A future that is done.
    pub fn done(value: T) -> Self {
        Self(Shared::new(Slot::Full(value)))
    }
}

impl<T: 'static> Pending<T> {
    /// Looks at the value when it comes, before who awaits it has it, and though nobody does. Buses wake outside of
    /// their locks, so `look` may ask the bus for the time; it must not await this.
    pub fn seen_by(self, look: impl FnOnce(&T) + Send + 'static) -> Self {
        let mut state = self.0.lock();
        state.look = Some(match state.look.take() {
            None => Box::new(look),
            Some(first) => Box::new(|value| {
                first(value);
                look(value);
            }),
        });
        state.show();
        drop(state);
        self
    }
}

impl<T> Future for Pending<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut state = self.0.lock();
        state.show();
        match mem::replace(&mut state.slot, Slot::Taken) {
            Slot::Full(value) => Poll::Ready(value),
            Slot::Empty => {
                state.slot = Slot::Empty;
                if !state.waiter.as_ref().is_some_and(|waiter| waiter.will_wake(cx.waker())) {
                    state.waiter = Some(cx.waker().clone());
                }
                Poll::Pending
            }
            Slot::Taken => Poll::Pending,
        }
    }
}

impl<T> fmt::Debug for Completer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Completer")
    }
}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pending")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Count(AtomicUsize);
    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn wakes_who_waits_and_yields_once() {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&waker);
        let (completer, mut pending) = Pending::pair();
        assert_eq!(Pin::new(&mut pending).poll(&mut cx), Poll::Pending);
        completer.complete(7).expect("somebody waits").wake();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert_eq!(Pin::new(&mut pending).poll(&mut cx), Poll::Ready(7));
        assert_eq!(Pin::new(&mut pending).poll(&mut cx), Poll::Pending);
    }

    #[test]
    fn a_value_is_seen_though_nobody_awaits_it() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let look = |name| {
            let seen = Arc::clone(&seen);
            move |value: &u32| seen.lock().unwrap().push((name, *value))
        };
        let (completer, pending) = Pending::pair();
        drop(pending.seen_by(look("first")).seen_by(look("second")));
        let waker = completer.complete(7).expect("two look");
        assert!(seen.lock().unwrap().is_empty(), "within the locks of who completes");
        waker.wake();
        assert_eq!(*seen.lock().unwrap(), [("first", 7), ("second", 7)]);
    }

    #[test]
    fn who_looks_sees_it_before_who_waits_and_once() {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&waker);
        let seen = Arc::new(AtomicUsize::new(0));
        let looked = Arc::clone(&seen);
        let (completer, pending) = Pending::pair();
        let mut pending = pending.seen_by(move |_| {
            looked.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(Pin::new(&mut pending).poll(&mut cx), Poll::Pending);
        let woken = completer.complete(7).expect("somebody waits");
        assert_eq!(Pin::new(&mut pending).poll(&mut cx), Poll::Ready(7), "polled before it was woken");
        assert_eq!(seen.load(Ordering::Relaxed), 1);
        woken.wake();
        assert_eq!((seen.load(Ordering::Relaxed), count.0.load(Ordering::Relaxed)), (1, 1));
        let looked = Arc::clone(&seen);
        let mut done = Pending::done(5).seen_by(move |value| looked.store(*value, Ordering::Relaxed));
        assert_eq!(seen.load(Ordering::Relaxed), 5, "what is there already is seen at once");
        assert_eq!(Pin::new(&mut done).poll(&mut cx), Poll::Ready(5));
    }

    #[test]
    fn nobody_to_wake_when_nobody_waits() {
        let (completer, pending) = Pending::pair();
        assert!(completer.complete(1).is_none());
        let mut pending = pending;
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(Pin::new(&mut pending).poll(&mut cx), Poll::Ready(1));
    }
}
