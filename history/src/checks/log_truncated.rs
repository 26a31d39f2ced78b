//! `log_truncated`: a consumer was told that what it had read is no longer there.
//!
//! **Definition.** A consumer's position was reset to a place below the one it had consumed to.
//!
//! **Algorithm.** One walk over the notes. **Cost.** Linear.
//!
//! **Forbidden** unless acknowledged records may be lost ([`Rules::no_truncation`]); the story counts what was read
//! beyond the place.
//!
//! **Source.** kgo-verifier; KIP-320.

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::{Analysis, handed_before},
    guarantees::Rules,
    history::Observation,
};

pub(super) const CHECK: Check = Check {
    kind: Kind::LogTruncated,
    about: "a consumer was told that what it had read is no longer there",
    forbidden: "always, except where a loss is allowed",
    source: "kgo-verifier, KIP-320",
    find,
    tell,
    rule: |rules, _| Rules::no_truncation(rules),
};

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let resets = analysis.history.notes().iter().filter_map(|(event, note)| match note {
        Observation::Reset { unit, from: Some(from), to, .. } if to < from => Some(Found {
            unit: Some(*unit),
            position: Some(*to),
            ops: proof([handed_before(analysis.history, *unit, *event), Some(*event)]),
            send: None,
            other: Some(*event),
            case: Case::Plain,
        }),
        _ => None,
    });
    resets.collect()
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(unit), Some(to), Some(event)) = (found.unit, found.position, found.other) else {
        return Default::default();
    };
    let notes = analysis.history.notes();
    let note = notes.binary_search_by_key(&event, |(event, _)| *event).ok().map(|index| &notes[index].1);
    let (from, error) = match note {
        Some(Observation::Reset { from, error, .. }) => (from.unwrap_or(to), error.as_deref()),
        _ => (to, None),
    };
    let lost = analysis.units[unit.index()].between(to, from);
    let lost = lost.iter().filter(|place| place.delivered().is_some_and(|read| read < event)).count();
    let error = error.map(|error| format!(" ({error})")).unwrap_or_default();
    let (who, unit) = (analysis.who(event), analysis.unit(unit));
    [
        format!("{who} had consumed {unit} up to position {from}."),
        format!(
            "It was sent back to {to} {}{error}: {lost} records that had been read stood beyond.",
            analysis.when(event)
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::testing::tale;

    #[test]
    fn a_consumer_is_sent_back_behind_what_it_read() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).read(1, 0).read(2, 1).reset(Some(2), 1).finds_at(CHECK, &[1]);
    }

    #[test]
    fn who_read_a_topic_that_was_deleted_is_sent_back_by_right_and_only_once() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).read(1, 0).read(2, 1).deleted(None).reset(Some(2), 0);
        let allowed = tale.judged();
        let anomaly = allowed.anomalies.iter().find(|one| one.kind == CHECK.kind).expect("it is told");
        assert_eq!((anomaly.count, anomaly.forbidden()), (1, false), "{}", anomaly.clause());
        assert!(anomaly.clause().contains("orders/0 was deleted"), "{}", anomaly.clause());
        tale.sent(3, 0).sent(4, 1).read(3, 0).read(4, 1).reset(Some(2), 1);
        assert!(tale.judged().anomalies.iter().any(|one| one.kind == CHECK.kind && one.forbidden()));
    }

    #[test]
    fn records_that_were_deleted_excuse_no_truncation() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).read(1, 0).read(2, 1).deleted(Some(1)).reset(Some(2), 1);
        assert!(tale.judged().anomalies.iter().any(|one| one.kind == CHECK.kind && one.forbidden()));
    }

    #[test]
    fn a_consumer_without_a_position_begins_somewhere() {
        let mut tale = tale();
        tale.reset(None, 0).reset(Some(3), 9).finds_at(CHECK, &[]);
    }
}
