//! What a sweep found: how many seeds held, the failures by kind with the first of each, what was found that the
//! configuration allows, the marks.

use super::{
    budget::Class,
    draw::Preset,
    sweep::{Exploration, Explored, Progress},
};
use crate::{Job, Target, capsule::parts::without_numbers};
use squall_history::{Anomaly, Kind, Report, Ruling, Verdict};
use squall_sim::kernel::Mark;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// How many seeds had which verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Nothing forbidden was found.
    pub valid: u64,
    /// Something forbidden was found.
    pub invalid: u64,
    /// Evidence is missing.
    pub unknown: u64,
    /// The simulator broke, or could not be asked.
    pub broken: u64,
}

impl Tally {
    /// How many seeds.
    #[must_use]
    pub const fn seeds(self) -> u64 {
        self.valid + self.invalid + self.unknown + self.broken
    }

    const fn add(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Valid => self.valid += 1,
            Verdict::Invalid => self.invalid += 1,
            Verdict::Unknown => self.unknown += 1,
            Verdict::Unsupported | Verdict::Broken => self.broken += 1,
        }
    }
}

/// In how many seeds something was found that the configuration allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Seeds within the fault budget.
    pub within: u64,
    /// Seeds beyond it.
    pub beyond: u64,
}

/// A seed that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What was run: its scenario is the concrete draw.
    pub job: Job,
    /// The command that runs exactly this again.
    pub reproduce: String,
    /// Its faults against the budget.
    pub class: Class,
    /// The judgement.
    pub report: Report,
}

impl Failure {
    /// The first forbidden anomaly, if that is why it failed.
    #[must_use]
    pub fn anomaly(&self) -> Option<&Anomaly> {
        self.report.anomalies.iter().find(|anomaly| anomaly.ruling.forbids())
    }
}

/// Failures of one kind.
#[derive(Clone, Debug)]
pub struct Group {
    /// The verdict of each.
    pub verdict: Verdict,
    /// The forbidden anomaly that comes first in each; `None` when no anomaly is why.
    pub kind: Option<Kind>,
    /// What they have in common, in words.
    pub what: String,
    /// How many seeds.
    pub seeds: u64,
    /// The failure with the lowest seed.
    pub first: Failure,
}

/// What a sweep found.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The scenario's name.
    pub scenario: String,
    /// Where.
    pub target: Target,
    /// How much each seed drew.
    pub preset: Preset,
    /// The first seed.
    pub first: u64,
    /// On so many threads.
    pub threads: usize,
    /// Real time that it took.
    pub elapsed: Duration,
    /// Virtual time of all runs together.
    pub virtual_time: Duration,
    /// Seeds within the fault budget.
    pub within: Tally,
    /// Seeds beyond it.
    pub beyond: Tally,
    /// Failures by kind, the lowest seed first.
    pub groups: Vec<Group>,
    /// What the configuration may lose or repeat, and did, by kind.
    pub allowed: BTreeMap<Kind, Allowed>,
    /// In how many seeds each mark of the target was reached, in the order of reports.
    pub marks: BTreeMap<Mark, u64>,
    /// The marks that the scenario requires and the target can reach.
    pub required: Vec<Mark>,
}

impl Summary {
    pub(super) fn new(exploration: &Exploration) -> Self {
        let bus = exploration.target.bus();
        let required = exploration.scenario.expect.marks.iter().map(|mark| mark.0);
        Self {
            scenario: exploration.scenario.name.clone(),
            target: exploration.target.clone(),
            preset: exploration.preset,
            first: exploration.first,
            threads: exploration.threads.max(1),
            elapsed: Duration::ZERO,
            virtual_time: Duration::ZERO,
            within: Tally::default(),
            beyond: Tally::default(),
            groups: Vec::new(),
            allowed: BTreeMap::new(),
            marks: Mark::ALL.iter().filter(|mark| mark.is_of(bus)).map(|mark| (*mark, 0)).collect(),
            required: required.filter(|mark| mark.is_of(bus)).collect(),
        }
    }

