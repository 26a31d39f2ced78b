//! `set-full`: an element of a log was known and is gone for good, or was missed for a time.
//!
//! **Definition.** An element is a record that was acknowledged at a place. A reader *misses* it when its reads of the
//! unit go past the place, one after the other, without it, after the ack. Read once, then missed, and read by nobody
//! afterwards: *gone*. Missed once and read later: *stale*. (Missed and never read is `lost_write`.)
//!
//! **Algorithm.** Read watermarks: each reader of a unit keeps its place in the unit's log; what lies between one read
//! and the next is missed. A rebalance, a seek or a step back begins anew; the final drain begins at its first position.
//! **Cost.** Linear in the reads and what they go past.
//!
//! **Forbidden**: gone like a lost write ([`Rules::survival`]); stale where reads are linearizable
//! ([`Rules::fresh_reads`]).
//!
//! **Evidence limit.** Not looked for where members share units, or where their group moves them and nobody wrote that
//! down, nor where messages leave a queue, and not in drains through single nodes, which are `replica_divergence`. Only
//! reads that succeeded count. An operation that reads an element anywhere does not miss it.
//!
//! **Source.** Jepsen's set-full, which compares every read with every element.

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::{Analysis, Grid, Place, Turn, UnitLog, operation, operation_end, walk},
    guarantees::{Reading, Rules},
    history::{DeliverRow, Drain, Observation, ProcessId},
};

pub(super) const CHECK: Check = Check {
    kind: Kind::SetFull,
    about: "an element of a log was known and is gone for good, or was missed for a time",
    forbidden: "gone: like lost_write; missed for a time: where reads are linearizable",
    source: "Jepsen: set-full",
    find,
    tell,
    rule: |rules, found| match found.case {
        Case::Stale => Rules::fresh_reads(rules),
        _ => Rules::survival(rules),
    },
};

/// Where a reader stands in a unit: the index of the first place behind its last read.
type Mark = Option<u32>;

/// The first and the last time that an element was missed, by event.
#[derive(Clone, Copy)]
struct Missed {
    first: u32,
    last: u32,
}

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let history = analysis.history;
    if history.meta.configuration.exclusive {
        return Vec::new();
    }
    let mut state = Walk {
        analysis,
        consumers: history.meta.configuration.reading != Reading::Share,
        unwatched: analysis.unwatched(),
        marks: Grid::new(history.unit_count()),
        missed: vec![None; history.sends().len()],
    };
    for turn in walk(history) {
        match turn {
            Turn::Read(row, read) => state.read(row, read),
            Turn::Note(event, note) => state.noted(event, history.process_of(event), note),
            Turn::Commit(_) => {}
        }
    }
    if state.missed.iter().all(Option::is_none) {
        return Vec::new();
    }
    let last_read = last_reads(analysis);
    let missed = (0u32..).zip(&state.missed);
    missed.filter_map(|(row, missed)| finding(analysis, row, (*missed)?, last_read[row as usize])).collect()
}

struct Walk<'a, 'h> {
    analysis: &'a Analysis<'h>,
    /// Whether consumers are judged, and not the drain alone.
    consumers: bool,
    /// The readers that a group moves without a word.
    unwatched: Vec<bool>,
    marks: Grid<Mark>,
    missed: Vec<Option<Missed>>,
}

