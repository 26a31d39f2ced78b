//! EventuallyRuns: every process comes up, and every broker registers, is unfenced and serves.

use super::{Liveness, joining};
use crate::kafka::{Kafka, lifecycle::Stage, rules::Rules};
use squall_bus::Time;
use std::time::Duration;

/// Every server's process is up, every broker's stage is the one in which it serves.
#[derive(Debug)]
pub(super) struct Runs;

impl Liveness for Runs {
    fn name(&self) -> &'static str {
        "EventuallyRuns"
    }

    fn source(&self) -> &'static str {
        "kafka-tlaplus, the broker's lifecycle (KIP-631)"
    }

    /// The start of a process and all that [joining] may take.
    fn bound(&self, rules: &Rules) -> Duration {
        joining(rules)
    }

    fn missing(&self, model: &Kafka, _: Time) -> Option<String> {
        model.servers.iter().find_map(|server| {
            let node = server.me.0 + 1;
            if !server.is_up() {
                return Some(format!("the process of node {node} is not up"));
            }
            let stage = server.broker.as_ref()?.life.stage;
            (stage != Stage::Running)
                .then(|| format!("the broker of node {node} does not serve: it is at {stage:?}"))
        })
    }
}
