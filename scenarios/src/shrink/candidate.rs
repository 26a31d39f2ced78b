//! Cases, and the bench that runs them.
//!
//! A case is a run with every fault at its time. The bench tells whether it still shows the failure that is looked
//! for. It runs several cases at once, takes the first in order that does, and charges only what was run up to
//! that one, so what comes of it does not depend on the number of cores. It stops a run that goes on for longer than
//! the first one did, and remembers what did not fail.

use crate::{
    Capsule, Plan, Scenario,
    capsule::{Edits, Expected, ValueRange},
    format::FaultSpec,
    plan::ProducerPlan,
    runner::Sink,
    runs::{How, simulate, unjudged},
};
use squall_bus::{Fault, Time};
use squall_history::{History, Report, judge};
use squall_sim::minimize::Judge;
use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    thread,
};

/// One run: a scenario whose faults are listed apart, and the records that are left out.
#[derive(Clone, Debug)]
pub(super) struct Case {
    /// The scenario; what it says of faults does not count.
    pub(super) scenario: Scenario,
    /// The faults, by time.
    pub(super) faults: Vec<Fault>,
    /// Records that are not sent, by value id.
    pub(super) left_out: BTreeSet<u64>,
    seed: u64,
}

impl Case {
    pub(super) fn of(capsule: &Capsule) -> Self {
        let plan = capsule.plan();
        let sent: BTreeSet<u64> = plan.values().collect();
        let whole = Plan::new(Arc::clone(plan.scenario()), capsule.seed);
        Self {
            scenario: capsule.scenario.clone(),
            faults: plan.faults().to_vec(),
            left_out: whole.values().filter(|value| !sent.contains(value)).collect(),
            seed: capsule.seed,
        }
    }

    /// The scenario with every fault at its time.
    pub(super) fn concrete(&self) -> Scenario {
        let mut scenario = self.scenario.clone();
        scenario.faults = self.sorted().iter().map(FaultSpec::fixed).collect();
        scenario
    }

    fn sorted(&self) -> Vec<Fault> {
        let mut faults = self.faults.clone();
        faults.sort_by_key(|fault| (fault.at, fault.id));
        faults
    }

    fn numbers(&self) -> Vec<u32> {
        self.sorted().iter().map(|fault| fault.id).collect()
    }

    pub(super) fn plan(&self) -> Plan {
        Plan::new(Arc::new(self.concrete()), self.seed)
            .with_fault_numbers(&self.numbers())
            .without_records(self.left_out.iter().copied())
    }

    /// The value ids of the records that it sends.
    pub(super) fn values(&self) -> Vec<u64> {
        self.plan().values().collect()
    }

    /// The records that it sends, each with when it is meant to be sent.
    pub(super) fn sent(&self) -> Vec<(u64, Time)> {
        let plan = self.plan();
        let records = plan.producers().iter().flat_map(ProducerPlan::records);
        records.map(|record| (record.value, record.at)).collect()
    }

    /// What has to stand in a capsule besides the scenario.
    pub(super) fn edits(&self) -> Edits {
        let all = Plan::new(Arc::new(self.concrete()), self.seed);
        let without_records = ValueRange::of(all.values(), |value| self.left_out.contains(&value));
        Edits { fault_numbers: Some(self.numbers()), without_records }
    }

    /// Names it among others of one shrinking.
    fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        // A scenario always has a JSON text.
        serde_json::to_string(&self.concrete()).unwrap_or_default().hash(&mut hasher);
        self.numbers().hash(&mut hasher);
        self.left_out.hash(&mut hasher);
        hasher.finish()
    }
}

/// A run of a case.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) report: Report,
    /// What every client saw; `None` if the run was not carried out.
    pub(super) history: Option<History>,
    pub(super) hash: u64,
    pub(super) events: u64,
    pub(super) rules: String,
}

/// Runs cases. See the module.
pub(super) struct Bench {
    bus: String,
    expected: Expected,
    width: usize,
    /// A run that goes on for so many events does not count.
    longest: Option<u64>,
    /// So many events may still be spent.
    pub(super) left: u64,
    rejected: BTreeSet<u64>,
    /// Runs that were judged.
    pub(super) runs: u64,
}

