//! Every change of an administrator, with its time.

use crate::format::{Changes, Scenario};
use squall_bus::{Capability, Time, Topic};
use squall_sim::kernel::{Choices, Site};
use std::{collections::BTreeMap, fmt};

const AT: Site = Site::new("plan.change.at");
const MILLISECOND: u64 = 1_000_000;

/// One change of an administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When, since the workload began.
    pub at: Time,
    /// Of which topic.
    pub topic: Topic,
    /// What changes.
    pub what: TopicChange,
}

/// What changes of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicChange {
    /// It has so many partitions from then on.
    Grow(u32),
    /// It is deleted and created again.
    Recreate,
    /// Its records are deleted.
    DeleteRecords,
    /// It gets these settings.
    Set(BTreeMap<String, String>),
}

impl Change {
    /// What a target must be able to do.
    #[must_use]
    pub fn needs(&self) -> Capability {
        match self.what {
            TopicChange::Grow(_) => Capability::AddPartitions,
            TopicChange::Recreate => Capability::DeleteTopics,
            TopicChange::DeleteRecords => Capability::DeleteRecords,
            TopicChange::Set(_) => Capability::AlterTopics,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topic = &self.topic;
        match &self.what {
            TopicChange::Grow(partitions) => write!(f, "{topic} grows to {partitions} partitions"),
            TopicChange::Recreate => write!(f, "{topic} is deleted and created again"),
            TopicChange::DeleteRecords => write!(f, "the records of {topic} are deleted"),
            TopicChange::Set(config) => {
                write!(f, "{topic} gets")?;
                let mut comma = "";
                config
                    .iter()
                    .try_for_each(|(name, value)| write!(f, "{comma} {name}={value}").map(|()| comma = ","))
            }
        }
    }
}

pub(super) fn plan(scenario: &Scenario, choices: &Choices) -> Vec<Change> {
    let mut changes: Vec<Change> = (0_u64..)
        .zip(&scenario.changes)
        .filter_map(|(entity, spec)| {
            let change = spec.verbs().into_iter().next()?;
            let (low, high) = (spec.at.low().nanos(), spec.at.high().nanos());
            let grain = if low % MILLISECOND == 0 && high % MILLISECOND == 0 { MILLISECOND } else { 1 };
            let at = Time(choices.between(AT, entity, 0, low / grain, high / grain) * grain);
            let topic = Topic::new(change.topic());
            let what = match change {
                Changes::Grow(args) => TopicChange::Grow(args.partitions.get()),
                Changes::Recreate(_) => TopicChange::Recreate,
                Changes::DeleteRecords(_) => TopicChange::DeleteRecords,
                Changes::Set(args) => TopicChange::Set(
                    args.config.iter().map(|(name, value)| (name.clone(), value.0.clone())).collect(),
                ),
            };
            Some(Change { at, topic, what })
        })
        .collect();
    changes.sort_by_key(|change| change.at);
    changes
}
