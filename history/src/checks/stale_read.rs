//! `stale_read`: a reader was behind what was known to be in the log when it began to read.
//!
//! **Definition.** A poll that succeeded leaves its reader in a unit before a record of which somebody knew, by an ack,
//! a commit or a read, before the poll began. Its lag is the time from when anybody knew of that record, or of one
//! behind it, to when the poll began: a lower bound. The worst lag of each unit counts.
//!
//! **Algorithm.** Per unit, the earliest knowledge of a place or any behind it; one walk over the polls and deliveries
//! of each process with a mark for each unit. **Cost.** Linear in places, deliveries, and polls times the units that
//! their process reads.
//!
//! **Forbidden** when a unit's worst lag reaches the bound of `lag`. A number, not a fault: without that bound it is
//! not looked for.
//!
//! **Evidence limit.** Readers without polls have no lag, nor have units that a group assigned to a reader before it is
//! handed a record of them.
//!
//! **Source.** Jepsen's Kafka workload (`realtime-lag`).

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::{Analysis, Buckets, Fate, Place, UnitLog, short},
    guarantees::Rules,
    history::{Observation, Status, UnitId},
};
use std::time::Duration;

pub(super) const CHECK: Check = Check {
    kind: Kind::StaleRead,
    about: "a reader was behind what was known to be in the log when it began to read",
    forbidden: "the bound of `lag`",
    source: "Jepsen kafka: realtime-lag",
    find,
    tell,
    rule: |rules, _| Rules::freshness(rules),
};

/// A reader's lag: how long, since which event, at which poll, and before which place.
#[derive(Clone, Copy)]
struct Lag {
    lasts: Duration,
    known: u32,
    poll: u32,
    next: u32,
}

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let Some(bound) = analysis.history.meta.expect.lag else { return Vec::new() };
    let worst = worst(analysis);
    let late = analysis.order.iter().filter_map(|unit| {
        let lag = worst[unit.index()].filter(|lag| lag.lasts >= bound)?;
        let place = analysis.units[unit.index()].places[lag.next as usize];
        Some(Found {
            unit: Some(*unit),
            position: Some(place.position),
            ops: proof([Some(lag.known), Some(lag.poll)]),
            send: place.send(),
            other: Some(lag.poll),
            case: Case::Plain,
        })
    });
    late.collect()
}

/// For each place of a unit, the first event by which anybody knew of it or of one behind it.
fn knowledge(analysis: &Analysis<'_>, log: &UnitLog) -> Vec<u32> {
    let mut earliest = u32::MAX;
    let mut list: Vec<u32> = log
        .places
        .iter()
        .rev()
        .map(|place| {
            earliest = earliest.min(known(analysis, place).unwrap_or(u32::MAX));
            earliest
        })
        .collect();
    list.reverse();
    list
}

/// The first event by which anybody knew that a record is in the log: a read, an ack, or the end of its transaction.
fn known(analysis: &Analysis<'_>, place: &Place) -> Option<u32> {
    let history = analysis.history;
    let row = place.send()?;
    if analysis.fates[row as usize] == Fate::Failed {
        return None;
    }
    let send = analysis.send(row);
    let committed = match send.txn().map(|txn| &history.txns()[history.txn_row(txn) as usize]) {
        Some(txn) => txn.completion().filter(|_| txn.status == Status::Ok && send.acked()),
        None => place.ack().filter(|_| send.acked()),
    };
    committed.into_iter().chain(place.read()).min()
}

