//! EventuallyAcknowledgedValueFullyReplicated: what acks=all acknowledged is on every replica.

use super::{Liveness, joining};
use crate::kafka::{Kafka, invariants::replica, metadata::TopicId, protocol::PartitionId, rules::Rules};
use squall_bus::Time;
use std::time::Duration;

/// Every replica's log reaches the high watermark that its leader had when it was first looked. A partition without a
/// leader has nobody to copy from.
#[derive(Debug, Default)]
pub(super) struct Replicated {
    /// Of which topic, and how far.
    acknowledged: Vec<(PartitionId, TopicId, u64)>,
}

/// How far the leader's readers may read.
fn watermark(model: &Kafka, id: PartitionId) -> Option<u64> {
    let leader = model.truth().partition(id)?.leader?;
    Some(replica(model, leader, id)?.high_watermark)
}

impl Liveness for Replicated {
    fn name(&self) -> &'static str {
        "EventuallyAcknowledgedValueFullyReplicated"
    }

    fn source(&self) -> &'static str {
        "kafka-tlaplus, replication (KIP-966)"
    }

    /// A broker joins, and the fetch that it had under way gets no answer.
    fn bound(&self, rules: &Rules) -> Duration {
        joining(rules) + rules.replica_request_timeout + rules.replica_fetch_backoff
    }

    fn remember(&mut self, model: &Kafka) {
        self.acknowledged.clear();
        for (id, _) in model.truth().partitions() {
            let Some(topic) = model.truth().topic(id.topic) else { continue };
            self.acknowledged.extend(watermark(model, id).map(|upto| (id, topic.id, upto)));
        }
    }

    fn missing(&self, model: &Kafka, _: Time) -> Option<String> {
        self.acknowledged.iter().find_map(|(id, topic, acknowledged)| {
            model.truth().topic(id.topic).filter(|now| now.id == *topic)?;
            // An unclean election may have taken some of it away.
            let upto = watermark(model, *id)?.min(*acknowledged);
            let partition = model.truth().partition(*id)?;
            partition.replicas.iter().find_map(|node| {
                let has = replica(model, *node, *id).map_or(0, |replica| replica.log.end());
                let (unit, node) = (model.shared.names.unit(*id), node.0 + 1);
                (has < upto).then(|| {
                    format!(
                        "the replica of {unit} at node {node} goes to {has}, what was acknowledged to {upto}"
                    )
                })
            })
        })
    }
}
