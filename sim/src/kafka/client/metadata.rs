//! What a client believes about the cluster: who leads which partition, with which epoch.
//!
//! - Asked for at the start for the topics of interest, again every [`Connecting::metadata_age`], and whenever
//!   something goes wrong: a topic or leader is missing, a broker says it does not lead, a connection breaks, a
//!   leader that is needed cannot be reached. Attempts that leave something missing back off.
//! - A broker may answer from old knowledge. A leader with a smaller epoch than one already known is ignored.
//! - A topic with another id than before is another topic of that name (rule A6): what was known of the old one, its
//!   epochs too, counts no more. What was asked for is asked for there at the same positions.
//! - A response that names the new leader (KIP-951) is believed at once, by the same rule.

use super::super::{
    error::ErrorCode,
    metadata::TopicId,
    protocol::{LeaderHint, MetadataResponse, PartitionId, TopicIx},
};
use super::connections::Slot;
use crate::kernel::NodeId;
use std::sync::Arc;

/// Who leads a partition, as far as the client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PartitionView {
    pub(crate) leader: Option<NodeId>,
    pub(crate) epoch: u32,
}

/// A topic of interest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TopicView {
    pub(crate) topic: TopicIx,
    /// The last answer about it.
    pub(crate) error: ErrorCode,
    /// Its id, once that is known.
    pub(crate) id: Option<TopicId>,
    /// Its partitions; empty until they are known.
    pub(crate) partitions: Vec<PartitionView>,
}

/// The topics that a client cares about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Metadata {
    pub(crate) topics: Vec<TopicView>,
    /// The ids that are known, for requests that name topics by id.
    ids: Option<Arc<[(TopicIx, TopicId)]>>,
}

impl Metadata {
    /// The topic's place; it is of interest from now on. `true` if it is new.
    pub(crate) fn follow(&mut self, topic: TopicIx) -> (usize, bool) {
        if let Some(place) = self.place(topic) {
            return (place, false);
        }
        self.topics.push(TopicView { topic, error: ErrorCode::None, id: None, partitions: Vec::new() });
        (self.topics.len() - 1, true)
    }

    /// The topic's place, if it is of interest.
    pub(crate) fn place(&self, topic: TopicIx) -> Option<usize> {
        self.topics.iter().position(|view| view.topic == topic)
    }

    /// How many partitions a topic has; 0 while that is not known.
    pub(crate) fn partitions(&self, topic: TopicIx) -> u32 {
        self.place(topic).map_or(0, |place| self.topics[place].partitions.len() as u32)
    }

    /// A partition's leader and its epoch.
    pub(crate) fn partition(&self, id: PartitionId) -> Option<PartitionView> {
        self.topics.get(self.place(id.topic)?)?.partitions.get(id.partition as usize).copied()
    }

    /// The slot of a partition's leader.
    pub(crate) fn leader(&self, id: PartitionId) -> Option<Slot> {
        self.partition(id)?.leader.map(|node| node.0)
    }

    /// The ids of all topics that are known.
    pub(crate) fn topic_ids(&mut self) -> Option<Arc<[(TopicIx, TopicId)]>> {
        if self.ids.is_none() {
            let known = self.topics.iter().filter_map(|view| Some((view.topic, view.id?)));
            self.ids = Some(known.collect());
        }
        self.ids.clone()
    }

    /// Takes an answer in.
    pub(crate) fn learn(&mut self, response: &MetadataResponse) {
        for answer in &response.topics {
            let Some(place) = self.place(answer.topic) else { continue };
            let view = &mut self.topics[place];
            view.error = answer.error;
            if answer.id.is_some() && answer.id != view.id {
                // Another topic of this name: leaders, epochs and the number of partitions begin anew.
                view.id = answer.id;
                view.partitions.clear();
                self.ids = None;
            }
            for (number, partition) in answer.partitions.iter().enumerate() {
                let learned = PartitionView { leader: partition.leader, epoch: partition.leader_epoch };
                match view.partitions.get_mut(number) {
                    Some(known) if known.epoch <= learned.epoch => *known = learned,
                    Some(_) => {}
                    None => view.partitions.push(learned),
                }
            }
        }
    }

    /// Takes a hint in; whether it was news.
    pub(crate) fn learn_leader(&mut self, id: PartitionId, hint: LeaderHint) -> bool {
        let known = self
            .place(id.topic)
            .and_then(|place| self.topics[place].partitions.get_mut(id.partition as usize));
        match known {
            Some(known) if known.epoch < hint.epoch && hint.node.is_some() => {
                *known = PartitionView { leader: hint.node, epoch: hint.epoch };
                true
            }
            _ => false,
        }
    }

    /// Whether a topic or a leader is missing.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.topics.iter().any(|view| {
            view.partitions.is_empty() || view.partitions.iter().any(|partition| partition.leader.is_none())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::protocol::{PartitionMetadata, TopicMetadata};
    use super::*;

    fn answer(leaders: &[(u32, u32)]) -> MetadataResponse {
        let partitions = leaders
            .iter()
            .map(|(leader, leader_epoch)| PartitionMetadata {
                error: ErrorCode::None,
                leader: Some(NodeId(*leader)),
                leader_epoch: *leader_epoch,
            })
            .collect();
        let topics = vec![TopicMetadata { topic: TopicIx(3), error: ErrorCode::None, id: None, partitions }];
        MetadataResponse { brokers: vec![NodeId(0)], topics }
    }

    #[test]
    fn old_knowledge_does_not_replace_new() {
        let mut metadata = Metadata::default();
        assert_eq!(metadata.follow(TopicIx(3)), (0, true));
        assert!(metadata.is_incomplete());
        metadata.learn(&answer(&[(0, 4), (1, 4)]));
        assert!(!metadata.is_incomplete());
        metadata.learn(&answer(&[(2, 3), (2, 5)]));
        let leader =
            |metadata: &Metadata, partition| metadata.leader(PartitionId::new(TopicIx(3), partition));
        assert_eq!((leader(&metadata, 0), leader(&metadata, 1)), (Some(0), Some(2)));

        let hint = |epoch| LeaderHint { node: Some(NodeId(1)), epoch };
        assert!(!metadata.learn_leader(PartitionId::new(TopicIx(3), 0), hint(4)));
        assert!(metadata.learn_leader(PartitionId::new(TopicIx(3), 0), hint(5)));
        assert_eq!(leader(&metadata, 0), Some(1));
    }
}
