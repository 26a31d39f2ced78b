//! One bug looked for, seed after seed.
//!
//! - With the bug planted, seeds are run from 1 on until the history of one shows the bug's anomaly, forbidden; the
//!   model's invariants are off. What is found first does not depend on the number of threads.
//! - Without it, the same seeds are run, and at least [`Hunt::clean`] of them (or all there are): each that is invalid is
//!   a false alarm.

use crate::{
    Plan, Scenario, ScenarioError, Target,
    explore::{Exploration, Limit, Preset},
    library,
    runner::Sink,
    runs::{How, simulate, unjudged},
};
use serde::Serialize;
use squall_history::{Kind, Report, Verdict, judge};
use squall_sim::bugs::Bug;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

/// Where a bug is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// In its own scenario.
    Directed,
    /// In what each seed draws from a storm: by turns from `storm`, `storm-in-transactions` and `storm-of-members`.
    Storm,
}

impl Ground {
    /// Whether hunts here prove that the checks bite: there is no false alarm, and every bug is found; in storms, which
    /// lead to none in particular, at least half of them.
    #[must_use]
    pub fn is_proof(self, hunts: &[Found]) -> bool {
        let found = hunts.iter().filter(|hunt| hunt.found).count();
        let enough = match self {
            Self::Directed => found == hunts.len(),
            Self::Storm => found * 2 >= hunts.len(),
        };
        enough && hunts.iter().all(|hunt| hunt.false_alarms == 0)
    }
}

/// A bug to look for.
#[derive(Clone, Debug)]
pub struct Hunt {
    /// The bug.
    pub bug: Bug,
    /// How many seeds at most, from 1 on.
    pub seeds: u64,
    /// How many seeds at least are run without the bug; all, if there are no more.
    pub clean: u64,
    /// Where.
    pub ground: Ground,
    /// On so many threads.
    pub threads: usize,
}

/// What came of a hunt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// The bug's id.
    pub id: &'static str,
    /// Who had it.
    pub source: &'static str,
    /// The scenario that shows it: its own, or the storm that did; `None` if no storm did.
    pub scenario: Option<&'static str>,
    /// The anomaly that shows it.
    pub anomaly: Kind,
    /// Whether a seed showed it.
    pub found: bool,
    /// How many seeds were run until one did.
    pub seeds_needed: Option<u64>,
    /// How many seeds were run with the bug, at most.
    pub seeds_tried: u64,
    /// How many of the same seeds are invalid without the bug.
    pub false_alarms: u64,
}

impl Found {
    /// Whether the bug was found, and nothing without it.
    #[must_use]
    pub const fn proves(&self) -> bool {
        self.found && self.false_alarms == 0
    }
}

