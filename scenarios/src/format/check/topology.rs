//! Nodes and topics: replicas fit on the nodes, and in-sync copies among the replicas.

use super::{Check, Path};
use crate::format::TopicShape;

/// More nodes than this are no test cluster.
const MAX_NODES: u32 = 99;
/// More partitions than this in one topic are no test topic.
const MAX_PARTITIONS: u32 = 10_000;

pub(super) fn check(check: &mut Check<'_>) {
    let topology = &check.scenario.topology;
    let nodes = topology.nodes.get();
    if nodes > MAX_NODES {
        check.report(
            &Path::new("topology/nodes"),
            format!("{nodes} nodes are too many"),
            format!("write at most {MAX_NODES}"),
        );
    }
    if topology.topics.is_empty() {
        check.report(
            &Path::new("topology/topics"),
            "there is no topic",
            "add one, as in `topics: { orders: { partitions: 3 } }`",
        );
    }
    for (name, shape) in &topology.topics {
        topic(check, name, shape);
    }
}

fn topic(check: &mut Check<'_>, name: &str, shape: &TopicShape) {
    let path = Path::new("topology/topics").key(name);
    let nodes = check.scenario.topology.nodes;
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > 249 || name == "." || name == ".." || !name.chars().all(legal) {
        check.report(
            &path,
            "this is not the name of a topic",
            "use letters, digits, `.`, `_` and `-`, at most 249",
        );
    }
    if shape.partitions.get() > MAX_PARTITIONS {
        let message = format!("{} partitions are too many", shape.partitions);
        check.report(&path.key("partitions"), message, format!("write at most {MAX_PARTITIONS}"));
    }
    let replicas = shape.replicas_on(nodes);
    if replicas > nodes.get() {
        let message = format!("{replicas} replicas do not fit on {nodes} nodes");
        check.report(
            &path.key("replicas"),
            message,
            format!("write at most {nodes}, or raise topology.nodes"),
        );
    }
    let min_insync = shape.min_insync_on(nodes);
    if min_insync > replicas {
        let message = format!("min_insync {min_insync} can never be met by {replicas} replicas");
        check.report(
            &path.key("min_insync"),
            message,
            format!("write at most {replicas}, or raise replicas"),
        );
    }
}
