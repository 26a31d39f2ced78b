//! Storms: a user's own async service on a simulated cluster, over many seeds of faults, judged.
//!
//! A [`Storm`] says which cluster, which seeds, which faults and what to expect. [`Storm::run`] calls the body
//! once for each seed with a [`Trial`]: the body starts services (plain async code that gets a bus) and sends
//! records. Each seed goes through these phases, in virtual time:
//!
//! 1. Topics are created; when every copy of every unit is in sync the body is called.
//! 2. The body works while faults strike, at times drawn from the seed, and are healed.
//! 3. When the body is done and the last fault healed, the cluster recovers and the services catch up: every
//!    group is done with every unit that it reads, by its commits or its acks, and every delivered record is handled.
//! 4. A reader that no fault touched drains every unit, and the history is judged.
//!
//! The history is written by the buses that the trial hands out: every send, delivery, commit and rebalance goes
//! through them. What a service *did* with a record no bus can see: it says so to its [`Sink`]. The checks and
//! guarantees are those of `squall-history`, the same that judge scenarios.
//!
//! The first seed that fails is run again alone, in this process and in a fresh one. It is shrunk (`shrink`) and written
//! down as a capsule (`capsule`). Capsules that are kept in a folder, the *corpus*, are replayed (`replay`) before the
//! seeds.
//!
//! Seeds run one after the other in the process of the test, as `cargo test` has the other cores at work on other tests.
//! With [`workers`](Storm::workers), or the environment variable `SQUALL_WORKERS`, they are spread over so many worker
//! processes (`processes`), where they find the same.
//!
//! The environment variable `SQUALL_SEED` replaces the seeds of every storm in the process by that one, and
//! `SQUALL_CAPSULE` the seeds of its storm by that capsule: they stand in the commands that reproduce a failure.

mod capsule;
mod checks;
mod faults;
mod files;
mod finding;
mod finish;
mod named;
mod processes;
mod record;
mod recording;
mod replay;
mod shrink;
mod sweep;
mod table;
mod told;
mod trial;

pub use checks::FailedCheck;
pub use files::CAPSULE_VARIABLE;
pub use finding::Finding;
pub use processes::WORKERS_VARIABLE;
pub use shrink::SHRINK_VARIABLE;
pub use sweep::{Run, Shrunk, Sweep};
pub use table::{Key, Table, Transaction, Value};
pub use trial::{Service, Sink, Trial};

use crate::{
    cluster::Simulation,
    kernel::Choices,
    model::BusModel,
    runtime::{Options, ProcWarning},
    targets::{self, Simulated},
};
use finish::{Finish, Looks};
use processes::{Part, Place, Spread};
use record::Recorder;
use squall_bus::{BoxFuture, Cluster, ClusterSpec, Error, Fault, FaultKind, Role, Time, Topic, TopicSpec};
use squall_history::{
    Configuration, Expect, History, Meta, Report, Verdict, guarantees::Delivery, history::Phase, judge,
};
use std::{collections::BTreeMap, fmt, future::Future, ops::Range, path::PathBuf, sync::Arc, time::Duration};
use trial::Shared;

/// The environment variable that replaces the seeds.
pub const SEED_VARIABLE: &str = "SQUALL_SEED";

/// What a body gives back: an error means that the trial itself did not work, and its run is `broken`.
pub type BodyResult = Result<(), Error>;
type Body = Arc<dyn Fn(Trial) -> BoxFuture<'static, BodyResult> + Send + Sync>;

/// One kind of fault on one role, so many times.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Strikes {
    kind: FaultKind,
    role: Role,
    count: u32,
}

/// Which model a storm is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    Kafka,
    Nats,
}

/// What a storm has to do.
struct Todo {
    capsules: Vec<files::Filed>,
    seeds: Range<u64>,
    workers: usize,
}

/// A sweep of seeds over a service. See the [module](self).
#[derive(Clone, Debug)]
pub struct Storm {
    on: On,
    nodes: u32,
    seeds: Range<u64>,
    topics: Vec<(Topic, u32)>,
    strikes: Vec<Strikes>,
    during: Duration,
    recovery: Duration,
    handling: Duration,
    expect: Expect,
    dead_letters: Option<Topic>,
    options: Options,
    name: Option<String>,
    corpus: Option<PathBuf>,
    tries: u64,
    workers: Option<usize>,
}

