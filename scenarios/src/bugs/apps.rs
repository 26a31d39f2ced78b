//! Bugs that programs on top of a client library have had: each a key of the consumers, set as they had it.
//!
//! What the bus and the client do is right; the program asks them for the wrong thing.

use crate::format::Consumers;
use squall_history::Kind;
use squall_sim::bugs::Bug;

/// A bug of a program.
pub(super) struct Row {
    pub(super) bug: Bug,
    /// The key of a group of consumers, with its value.
    pub(super) set: &'static str,
    /// Whether a group can have it.
    pub(super) concerns: fn(&Consumers) -> bool,
}

pub(super) const ROWS: &[Row] = &[
    Row {
        bug: Bug {
            id: "abort-position",
            bus: "kafka",
            source: "programs on Kafka's clients: Redpanda's abort workload",
            about: "after an abort a program reads on where it was, and not where its transaction began",
            scenario: "aborted-loop",
            anomaly: Kind::AbortPosition,
        },
        set: "forward.rewind=false",
        concerns: |group| group.forward.is_some(),
    },
    Row {
        bug: Bug {
            id: "autocommit-latest",
            bus: "kafka",
            source: "programs on Kafka's clients: linkedin/kafka-monitor issue 303, Redpanda's auto_commit workload",
            about: "the client commits by itself what the program has taken and not yet worked on",
            scenario: "slow-worker-dies",
            // What a client commits by itself is not in the history; what is left out for it is.
            anomaly: Kind::Unprocessed,
        },
        set: "auto_commit=50ms",
        concerns: |group| group.forward.is_none(),
    },
    Row {
        bug: Bug {
            id: "reset-latest",
            bus: "kafka",
            source: "programs on Kafka's clients: confluentinc/confluent-kafka-python issue 1329",
            about: "a group that has committed nothing yet begins at the end, behind what came during a rebalance",
            scenario: "first-records",
            anomaly: Kind::GroupJump,
        },
        set: "reset=latest",
        concerns: |_| true,
    },
];

/// The row of this id.
pub(super) fn find(id: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.bug.id == id)
}
