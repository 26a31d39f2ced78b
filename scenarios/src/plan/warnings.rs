//! What a reader of a plan should know before it runs: expectations beyond what the configuration promises,
//! and set-ups that cannot do what they are there for.

use super::Plan;
use crate::{
    format::{Consumers, Scenario, nearest, scalar::Rate},
    requirements,
};
use squall_history::guarantees;
use std::fmt;

/// Something to know. Display is a lower-case sentence with a remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// An expectation asks more than the configuration promises.
    BeyondPromise(guarantees::Warning),
    /// `covers` names an id that is not in the vocabulary of requirements.
    UnknownRequirement {
        /// The id.
        id: String,
        /// The nearest known one.
        near: Option<&'static str>,
    },
    /// Records cannot be processed and have no dead-letter topic: they are given up.
    PoisonWithoutDlq {
        /// The group.
        group: String,
    },
    /// A group's handlers take longer than its records allow.
    TooSlow {
        /// The group.
        group: String,
        /// How many records a second it can process at most.
        can: u64,
        /// How many arrive.
        due: u64,
    },
    /// Groups of producers differ in what they promise; the weakest is what is judged.
    MixedProducers,
    /// A topic gets records that nobody reads.
    NobodyReads {
        /// The topic.
        topic: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BeyondPromise(warning) => warning.fmt(f),
            Self::UnknownRequirement { id, near: Some(near) } => {
                write!(f, "`covers` names `{id}`, which is no known requirement; did you mean `{near}`?")
            }
            Self::UnknownRequirement { id, near: None } => {
                write!(f, "`covers` names `{id}`, which is no known requirement; `squall list` shows ids in use")
            }
            Self::PoisonWithoutDlq { group } => write!(
                f,
                "some records of the group `{group}` are poison and have nowhere to go: they are given up; set dlq"
            ),
            Self::TooSlow { group, can, due } => write!(
                f,
                "the group `{group}` can process {can} records a second and {due} arrive: it falls behind; add consumers or shorten handler.takes"
            ),
            Self::MixedProducers => f.write_str(
                "the producers differ in acks or idempotence, and the run is judged by the weakest; make them alike, or two scenarios",
            ),
            Self::NobodyReads { topic } => {
                write!(f, "the topic `{topic}` is written and no group reads it: only its log is judged; add consumers")
            }
        }
    }
}

pub(super) fn warnings(plan: &Plan) -> Vec<Warning> {
    let scenario = plan.scenario();
    let mut all: Vec<Warning> = guarantees::warnings(&plan.configuration(), &plan.expect())
        .into_iter()
        .map(Warning::BeyondPromise)
        .collect();
    all.extend(
        scenario
            .covers
            .iter()
            .filter(|id| !requirements::known(id))
            .map(|id| Warning::UnknownRequirement { id: id.clone(), near: nearest(id, requirements::ids()) }),
    );
    let promises = |group: &crate::format::Producers| (group.acks, group.idempotent);
    if scenario.producer_groups().windows(2).any(|pair| promises(&pair[0]) != promises(&pair[1])) {
        all.push(Warning::MixedProducers);
    }
    for group in scenario.consumer_groups() {
        if group.handler.poison.ppm() > 0 && group.dlq.is_none() {
            all.push(Warning::PoisonWithoutDlq { group: group.group.clone() });
        }
        all.extend(too_slow(scenario, group));
    }
    all.extend(unread(scenario));
    all
}

fn too_slow(scenario: &Scenario, group: &Consumers) -> Option<Warning> {
    let takes =
        u128::from(group.handler.takes.low().nanos()) + u128::from(group.handler.takes.high().nanos());
    if takes == 0 {
        return None;
    }
    let can = u64::try_from(2 * 1_000_000_000 * u128::from(group.count.get()) / takes).unwrap_or(u64::MAX);
    let reads = |topic: &str| group.topic.as_slice().iter().any(|name| name == topic);
    let a_second = |rate: Rate| rate.count() / rate.per().as_secs();
    let due = scenario
        .producer_groups()
        .iter()
        .filter(|group| reads(&group.topic))
        .map(|group| a_second(group.rate))
        .sum();
    (due > can).then(|| Warning::TooSlow { group: group.group.clone(), can, due })
}

fn unread(scenario: &Scenario) -> Vec<Warning> {
    let mut topics: Vec<&str> = scenario.producer_groups().iter().map(|group| group.topic.as_str()).collect();
    topics.sort_unstable();
    topics.dedup();
    let read = |topic: &str| {
        scenario.consumer_groups().iter().any(|group| group.topic.as_slice().iter().any(|name| name == topic))
    };
    topics
        .into_iter()
        .filter(|topic| !read(topic))
        .map(|topic| Warning::NobodyReads { topic: topic.to_owned() })
        .collect()
}
