//! `duplicate`: one record stands at more than one place of the log.
//!
//! **Definition.** One value at two or more positions, of one unit or of several, by acks and reads. A record that
//! is *delivered* again from the same place is no duplicate.
//!
//! **Algorithm.** One walk over all places with the first place of each record. **Cost.** Linear in the places.
//!
//! **Forbidden** when the producer is idempotent or `log: exactly-once` is demanded ([`Rules::single_append`]).
//!
//! **Evidence limit.** Both places must have been seen: an ack counts for one.
//!
//! **Source.** Jepsen's Kafka workload (`duplicate`).

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::{Analysis, Place},
    guarantees::Rules,
};

pub(super) const CHECK: Check = Check {
    kind: Kind::Duplicate,
    about: "one record stands at more than one place of the log",
    forbidden: "idempotent producers; `log: exactly-once`",
    source: "Jepsen kafka: duplicate",
    find,
    tell,
    rule: |rules, _| Rules::single_append(rules),
};

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let mut told = vec![false; analysis.history.sends().len()];
    let mut found = Vec::new();
    for (unit, log) in analysis.logs() {
        for (place, index) in log.places.iter().zip(0u32..) {
            let Some(row) = place.send() else { continue };
            let first = analysis.first_place[row as usize];
            let Some((first_unit, first_index)) = first.filter(|first| *first != (unit, index)) else {
                continue;
            };
            if std::mem::replace(&mut told[row as usize], true) {
                continue;
            }
            let one = &analysis.units[first_unit.index()].places[first_index as usize];
            let ops = proof([Some(analysis.send(row).invoke.0), witness(one), witness(place)]);
            let (unit, position) = (Some(unit), Some(place.position));
            found.push(Found {
                unit,
                position,
                ops,
                send: Some(row),
                other: witness(place),
                case: Case::Plain,
            });
        }
    }
    found
}

/// The rows of the sends whose records stand at more than one place.
pub(crate) fn duplicated_sends(analysis: &Analysis<'_>) -> impl Iterator<Item = u32> {
    find(analysis).into_iter().filter_map(|found| found.send)
}

/// The event that shows a place: a read, or else the ack.
fn witness(place: &Place) -> Option<u32> {
    place.read().or_else(|| place.ack())
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(row), Some(unit), Some(position)) = (found.send, found.unit, found.position) else {
        return Default::default();
    };
    let Some((first_unit, first)) = analysis.first_place[row as usize] else { return Default::default() };
    let first = analysis.units[first_unit.index()].places[first as usize];
    let show = |place: Option<u32>| {
        let quoted = |event| analysis.history.quoted(event);
        place.map(|event| format!(" ({} {})", analysis.who(event), quoted(event))).unwrap_or_default()
    };
    let places = format!(
        "It stands in {} at position {}{} and in {} at position {position}{}.",
        analysis.unit(first_unit),
        first.position,
        show(witness(&first)),
        analysis.unit(unit),
        show(found.other)
    );
    [format!("{}.", analysis.sent(analysis.send(row))), places]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::{Case, testing::tale};

    #[test]
    fn a_retry_after_a_lost_response_appends_again() {
        // The ack names the second append; readers meet both.
        let mut tale = tale();
        tale.sent(1, 1).drain(1, 0).drain(1, 1).drained(2);
        tale.finds(CHECK, &[(1, 1, Case::Plain)]);
    }

    #[test]
    fn three_places_of_one_record_are_one_finding() {
        let mut tale = tale();
        tale.sent(1, 0).drain(1, 0).drain(1, 1).drain(1, 2).drained(3);
        tale.finds(CHECK, &[(1, 1, Case::Plain)]);
    }

    #[test]
    fn a_redelivery_is_not_a_duplicate() {
        let mut tale = tale();
        tale.sent(1, 0).read(1, 0).read(1, 0).drain(1, 0).drained(1);
        tale.finds(CHECK, &[]);
    }

    #[test]
    fn an_unknown_send_that_surfaces_once_is_not_a_duplicate() {
        let mut tale = tale();
        tale.unknown(1, None).drain(1, 7).drained(8);
        tale.finds(CHECK, &[]);
    }
}
