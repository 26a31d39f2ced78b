//! Names of topics and groups, interned: the model works with numbers.

use super::protocol::{GroupIx, PartitionId, TopicIx};
use squall_bus::{Topic, Unit};
use std::{collections::BTreeMap, sync::Arc};

/// The name of the topic that keeps groups and their offsets.
pub const CONSUMER_OFFSETS: &str = "__consumer_offsets";

/// Every name that was ever spoken of. A name being here does not mean that the topic exists.
#[derive(Clone, Debug)]
pub struct Names {
    topics: Vec<Topic>,
    topic_index: BTreeMap<Topic, TopicIx>,
    groups: Vec<Arc<str>>,
    group_index: BTreeMap<Arc<str>, GroupIx>,
}

impl Default for Names {
    fn default() -> Self {
        let mut names = Self {
            topics: Vec::new(),
            topic_index: BTreeMap::new(),
            groups: Vec::new(),
            group_index: BTreeMap::new(),
        };
        let offsets = names.intern_topic(&Topic::new(CONSUMER_OFFSETS));
        debug_assert_eq!(offsets, TopicIx::CONSUMER_OFFSETS);
        names
    }
}

impl Names {
    /// The topic of this name, interned now if it is new.
    pub fn intern_topic(&mut self, name: &Topic) -> TopicIx {
        if let Some(topic) = self.topic_index.get(name) {
            return *topic;
        }
        let topic = TopicIx(self.topics.len() as u32);
        self.topics.push(name.clone());
        self.topic_index.insert(name.clone(), topic);
        topic
    }

    /// The group of this name, interned now if it is new.
    pub fn intern_group(&mut self, name: &str) -> GroupIx {
        if let Some(group) = self.group_index.get(name) {
            return *group;
        }
        let group = GroupIx(self.groups.len() as u32);
        let name: Arc<str> = Arc::from(name);
        self.groups.push(Arc::clone(&name));
        self.group_index.insert(name, group);
        group
    }

    /// The topic of this name, if it was ever spoken of.
    #[must_use]
    pub fn find_topic(&self, name: &Topic) -> Option<TopicIx> {
        self.topic_index.get(name).copied()
    }

    /// The group of this name, if it was ever spoken of.
    #[must_use]
    pub fn find_group(&self, name: &str) -> Option<GroupIx> {
        self.group_index.get(name).copied()
    }

    /// A topic's name.
    #[must_use]
    pub fn topic(&self, topic: TopicIx) -> &Topic {
        &self.topics[topic.0 as usize]
    }

    /// A group's name.
    #[must_use]
    pub fn group(&self, group: GroupIx) -> &str {
        &self.groups[group.0 as usize]
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
