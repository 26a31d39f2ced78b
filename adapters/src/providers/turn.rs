//! One local cluster at a time.
//!
//! Two clusters on one small machine make each other slow, and slow brokers lose their sessions: that would be
//! judged as what no fault did. So whoever starts a cluster waits for its turn, across processes and within one.
//! The turn is a lock on a file of the cache folder; the operating system takes it back from a process that dies.
//! A cluster that was left up on purpose has given its turn back.

use super::{Progress, ProviderError};
use std::{
    fs::{File, TryLockError},
    path::Path,
};

const FILE: &str = "local-cluster.lock";

/// The right to have a cluster up, for as long as it is held.
#[derive(Debug)]
pub(super) struct Turn {
    _lock: File,
}

impl Turn {
    /// Waits for the turn, with one line if that takes long.
    pub(super) fn wait(cache: &Path, progress: Progress<'_>) -> Result<Self, ProviderError> {
        let path = cache.join(FILE);
        let trouble = || ProviderError::io(format!("lock {}", path.display()));
        let lock = File::create(&path).map_err(trouble())?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                progress("waiting for another local cluster of this machine to end");
                lock.lock().map_err(trouble())?;
            }
            Err(TryLockError::Error(error)) => return Err(trouble()(error)),
        }
        Ok(Self { _lock: lock })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        thread,
        time::Duration,
    };

    #[test]
    fn the_second_waits_until_the_first_is_done() {
        let cache = tempfile::tempdir().expect("a folder");
        let first = Turn::wait(cache.path(), &|line| panic!("nobody is before: {line}")).expect("its turn");
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let second = scope.spawn(|| {
                let _turn = Turn::wait(cache.path(), &|_| ()).expect("its turn");
                assert!(done.load(Ordering::SeqCst), "the first still holds it");
            });
            thread::sleep(Duration::from_millis(200));
            done.store(true, Ordering::SeqCst);
            drop(first);
            second.join().expect("it waited");
        });
    }
}
