//! `double_owner`: two members owned one unit in one generation of their group.
//!
//! **Definition.** A member owns a unit from its assignment until it hands it back, loses it or crashes; what it owns
//! it takes along into the generation of its next assignment. Two members that own one unit, both in the same
//! generation, are a finding, once per generation, unit and pair.
//!
//! **Algorithm.** One walk over the notes with the owners of each unit. **Cost.** Linear in the assignments and the
//! units that a member owns.
//!
//! **Forbidden** always ([`Rules::one_owner`]), except where members share units.
//!
//! **Evidence limit.** Assignments must name their generation: without it a member that has not learned of a rebalance
//! cannot be told from a second owner.
//!
//! **Source.** kafkatest: `consumer_test` (no partition assigned to two consumers).

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::Analysis,
    guarantees::{Reading, Rules},
    history::{GroupId, Observation, ProcessId, UnitId},
};
use std::collections::BTreeMap;

pub(super) const CHECK: Check = Check {
    kind: Kind::DoubleOwner,
    about: "two members owned one unit in one generation of their group",
    forbidden: "always",
    source: "kafkatest: consumer_test",
    find,
    tell,
    rule: |rules, _| Rules::one_owner(rules),
};

#[derive(Default)]
struct Group {
    /// The generation of each member, as its latest assignment says.
    generations: BTreeMap<ProcessId, u32>,
    /// The owners of each unit, with the event of the assignment.
    owners: BTreeMap<UnitId, BTreeMap<ProcessId, u32>>,
}

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let history = analysis.history;
    if history.meta.configuration.reading == Reading::Share {
        return Vec::new();
    }
    let mut groups: BTreeMap<GroupId, Group> = BTreeMap::new();
    let mut found = Vec::new();
    for (event, note) in history.notes() {
        let process = history.process_of(*event);
        match note {
            Observation::Assigned { group: Some(group), units, generation: Some(generation) } => {
                let group = groups.entry(*group).or_default();
                let fresh = group.generations.insert(process, *generation) != Some(*generation);
                for (unit, _) in units {
                    let known = group.owners.entry(*unit).or_default().insert(process, *event).is_some();
                    if !known || fresh {
                        group.conflicts(*unit, process, *event, &mut found);
                    }
                }
                if fresh {
                    let kept = group.owned(process).filter(|unit| !units.iter().any(|(one, _)| one == unit));
                    let mut kept: Vec<UnitId> = kept.collect();
                    kept.sort_by_cached_key(|unit| history.unit_name(*unit));
                    kept.into_iter().for_each(|unit| group.conflicts(unit, process, *event, &mut found));
                }
            }
            Observation::Revoked(units) | Observation::Lost(units) => {
                groups.values_mut().for_each(|group| group.gives_up(process, |unit| units.contains(&unit)));
            }
            Observation::Crashed => groups.values_mut().for_each(|group| group.gives_up(process, |_| true)),
            _ => {}
        }
    }
    found
}

impl Group {
    fn owned(&self, process: ProcessId) -> impl Iterator<Item = UnitId> {
        let of = self.owners.iter().filter(move |(_, owners)| owners.contains_key(&process));
        of.map(|(unit, _)| *unit)
    }

    fn gives_up(&mut self, process: ProcessId, which: impl Fn(UnitId) -> bool) {
        for (unit, owners) in &mut self.owners {
            if which(*unit) {
                owners.remove(&process);
            }
        }
    }

    /// The other owners of a unit in the generation of this one.
    fn conflicts(&self, unit: UnitId, process: ProcessId, event: u32, found: &mut Vec<Found>) {
        let generation = self.generations.get(&process);
        let Some(owners) = self.owners.get(&unit) else { return };
        // By event: the numbers of processes depend on who was named first.
        let mut owners: Vec<(&ProcessId, &u32)> = owners.iter().collect();
        owners.sort_unstable_by_key(|(_, assigned)| **assigned);
        for (other, assigned) in owners {
            if *other != process && self.generations.get(other) == generation {
                found.push(Found {
                    unit: Some(unit),
                    ops: proof([Some(*assigned), Some(event)]),
                    other: Some(*assigned),
                    case: Case::Plain,
                    ..Found::default()
                });
            }
        }
    }
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(unit), Some(first), Some(second)) = (found.unit, found.other, found.ops.last().copied()) else {
        return Default::default();
    };
    let unit = analysis.unit(unit);
    [
        format!("{} owns {unit} since it was assigned it {}.", analysis.who(first), analysis.when(first)),
        format!("{} owns it in the same generation {}.", analysis.who(second), analysis.when(second)),
    ]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::testing::tale;

    #[test]
    fn the_coordinator_gives_one_unit_to_two_members() {
        // Both are told in generation 4 that orders/0 is theirs.
        let mut tale = tale();
        tale.by("consumer-0").owns(&[0], 4).by("consumer-1").owns(&[0, 1], 4);
        tale.finds_units(CHECK, &["orders/0"]);
    }

    #[test]
    fn a_member_that_missed_a_rebalance_is_in_an_older_generation() {
        let mut tale = tale();
        tale.by("consumer-0").owns(&[0], 3).by("consumer-1").owns(&[0], 4).finds_units(CHECK, &[]);
    }

    #[test]
    fn what_is_kept_counts_in_the_next_generation() {
        let mut tale = tale();
        tale.by("consumer-0").owns(&[0], 3).by("consumer-1").owns(&[0], 4).by("consumer-0").owns(&[1], 4);
        tale.finds_units(CHECK, &["orders/0"]);
    }

    #[test]
    fn what_was_handed_back_is_free() {
        let mut tale = tale();
        tale.by("consumer-0").owns(&[0], 4).revoked().by("consumer-1").owns(&[0], 4).finds_units(CHECK, &[]);
    }
}
