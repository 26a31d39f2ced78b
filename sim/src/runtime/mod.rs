//! The user's async code in virtual time: ordinary tokio code, no cfg flags, no patched crates.
//!
//! A stock current-thread runtime with paused time hosts the tasks. `Builder::on_thread_park` runs exactly when
//! no task is ready: there the kernel processes events one by one until one of them wakes a task. When the next
//! kernel event lies later than the host's clock, a driver task holds a tokio sleep until then, so tokio's own
//! auto-advance jumps to whichever comes first, the user's timer or ours.
//!
//! Limits: tokio's timers have a grain of 1 ms, the kernel's clock has none; a task that a tokio timer woke may
//! see a kernel clock up to 1 ms behind tokio's. Squall's own workload uses the bus's clock and never tokio's;
//! such runs set [`Options::host_timers`] to false and the kernel runs freely, in a runtime without timers.
//!
//! What tasks take from their surroundings (random numbers, the wall clock) the seed does not decide, unless
//! `squall-pin` is linked, which asks [`ambient`].
//!
//! A [`Proc`] is one process of the user's. A watchdog outside the kernel and caps inside turn endless yields,
//! blocking calls and livelocks into [`Broken`], with the cause named.

pub mod ambient;
mod process;
mod watchdog;

pub(crate) use process::{Life as ProcLife, panic_message};
pub use process::{Proc, ProcWarning, Spawner};

use crate::{kernel::Violation, wire};
use ambient::{Ambient, Entered};
use serde::{Deserialize, Serialize};
use squall_bus::{BoxFuture, Time};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

/// What the body of a run is called where a process would be named.
const MAIN: &str = "main";

/// A simulated world, as a host drives it.
pub(crate) trait Engine: Send + Sync + 'static {
    /// From now on the world's time follows this clock where it is ahead.
    fn set_host_clock(&self, host_now: Option<Arc<dyn Fn() -> Time + Send + Sync>>);
    /// Processes events up to `limit` until one of them wakes somebody. Answers the time of the event that it
    /// processed last or that it left alone because it lies beyond the limit; `None` if there is no event.
    fn run_until(
        &self,
        limit: Time,
        max_events: u64,
        wakers: &mut Vec<Waker>,
    ) -> Result<Option<Time>, Broken>;
}

/// How to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The tasks use timers of the host's (`tokio::time`). Without, the runtime has none (a task that asks for one
    /// panics), and the kernel need not wait for any.
    pub host_timers: bool,
    /// The run is broken after so many kernel events.
    pub max_events: u64,
    /// The run is broken after so much wall time without progress. `None` runs on the caller's thread, where
    /// nothing could watch; with a watchdog the run has a thread of its own.
    pub watchdog: Option<Duration>,
    /// The events that lead from this checkpoint, counted from 0, to the next are recorded for the run's
    /// [footprint](crate::guard::Footprint).
    pub record_from: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            host_timers: true,
            max_events: 200_000_000,
            watchdog: Some(Duration::from_secs(10)),
            record_from: None,
        }
    }
}

/// Why a run could not be finished: the harness' trouble or the user's, never a verdict about the bus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Broken {
    /// The cap on kernel events was reached: a livelock, or a run longer than the cap foresees.
    TooManyEvents {
        /// The cap.
        events: u64,
        /// Virtual time then.
        #[serde(with = "wire::time")]
        at: Time,
    },
    /// A task is polled without end and never lets time pass.
    EndlessYield {
        /// The process whose task it is, if one of ours.
        process: Option<String>,
    },
    /// A task blocks the thread.
    BlockingCall {
        /// The process whose task it is, if one of ours.
        process: Option<String>,
    },
    /// Every task waits and no event is left that could wake one.
    Stalled,
    /// A task panicked.
    Panicked {
        /// The process whose task it was.
        process: String,
        /// What it said.
        message: String,
    },
    /// An invariant of the model does not hold.
    Invariant(#[serde(with = "wire::violation")] Violation),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = |process: &Option<String>| match process {
            Some(process) => format!("of process {process}"),
            None => "outside any process".to_owned(),
        };
        match self {
            Self::TooManyEvents { events, at } => write!(
                f,
                "the run reached its cap of {events} events at virtual time {at}: look for a livelock, or raise max_events"
            ),
            Self::EndlessYield { process } => write!(
                f,
                "a task {} is polled without end and never lets time pass: await a timer or a bus operation in its loop",
                whose(process)
            ),
            Self::BlockingCall { process } => write!(
                f,
                "a task {} blocks the thread: use async calls, no std::thread::sleep, no blocking I/O or locks held elsewhere",
                whose(process)
            ),
            Self::Stalled => f.write_str("every task waits for something that no event can bring any more"),
            Self::Panicked { process, message } => write!(f, "process {process} panicked: {message}"),
            Self::Invariant(violation) => write!(
                f,
                "the model's invariant {} ({}) does not hold at {}: {}",
                violation.invariant, violation.source, violation.at, violation.what
            ),
        }
    }
}

