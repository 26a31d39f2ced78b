//! The scenarios that come with Squall, and what each is expected to show on each target.
//!
//! They are files in `library/`, embedded; `expected.yaml` there is the table of outcomes that tests hold true.

use crate::bugs;
use crate::format::{self, Override, Scenario, ScenarioError, nearest};
use serde::{Deserialize, Serialize};
use squall_history::{Kind, Verdict};
use std::{collections::BTreeMap, fmt, path::Path};

/// A scenario that comes with Squall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// The file.
    pub text: &'static str,
}

macro_rules! entries {
    ($($name:literal)*) => {
        [$(Entry { name: $name, text: include_str!(concat!("../library/", $name, ".yaml")) },)*]
    };
}

const ENTRIES: [Entry; 35] = entries!(
    "leader-failover"
    "rolling-restart"
    "follower-loss"
    "consumer-crash"
    "consumer-pause"
    "slow-consumer"
    "poison-to-dlq"
    "poison-by-max-deliver"
    "retry-without-idempotence"
    "lone-leader-acks1"
    "isolated-leader"
    "power-loss"
    "zombie-producer"
    "torn-transaction"
    "exactly-once-loop"
    "hanging-transaction"
    "late-commit"
    "rebalance-storm"
    "static-members"
    "cooperative-rebalance"
    "next-generation-group"
    "coordinator-loss"
    "commit-races"
    "dlq-after-crash"
    "autocommit-loss"
    "last-replica-standing"
    "unclean-loss"
    "truncation"
    "slow-follower"
    "retention-passes-consumer"
    "compaction-late-reader"
    "partition-growth"
    "topic-recreated"
    "metadata-delays"
    "storm"
);

const EXPECTED: &str = include_str!("../library/expected.yaml");

impl Entry {
    /// The scenario, with these overrides.
    ///
    /// # Errors
    /// When an override does not fit.
    pub fn scenario(&self, overrides: &[Override]) -> Result<Scenario, ScenarioError> {
        Scenario::parse(&format!("library/{}.yaml", self.name), self.text, overrides)
    }
}

/// Every scenario of the library, in the order of `squall list`.
#[must_use]
pub const fn entries() -> &'static [Entry] {
    &ENTRIES
}

/// The scenario of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.name == name)
}

/// The scenario of this name, or what is said of a name that is none.
///
/// # Errors
/// When there is none.
pub fn named(name: &str) -> Result<&'static Entry, ScenarioError> {
    find(name).ok_or_else(|| {
        let names = ENTRIES.iter().map(|entry| entry.name);
        let help = match nearest(name, names.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("give one of {}", names.collect::<Vec<_>>().join(", ")),
        };
        ScenarioError::nowhere(format!("there is no scenario `{name}` in the library"), help)
    })
}

/// The scenario that a person means: the name of one in the library or of one that leads to a bug, or the path of a file.
///
/// # Errors
/// When there is neither, or the file is no scenario, or an override does not fit.
pub fn open(reference: &str, overrides: &[Override]) -> Result<Scenario, ScenarioError> {
    if let Some(entry) = find(reference).or_else(|| bugs::scenario(reference)) {
        return entry.scenario(overrides);
    }
    let path = Path::new(reference);
    let looks_like_a_name = !reference.contains(['/', '\\', '.']);
    if looks_like_a_name && !path.exists() {
        return Err(unknown(reference));
    }
    Scenario::load(path, overrides)
}

fn unknown(reference: &str) -> ScenarioError {
    let names = ENTRIES.iter().map(|entry| entry.name);
    let help = match nearest(reference, names.clone()) {
        Some(name) => format!("did you mean `{name}`? give a name, or the path of a scenario file"),
        None => format!("give the path of a file, or one of {}", names.collect::<Vec<_>>().join(", ")),
    };
    ScenarioError::nowhere(
        format!("there is no scenario `{reference}` in the library, and no such file"),
        help,
    )
}

/// A line of `squall list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// What it shows.
    pub about: String,
    /// The ids of the requirements it covers.
    pub covers: Vec<String>,
    /// Whether it is there to show a forbidden anomaly: its verdict is then invalid on some target.
    pub expects_anomaly: bool,
}

/// The library as `squall list` shows it.
///
/// # Errors
/// When the library itself is damaged, which a test rules out.
pub fn list() -> Result<Vec<Listed>, ScenarioError> {
    let expected = expected()?;
    ENTRIES
        .iter()
        .map(|entry| {
            let Scenario { name, about, covers, .. } = entry.scenario(&[])?;
            let expects_anomaly = expected
                .of(&name)
                .is_some_and(|targets| targets.values().any(|outcome| outcome.verdict == Verdict::Invalid));
            Ok(Listed { name, about, covers, expects_anomaly })
        })
        .collect()
}

/// The table of expected outcomes: for each scenario, for each target.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Expected(BTreeMap<String, BTreeMap<String, Outcome>>);

/// What a scenario is expected to show on a target.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// The verdict.
    pub verdict: Verdict,
    /// Anomalies that must be found: forbidden ones if the verdict is invalid, else allowed ones.
    #[serde(default)]
    pub finds: Vec<Kind>,
    /// What the target lacks, by the capability's own name, if the verdict is unsupported.
    #[serde(default)]
    pub lacks: Option<String>,
}

/// `valid`, `valid, finds duplicate`, `unsupported, lacks power-fail`.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.verdict)?;
        if !self.finds.is_empty() {
            let kinds: Vec<&str> = self.finds.iter().map(|kind| kind.id()).collect();
            write!(f, ", finds {}", kinds.join(", "))?;
        }
        match &self.lacks {
            Some(lacks) => write!(f, ", lacks {lacks}"),
            None => Ok(()),
        }
    }
}

impl Expected {
    /// The outcomes of a scenario by target.
    #[must_use]
    pub fn of(&self, scenario: &str) -> Option<&BTreeMap<String, Outcome>> {
        self.0.get(scenario)
    }

    /// The outcome of a scenario on a target.
    #[must_use]
    pub fn on(&self, scenario: &str, target: &str) -> Option<&Outcome> {
        self.of(scenario)?.get(target)
    }

    /// Every row: scenario, target, outcome.
    pub fn rows(&self) -> impl Iterator<Item = (&str, &str, &Outcome)> {
        self.0.iter().flat_map(|(scenario, targets)| {
            targets.iter().map(move |(target, outcome)| (scenario.as_str(), target.as_str(), outcome))
        })
    }
}

/// The table of expected outcomes of the library.
///
/// # Errors
/// When the table is damaged, which a test rules out.
pub fn expected() -> Result<Expected, ScenarioError> {
    format::read("library/expected.yaml", EXPECTED)
}
