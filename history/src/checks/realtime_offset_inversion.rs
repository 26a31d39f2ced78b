//! `realtime_offset_inversion`: a send that began after another was acknowledged stands before it.
//!
//! **Definition.** In one unit, a record acknowledged at position *o* whose send began after the ack of another
//! record at a position at or behind *o*. A log that hands out places in real time never does this.
//!
//! **Algorithm.** Down the places of each unit, holding the earliest ack met so far: a send that began after it is
//! inverted. No search. **Cost.** Linear.
//!
//! **Forbidden** unless acknowledged records may be lost, and their places used again ([`Rules::real_time`]).
//!
//! **Evidence limit.** Only acks that name their place count, and no answers `duplicate` that speak of an earlier
//! send of the message.
//!
//! **Source.** redpanda/chaos `writes`; the log is linearizable if this never happens and places name one record.

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::{Analysis, Place},
    guarantees::Rules,
};

pub(super) const CHECK: Check = Check {
    kind: Kind::RealtimeOffsetInversion,
    about: "a send that began after another was acknowledged stands before it",
    forbidden: "always, except after a loss that is allowed",
    source: "redpanda chaos: writes",
    find,
    tell,
    rule: |rules, _| Rules::real_time(rules),
};

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    for (unit, log) in analysis.logs().filter(|(_, log)| may_invert(analysis, &log.places)) {
        // The earliest ack at the places behind, and at this very position.
        let mut earliest: Option<(u32, u32)> = None;
        for group in log.places.chunk_by(|a, b| a.position == b.position).rev() {
            let acks = || group.iter().filter_map(|place| acknowledged(analysis, place));
            for (row, _) in acks() {
                let others = acks().filter(|(other, _)| *other != row).map(|(other, ack)| (ack, other)).min();
                let first = earliest.into_iter().chain(others).min();
                let Some((ack, other)) = first.filter(|(ack, _)| *ack < analysis.send(row).invoke.0) else {
                    continue;
                };
                let send = analysis.send(row);
                found.push(Found {
                    unit: Some(unit),
                    position: Some(group[0].position),
                    ops: proof([
                        Some(analysis.send(other).invoke.0),
                        Some(ack),
                        Some(send.invoke.0),
                        send.completion(),
                    ]),
                    send: Some(row),
                    other: Some(other),
                    case: Case::Plain,
                });
            }
            earliest = earliest.into_iter().chain(acks().map(|(row, ack)| (ack, row))).min();
        }
    }
    found.sort_by_key(|one| one.send);
    found
}

/// The send and the event of an ack that names a place.
/// Whether any inversion is to be looked for: a send began after an ack of what stands behind it, or it shares its
/// position. Most logs have neither.
fn may_invert(analysis: &Analysis<'_>, places: &[Place]) -> bool {
    let mut earliest = u32::MAX;
    let mut behind = u64::MAX;
    places.iter().rev().any(|place| {
        let shared = std::mem::replace(&mut behind, place.position) == place.position;
        let Some((row, ack)) = place.send().zip(place.ack()) else { return shared };
        let begun_later = earliest < analysis.send(row).invoke.0;
        earliest = earliest.min(ack);
        shared || begun_later
    })
}

fn acknowledged(analysis: &Analysis<'_>, place: &Place) -> Option<(u32, u32)> {
    let (row, ack) = place.send().zip(place.ack())?;
    (analysis.send(row).acked() && analysis.twin(row).is_none()).then_some((row, ack))
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(row), Some(other), Some(unit), Some(position)) =
        (found.send, found.other, found.unit, found.position)
    else {
        return Default::default();
    };
    let send = analysis.send(row);
    [
        format!("{}.", analysis.sent(analysis.send(other))),
        format!(
            "{} sent {} only then, {}, and yet it stands at or before it: in {} at position {position}.",
            analysis.history.process_name(send.process),
            analysis.record(send),
            analysis.when(send.invoke.0),
            analysis.unit(unit)
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::{Case, testing::tale};

    #[test]
    fn a_later_send_gets_an_earlier_place() {
        // Record 1 is acknowledged at 5 before record 2 is sent; record 2 gets place 3.
        let mut tale = tale();
        tale.sent(1, 5).sent(2, 3).finds(CHECK, &[(2, 3, Case::Plain)]);
    }

    #[test]
    fn sends_that_overlap_may_stand_either_way() {
        let mut tale = tale();
        tale.send(1).send(2).ok(1, 5).ok(2, 3).finds(CHECK, &[]);
    }

    #[test]
    fn one_place_twice_is_an_inversion_too() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 0).finds(CHECK, &[(2, 0, Case::Plain)]);
    }
}