impl<'a, 'h> Walk<'a, 'h> {
    fn log(&self, unit: usize) -> &'a UnitLog {
        &self.analysis.units[unit]
    }

    fn read(&mut self, row: u32, read: &DeliverRow) {
        let watched = read.group().is_none() || !self.unwatched[read.process.index()];
        let judged = read.drained() || (self.consumers && watched);
        let through_node = || self.analysis.history.deliver_extra(row).node.is_some();
        if !judged || !self.analysis.read_happened(read) || (read.drained() && through_node()) {
            return;
        }
        let unit = read.unit.index();
        let places = &self.log(unit).places;
        let mark = *self.marks.at(read.process.index(), unit);
        let mut next = match mark {
            Some(mark) if places.get(mark as usize).is_some_and(|place| place.position <= read.position) => {
                mark as usize
            }
            _ => places.partition_point(|place| place.position < first_of(self.log(unit), read)),
        };
        while places[next].position < read.position {
            if !self.has(read, places[next].position) {
                self.misses(&places[next], read.event);
            }
            next += 1;
        }
        while places.get(next).is_some_and(|place| place.position == read.position) {
            next += 1;
        }
        *self.marks.at(read.process.index(), unit) = Some(next as u32);
    }

    /// Whether the operation of a read was handed the record at a place too, before or after that read.
    fn has(&self, read: &DeliverRow, position: u64) -> bool {
        let history = self.analysis.history;
        let id = operation(history, read);
        let same = |other: &DeliverRow| {
            (other.unit, other.position) == (read.unit, position) && operation(history, other) == id
        };
        read.poll().is_some() && self.reads_of(id).any(same)
    }

    /// The deliveries between the begin of an operation and its end.
    fn reads_of(&self, id: u32) -> impl Iterator<Item = &'h DeliverRow> {
        let history = self.analysis.history;
        let from = history.delivers().partition_point(|read| read.event < id);
        let end = operation_end(history, id);
        history.delivers()[from..].iter().take_while(move |read| read.event < end)
    }

    /// The drain came to its end: what lies between its last read and that is missed too.
    fn drained(&mut self, event: u32, drain: &Drain) {
        let unit = drain.unit.index();
        if !drain.complete || drain.node.is_some() {
            return;
        }
        let places = &self.log(unit).places;
        let mark = self.marks.at(ProcessId::DRAIN.index(), unit).take();
        let from = mark.map_or_else(
            || places.partition_point(|place| place.position < drain.from),
            |mark| mark as usize,
        );
        for place in places[from..].iter().take_while(|place| place.position < drain.to) {
            self.misses(place, event);
        }
    }

    fn misses(&mut self, place: &Place, event: u32) {
        let Some((row, ack)) = place.send().zip(place.ack()) else { return };
        let analysis = self.analysis;
        let element = ack < event && analysis.happened(row) && analysis.twin(row).is_none();
        if element && !analysis.may_be_gone(row) {
            let missed = self.missed[row as usize].get_or_insert(Missed { first: event, last: event });
            missed.last = event;
        }
    }

    fn noted(&mut self, event: u32, process: ProcessId, note: &Observation) {
        let process = process.index();
        match note {
            Observation::Drain(drain) => self.drained(event, drain),
            Observation::Assigned { units, .. } => {
                units.iter().for_each(|(unit, _)| *self.marks.at(process, unit.index()) = None);
            }
            Observation::Revoked(units) | Observation::Lost(units) => {
                units.iter().for_each(|unit| *self.marks.at(process, unit.index()) = None);
            }
            Observation::Sought { unit, .. } | Observation::Reset { unit, .. } => {
                *self.marks.at(process, unit.index()) = None;
            }
            Observation::Crashed => self.marks.clear(process),
            _ => {}
        }
    }
}

/// Where a reader that begins with this read began: the final drain at its first position, others right here.
fn first_of(log: &UnitLog, read: &DeliverRow) -> u64 {
    let drain = log.drain.map(|(_, drain)| drain).filter(|drain| read.drained() && drain.complete);
    drain.map_or(read.position, |drain| drain.from.min(read.position))
}

/// The last read of each send's record that succeeded.
fn last_reads(analysis: &Analysis<'_>) -> Vec<Option<u32>> {
    let mut last = vec![None; analysis.history.sends().len()];
    for read in analysis.history.delivers().iter().filter(|read| analysis.read_happened(read)) {
        if let Some(row) = read.value().and_then(|value| analysis.writer(value)) {
            last[row as usize] = Some(read.event);
        }
    }
    last
}

fn finding(analysis: &Analysis<'_>, row: u32, missed: Missed, last_read: Option<u32>) -> Option<Found> {
    let send = analysis.send(row);
    let (case, event) = match last_read? > missed.last {
        true => (Case::Stale, missed.first),
        false => (Case::Gone, missed.last),
    };
    Some(Found {
        unit: send.unit(),
        position: send.position(),
        ops: proof([Some(send.invoke.0), send.completion(), Some(event), last_read]),
        send: Some(row),
        other: Some(event),
        case,
    })
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(row), Some(event)) = (found.send, found.other) else { return Default::default() };
    let after = match found.case {
        Case::Stale => "it was read again later",
        _ => "nobody read it afterwards",
    };
    [
        format!("{}.", analysis.sent(analysis.send(row))),
        format!(
            "{} went past it {} without reading it, and {after}.",
            analysis.reader(event),
            analysis.when(event)
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::{Case, testing::tale};

    #[test]
    fn an_element_was_read_and_is_gone() {
        // consumer-0 read record 1; the drain goes past its place.
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).read(1, 0).read(2, 1).drain(2, 1).drained(2);
        tale.finds(CHECK, &[(1, 0, Case::Gone)]);
    }

    #[test]
    fn an_element_is_missed_and_read_later() {
        let mut tale = tale();
        tale.sent(1, 0)
            .sent(2, 1)
            .sent(3, 2)
            .read(1, 0)
            .read(3, 2)
            .drain(1, 0)
            .drain(2, 1)
            .drain(3, 2)
            .drained(3);
        tale.finds(CHECK, &[(2, 1, Case::Stale)]);
    }

    #[test]
    fn what_is_not_acknowledged_yet_is_not_missed() {
        let mut tale = tale();
        tale.sent(1, 0)
            .send(2)
            .sent(3, 2)
            .read(1, 0)
            .read(3, 2)
            .ok(2, 1)
            .drain(1, 0)
            .drain(2, 1)
            .drain(3, 2)
            .drained(3);
        tale.finds(CHECK, &[]);
    }

    #[test]
    fn a_reader_that_begins_in_the_middle_misses_nothing() {
        let mut tale = tale();
        tale.sent(1, 0)
            .sent(2, 1)
            .assigned(1)
            .read(2, 1)
            .drain(1, 0)
            .drain(2, 1)
            .drained(2)
            .finds(CHECK, &[]);
    }
}
