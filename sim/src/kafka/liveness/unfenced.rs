//! EventuallyUnfenced: the controller has every broker for alive, in the life that it is in.

use super::{Liveness, joining};
use crate::kafka::{Kafka, rules::Rules};
use squall_bus::Time;
use std::time::Duration;

/// Every broker is unfenced in the committed metadata, under the broker epoch that it has itself.
#[derive(Debug)]
pub(super) struct Unfenced;

impl Liveness for Unfenced {
    fn name(&self) -> &'static str {
        "EventuallyUnfenced"
    }

    fn source(&self) -> &'static str {
        "kafka-tlaplus, the broker's lifecycle (KIP-631)"
    }

    /// A session that was about to end ends before the broker joins anew.
    fn bound(&self, rules: &Rules) -> Duration {
        rules.broker_session + joining(rules)
    }

    fn missing(&self, model: &Kafka, _: Time) -> Option<String> {
        model.servers.iter().find_map(|server| {
            let (node, life) = (server.me.0 + 1, &server.broker.as_ref()?.life);
            let standing = model.truth().broker(server.me);
            match standing {
                Some(known) if !known.is_active() => {
                    Some(format!("the controller has the broker of node {node} for fenced or stopping"))
                }
                Some(known) if known.epoch == life.epoch => None,
                _ => Some(format!("the controller knows another life of the broker of node {node}")),
            }
        })
    }
}
