//! The handles that one process has open, so that they can be ended together.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, Weak},
    task::Poll,
};

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
pub(crate) async fn first_of(
    mut one: impl Future<Output = ()> + Unpin,
    mut other: impl Future<Output = ()> + Unpin,
) {
    poll_fn(|cx| {
        let is_ready = Pin::new(&mut one).poll(cx).is_ready() || Pin::new(&mut other).poll(cx).is_ready();
        if is_ready { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