impl std::error::Error for Broken {}

/// What hook, driver, processes and watchdog share.
pub(crate) struct Control {
    broken: Mutex<Option<Broken>>,
    /// There is a cause in `broken`, or was.
    is_broken: AtomicBool,
    root: OnceLock<Waker>,
    driver: Mutex<Option<Waker>>,
    /// When the driver has to run next, in ns; `u64::MAX` if it need not.
    armed: AtomicU64,
    parks: AtomicU64,
    polls: AtomicU64,
    /// Tells the tasks of processes to stop where they are.
    stop: AtomicBool,
    /// A task of a process is being polled now.
    polling: AtomicBool,
    /// The process whose task was polled last, by its place in `processes`.
    last_polled: AtomicUsize,
    processes: Mutex<Vec<Arc<str>>>,
    /// What the run took from its surroundings.
    ambient: Mutex<Ambient>,
}

/// Counts what one thread alone counts.
fn count(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Control {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            broken: Mutex::new(None),
            is_broken: AtomicBool::new(false),
            root: OnceLock::new(),
            driver: Mutex::new(None),
            armed: AtomicU64::new(u64::MAX),
            parks: AtomicU64::new(0),
            polls: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            polling: AtomicBool::new(false),
            last_polled: AtomicUsize::new(usize::MAX),
            processes: Mutex::default(),
            ambient: Mutex::default(),
        })
    }

    /// What the run took from its surroundings, once it is over.
    pub(crate) fn ambient(&self) -> Ambient {
        *lock(&self.ambient)
    }

    /// Ends the run with this cause, unless it has one already.
    pub(crate) fn break_with(&self, cause: Broken) {
        lock(&self.broken).get_or_insert(cause);
        self.is_broken.store(true, Ordering::Release);
        self.wake_root();
    }

    fn wake_root(&self) {
        if let Some(waker) = self.root.get() {
            waker.wake_by_ref();
        }
    }

    /// A process that tasks will belong to: its number.
    fn enroll(&self, process: &Arc<str>) -> usize {
        let mut processes = lock(&self.processes);
        processes.push(Arc::clone(process));
        processes.len() - 1
    }

    /// A task of this process is about to be polled. Every poll passes here, and only the run's own thread polls: plain
    /// stores do.
    fn poll_begins(&self, process: usize) {
        count(&self.polls);
        self.last_polled.store(process, Ordering::Relaxed);
        self.polling.store(true, Ordering::Relaxed);
    }

    fn poll_ends(&self) {
        self.polling.store(false, Ordering::Relaxed);
    }

    /// The name of the process whose task was polled last.
    fn last_polled(&self) -> Option<String> {
        let last = self.last_polled.load(Ordering::Relaxed);
        lock(&self.processes).get(last).map(ToString::to_string)
    }

    fn wake_driver(&self) {
        let waker = lock(&self.driver).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Runs `main` and the world of this seed until `main` is done.
pub(crate) fn run<T: Send + 'static>(
    engine: Arc<dyn Engine>,
    control: Arc<Control>,
    seed: u64,
    options: Options,
    main: impl FnOnce() -> BoxFuture<'static, T> + Send + 'static,
) -> Result<T, Broken> {
    match options.watchdog {
        None => host(engine, control, seed, &options, main),
        Some(patience) => {
            let watched = Arc::clone(&control);
            watchdog::watch(&watched, patience, move || host(engine, control, seed, &options, main))
        }
    }
}

fn host<T: Send + 'static>(
    engine: Arc<dyn Engine>,
    control: Arc<Control>,
    seed: u64,
    options: &Options,
    main: impl FnOnce() -> BoxFuture<'static, T>,
) -> Result<T, Broken> {
    // Before the runtime is built, so that tokio's clock begins where the run's does.
    let inside = Entered::new(seed);
    let used = Arc::clone(&control);
    let hook = Arc::new(Mutex::new(Some(Hook {
        engine: Arc::clone(&engine),
        control: Arc::clone(&control),
        host_timers: options.host_timers,
        max_events: options.max_events,
        base: None,
        wakers: Vec::new(),
    })));
    let (parked, begun, over) = (Arc::clone(&hook), Arc::clone(&hook), hook);
    let base = Arc::new(Mutex::new(None));
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.on_thread_park(move || {
        if let Some(hook) = &mut *lock(&parked) {
            hook.park();
        }
    });
    if options.host_timers {
        let unparked = Arc::clone(&base);
        // Only a park lets tokio's time jump.
        builder.enable_time().start_paused(true).on_thread_unpark(move || {
            if let Some(start) = *lock(&unparked) {
                ambient::advance(host_time(start));
            }
        });
    }
    let runtime = builder.build().expect("a current-thread runtime without I/O has nothing that can fail");
    ambient::begin();
    let result = runtime.block_on(async move {
        let start = tokio::time::Instant::now();
        *lock(&base) = Some(start);
        if let Some(hook) = &mut *lock(&begun) {
            hook.base = Some(start);
        }
        if options.host_timers {
            engine.set_host_clock(Some(Arc::new(move || host_time(start))));
        }
        let driver = options.host_timers.then(|| tokio::spawn(drive(Arc::clone(&control), start)));
        let main = tokio::spawn(watched(main(), Arc::clone(&control)));
        let result = Root { main, control, waits: false }.await;
        if let Some(driver) = driver {
            driver.abort();
        }
        engine.set_host_clock(None);
        result
    });
    runtime.shutdown_background();
    // The world holds wakers of the runtime's tasks, and these the runtime with its hooks: without this neither would
    // ever be dropped.
    let hook = lock(&over).take();
    drop(hook);
    *lock(&used.ambient) = inside.used();
    result.map(|result| *result)
}

