//! What the meta group decides: which streams and consumers there are, and which servers hold them.

use super::{
    config::{ConsumerAssignment, ConsumerConfig, StreamAssignment, StreamConfig},
    protocol::{ConsumerId, ReplyTo, StreamIx},
    raft::message::{GroupId, Op},
};
use crate::kernel::{Choices, NodeId, Site};
use crate::nodes::NodeSet;
use std::{collections::BTreeMap, sync::Arc};

const PLACE: Site = Site::new("nats.meta.place");
const PREFER: Site = Site::new("nats.meta.prefer");

/// One server's view of the assignments.
#[derive(Clone, Debug, Default)]
pub struct Meta {
    /// Whether this server leads the meta group.
    pub leads: bool,
    /// Streams.
    pub streams: BTreeMap<StreamIx, Arc<StreamAssignment>>,
    /// Consumers.
    pub consumers: BTreeMap<ConsumerId, Arc<ConsumerAssignment>>,
}

/// What an entry of the meta group means for a server.
#[derive(Clone, Debug)]
pub enum MetaChange {
    /// A stream is new.
    NewStream(Arc<StreamAssignment>),
    /// A stream was asked for that is there.
    SameStream(Arc<StreamAssignment>),
    /// A consumer is new.
    NewConsumer(Arc<ConsumerAssignment>),
    /// A consumer was asked for that is there.
    SameConsumer(Arc<ConsumerAssignment>),
    /// A consumer is gone; who wants to know.
    NoConsumer(ConsumerId, Option<ReplyTo>),
    /// Nothing.
    Nothing,
}

impl Meta {
    /// A committed entry.
    pub fn apply(&mut self, op: &Op) -> MetaChange {
        match op {
            Op::AssignStream(assignment) if self.streams.contains_key(&assignment.stream) => {
                MetaChange::SameStream(Arc::clone(assignment))
            }
            Op::AssignStream(assignment) => {
                self.streams.insert(assignment.stream, Arc::clone(assignment));
                MetaChange::NewStream(Arc::clone(assignment))
            }
            Op::AssignConsumer(assignment) if self.consumers.contains_key(&assignment.consumer) => {
                MetaChange::SameConsumer(Arc::clone(assignment))
            }
            Op::AssignConsumer(assignment) => {
                self.consumers.insert(assignment.consumer, Arc::clone(assignment));
                MetaChange::NewConsumer(Arc::clone(assignment))
            }
            Op::RemoveConsumer(consumer, reply) => {
                self.consumers.remove(consumer);
                MetaChange::NoConsumer(*consumer, *reply)
            }
            _ => MetaChange::Nothing,
        }
    }

    /// Where a new stream goes: so many of these servers, drawn.
    #[must_use]
    pub fn place_stream(
        stream: StreamIx,
        config: Arc<StreamConfig>,
        servers: NodeSet,
        incarnation: u64,
        reply: Option<ReplyTo>,
        choices: &Choices,
    ) -> Option<StreamAssignment> {
        let (peers, preferred) = place(servers, config.replicas, GroupId::Stream(stream).word(), choices)?;
        Some(StreamAssignment { stream, config, peers, preferred, incarnation, reply })
    }

    /// Where a new consumer goes: to its stream's servers, or some of them.
    #[must_use]
    pub fn place_consumer(
        &self,
        consumer: ConsumerId,
        config: Arc<ConsumerConfig>,
        live: NodeSet,
        incarnation: u64,
        reply: Option<ReplyTo>,
        choices: &Choices,
    ) -> Option<ConsumerAssignment> {
        let stream = self.streams.get(&consumer.stream)?.peers;
        let all = config.replicas.is_none_or(|replicas| replicas >= stream.len());
        let from = if all { stream } else { stream.minus(stream.minus(live)) };
        let replicas = config.replicas.unwrap_or(stream.len()).min(stream.len());
        let (peers, preferred) = place(from, replicas, GroupId::Consumer(consumer).word(), choices)?;
        Some(ConsumerAssignment { consumer, config, peers, preferred, incarnation, reply })
    }
}

/// So many of these servers and the one that is to lead; `None` if there are not that many.
fn place(servers: NodeSet, count: u32, entity: u64, choices: &Choices) -> Option<(NodeSet, NodeId)> {
    if count == 0 || servers.len() < count {
        return None;
    }
    let mut left: Vec<NodeId> = servers.iter().collect();
    let mut peers: Vec<NodeId> = Vec::new();
    for place in 0..count {
        let drawn = choices.below(PLACE, entity, u64::from(place), left.len() as u64) as usize;
        peers.push(left.remove(drawn));
    }
    let preferred = peers[choices.below(PREFER, entity, 0, u64::from(count)) as usize];
    Some((NodeSet::of(&peers), preferred))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_is_chosen_and_preferred_by_some_draw() {
        let servers = NodeSet::of(&[NodeId(0), NodeId(1), NodeId(2), NodeId(3)]);
        let (mut seen, mut preferred) = (NodeSet::EMPTY, NodeSet::EMPTY);
        for seed in 0..50 {
            let (peers, first) = place(servers, 3, 7, &Choices::new(seed)).expect("there are enough");
            assert_eq!(peers.len(), 3);
            assert!(peers.contains(first));
            seen = seen.or(peers);
            preferred = preferred.with(first);
        }
        assert_eq!((seen, preferred), (servers, servers));
        assert!(place(servers, 5, 7, &Choices::new(1)).is_none());
    }
}
