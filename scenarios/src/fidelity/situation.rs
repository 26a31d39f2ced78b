//! Situations: what is run on real brokers and on the model alike.

use super::Record;
use crate::{
    Scenario, ScenarioError,
    format::{self, nearest},
};
use serde::Deserialize;

/// What is run on real brokers and on the model alike.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Situation {
    /// The rules of the model that it exercises.
    pub rules: Vec<String>,
    /// Classes that are left to chance: which of them a run shows says nothing.
    #[serde(default)]
    pub chance: Vec<String>,
    /// What the model is known to do otherwise.
    #[serde(default)]
    pub deviations: Vec<Deviation>,
    /// What is run.
    pub scenario: Scenario,
}

/// Something that the model is known to do otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deviation {
    /// The class that differs.
    pub class: String,
    /// Why, in a sentence.
    pub reason: String,
}

/// A situation that comes with Squall, and its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The bus.
    pub bus: &'static str,
    /// Its name.
    pub name: &'static str,
    text: &'static str,
    record: &'static str,
}

macro_rules! entries {
    ($($bus:literal: $($name:literal)*;)*) => {
        &[$($(Entry {
            bus: $bus,
            name: $name,
            text: include_str!(concat!("../../fidelity/", $bus, "/", $name, ".yaml")),
            record: include_str!(concat!("../../fidelity/", $bus, "/records/", $name, ".yaml")),
        },)*)*]
    };
}

const ENTRIES: &[Entry] = entries!(
    "kafka":
        "leader-killed"
        "leader-stopped"
        "leader-paused"
        "zombie-leader"
        "lone-leader"
        "leader-cut-off"
        "leader-cut-off-acks1"
        "follower-killed"
        "follower-killed-impatient"
        "follower-slow"
        "controller-killed"
        "coordinator-killed"
        "quorum-killed"
        "quorum-stopped"
        "all-killed"
        "cold-restart"
        "node-restarted"
        "response-lost"
        "response-lost-idempotent"
        "power-lost-everywhere"
        "power-lost-at-the-leader"
        "power-lost-synced"
        "member-killed"
        "member-paused"
        "member-restarted"
        "zombie-transactional"
        "transaction-hanging"
        "transaction-timed-out"
        "transaction-coordinator-killed"
        "aborted-read-committed"
        "aborted-read-uncommitted"
        "exactly-once-member-killed"
        "eager-rebalance"
        "cooperative-rebalance"
        "consumer-protocol"
        "consumer-protocol-member-killed"
        "static-member-restarted"
        "commit-by-evicted"
        "unclean-election"
        "truncation"
        "leader-killed-acks1"
        "compaction-late-reader"
        "delete-records-late-reader"
        "topic-recreated"
        "partition-growth"
        "retention-passes-consumer"
        "java-leader-killed"
        "java-zombie-transactional"
        "java-consumer-protocol-member-killed"
        "java-transaction-timed-out"
        "java-response-lost"
        "java-commit-by-evicted"
        "java-cooperative-rebalance"
        "java-exactly-once-member-killed"
        "java-consumer-protocol"
    ;
);

impl Entry {
    /// The situation.
    ///
    /// # Errors
    /// What is wrong with the file, which a test rules out.
    pub fn situation(&self) -> Result<Situation, ScenarioError> {
        let file = format!("fidelity/{}/{}.yaml", self.bus, self.name);
        format::read_with_scenario(
            &file,
            self.text.as_bytes(),
            |situation: &Situation| &situation.scenario,
            |_, _| Vec::new(),
        )
    }

    /// What real brokers did.
    ///
    /// # Errors
    /// What is wrong with the file, which a test rules out.
    pub fn record(&self) -> Result<Record, ScenarioError> {
        Record::parse(&self.record_file(), self.record)
    }

    /// The file of its record, in the folder `scenarios` of the sources.
    #[must_use]
    pub fn record_file(&self) -> String {
        format!("fidelity/{}/records/{}.yaml", self.bus, self.name)
    }
}

/// Every situation, bus by bus.
#[must_use]
pub const fn entries() -> &'static [Entry] {
    ENTRIES
}

/// The situation of this name.
///
/// # Errors
/// When there is none.
pub fn find(name: &str) -> Result<&'static Entry, ScenarioError> {
    let names = || ENTRIES.iter().map(|entry| entry.name);
    ENTRIES.iter().find(|entry| entry.name == name).ok_or_else(|| {
        let help = match nearest(name, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the situations are {}", names().collect::<Vec<_>>().join(", ")),
        };
        ScenarioError::nowhere(format!("there is no situation `{name}`"), help)
    })
}
