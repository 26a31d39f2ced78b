//! Many seeds on all cores.
//!
//! - Seeds are handed out one after the other, to whichever thread is free. What one seed does depends on nothing
//!   else, so a sweep over the same seeds finds the same whatever the number of threads.
//! - At the first failure no further seed is handed out; those under way are finished. Every seed below the lowest
//!   that failed has then been run, so that one is the first, however the threads raced.
//! - A sweep that keeps going, or has a budget of time, ends when its seeds or its time are used up.
//! - A run that panics is `broken`: a defect of the simulator, with the seed that shows it.

use super::{
    budget::Class,
    draw::{Preset, draw},
    summary::{Failure, Summary},
};
use crate::{Job, Override, Plan, Scenario, Target, runs::arguments, runs::quoted};
use squall_bus::Capabilities;
use squall_history::{Report, Verdict};
use squall_sim::kernel::Marks;
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// When a sweep is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// After so many seeds.
    Seeds(u64),
    /// When so much time has passed; at least one seed is run.
    Time(Duration),
}

/// What to explore, and how.
#[derive(Clone, Debug)]
pub struct Exploration {
    /// The scenario, overrides applied.
    pub scenario: Arc<Scenario>,
    /// How the user named it: a library name or a path.
    pub named: String,
    /// The overrides, for the command that reproduces.
    pub overrides: Vec<Override>,
    /// Where: a simulated target.
    pub target: Target,
    /// How much each seed draws.
    pub preset: Preset,
    /// The first seed.
    pub first: u64,
    /// When it is over.
    pub limit: Limit,
    /// It goes on after a failure.
    pub keep_going: bool,
    /// On so many threads.
    pub threads: usize,
}

/// What came of one seed.
#[derive(Clone, Debug)]
pub struct Explored {
    /// What was run.
    pub job: Job,
    /// Its faults against the budget.
    pub class: Class,
    /// The judgement.
    pub report: Report,
    /// How much virtual time passed.
    pub time: Duration,
    /// The hash of the run; `None` for one that was not carried out.
    pub hash: Option<String>,
    /// The marks that it reached.
    pub marks: Marks,
}

impl Explored {
    /// Whether it shows that something is wrong. Evidence that is missing beyond the budget shows nothing: too much
    /// may have been broken to gather it.
    #[must_use]
    pub fn fails(&self) -> bool {
        match self.report.verdict {
            Verdict::Valid => false,
            Verdict::Unknown => self.class == Class::Within,
            Verdict::Invalid | Verdict::Unsupported | Verdict::Broken => true,
        }
    }
}

/// How far a sweep is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Seeds that were run.
    pub seeds: u64,
    /// Of these, failed.
    pub failures: u64,
    /// The kinds of failures, by the lowest seed, and in how many seeds each was found.
    pub kinds: Vec<(String, u64)>,
    /// Marks reached so far.
    pub marks: usize,
    /// Marks that the target can reach.
    pub marks_in_all: usize,
    /// Since the sweep began.
    pub elapsed: Duration,
}

impl Exploration {
    /// What this seed is: a run of what it draws.
    #[must_use]
    pub fn job(&self, seed: u64) -> (Job, Class) {
        self.job_on(&self.target.capabilities(), seed)
    }

    fn job_on(&self, capabilities: &Capabilities, seed: u64) -> (Job, Class) {
        let drawn = draw(&self.scenario, self.preset, capabilities, seed);
        let job = Job {
            scenario: drawn.scenario,
            named: self.named.clone(),
            overrides: self.overrides.clone(),
            target: self.target.clone(),
            seed,
        };
        (job, drawn.class)
    }

    /// The one command that runs exactly this seed again.
    #[must_use]
    pub fn reproduce(&self, seed: u64) -> String {
        let mut command =
            format!("squall explore {} --on {} --seed {seed}", quoted(&self.named), self.target);
        if let Some(flag) = self.preset.flag() {
            command.push_str(&format!(" {flag}"));
        }
        command.push_str(&arguments(&self.overrides));
        command
    }

    /// Why this cannot be explored, if so.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        let target = self.target.to_string();
        if !self.target.is_simulated() {
            return Some(format!(
                "the target {target} cannot be explored: only simulated runs are repeatable; use `squall run`"
            ));
        }
        let faultless = Scenario { faults: Vec::new(), ..(*self.scenario).clone() };
        crate::runner::supported(&Plan::new(faultless, self.first), &target, &self.target.capabilities())
            .err()
            .map(|error| error.to_string())
    }

    /// Runs one seed.
    #[must_use]
    pub fn run(&self, seed: u64) -> Explored {
        self.run_on(&self.target.capabilities(), seed)
    }

    fn run_on(&self, capabilities: &Capabilities, seed: u64) -> Explored {
        let (job, class) = self.job_on(capabilities, seed);
        let outcome = job.run_quietly();
        Explored {
            class,
            report: outcome.finished.report,
            time: outcome.finished.time.since(squall_bus::Time::ZERO),
            hash: outcome.finished.hash,
            marks: outcome.marks,
            job,
        }
    }

    /// Runs the sweep; `watch` hears of each seed that was run.
    pub fn sweep(&self, watch: &(dyn Fn(&Progress) + Sync)) -> Summary {
        let began = Instant::now();
        let capabilities = self.target.capabilities();
        let next = AtomicU64::new(0);
        let over = AtomicBool::new(false);
        let summary = Mutex::new(Summary::new(self));
        thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| {
                    while let Some(seed) = self.hand_out(&next, &over, began) {
                        let explored = self.run_on(&capabilities, seed);
                        let fails = explored.fails();
                        if fails && !self.keep_going {
                            over.store(true, Ordering::Relaxed);
                        }
                        let mut summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
                        summary.add(explored, |job| self.reproduce(job.seed));
                        watch(&summary.progress(began.elapsed()));
                    }
                });
            }
        });
        let mut summary = summary.into_inner().unwrap_or_else(PoisonError::into_inner);
        summary.elapsed = began.elapsed();
        summary
    }

    /// The next seed, unless the sweep is over.
    fn hand_out(&self, next: &AtomicU64, over: &AtomicBool, began: Instant) -> Option<u64> {
        if over.load(Ordering::Relaxed) {
            return None;
        }
        let place = next.fetch_add(1, Ordering::Relaxed);
        let goes_on = match self.limit {
            Limit::Seeds(seeds) => place < seeds,
            Limit::Time(budget) => place == 0 || began.elapsed() < budget,
        };
        if goes_on { self.first.checked_add(place) } else { None }
    }

    /// The first failure of a sweep as something to run again, to shrink and to keep.
    #[must_use]
    pub fn first_failure<'s>(&self, summary: &'s Summary) -> Option<&'s Failure> {
        summary.groups.iter().map(|group| &group.first).min_by_key(|failure| failure.job.seed)
    }
}
