//! `nonmonotonic_send`: a later send of one producer session stands in the log before an earlier one.
//!
//! **Definition.** Per producer session and unit, in the order of the invocations: the first place of a record lies
//! before the first place of a record that was sent earlier, by another operation: the sends of one transaction are one,
//! and `int_nonmonotonic_send` tells of them. Only records that are in the log count: places that
//! were read, or, without a finished drain, that lie behind everything read. A duplicate counts at its first place.
//! *Unanswered* is the finding when nothing that was acknowledged stands behind the later one.
//!
//! **Algorithm.** One walk over the sends with the highest places of each session and unit.
//! **Cost.** Linear.
//!
//! **Forbidden** when the configuration keeps the order of sends: idempotence; one request in flight, unless what stands
//! too late was never acknowledged; without retries, besides, while no leader may have changed ([`Rules::send_order`]).
//! The order per key that a scenario demands is `key_order`.
//!
//! **Source.** Jepsen's Kafka workload (`nonmonotonic-send`), per session instead of per process.

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::{Analysis, Grid, Place},
    guarantees::Rules,
    history::{OpId, UnitId},
};

pub(super) const CHECK: Check = Check {
    kind: Kind::NonmonotonicSend,
    about: "a later send of one producer stands in the log before an earlier one",
    forbidden: "idempotent producers; what is acknowledged, with one request in flight or without retries",
    source: "Jepsen kafka: nonmonotonic-send",
    find,
    tell,
    rule: |rules, found| Rules::send_order(rules, found.case == Case::Unanswered),
};

/// A send that stands high, with its operation.
#[derive(Clone, Copy)]
struct High {
    position: u64,
    row: u32,
    op: OpId,
}

/// Of one session in one unit: the highest send, and the highest of all other operations.
#[derive(Clone, Copy, Default)]
struct Highest {
    first: Option<High>,
    second: Option<High>,
}

impl Highest {
    /// The highest send of other operations than this one.
    fn other_than(&self, op: OpId) -> Option<High> {
        self.first.filter(|first| first.op != op).or(self.second)
    }

    fn add(&mut self, new: High) {
        let above = |known: Option<High>| known.is_none_or(|known| new.position >= known.position);
        match self.first {
            Some(first) if first.op != new.op && above(self.first) => {
                (self.first, self.second) = (Some(new), Some(first));
            }
            Some(first) if first.op != new.op && above(self.second) => self.second = Some(new),
            Some(first) if first.op != new.op => {}
            first if above(first) => self.first = Some(new),
            _ => {}
        }
    }
}

/// Of one session in one unit: the highest sends, and the highest of those that were acknowledged.
#[derive(Clone, Copy, Default)]
struct Front {
    all: Highest,
    acked: Highest,
}

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let mut fronts: Grid<Front> = Grid::new(analysis.units.len());
    let mut found = Vec::new();
    for (row, session) in (0u32..).zip(&analysis.session_of) {
        let Some((unit, position)) = analysis.stands(row) else { continue };
        let send = analysis.send(row);
        let op = send.txn().unwrap_or(send.invoke);
        let front = fronts.at(*session as usize, unit.index());
        let behind = |known: &Highest| known.other_than(op).filter(|before| before.position > position);
        match (behind(&front.acked), behind(&front.all)) {
            (Some(before), _) => found.push(overtaken(analysis, before.row, row, Case::Plain)),
            (None, Some(before)) => found.push(overtaken(analysis, before.row, row, Case::Unanswered)),
            (None, None) => {}
        }
        let new = High { position, row, op };
        front.all.add(new);
        if send.acked() {
            front.acked.add(new);
        }
    }
    found
}

/// Where a record stands in the log: its first place, unless that is the ack of a record that is not there.
pub(super) fn standing(analysis: &Analysis<'_>, row: u32) -> Option<(UnitId, Place)> {
    let (unit, index) = analysis.first_place[row as usize]?;
    let log = &analysis.units[unit.index()];
    let place = log.places[index as usize];
    let unread = || log.complete_drain().is_none() && log.bound().is_none_or(|bound| place.position > bound);
    let there = place.read().is_some() || unread();
    there.then_some((unit, place))
}

