//! `unavailability`: a unit took no records for as long as the scenario does not allow.
//!
//! **Definition.** For one unit, the longest time from an intended send to the next ack in that unit, of whatever
//! record. A send whose record nobody acknowledged later counts to the end of the log. The unit of a send that was
//! never acknowledged is the one it chose, or the one its key went to otherwise. The scenario's bound is on the worst
//! unit.
//!
//! **Algorithm.** Acks and intended sends by unit, each in the order of their times, and one walk over both.
//! **Cost.** Linear, plus a sort of times that are nearly sorted.
//!
//! **Forbidden** when the worst unit reaches the bound of `unavailable`; each unit that does is a finding.
//!
//! **Evidence limit.** A send whose unit nobody learned counts to none. With acks=0 nothing is acknowledged, and the
//! figure is absent.
//!
//! **Source.** redpanda/chaos `stat` (max gap); Squall's definition counts from the schedule, so an outage that
//! stops the producers from sending at all is not hidden.

use super::{Case, Check, Found, proof};
use crate::{
    Kind, Ruling,
    analysis::{Analysis, Buckets, span},
    guarantees::Rules,
    history::UnitId,
};
use squall_bus::{Acks, Time};
use std::time::Duration;

pub(super) const CHECK: Check = Check {
    kind: Kind::Unavailability,
    about: "a unit took no records for longer than it may",
    forbidden: "the bound of `unavailable`",
    source: "redpanda chaos: stat; Squall",
    find,
    tell,
    rule,
};

/// The longest outage of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outage {
    pub(crate) unit: UnitId,
    pub(crate) lasts: Duration,
    /// The row of the send that was intended first in it.
    missed: u32,
    /// The completion that ended it, if one did.
    ended: Option<u32>,
}

/// The longest outage of the worst unit; the first of equals.
pub(crate) fn worst_outage(analysis: &Analysis<'_>) -> Option<Outage> {
    analysis.outages().iter().rev().max_by_key(|outage| outage.lasts).copied()
}

/// The longest outage of each unit that was sent to on a schedule.
pub(crate) fn outages(analysis: &Analysis<'_>) -> Vec<Outage> {
    let mut list: Vec<Outage> = Vec::new();
    each_gap(analysis, |gap| match list.last_mut() {
        Some(worst) if worst.unit == gap.unit => {
            if worst.lasts < gap.lasts {
                *worst = gap;
            }
        }
        _ => list.push(gap),
    });
    list
}

/// Tells, for each intended send, its unit, its time and how long it was until the next ack in the unit.
pub(crate) fn gaps(analysis: &Analysis<'_>, mut tell: impl FnMut(UnitId, Time, Duration)) {
    each_gap(analysis, |gap| {
        let intended = analysis.send(gap.missed).intended().unwrap_or_default();
        tell(gap.unit, intended, gap.lasts);
    });
}

/// The time from each intended send to the next ack of its unit, unit by unit.
fn each_gap(analysis: &Analysis<'_>, mut tell: impl FnMut(Outage)) {
    let history = analysis.history;
    let scheduled = history.sends().iter().any(|send| send.intended().is_some());
    if history.meta.configuration.acks == Acks::None || !scheduled {
        return;
    }
    let of_unit = Buckets::new(analysis.units.len(), history.sends().len(), |row| {
        analysis.unit_of[row].map(UnitId::index)
    });
    // The acks of a unit, by their events, and its intended sends, by their rows; both with their times.
    let mut acks: Vec<(Time, u32)> = Vec::new();
    let mut intended: Vec<(Time, u32)> = Vec::new();
    for unit in &analysis.order {
        acks.clear();
        intended.clear();
        for row in of_unit.of(unit.index()) {
            let send = analysis.send(*row);
            intended.extend(send.intended().map(|time| (time, *row)));
            let ack = send.completion().filter(|_| send.acked());
            acks.extend(ack.map(|event| (history.time(event), event)));
        }
        acks.sort_unstable();
        intended.sort_unstable();
        let mut next = 0;
        for (time, row) in &intended {
            while acks.get(next).is_some_and(|(ack, _)| ack < time) {
                next += 1;
            }
            let ack = acks.get(next);
            let (until, ended) = ack.map_or((history.end(), None), |(ack, event)| (*ack, Some(*event)));
            tell(Outage { unit: *unit, lasts: until.since(*time), missed: *row, ended });
        }
    }
}

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let Some(bound) = analysis.history.meta.expect.unavailable else { return Vec::new() };
    let mut list: Vec<Outage> =
        analysis.outages().iter().filter(|outage| outage.lasts >= bound).copied().collect();
    list.sort_by_key(|outage| std::cmp::Reverse(outage.lasts));
    let found = list.into_iter().map(|outage| {
        let send = analysis.send(outage.missed);
        Found {
            unit: Some(outage.unit),
            position: None,
            ops: proof([Some(send.invoke.0), send.completion(), outage.ended]),
            send: Some(outage.missed),
            other: outage.ended,
            case: Case::Plain,
        }
    });
    found.collect()
}

