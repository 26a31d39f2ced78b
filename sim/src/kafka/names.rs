//! Names of topics and groups, interned: the model works with numbers.

use super::protocol::{GroupIx, PartitionId, TopicIx};
use crate::interner::Interner;
use squall_bus::{Topic, Unit};
use std::sync::Arc;

/// The name of the topic that keeps groups and their offsets.
pub const CONSUMER_OFFSETS: &str = "__consumer_offsets";

/// Every name that was ever spoken of. A name being here does not mean that the topic exists.
#[derive(Clone, Debug)]
pub struct Names {
    topics: Interner<Topic>,
    groups: Interner<Arc<str>>,
}

impl Default for Names {
    fn default() -> Self {
        let mut names = Self { topics: Interner::default(), groups: Interner::default() };
        let offsets = names.intern_topic(&Topic::new(CONSUMER_OFFSETS));
        debug_assert_eq!(offsets, TopicIx::CONSUMER_OFFSETS);
        names
    }
}

impl Names {
    /// The topic of this name, interned now if it is new.
    pub fn intern_topic(&mut self, name: &Topic) -> TopicIx {
        TopicIx(self.topics.intern(name.clone()))
    }

    /// The group of this name, interned now if it is new.
    pub fn intern_group(&mut self, name: &str) -> GroupIx {
        GroupIx(self.groups.intern(Arc::from(name)))
    }

    /// The topic of this name, if it was ever spoken of.
    #[must_use]
    pub fn find_topic(&self, name: &Topic) -> Option<TopicIx> {
        self.topics.find(name).map(TopicIx)
    }

    /// The group of this name, if it was ever spoken of.
    #[must_use]
    pub fn find_group(&self, name: &str) -> Option<GroupIx> {
        self.groups.find(name).map(GroupIx)
    }

    /// A topic's name.
    #[must_use]
    pub fn topic(&self, topic: TopicIx) -> &Topic {
        self.topics.name(topic.0)
    }

    /// A group's name.
    #[must_use]
    pub fn group(&self, group: GroupIx) -> &str {
        self.groups.name(group.0)
    }

    /// A partition in the words of the bus.
    #[must_use]
    pub fn unit(&self, id: PartitionId) -> Unit {
        Unit::new(self.topic(id.topic), id.partition)
    }

    /// The partition that a unit names, if its topic was ever spoken of.
    #[must_use]
    pub fn partition(&self, unit: &Unit) -> Option<PartitionId> {
        self.find_topic(&unit.topic).map(|topic| PartitionId::new(topic, unit.partition))
    }
}
