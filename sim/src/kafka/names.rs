//! Names of topics and groups, interned: the model works with numbers.

use super::{
    protocol::{GroupIx, PartitionId, TopicIx},
    txn::messages::TxnIx,
};
use crate::interner::Interner;
use squall_bus::{Topic, Unit};
use std::sync::Arc;

/// The name of the topic that keeps groups and their offsets.
pub const CONSUMER_OFFSETS: &str = "__consumer_offsets";

/// The name of the topic that keeps transactions.
pub const TRANSACTION_STATE: &str = "__transaction_state";

/// Java's hash of a string.
pub(super) fn java_hash(name: &str) -> u32 {
    name.encode_utf16().fold(0, |hash: u32, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)))
}

/// Every name that was ever spoken of. A name being here does not mean that the topic exists.
#[derive(Clone, Debug)]
pub struct Names {
    topics: Interner<Topic>,
    groups: Interner<Arc<str>>,
    /// Java's hash of each group's name, by which groups are dealt to partitions.
    group_hashes: Vec<u32>,
    transactions: Interner<Arc<str>>,
    transaction_state: Option<TopicIx>,
}

impl Default for Names {
    fn default() -> Self {
        let mut names = Self {
            topics: Interner::default(),
            groups: Interner::default(),
            group_hashes: Vec::new(),
            transactions: Interner::default(),
            transaction_state: None,
        };
        let offsets = names.intern_topic(&Topic::new(CONSUMER_OFFSETS));
        debug_assert_eq!(offsets, TopicIx::CONSUMER_OFFSETS);
        names
    }
}

impl Names {
    /// The topic of this name, interned now if it is new.
    pub fn intern_topic(&mut self, name: &Topic) -> TopicIx {
        self.find_topic(name).unwrap_or_else(|| TopicIx(self.topics.intern(name.clone())))
    }

    /// The group of this name, interned now if it is new.
    pub fn intern_group(&mut self, name: &str) -> GroupIx {
        let group = self.groups.intern(Arc::from(name));
        if group as usize == self.group_hashes.len() {
            self.group_hashes.push(java_hash(name));
        }
        GroupIx(group)
    }

    /// The transactional id of this name, interned now if it is new.
    pub fn intern_transaction(&mut self, name: &str) -> TxnIx {
        TxnIx(self.transactions.intern(Arc::from(name)))
    }

    /// The transactional id of this name, if it was ever spoken of.
    #[must_use]
    pub fn find_transaction(&self, name: &str) -> Option<TxnIx> {
        self.transactions.find(name).map(TxnIx)
    }

    /// A transactional id's name.
    #[must_use]
    pub fn transaction(&self, txn: TxnIx) -> &str {
        self.transactions.name(txn.0)
    }

    /// The topic that keeps transactions, interned now if it is new.
    pub fn intern_transaction_state(&mut self) -> TopicIx {
        let topic = self.intern_topic(&Topic::new(TRANSACTION_STATE));
        self.transaction_state = Some(topic);
        topic
    }

    /// The topic that keeps transactions, if this cluster ever had any.
    #[must_use]
    pub const fn transaction_state(&self) -> Option<TopicIx> {
        self.transaction_state
    }

    /// The topic of this name, if it was ever spoken of.
    #[must_use]
    pub fn find_topic(&self, name: &Topic) -> Option<TopicIx> {
        self.topics.find_near(name).map(TopicIx)
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

    /// Java's hash of a group's name.
    #[must_use]
    pub fn group_hash(&self, group: GroupIx) -> u32 {
        self.group_hashes[group.0 as usize]
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