impl Storm {
    /// On a simulated Kafka of three nodes, with the seeds 0 to 99 and without faults and topics. Delivery at
    /// least once is demanded.
    #[must_use]
    pub fn kafka() -> Self {
        Self::on(On::Kafka)
    }

    /// The same on a simulated NATS JetStream: a topic is a stream, a group has durable pull consumers, and each
    /// record is acknowledged on its own (`ack`, not `commit`).
    #[must_use]
    pub fn nats() -> Self {
        Self::on(On::Nats)
    }

    fn on(on: On) -> Self {
        Self {
            on,
            nodes: 3,
            seeds: 0..100,
            topics: Vec::new(),
            strikes: Vec::new(),
            during: Duration::from_secs(10),
            recovery: Duration::from_secs(120),
            handling: Duration::from_secs(30),
            expect: Expect { delivery: Some(Delivery::AtLeastOnce), ..Expect::default() },
            dead_letters: None,
            options: Options::default(),
            name: None,
            corpus: None,
            tries: shrink::TRIES,
            workers: None,
        }
    }

    /// With so many nodes.
    #[must_use]
    pub fn nodes(mut self, nodes: u32) -> Self {
        self.nodes = nodes.max(1);
        self
    }

    /// Over these seeds.
    #[must_use]
    pub fn seeds(mut self, seeds: Range<u64>) -> Self {
        self.seeds = seeds;
        self
    }

    /// With this topic: so many partitions, three copies of each where there are three nodes, and acks from all
    /// need all but one of them.
    #[must_use]
    pub fn topic(mut self, name: &str, partitions: u32) -> Self {
        self.topics.push((Topic::new(name), partitions));
        self
    }

    /// This fault strikes so many times, each at a time and for a time that the seed draws.
    #[must_use]
    pub fn strike(mut self, kind: FaultKind, role: Role, count: u32) -> Self {
        self.strikes.push(Strikes { kind, role, count });
        self
    }

    /// The process or node of this role is killed so many times, and started again each time.
    #[must_use]
    pub fn kill(self, role: Role, count: u32) -> Self {
        self.strike(FaultKind::Kill, role, count)
    }

    /// Faults strike in this time from the beginning of the body; 10 s without this.
    #[must_use]
    pub fn during(mut self, window: Duration) -> Self {
        self.during = window;
        self
    }

    /// The cluster and the services have so much time to recover and catch up; 120 s without this. A run that
    /// does not make it is `unknown`.
    #[must_use]
    pub fn recovery(mut self, time: Duration) -> Self {
        self.recovery = time;
        self
    }

    /// A handler takes no longer than this; 30 s without this. What no handler is done with so long after its
    /// group committed it is not processed.
    #[must_use]
    pub fn handling(mut self, time: Duration) -> Self {
        self.handling = time;
        self
    }

    /// Demands this, instead of delivery at least once, beyond what the bus promises for the producers and
    /// consumers that the services opened.
    #[must_use]
    pub fn expect(mut self, expect: Expect) -> Self {
        self.expect = expect;
        self
    }

    /// This topic, which is also given as a [`topic`](Self::topic), takes the records that services give up: one
    /// that a [`Sink`] gave up must be there. A record that a process sends there stands for the one with the same key
    /// and payload that it was handed last.
    #[must_use]
    pub fn dead_letters(mut self, topic: &str) -> Self {
        self.dead_letters = Some(Topic::new(topic));
        self
    }

    /// Under this name, in files and capsules; without it under that of the test that runs it.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Replays the capsules in this folder before the seeds, the shortest run first: those that were written by the
    /// storm of this name on this bus. A relative path counts from the folder of the package, where cargo runs tests.
    #[must_use]
    pub fn corpus(mut self, folder: impl Into<PathBuf>) -> Self {
        self.corpus = Some(folder.into());
        self
    }

    /// Shrinks the first failing seed in at most so many runs; 100 without this, none with 0 or where the environment
    /// variable `SQUALL_SHRINK` is `0`.
    #[must_use]
    pub fn shrinking(mut self, runs: u64) -> Self {
        self.tries = runs;
        self
    }

    /// Spreads the seeds over so many worker processes: this test once more, each for some of the seeds. Without this over
    /// as many as the environment variable `SQUALL_WORKERS` says, or over none: with 1 the seeds run in this process.
    ///
    /// Runs come back without their [history](Run::history), and what a body leaves in variables of the test or prints
    /// stays in its worker; the first failing seed is run in this process as well. A seed whose worker dies is `broken`.
    #[must_use]
    pub fn workers(mut self, processes: usize) -> Self {
        self.workers = Some(processes.max(1));
        self
    }

