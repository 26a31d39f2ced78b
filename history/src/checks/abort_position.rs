//! `abort_position`: after an abort a reader did not go back to where its transaction had begun to read.
//!
//! **Definition.** A transaction that polled was aborted. In each unit the reader's next record, before any rebalance
//! moves the unit, is compared with the first one that the transaction read there: the same is right. Before it the
//! reader went back *further*; behind it the reader *advanced*, and the transaction's work on the records between is
//! gone.
//!
//! **Algorithm.** One walk over the events with the open transaction's first record per process and unit.
//! **Cost.** Linear.
//!
//! **Forbidden** to advance, unless `delivery: at-most-once` lets a group leave records out ([`Rules::no_jump`]);
//! going back further is at least once.
//!
//! **Evidence limit.** Only polls that the history names as part of the transaction count, and of members of a group only
//! where the history says what the group assigned them.
//!
//! **Source.** Redpanda's abort workload; Kafka clients do not seek back by themselves.

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::{Analysis, Grid, Turn, walk},
    guarantees::Rules,
    history::{DeliverRow, History, Observation, OpId, ProcessId, Status},
};

pub(super) const CHECK: Check = Check {
    kind: Kind::AbortPosition,
    about: "after an abort a reader did not go back to where its transaction had begun to read",
    forbidden: "going on behind it, except under `delivery: at-most-once`",
    source: "redpanda: abort workload",
    find,
    tell,
    rule: |rules, found| match found.case {
        Case::Further => Rules::rewound_further(rules),
        _ => Rules::no_jump(rules),
    },
};

/// The first record that a transaction read in a unit: its position and event.
#[derive(Clone, Copy)]
struct Begun {
    txn: OpId,
    position: u64,
    event: u32,
}

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let history = analysis.history;
    if !history.polls().iter().any(|poll| poll.txn().is_some()) {
        return Vec::new();
    }
    let mut begun: Grid<Option<Begun>> = Grid::new(history.unit_count());
    let unwatched = analysis.unwatched();
    let mut found = Vec::new();
    for turn in walk(history) {
        match turn {
            Turn::Read(_, read) if read.group().is_some() && unwatched[read.process.index()] => {}
            Turn::Read(_, read) => {
                let slot = begun.at(read.process.index(), read.unit.index());
                let txn = txn_of(history, read);
                match *slot {
                    Some(known) if Some(known.txn) == txn => continue,
                    Some(known) => found.extend(compare(analysis, &known, read)),
                    None => {}
                }
                *slot = txn.map(|txn| Begun { txn, position: read.position, event: read.event });
            }
            Turn::Note(event, note) => moved(&mut begun, history.process_of(event), note),
            Turn::Commit(_) => {}
        }
    }
    found
}

fn txn_of(history: &History, read: &DeliverRow) -> Option<OpId> {
    read.poll().and_then(|poll| history.polls()[history.poll_row(poll) as usize].txn())
}

/// A rebalance begins anew; a seek does not: it is how a reader goes back.
fn moved(begun: &mut Grid<Option<Begun>>, process: ProcessId, note: &Observation) {
    match note {
        Observation::Assigned { units, .. } => {
            units.iter().for_each(|(unit, _)| *begun.at(process.index(), unit.index()) = None);
        }
        Observation::Revoked(units) | Observation::Lost(units) => {
            units.iter().for_each(|unit| *begun.at(process.index(), unit.index()) = None);
        }
        Observation::Reset { unit, .. } => *begun.at(process.index(), unit.index()) = None,
        Observation::Crashed => begun.clear(process.index()),
        _ => {}
    }
}

/// The next record after a transaction that was aborted before it.
fn compare(analysis: &Analysis<'_>, begun: &Begun, read: &DeliverRow) -> Option<Found> {
    let history = analysis.history;
    let txn = &history.txns()[history.txn_row(begun.txn) as usize];
    let ended = txn.completion().filter(|end| txn.status == Status::Fail && *end < read.event)?;
    let case = match read.position.cmp(&begun.position) {
        std::cmp::Ordering::Less => Case::Further,
        std::cmp::Ordering::Equal => return None,
        std::cmp::Ordering::Greater => Case::Advanced,
    };
    Some(Found {
        unit: Some(read.unit),
        position: Some(begun.position),
        ops: proof([Some(begun.event), Some(txn.invoke.0), Some(ended), Some(read.event)]),
        send: read.value().and_then(|value| analysis.writer(value)),
        other: Some(read.event),
        case,
    })
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(unit), Some(position), Some(event)) = (found.unit, found.position, found.other) else {
        return Default::default();
    };
    let at = analysis
        .history
        .deliver_row(event)
        .map_or(position, |row| analysis.history.delivers()[row as usize].position);
    let (who, unit) = (analysis.who(event), analysis.unit(unit));
    let how = if found.case == Case::Further { "went back further" } else { "went on without going back" };
    [
        format!("{who} read {unit} from position {position} on in a transaction that was aborted."),
        format!(
            "Then it {how}: its next record there was the one at position {at}, {}.",
            analysis.when(event)
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::{Case, testing::tale};

    #[test]
    fn a_reader_goes_on_after_an_abort() {
        // The transaction read record 1 and was aborted; the next poll is handed record 2.
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).begin().polls(&[(1, 0)]).abort_txn().begin().polls(&[(2, 1)]);
        tale.finds(CHECK, &[(2, 0, Case::Advanced)]);
    }

    #[test]
    fn a_reader_that_seeks_back_reads_the_same_again() {
        let mut tale = tale();
        tale.sent(1, 0)
            .sent(2, 1)
            .begin()
            .polls(&[(1, 0), (2, 1)])
            .abort_txn()
            .seeks(0)
            .begin()
            .polls(&[(1, 0)]);
        tale.finds(CHECK, &[]);
    }

    #[test]
    fn going_back_further_is_told() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).begin().polls(&[(1, 0)]).commit_txn().begin().polls(&[(2, 1)]).abort_txn();
        tale.begin().polls(&[(1, 0)]).finds(CHECK, &[(1, 1, Case::Further)]);
    }

    #[test]
    fn after_a_rebalance_the_commits_say_where_to_go_on() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).begin().polls(&[(1, 0)]).abort_txn().assigned(1).begin().polls(&[(2, 1)]);
        tale.finds(CHECK, &[]);
    }
}
