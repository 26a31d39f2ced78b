//! Replay: a capsule run again, and what differs from what was kept.
//!
//! A run is a function of its capsule and of the models in this build. So either everything is as it was, hash
//! included; or the models have changed since, and then one of three things is said: the anomaly is still there in
//! what is now another run; another failure took its place; or it is gone. Rules that differ are listed by name,
//! since a rule that was changed on purpose is the most likely cause.

use crate::{
    Capsule, Job,
    capsule::rules,
    runner::Sink,
    runs::{How, Outcome, quoted},
};
use serde::Serialize;
use squall_history::{RunEvent, Verdict, history::Observation};
use squall_reports::{RoleChange, Run, TimelineEvent, timeline};
use squall_sim::kernel::LogLine;
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// A capsule that was run again.
#[derive(Debug)]
pub struct Replayed {
    /// How the run compares with what was kept.
    pub comparison: Comparison,
    /// What the run left.
    pub outcome: Outcome,
    /// Every event of the cluster; empty unless asked for.
    pub log: Vec<LogLine>,
    /// What the run told, in order.
    pub events: Vec<RunEvent>,
}

/// Whether a capsule still applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Applies {
    /// The same run, event by event, and the same failure.
    Same,
    /// The same failure in another run: something was changed since.
    Differently,
    /// The run fails, in another way.
    AnotherFailure,
    /// The run does not fail.
    Gone,
}

/// How a replayed run compares with what was kept. Display is for people: a sentence, and a line for each rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Whether the capsule still applies.
    pub applies: Applies,
    /// The failure that was kept: `lost_write`.
    pub expected: String,
    /// The verdict now.
    pub verdict: Verdict,
    /// The hash that was kept.
    pub hash_expected: Option<String>,
    /// The hash now.
    pub hash: Option<String>,
    /// The rules that differ.
    pub rules: Vec<RuleChange>,
    /// The version that wrote the capsule, if it is not this one.
    pub written_by: Option<String>,
}

/// A rule of the model that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleChange {
    /// Its name.
    pub name: String,
    /// What it was; `None` if it was not there.
    pub was: Option<String>,
    /// What it is; `None` if it is gone.
    pub is: Option<String>,
}

/// Runs a capsule again. `file` is its name in the command that reproduces; `logged` keeps every event of the cluster.
#[must_use]
pub fn replay(capsule: &Capsule, file: &str, logged: bool) -> Replayed {
    let job = Job {
        scenario: Arc::new(capsule.scenario.clone()),
        named: file.to_owned(),
        overrides: Vec::new(),
        target: capsule.target.0.clone(),
        seed: capsule.seed,
    };
    let events: Arc<Mutex<Vec<RunEvent>>> = Arc::default();
    let kept = Arc::clone(&events);
    let sink: Sink = Arc::new(move |event| kept.lock().unwrap_or_else(PoisonError::into_inner).push(event));
    let how = How { logged, ..How::default() };
    let plan = Arc::new(capsule.plan());
    let (outcome, log) = job.run_logged(job.target.bus(), &plan, command(file), how, &sink);
    let events = std::mem::take(&mut *events.lock().unwrap_or_else(PoisonError::into_inner));
    Replayed { comparison: Comparison::of(capsule, &outcome), outcome, log, events }
}

impl Replayed {
    /// A page with messages, faults and roles on one axis; of a replay that kept the events of the cluster.
    #[must_use]
    pub fn timeline(&self) -> String {
        let line = |line: &LogLine| TimelineEvent {
            at: line.at.0,
            node: line.node.clone().unwrap_or_default(),
            from: line.peer.clone().filter(|_| line.message),
            what: line.what.clone(),
        };
        // The harness' own alarms belong to no node.
        let events: Vec<TimelineEvent> =
            self.log.iter().filter(|line| line.node.is_some()).map(line).collect();
        Run::fold(self.events.iter().cloned())
            .map_or_else(String::new, |run| timeline(&run, &events, &self.roles()))
    }

    /// Who led which unit, and from when on.
    fn roles(&self) -> Vec<RoleChange> {
        let Some(history) = &self.outcome.history else { return Vec::new() };
        let elected = |(event, note): &(u32, Observation)| match note {
            Observation::Elected { unit, leader, .. } => Some(RoleChange {
                at: history.time(*event).0,
                role: format!("leader({})", history.unit_name(*unit)),
                node: *leader,
            }),
            _ => None,
        };
        history.notes().iter().filter_map(elected).collect()
    }
}

/// The command that replays a capsule's file.
#[must_use]
pub fn command(file: &str) -> String {
    format!("squall replay {}", quoted(file))
}

impl Comparison {
    fn of(capsule: &Capsule, outcome: &Outcome) -> Self {
        let (expected, finished) = (&capsule.expected, &outcome.finished);
        let same_hash = finished.hash == expected.hash;
        let applies = if expected.is_shown_by(&finished.report) {
            if same_hash { Applies::Same } else { Applies::Differently }
        } else if matches!(finished.report.verdict, Verdict::Invalid | Verdict::Unknown | Verdict::Broken) {
            Applies::AnotherFailure
        } else {
            Applies::Gone
        };
        let this = env!("CARGO_PKG_VERSION");
        Self {
            applies,
            expected: expected.name().to_owned(),
            verdict: finished.report.verdict,
            hash_expected: expected.hash.clone(),
            hash: finished.hash.clone(),
            rules: changes(capsule, &outcome.rules),
            written_by: (capsule.squall != this).then(|| capsule.squall.clone()),
        }
    }
}

fn changes(capsule: &Capsule, now: &str) -> Vec<RuleChange> {
    let now = rules(now);
    let names: std::collections::BTreeSet<&String> = capsule.rules.keys().chain(now.keys()).collect();
    let value = |of: &std::collections::BTreeMap<String, crate::format::scalar::Setting>, name: &String| {
        of.get(name).map(|value| value.0.clone())
    };
    names
        .into_iter()
        .map(|name| RuleChange {
            name: name.clone(),
            was: value(&capsule.rules, name),
            is: value(&now, name),
        })
        .filter(|change| change.was != change.is)
        .collect()
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let none = "none";
        let (was, is) = (self.hash_expected.as_deref().unwrap_or(none), self.hash.as_deref().unwrap_or(none));
        let expected = &self.expected;
        match self.applies {
            Applies::Same => write!(f, "the capsule applies: {expected} again, and the same hash {is}")?,
            Applies::Differently => write!(
                f,
                "the capsule applies to another run than it was written for: {expected} again, but the hash is {is} and was {was}; the models have changed since: write it anew with `squall shrink FILE`"
            )?,
            Applies::AnotherFailure => write!(
                f,
                "the capsule no longer applies: {expected} is gone, and the run is {} for another reason (the hash is {is} and was {was})",
                self.verdict
            )?,
            Applies::Gone => write!(
                f,
                "the capsule no longer applies: {expected} is gone, and the run is {} (the hash is {is} and was {was})",
                self.verdict
            )?,
        }
        if let Some(version) = &self.written_by {
            write!(f, "\nit was written by squall {version}; this is {}", env!("CARGO_PKG_VERSION"))?;
        }
        for change in &self.rules {
            let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "not there".to_owned());
            write!(f, "\nrule {}: was {}, is {}", change.name, value(&change.was), value(&change.is))?;
        }
        Ok(())
    }
}
