//! `group_jump`: after an assignment a group went on behind records that it never committed.
//!
//! **Definition.** A group's commits in a unit are a [register]. The first record that a newly assigned consumer is
//! handed jumps when somebody read a record between the highest place where it could go on and that record. Gaps are
//! counted in records that were read, so holes are no jump.
//!
//! **Algorithm.** One walk over the events with one register per group and unit. **Cost.** Linear in the events
//! plus, per commit, the commits that overlap it.
//!
//! **Forbidden** unless `delivery: at-most-once` lets a group leave records out ([`Rules::no_jump`]).
//!
//! **Evidence limit.** Not judged when clients commit on a timer, since such commits are not in the history, nor
//! where members share units, since then nobody takes one over. The gap must have been read by somebody, at the
//! latest by the drain. A group that goes on *before* its commits is `stale_commit_read`.
//!
//! **Source.** redpanda/chaos `rw_subscribe`.

use super::{
    Case, Check, Found, proof,
    register::{self, Start},
};
use crate::{
    Kind,
    analysis::{Analysis, Place},
    guarantees::Rules,
};

pub(super) const CHECK: Check = Check {
    kind: Kind::GroupJump,
    about: "after an assignment a group went on behind records that it never committed",
    forbidden: "always, except under `delivery: at-most-once`",
    source: "redpanda chaos: rw_subscribe",
    find,
    tell,
    rule: |rules, _| Rules::no_jump(rules),
};

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let jumps = register::starts(analysis).into_iter().filter_map(|start| jump(analysis, &start));
    jumps.collect()
}

fn jump(analysis: &Analysis<'_>, start: &Start<'_>) -> Option<Found> {
    let read = start.read;
    let gap = analysis.units[read.unit.index()].between(start.highest, read.position);
    let first = gap.iter().find(|place| place.read().is_some())?;
    Some(Found {
        unit: Some(read.unit),
        position: Some(first.position),
        ops: proof([Some(start.assigned), Some(read.event), first.read()]),
        send: first.send(),
        other: Some(read.event),
        case: Case::Plain,
    })
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(unit), Some(position), Some(event)) = (found.unit, found.position, found.other) else {
        return Default::default();
    };
    let history = analysis.history;
    let read = history.delivers().binary_search_by_key(&event, |read| read.event).ok();
    let Some(read) = read.map(|index| history.delivers()[index]) else { return Default::default() };
    let skipped = analysis.units[unit.index()].between(position, read.position);
    let skipped = skipped.iter().filter(|place: &&Place| place.read().is_some()).count();
    let group = read.group().map(|group| history.group_name(group)).unwrap_or_default();
    [
        format!(
            "No commit of group {group} in {} could be in force behind position {position}.",
            analysis.unit(unit)
        ),
        format!(
            "Newly assigned, {} went on at position {} {}; left out from {position} on: {skipped} that others read.",
            analysis.who(event),
            read.position,
            analysis.when(event)
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::{Case, testing::tale};

    #[test]
    fn a_consumer_starts_behind_the_last_commit() {
        // The group committed 1; after the rebalance it goes on at 2 and record 2 at position 1 is left out.
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).sent(3, 2).assigned(0).read(1, 0).committed(1).assigned(1).read(3, 2);
        tale.drain(1, 0).drain(2, 1).drain(3, 2).drained(3).finds(CHECK, &[(2, 1, Case::Plain)]);
    }

    #[test]
    fn a_consumer_without_a_commit_starts_at_the_end() {
        // auto.offset.reset=latest: confluent-python #1329.
        let mut tale = tale();
        tale.sent(1, 0).assigned(1).sent(2, 1).read(2, 1).drain(1, 0).drain(2, 1).drained(2);
        tale.finds(CHECK, &[(1, 0, Case::Plain)]);
    }

    #[test]
    fn going_back_to_the_commit_is_at_least_once() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).assigned(0).read(1, 0).read(2, 1).committed(1).assigned(1).read(2, 1);
        tale.drain(1, 0).drain(2, 1).drained(2).finds(CHECK, &[]);
    }

    #[test]
    fn a_commit_of_unknown_outcome_may_be_in_force() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).assigned(0).commit_unknown(1).assigned(1).read(2, 1);
        tale.drain(1, 0).drain(2, 1).drained(2).finds(CHECK, &[]);
    }

    #[test]
    fn a_commit_that_another_one_replaced_is_not_in_force() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).assigned(0).committed(1).committed(0).assigned(0).read(2, 1);
        tale.drain(1, 0).drain(2, 1).drained(2).finds(CHECK, &[(1, 0, Case::Plain)]);
    }

    #[test]
    fn holes_are_not_left_out() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 9).assigned(0).committed(1).assigned(1).read(2, 9).drain(1, 0).drain(2, 9);
        tale.drained(10).finds(CHECK, &[]);
    }
}
