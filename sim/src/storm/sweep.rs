//! What came of a storm: a run for each seed.

use super::{CAPSULE_VARIABLE, SEED_VARIABLE, checks::FailedCheck, finding::Finding};
use crate::{
    guard::Footprint,
    runtime::{Broken, ProcWarning},
    wire,
};
use serde::{Deserialize, Serialize};
use squall_bus::Fault;
use squall_history::{
    Anomaly, History, Report, Verdict,
    events::Hit,
    history::{Observation, Struck},
};
use std::{
    env,
    path::{Path, PathBuf},
    thread,
};

/// One seed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// The seed.
    pub seed: u64,
    /// The judgement.
    pub report: Report,
    /// The hash of all kernel events: equal for equal runs.
    pub hash: u64,
    /// How many kernel events there were.
    pub events: u64,
    /// The faults that the seed drew, or those of the capsule, in the order of their times, which count from the
    /// beginning of the body.
    #[serde(with = "super::capsule::schedule")]
    pub faults: Vec<Fault>,
    /// What every client saw; `None` when the run is broken, and when a [worker](super::Storm::workers) ran it, where it
    /// stays.
    #[serde(skip)]
    pub history: Option<History>,
    /// Tasks that outlived their service's crash.
    pub warnings: Vec<ProcWarning>,
    /// What the run left, to be compared with that of another run of this seed.
    #[serde(with = "wire::text")]
    pub footprint: Footprint,
    /// Whether two more runs of this seed had the same hash, one in this process and one in a fresh one, where the
    /// test can be run by its name. Only the first failing seed is run again.
    pub repeats: Option<bool>,
    /// The checks of the test that failed.
    pub failed_checks: Vec<FailedCheck>,
    /// Why the run could not be carried out, where the runtime says it.
    pub broken: Option<Broken>,
    /// The same seed with fewer and shorter faults. Only the first failing seed is shrunk.
    pub shrunk: Option<Shrunk>,
    /// The capsule that was replayed; `None` for a seed of the storm.
    pub replayed: Option<PathBuf>,
    /// The capsule that was written. Only for the first failing seed.
    pub capsule: Option<PathBuf>,
    /// What else there is to say about it, in sentences.
    pub notes: Vec<String>,
    /// Its worker process ended before it did.
    #[serde(skip)]
    pub(super) lost: bool,
    /// Its faults were given, and are not those that the seed draws.
    pub(super) given: bool,
}

/// A failing seed with fewer and shorter faults.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Shrunk {
    /// The run with these faults.
    pub run: Box<Run>,
    /// What both runs show.
    #[serde(with = "wire::text")]
    pub finding: Finding,
    /// How many runs it took to find.
    pub tries: u64,
}

