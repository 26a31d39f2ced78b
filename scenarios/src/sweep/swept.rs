//! What a sweep of the library found.

use super::{Held, Progress, Row, Sweep};
use crate::{Job, Target};
use squall_bus::Time;
use squall_history::{Kind, Verdict, events::Finished};
use squall_sim::guard::Footprint;
use std::time::Duration;

/// Runs of one row that stand to it in one way.
#[derive(Clone, Debug)]
pub struct Group {
    /// The scenario's name.
    pub scenario: String,
    /// Where.
    pub target: Target,
    /// What the table says.
    pub expected: String,
    /// The verdict of each run.
    pub verdict: Verdict,
    /// How they stand to the row: never [`Held::AsExpected`].
    pub held: Held,
    /// How many runs.
    pub runs: u64,
    /// How many of the row's runs show what it is there for.
    pub as_expected: u64,
    /// The lowest seed.
    pub seed: u64,
    /// Why that one has its verdict.
    pub reason: String,
    /// The command that runs that one again.
    pub reproduce: String,
}

/// A run and what it left, to be compared with a run of the same job in another process.
#[derive(Clone, Debug)]
pub struct Kept {
    /// It.
    pub job: Job,
    /// What it left.
    pub footprint: Footprint,
}

/// What a sweep of the library found.
#[derive(Clone, Debug)]
pub struct Swept {
    /// Rows of the table.
    pub rows: u64,
    /// The first seed.
    pub first: u64,
    /// So many seeds of each row.
    pub seeds: u64,
    /// Runs.
    pub runs: u64,
    /// Of these, as the table says.
    pub as_expected: u64,
    /// Runs whose target cannot run the scenario, as the table says or not.
    pub unsupported: u64,
    /// On so many threads.
    pub threads: usize,
    /// Real time that it took.
    pub elapsed: Duration,
    /// Virtual time of all runs together.
    pub virtual_time: Duration,
    /// What is not as the table says, in the order of the table.
    pub groups: Vec<Group>,
    /// The runs whose footprints were asked for.
    pub kept: Vec<Kept>,
}

impl Group {
    /// Whether these runs fail the sweep: they differ, or no run of the row shows what it is there for.
    #[must_use]
    pub fn fails(&self) -> bool {
        match self.held {
            Held::AsExpected => false,
            Held::Lacks(_) => self.as_expected == 0,
            Held::Differs(_) => true,
        }
    }

    /// What the runs lack or are.
    #[must_use]
    pub fn what(&self) -> String {
        match &self.held {
            Held::AsExpected => self.expected.clone(),
            Held::Lacks(kinds) => {
                format!(
                    "without {}",
                    kinds.iter().map(|kind: &Kind| kind.id()).collect::<Vec<_>>().join(", ")
                )
            }
            Held::Differs(what) => what.clone(),
        }
    }

    /// Runs that should be unsupported, or that show nothing of what they are there for, are invalid.
    fn verdict_on_table(&self) -> Verdict {
        match self.verdict {
            Verdict::Valid => Verdict::Invalid,
            other => other,
        }
    }
}

impl Swept {
    pub(super) fn new(sweep: &Sweep) -> Self {
        Self {
            rows: sweep.rows.len() as u64,
            first: sweep.first,
            seeds: sweep.seeds,
            runs: 0,
            as_expected: 0,
            unsupported: 0,
            threads: sweep.threads.max(1),
            elapsed: Duration::ZERO,
            virtual_time: Duration::ZERO,
            groups: Vec::new(),
            kept: Vec::new(),
        }
    }

    /// Runs that differ from what the table says.
    #[must_use]
    pub fn differ(&self) -> u64 {
        let differs = |group: &&Group| matches!(group.held, Held::Differs(_));
        self.groups.iter().filter(differs).map(|group| group.runs).sum()
    }

    /// The verdict on all runs, and why.
    #[must_use]
    pub fn verdict(&self) -> (Verdict, String) {
        let failed: Vec<&Group> = self.groups.iter().filter(|group| group.fails()).collect();
        let worst = failed.iter().map(|group| group.verdict_on_table()).fold(Verdict::Valid, Verdict::worst);
        let reason = match failed.iter().map(|group| group.runs).sum::<u64>() {
            0 => format!("{} runs, and none differs from what the table of outcomes says", self.runs),
            runs => format!("{runs} of {} runs are not as the table of outcomes says", self.runs),
        };
        (worst, reason)
    }

    pub(super) fn progress(&self, elapsed: Duration) -> Progress {
        Progress { runs: self.runs, differ: self.differ(), elapsed }
    }

    /// Takes in what came of a run.
    pub(super) fn add(&mut self, row: &Row, seed: u64, finished: &Finished, held: Held) {
        let verdict = finished.report.verdict;
        self.runs += 1;
        self.virtual_time += finished.time.since(Time::ZERO);
        self.unsupported += u64::from(verdict == Verdict::Unsupported);
        if held == Held::AsExpected {
            self.as_expected += 1;
            return;
        }
        let same = |group: &&mut Group| {
            (group.scenario == row.scenario.name && group.target == row.target)
                && (group.verdict == verdict && group.held == held)
        };
        let reason = || finished.report.reason.clone();
        match self.groups.iter_mut().find(same) {
            Some(group) => {
                group.runs += 1;
                if seed < group.seed {
                    (group.seed, group.reason, group.reproduce) = (seed, reason(), row.job(seed).reproduce());
                }
            }
            None => self.groups.push(Group {
                scenario: row.scenario.name.clone(),
                target: row.target.clone(),
                expected: row.expected.to_string(),
                verdict,
                held,
                runs: 1,
                as_expected: 0,
                seed,
                reason: reason(),
                reproduce: row.job(seed).reproduce(),
            }),
        }
    }

    /// Everything is run: the order of groups and of kept runs becomes that of the table, whoever was first.
    pub(super) fn close(&mut self, sweep: &Sweep, elapsed: Duration) {
        self.elapsed = elapsed;
        let place = |scenario: &str, target: &Target| {
            sweep.rows.iter().position(|row| row.scenario.name == scenario && row.target == *target)
        };
        self.kept.sort_by_key(|kept| (place(&kept.job.scenario.name, &kept.job.target), kept.job.seed));
        self.groups.sort_by_key(|group| (place(&group.scenario, &group.target), group.seed));
        let of_row = |group: &Group| (group.scenario.clone(), group.target.clone());
        let odd: Vec<_> = self.groups.iter().map(|group| (of_row(group), group.runs)).collect();
        for group in &mut self.groups {
            let odd: u64 = odd.iter().filter(|(row, _)| *row == of_row(group)).map(|(_, runs)| runs).sum();
            group.as_expected = sweep.seeds - odd.min(sweep.seeds);
        }
    }
}
