//! `G1b`: a reader saw part of a transaction, and went past the rest without seeing it.
//!
//! **Definition.** A transaction was committed, as far as anybody can prove, and some reader saw one of its records. Another
//! of its records has a place, acknowledged or read by somebody else, that the same reader went past: it read, one
//! right after the other, before that place and behind it; or it is the final drain, which covers the place. But it
//! never saw that record. A reader that was given other units, died, sought or was reset in between did not go past
//! anything, nor one that its group moves while nobody writes that down, and reads that failed move nobody. Where reads are of whole units, one that ends on a record of another
//! transaction, which has a later record for the same unit, saw it in the middle of its work.
//!
//! **Algorithm.** One walk over the reads of each reader and unit; the places between two of them are looked up.
//! **Cost.** Linear in reads and in the places that were passed.
//!
//! **Forbidden** at isolation read-committed.
//!
//! **Evidence limit.** It needs the places of both records. A part of an aborted transaction that is seen is `G1a`; a
//! part that nobody at all ever saw is a `lost_write` besides.
//!
//! **Source.** Adya (G1b, intermediate read); Elle; Jepsen's Kafka workload shows it as a lost write of a committed
//! transaction.

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::{Analysis, Fate},
    guarantees::Rules,
    history::{DeliverRow, Observation, ProcessId, UnitId},
};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const CHECK: Check = Check {
    kind: Kind::TornTransaction,
    about: "a reader saw part of a transaction, and went past the rest without seeing it",
    forbidden: "at isolation read-committed",
    source: "Adya, Elle: G1b",
    find,
    tell,
    rule: |rules, _| Rules::committed_only(rules),
};

/// A reader's step over places: behind `from`, before `to`.
struct Step {
    reader: ProcessId,
    unit: UnitId,
    from: u64,
    to: u64,
    /// The event that shows that it went past: the read behind, or the drain.
    event: u32,
}

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let history = analysis.history;
    if history.txns().is_empty() {
        return Vec::new();
    }
    if history.meta.configuration.whole_reads {
        return intermediate(analysis);
    }
    let (steps, seen) = walk(analysis);
    let mut told = BTreeSet::new();
    let mut found = Vec::new();
    for step in steps {
        for place in analysis.units[step.unit.index()].between(step.from, step.to) {
            let Some(row) = place.send() else { continue };
            let Some(txn) = analysis.send(row).txn() else { continue };
            let txn_row = history.txn_row(txn);
            let whole = analysis.txn_fates[txn_row as usize] == Fate::Happened
                && analysis.fates[row as usize] == Fate::Happened;
            let part = seen.parts.get(&(step.reader, txn_row));
            let Some(part) = part.filter(|_| whole && !seen.records.contains(&(step.reader, row))) else {
                continue;
            };
            if told.insert((step.reader, step.unit, place.position, row)) {
                let send = analysis.send(row);
                let ops =
                    proof([Some(txn.0), Some(send.invoke.0), place.ack(), Some(*part), Some(step.event)]);
                found.push(Found {
                    unit: Some(step.unit),
                    position: Some(place.position),
                    ops,
                    send: Some(row),
                    other: Some(*part),
                    case: Case::Plain,
                });
            }
        }
    }
    found
}

/// Whole reads that end in the middle of a transaction.
fn intermediate(analysis: &Analysis<'_>) -> Vec<Found> {
    let history = analysis.history;
    let reads = history.delivers();
    let of = |read: &DeliverRow| (read.poll(), read.unit);
    let last = |(index, read): &(usize, &DeliverRow)| {
        reads.get(index + 1).is_none_or(|next| of(next) != of(read)) && analysis.read_happened(read)
    };
    let mut later: BTreeMap<(u32, UnitId), u32> = BTreeMap::new();
    for (send, row) in history.sends().iter().zip(0u32..) {
        if let (Some(txn), Some(unit)) = (send.txn(), analysis.unit_of[row as usize]) {
            later.insert((history.txn_row(txn), unit), row);
        }
    }
    let torn = |(_, read): (usize, &DeliverRow)| {
        let part = analysis.writer(read.value()?)?;
        let txn = analysis.send(part).txn()?;
        let reader = history.polls()[history.poll_row(read.poll()?) as usize].txn();
        let row = *later.get(&(history.txn_row(txn), read.unit))?;
        let send = analysis.send(row);
        (row > part && reader != Some(txn)).then(|| Found {
            unit: Some(read.unit),
            position: Some(read.position),
            ops: proof([Some(txn.0), Some(send.invoke.0), send.completion(), Some(read.event)]),
            send: Some(row),
            other: Some(read.event),
            case: Case::Plain,
        })
    };
    reads.iter().enumerate().filter(last).filter_map(torn).collect()
}