    /// Runs under these limits.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Replays the corpus, and runs every seed.
    pub fn run<F, Fut>(&self, body: F) -> Sweep
    where
        F: Fn(Trial) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = BodyResult> + Send + 'static,
    {
        let body: Body = Arc::new(move |trial| Box::pin(body(trial)));
        let place = Place::next();
        match place.part() {
            Part::Own => {}
            Part::Answered(sweep) => return sweep,
            Part::Serve => Place::serve(|seed, from| self.run_recorded(seed, from, &body)),
        }
        let sweep = match self.todo() {
            Ok(todo) => self.sweep(todo, &place, &body),
            Err(why) => Sweep { runs: vec![Run::broken(0, why)], ..Sweep::default() },
        };
        place.answered(&sweep);
        sweep
    }

    /// Runs one seed with these faults instead of those that it draws: for schedules that come from elsewhere, from
    /// proptest, say. If it fails a capsule is written, in the place of the one before, and `SQUALL_CAPSULE` replaces
    /// the seed and the faults by those of a capsule of this storm.
    pub fn run_faults<F, Fut>(&self, seed: u64, faults: Vec<Fault>, body: F) -> Run
    where
        F: Fn(Trial) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = BodyResult> + Send + 'static,
    {
        let body: Body = Arc::new(move |trial| Box::pin(body(trial)));
        match self.asked() {
            Ok(Some(filed)) => self.replay(&filed, &body),
            Ok(None) => {
                let mut run = Run { given: true, ..self.run_seed(seed, Some(faults), &body) };
                if !run.is_valid() {
                    self.write_down(&mut run);
                }
                run
            }
            Err(why) => Run::broken(seed, why),
        }
    }

    /// The capsule that the environment asks for, if it is one of this storm.
    fn asked(&self) -> Result<Option<files::Filed>, String> {
        let Some(path) = std::env::var_os(CAPSULE_VARIABLE) else { return Ok(None) };
        let filed = files::read_named(path.as_ref()).map_err(|why| format!("{CAPSULE_VARIABLE}: {why}"))?;
        Ok(Some(filed).filter(|filed| self.is_of(&filed.capsule)))
    }

    /// What the environment and the corpus leave to do.
    fn todo(&self) -> Result<Todo, String> {
        if let Some(filed) = self.asked()? {
            return Ok(Todo { capsules: vec![filed], seeds: 0..0, workers: 1 });
        }
        if let Ok(text) = std::env::var(SEED_VARIABLE) {
            let wrong = || format!("{SEED_VARIABLE}=`{text}` is no seed: give a whole number from 0 on");
            let seed: u64 = text.parse().map_err(|_| wrong())?;
            let seeds = seed..seed.checked_add(1).ok_or_else(wrong)?;
            return Ok(Todo { capsules: Vec::new(), seeds, workers: 1 });
        }
        let mut capsules = match &self.corpus {
            Some(folder) => files::read_folder(folder)?,
            None => Vec::new(),
        };
        capsules.retain(|filed| self.is_of(&filed.capsule));
        let workers = self.workers.map_or_else(processes::workers_from_environment, Ok)?;
        Ok(Todo { capsules, seeds: self.seeds.clone(), workers })
    }

    fn sweep(&self, todo: Todo, place: &Place, body: &Body) -> Sweep {
        let replays = todo.capsules.iter().map(|filed| self.replay(filed, body)).collect();
        // One seed is not worth a process.
        let workers = todo
            .workers
            .min(usize::try_from(todo.seeds.end.saturating_sub(todo.seeds.start)).unwrap_or(usize::MAX));
        let mut spread = match workers {
            0 | 1 => Spread::none(todo.seeds),
            _ => place.spread(todo.seeds, workers, self.options.watchdog),
        };
        for seed in spread.left {
            spread.runs.insert(seed, self.run_seed(seed, None, body));
        }
        let mut runs: Vec<Run> = spread.runs.into_values().collect();
        // What ended a worker would end this process as well.
        if let Some(run) = runs.iter_mut().find(|run| !run.is_valid() && !run.lost) {
            self.look_into(run, place, body);
        }
        Sweep { runs, replays, notes: spread.notes }
    }

