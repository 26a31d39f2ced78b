//! The bounds of exploration: they leave something to draw, and it fits.

use super::{Check, Path};

/// More clients than this in one group are no test.
const MAX_CLIENTS: u32 = 100;

pub(super) fn check(check: &mut Check<'_>) {
    let Some(bounds) = &check.scenario.explore else { return };
    let path = Path::new("explore");
    if bounds.families.as_ref().is_some_and(Vec::is_empty) {
        check.report(
            &path.key("families"),
            "no family of faults may strike",
            "name some, such as `[kill, pause]`, or remove the key for all of them",
        );
    }
    if let Some(nodes) = bounds.nodes {
        let copies = check.scenario.topology.topics.iter();
        let most =
            copies.filter_map(|(name, shape)| shape.replicas.map(|replicas| (replicas.get(), name))).max();
        if let Some((replicas, name)) = most
            && replicas > nodes.low()
        {
            let message = format!("{replicas} replicas of `{name}` do not fit on {} nodes", nodes.low());
            let help = format!("begin at {replicas} nodes, or lower replicas");
            check.report(&path.key("nodes"), message, help);
        }
        if nodes.high() > 99 {
            check.report(
                &path.key("nodes"),
                format!("{} nodes are too many", nodes.high()),
                "write at most 99",
            );
        }
    }
    if let Some(partitions) = bounds.partitions {
        for (name, shape) in &check.scenario.topology.topics {
            if partitions.high() > shape.partitions.get() {
                let message = format!("`{name}` has {} partitions in topology", shape.partitions);
                let help = format!("write at most {}, or raise partitions there", shape.partitions);
                check.report(&path.key("partitions"), message, help);
                break;
            }
        }
    }
    for (key, range) in [("producers", bounds.producers), ("consumers", bounds.consumers)] {
        if range.is_some_and(|range| range.high() > MAX_CLIENTS) {
            check.report(
                &path.key(key),
                "that are too many in one group",
                format!("write at most {MAX_CLIENTS}"),
            );
        }
    }
    for (key, range) in [("for", bounds.lasts), ("every", bounds.every), ("lasting", bounds.lasting)] {
        if range.is_some_and(|range| range.low().is_zero()) {
            check.report(&path.key(key), "a duration of no time", "begin above zero, such as 1s..10s");
        }
    }
}
