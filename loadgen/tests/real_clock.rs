//! The same pacing on a real clock, whose timers have a grain of 1 ms.

use squall_bus::{Clock, Sleep, Time};
use squall_loadgen::{Arrivals, Pacer, Rate, Schedule};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

struct Real(Instant);

impl Clock for Real {
    fn now(&self) -> Time {
        Time::ZERO + self.0.elapsed()
    }

    fn sleep_until(&self, until: Time) -> Sleep {
        let until = self.0 + until.since(Time::ZERO);
        Box::pin(tokio::time::sleep_until(until.into()))
    }
}

/// No bound on how late: the machine may be busy. But never early, never skipped, and other tasks get turns.
#[tokio::test]
async fn nothing_is_early_skipped_or_starved() {
    let clock: Arc<dyn Clock> = Arc::new(Real(Instant::now()));
    let schedule = Schedule::new(Arrivals::Constant, Rate::per_second(50_000), Duration::from_millis(200));
    let mut pacer = Pacer::new(Arc::clone(&clock), Time::ZERO, schedule.times(|_| 0));
    let other = tokio::spawn(async {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    });
    let mut emitted = 0;
    while let Some(due) = pacer.next().await {
        assert_eq!(due.ordinal, emitted);
        assert_eq!(due.intended, Time(emitted * 20_000));
        assert!(clock.now() >= due.intended, "{} was early", due.ordinal);
        emitted += 1;
    }
    assert_eq!(emitted, 10_000);
    assert!(clock.now() >= Time::from_millis(199));
    assert!(other.is_finished());
}
