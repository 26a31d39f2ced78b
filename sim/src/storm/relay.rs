//! Looking at a value on its way: the value arrives, is looked at, and goes on to who waits for it.
//!
//! A [`Pending`] is polled once with a waker that is the relay itself; when the value comes the waker looks at it
//! and completes the outer [`Pending`]. So nobody has to await the outer one for the value to be seen, and no
//! executor is needed. Buses wake outside of their locks, so looking may ask the bus for the time.

use squall_bus::{Completer, Pending};
use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Wake, Waker},
};

/// What waits for the value.
struct Waiting<T, L> {
    inner: Pending<T>,
    outer: Completer<T>,
    look: L,
}

struct Relay<T, L>(Mutex<Option<Waiting<T, L>>>);

/// The same value; `look` sees it first.
pub(super) fn relay<T: Send + 'static>(
    inner: Pending<T>,
    look: impl FnOnce(&T) + Send + 'static,
) -> Pending<T> {
    let (outer, pending) = Pending::pair();
    let waiting = Waiting { inner, outer, look };
    Arc::new(Relay(Mutex::new(Some(waiting)))).wake();
    pending
}

impl<T: Send + 'static, L: FnOnce(&T) + Send + 'static> Wake for Relay<T, L> {
    fn wake(self: Arc<Self>) {
        let waker = Waker::from(Arc::clone(&self));
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut waiting) = slot.take() else { return };
        match Pin::new(&mut waiting.inner).poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => *slot = Some(waiting),
            Poll::Ready(value) => {
                drop(slot);
                (waiting.look)(&value);
                if let Some(waker) = waiting.outer.complete(value) {
                    waker.wake();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::relay;
    use squall_bus::Pending;
    use std::{
        future::Future,
        pin::pin,
        sync::{
            Arc,
            atomic::{AtomicU32, Ordering},
        },
        task::{Context, Poll, Waker},
    };

    #[test]
    fn a_value_is_seen_though_nobody_awaits_it() {
        let seen = Arc::new(AtomicU32::new(0));
        let (completer, inner) = Pending::pair();
        let looked = Arc::clone(&seen);
        drop(relay(inner, move |value| looked.store(*value, Ordering::Relaxed)));
        assert_eq!(seen.load(Ordering::Relaxed), 0);
        completer.complete(7).expect("the relay waits").wake();
        assert_eq!(seen.load(Ordering::Relaxed), 7);
    }

    #[test]
    fn a_value_that_is_there_already_is_passed_on_at_once() {
        let mut outer = pin!(relay(Pending::done(5), |_| {}));
        assert_eq!(outer.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(5));
    }
}
