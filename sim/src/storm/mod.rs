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
//! The environment variable `SQUALL_SEED` replaces the seeds of every storm in the process by that one: it stands
//! in the command that reproduces a failure.

mod faults;
mod finish;
mod record;
mod recording;
mod relay;
mod sweep;
mod trial;

pub use sweep::{Run, Sweep};
pub use trial::{Service, Sink, Trial};

use crate::{
    cluster::Simulation,
    kernel::Choices,
    model::BusModel,
    runtime::Options,
    targets::{self, Simulated},
};
use finish::Finish;
use record::Recorder;
use squall_bus::{BoxFuture, Cluster, ClusterSpec, Error, FaultKind, Role, Time, Topic, TopicSpec};
use squall_history::{
    Configuration, Expect, Meta, Report, Verdict, guarantees::Delivery, history::Phase, judge,
};
use std::{collections::BTreeMap, fmt, future::Future, ops::Range, sync::Arc, time::Duration};
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
    options: Options,
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
            options: Options::default(),
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

    /// Runs under these limits.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Runs every seed, one after the other.
    pub fn run<F, Fut>(&self, body: F) -> Sweep
    where
        F: Fn(Trial) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = BodyResult> + Send + 'static,
    {
        let body: Body = Arc::new(move |trial| Box::pin(body(trial)));
        let chosen = std::env::var(SEED_VARIABLE).map(|text| (text.parse::<u64>(), text));
        let seeds: Box<dyn Iterator<Item = u64>> = match chosen {
            Err(_) => Box::new(self.seeds.clone()),
            Ok((Ok(seed), _)) => Box::new(std::iter::once(seed)),
            Ok((Err(_), text)) => {
                let why = format!("{SEED_VARIABLE}=`{text}` is no seed: give a whole number from 0 on");
                return Sweep { runs: vec![Run::broken(0, why)] };
            }
        };
        let mut runs: Vec<Run> = Vec::new();
        let mut failed = false;
        for seed in seeds {
            let mut run = self.run_seed(seed, &body);
            if !run.is_valid() && !failed {
                failed = true;
                run.repeats = Some(self.run_seed(seed, &body).hash == run.hash);
            }
            runs.push(run);
        }
        Sweep { runs }
    }

    /// One seed.
    fn run_seed(&self, seed: u64, body: &Body) -> Run {
        let (spec, choices) = (ClusterSpec::of(self.nodes), Choices::new(seed));
        let ran = match self.on {
            On::Kafka => targets::kafka(spec, choices.clone()).map(|on| self.run_on(on, seed, choices, body)),
            On::Nats => targets::nats(spec, choices.clone()).map(|on| self.run_on(on, seed, choices, body)),
        };
        ran.unwrap_or_else(|error| Run::broken(seed, error.to_string()))
    }

    fn run_on<M: BusModel>(
        &self,
        simulation: Simulation<M>,
        seed: u64,
        choices: Choices,
        body: &Body,
    ) -> Run {
        let faults = faults::draw(&self.strikes, self.during, &choices);
        let (storm, body, planned) = (self.clone(), Arc::clone(body), faults.clone());
        let ended = simulation.run(self.options.clone(), move |cluster| {
            let procs = Arc::clone(&cluster);
            let shares = !cluster.capabilities().assignment;
            let recorder = Recorder::new(storm.meta(seed), shares, cluster.clock());
            let shared = Shared {
                seed,
                cluster,
                proc_of: Box::new(move |name| procs.proc(name)),
                recorder,
                services: std::sync::Mutex::default(),
            };
            async move { storm.work(Arc::new(shared), planned, body).await }
        });
        let (report, history) = match ended {
            Ok(Ok(history)) => (judge(&history), Some(history)),
            Ok(Err(trouble)) => (Report::unjudged(Verdict::Broken, trouble.to_string()), None),
            Err(broken) => (Report::unjudged(Verdict::Broken, broken.to_string()), None),
        };
        let (hash, warnings) = (Simulated::hash(&simulation), simulation.warnings());
        let events = Simulated::events(&simulation);
        Run { seed, report, hash, events, faults, history, warnings, repeats: None }
    }

    /// The phases of one seed.
    async fn work(
        &self,
        shared: Arc<Shared>,
        planned: Vec<squall_bus::Fault>,
        body: Body,
    ) -> Result<squall_history::History, Trouble> {
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
        let deadline = clock.now() + self.recovery;
        finish.whole(deadline).await;
        if finish.caught_up(deadline).await {
            finish.handled(self.handling).await;
            recorder.phase(Phase::CaughtUp);
        }
        finish.drain(deadline.max(clock.now() + self.recovery)).await.map_err(Trouble::cluster)?;
        recorder.phase(Phase::Drained);
        elections.abort();
        recorder.elected(cluster.elections().await);
        let history = recorder.close();
        shared.end_services();
        Ok(history)
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
        let admin = finish.cluster.admin();
        while let Err(error) = admin.create_topics(&specs).await {
            if finish.is_late(deadline).await {
                return Err(Trouble::cluster(error));
            }
        }
        if finish.whole(deadline).await { Ok(()) } else { Err(Trouble::NotWhole(self.recovery)) }
    }

    fn meta(&self, seed: u64) -> Meta {
        let copies = self.nodes.min(3);
        Meta {
            scenario: "storm".to_owned(),
            target: match self.on {
                On::Kafka => "sim:kafka".to_owned(),
                On::Nats => "sim:nats".to_owned(),
            },
            seed,
            configuration: Configuration {
                replicas: copies,
                min_insync: copies.saturating_sub(1).max(1),
                ..Configuration::default()
            },
            expect: self.expect.clone(),
        }
    }
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

impl Run {
    /// A seed that was not run.
    fn broken(seed: u64, why: String) -> Self {
        let report = Report::unjudged(Verdict::Broken, why);
        Self {
            seed,
            report,
            hash: 0,
            events: 0,
            faults: Vec::new(),
            history: None,
            warnings: Vec::new(),
            repeats: None,
        }
    }
}
