//! Shrinking: the least that still fails, from a run that fails.
//!
//! A capsule goes in and a smaller one comes out. Candidates are made from it by [passes](self#passes), each is run and
//! judged, and one is taken only if the same kind of anomaly is still forbidden in it (or the run is broken in the same
//! way). Since every choice of a run is a function of (seed, site, entity, ordinal), leaving out a fault or a record
//! changes nothing else but what follows from it.
//!
//! # Passes
//!
//! The workload ends sooner, faults strike sooner, less is sent (each up a ladder from the cheapest, so that all steps
//! together cost little more than the run they lead to); then fewer faults, and the rest of them sooner; then fewer
//! producers and, as a first guess, no records but those that the finding names; then fewer consumers, simpler handlers,
//! fewer topics, partitions and nodes; then fewer records; then simple figures for all times. Time and rate come first
//! because they make every later candidate cheap; producers come before records because a record is named by its
//! producer, and sooner before records because they are sent when they are. The passes are repeated until nothing
//! changes, [`ROUNDS`] times at most. Copies of a partition are left alone: with fewer of them, other promises would hold.
//!
//! The result depends on the capsule alone: not on time, not on the number of cores. Effort is counted in events of the
//! kernel, which take about a microsecond each: a person waits for the result, and the longer the scenario, the longer it
//! may take ([`EFFORT`], [`EFFORT_PER_SECOND`]). What was reached by then is the result; mostly a tenth of it is enough.
//!
//! | file | what it has |
//! |---|---|
//! | here | the capsule in, the capsule out, sizes, progress |
//! | `passes` | what is made less, and how |
//! | `evidence` | a first guess at the records that it takes |
//! | `candidate` | cases, and the bench that runs them |

mod candidate;
mod evidence;
mod passes;
#[cfg(test)]
mod tests;

use crate::{
    Capsule,
    capsule::{Expected, rules, schedule_line},
    format::scalar::Period,
    runner::Sink,
    runs::{How, simulate, unjudged},
};
use candidate::{Bench, Case};
use passes::{PASSES, Work};
use serde::Serialize;
use squall_history::{Verdict, judge};
use squall_sim::minimize::Budget;
use std::{fmt, sync::Arc};

/// The passes are repeated so often at most.
pub const ROUNDS: u32 = 3;
/// All candidates together take about so many kernel events at most, and [so many more](EFFORT_PER_SECOND), or
/// [`LEAST_RUNS`] times those of the run itself if that is more.
pub const EFFORT: u64 = 1_200_000;
/// For each second in which the scenario sends.
pub const EFFORT_PER_SECOND: u64 = 100_000;
/// The effort is enough for so many runs like the one that is shrunk.
pub const LEAST_RUNS: u64 = 5;
/// And there are no more of them than this.
const CANDIDATES: u64 = 5_000;

/// How large a run is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Size {
    /// How long records are sent, in milliseconds.
    pub lasts_ms: u64,
    /// Records.
    pub records: u64,
    /// Faults.
    pub faults: u64,
    /// Producers.
    pub producers: u64,
    /// Consumers.
    pub consumers: u64,
    /// Partitions of all topics that the scenario lists.
    pub partitions: u64,
    /// Nodes.
    pub nodes: u64,
}

/// What was done so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// The round, from 1.
    pub round: u32,
    /// The pass that comes next.
    pub pass: &'static str,
    /// Candidates that were run.
    pub runs: u64,
    /// The size so far.
    pub size: Size,
}

/// A failing run and the least of it that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shrunk {
    /// The capsule of the least.
    pub capsule: Capsule,
    /// The size of the run that was given.
    pub before: Size,
    /// The size of the least.
    pub after: Size,
    /// Candidates that were run.
    pub runs: u64,
    /// Whether every pass was made; `false` if the effort was spent before.
    pub complete: bool,
}

/// Why a capsule cannot be shrunk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShrinkError {
    /// The run does not fail, or not like that.
    #[error(
        "the run does not show {expected}: it is {verdict} ({reason}); `squall replay` says what differs"
    )]
    DoesNotFail {
        /// What was expected: `lost_write`.
        expected: String,
        /// The verdict.
        verdict: Verdict,
        /// The reason of the verdict.
        reason: String,
    },
}

