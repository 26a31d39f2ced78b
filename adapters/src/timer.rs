//! The bus's clock on real time: nanoseconds since the clock was made, from the machine's monotonic clock.
//!
//! Sleeps are served by one thread of the clock's own, so they need no executor and are as exact as the
//! operating system's wake-ups (well below a millisecond). The thread starts with the first sleep and ends
//! with the last handle; a sleep that is dropped early costs its place until its time.

use squall_bus::{Clock, Completer, Pending, Sleep, Time};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::Waker,
    thread,
    time::{Duration, Instant},
};

/// A clock on real time. Cheap to clone; clones are one clock.
#[derive(Clone)]
pub struct RealClock(Arc<Handle>);

/// Closes the queue with the last clone.
struct Handle(Arc<Queue>);

struct Queue {
    began: Instant,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: BTreeMap<(Time, u64), Completer<()>>,
    next: u64,
    served: bool,
    closed: bool,
}

impl RealClock {
    /// A clock that shows zero now.
    #[must_use]
    pub fn new() -> Self {
        let queue = Queue { began: Instant::now(), state: Mutex::default(), changed: Condvar::new() };
        Self(Arc::new(Handle(Arc::new(queue))))
    }
}

impl Default for RealClock {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RealClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RealClock({})", self.now())
    }
}

impl Clock for RealClock {
    fn now(&self) -> Time {
        self.0.0.now()
    }

    fn sleep_until(&self, until: Time) -> Sleep {
        let queue = &self.0.0;
        if queue.now() >= until {
            return Box::pin(Pending::done(()));
        }
        let (completer, pending) = Pending::pair();
        let mut state = queue.lock();
        state.next += 1;
        let key = (until, state.next);
        state.waiting.insert(key, completer);
        let is_first = state.waiting.first_key_value().is_some_and(|(first, _)| *first == key);
        if !state.served {
            let serving = Arc::clone(queue);
            let thread = thread::Builder::new().name("squall-clock".to_owned());
            // Without a thread the next sleep tries again.
            state.served = thread.spawn(move || serving.serve()).is_ok();
        } else if is_first {
            queue.changed.notify_one();
        }
        drop(state);
        Box::pin(pending)
    }
}

impl Queue {
    fn now(&self) -> Time {
        Time(u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self) {
        let mut state = self.lock();
        while !state.closed {
            let now = self.now();
            let later = state.waiting.split_off(&(now, u64::MAX));
            let due = std::mem::replace(&mut state.waiting, later);
            if due.is_empty() {
                let first = state.waiting.first_key_value().map(|((time, _), _)| time.since(now));
                let wait = first.unwrap_or(Duration::from_secs(3600));
                let waited = self.changed.wait_timeout(state, wait);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            } else {
                drop(state);
                due.into_values().filter_map(|sleep| sleep.complete(())).for_each(Waker::wake);
                state = self.lock();
            }
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sleeps_end_in_the_order_of_their_times() {
        let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
        let begin = clock.now();
        let late = tokio::spawn({
            let clock = Arc::clone(&clock);
            async move {
                clock.sleep(Duration::from_millis(40)).await;
                clock.now()
            }
        });
        clock.sleep(Duration::from_millis(10)).await;
        let early = clock.now();
        let late = late.await.expect("it ends");
        assert!(early.since(begin) >= Duration::from_millis(10));
        assert!(late.since(begin) >= Duration::from_millis(40) && late > early);
        clock.sleep_until(Time::ZERO).await;
    }
}