/// What each reader saw of transactions.
#[derive(Default)]
struct Seen {
    /// By reader and row of the send.
    records: BTreeSet<(ProcessId, u32)>,
    /// The first read of a part, by reader and row of the transaction.
    parts: BTreeMap<(ProcessId, u32), u32>,
}

/// Walks the reads and what moved readers, in order.
fn walk(analysis: &Analysis<'_>) -> (Vec<Step>, Seen) {
    let history = analysis.history;
    let mut seen = Seen::default();
    let mut steps = Vec::new();
    let mut at: BTreeMap<(ProcessId, UnitId), u64> = BTreeMap::new();
    let mut notes = history.notes().iter().peekable();
    let unwatched = analysis.unwatched();
    for read in history.delivers() {
        while let Some((event, note)) = notes.next_if(|(event, _)| *event < read.event) {
            if moves(note) {
                let who = history.process_of(*event);
                at.retain(|(reader, _), _| *reader != who);
            }
        }
        saw(analysis, read, &mut seen);
        let watched = read.group().is_none() || !unwatched[read.process.index()];
        if watched && analysis.read_happened(read) {
            let place = (read.process, read.unit);
            let last = at.insert(place, read.position + 1);
            if let Some(from) = last.filter(|from| *from < read.position) {
                let (reader, unit, to, event) = (read.process, read.unit, read.position, read.event);
                steps.push(Step { reader, unit, from, to, event });
            }
        }
    }
    for (unit, log) in analysis.logs() {
        if let Some((event, drain)) = log.drain.filter(|(_, drain)| drain.complete) {
            let (reader, from, to) = (ProcessId::DRAIN, drain.from, drain.to);
            steps.push(Step { reader, unit, from, to, event });
        }
    }
    (steps, seen)
}

fn saw(analysis: &Analysis<'_>, read: &DeliverRow, seen: &mut Seen) {
    let Some(row) = read.value().and_then(|value| analysis.writer(value)) else { return };
    let Some(txn) = analysis.send(row).txn() else { return };
    seen.records.insert((read.process, row));
    if analysis.read_happened(read) {
        let txn = analysis.history.txn_row(txn);
        seen.parts.entry((read.process, txn)).or_insert(read.event);
    }
}

/// Whether its reader may read on elsewhere from here.
const fn moves(note: &Observation) -> bool {
    matches!(
        note,
        Observation::Assigned { .. }
            | Observation::Revoked(_)
            | Observation::Lost(_)
            | Observation::Reset { .. }
            | Observation::Sought { .. }
            | Observation::Crashed
    )
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(row), Some(part)) = (found.send, found.other) else { return Default::default() };
    let (reader, send) = (analysis.reader(part), analysis.send(row));
    let read = analysis.history.deliver_row(part).map(|row| &analysis.history.delivers()[row as usize]);
    let value = read.and_then(DeliverRow::value).unwrap_or_default();
    [
        format!("{}, in a transaction that was committed.", analysis.sent(send)),
        format!(
            "{reader} read record {value} of that transaction {}, and went past this one without seeing it.",
            analysis.when(part)
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::{Case, testing::tale};

    #[test]
    fn a_reader_sees_half_of_a_transaction() {
        // Records 1 and 3 are committed together; the reader is handed 0, 1 and then 4.
        let mut tale = tale();
        tale.sent(0, 0).begin().sent(1, 1).sent(3, 2).commit_txn().sent(4, 4);
        tale.read(0, 0).read(1, 1).read(4, 4);
        tale.finds(CHECK, &[(3, 2, Case::Plain)]);
    }

    #[test]
    fn the_drain_covers_the_place_of_the_other_half() {
        let mut tale = tale();
        tale.begin().sent(1, 0).partition(1).sent(2, 0).commit_txn();
        tale.partition(0).drain(1, 0).drained(1).partition(1).drained(1);
        tale.finds(CHECK, &[(2, 0, Case::Plain)]);
    }

    #[test]
    fn a_reader_of_one_unit_has_not_gone_past_the_other() {
        let mut tale = tale();
        tale.begin().sent(1, 0).partition(1).sent(2, 1).commit_txn();
        tale.partition(0).read(1, 0).partition(1).sent(3, 2).read(3, 2);
        tale.finds(CHECK, &[]);
    }

    #[test]
    fn a_reader_that_was_sent_elsewhere_has_not_gone_past() {
        let mut tale = tale();
        tale.sent(0, 0).begin().sent(1, 1).sent(2, 2).commit_txn().sent(3, 3);
        tale.read(0, 0).read(1, 1).assigned(3).read(3, 3);
        tale.finds(CHECK, &[]);
    }

    #[test]
    fn part_of_an_aborted_transaction_is_not_torn() {
        let mut tale = tale();
        tale.sent(0, 0).begin().sent(1, 1).sent(3, 2).abort_txn().sent(4, 4);
        tale.read(0, 0).read(1, 1).read(4, 4);
        tale.finds(CHECK, &[]);
    }
}
