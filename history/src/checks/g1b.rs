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
//! **Forbidden** at isolation read-committed, unless whole logs may have lost their ends; a part that is a `lost_write`
//! besides, unless it may be lost ([`Rules::whole`]).
//!
//! **Evidence limit.** It needs the places of both records. A part of an aborted transaction that is seen is `G1a`; a
//! part that nobody at all ever saw is a `lost_write` besides.
//!
//! **Source.** Adya (G1b, intermediate read); Elle; Jepsen's Kafka workload shows it as a lost write of a committed
//! transaction.

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::{Analysis, Buckets, Fate, Grid, Place},
    guarantees::Rules,
    history::{DeliverRow, ProcessId, SendRow, UnitId},
};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const CHECK: Check = Check {
    kind: Kind::TornTransaction,
    about: "a reader saw part of a transaction, and went past the rest without seeing it",
    forbidden: "at isolation read-committed, unless the rest may be lost",
    source: "Adya, Elle: G1b",
    find,
    tell,
    rule: |rules, found| Rules::whole(rules, found.case == Case::Lost),
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
    let steps = walk(analysis);
    let processes = history.process_count();
    let (of_reader, reads) = (
        Buckets::new(processes, steps.len(), |step| Some(steps[step].reader.index())),
        Buckets::new(processes, history.delivers().len(), |row| {
            Some(history.delivers()[row].process.index())
        }),
    );
    let lost: BTreeSet<u32> = analysis.lost().writes.iter().filter_map(|lost| lost.send).collect();
    let mut seen = Seen::new(analysis);
    let mut found: Vec<(u32, Found)> = Vec::new();
    for reader in (0..processes).filter(|reader| !of_reader.of(*reader).is_empty()) {
        seen.by(analysis, reads.of(reader));
        let mut told = BTreeSet::new();
        for number in of_reader.of(reader) {
            let step = &steps[*number as usize];
            for place in analysis.units[step.unit.index()].between(step.from, step.to) {
                let Some(part) = torn(analysis, place, &seen) else { continue };
                if told.insert((step.unit, place.position, place.send())) {
                    let is_lost = place.send().is_some_and(|row| lost.contains(&row));
                    let case = if is_lost { Case::Lost } else { Case::Plain };
                    found.push((*number, finding(analysis, step, place, part, case)));
                }
            }
        }
    }
    // In the order of the steps of all readers.
    found.sort_by_key(|(number, _)| *number);
    found.into_iter().map(|(_, found)| found).collect()
}

/// The read of a part of the transaction of a place's record, if the reader never saw the record itself.
fn torn(analysis: &Analysis<'_>, place: &Place, seen: &Seen) -> Option<u32> {
    let row = place.send().filter(|row| !seen.record(*row))?;
    let txn = analysis.history.txn_row(analysis.send(row).txn()?);
    let part = seen.part(txn)?;
    let whole = analysis.txn_fates[txn as usize] == Fate::Happened;
    (whole && analysis.fates[row as usize] == Fate::Happened).then_some(part)
}

fn finding(analysis: &Analysis<'_>, step: &Step, place: &Place, part: u32, case: Case) -> Found {
    let send = place.send().map(|row| analysis.send(row));
    let (txn, invoke) = (send.and_then(SendRow::txn), send.map(|send| send.invoke));
    Found {
        unit: Some(step.unit),
        position: Some(place.position),
        ops: proof([txn.map(|op| op.0), invoke.map(|op| op.0), place.ack(), Some(part), Some(step.event)]),
        send: place.send(),
        other: Some(part),
        case,
    }
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

/// What one reader saw of transactions.
struct Seen {
    /// By row of the send: the last reader that saw its record, numbered from 1.
    records: Vec<u32>,
    /// By row of the transaction: the last reader that saw a part of it, and its first read of one.
    parts: Vec<(u32, u32)>,
    reader: u32,
}

impl Seen {
    fn new(analysis: &Analysis<'_>) -> Self {
        let (sends, txns) = (analysis.history.sends().len(), analysis.history.txns().len());
        Self { records: vec![0; sends], parts: vec![(0, 0); txns], reader: 0 }
    }

    /// What the next reader saw with these reads.
    fn by(&mut self, analysis: &Analysis<'_>, reads: &[u32]) {
        self.reader += 1;
        for row in reads {
            let read = &analysis.history.delivers()[*row as usize];
            let Some(row) = read.value().and_then(|value| analysis.writer(value)) else { continue };
            let Some(txn) = analysis.send(row).txn() else { continue };
            self.records[row as usize] = self.reader;
            let part = &mut self.parts[analysis.history.txn_row(txn) as usize];
            if part.0 != self.reader && analysis.read_happened(read) {
                *part = (self.reader, read.event);
            }
        }
    }

    fn record(&self, row: u32) -> bool {
        self.records[row as usize] == self.reader
    }

    fn part(&self, txn: u32) -> Option<u32> {
        let (reader, event) = self.parts[txn as usize];
        (reader == self.reader).then_some(event)
    }
}

/// Walks the reads and what moved readers, in order.
fn walk(analysis: &Analysis<'_>) -> Vec<Step> {
    let history = analysis.history;
    let mut steps = Vec::new();
    let mut at: Grid<Option<u64>> = Grid::new(history.unit_count());
    let mut notes = history.notes().iter().peekable();
    let unwatched = analysis.unwatched();
    for read in history.delivers() {
        while let Some((event, note)) = notes.next_if(|(event, _)| *event < read.event) {
            if note.moves_its_reader() {
                at.clear(history.process_of(*event).index());
            }
        }
        let watched = read.group().is_none() || !unwatched[read.process.index()];
        if watched && analysis.read_happened(read) {
            let last = at.at(read.process.index(), read.unit.index()).replace(read.position + 1);
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
    steps
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
    use crate::{
        checks::{Case, testing::tale},
        guarantees::Isolation,
    };

    #[test]
    fn a_reader_sees_half_of_a_transaction() {
        // Records 1 and 3 are committed together; the reader is handed 0, 1 and then 4.
        let mut tale = tale();
        tale.sent(0, 0).begin().sent(1, 1).sent(3, 2).commit_txn().sent(4, 4);
        tale.read(0, 0).read(1, 1).read(4, 4);
        tale.finds(CHECK, &[(3, 2, Case::Lost)]);
        // Another reader is handed it: it was only kept from this one.
        tale.by("consumer-2").read(3, 2);
        tale.finds(CHECK, &[(3, 2, Case::Plain)]);
    }

    #[test]
    fn a_transaction_may_lack_what_power_took() {
        let torn = |powerless: &[u32]| {
            let mut tale = tale();
            tale.configure(|meta| meta.configuration.isolation = Isolation::ReadCommitted);
            tale.sent(0, 0).begin().sent(1, 1).sent(3, 2).commit_txn().sent(4, 4);
            tale.fault("power-fail", powerless).heal();
            tale.read(0, 0).read(1, 1).read(4, 4);
            let report = tale.judged();
            let torn = report.anomalies.iter().find(|anomaly| anomaly.kind == CHECK.kind);
            torn.map(crate::Anomaly::forbidden)
        };
        assert_eq!(torn(&[1]), Some(true));
        assert_eq!(torn(&[1, 2, 3]), Some(false));
    }

    #[test]
    fn the_drain_covers_the_place_of_the_other_half() {
        let mut tale = tale();
        tale.begin().sent(1, 0).partition(1).sent(2, 0).commit_txn();
        tale.partition(0).drain(1, 0).drained(1).partition(1).drained(1);
        tale.finds(CHECK, &[(2, 0, Case::Lost)]);
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
