//! Capsules: one simulated run in a file, `NAME.capsule.yaml`, that replays anywhere.
//!
//! A capsule holds everything that the run is a function of, and what came of it:
//!
//! | key | what it holds |
//! |---|---|
//! | `capsule` | the version of this format |
//! | `squall` | the version of Squall that wrote it |
//! | `origin` | the command whose run it is, or was shrunk from |
//! | `overrides` | the `--set` arguments of that command; they are in `scenario` already |
//! | `target`, `seed` | where, and with which seed |
//! | `expected` | the verdict, the kind of the forbidden anomaly, the hash of all events, and the story |
//! | `edits` | what the plan of the scenario's seed leaves out, and which numbers its faults have |
//! | `scenario` | the scenario; of a shrunk run with every fault at its time |
//! | `rules` | the rules that the model followed, resolved |
//!
//! A fault of a shrunk run keeps the number that it had in the first plan, since what is drawn when it strikes is drawn
//! for its number. Records are left out by ranges of value ids.
//!
//! Reading is as careful as for scenarios: an unknown key, a word that is none, a version that this Squall does not
//! know are errors with line, column and remedy. What was written reads back as the same capsule.

pub(crate) mod parts;
#[cfg(test)]
mod tests;

pub use parts::{Edits, Expected, TargetText, ValueRange, Version};

use crate::{
    Job, Plan, Scenario, ScenarioError, Target,
    format::{self, Node, Problem, scalar::Setting},
    runs::Outcome,
};
use serde::{Deserialize, Serialize};
use squall_history::Verdict;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs::File,
    io::Read,
    path::Path,
    sync::Arc,
};

/// How the name of a capsule's file ends.
pub const EXTENSION: &str = ".capsule.yaml";

/// One simulated run. See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Capsule {
    /// The version of this format: 1.
    pub capsule: Version,
    /// The version of Squall that wrote it.
    pub squall: String,
    /// The command whose run it is, or was shrunk from.
    pub origin: String,
    /// The `--set` arguments of that command. They are applied already.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<String>,
    /// Where: a simulated target.
    pub target: TargetText,
    /// The seed.
    pub seed: u64,
    /// What came of the run.
    pub expected: Expected,
    /// What differs from the plan of this scenario and seed.
    #[serde(default, skip_serializing_if = "Edits::is_empty")]
    pub edits: Edits,
    /// The scenario, overrides applied.
    pub scenario: Scenario,
    /// The rules that the model followed, by name.
    pub rules: BTreeMap<String, Setting>,
}

/// Why a run has no capsule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCapsule {
    /// Only simulated runs replay.
    #[error("a run on {0} cannot be replayed: run the scenario on a simulated target, as in --on sim:{1}")]
    NotSimulated(Target, String),
    /// Nothing went wrong in it.
    #[error("the run is {0}: there is nothing to keep; try other seeds with --seeds")]
    NothingWrong(Verdict),
}

impl Capsule {
    /// The capsule of a run that failed: invalid, unknown or broken.
    ///
    /// # Errors
    /// When the run cannot be replayed, or did not fail.
    pub fn of(job: &Job, outcome: &Outcome) -> Result<Self, NoCapsule> {
        if !job.target.is_simulated() {
            return Err(NoCapsule::NotSimulated(job.target.clone(), job.target.bus().to_owned()));
        }
        let report = &outcome.finished.report;
        let expected = Expected::of(report, outcome.finished.hash.as_deref())
            .ok_or(NoCapsule::NothingWrong(report.verdict))?;
        Ok(Self {
            capsule: Version,
            squall: env!("CARGO_PKG_VERSION").to_owned(),
            origin: job.reproduce(),
            overrides: job.overrides.iter().map(|over| over.text().to_owned()).collect(),
            target: TargetText(job.target.clone()),
            seed: job.seed,
            expected,
            edits: Edits::default(),
            scenario: (*job.scenario).clone(),
            rules: rules(&outcome.rules),
        })
    }

