//! `consumed_unassigned`: a member was handed a record of a unit that it did not own.
//!
//! **Definition.** A member of a group that is assigned its units was handed a record of a unit that it had never
//! been assigned, or that it had handed back, lost or forgotten in a crash.
//!
//! **Algorithm.** One walk over the events with the owned units per process. **Cost.** Linear.
//!
//! **Forbidden** always ([`Rules::own_units_only`]).
//!
//! **Evidence limit.** Members whose assignments are not in the history are not judged, nor groups whose members share
//! units. A member that has not learned yet that a unit is another's is no fault: it is `double_owner` if both own it
//! in one generation.
//!
//! **Source.** kafkatest: `verifiable_consumer`.

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::{Analysis, Grid, Turn, walk},
    guarantees::{Reading, Rules},
    history::{Observation, ProcessId},
};

pub(super) const CHECK: Check = Check {
    kind: Kind::ConsumedUnassigned,
    about: "a member was handed a record of a unit that it did not own",
    forbidden: "always",
    source: "kafkatest: verifiable_consumer",
    find,
    tell,
    rule: |rules, _| Rules::own_units_only(rules),
};

/// What a member has to do with a unit.
#[derive(Clone, Copy, Default, PartialEq)]
enum Owns {
    #[default]
    Never,
    Yes,
    /// It gave the unit up in this event.
    NoMore(u32),
}

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let history = analysis.history;
    let mut assigned = vec![false; history.process_count()];
    for (event, note) in history.notes() {
        if let Observation::Assigned { group: Some(_), .. } = note {
            assigned[history.process_of(*event).index()] = true;
        }
    }
    if history.meta.configuration.reading == Reading::Share || !assigned.contains(&true) {
        return Vec::new();
    }
    let mut owned: Grid<Owns> = Grid::new(history.unit_count());
    let mut found = Vec::new();
    for turn in walk(history) {
        match turn {
            Turn::Read(_, read) if read.group().is_some() && assigned[read.process.index()] => {
                let since = match *owned.at(read.process.index(), read.unit.index()) {
                    Owns::Yes => continue,
                    Owns::NoMore(event) => Some(event),
                    Owns::Never => None,
                };
                found.push(Found {
                    unit: Some(read.unit),
                    position: Some(read.position),
                    ops: proof([since, Some(read.event)]),
                    send: read.value().and_then(|value| analysis.writer(value)),
                    other: since,
                    case: Case::Plain,
                });
            }
            Turn::Note(event, told) => note(&mut owned, history.process_of(event), event, told),
            _ => {}
        }
    }
    found
}

fn note(owned: &mut Grid<Owns>, process: ProcessId, event: u32, note: &Observation) {
    match note {
        Observation::Assigned { units, .. } => {
            units.iter().for_each(|(unit, _)| *owned.at(process.index(), unit.index()) = Owns::Yes);
        }
        Observation::Revoked(units) | Observation::Lost(units) => {
            units.iter().for_each(|unit| *owned.at(process.index(), unit.index()) = Owns::NoMore(event));
        }
        Observation::Crashed => {
            for one in owned.row(process.index()).iter_mut().filter(|one| **one != Owns::Never) {
                *one = Owns::NoMore(event);
            }
        }
        _ => {}
    }
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(unit), Some(position), Some(event)) = (found.unit, found.position, found.ops.last().copied())
    else {
        return Default::default();
    };
    let (who, unit) = (analysis.who(event), analysis.unit(unit));
    let before = match found.other {
        Some(since) => format!("{who} had given {unit} up {}.", analysis.when(since)),
        None => format!("{who} had never been assigned {unit}."),
    };
    [before, format!("It was handed the record at position {position} of {unit} {}.", analysis.when(event))]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::testing::tale;

    #[test]
    fn a_member_goes_on_with_a_unit_that_it_gave_back() {
        // consumer-0 hands the unit back and is handed one more record all the same.
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).assigned(0).read(1, 0).revoked().read(2, 1);
        tale.finds_at(CHECK, &[1]);
    }

    #[test]
    fn a_member_that_has_not_learned_of_its_loss_is_no_fault_of_its_own() {
        let mut tale = tale();
        tale.sent(1, 0)
            .sent(2, 1)
            .assigned(0)
            .read(1, 0)
            .by("consumer-1")
            .assigned(1)
            .by("consumer-0")
            .read(2, 1);
        tale.finds_at(CHECK, &[]);
    }

    #[test]
    fn a_new_life_must_be_assigned_anew() {
        let mut tale = tale();
        tale.sent(1, 0).assigned(0).read(1, 0).crashed().read(1, 0).assigned(0).read(1, 0);
        tale.finds_at(CHECK, &[0]);
    }

    #[test]
    fn readers_without_assignments_are_not_judged() {
        let mut tale = tale();
        tale.sent(1, 0).read(1, 0).by("consumer-1").owns(&[1], 1).finds_at(CHECK, &[]);
    }
}