impl Run {
    /// Whether the verdict is `valid`, which alone is a pass.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.report.verdict == Verdict::Valid
    }

    /// The anomalies that break a promise.
    pub fn forbidden(&self) -> impl Iterator<Item = &Anomaly> {
        self.report.anomalies.iter().filter(|anomaly| anomaly.forbidden())
    }

    /// What makes the run fail, the most telling first; nothing if it is valid.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        Finding::of(self)
    }

    /// What a fault of this number hit.
    pub(super) fn hit(&self, id: u32) -> Option<&Hit> {
        let notes = self.history.as_ref()?.notes();
        notes.iter().find_map(|(_, note)| match note {
            Observation::Fault(Struck { id: struck, hit, .. }) if *struck == id => Some(hit),
            _ => None,
        })
    }

    /// The command that runs this seed, or this capsule, again.
    #[must_use]
    pub fn reproduce(&self) -> String {
        // A seed alone does not know of faults that were given.
        let written = self.capsule.as_ref().filter(|_| self.given);
        match self.replayed.as_ref().or(written) {
            Some(path) => Self::reproduce_capsule(path),
            None => format!("{SEED_VARIABLE}={} {}", self.seed, cargo_test()),
        }
    }

    /// The command that replays a capsule.
    pub(super) fn reproduce_capsule(path: &Path) -> String {
        format!("{CAPSULE_VARIABLE}={} {}", path.display(), cargo_test())
    }

    /// A seed of which nothing is known yet.
    pub(super) fn empty(seed: u64) -> Self {
        Self {
            seed,
            report: Report::unjudged(Verdict::Broken, "it was not run"),
            hash: 0,
            events: 0,
            footprint: Footprint::default(),
            faults: Vec::new(),
            history: None,
            warnings: Vec::new(),
            repeats: None,
            failed_checks: Vec::new(),
            broken: None,
            shrunk: None,
            replayed: None,
            capsule: None,
            notes: Vec::new(),
            lost: false,
            given: false,
        }
    }

    /// A seed that was not run.
    pub(super) fn broken(seed: u64, why: impl Into<String>) -> Self {
        Self { report: Report::unjudged(Verdict::Broken, why), ..Self::empty(seed) }
    }

    /// A seed whose run was lost with its process.
    pub(super) fn lost(seed: u64, why: impl Into<String>) -> Self {
        Self { lost: true, ..Self::broken(seed, why) }
    }

    /// All of it but the history, which is too large to be kept or sent along.
    fn without_history(&self) -> Self {
        let shrunk = |shrunk: &Shrunk| Shrunk {
            run: Box::new(shrunk.run.without_history()),
            finding: shrunk.finding.clone(),
            tries: shrunk.tries,
        };
        Self {
            report: self.report.clone(),
            hash: self.hash,
            events: self.events,
            faults: self.faults.clone(),
            warnings: self.warnings.clone(),
            footprint: self.footprint.clone(),
            repeats: self.repeats,
            failed_checks: self.failed_checks.clone(),
            broken: self.broken.clone(),
            shrunk: self.shrunk.as_ref().map(shrunk),
            replayed: self.replayed.clone(),
            capsule: self.capsule.clone(),
            notes: self.notes.clone(),
            ..Self::empty(self.seed)
        }
    }
}

/// The test that this thread runs: the harness names its threads after their tests, and cargo-nextest, where a test
/// may run on the main thread, says it in the environment.
pub(super) fn test_name() -> Option<String> {
    let thread = thread::current();
    let named = thread.name().filter(|name| *name != "main").map(str::to_owned);
    named.or_else(|| env::var("NEXTEST_TEST_NAME").ok())
}

/// The command that runs the present test alone. Cargo names the package to the tests that it runs.
fn cargo_test() -> String {
    let package = env::var("CARGO_PKG_NAME").map(|name| format!(" -p {name}")).unwrap_or_default();
    let filter = test_name().map(|name| format!(" {name} -- --exact")).unwrap_or_default();
    format!("cargo test{package}{filter}")
}

/// All seeds of a storm.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sweep {
    /// A run for each seed, in order.
    pub runs: Vec<Run>,
    /// A run for each capsule of the corpus, the shortest first.
    pub replays: Vec<Run>,
    /// What else there is to say about all of it, in sentences.
    pub notes: Vec<String>,
}

impl Sweep {
    /// All of it but the histories.
    pub(super) fn without_histories(&self) -> Self {
        let without = |runs: &[Run]| runs.iter().map(Run::without_history).collect();
        Self { runs: without(&self.runs), replays: without(&self.replays), notes: self.notes.clone() }
    }

    /// The runs that did not pass, those of capsules first.
    pub fn failures(&self) -> impl Iterator<Item = &Run> {
        self.replays.iter().chain(&self.runs).filter(|run| !run.is_valid())
    }

    /// Fails the test unless every capsule and every seed is valid.
    ///
    /// # Panics
    /// With the story of the first that fails and the commands that run it again.
    #[track_caller]
    pub fn assert_valid(&self) {
        let nothing = self.runs.is_empty() && self.replays.is_empty();
        assert!(!nothing, "the storm had no seeds: nothing was tested");
        assert!(self.failures().next().is_none(), "{self}");
    }
}
