//! A process of the user's: tasks that live and die together.
//!
//! Tasks from [`Proc::spawn`] are dropped on a crash and not polled during a pause, and every handle of that
//! incarnation (bus, producers, consumers, clock) dies with it, so that a task which leaked through a plain
//! `tokio::spawn` can do nothing. Handles that are still held after their incarnation crashed are counted and
//! named in a [`ProcWarning`].

use super::{Broken, Control, lock};
use serde::{Deserialize, Serialize};
use squall_bus::BoxFuture;
use std::{
    any::Any,
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

/// Puts a task onto the host's executor.
pub type Spawner = Arc<dyn Fn(BoxFuture<'static, ()>) + Send + Sync>;

/// One incarnation: alive until it crashes, perhaps paused.
pub(crate) struct Life {
    name: Arc<str>,
    number: u32,
    /// The process' number at the watchdog.
    process: usize,
    alive: AtomicBool,
    paused: AtomicBool,
    /// Its clients are taking their leave; dropping their handles must not cut that short.
    leaving: AtomicBool,
    /// A waker for each task that has been polled.
    tasks: Mutex<Vec<Option<Waker>>>,
    running: Mutex<u32>,
}

impl Life {
    fn new(name: Arc<str>, number: u32, process: usize) -> Arc<Self> {
        Arc::new(Self {
            name,
            number,
            process,
            alive: AtomicBool::new(true),
            paused: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            tasks: Mutex::new(Vec::new()),
            running: Mutex::new(0),
        })
    }

    /// Whether handles of this incarnation may still act.
    pub(crate) fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed)
    }

    /// Whether its clients are taking their leave in good order.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    fn wake_all(&self) {
        let wakers: Vec<Waker> = lock(&self.tasks).iter_mut().filter_map(Option::take).collect();
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// Handles that outlived their incarnation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcWarning {
    /// The process.
    pub process: String,
    /// Its incarnation, from 0.
    pub incarnation: u32,
    /// How many handles are still held.
    pub handles: usize,
}

impl fmt::Display for ProcWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "process {} crashed in incarnation {}, but {} of its handles are still held: a task that was not spawned \
             with Proc::spawn outlived it; it can do nothing any more",
            self.process, self.incarnation, self.handles
        )
    }
}

struct Inner {
    life: Arc<Life>,
    crashed: Vec<Arc<Life>>,
}

/// A process. Cheap to clone; all clones are the same process.
#[derive(Clone)]
pub struct Proc {
    name: Arc<str>,
    inner: Arc<Mutex<Inner>>,
    control: Arc<Control>,
    spawner: Spawner,
}

impl Proc {
    pub(crate) fn new(name: &str, control: Arc<Control>, spawner: Spawner) -> Self {
        let name: Arc<str> = Arc::from(name);
        let life = Life::new(Arc::clone(&name), 0, control.enroll(&name));
        Self { name, inner: Arc::new(Mutex::new(Inner { life, crashed: Vec::new() })), control, spawner }
    }

    /// The process' name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which incarnation runs, from 0.
    #[must_use]
    pub fn incarnation(&self) -> u32 {
        self.life().number
    }

    /// Spawns a task that lives as long as this incarnation.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let life = self.life();
        if !life.is_alive() {
            return;
        }
        let slot = {
            let mut tasks = lock(&life.tasks);
            tasks.push(None);
            tasks.len() - 1
        };
        *lock(&life.running) += 1;
        let control = Arc::clone(&self.control);
        (self.spawner)(Box::pin(Task { life, slot, control, inner: Some(Box::pin(task)) }));
    }

    /// Whether any task of this incarnation has not ended.
    #[must_use]
    pub fn is_running(&self) -> bool {
        let life = self.life();
        life.is_alive() && *lock(&life.running) > 0
    }

    pub(crate) fn life(&self) -> Arc<Life> {
        Arc::clone(&lock(&self.inner).life)
    }

    /// Ends this incarnation where it stands: its tasks are dropped, its handles are dead.
    pub(crate) fn crash(&self) {
        let life = self.life();
        life.alive.store(false, Ordering::Relaxed);
        life.paused.store(false, Ordering::Relaxed);
        life.wake_all();
    }

    /// Ends this incarnation like [`crash`](Self::crash), but lets its clients finish their closing.
    pub(crate) fn leave(&self) {
        self.life().leaving.store(true, Ordering::Relaxed);
        self.crash();
    }

    /// Begins the next incarnation.
    pub(crate) fn restart(&self) {
        let mut inner = lock(&self.inner);
        inner.life.alive.store(false, Ordering::Relaxed);
        let next = Life::new(Arc::clone(&self.name), inner.life.number + 1, inner.life.process);
        let old = std::mem::replace(&mut inner.life, next);
        inner.crashed.push(old);
    }

    /// No task of this incarnation is polled until [`resume`](Self::resume).
    pub(crate) fn pause(&self) {
        self.life().paused.store(true, Ordering::Relaxed);
    }

    pub(crate) fn resume(&self) {
        let life = self.life();
        life.paused.store(false, Ordering::Relaxed);
        life.wake_all();
    }

    /// Handles that outlived their incarnation, one warning for each incarnation.
    pub(crate) fn warnings(&self) -> Vec<ProcWarning> {
        let inner = lock(&self.inner);
        let dead = inner.crashed.iter().chain((!inner.life.is_alive()).then_some(&inner.life));
        // One count is ours; the tasks of a crashed incarnation that have not been dropped yet hold one each.
        dead.filter_map(|life| {
            let handles = Arc::strong_count(life) - 1 - *lock(&life.running) as usize;
            let warning = ProcWarning { process: self.name.to_string(), incarnation: life.number, handles };
            (handles > 0).then_some(warning)
        })
        .collect()
    }
}

/// A task of a process.
struct Task {
    life: Arc<Life>,
    slot: usize,
    control: Arc<Control>,
    inner: Option<BoxFuture<'static, ()>>,
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.control.stop.load(Ordering::Relaxed) || !this.life.is_alive() {
            this.inner = None;
            return Poll::Ready(());
        }
        {
            let slot = &mut lock(&this.life.tasks)[this.slot];
            if !slot.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                *slot = Some(cx.waker().clone());
            }
        }
        if this.life.paused.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        let Some(inner) = &mut this.inner else { return Poll::Ready(()) };
        this.control.poll_begins(this.life.process);
        let polled = catch_unwind(AssertUnwindSafe(|| inner.as_mut().poll(cx)));
        this.control.poll_ends();
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => {
                this.inner = None;
                Poll::Ready(())
            }
            Err(payload) => {
                this.inner = None;
                let (process, message) = (this.life.name.to_string(), panic_message(&*payload));
                this.control.break_with(Broken::Panicked { process, message });
                Poll::Ready(())
            }
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        *lock(&self.life.running) -= 1;
    }
}

pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a message".to_owned()
    }
}