/// The worst lag of each unit, by its number.
fn worst(analysis: &Analysis<'_>) -> Vec<Option<Lag>> {
    let history = analysis.history;
    let knowledge: Vec<Vec<u32>> = analysis.units.iter().map(|log| knowledge(analysis, log)).collect();
    let polls = Buckets::new(history.process_count(), history.polls().len(), |row| {
        Some(history.polls()[row].process.index())
    });
    let delivered = Buckets::new(history.polls().len(), history.delivers().len(), |row| {
        history.delivers()[row].poll().map(|poll| history.poll_row(poll) as usize)
    });
    let told = Buckets::new(history.process_count(), history.notes().len(), |note| {
        Some(history.process_of(history.notes()[note].0).index())
    });
    let mut worst: Vec<Option<Lag>> = vec![None; history.unit_count()];
    for process in 0..history.process_count() {
        // The first place that the reader has still before it, by unit.
        let mut marks: Vec<(UnitId, u64)> = Vec::new();
        let mut told = told.of(process).iter().map(|note| &history.notes()[*note as usize]).peekable();
        for row in polls.of(process) {
            let poll = &history.polls()[*row as usize];
            while let Some((_, note)) = told.next_if(|(event, _)| *event < poll.invoke.0) {
                moved(&mut marks, note);
            }
            for read in delivered.of(*row as usize).iter().map(|row| &history.delivers()[*row as usize]) {
                if analysis.read_happened(read) {
                    marks.retain(|(unit, _)| *unit != read.unit);
                    marks.push((read.unit, read.position.saturating_add(1)));
                }
            }
            for (unit, from) in marks.iter().filter(|_| poll.status == Status::Ok) {
                let places = &analysis.units[unit.index()].places;
                let next = places.partition_point(|place| place.position < *from);
                let known = knowledge[unit.index()].get(next).copied();
                let Some(known) = known.filter(|known| *known < poll.invoke.0) else { continue };
                let lasts = history.time(poll.invoke.0).since(history.time(known));
                let known_worst = &mut worst[unit.index()];
                if known_worst.is_none_or(|worst| worst.lasts < lasts) {
                    *known_worst = Some(Lag { lasts, known, poll: poll.invoke.0, next: next as u32 });
                }
            }
        }
    }
    worst
}

/// The reader was told about its units. One that chose them itself begins at the start of the log, unless it says
/// where; where a group puts it is not known until it reads.
fn moved(marks: &mut Vec<(UnitId, u64)>, note: &Observation) {
    match note {
        Observation::Assigned { group: None, units, .. } => {
            marks.retain(|(unit, _)| units.iter().any(|(one, _)| one == unit));
            for (unit, at) in units {
                if at.is_some() || !marks.iter().any(|(one, _)| one == unit) {
                    marks.retain(|(one, _)| one != unit);
                    marks.push((*unit, at.unwrap_or(0)));
                }
            }
        }
        Observation::Assigned { .. } | Observation::Subscribed { .. } | Observation::Crashed => marks.clear(),
        Observation::Revoked(units) | Observation::Lost(units) => {
            marks.retain(|(unit, _)| !units.contains(unit));
        }
        Observation::Sought { unit, to } | Observation::Reset { unit, to, .. } => {
            marks.retain(|(other, _)| other != unit);
            marks.push((*unit, *to));
        }
        _ => {}
    }
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(unit), Some(position), Some(poll)) = (found.unit, found.position, found.other) else {
        return Default::default();
    };
    let history = analysis.history;
    let known = found.ops.iter().find(|op| **op != poll).copied().unwrap_or(poll);
    let unit = analysis.unit(unit);
    let lag = crate::analysis::span(history.time(poll).since(history.time(known)));
    [
        format!(
            "{} knew {} that {unit} goes on at position {position} or behind.",
            analysis.who(known),
            analysis.when(known)
        ),
        format!(
            "{} polled {lag} later, from {} ({}) on, and came no further than before it.",
            analysis.who(poll),
            short(history.time(poll)),
            history.quoted(poll)
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::{
        Case,
        testing::{Tale, tale},
    };
    use std::time::Duration;

    fn bounded(ms: u64) -> Tale {
        let mut tale = tale();
        tale.configure(|meta| meta.expect.lag = Some(Duration::from_millis(ms)));
        tale
    }

    #[test]
    fn a_reader_stays_behind_for_half_a_second() {
        // Record 2 is acknowledged at 11 ms; a poll that begins at 500 ms does not find it.
        let mut tale = bounded(400);
        tale.at(1).sent(1, 0).polls(&[(1, 0)]).at(10).sent(2, 1).at(500).polls(&[]);
        tale.finds(CHECK, &[(2, 1, Case::Plain)]);
    }

    #[test]
    fn what_comes_while_the_poll_is_under_way_is_no_lag() {
        let mut tale = bounded(5);
        tale.sent(1, 0).polls(&[(1, 0)]).poll().sent(2, 1).at(90).polled().polls(&[(2, 1)]).finds(CHECK, &[]);
    }

    #[test]
    fn without_a_bound_nobody_looks() {
        let mut tale = tale();
        tale.sent(1, 0).polls(&[(1, 0)]).sent(2, 1).at(9000).polls(&[]).finds(CHECK, &[]);
    }
}
