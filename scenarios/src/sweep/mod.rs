//! The library swept: every scenario on every simulated bus, seed after seed on all cores, each run held against the
//! table of expected outcomes.
//!
//! - Seed by seed, and of each seed row by row of the table, so a sweep of any length has seen all of the library.
//! - A row that says `unsupported` is run with the first seed alone: there is nothing that a seed could change.
//! - A run is as the table says, or it [differs](Held::Differs), or it is clean but lacks an anomaly that the table
//!   expects ([`Held::Lacks`]): chance did not lead there with that seed. A row none of whose seeds shows what it is
//!   there for fails the sweep, as a difference does.
//! - Some runs can be [kept](Swept::kept) with the footprint that they left, to be compared with that of another process.
//!
//! What is found depends on neither the number of threads nor the machine.
//!
//! | module | what it does |
//! |---|---|
//! | `held` | one run against its row |
//! | `swept` | what a sweep found: differences and lacks in groups, the verdict |
//! | `show` | that as text |

mod held;
mod show;
mod swept;

pub use held::Held;
pub use swept::{Group, Kept, Swept};

use crate::{Job, Scenario, ScenarioError, Target, library};
use squall_history::Verdict;
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// A row of the table of expected outcomes.
#[derive(Clone, Debug)]
pub struct Row {
    /// The scenario.
    pub scenario: Arc<Scenario>,
    /// On which simulated target.
    pub target: Target,
    /// What it is expected to show there.
    pub expected: library::Outcome,
}

/// What to sweep, and how.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// The rows, in the order of the library.
    pub rows: Vec<Row>,
    /// The first seed.
    pub first: u64,
    /// So many seeds of each row, counting up from the first.
    pub seeds: u64,
    /// On so many threads.
    pub threads: usize,
    /// The footprints of so many runs are kept, spread over rows and seeds.
    pub keep: u64,
}

/// How far a sweep is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Runs that are over.
    pub runs: u64,
    /// Of these, different from what the table says.
    pub differ: u64,
    /// Since the sweep began.
    pub elapsed: Duration,
}

/// The rows of the table on these targets, of all scenarios or of those named.
///
/// # Errors
/// When there is no such scenario.
pub fn rows(names: &[String], targets: &[Target]) -> Result<Vec<Row>, ScenarioError> {
    let expected = library::expected()?;
    let mut scenarios = Vec::new();
    for name in names {
        scenarios.push(library::named(name)?);
    }
    if names.is_empty() {
        scenarios.extend(library::entries());
    }
    let mut rows = Vec::new();
    for entry in scenarios {
        let scenario = Arc::new(entry.scenario(&[])?);
        rows.extend(targets.iter().filter_map(|target| {
            let expected = expected.on(entry.name, &target.to_string())?.clone();
            Some(Row { scenario: Arc::clone(&scenario), target: target.clone(), expected })
        }));
    }
    Ok(rows)
}

impl Row {
    /// The run of this row with this seed.
    #[must_use]
    pub fn job(&self, seed: u64) -> Job {
        Job {
            scenario: Arc::clone(&self.scenario),
            named: self.scenario.name.clone(),
            overrides: Vec::new(),
            target: self.target.clone(),
            seed,
        }
    }

    fn is_supported(&self) -> bool {
        self.expected.verdict != Verdict::Unsupported
    }
}

impl Sweep {
    /// How many runs that is.
    #[must_use]
    pub fn runs(&self) -> u64 {
        let supported = self.rows.iter().filter(|row| row.is_supported()).count() as u64;
        supported * self.seeds.saturating_sub(1) + self.rows.len() as u64
    }

    /// Which row and seed the run of this place is.
    fn run_at(&self, place: u64) -> Option<(usize, u64)> {
        let all = self.rows.len() as u64;
        if place < all {
            return Some((usize::try_from(place).ok()?, self.first));
        }
        let mut supported = (0..self.rows.len()).filter(|row| self.rows[*row].is_supported());
        let in_a_seed = supported.clone().count() as u64;
        let behind = place - all;
        let seed = 1 + behind.checked_div(in_a_seed)?;
        let row = supported.nth(usize::try_from(behind % in_a_seed).ok()?)?;
        (seed < self.seeds).then_some((row, self.first + seed))
    }

    /// The runs whose footprints are kept: one row after the other, over all seeds.
    fn chosen(&self) -> BTreeSet<(usize, u64)> {
        let rows: Vec<usize> = (0..self.rows.len()).filter(|row| self.rows[*row].is_supported()).collect();
        let keep = self.keep.min(rows.len() as u64 * self.seeds);
        let seed = |number: u64| (u128::from(number) * u128::from(self.seeds) / u128::from(keep)) as u64;
        (0..keep).zip(rows.iter().cycle()).map(|(number, row)| (*row, self.first + seed(number))).collect()
    }

    /// Runs all of it; `watch` hears of each run that is over.
    pub fn run(&self, watch: &(dyn Fn(Progress) + Sync)) -> Swept {
        let began = Instant::now();
        let next = AtomicU64::new(0);
        let chosen = self.chosen();
        let swept = Mutex::new(Swept::new(self));
        thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| {
                    while let Some((row, seed)) = self.run_at(next.fetch_add(1, Ordering::Relaxed)) {
                        let job = self.rows[row].job(seed);
                        let outcome = job.run_quietly();
                        let held = Held::of(&outcome.finished.report, &self.rows[row].expected);
                        let mut swept = swept.lock().unwrap_or_else(PoisonError::into_inner);
                        if let (true, Some(footprint)) = (chosen.contains(&(row, seed)), outcome.footprint) {
                            swept.kept.push(Kept { job, footprint });
                        }
                        swept.add(&self.rows[row], seed, &outcome.finished, held);
                        watch(swept.progress(began.elapsed()));
                    }
                });
            }
        });
        let mut swept = swept.into_inner().unwrap_or_else(PoisonError::into_inner);
        swept.close(self, began.elapsed());
        swept
    }
}

#[cfg(test)]
mod tests;
