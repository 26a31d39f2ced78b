//! The handles that one process has open, so that they can be ended together: at once, as by a crash, or in good
//! order.

use squall_bus::{Clock, Consumer, Error, Producer};
use std::{
    fmt,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

/// A client that can end without ceremony.
pub(crate) trait Crash {
    /// Ends the client; nothing that waits gets an outcome, and nobody is told.
    fn crash(&self);
}

/// What one process has open.
#[derive(Debug)]
pub(crate) struct Process<P, C> {
    ended: AtomicBool,
    pub(crate) producers: Handles<P>,
    pub(crate) consumers: Handles<C>,
}

impl<P, C> Default for Process<P, C> {
    fn default() -> Self {
        Self { ended: AtomicBool::new(false), producers: Handles::default(), consumers: Handles::default() }
    }
}

impl<P: Producer + Crash, C: Consumer + Crash> Process<P, C> {
    /// Ends every client without ceremony. The handles answer that they are closed.
    pub(crate) fn crash(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.producers.live().iter().for_each(|producer| producer.crash());
        self.consumers.live().iter().for_each(|consumer| consumer.crash());
    }

    /// Keeps what is open from ending with its last handle, until this is dropped.
    pub(crate) fn hold(&self) -> (Vec<Arc<P>>, Vec<Arc<C>>) {
        (self.producers.live(), self.consumers.live())
    }

    /// Ends every client in good order: consumers close, and what was sent gets its outcome if it comes within
    /// `patience`.
    pub(crate) async fn stop(&self, clock: &dyn Clock, patience: Duration) {
        self.ended.store(true, Ordering::SeqCst);
        let closing: Vec<_> = self.consumers.live().iter().map(|consumer| consumer.close()).collect();
        let producers = self.producers.live();
        let end = clock.sleep_until(clock.now() + patience);
        let orderly = async {
            for producer in &producers {
                // A producer that has crashed has nothing to wait for.
                let _ = producer.flush().await;
            }
            for closed in closing {
                closed.await;
            }
        };
        first_of(pin!(orderly), end).await;
        self.crash();
    }

    /// Refuses a new client when the process has ended.
    pub(crate) fn check_alive(&self) -> Result<(), Error> {
        if self.ended.load(Ordering::SeqCst) { Err(Error::closed()) } else { Ok(()) }
    }
}

/// Handles of one kind; one that was dropped is forgotten.
pub(crate) struct Handles<T>(Mutex<Vec<Weak<T>>>);

impl<T> Default for Handles<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> fmt::Debug for Handles<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handles({})", self.live().len())
    }
}

impl<T> Handles<T> {
    /// Those that are open.
    pub(crate) fn live(&self) -> Vec<Arc<T>> {
        let handles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        handles.iter().filter_map(Weak::upgrade).collect()
    }

    /// One more is open.
    pub(crate) fn remember(&self, handle: &Arc<T>) {
        let mut handles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        handles.retain(|handle| handle.strong_count() > 0);
        handles.push(Arc::downgrade(handle));
    }
}

/// Resolves with the first of two futures.
async fn first_of(mut one: impl Future<Output = ()> + Unpin, mut other: impl Future<Output = ()> + Unpin) {
    poll_fn(|cx| {
        let is_ready = Pin::new(&mut one).poll(cx).is_ready() || Pin::new(&mut other).poll(cx).is_ready();
        if is_ready { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
