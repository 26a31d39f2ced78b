//! `inconsistent_offsets`: one position held two different records.
//!
//! **Definition.** A position of a unit with more than one value, by acks and reads. Records whose payload could
//! not be read count for nothing here: they are `corrupt`.
//!
//! **Algorithm.** One walk over the places of each unit, which are sorted by position. **Cost.** Linear.
//!
//! **Forbidden** always when two readers disagree, unless unclean elections may lose records; when an ack disagrees
//! with a reader, as far as the acknowledged record may not be lost: a lost record's place may be used again
//! ([`Rules::single_value`]).
//!
//! **Source.** Jepsen's Kafka workload (`inconsistent-offsets`).

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::{Analysis, Place},
    guarantees::Rules,
};

pub(super) const CHECK: Check = Check {
    kind: Kind::InconsistentOffsets,
    about: "one position held two different records",
    forbidden: "always, except after a loss that is allowed",
    source: "Jepsen kafka: inconsistent-offsets",
    find,
    tell,
    rule: |rules, found| Rules::single_value(rules, found.case == Case::ReadTwice),
};

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    for (unit, log) in analysis.logs() {
        for group in log.places.chunk_by(|a, b| a.position == b.position) {
            if group.len() < 2 {
                continue;
            }
            let readable: Vec<&Place> = group.iter().filter(|place| place.value().is_some()).collect();
            let [one, two, ..] = readable[..] else { continue };
            let reads = readable.iter().filter(|place| place.read().is_some()).count();
            found.push(Found {
                unit: Some(unit),
                position: Some(one.position),
                ops: proof(readable.iter().map(|place| place.ack().or_else(|| place.read()))),
                send: one.send(),
                other: two.send(),
                case: if reads > 1 { Case::ReadTwice } else { Case::Plain },
            });
        }
    }
    found
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(unit), Some(position)) = (found.unit, found.position) else { return Default::default() };
    let places = analysis.units[unit.index()].between(position, position.saturating_add(1));
    let line = |place: &Place| {
        let record = match place.value() {
            Some(value) => format!("record {value}"),
            None => "an unreadable record".to_owned(),
        };
        let ack = place.ack().map(|event| format!("acknowledged {}", analysis.when(event)));
        let read = place.read().map(|event| analysis.read_by(event));
        let shown: Vec<String> = [ack, read].into_iter().flatten().collect();
        format!("{record} ({})", shown.join("; "))
    };
    let mut readable = places.iter().filter(|place| place.value().is_some());
    let (first, rest) = (readable.next().map(line), readable.map(line).collect::<Vec<_>>());
    [
        format!("Position {position} of {} held {}.", analysis.unit(unit), first.unwrap_or_default()),
        format!("The same position held {}.", rest.join(", and ")),
    ]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::{Case, testing::tale};

    #[test]
    fn two_acks_for_one_place() {
        // The old leader acknowledged record 1 at 0; the new one gave the place to record 2.
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 0).drain(2, 0).drained(1);
        tale.finds(CHECK, &[(1, 0, Case::Plain)]);
    }

    #[test]
    fn two_readers_of_one_place_disagree() {
        let mut tale = tale();
        tale.sent(1, 0).unknown(2, None).read(1, 0).drain(2, 0).drained(1);
        tale.finds(CHECK, &[(1, 0, Case::ReadTwice)]);
    }

    #[test]
    fn a_topic_that_is_created_again_uses_its_places_again() {
        let mut tale = tale();
        tale.sent(1, 0).read(1, 0).deleted(None).sent(2, 0).read(2, 0);
        let report = tale.judged();
        let kinds = |forbidden: bool| {
            let of = report.anomalies.iter().filter(|one| one.forbidden() == forbidden);
            of.map(|one| one.kind).collect::<Vec<_>>()
        };
        assert_eq!(kinds(true), []);
        assert!(kinds(false).contains(&CHECK.kind));
        tale.sent(3, 0).read(3, 0);
        assert!(tale.judged().anomalies.iter().any(|one| one.kind == CHECK.kind && one.forbidden()));
    }

    #[test]
    fn an_unproved_position_of_an_unknown_send_counts_for_nothing() {
        let mut tale = tale();
        tale.unknown(1, Some(0)).sent(2, 0).drain(2, 0).drained(1);
        tale.finds(CHECK, &[]);
    }
}