impl Bench {
    /// Looks for `expected` on the model of `bus`. `first` events is what the first run took; `effort` all runs together
    /// may take.
    pub(super) fn new(bus: &str, expected: &Expected, first: u64, effort: u64) -> Self {
        Self {
            bus: bus.to_owned(),
            expected: expected.clone(),
            width: thread::available_parallelism().map_or(1, usize::from),
            // A livelock is cut off where the first run's was: its reason names the number.
            longest: expected.anomaly.map(|_| first.saturating_mul(2).saturating_add(10_000)),
            left: effort,
            rejected: BTreeSet::new(),
            runs: 0,
        }
    }

    #[cfg(test)]
    pub(super) fn set_width(&mut self, width: usize) {
        self.width = width;
    }

    /// Whether no more may be run.
    pub(super) fn is_spent(&self) -> bool {
        self.left == 0
    }

    pub(super) fn run(&self, case: &Case) -> Ran {
        run(&self.bus, case, self.longest)
    }

    /// What is looked for.
    pub(super) const fn expected(&self) -> &Expected {
        &self.expected
    }

    /// Runs a case for what there is to see in it; `None` if the effort is spent.
    pub(super) fn look(&mut self, case: &Case) -> Option<Ran> {
        if self.is_spent() {
            return None;
        }
        let ran = self.run(case);
        self.runs += 1;
        self.left = self.left.saturating_sub(ran.events.max(1));
        Some(ran)
    }

    /// The place of the first case that still fails.
    fn first_failing(&mut self, cases: &[Option<Case>]) -> Option<usize> {
        if self.is_spent() {
            return None;
        }
        let due: Vec<Option<(u64, &Case)>> = cases
            .iter()
            .map(|case| {
                let case = case.as_ref()?;
                let key = case.key();
                let worth = !self.rejected.contains(&key) && case.concrete().fits() && self.can_show(case);
                worth.then_some((key, case))
            })
            .collect();
        let ran = self.run_all(&due);
        for (place, (due, ran)) in due.iter().zip(ran).enumerate() {
            let (Some((key, _)), Some(ran)) = (due, ran) else { continue };
            // On one core this one would not have been run: the effort is spent, or another of the batch was the same.
            if self.is_spent() {
                return None;
            }
            if self.rejected.contains(key) {
                continue;
            }
            self.runs += 1;
            self.left = self.left.saturating_sub(ran.events.max(1));
            if self.expected.is_shown_by(&ran.report) {
                return Some(place);
            }
            self.rejected.insert(*key);
        }
        None
    }

    /// Where nothing is sent no anomaly is found.
    fn can_show(&self, case: &Case) -> bool {
        self.expected.anomaly.is_none() || case.plan().values().next().is_some()
    }

    fn run_all(&self, due: &[Option<(u64, &Case)>]) -> Vec<Option<Ran>> {
        if due.iter().flatten().count() < 2 {
            return due.iter().map(|due| due.map(|(_, case)| self.run(case))).collect();
        }
        thread::scope(|scope| {
            let running: Vec<_> =
                due.iter().map(|due| due.map(|(_, case)| scope.spawn(move || self.run(case)))).collect();
            // A run catches what panics in it; if one is lost all the same, its case does not count.
            running.into_iter().map(|run| run.and_then(|run| run.join().ok())).collect()
        })
    }
}

fn run(bus: &str, case: &Case, longest: Option<u64>) -> Ran {
    let nobody: Sink = Arc::new(|_| {});
    let how = How { max_events: longest, ..How::default() };
    let run = simulate(bus, &Arc::new(case.plan()), &nobody, how);
    let (report, history) = match run.ran {
        Ok(ran) => (judge(&ran.history), Some(ran.history)),
        Err(error) => (unjudged(&error), None),
    };
    Ran { report, history, hash: run.hash, events: run.events, rules: run.rules }
}

/// Judges candidates by the cases that they stand for; `None` stands for none.
pub(super) struct By<'b, F> {
    pub(super) bench: &'b mut Bench,
    pub(super) case: F,
}

impl<C, F: Fn(&C) -> Option<Case>> Judge<C> for By<'_, F> {
    fn width(&self) -> usize {
        self.bench.width
    }

    fn first_failing(&mut self, candidates: &[C]) -> Option<usize> {
        let cases: Vec<Option<Case>> = candidates.iter().map(&self.case).collect();
        self.bench.first_failing(&cases)
    }
}
