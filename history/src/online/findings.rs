//! What was found: counted by kind, the first few told in full, and those that may come again remembered.

use super::{Flight, Online, Read, UnitId};
use crate::{Example, Kind, anomaly::EXAMPLES, checks::Case};
use std::collections::BTreeSet;

/// How many findings are remembered, so that a redelivery does not count twice.
const REMEMBERED: usize = 4096;

/// A place: unit and position.
type Place = (UnitId, u64);

/// The findings of one kind and case.
#[derive(Clone, Debug)]
pub(super) struct Pile {
    pub(super) kind: Kind,
    pub(super) case: Case,
    pub(super) count: u64,
    pub(super) examples: Vec<Example>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Findings {
    pub(super) piles: Vec<Pile>,
    /// Kind, value (or zero) and place (or zero).
    remembered: BTreeSet<(Kind, u64, u32, u64)>,
}

impl Findings {
    pub(super) fn count(&self, kind: Kind) -> u64 {
        self.piles.iter().filter(|pile| pile.kind == kind).map(|pile| pile.count).sum()
    }

    /// Whether this was not found before, as far as is remembered.
    fn is_new(&mut self, kind: Kind, value: u64, place: Option<Place>) -> bool {
        let (unit, position) = place.map_or((0, 0), |(unit, position)| (unit.index() as u32, position));
        let one = (kind, value, unit, position);
        if self.remembered.len() < REMEMBERED {
            self.remembered.insert(one)
        } else {
            !self.remembered.contains(&one)
        }
    }

    /// Counts a finding; it is told only if it is among the first.
    fn add(&mut self, kind: Kind, case: Case, example: impl FnOnce() -> Example) {
        let known = self.piles.iter().position(|pile| (pile.kind, pile.case) == (kind, case));
        let index = known.unwrap_or_else(|| {
            self.piles.push(Pile { kind, case, count: 0, examples: Vec::new() });
            self.piles.len() - 1
        });
        let pile = &mut self.piles[index];
        pile.count += 1;
        if pile.examples.len() < EXAMPLES {
            pile.examples.push(example());
        }
    }
}

fn example(unit: Option<&str>, position: Option<u64>, story: [String; 2]) -> Example {
    let (ops, lines, neighbourhood) = (Vec::new(), Vec::new(), Vec::new());
    Example { unit: unit.map(str::to_owned), position, ops, lines, story, neighbourhood }
}

impl Online {
    fn unit(&self, unit: UnitId) -> &str {
        &self.units[unit.index()].name
    }

    /// Finds something at a place, once for each value (`by_value`) or for each value and place. False when it was
    /// found before.
    fn find(
        &mut self,
        kind: Kind,
        value: u64,
        place: Place,
        by_value: bool,
        tell: impl FnOnce(&str, u64) -> [String; 2],
    ) -> bool {
        let new = self.findings.is_new(kind, value, (!by_value).then_some(place));
        if new {
            let name = &self.units[place.0.index()].name;
            let one = || example(Some(name), Some(place.1), tell(name, place.1));
            self.findings.add(kind, Case::Plain, one);
        }
        new
    }

    /// An ack or an earlier read named one place of a record, and a reader found it at another.
    pub(super) fn duplicate(&mut self, value: u64, known: Place, place: Place) {
        let first = self.unit(known.0).to_owned();
        self.find(Kind::Duplicate, value, place, true, |unit, at| {
            [
                format!("Record {value} stands in {first} at position {}.", known.1),
                format!("It stands in {unit} at position {at} too."),
            ]
        });
    }

    /// A record that was read before is read beyond all that was read of a unit: it stands there once more.
    pub(super) fn read_again(&mut self, value: u64, place: Place) {
        self.find(Kind::Duplicate, value, place, true, |unit, at| {
            [
                format!("Record {value} had been read and was settled."),
                format!("It was read again in {unit} at position {at}, which nobody had read before."),
            ]
        });
    }

    /// A record was read whose send failed. False when that was found before.
    pub(super) fn aborted_read(&mut self, value: u64, place: Place) -> bool {
        self.find(Kind::AbortedRead, value, place, true, |unit, at| {
            [
                format!("The send of record {value} failed: it definitely did not happen."),
                format!("The record was read all the same, in {unit} at position {at}."),
            ]
        })
    }

    pub(super) fn unexpected(&mut self, value: u64, place: Place) {
        self.find(Kind::Unexpected, value, place, false, |unit, at| {
            [
                format!("Record {value} was read in {unit} at position {at}."),
                "No send of this run carried that value.".to_owned(),
            ]
        });
    }

    pub(super) fn corrupt(&mut self, read: &Read) {
        let value = read.value;
        self.find(Kind::Corrupt, 0, (read.unit, read.position), false, |unit, at| {
            let record = value.map_or("whose value could not be read".to_owned(), |value| format!("{value}"));
            [
                "Every record that was sent carries a value and a checksum.".to_owned(),
                format!("In {unit} at position {at} a reader was handed a damaged record {record}."),
            ]
        });
    }

    pub(super) fn overtaken(&mut self, flight: &Flight, place: Place) {
        let (value, process) = (flight.value, &self.sessions[flight.session.0 as usize]);
        let name = &self.units[place.0.index()].name;
        self.findings.add(Kind::NonmonotonicSend, Case::Plain, || {
            let story = [
                format!("{process} sent record {value}, and others after it in the same session."),
                format!("In {name} it stands at position {}, behind one that was sent later.", place.1),
            ];
            example(Some(name), Some(place.1), story)
        });
    }

    /// An acknowledged record at a place that the unit was read beyond.
    pub(super) fn lost(&mut self, flight: &Flight, place: Place, bound: u64) {
        let (value, process) = (flight.value, &self.sessions[flight.session.0 as usize]);
        let name = &self.units[place.0.index()].name;
        self.findings.add(Kind::LostWrite, Case::Plain, || {
            let story = [
                format!("{process} sent record {value}, acknowledged in {name} position {}.", place.1),
                format!("Nobody ever read it, although {name} was read up to position {bound}."),
            ];
            example(Some(name), Some(place.1), story)
        });
    }

    /// An acknowledged record that nobody read, nor anything behind it.
    pub(super) fn never_seen(&mut self, flight: &Flight, drained: bool) {
        let (value, process) = (flight.value, &self.sessions[flight.session.0 as usize]);
        let name = flight.unit.map(|unit| self.units[unit.index()].name.as_str());
        let case = if drained { Case::Drained } else { Case::Plain };
        self.findings.add(Kind::Unseen, case, || {
            let place = match (name, flight.position) {
                (Some(name), Some(at)) => format!(" in {name} position {at}"),
                (Some(name), None) => format!(" in {name}"),
                _ => String::new(),
            };
            let drain =
                if drained { "the final drain came to its end" } else { "no final drain came to its end" };
            let story = [
                format!("{process} sent record {value}, acknowledged{place}."),
                format!("Nobody ever read it or anything behind it, and {drain}."),
            ];
            example(name, flight.position, story)
        });
    }
}