    /// All that is done for the first failing seed.
    fn look_into(&self, run: &mut Run, place: &Place, body: &Body) {
        let seed = run.seed;
        if run.history.is_none() {
            let here = self.run_seed(seed, None, body);
            if here.footprint.parts_from(&run.footprint).is_none() {
                *run = here;
            }
        }
        let watchdog = self.options.watchdog;
        place.confirm(run, watchdog, &mut |from| self.run_recorded(seed, from, body).footprint);
        self.shrink(run, body);
        self.write_down(run);
    }

    /// One seed, with the events behind this checkpoint in its footprint.
    fn run_recorded(&self, seed: u64, record_from: Option<u64>, body: &Body) -> Run {
        let storm = self.clone().options(Options { record_from, ..self.options.clone() });
        storm.run_seed(seed, None, body)
    }

    /// Looks for fewer faults with which a seed shows the same.
    fn shrink(&self, run: &mut Run, body: &Body) {
        let off = std::env::var(SHRINK_VARIABLE).is_ok_and(|text| text == "0");
        let Some(finding) = Finding::of(run).into_iter().next().filter(Finding::shrinks) else { return };
        if off || self.tries == 0 || run.faults.is_empty() || run.repeats == Some(false) {
            return;
        }
        let attempt = |faults: &[Fault]| self.run_seed(run.seed, Some(faults.to_vec()), body);
        let shows = |faults: &Vec<Fault>| Finding::of(&attempt(faults)).contains(&finding);
        let smaller = shrink::shrink(&run.faults, self.tries, shows);
        let shrunk = Box::new(attempt(&smaller.faults));
        run.shrunk = Some(Shrunk { run: shrunk, finding, tries: smaller.tries });
    }

    /// One seed, with these faults instead of those that it draws.
    fn run_seed(&self, seed: u64, faults: Option<Vec<Fault>>, body: &Body) -> Run {
        let (spec, choices) = (ClusterSpec::of(self.nodes), Choices::new(seed));
        let faults = faults.unwrap_or_else(|| faults::draw(&self.strikes, self.during, &choices));
        let ran = match self.on {
            On::Kafka => targets::kafka(spec, choices).map(|on| self.run_on(on, seed, faults, body)),
            On::Nats => targets::nats(spec, choices).map(|on| self.run_on(on, seed, faults, body)),
        };
        ran.unwrap_or_else(|error| Run::broken(seed, error.to_string()))
    }

    fn run_on<M: BusModel>(
        &self,
        simulation: Simulation<M>,
        seed: u64,
        faults: Vec<Fault>,
        body: &Body,
    ) -> Run {
        let (storm, body, planned) = (self.clone(), Arc::clone(body), faults.clone());
        let ended = simulation.run(self.options.clone(), move |cluster| {
            let (procs, leaks) = (Arc::clone(&cluster), Arc::clone(&cluster));
            let shares = !cluster.capabilities().assignment;
            let recorder = Recorder::new(storm.meta(seed), shares, cluster.clock());
            let shared = Shared {
                seed,
                cluster,
                proc_of: Box::new(move |name| procs.proc(name)),
                warnings: Box::new(move || leaks.warnings()),
                recorder,
                services: std::sync::Mutex::default(),
                checks: std::sync::Mutex::default(),
            };
            async move { storm.work(Arc::new(shared), planned, body).await }
        });
        let (hash, events) = (Simulated::hash(&simulation), Simulated::events(&simulation));
        let (warnings, footprint) = (simulation.warnings(), simulation.footprint());
        let run = Run { hash, events, faults, warnings, footprint, ..Run::empty(seed) };
        match ended {
            Ok(Ok(Worked { history, failed_checks, warnings })) => {
                let report = checks::with_failed(judge(&history), &failed_checks);
                Run { report, history: Some(history), failed_checks, warnings, ..run }
            }
            Ok(Err(trouble)) => Run { report: broken(&trouble), ..run },
            Err(why) => Run { report: broken(&why), broken: Some(why), ..run },
        }
    }