    /// How many seeds were run.
    #[must_use]
    pub const fn seeds(&self) -> u64 {
        self.within.seeds() + self.beyond.seeds()
    }

    /// How many of them failed.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.groups.iter().map(|group| group.seeds).sum()
    }

    /// The marks that no seed reached.
    pub fn never(&self) -> impl Iterator<Item = Mark> {
        self.marks.iter().filter(|(_, seeds)| **seeds == 0).map(|(mark, _)| *mark)
    }

    /// The marks that the scenario requires and no seed reached.
    #[must_use]
    pub fn missing(&self) -> Vec<Mark> {
        let reached = |mark: &Mark| self.marks.get(mark).is_some_and(|seeds| *seeds > 0);
        self.required.iter().copied().filter(|mark| !reached(mark)).collect()
    }

    /// The verdict on all seeds, and why.
    #[must_use]
    pub fn verdict(&self) -> (Verdict, String) {
        let worst = self.groups.iter().map(|group| group.verdict).fold(Verdict::Valid, Verdict::worst);
        if worst != Verdict::Valid {
            let (failures, seeds) = (self.failures(), self.seeds());
            return (worst, format!("{failures} of {seeds} seeds failed"));
        }
        let missing = self.missing();
        if self.seeds() == 0 {
            (Verdict::Unknown, "no seed was run".to_owned())
        } else if missing.is_empty() {
            (Verdict::Valid, format!("no failure in {} seeds", self.seeds()))
        } else {
            let names: Vec<&str> = missing.iter().map(|mark| mark.name()).collect();
            let reason = format!(
                "{} seeds held, but `expect.marks` requires what none of them reached: {}; run more seeds, or widen the bounds",
                self.seeds(),
                names.join(", ")
            );
            (Verdict::Unknown, reason)
        }
    }

    pub(super) fn progress(&self, elapsed: Duration) -> Progress {
        Progress {
            seeds: self.seeds(),
            failures: self.failures(),
            kinds: self.groups.iter().map(|group| (group.what.clone(), group.seeds)).collect(),
            marks: self.marks.values().filter(|seeds| **seeds > 0).count(),
            marks_in_all: self.marks.len(),
            elapsed,
        }
    }

    /// Takes in what came of a seed.
    pub(super) fn add(&mut self, explored: Explored, reproduce: impl Fn(&Job) -> String) {
        self.virtual_time += explored.time;
        for mark in explored.marks.iter() {
            *self.marks.entry(mark).or_default() += 1;
        }
        let tally = match explored.class {
            Class::Within => &mut self.within,
            Class::Beyond => &mut self.beyond,
        };
        tally.add(explored.report.verdict);
        let allowed = |anomaly: &&Anomaly| matches!(anomaly.ruling, Ruling::AllowedBy(_));
        let kinds: BTreeSet<Kind> =
            explored.report.anomalies.iter().filter(allowed).map(|anomaly| anomaly.kind).collect();
        for kind in kinds {
            let seeds = self.allowed.entry(kind).or_default();
            match explored.class {
                Class::Within => seeds.within += 1,
                Class::Beyond => seeds.beyond += 1,
            }
        }
        if explored.fails() {
            let reproduce = reproduce(&explored.job);
            let Explored { job, class, report, .. } = explored;
            self.fail(Failure { job, reproduce, class, report });
        }
    }

    fn fail(&mut self, failure: Failure) {
        let kind = failure.anomaly().map(|anomaly| anomaly.kind);
        let verdict = failure.report.verdict;
        let what = kind.map_or_else(|| without_numbers(&failure.report.reason), |kind| kind.id().to_owned());
        match self.groups.iter_mut().find(|group| group.verdict == verdict && group.what == what) {
            Some(group) => {
                group.seeds += 1;
                if failure.job.seed < group.first.job.seed {
                    group.first = failure;
                }
            }
            None => self.groups.push(Group { verdict, kind, what, seeds: 1, first: failure }),
        }
        self.groups.sort_by_key(|group| group.first.job.seed);
    }
}
