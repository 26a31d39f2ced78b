//! What came of a storm: a run for each seed, and the text that a failing test shows.

use crate::runtime::ProcWarning;
use squall_bus::Fault;
use squall_history::{Anomaly, History, Report, Verdict};
use std::fmt;

/// How many failing seeds are told in full.
const TOLD: usize = 1;

/// One seed.
#[derive(Clone, Debug)]
pub struct Run {
    /// The seed.
    pub seed: u64,
    /// The judgement.
    pub report: Report,
    /// The hash of all kernel events: equal for equal runs.
    pub hash: u64,
    /// How many kernel events there were.
    pub events: u64,
    /// The faults that the seed drew, in the order of their times, which count from the beginning of the body.
    pub faults: Vec<Fault>,
    /// What every client saw; `None` when the run is broken.
    pub history: Option<History>,
    /// Tasks that outlived their service's crash.
    pub warnings: Vec<ProcWarning>,
    /// Whether a second run of this seed had the same hash. Only the first failing seed is run again.
    pub repeats: Option<bool>,
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

    /// The command that runs this seed again: under `cargo test` a test's thread bears the test's name.
    #[must_use]
    pub fn reproduce(&self) -> String {
        let thread = std::thread::current();
        let test = thread.name().filter(|name| *name != "main");
        let filter = test.map(|name| format!(" {name} -- --exact")).unwrap_or_default();
        format!("{}={} cargo test{filter}", super::SEED_VARIABLE, self.seed)
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}: {}", self.seed, self.report.verdict, self.report.reason)?;
        for anomaly in self.report.anomalies.iter().filter(|one| one.forbidden() || one.ruling.undecided()) {
            let verb = if anomaly.forbidden() { "forbidden" } else { "undecided" };
            writeln!(f, "  {} of {}, {verb}: {}", anomaly.count, anomaly.kind, anomaly.clause())?;
            for line in anomaly.story().lines() {
                writeln!(f, "    {line}")?;
            }
        }
        for fault in &self.faults {
            writeln!(f, "  at {} {fault} for {} ms", fault.at, fault.lasts.as_millis())?;
        }
        for warning in &self.warnings {
            writeln!(f, "  warning: {warning}")?;
        }
        if self.repeats == Some(false) {
            writeln!(
                f,
                "  warning: a second run of this seed went another way: something in the service is not decided by \
                 the seed (the order of a HashMap, random numbers, the wall clock, a thread)"
            )?;
        }
        write!(f, "  run it again: {}", self.reproduce())
    }
}

/// All seeds of a storm.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// A run for each seed, in order.
    pub runs: Vec<Run>,
}

impl Sweep {
    /// The runs that did not pass.
    pub fn failures(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(|run| !run.is_valid())
    }

    /// Fails the test unless every seed is valid.
    ///
    /// # Panics
    /// With the story of the first failing seed and the command that runs it again.
    #[track_caller]
    pub fn assert_valid(&self) {
        assert!(!self.runs.is_empty(), "the storm had no seeds: nothing was tested");
        assert!(self.failures().next().is_none(), "{self}");
    }
}

/// How many seeds passed, and the first that did not in full.
impl fmt::Display for Sweep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = self.failures().count();
        write!(f, "{} of {} seeds are valid", self.runs.len() - failed, self.runs.len())?;
        for run in self.failures().take(TOLD) {
            write!(f, "\n{run}")?;
        }
        Ok(())
    }
}
