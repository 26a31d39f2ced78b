//! The oracle: a bus whose latency is known, on a virtual clock.
//!
//! A bus that answers at once but for one stall of S in a run of T, under a constant rate, has the open-loop
//! quantiles `v(q) = S * (1 - (1 - q) * T / S)` for `1 - q < S / T`: records due in the stall wait for its end.
//! The recorder must hit them however small the client's window is. With a small window a measurement from the
//! actual send misses them by a factor of hundreds, since the stall keeps records from being sent at all: this
//! shows that the oracle bites.

use squall_bus::{Clock, Outcome, Sleep, Time};
use squall_loadgen::{Arrivals, Due, Limits, Pacer, Quantile, Rate, Reading, Recorder, Schedule, Warning};
use std::{
    collections::VecDeque,
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

/// A clock that jumps: whoever sleeps moves it, late by a fixed grain if one is set.
#[derive(Default)]
struct Virtual {
    now: Arc<AtomicU64>,
    grain: Duration,
}

impl Clock for Virtual {
    fn now(&self) -> Time {
        Time(self.now.load(Relaxed))
    }

    fn sleep_until(&self, until: Time) -> Sleep {
        Box::pin(Jump { now: Arc::clone(&self.now), until: until + self.grain, jumped: false })
    }
}

/// Pending once, so that an executor sees a real sleep.
struct Jump {
    now: Arc<AtomicU64>,
    until: Time,
    jumped: bool,
}

impl Future for Jump {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.jumped, true) {
            return Poll::Ready(());
        }
        self.now.fetch_max(self.until.0, Relaxed);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Runs a future of one task to its end.
fn run<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
    }
}

const LASTS: Duration = Duration::from_secs(10);
const STALL_BEGINS: Time = Time::from_millis(4_000);
const STALL_ENDS: Time = Time::from_millis(5_000);
const SERVICE: Duration = Duration::from_micros(100);

/// When the bus answers a record that reaches it at this time.
fn answer(at: Time) -> Time {
    if (STALL_BEGINS..STALL_ENDS).contains(&at) { STALL_ENDS } else { at + SERVICE }
}

/// One client with a window of records in flight, at 5,000/s.
fn load(clock: Arc<dyn Clock>, window: usize) -> Recorder {
    run(async {
        let mut measured = Recorder::new(Time::ZERO, Duration::from_secs(1));
        let schedule = Schedule::new(Arrivals::Constant, Rate::per_second(5_000), LASTS);
        let mut pacer = Pacer::new(Arc::clone(&clock), Time::ZERO, schedule.times(|_| 0));
        let mut flying: VecDeque<(Time, Time, Time)> = VecDeque::new();
        let land = |measured: &mut Recorder, (intended, sent, answered)| {
            measured.ended(intended, sent, answered, &Outcome::Ok(()));
        };
        while let Some(due) = pacer.next().await {
            measured.offered(&due);
            if flying.len() == window {
                let first = flying.pop_front().expect("the window is not empty");
                clock.sleep_until(first.2).await;
                land(&mut measured, first);
            }
            let now = clock.now();
            measured.sent(due.intended, now);
            flying.push_back((due.intended, now, answer(now)));
        }
        flying.into_iter().for_each(|flight| land(&mut measured, flight));
        measured
    })
}

/// The theory, in milliseconds.
fn expected_ms(quantile: Quantile) -> u64 {
    let (stall, run) = (1_000, 10_000);
    stall - u64::from(1_000_000 - quantile.0) * run / 1_000_000
}

fn near(measured: Duration, ms: u64) -> bool {
    measured.as_micros().abs_diff(u128::from(ms) * 1_000) <= 5_000
}

#[test]
fn quantiles_hit_the_theory_whatever_the_window() {
    for window in [64, 20_000] {
        let measured = load(Arc::new(Virtual::default()), window);
        assert_eq!((measured.ledger.offered, measured.ledger.acked), (50_000, 50_000));
        for quantile in [Quantile::P95, Quantile::P99, Quantile::P999] {
            let latency = measured.publish.quantile(quantile).expect("there are samples");
            let expected = expected_ms(quantile);
            assert!(near(latency, expected), "window {window}: {quantile} is {latency:?}, not {expected} ms");
        }
    }
}

