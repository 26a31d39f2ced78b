//! Work that blocks, on a thread of its own, awaited without naming an executor.

use squall_bus::Pending;
use std::thread;

/// Runs `work` on a thread of its own; `otherwise` is the result when there is none to be had.
pub(super) fn offload<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
    otherwise: impl FnOnce(String) -> T,
) -> Pending<T> {
    let (completer, pending) = Pending::pair();
    let run = move || {
        if let Some(waker) = completer.complete(work()) {
            waker.wake();
        }
    };
    match thread::Builder::new().name("squall-kafka".to_owned()).spawn(run) {
        Ok(_) => pending,
        Err(error) => Pending::done(otherwise(format!("a thread could not be started: {error}"))),
    }
}

/// Drops what takes long to drop on a thread of its own; here, if there is none to be had.
pub(super) fn discard<T: Send + 'static>(value: T) {
    let _ = thread::Builder::new().name("squall-kafka".to_owned()).spawn(move || drop(value));
}