/// Shrinks a run that fails. `progress` is told before each pass.
///
/// # Errors
/// When the capsule's run does not fail as the capsule says.
pub fn shrink(capsule: &Capsule, progress: &mut dyn FnMut(&Progress)) -> Result<Shrunk, ShrinkError> {
    let (bus, expected) = (capsule.target.0.bus(), &capsule.expected);
    let first_events = first_run(capsule)?;
    let bench = Bench::new(bus, expected, first_events, effort(capsule, first_events));
    let mut work = Work { case: Case::of(capsule), bench, budget: Budget::of(CANDIDATES) };
    let before = Size::of(&work.case);
    let mut complete = false;
    for round in 1..=ROUNDS {
        let (size, faults) = (Size::of(&work.case), work.case.faults.clone());
        for (pass, make_less) in PASSES {
            progress(&Progress { round, pass, runs: work.bench.runs, size: Size::of(&work.case) });
            make_less(&mut work);
        }
        let spent = work.bench.is_spent() || work.budget.is_spent();
        complete = !spent;
        if spent || Size::of(&work.case) == size && work.case.faults == faults {
            break;
        }
    }
    let (after, runs) = (Size::of(&work.case), work.bench.runs);
    Ok(Shrunk { capsule: written(capsule, &work), before, after, runs, complete })
}

/// So many kernel events may be spent on it.
fn effort(capsule: &Capsule, first: u64) -> u64 {
    let seconds = capsule.scenario.workload.lasts.get().as_secs();
    let waited = EFFORT.saturating_add(EFFORT_PER_SECOND.saturating_mul(seconds));
    waited.max(LEAST_RUNS.saturating_mul(first))
}

/// Runs what was given: how many events that takes.
fn first_run(capsule: &Capsule) -> Result<u64, ShrinkError> {
    let nobody: Sink = Arc::new(|_| {});
    let run = simulate(capsule.target.0.bus(), &Arc::new(capsule.plan()), &nobody, How::default());
    let report = match &run.ran {
        Ok(ran) => judge(&ran.history),
        Err(error) => unjudged(error),
    };
    if capsule.expected.is_shown_by(&report) {
        return Ok(run.events);
    }
    let (verdict, reason) = (report.verdict, report.reason);
    Err(ShrinkError::DoesNotFail { expected: capsule.expected.name().to_owned(), verdict, reason })
}

/// The capsule of a case of this one.
fn written(capsule: &Capsule, Work { case, bench, .. }: &Work) -> Capsule {
    let ran = bench.run(case);
    let found = capsule.expected.found_in(&ran.report);
    let story = found.map(|found| found.story().lines().map(str::to_owned).collect()).unwrap_or_default();
    let expected = Expected {
        verdict: ran.report.verdict,
        anomaly: capsule.expected.anomaly,
        reason: ran.report.reason.clone(),
        story,
        hash: (ran.report.verdict != Verdict::Broken).then(|| format!("{:016x}", ran.hash)),
    };
    Capsule {
        squall: env!("CARGO_PKG_VERSION").to_owned(),
        expected,
        edits: case.edits(),
        scenario: case.concrete(),
        rules: rules(&ran.rules),
        ..capsule.clone()
    }
}

impl Size {
    fn of(case: &Case) -> Self {
        let scenario = &case.scenario;
        let topics = scenario.topology.topics.values();
        Self {
            lasts_ms: u64::try_from(scenario.workload.lasts.get().as_millis()).unwrap_or(u64::MAX),
            records: case.values().len() as u64,
            faults: case.faults.len() as u64,
            producers: scenario.producer_groups().iter().map(|group| u64::from(group.count.get())).sum(),
            consumers: scenario.consumer_groups().iter().map(|group| u64::from(group.count.get())).sum(),
            partitions: topics.map(|topic| u64::from(topic.partitions.get())).sum(),
            nodes: scenario.topology.nodes.get().into(),
        }
    }
}

fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// `40s, 4018 records, 2 faults, 2 producers, 1 consumer, 1 partition, 3 nodes`.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (self.records, "record"),
            (self.faults, "fault"),
            (self.producers, "producer"),
            (self.consumers, "consumer"),
            (self.partitions, "partition"),
            (self.nodes, "node"),
        ];
        write!(f, "{}", Period::millis(self.lasts_ms))?;
        parts.iter().try_for_each(|(count, what)| write!(f, ", {}", counted(*count, what)))
    }
}

/// The story: what it was, what is left, the schedule, and what happens in it.
impl fmt::Display for Shrunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "shrunk in {}", counted(self.runs, "run"))?;
        writeln!(f, "  from {}", self.before)?;
        writeln!(f, "  to   {}", self.after)?;
        if !self.complete {
            writeln!(f, "  the effort was spent: `squall shrink` on the capsule goes on from here")?;
        }
        let plan = self.capsule.plan();
        if !plan.faults().is_empty() {
            writeln!(f, "schedule")?;
        }
        plan.faults().iter().try_for_each(|fault| writeln!(f, "  {}", schedule_line(fault)))?;
        let expected = &self.capsule.expected;
        write!(f, "{}: {}", expected.verdict, expected.reason)?;
        expected.story.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}
