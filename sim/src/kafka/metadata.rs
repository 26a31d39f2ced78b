//! The cluster's metadata: the records of its log, and the image that they make.
//!
//! Every node keeps an image of its own, made from the part of the log that is committed and has reached it
//! (rule A5); the active controller keeps another one that is ahead of it.

use super::{nodes::NodeSet, protocol::{PartitionId, TopicIx}};
use crate::kernel::NodeId;
use std::sync::Arc;

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
    Topic(TopicIx, Arc<TopicSettings>, Arc<[PartitionImage]>),
    /// A partition changed.
    Partition(PartitionId, PartitionImage),
}