/// A send stands before an earlier one of the same session and unit.
pub(super) fn overtaken(analysis: &Analysis<'_>, first: u32, second: u32, case: Case) -> Found {
    let (earlier, later) = (analysis.send(first), analysis.send(second));
    let (unit, place) = standing(analysis, second).unzip();
    let events = [
        Some(earlier.invoke.0),
        earlier.completion(),
        Some(later.invoke.0),
        later.completion(),
        place.and_then(|place| place.read()),
    ];
    Found {
        unit,
        position: place.map(|place| place.position),
        ops: proof(events),
        send: Some(second),
        other: Some(first),
        case,
    }
}

pub(super) fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(later), Some(earlier), Some(unit)) = (found.send, found.other, found.unit) else {
        return Default::default();
    };
    let at = |row: u32| standing(analysis, row).map(|(_, place)| place.position).unwrap_or_default();
    let (one, two) = (analysis.send(earlier), analysis.send(later));
    [
        format!(
            "{} sent {} ({}) before {} ({}).",
            analysis.history.process_name(one.process),
            analysis.record(one),
            analysis.history.quoted(one.invoke.0),
            analysis.record(two),
            analysis.history.quoted(two.invoke.0)
        ),
        format!(
            "In {} the later one stands at position {}, before the earlier one at {}.",
            analysis.unit(unit),
            at(later),
            at(earlier)
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::{Case, testing::tale};

    #[test]
    fn a_retried_record_is_overtaken() {
        // Record 1 is retried and lands behind record 2, which was in flight with it.
        let mut tale = tale();
        tale.sent(1, 1).sent(2, 0).drain(2, 0).drain(1, 1).drained(2);
        tale.finds(CHECK, &[(2, 0, Case::Plain)]);
    }

    #[test]
    fn what_nobody_acknowledged_may_come_late_and_hides_no_disorder() {
        let mut tale = tale();
        tale.configure(|meta| meta.configuration.retries = Some(0));
        tale.unknown(1, None).sent(2, 0).sent(3, 2).sent(4, 1);
        tale.drain(2, 0).drain(4, 1).drain(3, 2).drain(1, 3).drained(4);
        let cases = [(2, 0, Case::Unanswered), (3, 2, Case::Unanswered), (4, 1, Case::Plain)];
        tale.finds(CHECK, &cases);
        let told = |tale: &crate::checks::testing::Tale| {
            let report = tale.judged();
            let of = report.anomalies.iter().filter(|one| one.kind == CHECK.kind);
            of.map(|one| (one.count, one.forbidden())).collect::<Vec<_>>()
        };
        assert_eq!(told(&tale), [(1, true), (2, false)]);
        tale.fault("kill", &[1]);
        assert!(told(&tale).iter().all(|(_, forbidden)| !forbidden), "a leader may have refused one of them");
    }

    #[test]
    fn the_sends_of_one_transaction_are_one_operation() {
        let mut tale = tale();
        tale.begin().sent(1, 3).sent(2, 1).commit_txn().finds(CHECK, &[]);
        tale.begin().sent(3, 2).commit_txn().finds(CHECK, &[(3, 2, Case::Plain)]);
    }

    #[test]
    fn another_session_has_an_order_of_its_own() {
        let mut tale = tale();
        tale.sent(1, 1).restart_producer().sent(2, 0).drain(2, 0).drain(1, 1).drained(2);
        tale.finds(CHECK, &[]);
    }

    #[test]
    fn a_duplicate_does_not_change_the_order() {
        let mut tale = tale();
        tale.sent(1, 2).sent(2, 1).drain(1, 0).drain(2, 1).drain(1, 2).drained(3);
        tale.finds(CHECK, &[]);
    }

    #[test]
    fn a_place_that_a_lost_record_left_may_be_used_again() {
        // Records 1 and 2 are lost with their leader; record 3 takes the place of record 1.
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).sent(3, 0).drain(3, 0).drained(1).finds(CHECK, &[]);
    }

    #[test]
    fn acks_may_arrive_out_of_order() {
        let mut tale = tale();
        tale.send(1).send(2).ok(2, 1).ok(1, 0).drain(1, 0).drain(2, 1).drained(2);
        tale.finds(CHECK, &[]);
    }
}
