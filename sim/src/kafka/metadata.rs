//! The cluster's metadata: the records of its log, and the image that they make.
//!
//! Every node keeps an image of its own, made from the part of the log that is committed and has reached it
//! (rule A5); the active controller keeps another one that is ahead of it.

use super::{
    protocol::{PartitionId, TopicIx},
    topic_config::LogSettings,
};
use crate::kernel::NodeId;
use crate::nodes::NodeSet;
use std::{fmt, sync::Arc};

/// A partition as the controller sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionImage {
    /// Its replicas, in order of assignment.
    pub replicas: Arc<[NodeId]>,
    /// Its in-sync replicas.
    pub isr: NodeSet,
    /// Its eligible leader replicas (KIP-966).
    pub elr: NodeSet,
    /// Who led it when the ISR became empty.
    pub last_known_leader: Option<NodeId>,
    /// Who leads it.
    pub leader: Option<NodeId>,
    /// Rises with each change of the leader (rule A3).
    pub leader_epoch: u32,
    /// Rises with each change.
    pub partition_epoch: u32,
    /// The leader was elected without being in sync and has not grown its ISR yet.
    pub recovering: bool,
}

/// What a topic is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSettings {
    /// `min.insync.replicas`.
    pub min_insync: u32,
    /// `unclean.leader.election.enable`.
    pub unclean_election: bool,
    /// `max.message.bytes`.
    pub max_message_bytes: u32,
    /// How its logs are cut into segments, deleted and cleaned.
    pub log: LogSettings,
}

/// A topic's id: another one each time that a topic of a name is created (rule A6).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub u128);

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A record of the metadata log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataRecord {
    /// A new leader of the quorum begins.
    LeaderChange(NodeId),
    /// A broker process registered; its broker epoch is this record's offset.
    Register {
        /// The broker.
        broker: NodeId,
        /// Which process of it.
        incarnation: u64,
    },
    /// A broker's standing changed.
    Broker {
        /// The broker.
        broker: NodeId,
        /// Whether it is fenced.
        fenced: bool,
        /// Whether it is in controlled shutdown.
        stopping: bool,
    },
    /// A topic was created.
    Topic(TopicIx, TopicId, Arc<TopicSettings>, Arc<[PartitionImage]>),
    /// A partition changed.
    Partition(PartitionId, PartitionImage),
    /// A topic is gone.
    RemoveTopic(TopicIx),
    /// A topic has these partitions more, behind those that it had.
    NewPartitions(TopicIx, Arc<[PartitionImage]>),
    /// A topic is like this from now on.
    Config(TopicIx, Arc<TopicSettings>),
}

impl PartitionImage {
    /// How many in-sync replicas acks=all needs, with so many replicas.
    #[must_use]
    pub fn effective_min_insync(&self, settings: &TopicSettings) -> u32 {
        settings.min_insync.min(self.replicas.len() as u32)
    }
}

/// The broker epoch of a process that is not registered yet, which Kafka has as -1. No registration has it: the first
/// record of a metadata log is not one.
pub const UNREGISTERED: u64 = 0;

/// A broker as the controller sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokerImage {
    /// Its broker epoch: the offset of its registration, which is never [`UNREGISTERED`].
    pub epoch: u64,
    /// Which process registered.
    pub incarnation: u64,
    /// Whether it is fenced.
    pub fenced: bool,
    /// Whether it is in controlled shutdown.
    pub stopping: bool,
}

impl BrokerImage {
    /// Whether it may lead and be in sync.
    #[must_use]
    pub const fn is_active(self) -> bool {
        !self.fenced && !self.stopping
    }
}

/// A topic as the controller sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicImage {
    /// Its id.
    pub id: TopicId,
    /// What it is like.
    pub settings: Arc<TopicSettings>,
    /// Its partitions, by number: shared by all who know them as they are.
    pub partitions: Arc<[PartitionImage]>,
}

/// What the metadata log up to some offset says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Brokers by node.
    brokers: Vec<Option<BrokerImage>>,
    /// Topics by number.
    topics: Vec<Option<TopicImage>>,
    /// The offset behind the last batch applied.
    pub end: u64,
}

impl Image {
    /// A broker, if one ever registered on this node.
    #[must_use]
    pub fn broker(&self, node: NodeId) -> Option<BrokerImage> {
        self.brokers.get(node.index()).copied().flatten()
    }

    /// Whether the node's broker may lead and be in sync.
    #[must_use]
    pub fn is_active(&self, node: NodeId) -> bool {
        self.broker(node).is_some_and(BrokerImage::is_active)
    }

