//! The runner: one plan on one cluster, whichever that is.
//!
//! 1. Topics are created; consumers start and get their units.
//! 2. Producers send on schedule while faults strike and are healed, each at its own time.
//! 3. Everything still broken is healed; the cluster recovers, the producers learn their outcomes, what was acknowledged
//!    can be read, the consumers catch up, all within the scenario's `recovery`.
//!    With transactions, a record of the harness closes each unit (`closing`): whoever has read it has read
//!    everything before it.
//! 4. The clients are ended, so that nothing comes behind the ends any more, and a reader that no fault touched drains
//!    every unit. What could not be read is written down as missing.
//!
//! The workload is written once, over the bus traits; the history is all that the checks get.

mod acks;
mod changes;
mod closing;
mod commits;
mod consumer;
mod drain;
mod faults;
mod forward;
mod notebook;
mod producer;
#[cfg(test)]
mod tests;
mod transactions;

use crate::plan::Plan;
use futures_util::{
    future::{Either, select},
    stream::{FuturesUnordered, StreamExt},
};
use notebook::Notebook;
use squall_bus::{BoxFuture, Capabilities, Cluster, Error, ErrorClass, Main, Time};
use squall_history::{
    events::{Latency, RunEvent, Stage},
    history::{History, Observation, Phase, ProcessId},
};
use squall_loadgen::{Recorder, Summary};
use squall_sim::kernel::{Mark, Marks};
use std::{
    collections::BTreeMap,
    fmt,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Takes the events of a run as they happen.
pub type Sink = Arc<dyn Fn(RunEvent) + Send + Sync>;

/// How long a fresh cluster may take until every unit is whole.
const READY: Duration = Duration::from_secs(60);
/// How long the consumers may take to get their first units; then the workload begins without.
const ASSIGNED: Duration = Duration::from_secs(15);
/// How often progress is reported and elections are asked for.
const TICK: Duration = Duration::from_secs(1);

/// What a run left behind.
#[derive(Debug)]
pub struct Ran {
    /// What every client saw, and every fault.
    pub history: History,
    /// What was measured.
    pub recorder: Recorder,
    /// The marks that clients and faults reached.
    pub marks: Marks,
}

/// Why a run could not be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunError {
    /// The target lacks something that the scenario needs.
    Unsupported(String),
    /// The cluster or the harness failed.
    Broken(String),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported(why) | Self::Broken(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for RunError {}

impl RunError {
    fn new(doing: &str, error: &Error) -> Self {
        let what = format!("{doing}: {error}");
        if error.class == ErrorClass::Unsupported { Self::Unsupported(what) } else { Self::Broken(what) }
    }
}

/// Carries out a plan on a cluster.
///
/// # Errors
/// When the target lacks a capability that the plan needs, before anything is sent; when the cluster does not
/// become ready, or a fault can be neither struck nor healed.
pub async fn run(
    cluster: Arc<dyn Cluster>,
    plan: Arc<Plan>,
    target: &str,
    sink: Sink,
) -> Result<Ran, RunError> {
    supported(&plan, target, cluster.capabilities())?;
    let notebook = Notebook::new(&plan, target, cluster.capabilities(), cluster.clock());
    let session = Session {
        cluster: Arc::clone(&cluster),
        plan: Arc::clone(&plan),
        notebook: notebook.clone(),
        sink,
        stage: Mutex::new(Stage::Preparing),
        real: Instant::now(),
    };
    let work = session.work();
    let ticks = session.ticks();
    let result = match select(pin!(work), pin!(ticks)).await {
        Either::Left((result, _)) | Either::Right((result, _)) => result,
    };
    session.elections().await;
    session.tick();
    session.end_clients();
    result?;
    let (history, recorder, marks) = notebook.close();
    Ok(Ran { history, recorder, marks })
}

/// Refuses a plan that needs what a target of this name with these capabilities lacks.
pub(crate) fn supported(plan: &Plan, target: &str, capabilities: &Capabilities) -> Result<(), RunError> {
    let Some(lacking) = plan.needs().into_iter().find(|need| !capabilities.has(*need)) else { return Ok(()) };
    let reason = capabilities.reason(lacking).map(|reason| format!(": {reason}")).unwrap_or_default();
    Err(RunError::Unsupported(format!("the target {target} lacks the capability {lacking}{reason}")))
}

/// Quantiles for the run's events; `None` without any sample.
pub(crate) fn latency(summary: &Summary) -> Option<Latency> {
    let nanos = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    (summary.count > 0).then(|| Latency {
        count: summary.count,
        p50: nanos(summary.p50),
        p95: nanos(summary.p95),
        p99: nanos(summary.p99),
        p999: nanos(summary.p999),
        max: nanos(summary.max),
    })
}

struct Session {
    cluster: Arc<dyn Cluster>,
    plan: Arc<Plan>,
    notebook: Notebook,
    sink: Sink,
    stage: Mutex<Stage>,
    real: Instant,
}

impl Session {
    fn enter(&self, stage: Stage) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
        self.tick();
    }

    fn phase(&self, phase: Phase) {
        self.notebook.observe(Observation::Phase(phase));
    }

    fn tick(&self) {
        let stage = *self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        (self.sink)(RunEvent::Progress(self.notebook.progress(stage, self.real.elapsed())));
    }

    /// Reports progress and writes down elections, for ever.
    async fn ticks(&self) -> Result<(), RunError> {
        let clock = self.cluster.clock();
        let mut next = clock.now();
        loop {
            next += TICK;
            clock.sleep_until(next).await;
            self.elections().await;
            self.tick();
        }
    }

    async fn elections(&self) {
        let elections = self.cluster.elections().await;
        let mut pages = self.notebook.pages();
        for election in elections {
            if pages.working {
                pages.marks.add(Mark::LeaderChanged);
            }
            let unit = pages.history.unit(&election.unit);
            let (leader, unclean) = (election.leader, election.unclean);
            let elected = Observation::Elected { unit, leader, unclean, epoch: None };
            pages.history.observe(election.time, ProcessId::HARNESS, elected);
        }
    }

    async fn work(&self) -> Result<(), RunError> {
        let clock = self.cluster.clock();
        self.prepare().await?;
        self.enter(Stage::Working);
        let began = clock.now();
        self.phase(Phase::WorkloadBegan);
        self.notebook.begin(began);
        self.start_producers(began);
        self.strike_all(began).await?;
        clock.sleep_until(began + self.plan.scenario().workload.lasts.get()).await;
        self.phase(Phase::WorkloadOver);

        self.enter(Stage::Recovering);
        self.cluster.heal_all().await.map_err(|error| RunError::new("healing what was broken", &error))?;
        self.phase(Phase::Healed);
        let deadline = clock.now() + self.plan.scenario().recovery.get();
        let (cluster, plan) = (&*self.cluster, &*self.plan);
        // One after the other, each as far as the deadline allows: what is missing shows in the drain.
        drain::recovered(cluster, plan, deadline).await;
        let sent = drain::sent(cluster, plan, deadline).await;
        drain::settled(cluster, &self.notebook, deadline).await;

        self.enter(Stage::Draining);
        let mut ends = BTreeMap::new();
        let caught_up = if plan.is_transactional() {
            closing::close(cluster, plan, &self.notebook, &mut ends, deadline).await
        } else {
            drain::caught_up(cluster, plan, &self.notebook, deadline).await
        };
        if caught_up {
            self.phase(Phase::CaughtUp);
        } else if plan.is_transactional() {
            closing::sample_ends(cluster, plan, &self.notebook).await;
        }
        self.end_clients();
        // A late reader gets some time of its own: not having read is no proof of anything.
        let deadline = deadline.max(clock.now() + ASSIGNED);
        if !sent || !caught_up {
            // Somebody may have written behind the ends until now.
            drain::settled(cluster, &self.notebook, deadline).await;
            if plan.is_transactional() {
                closing::seal(cluster, plan, &self.notebook, &mut ends, deadline).await;
            }
        }
        drain::drain(cluster, plan, &self.notebook, &ends, deadline)
            .await
            .map_err(|error| RunError::new("draining the log", &error))?;
        self.phase(Phase::Drained);
        Ok(())
    }

    fn end_clients(&self) {
        self.plan.scenario().client_names().iter().for_each(|name| self.cluster.end(name));
    }

    /// Topics, and consumers with their first units.
    async fn prepare(&self) -> Result<(), RunError> {
        let (cluster, clock) = (&self.cluster, self.cluster.clock());
        let deadline = clock.now() + READY;
        let topics = self.plan.topics();
        loop {
            match cluster.admin().create_topics(&topics).await {
                Ok(()) => break,
                Err(error) if error.class == ErrorClass::Retriable && clock.now() < deadline => {
                    clock.sleep(TICK / 5).await;
                }
                Err(error) => return Err(RunError::new("creating the topics", &error)),
            }
        }
        if !drain::recovered(&**cluster, &self.plan, deadline).await {
            let seconds = READY.as_secs();
            return Err(RunError::Broken(format!(
                "the cluster was not whole {seconds} s after the topics were created: some unit lacks a leader or a copy"
            )));
        }
        for consumer in self.plan.consumers() {
            let (plan, notebook) = (consumer.clone(), self.notebook.clone());
            let main: Main = Arc::new(move |bus, life| {
                if plan.forward.is_some() {
                    Box::pin(forward::forward(plan.clone(), bus, life, notebook.clone()))
                } else {
                    Box::pin(consumer::consume(plan.clone(), bus, life, notebook.clone()))
                }
            });
            cluster.start(consumer.name(), main);
        }
        let deadline = clock.now() + ASSIGNED;
        while self.notebook.pages().assigned.len() < self.plan.consumers().len() && clock.now() < deadline {
            clock.sleep(TICK / 20).await;
        }
        Ok(())
    }

    fn start_producers(&self, began: Time) {
        for producer in self.plan.producers() {
            let (plan, notebook) = (producer.clone(), self.notebook.clone());
            let main: Main = Arc::new(move |bus, life| {
                if plan.transactions.is_some() {
                    Box::pin(transactions::produce(plan.clone(), began, bus, life, notebook.clone()))
                } else {
                    Box::pin(producer::produce(plan.clone(), began, bus, life, notebook.clone()))
                }
            });
            self.cluster.start(producer.name(), main);
        }
    }

    /// All faults and changes, each in its own time; ends when the last is healed or made.
    async fn strike_all(&self, began: Time) -> Result<(), RunError> {
        let mut under_way = FuturesUnordered::new();
        for fault in self.plan.faults() {
            let striking: BoxFuture<'_, _> =
                Box::pin(faults::fault(&*self.cluster, fault, began, &self.notebook, &self.sink));
            under_way.push(striking);
        }
        for change in self.plan.changes() {
            let changing: BoxFuture<'_, _> =
                Box::pin(changes::change(&*self.cluster, &self.plan, change, began, &self.notebook));
            under_way.push(changing);
        }
        while let Some(result) = under_way.next().await {
            result?;
        }
        Ok(())
    }
}
