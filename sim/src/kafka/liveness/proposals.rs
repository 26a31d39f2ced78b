//! AlterPartitionEpochEventuallyReachedOrZero: a leader hears what became of the in-sync replicas that it proposed.

use super::{Liveness, joining};
use crate::kafka::{Kafka, broker::Broker, protocol::PartitionId, replica::Replica, rules::Rules};
use crate::kernel::NodeId;
use crate::nodes::NodeSet;
use squall_bus::Time;
use std::time::Duration;

/// A proposal: whose, of which partition, under which leader and partition epoch, and of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Proposal(NodeId, PartitionId, u32, u32, NodeSet);

/// No proposal that was under way when it was first looked still is.
#[derive(Debug, Default)]
pub(super) struct Proposals {
    under_way: Vec<Proposal>,
}

fn proposal(node: NodeId, replica: &Replica) -> Option<Proposal> {
    let proposed = replica.leading()?.proposed?;
    Some(Proposal(node, replica.id, replica.leader_epoch, replica.partition_epoch, proposed))
}

fn all(model: &Kafka) -> impl Iterator<Item = Proposal> + '_ {
    model.servers.iter().flat_map(|server| {
        let replicas = server.data().into_iter().flat_map(Broker::replicas);
        replicas.filter_map(|replica| proposal(server.me, replica))
    })
}

impl Liveness for Proposals {
    fn name(&self) -> &'static str {
        "AlterPartitionEpochEventuallyReachedOrZero"
    }

    fn source(&self) -> &'static str {
        "kafka-tlaplus, replication (KIP-497, KIP-966)"
    }

    /// Whoever is proposed has joined, and two requests get no answer.
    fn bound(&self, rules: &Rules) -> Duration {
        joining(rules) + (rules.controller_socket_timeout + rules.controller_retry) * 2
    }

    fn remember(&mut self, model: &Kafka) {
        self.under_way = all(model).collect();
    }

    fn missing(&self, model: &Kafka, _: Time) -> Option<String> {
        if self.under_way.is_empty() {
            return None;
        }
        all(model).find(|proposal| self.under_way.contains(proposal)).map(|Proposal(node, id, .., isr)| {
            let (unit, node) = (model.shared.names.unit(id), node.0 + 1);
            format!("node {node} still waits for an answer to the in-sync replicas {isr:?} of {unit}")
        })
    }
}
