//! `replica_divergence`: two nodes give different logs of one unit.
//!
//! **Definition.** A unit is drained through several nodes, each drain to its end. A record that one node gave, and
//! another did not although its drain covers the place, diverges.
//!
//! **Algorithm.** The drained records by unit, place and value; each group must have every node whose finished drain
//! covers it. **Cost.** A sort of what was drained through nodes.
//!
//! **Forbidden** like two readers who disagree about a place ([`Rules::single_value`]).
//!
//! **Evidence limit.** It needs the finished drains of at least two nodes; topics that compact or age are not judged,
//! since nodes clean up at their own pace.
//!
//! **Source.** Jepsen's NATS workload (lost on a node, nats-server #7567).

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::{Analysis, UnitLog},
    guarantees::Rules,
    history::{Drain, UnitId},
};

pub(super) const CHECK: Check = Check {
    kind: Kind::ReplicaDivergence,
    about: "two nodes give different logs of one unit",
    forbidden: "always, except after unclean elections or a loss of power",
    source: "Jepsen NATS: lost on a node",
    find,
    tell,
    rule: |rules, _| Rules::single_value(rules, true),
};

/// One record as one node gave it.
type Given = (UnitId, u64, u64, u32, u32);

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    if analysis.units.iter().all(|log| log.node_drains.len() < 2) {
        return Vec::new();
    }
    let history = analysis.history;
    let mut given: Vec<Given> = history
        .deliver_extras()
        .iter()
        .filter_map(|(row, extra)| {
            let read = &history.delivers()[*row as usize];
            let (node, value) = extra.node.filter(|_| read.drained()).zip(read.value())?;
            Some((read.unit, read.position, value, node, read.event))
        })
        .collect();
    given.sort_unstable();
    let mut found = Vec::new();
    for group in given.chunk_by(|a, b| (a.0, a.1, a.2) == (b.0, b.1, b.2)) {
        let (unit, position, value, _, event) = group[0];
        let lacks = finished(&analysis.units[unit.index()]).find(|(_, drain)| {
            covers(drain, position) && !group.iter().any(|given| Some(given.3) == drain.node)
        });
        if let Some((drain, _)) = lacks.filter(|_| !cleaned(analysis, unit)) {
            found.push(Found {
                unit: Some(unit),
                position: Some(position),
                ops: proof([Some(event), Some(drain)]),
                send: analysis.writer(value),
                other: Some(drain),
                case: Case::Plain,
            });
        }
    }
    found
}

/// The drains through nodes that came to their ends.
fn finished(log: &UnitLog) -> impl Iterator<Item = (u32, Drain)> {
    log.node_drains.iter().copied().filter(|(_, drain)| drain.complete)
}

fn covers(drain: &Drain, position: u64) -> bool {
    (drain.from..drain.to).contains(&position)
}

/// Whether nodes throw records of the unit away at their own pace.
fn cleaned(analysis: &Analysis<'_>, unit: UnitId) -> bool {
    let history = analysis.history;
    let facts = history.meta.configuration.topic(history.topic_name(history.unit_topic(unit)));
    facts.compacts() || facts.deletes() || facts.ttl.is_some()
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(unit), Some(position), Some(event)) = (found.unit, found.position, found.other) else {
        return Default::default();
    };
    let log = &analysis.units[unit.index()];
    let lacking = log.node_drains.iter().find(|(drain, _)| *drain == event).and_then(|(_, drain)| drain.node);
    let read = found.ops.iter().find(|op| **op != event).copied().unwrap_or(event);
    let giver = analysis.history.deliver_row(read).and_then(|row| analysis.history.deliver_extra(row).node);
    let record = found.send.map_or_else(|| "a record".to_owned(), |row| analysis.record(analysis.send(row)));
    let node = |node: Option<u32>| node.map_or_else(|| "a node".to_owned(), |node| format!("node {node}"));
    let unit = analysis.unit(unit);
    [
        format!(
            "Through {} the final drain read {record} in {unit} at position {position} {}.",
            node(giver),
            analysis.when(read)
        ),
        format!(
            "Through {} it read the place too, {}, and {record} was not there.",
            node(lacking),
            analysis.when(event)
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::{Case, testing::tale};

    #[test]
    fn a_node_lacks_what_another_has() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).node(0).drain(1, 0).drain(2, 1).drained(2).node(1).drain(2, 1).drained(2);
        tale.finds(CHECK, &[(1, 0, Case::Plain)]);
    }

    #[test]
    fn a_drain_that_did_not_finish_says_nothing() {
        let mut tale = tale();
        tale.sent(1, 0).node(0).drain(1, 0).drained(1).node(1).undrained(1).finds(CHECK, &[]);
    }
}