    /// Reads a capsule from bytes. `file` is its name in errors.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its place.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, ScenarioError> {
        format::read_with_scenario(file, bytes, |capsule: &Self| &capsule.scenario, fits)
    }

    /// Reads a capsule file.
    ///
    /// # Errors
    /// As [`parse`](Self::parse); also when the file cannot be read.
    pub fn load(path: &Path) -> Result<Self, ScenarioError> {
        let limit = u64::try_from(format::MAX_FILE_BYTES).unwrap_or(u64::MAX) + 1;
        let mut bytes = Vec::new();
        match File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)) {
            Ok(_) => Self::parse(&path.display().to_string(), &bytes),
            Err(error) => Err(ScenarioError::nowhere(
                format!("the capsule `{}` cannot be read: {error}", path.display()),
                "give the path of a capsule that `squall run` or `squall shrink` wrote".to_owned(),
            )),
        }
    }

    /// The file, with comments that say what it is.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        let mut text = String::from("# A failing run of squall. Replay it: squall replay FILE\n");
        for line in self.expected.summary() {
            let _ = writeln!(text, "# {}", line.replace(|c: char| c.is_control(), " "));
        }
        for fault in self.plan().faults() {
            let _ = writeln!(text, "# {}", schedule_line(fault));
        }
        // These types hold text, numbers, lists and maps with text for keys: all of it can be written.
        text.push_str(&serde_saphyr::to_string(self).unwrap_or_default());
        text
    }

    /// A name for its file: `power-loss-sim-kafka-1.capsule.yaml`.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}-{}-{}{EXTENSION}", self.scenario.name, self.target.0, self.seed).replace(':', "-")
    }

    /// What was planned.
    #[must_use]
    pub fn plan(&self) -> Plan {
        let plan = Plan::new(Arc::new(self.scenario.clone()), self.seed);
        let plan = match &self.edits.fault_numbers {
            Some(numbers) => plan.with_fault_numbers(numbers),
            None => plan,
        };
        if self.edits.without_records.is_empty() {
            return plan;
        }
        let gone: BTreeSet<u64> = plan
            .values()
            .filter(|value| self.edits.without_records.iter().any(|range| range.has(*value)))
            .collect();
        plan.without_records(gone)
    }
}

/// A fault of a schedule in a line: `4.2s  pause followers(orders/0) for 6s`.
#[must_use]
pub fn schedule_line(fault: &squall_bus::Fault) -> String {
    let at = format::scalar::Period::of(fault.at.since(squall_bus::Time::ZERO));
    let by = match fault.kind {
        squall_bus::FaultKind::Delay(by) => format!(" by {}", format::scalar::Period::of(by)),
        squall_bus::FaultKind::DropResponses(1) => " once".to_owned(),
        squall_bus::FaultKind::DropResponses(count) => format!(" {count} times"),
        _ => String::new(),
    };
    let lasts = if fault.lasts.is_zero() {
        String::new()
    } else {
        format!(" for {}", format::scalar::Period::of(fault.lasts))
    };
    format!("{:>8}  {fault}{by}{lasts}", at.to_string())
}

/// The rules as a map, from one `name: value` a line.
pub(crate) fn rules(lines: &str) -> BTreeMap<String, Setting> {
    let rule = |line: &str| {
        let (name, value) = line.split_once(": ")?;
        Some((name.to_owned(), Setting(value.to_owned())))
    };
    lines.lines().filter_map(rule).collect()
}

/// What the types cannot say of a capsule.
fn fits(capsule: &Capsule, root: &Node) -> Vec<Problem> {
    let origin = |keys: &[&str]| {
        let node = keys.iter().try_fold(root, |node, key| node.get(key));
        node.unwrap_or(root).origin
    };
    let mut problems = Vec::new();
    if !capsule.target.0.is_simulated() {
        problems.push(
            Problem::at(origin(&["target"]), format!("a run on {} cannot be replayed", capsule.target.0))
                .help("a capsule's target is a simulated one: its name begins with `sim:`"),
        );
    }
    if let Some(numbers) = &capsule.edits.fault_numbers {
        let at = origin(&["edits", "fault_numbers"]);
        let faults = Plan::new(Arc::new(capsule.scenario.clone()), capsule.seed).faults().len();
        if numbers.len() != faults {
            let message =
                format!("each of the {faults} faults has one number, and here are {}", numbers.len());
            problems.push(
                Problem::at(at, message)
                    .help("give each fault of the scenario one number, in the order of time"),
            );
        }
        if numbers.iter().collect::<BTreeSet<_>>().len() != numbers.len() {
            problems.push(
                Problem::at(at, "two faults have one number").help("give each fault a number of its own"),
            );
        }
    }
    problems
}

/// The JSON Schema of capsules, for editors.
#[cfg(feature = "schema")]
#[must_use]
pub fn schema() -> String {
    let mut schema = schemars::schema_for!(Capsule);
    schema.insert("title".to_owned(), "Squall capsule".into());
    // A schema is a JSON value and always prints.
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}