    /// Brokers that are not fenced.
    pub fn unfenced(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.registered().filter(|(_, broker)| !broker.fenced).map(|(node, _)| node)
    }

    /// All brokers that ever registered.
    pub fn registered(&self) -> impl Iterator<Item = (NodeId, BrokerImage)> + '_ {
        let nodes = self.brokers.iter().enumerate();
        nodes.filter_map(|(node, broker)| broker.map(|broker| (NodeId(node as u32), broker)))
    }

    /// A topic, if it exists.
    #[must_use]
    pub fn topic(&self, topic: TopicIx) -> Option<&TopicImage> {
        self.topics.get(topic.0 as usize)?.as_ref()
    }

    /// All topics.
    pub fn topics(&self) -> impl Iterator<Item = (TopicIx, &TopicImage)> {
        let topics = self.topics.iter().enumerate();
        topics.filter_map(|(topic, image)| image.as_ref().map(|image| (TopicIx(topic as u32), image)))
    }

    /// A partition, if it exists.
    #[must_use]
    pub fn partition(&self, id: PartitionId) -> Option<&PartitionImage> {
        self.topic(id.topic)?.partitions.get(id.partition as usize)
    }

    /// All partitions.
    pub fn partitions(&self) -> impl Iterator<Item = (PartitionId, &PartitionImage)> {
        self.topics().flat_map(|(topic, image)| {
            let partitions = image.partitions.iter().enumerate();
            partitions.map(move |(number, image)| (PartitionId::new(topic, number as u32), image))
        })
    }

    /// Applies the batch at offset `end`; each partition that it changes goes to `changed`.
    pub fn apply(&mut self, records: &[MetadataRecord], changed: &mut Vec<PartitionId>) {
        for record in records {
            self.apply_record(record, changed);
        }
        self.end += 1;
    }

    fn apply_record(&mut self, record: &MetadataRecord, changed: &mut Vec<PartitionId>) {
        match record {
            MetadataRecord::LeaderChange(_) => {}
            MetadataRecord::Register { broker, incarnation } => {
                let index = broker.index();
                if index >= self.brokers.len() {
                    self.brokers.resize(index + 1, None);
                }
                self.brokers[index] = Some(BrokerImage {
                    epoch: self.end,
                    incarnation: *incarnation,
                    fenced: true,
                    stopping: false,
                });
            }
            MetadataRecord::Broker { broker, fenced, stopping } => {
                if let Some(Some(image)) = self.brokers.get_mut(broker.index()) {
                    (image.fenced, image.stopping) = (*fenced, *stopping);
                }
            }
            MetadataRecord::Topic(topic, id, settings, partitions) => {
                let index = topic.0 as usize;
                if index >= self.topics.len() {
                    self.topics.resize(index + 1, None);
                }
                changed.extend((0..partitions.len()).map(|number| PartitionId::new(*topic, number as u32)));
                self.topics[index] = Some(TopicImage {
                    id: *id,
                    settings: Arc::clone(settings),
                    partitions: Arc::clone(partitions),
                });
            }
            MetadataRecord::Partition(id, image) => {
                if let Some(Some(topic)) = self.topics.get_mut(id.topic.0 as usize)
                    && (id.partition as usize) < topic.partitions.len()
                {
                    Arc::make_mut(&mut topic.partitions)[id.partition as usize] = image.clone();
                    changed.push(*id);
                }
            }
            MetadataRecord::RemoveTopic(topic) => {
                if let Some(gone) = self.topics.get_mut(topic.0 as usize).and_then(Option::take) {
                    changed.extend(numbered(*topic, 0, gone.partitions.len()));
                }
            }
            MetadataRecord::NewPartitions(topic, partitions) => {
                if let Some(Some(image)) = self.topics.get_mut(topic.0 as usize) {
                    changed.extend(numbered(*topic, image.partitions.len(), partitions.len()));
                    image.partitions = image.partitions.iter().chain(partitions.iter()).cloned().collect();
                }
            }
            MetadataRecord::Config(topic, settings) => {
                if let Some(Some(image)) = self.topics.get_mut(topic.0 as usize) {
                    changed.extend(numbered(*topic, 0, image.partitions.len()));
                    image.settings = Arc::clone(settings);
                }
            }
        }
    }
}

/// So many partitions of a topic, from this number on.
fn numbered(topic: TopicIx, first: usize, count: usize) -> impl Iterator<Item = PartitionId> {
    (first..first + count).map(move |number| PartitionId::new(topic, number as u32))
}
