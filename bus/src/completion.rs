//! A value that arrives once: the [`Completer`] gives it, the [`Pending`] future yields it.
//!
//! The one completion primitive of all buses: one allocation, `std` wakers only. A `Completer` that is
//! dropped without a value leaves its `Pending` unresolved for ever: that is how a crashed process looks to
//! its own leaked tasks. Whoever drops a live operation must complete it first.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

enum Slot<T> {
    Empty,
    Waiting(Waker),
    Full(T),
    Taken,
}

struct Shared<T>(Mutex<Slot<T>>);

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Slot<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives the value.
pub struct Completer<T>(Arc<Shared<T>>);

/// Yields the value.
#[must_use = "the outcome of an operation is known only to who awaits it"]
pub struct Pending<T>(Arc<Shared<T>>);

impl<T> Completer<T> {
    /// Gives the value and returns the waker of who waits for it, so that the caller can wake outside of
    /// its own locks.
    #[must_use = "wake it, once no lock is held"]
    pub fn complete(self, value: T) -> Option<Waker> {
        match std::mem::replace(&mut *self.0.lock(), Slot::Full(value)) {
            Slot::Waiting(waker) => Some(waker),
            Slot::Empty | Slot::Full(_) | Slot::Taken => None,
        }
    }
}

impl<T> Pending<T> {
    /// A completer and its future.
    pub fn pair() -> (Completer<T>, Self) {
        let shared = Arc::new(Shared(Mutex::new(Slot::Empty)));
        (Completer(Arc::clone(&shared)), Self(shared))
    }

    /// A future that is done.
    pub fn done(value: T) -> Self {
        Self(Arc::new(Shared(Mutex::new(Slot::Full(value)))))
    }
}

impl<T> Future for Pending<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut slot = self.0.lock();
        match std::mem::replace(&mut *slot, Slot::Taken) {
            Slot::Full(value) => Poll::Ready(value),
            Slot::Waiting(waker) if waker.will_wake(cx.waker()) => {
                *slot = Slot::Waiting(waker);
                Poll::Pending
            }
            Slot::Empty | Slot::Waiting(_) => {
                *slot = Slot::Waiting(cx.waker().clone());
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
    fn nobody_to_wake_when_nobody_waits() {
        let (completer, pending) = Pending::pair();
        assert!(completer.complete(1).is_none());
        let mut pending = pending;
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(Pin::new(&mut pending).poll(&mut cx), Poll::Ready(1));
    }
}
