//! A value that arrives once: the [`Completer`] gives it, the [`Pending`] future yields it.
//!
//! The one completion primitive of all buses: one allocation, `std` wakers only. A `Completer` that is
//! dropped without a value leaves its `Pending` unresolved for ever: that is how a crashed process looks to
//! its own leaked tasks. Whoever drops a live operation must complete it first. A bus with many operations under way
//! at once may keep their values together instead ([`Keeper`]).

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
};

/// Looks at a value on its way.
pub type Look<T> = Box<dyn FnOnce(&T) + Send>;

/// Keeps values that [`Pending`]s [wait for](Pending::kept), each by its number, which nothing else has until the
/// value was taken or is forgotten.
pub trait Keeper<T>: Send + Sync {
    /// Takes the value; if it is not there, wakes this waker when it is.
    fn poll(&self, number: u32, waker: &Waker) -> Poll<T>;
    /// Shows the value to `look` when it comes, or now if it is there: see [`Pending::seen_by`].
    fn seen_by(self: Arc<Self>, number: u32, look: Look<T>);
    /// Nobody waits for the value any more; who looks at it still does.
    fn forget(&self, number: u32);
}

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
pub struct Pending<T>(Place<T>);

/// Where a value arrives.
enum Place<T> {
    Own(Arc<Shared<T>>),
    Kept(Arc<dyn Keeper<T>>, u32),
    /// It was taken.
    Taken,
}

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
        (Completer(Arc::clone(&shared)), Self(Place::Own(shared)))
    }

    /// A future that is done.
    pub fn done(value: T) -> Self {
        Self(Place::Own(Shared::new(Slot::Full(value))))
    }

    /// The future of a value that is kept elsewhere, under this number.
    pub fn kept(keeper: Arc<dyn Keeper<T>>, number: u32) -> Self {
        Self(Place::Kept(keeper, number))
    }
}

impl<T: 'static> Pending<T> {
    /// Looks at the value when it comes, before who awaits it has it, and though nobody does. Buses wake outside of
    /// their locks, so `look` may ask the bus for the time; it must not await this.
    pub fn seen_by(self, look: impl FnOnce(&T) + Send + 'static) -> Self {
        match &self.0 {
            Place::Own(shared) => {
                let mut state = shared.lock();
                state.look = Some(match state.look.take() {
                    None => Box::new(look),
                    Some(first) => Box::new(|value| {
                        first(value);
                        look(value);
                    }),
                });
                state.show();
            }
            Place::Kept(keeper, number) => Arc::clone(keeper).seen_by(*number, Box::new(look)),
            Place::Taken => {}
        }
        self
    }
}

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        if let Place::Kept(keeper, number) = &self.0 {
            keeper.forget(*number);
        }
    }
}

impl<T> Future for Pending<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let shared = match &self.0 {
            Place::Own(shared) => shared,
            Place::Kept(keeper, number) => {
                let polled = keeper.poll(*number, cx.waker());
                if polled.is_ready() {
                    self.0 = Place::Taken;
                }
                return polled;
            }
            Place::Taken => return Poll::Pending,
        };
        let mut state = shared.lock();
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
