//! One bug looked for, seed after seed.
//!
//! - With the bug planted, seeds are run from 1 on until the history of one shows the bug's anomaly, forbidden; the
//!   model's invariants are off. What is found first does not depend on the number of threads.
//! - Without it, the same seeds are run, and at least [`Hunt::clean`] of them (or all there are): each that is invalid is
//!   a false alarm.

use crate::{
    Override, Plan, Scenario, ScenarioError, Target,
    explore::{Exploration, Limit, Preset},
    library,
    runner::Sink,
    runs::{How, simulate, unjudged},
};
use serde::Serialize;
use squall_history::{Kind, Report, Verdict, judge};
use squall_sim::bugs::Bug;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

/// Where a bug is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// In its own scenario.
    Directed,
    /// In what each seed draws from the scenario `storm`.
    Storm,
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
    /// The scenario that was run.
    pub scenario: &'static str,
    /// The anomaly that shows it.
    pub anomaly: Kind,
    /// Whether a seed showed it.
    pub found: bool,
    /// How many seeds were run until one did.
    pub seeds_needed: Option<u64>,
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

/// The scenario that every seed draws from on [`Ground::Storm`].
const STORM: &str = "storm";

impl Hunt {
    /// So many seeds are enough without a bug that is found at once.
    pub const CLEAN: u64 = 100;

    /// The name of the scenario.
    #[must_use]
    pub const fn scenario(&self) -> &'static str {
        match self.ground {
            Ground::Directed => self.bug.scenario,
            Ground::Storm => STORM,
        }
    }

    /// Runs the seeds.
    ///
    /// # Errors
    /// When the scenario is damaged, which a test rules out.
    pub fn run(&self) -> Result<Found, ScenarioError> {
        let planted = library::open(self.scenario(), &[Override::of_bug(self.bug.id)?])?;
        let shows = |report: &Report| {
            report.anomalies.iter().any(|anomaly| anomaly.kind == self.bug.anomaly && anomaly.forbidden())
        };
        let seeds_needed = self.first(&Arc::new(planted), self.seeds, &shows);
        let clean = Arc::new(library::open(self.scenario(), &[])?);
        let wrong = |report: &Report| matches!(report.verdict, Verdict::Invalid | Verdict::Broken);
        let upto = seeds_needed.unwrap_or(self.seeds).max(self.clean).min(self.seeds);
        let false_alarms = AtomicU64::new(0);
        self.each(&clean, upto, &|_, report| {
            if wrong(report) {
                false_alarms.fetch_add(1, Ordering::Relaxed);
            }
            false
        });
        Ok(Found {
            id: self.bug.id,
            source: self.bug.source,
            scenario: self.scenario(),
            anomaly: self.bug.anomaly,
            found: seeds_needed.is_some(),
            seeds_needed,
            false_alarms: false_alarms.into_inner(),
        })
    }

    /// The first seed whose report is such.
    fn first(
        &self,
        scenario: &Arc<Scenario>,
        seeds: u64,
        is_such: &(dyn Fn(&Report) -> bool + Sync),
    ) -> Option<u64> {
        let first = AtomicU64::new(u64::MAX);
        self.each(scenario, seeds, &|seed, report| {
            let found = is_such(report);
            if found {
                first.fetch_min(seed, Ordering::Relaxed);
            }
            found
        });
        let first = first.into_inner();
        (first < u64::MAX).then_some(first)
    }

    /// Runs seeds from 1 on, on all threads, until `enough` of one; those under way are finished.
    fn each(&self, scenario: &Arc<Scenario>, seeds: u64, enough: &(dyn Fn(u64, &Report) -> bool + Sync)) {
        let next = AtomicU64::new(1);
        thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed > seeds {
                            return;
                        }
                        if enough(seed, &self.report(scenario, seed)) {
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
                    named: STORM.to_owned(),
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
