//! EventuallyMetadataConverges: there is one controller that every node knows, and its metadata is everybody's.

use super::{Liveness, quorum};
use crate::kafka::{Kafka, rules::Rules};
use squall_bus::Time;
use std::time::Duration;

/// Every node follows the active controller and has taken in what was committed when it was first looked.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    committed: u64,
}

impl Liveness for Metadata {
    fn name(&self) -> &'static str {
        "EventuallyMetadataConverges"
    }

    fn source(&self) -> &'static str {
        "kafka-tlaplus, metadata propagation (KIP-500, KIP-595)"
    }

    /// A process starts, and the quorum has a leader.
    fn bound(&self, rules: &Rules) -> Duration {
        rules.startup_max + quorum(rules)
    }

    fn remember(&mut self, model: &Kafka) {
        self.committed = model.truth().end;
    }

    fn missing(&self, model: &Kafka, _: Time) -> Option<String> {
        let mut active = model.servers.iter().filter(|server| server.voter.is_active());
        let (Some(controller), None) = (active.next(), active.next()) else {
            return Some("not exactly one node controls the cluster".to_owned());
        };
        model.servers.iter().find_map(|server| {
            let (node, has) = (server.me.0 + 1, server.image.end);
            if server.voter.leader() != Some(controller.me) {
                return Some(format!("node {node} does not follow the controller"));
            }
            let wants = self.committed;
            (has < wants).then(|| format!("node {node} has the metadata up to {has}, which goes to {wants}"))
        })
    }
}
