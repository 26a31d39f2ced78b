//! What a storm's body and its services hold.

use super::{
    checks::Checks,
    named::Named,
    record::Recorder,
    recording::RecordingBus,
    table::{Key, Table, Transaction, Value},
};
use crate::runtime::{Proc, ProcLife, ProcWarning};
use squall_bus::{Bus, Clock, Cluster, Delivery, Incarnation, Main};
use squall_history::history::{GroupId, Handling};
use std::{
    collections::BTreeSet,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What a trial and its services share.
pub(super) struct Shared {
    pub(super) seed: u64,
    pub(super) cluster: Arc<dyn Cluster>,
    pub(super) proc_of: Box<dyn Fn(&str) -> Proc + Send + Sync>,
    pub(super) warnings: Box<dyn Fn() -> Vec<ProcWarning> + Send + Sync>,
    pub(super) recorder: Arc<Recorder>,
    pub(super) services: Mutex<BTreeSet<String>>,
    pub(super) checks: Mutex<Checks>,
}

impl Shared {
    pub(super) fn checks(&self) -> MutexGuard<'_, Checks> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recording(&self, process: &str, inner: Arc<dyn Bus>) -> Arc<dyn Bus> {
        Arc::new(RecordingBus { inner, process: Arc::from(process), recorder: Arc::clone(&self.recorder) })
    }

    /// Ends every service for good.
    pub(super) fn end_services(&self) {
        for name in self.services.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            self.cluster.end(name);
        }
    }
}

/// One seed of a storm, as its body sees it. Cheap to clone.
#[derive(Clone)]
pub struct Trial {
    shared: Arc<Shared>,
}

impl Trial {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The seed, for choices of the body's own.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.shared.seed
    }

    /// True time.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.shared.cluster.clock()
    }

    /// A bus for the body itself, under this name in the history. No fault on a client touches it.
    #[must_use]
    pub fn bus(&self, name: &str) -> Arc<dyn Bus> {
        self.shared.recording(name, self.shared.cluster.bus())
    }

    /// A new table, empty, that survives the crashes of all services: their database.
    #[must_use]
    pub fn table<K: Key, V: Value>(&self, name: &str) -> Table<K, V> {
        Table::new(name)
    }

    /// Asserts something of the test's own once the services have caught up, over tables, say. An error or a panic
    /// is a finding: the run is invalid. In a run whose services do not catch up it is not asked.
    pub fn check(&self, name: &str, assertion: impl FnOnce() -> Result<(), String> + Send + 'static) {
        self.shared.checks().finally(name, Box::new(assertion));
    }

    /// The services have caught up only when this is true as well, and the run is invalid if that does not come
    /// within the storm's [recovery](super::Storm::recovery): an outbox that is empty at last, say.
    pub fn eventually(&self, name: &str, condition: impl Fn() -> bool + Send + 'static) {
        self.shared.checks().eventually(name, Box::new(condition));
    }

    /// Starts a service: a process of this name, which faults on `client(name)` hit. `main` is called for each
    /// incarnation: at first, and again after each crash.
    pub fn start<F, Fut>(&self, name: &str, main: F)
    where
        F: Fn(Service) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.shared.services.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        // The process must not keep the world alive that it lives in.
        let (shared, process) = (Arc::downgrade(&self.shared), Arc::<str>::from(name));
        let main: Main = Arc::new(move |bus, incarnation| match shared.upgrade() {
            None => Box::pin(std::future::ready(())),
            Some(shared) => {
                let bus = shared.recording(&process, bus);
                let proc = (shared.proc_of)(&process);
                let recorder = Arc::clone(&shared.recorder);
                Box::pin(main(Service { bus, incarnation, life: proc.life(), proc, recorder }))
            }
        });
        self.shared.cluster.start(name, main);
    }
}

/// One incarnation of a service. Everything that it hands out dies with the incarnation. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    bus: Arc<dyn Bus>,
    incarnation: Incarnation,
    life: Arc<ProcLife>,
    proc: Proc,
    recorder: Arc<Recorder>,
}

impl Service {
    /// The name of its process.
    #[must_use]
    pub fn name(&self) -> &str {
        self.proc.name()
    }

    /// Which life of the process this is, from 0.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Its way into the cluster.
    #[must_use]
    pub fn bus(&self) -> Arc<dyn Bus> {
        Arc::clone(&self.bus)
    }

    /// Its clock, finer than tokio's timers, which are there too.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.bus.clock()
    }

    /// Begins a transaction over tables of the trial. It dies with this incarnation.
    #[must_use]
    pub fn transaction(&self) -> Transaction {
        Transaction::new(self.clone())
    }

    pub(super) fn is_alive(&self) -> bool {
        self.life.is_alive()
    }

    /// Spawns a task that lives as long as this incarnation, and stands still with it when it is paused.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if self.life.is_alive() {
            self.proc.spawn(task);
        }
    }

    /// Where its handlers tell what they did for this group. From now on every acknowledged record of the
    /// group's topics must be processed or given up.
    #[must_use]
    pub fn sink(&self, group: &str) -> Sink {
        self.recorder.sink(group);
        Sink { group: Arc::new(Named::new(group)), service: self.clone() }
    }
}

/// Where a service tells what it did with a record. Call it where the effect happens (the row is written, the
/// mail is sent), with no `.await` in between: a crash then falls before both or behind both.
#[derive(Clone)]
pub struct Sink {
    group: Arc<Named<GroupId>>,
    service: Service,
}

impl Sink {
    /// The record is processed: its effect has happened.
    pub fn processed(&self, delivery: &Delivery) {
        self.tell(delivery, Handling::Ok);
    }

    /// The record is given up: no further attempt will be made.
    pub fn gave_up(&self, delivery: &Delivery) {
        self.tell(delivery, Handling::Poison);
    }

    fn tell(&self, delivery: &Delivery, how: Handling) {
        if self.service.life.is_alive() {
            self.service.recorder.handled(self.service.name(), &*self.group, delivery, how);
        }
    }
}