/// Main, polled as the watchdog can see. Its result comes in a box, since what a poll answers is moved at every poll.
async fn watched<T>(mut main: BoxFuture<'static, T>, control: Arc<Control>) -> Box<T> {
    let process = control.enroll(&Arc::from(MAIN));
    std::future::poll_fn(|cx| {
        control.poll_begins(process);
        let polled = main.as_mut().poll(cx).map(Box::new);
        control.poll_ends();
        polled
    })
    .await
}

fn host_time(start: tokio::time::Instant) -> Time {
    Time::ZERO + (tokio::time::Instant::now() - start)
}

/// What runs when no task is ready.
struct Hook {
    engine: Arc<dyn Engine>,
    control: Arc<Control>,
    host_timers: bool,
    max_events: u64,
    /// When the run began, once it has.
    base: Option<tokio::time::Instant>,
    /// Whom to wake; kept for its memory.
    wakers: Vec<Waker>,
}

impl Hook {
    fn park(&mut self) {
        count(&self.control.parks);
        let Some(base) = self.base else { return };
        let limit = if self.host_timers { host_time(base) } else { Time::MAX };
        let wakers = &mut self.wakers;
        match self.engine.run_until(limit, self.max_events, wakers) {
            Err(cause) => self.control.break_with(cause),
            Ok(at) if !wakers.is_empty() => {
                ambient::advance(at.unwrap_or_default());
                wakers.drain(..).for_each(Waker::wake);
                // The wakers may all belong to tasks that are gone: the turn of the driver, or of the root where there
                // is no driver, brings us back here.
                if self.host_timers {
                    self.control.wake_driver();
                } else {
                    self.control.wake_root();
                }
            }
            Ok(Some(next)) => {
                if self.control.armed.swap(next.0, Ordering::Relaxed) != next.0 {
                    self.control.wake_driver();
                }
            }
            // With timers of the host's own there may be one left that brings the tasks on.
            Ok(None) if self.host_timers => {}
            Ok(None) => self.control.break_with(Broken::Stalled),
        }
    }
}

/// Holds a tokio sleep until the next kernel event, so that tokio's time jumps no further than that.
async fn drive(control: Arc<Control>, start: tokio::time::Instant) {
    let mut sleep = Box::pin(tokio::time::sleep_until(start));
    let mut set_for = 0;
    std::future::poll_fn(|cx| {
        *lock(&control.driver) = Some(cx.waker().clone());
        let armed = control.armed.load(Ordering::Relaxed);
        if armed != u64::MAX && armed != set_for {
            set_for = armed;
            sleep.as_mut().reset(start + Duration::from_nanos(armed));
        }
        if set_for != 0 && sleep.as_mut().poll(cx).is_ready() {
            // Time has come; the hook sees to the event when everybody waits again.
            set_for = 0;
            control.armed.store(u64::MAX, Ordering::Relaxed);
        }
        Poll::<()>::Pending
    })
    .await;
}

/// Resolves with main's result, or as soon as the run is broken.
struct Root<T> {
    main: tokio::task::JoinHandle<Box<T>>,
    control: Arc<Control>,
    /// It has been polled: whatever ends the run wakes it.
    waits: bool,
}

impl<T> Future for Root<T> {
    type Output = Result<Box<T>, Broken>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // It is woken after every park, and mostly nothing has ended.
        let over = self.main.is_finished() || self.control.is_broken.load(Ordering::Acquire);
        if std::mem::replace(&mut self.waits, true) && !over {
            return Poll::Pending;
        }
        // The runtime polls its root with the same waker each time.
        self.control.root.get_or_init(|| cx.waker().clone());
        if let Some(cause) = lock(&self.control.broken).take() {
            self.main.abort();
            return Poll::Ready(Err(cause));
        }
        match Pin::new(&mut self.main).poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(value)) => Poll::Ready(Ok(value)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(Broken::Panicked {
                process: MAIN.to_owned(),
                message: match error.try_into_panic() {
                    Ok(payload) => process::panic_message(&*payload),
                    Err(error) => error.to_string(),
                },
            })),
        }
    }
}