#[test]
fn measuring_from_the_actual_send_misses_the_stall() {
    let measured = load(Arc::new(Virtual::default()), 64);
    let service = measured.service.quantile(Quantile::P99).expect("there are samples");
    assert!(service < Duration::from_millis(2), "p99 from the actual send is {service:?}");
    assert!(matches!(*Warning::of(&measured, &Limits::default()), [Warning::BackPressure { .. }]));

    let wide = load(Arc::new(Virtual::default()), 20_000);
    assert!(near(wide.service.quantile(Quantile::P99).expect("there are samples"), 900));
}

#[test]
fn the_series_shows_the_stall_where_it_hurt() {
    let measured = load(Arc::new(Virtual::default()), 64);
    let worst: Vec<u128> = measured
        .series
        .slices()
        .map(|(_, slice)| slice.publish.quantile(Quantile::MAX).unwrap_or_default().as_millis())
        .collect();
    assert!(worst[4] > 990, "{worst:?}");
    assert!(worst.iter().enumerate().all(|(second, ms)| second == 4 || *ms < 20), "{worst:?}");
    let acked: Vec<u64> = measured.series.slices().map(|(_, slice)| slice.acked).collect();
    assert!(acked[4] < 10 && acked[5] > 9_900, "{acked:?}");
    assert!(measured.series.slices().take(10).all(|(_, slice)| slice.offered == 5_000));
}

#[test]
fn a_coarse_clock_wakes_in_batches_and_shifts_nothing() {
    let clock = Virtual { grain: Duration::from_millis(1), ..Virtual::default() };
    let schedule = Schedule::new(Arrivals::Constant, Rate::per_second(100_000), Duration::from_secs(1));
    let mut pacer = Pacer::new(Arc::new(clock), Time::ZERO, schedule.times(|_| 0));
    let due = run(async {
        let mut all = Vec::new();
        while let Some(due) = pacer.next().await {
            all.push(due);
        }
        all
    });
    assert_eq!(due.len(), 100_000);
    assert!(due.iter().all(|due| due.intended == Time(due.ordinal * 10_000)));
    let sleeps = due.iter().filter(|due| due.overslept.is_some()).count();
    assert!((900..1_100).contains(&sleeps), "{sleeps} sleeps");
}

/// 10,000 records are due at once: the acks of the first must not wait until the last is sent.
#[test]
fn a_long_batch_lets_other_tasks_run() {
    let clock = Virtual::default();
    clock.now.store(Time::from_millis(60_000).0, Relaxed);
    let schedule = Schedule::new(Arrivals::Constant, Rate::per_second(10_000), Duration::from_secs(1));
    let mut pacer = Pacer::new(Arc::new(clock), Time::ZERO, schedule.times(|_| 0));
    let mut emitting = pin!(async {
        let mut emitted = 0;
        while pacer.next().await.is_some() {
            emitted += 1;
        }
        emitted
    });
    let mut turns = 0;
    let emitted = loop {
        match emitting.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(emitted) => break emitted,
            Poll::Pending => turns += 1,
        }
    };
    assert_eq!(emitted, 10_000);
    assert!((50..200).contains(&turns), "others had {turns} turns");
}

#[test]
fn a_generator_that_oversleeps_says_so() {
    let clock = Virtual { grain: Duration::from_millis(30), ..Virtual::default() };
    let warnings = Warning::of(&load(Arc::new(clock), 20_000), &Limits::default());
    assert!(matches!(*warnings, [Warning::Overslept { .. }]), "{warnings:?}");
}

#[test]
fn what_never_ends_is_infinitely_late_with_losses() {
    let mut measured = Recorder::new(Time::ZERO, Duration::from_secs(1));
    for ordinal in 0..100 {
        let intended = Time::from_millis(ordinal);
        measured.offered(&Due { ordinal, intended, overslept: None });
        measured.sent(intended, intended);
        if ordinal < 98 {
            measured.ended(intended, intended, intended + SERVICE, &Outcome::Ok(()));
        }
    }
    assert!(measured.publish.quantile(Quantile::P99).is_some());
    assert_eq!(measured.publish_with_losses(Quantile::P99), Some(Reading::Never));
    assert!(matches!(measured.publish_with_losses(Quantile::P95), Some(Reading::After(_))));
}
