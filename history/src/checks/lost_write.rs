//! `lost_write`: an acknowledged record is not in the log although the log was read beyond it.
//!
//! **Definition.** Per unit, `bound` is the highest position that anybody read, or the last one that a finished
//! final drain covered. A record acknowledged at a position `<= bound` is lost when nobody ever read its value;
//! or, if the final drain finished, when the drain did not read it although it does not stand before where the drain
//! began (then it was there once, and vanished). Records of aborted transactions, records that compaction, age or an
//! administrator may have taken, and publishes that were answered as duplicates of earlier ones are not looked for.
//!
//! **Algorithm.** One walk over the places of each unit. **Cost.** Linear in the places.
//!
//! **Forbidden** as [`Rules::survival`] says: for acks=all, unless more power was lost than the copies bear; for
//! acks=1 while no leader may have changed; always under `delivery: at-least-once`.
//!
//! **Evidence limit.** It needs a read behind the record, or a finished drain; without either see `unseen`. Sends
//! of unknown outcome are never lost.
//!
//! **Source.** Jepsen's Kafka workload (`lost-write`); the drained case is Squall's own.

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::{Analysis, Place, UnitLog},
    guarantees::Rules,
    history::Drain,
};
use std::cell::OnceCell;

pub(super) const CHECK: Check = Check {
    kind: Kind::LostWrite,
    about: "an acknowledged record is not in the log although the log was read beyond it",
    forbidden: "acks=all; acks=1 while no leader may have changed; always under `delivery: at-least-once`",
    source: "Jepsen kafka: lost-write",
    find: |analysis| analysis.lost().writes.clone(),
    tell,
    rule: |rules, _| Rules::survival(rules),
};

pub(super) fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    // What consumers took out of a work queue is gone for good.
    let stays = !analysis.history.meta.configuration.exclusive;
    let drained = OnceCell::new();
    let vanished = |log: &UnitLog, place: &Place, row: u32| {
        let missed = stays && place.drained().is_none() && in_drain(log, place);
        missed && !drained.get_or_init(|| drained_sends(analysis))[row as usize]
    };
    let mut found = Vec::new();
    for (unit, log) in analysis.logs() {
        let Some(bound) = log.bound() else { continue };
        let mut behind = 0;
        for place in log.places.iter().take_while(|place| place.position <= bound) {
            let (Some(row), Some(ack)) = (place.send(), place.ack()) else { continue };
            let case = match analysis.seen[row as usize] {
                false => Case::Plain,
                true if vanished(log, place, row) => Case::Vanished,
                true => continue,
            };
            if analysis.happened(row) && analysis.twin(row).is_none() && !analysis.may_be_gone(row) {
                let beyond = evidence(log, place, &mut behind);
                let ops = proof([Some(analysis.send(row).invoke.0), Some(ack), place.read(), beyond]);
                let position = Some(place.position);
                found.push(Found { unit: Some(unit), position, ops, send: Some(row), other: beyond, case });
            }
        }
    }
    found
}

/// Whether the final drain read a send's record anywhere, by the send's row.
fn drained_sends(analysis: &Analysis<'_>) -> Vec<bool> {
    let mut drained = vec![false; analysis.history.sends().len()];
    for place in analysis.units.iter().flat_map(|log| &log.places) {
        if let (Some(row), Some(_)) = (place.send(), place.drained()) {
            drained[row as usize] = true;
        }
    }
    drained
}

/// Whether a finished drain would have read this place.
fn in_drain(log: &UnitLog, place: &Place) -> bool {
    log.complete_drain().is_some_and(|drain| place.position >= drain.from)
}

/// The event that shows that the log was read beyond the place: the finished drain, or the next read. `behind` is how
/// far that was looked for, since places come in order.
fn evidence(log: &UnitLog, place: &Place, behind: &mut usize) -> Option<u32> {
    let covers = |drain: &Drain| drain.complete && drain.to > place.position;
    let drain = log.drain.filter(|(_, drain)| covers(drain)).map(|(event, _)| event);
    drain.or_else(|| {
        let before = |other: &Place| other.position < place.position || other.read().is_none();
        *behind += log.places[*behind..].iter().take_while(|other| before(other)).count();
        log.places.get(*behind).and_then(Place::read)
    })
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let Some((send, unit)) = found.send.map(|row| analysis.send(row)).zip(found.unit) else {
        return Default::default();
    };
    let log = &analysis.units[unit.index()];
    let instead =
        log.places.iter().find(|place| Some(place.position) == found.position && place.read().is_some());
    let instead = match instead.and_then(Place::value) {
        Some(value) => format!("its place holds record {value}"),
        None => "its place holds nothing".to_owned(),
    };
    let is_drain = |event: u32| log.drain.is_some_and(|(fact, _)| fact == event);
    let seen = match (found.case, found.other) {
        (Case::Vanished, _) => {
            format!("It had been read, but then {} without it; {instead}.", analysis.drain_words(unit))
        }
        (_, Some(event)) if !is_drain(event) => format!(
            "Nobody ever read it, although {} read on behind it {}; {instead}.",
            analysis.reader(event),
            analysis.when(event)
        ),
        (..) => format!("Nobody ever read it, and {}; {instead}.", analysis.drain_words(unit)),
    };
    [format!("{}.", analysis.sent(send)), seen]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::{Case, testing::tale};

    #[test]
    fn an_acked_record_that_readers_passed_is_lost() {
        // Three records are acknowledged; a consumer reads the first and the third.
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).sent(3, 2).read(1, 0).read(3, 2);
        tale.finds(CHECK, &[(2, 1, Case::Plain)]);
    }

    #[test]
    fn a_record_whose_place_another_one_took_is_lost() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 0).read(2, 0).drain(2, 0).drained(1);
        tale.finds(CHECK, &[(1, 0, Case::Plain)]);
    }

    #[test]
    fn a_record_that_was_read_and_then_vanished_is_lost() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).read(1, 0).read(2, 1).drain(2, 1).drained(2);
        tale.finds(CHECK, &[(1, 0, Case::Vanished)]);
    }

    #[test]
    fn what_an_administrator_deleted_is_not_lost() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).sent(3, 2).deleted(Some(2)).sent(4, 3).read(3, 2).read(4, 3);
        tale.drain(4, 3).drained(4).finds(CHECK, &[(3, 2, Case::Vanished)]);
    }

    #[test]
    fn what_was_sent_after_a_deletion_is_lost() {
        let mut tale = tale();
        tale.sent(1, 0).deleted(Some(9)).sent(2, 1).sent(3, 2).drain(3, 2).drained(3);
        tale.finds(CHECK, &[(2, 1, Case::Plain)]);
    }

    #[test]
    fn what_a_topic_had_goes_with_it_and_not_what_came_after() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).deleted(None).sent(3, 0).sent(4, 1).drain(4, 1).drained(2);
        tale.finds(CHECK, &[(3, 0, Case::Plain)]);
    }

    #[test]
    fn a_tail_that_nobody_read_is_not_proof() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).read(1, 0);
        tale.finds(CHECK, &[]);
    }

    #[test]
    fn an_unknown_send_is_never_lost() {
        let mut tale = tale();
        tale.unknown(1, Some(0)).sent(2, 1).read(2, 1).drain(2, 1).drained(2);
        tale.finds(CHECK, &[]);
    }

    #[test]
    fn holes_that_nobody_wrote_are_not_losses() {
        // Positions 1 and 2 are markers of the broker's own.
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 3).drain(1, 0).drain(2, 3).drained(5);
        tale.finds(CHECK, &[]);
    }
}
