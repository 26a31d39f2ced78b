//! `commit_beyond_position`: a member committed a place that it had not come to.
//!
//! **Definition.** A consumer's position in a unit is the place behind the highest record that it was handed since it
//! was assigned the unit, or where the assignment, a seek or a reset put it. A commit that did not fail goes beyond it
//! when somebody read a record between the position and the committed place: the group will leave that record out.
//!
//! **Algorithm.** One walk over the events with one position per process and unit. **Cost.** Linear.
//!
//! **Forbidden** unless `delivery: at-most-once` lets a group leave records out ([`Rules::no_commit_ahead`]).
//!
//! **Evidence limit.** The position must be known: a consumer that was told no start and handed nothing has none, and
//! neither has a tool that sets a group's offsets. Holes (markers of transactions) are not left out.
//!
//! **Source.** kafkatest: `verifiable_consumer`.

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::{Analysis, Grid, Place, Turn, walk},
    guarantees::Rules,
    history::{CommitRow, Observation, ProcessId, Status, UnitId},
};

pub(super) const CHECK: Check = Check {
    kind: Kind::CommitBeyondPosition,
    about: "a member committed a place that it had not come to",
    forbidden: "always, except under `delivery: at-most-once`",
    source: "kafkatest: verifiable_consumer",
    find,
    tell,
    rule: |rules, _| Rules::no_commit_ahead(rules),
};

/// Where a consumer stands in a unit: the place, and the event that put it there.
type Position = Option<(u64, u32)>;

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let history = analysis.history;
    if history.commits().is_empty() {
        return Vec::new();
    }
    let mut positions: Grid<Position> = Grid::new(history.unit_count());
    let mut found = Vec::new();
    for turn in walk(history) {
        match turn {
            Turn::Read(_, read) if !read.drained() => {
                let known = positions.at(read.process.index(), read.unit.index());
                *known = (*known).max(Some((read.position + 1, read.event)));
            }
            Turn::Read(..) => {}
            Turn::Note(event, note) => moved(&mut positions, history.process_of(event), event, note),
            Turn::Commit(commit) => {
                let line = positions.row(commit.process.index());
                let beyond = commit.positions.iter().filter(|_| commit.status != Status::Fail);
                found.extend(
                    beyond.filter_map(|(unit, to)| ahead(analysis, commit, *unit, *to, line[unit.index()])),
                );
            }
        }
    }
    found
}

fn moved(positions: &mut Grid<Position>, process: ProcessId, event: u32, note: &Observation) {
    match note {
        Observation::Assigned { units, .. } => {
            for (unit, start) in units {
                *positions.at(process.index(), unit.index()) = start.map(|start| (start, event));
            }
        }
        Observation::Sought { unit, to } | Observation::Reset { unit, to, .. } => {
            *positions.at(process.index(), unit.index()) = Some((*to, event));
        }
        Observation::Crashed => positions.clear(process.index()),
        _ => {}
    }
}

/// A commit beyond a position, if somebody read a record between them.
fn ahead(
    analysis: &Analysis<'_>,
    commit: &CommitRow,
    unit: UnitId,
    to: u64,
    position: Position,
) -> Option<Found> {
    let (from, event) = position.filter(|(from, _)| *from < to)?;
    let gap = analysis.units[unit.index()].between(from, to);
    let first = gap.iter().find(|place| place.read().is_some())?;
    Some(Found {
        unit: Some(unit),
        position: Some(first.position),
        ops: proof([Some(event), Some(commit.invoke.0), commit.completion(), first.read()]),
        send: first.send(),
        other: Some(commit.invoke.0),
        case: Case::Plain,
    })
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(unit), Some(from), Some(event)) = (found.unit, found.position, found.other) else {
        return Default::default();
    };
    let row = analysis.history.event(event).row as usize;
    let commit = &analysis.history.commits()[row];
    let to = commit.positions.iter().find(|(other, _)| *other == unit).map_or(from, |(_, to)| *to);
    let skipped = analysis.units[unit.index()].between(from, to);
    let skipped = skipped.iter().filter(|place: &&Place| place.read().is_some()).count();
    [
        format!(
            "{} committed position {to} of {} {}.",
            analysis.who(event),
            analysis.unit(unit),
            analysis.when(event)
        ),
        format!(
            "It had come no further than {from}: it left out {skipped} that others read, from {from} on."
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::testing::tale;

    #[test]
    fn a_member_commits_a_record_that_it_was_not_handed() {
        // consumer-0 was handed record 1 and commits 2; the drain finds record 2 at position 1.
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).assigned(0).read(1, 0).committed(2).drain(1, 0).drain(2, 1).drained(2);
        tale.finds_at(CHECK, &[1]);
    }

    #[test]
    fn markers_behind_the_last_record_may_be_committed() {
        let mut tale = tale();
        tale.sent(1, 0).assigned(0).read(1, 0).committed(2).drain(1, 0).drained(2).finds_at(CHECK, &[]);
    }

    #[test]
    fn a_tool_that_sets_offsets_has_no_position() {
        let mut tale = tale();
        tale.sent(1, 0).by("admin").committed(1).drain(1, 0).drained(1).finds_at(CHECK, &[]);
    }

    #[test]
    fn a_redelivery_does_not_take_the_position_back() {
        let mut tale = tale();
        tale.sent(1, 0)
            .sent(2, 1)
            .assigned(0)
            .read(1, 0)
            .read(2, 1)
            .read(1, 0)
            .committed(2)
            .finds_at(CHECK, &[]);
    }

    #[test]
    fn a_program_that_seeks_back_stands_there() {
        let mut tale = tale();
        tale.sent(1, 0)
            .sent(2, 1)
            .assigned(0)
            .read(1, 0)
            .read(2, 1)
            .seeks(0)
            .committed(2)
            .finds_at(CHECK, &[0]);
    }
}