    /// The phases of one seed.
    async fn work(&self, shared: Arc<Shared>, planned: Vec<Fault>, body: Body) -> Result<Worked, Trouble> {
        let (cluster, recorder) = (Arc::clone(&shared.cluster), Arc::clone(&shared.recorder));
        let finish = Finish {
            cluster: Arc::clone(&cluster),
            recorder: Arc::clone(&recorder),
            topics: self.topics.clone(),
        };
        let clock = cluster.clock();
        self.prepare(&finish).await?;
        recorder.phase(Phase::WorkloadBegan);
        let began = clock.now();
        let elections = tokio::spawn(faults::elections(Arc::clone(&cluster), Arc::clone(&recorder)));
        let strikes: Vec<_> = (planned.into_iter())
            .map(|fault| {
                tokio::spawn(faults::fault(Arc::clone(&cluster), fault, began, Arc::clone(&recorder)))
            })
            .collect();
        body(Trial::new(Arc::clone(&shared))).await.map_err(|error| Trouble::Body(error.to_string()))?;
        recorder.phase(Phase::WorkloadOver);
        for strike in strikes {
            match strike.await {
                Ok(result) => result.map_err(|error| Trouble::Fault(error.to_string()))?,
                Err(error) => return Err(Trouble::Fault(error.to_string())),
            }
        }
        cluster.heal_all().await.map_err(|error| Trouble::Fault(error.to_string()))?;
        recorder.phase(Phase::Healed);
        let healed = clock.now();
        let deadline = healed + self.recovery;
        finish.whole(deadline).await;
        let holds = || shared.checks().hold_by_now();
        let failed_checks = if finish.caught_up(healed, deadline, self.handling, &holds).await {
            recorder.phase(Phase::CaughtUp);
            shared.checks().assert()
        } else {
            // What must hold in the end cannot be asked before the end.
            shared.checks().never_held()
        };
        let drained_by = deadline.max(clock.now() + self.recovery);
        finish.drain(healed, drained_by).await.map_err(Trouble::cluster)?;
        recorder.phase(Phase::Drained);
        elections.abort();
        recorder.elected(cluster.elections().await);
        let history = recorder.close();
        // A service that is ended here holds its handles until it is polled again, which is no leak.
        let warnings = (shared.warnings)();
        shared.end_services();
        Ok(Worked { history, failed_checks, warnings })
    }

    async fn prepare(&self, finish: &Finish) -> Result<(), Trouble> {
        let copies = self.nodes.min(3);
        let specs: Vec<TopicSpec> = (self.topics.iter())
            .map(|(topic, partitions)| TopicSpec {
                topic: topic.clone(),
                partitions: *partitions,
                replicas: copies,
                min_insync: copies.saturating_sub(1).max(1),
                config: BTreeMap::new(),
            })
            .collect();
        let deadline = Time::ZERO + self.recovery;
        let (admin, looks) = (finish.cluster.admin(), Looks::until(&*finish.cluster, deadline));
        while let Err(error) = admin.create_topics(&specs).await {
            if looks.are_over().await {
                return Err(Trouble::cluster(error));
            }
        }
        if finish.whole(deadline).await { Ok(()) } else { Err(Trouble::NotWhole(self.recovery)) }
    }

    fn target(&self) -> &'static str {
        match self.on {
            On::Kafka => "sim:kafka",
            On::Nats => "sim:nats",
        }
    }

    fn meta(&self, seed: u64) -> Meta {
        let copies = self.nodes.min(3);
        Meta {
            scenario: "storm".to_owned(),
            target: self.target().to_owned(),
            seed,
            configuration: Configuration {
                replicas: copies,
                min_insync: copies.saturating_sub(1).max(1),
                dlq: self.dead_letters.as_ref().map(ToString::to_string),
                ..Configuration::default()
            },
            expect: self.expect.clone(),
        }
    }
}

/// What came of the phases of a seed.
struct Worked {
    history: History,
    failed_checks: Vec<FailedCheck>,
    warnings: Vec<ProcWarning>,
}

/// Why a seed could not be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Trouble {
    Body(String),
    Fault(String),
    Cluster(String),
    NotWhole(Duration),
}

impl Trouble {
    fn cluster(error: Error) -> Self {
        Self::Cluster(error.to_string())
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body(why) => write!(f, "the body of the storm gave up: {why}"),
            Self::Fault(why) => write!(f, "a fault could be neither struck nor healed: {why}"),
            Self::Cluster(why) => write!(f, "the cluster did not do its part: {why}"),
            Self::NotWhole(time) => {
                write!(
                    f,
                    "some unit lacked a leader or a copy {} s after its topic was created",
                    time.as_secs()
                )
            }
        }
    }
}

fn broken(why: &impl fmt::Display) -> Report {
    Report::unjudged(Verdict::Broken, why.to_string())
}