fn rule(rules: &Rules<'_>, _: &Found) -> Ruling {
    let bound = rules.expect.unavailable.unwrap_or_default();
    Ruling::ForbiddenBy(format!("`unavailable: < {}` bounds the worst unit", span(bound)))
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(row), Some(unit)) = (found.send, found.unit) else { return Default::default() };
    let send = analysis.send(row);
    let from = send.intended().unwrap_or_default();
    let unit = analysis.unit(unit);
    let missed = format!(
        "The schedule wanted {} in {unit} at {}.",
        analysis.record(send),
        crate::analysis::short(from)
    );
    let end = match found.other {
        Some(event) => format!(
            "The next ack in {unit} came {} later, {}.",
            span(analysis.history.time(event).since(from)),
            analysis.when(event)
        ),
        None => {
            format!("No ack came in {unit} for the remaining {}.", span(analysis.history.end().since(from)))
        }
    };
    [missed, end]
}

#[cfg(test)]
mod tests {
    use super::{CHECK, worst_outage};
    use crate::{
        analysis::Analysis,
        checks::testing::{Tale, tale},
    };
    use std::time::Duration;

    /// An ack every 10 ms, an outage from 20 ms to 400 ms in which two sends are wanted, then an ack again.
    fn outage(tale: &mut Tale) {
        tale.at(1).intend(1).ok(1, 0).at(10).intend(2).at(11).ok(2, 1);
        tale.at(20).intend(3).at(200).intend(4).at(400).ok(3, 2).at(401).ok(4, 3);
    }

    #[test]
    fn from_the_missed_intended_send_to_the_next_ack() {
        let mut tale = tale();
        tale.configure(|meta| meta.expect.unavailable = Some(Duration::from_millis(380)));
        outage(&mut tale);
        tale.finds_units(CHECK, &["orders/0"]);
        let worst = worst_outage(&Analysis::new(tale.history())).map(|outage| outage.lasts);
        assert_eq!(worst, Some(Duration::from_millis(380)));
    }

    #[test]
    fn less_than_the_bound_is_fine() {
        let mut tale = tale();
        tale.configure(|meta| meta.expect.unavailable = Some(Duration::from_millis(381)));
        outage(&mut tale);
        tale.finds_units(CHECK, &[]);
    }

    #[test]
    fn a_unit_that_never_comes_back_counts_to_the_end() {
        let mut tale = tale();
        tale.configure(|meta| meta.expect.unavailable = Some(Duration::from_millis(100)));
        tale.at(1).intend(1).ok(1, 0).at(20).intend(2).at(150).timeout(2).at(520).drained(1);
        tale.finds_units(CHECK, &["orders/0"]);
        let worst = worst_outage(&Analysis::new(tale.history())).map(|outage| outage.lasts);
        assert_eq!(worst, Some(Duration::from_millis(500)));
    }

    #[test]
    fn silence_of_the_schedule_is_no_outage() {
        let mut tale = tale();
        tale.configure(|meta| meta.expect.unavailable = Some(Duration::from_millis(100)));
        tale.at(1).intend(1).ok(1, 0).at(9000).intend(2).ok(2, 1);
        tale.finds_units(CHECK, &[]);
    }
}
