//! `compaction_loss`: compaction took the latest record of a key.
//!
//! **Definition.** In a topic that compacts, the record of a key that happened, stands last of its key in its unit,
//! and deletes nothing, is not found by the finished final drain of the unit. Older records of the key may be gone.
//!
//! **Algorithm.** Down the places of each compacted unit; the first place of each key is its latest. **Cost.** Linear.
//!
//! **Forbidden** like a lost write ([`Rules::survival`]): compaction keeps the latest of each key.
//!
//! **Evidence limit.** It needs a finished drain, and a record whose place is known.
//!
//! **Source.** kgo-verifier; redpanda/chaos `writes`.

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::{Analysis, Place, UnitLog},
    guarantees::Rules,
    history::{Drain, KeyId, UnitId},
};
use std::collections::HashSet;

pub(super) const CHECK: Check = Check {
    kind: Kind::CompactionLoss,
    about: "compaction took the latest record of a key",
    forbidden: "in topics that compact, like a lost write",
    source: "kgo-verifier; redpanda chaos: writes",
    find,
    tell,
    rule: |rules, _| Rules::survival(rules),
};

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let history = analysis.history;
    let configuration = &history.meta.configuration;
    let compacts =
        |unit: &UnitId| configuration.topic(history.topic_name(history.unit_topic(*unit))).compacts();
    let units = analysis.logs().filter(|(unit, log)| compacts(unit) && log.complete_drain().is_some());
    units.flat_map(|(unit, log)| lost(analysis, unit, log)).collect()
}

fn lost(analysis: &Analysis<'_>, unit: UnitId, log: &UnitLog) -> Vec<Found> {
    let Some((event, drain)) = log.drain else { return Vec::new() };
    // Only asked, never walked.
    let mut known: HashSet<KeyId> = HashSet::new();
    let mut found = Vec::new();
    for place in log.places.iter().rev() {
        let Some(row) = place.send().filter(|row| analysis.happened(*row)) else { continue };
        let Some(key) = analysis.send(row).key() else { continue };
        if known.insert(key) && is_lost(analysis, row, place, &drain) {
            found.push(Found {
                unit: Some(unit),
                position: Some(place.position),
                ops: proof([Some(analysis.send(row).invoke.0), place.ack(), place.read(), Some(event)]),
                send: Some(row),
                other: Some(event),
                case: Case::Plain,
            });
        }
    }
    found.reverse();
    found
}

/// Whether the drain covers the latest record of a key and did not find it, it deletes nothing, and no administrator
/// deleted it.
fn is_lost(analysis: &Analysis<'_>, row: u32, place: &Place, drain: &Drain) -> bool {
    place.drained().is_none()
        && (drain.from..drain.to).contains(&place.position)
        && !analysis.history.send_extra(row).tombstone
        && analysis.deletions.took(row).is_none()
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(row), Some(unit)) = (found.send, found.unit) else { return Default::default() };
    let drain = analysis.drain_words(unit);
    [
        format!("{}.", analysis.sent(analysis.send(row))),
        format!("It is the latest record of its key, and {drain} without it."),
    ]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::{
        checks::{
            Case,
            testing::{Tale, tale},
        },
        guarantees::{Cleanup, TopicFacts},
    };

    fn compacted() -> Tale {
        let mut tale = tale();
        tale.configure(|meta| {
            let facts = TopicFacts { cleanup: Cleanup::Compact, ..TopicFacts::default() };
            meta.configuration.topics.insert("orders".into(), facts);
        });
        tale
    }

    #[test]
    fn the_latest_of_a_key_is_gone() {
        let mut tale = compacted();
        tale.key("a").sent(1, 0).sent(2, 1).key("b").sent(3, 2).drain(1, 0).drain(3, 2).drained(3);
        tale.finds(CHECK, &[(2, 1, Case::Plain)]);
    }

    #[test]
    fn older_ones_may_be_gone_and_that_is_no_lost_write() {
        let mut tale = compacted();
        tale.key("a").sent(1, 0).sent(2, 1).drain(2, 1).drained(2).finds(CHECK, &[]);
        assert_eq!(tale.judged().verdict, crate::Verdict::Valid, "{:?}", tale.judged().anomalies);
    }

    #[test]
    fn a_tombstone_may_go_with_its_key() {
        let mut tale = compacted();
        tale.key("a")
            .sent(1, 0)
            .with(|extra| extra.tombstone = true)
            .sent(2, 1)
            .key("b")
            .sent(3, 2)
            .drain(3, 2);
        tale.drained(3).finds(CHECK, &[]);
    }
}