/// What seeds came to without a bug: several bugs may share a scenario, and all share the storms.
///
/// Hunts that share it look over the same kind of ground on the same bus.
#[derive(Debug, Default)]
pub struct Calm(Mutex<BTreeMap<(&'static str, u64), bool>>);

impl Calm {
    /// Whether this seed of a scenario is invalid, as its report says if it is not known.
    fn is_wrong(&self, scenario: &'static str, seed: u64, report: impl FnOnce() -> Report) -> bool {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wrong = known().get(&(scenario, seed)).copied();
        wrong.unwrap_or_else(|| {
            let wrong = matches!(report().verdict, Verdict::Invalid | Verdict::Broken);
            known().insert((scenario, seed), wrong);
            wrong
        })
    }
}

/// The scenarios that seeds draw from by turns on [`Ground::Storm`].
pub const STORMS: [&str; 3] = ["storm", "storm-in-transactions", "storm-of-members"];

impl Hunt {
    /// So many seeds are enough without a bug that is found at once.
    pub const CLEAN: u64 = 100;

    /// The names of the scenarios that seeds take by turns.
    fn scenarios(&self) -> Vec<&'static str> {
        match self.ground {
            Ground::Directed => vec![self.bug.scenario],
            Ground::Storm => STORMS.to_vec(),
        }
    }

    /// Runs the seeds. What `calm` knows of them without a bug is not run again.
    ///
    /// # Errors
    /// When a scenario is damaged, which a test rules out.
    pub fn run(&self, calm: &Calm) -> Result<Found, ScenarioError> {
        let names = self.scenarios();
        let (mut clean, mut planted) = (Vec::new(), Vec::new());
        for name in &names {
            let scenario = library::open(name, &[])?;
            planted.push(Arc::new(library::open(name, &super::overrides(self.bug.id, &scenario)?)?));
            clean.push(Arc::new(scenario));
        }
        let shows = |report: &Report| {
            report.anomalies.iter().any(|anomaly| anomaly.kind == self.bug.anomaly && anomaly.forbidden())
        };
        let seeds_needed = self.first(&planted, &shows);
        let upto = seeds_needed.unwrap_or(self.seeds).max(self.clean).min(self.seeds);
        let false_alarms = AtomicU64::new(0);
        self.each(upto, &|seed| {
            let place = turn(seed, names.len());
            let is_wrong = calm.is_wrong(names[place], seed, || self.report(&clean[place], seed));
            false_alarms.fetch_add(u64::from(is_wrong), Ordering::Relaxed);
            false
        });
        let own = Some(self.bug.scenario).filter(|_| self.ground == Ground::Directed);
        Ok(Found {
            id: self.bug.id,
            source: self.bug.source,
            scenario: seeds_needed.map(|seed| names[turn(seed, names.len())]).or(own),
            anomaly: self.bug.anomaly,
            found: seeds_needed.is_some(),
            seeds_needed,
            seeds_tried: seeds_needed.unwrap_or(self.seeds),
            false_alarms: false_alarms.into_inner(),
        })
    }

    /// The first seed whose report is such.
    fn first(&self, scenarios: &[Arc<Scenario>], is_such: &(dyn Fn(&Report) -> bool + Sync)) -> Option<u64> {
        let first = AtomicU64::new(u64::MAX);
        self.each(self.seeds, &|seed| {
            let found = is_such(&self.report(&scenarios[turn(seed, scenarios.len())], seed));
            if found {
                first.fetch_min(seed, Ordering::Relaxed);
            }
            found
        });
        let first = first.into_inner();
        (first < u64::MAX).then_some(first)
    }

    /// Visits seeds from 1 on, on all threads, until one is `enough`; those under way are finished.
    fn each(&self, seeds: u64, enough: &(dyn Fn(u64) -> bool + Sync)) {
        let next = AtomicU64::new(1);
        thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed > seeds {
                            return;
                        }
                        if enough(seed) {
                            // Every smaller seed has been handed out.
                            next.store(seeds + 1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
    }

    /// The judgement on one seed.
    fn report(&self, scenario: &Arc<Scenario>, seed: u64) -> Report {
        let target = Target::Sim(self.bug.bus.to_owned());
        match self.ground {
            Ground::Directed => {
                let plan = Arc::new(Plan::new(Arc::clone(scenario), seed));
                let deaf: Sink = Arc::new(|_| {});
                match simulate(self.bug.bus, &plan, &deaf, How::default()).ran {
                    Ok(ran) => judge(&ran.history),
                    Err(error) => unjudged(&error),
                }
            }
            Ground::Storm => {
                let exploration = Exploration {
                    scenario: Arc::clone(scenario),
                    named: scenario.name.clone(),
                    overrides: Vec::new(),
                    target,
                    preset: Preset::default(),
                    first: seed,
                    limit: Limit::Seeds(1),
                    keep_going: false,
                    threads: 1,
                };
                exploration.run(seed).report
            }
        }
    }
}

/// Which of so many scenarios a seed takes.
const fn turn(seed: u64, scenarios: usize) -> usize {
    ((seed - 1) % scenarios as u64) as usize
}
