//! `committed_too_far`: a commit passed a record that was still being processed.
//!
//! **Definition.** A member of a group whose handlers are recorded committed a place behind a record that it had been
//! handed since it was assigned the unit, and no handler of the group was done with that record (processed or given
//! up) when the commit began. If the member dies now, the record is left out. One finding per commit and unit, at the
//! lowest such record; a record counts for the first commit that passes it.
//!
//! **Algorithm.** One walk over the events with the records in hand per process and unit. **Cost.** Linear, plus the
//! sorting in of records that are delivered again.
//!
//! **Forbidden** where the group commits after processing, and for commits on a timer under `delivery: at-least-once`
//! ([`Rules::no_early_commit`]). A group that is set up to commit *before* it processes does so by design: this is
//! not looked for there, and what is really left out is `unprocessed`.
//!
//! **Source.** Redpanda's `auto_commit` workload; linkedin kafka-monitor #303.

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::{Analysis, Grid, Turn, walk},
    guarantees::{CommitPolicy, Delivery, Rules},
    history::{CommitRow, GroupId, Handling, History, Observation, Status, UnitId},
};
use std::collections::VecDeque;

pub(super) const CHECK: Check = Check {
    kind: Kind::CommittedTooFar,
    about: "a commit passed a record that was still being processed",
    forbidden: "groups that commit after processing; commits on a timer under `delivery: at-least-once`",
    source: "redpanda: auto_commit",
    find,
    tell,
    rule: |rules, _| Rules::no_early_commit(rules),
};

/// Records in hand: position, row of the send, event of the delivery; by position.
type Hand = VecDeque<(u64, u32, u32)>;

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let history = analysis.history;
    let handlers = analysis.consumers.iter().any(|consumer| consumer.handles && consumer.group.is_some());
    if history.commits().is_empty() || !handlers || by_design(history) {
        return Vec::new();
    }
    let done: Vec<Vec<u32>> =
        (0..history.group_count() as u32).map(|group| done(analysis, group.into())).collect();
    let mut hands: Grid<Hand> = Grid::new(history.unit_count());
    let mut found = Vec::new();
    for turn in walk(history) {
        match turn {
            Turn::Read(_, read) if read.group().is_some() => {
                if let Some(row) = read.value().and_then(|value| analysis.writer(value)) {
                    let record = (read.position, row, read.event);
                    take(hands.at(read.process.index(), read.unit.index()), record);
                }
            }
            Turn::Read(..) => {}
            Turn::Note(event, note) => {
                let process = history.process_of(event).index();
                match note {
                    Observation::Assigned { units, .. } => {
                        units.iter().for_each(|(unit, _)| hands.at(process, unit.index()).clear());
                    }
                    Observation::Crashed => hands.clear(process),
                    _ => {}
                }
            }
            Turn::Commit(commit) => {
                let done = &done[commit.group.index()];
                if commit.status != Status::Fail && !done.is_empty() {
                    for (unit, to) in &commit.positions {
                        let hand = hands.at(commit.process.index(), unit.index());
                        found.extend(passed(commit, *unit, *to, hand, done));
                    }
                }
            }
        }
    }
    found
}

/// Whether the group commits before it processes because it was told to, or may.
fn by_design(history: &History) -> bool {
    let configured = history.meta.configuration.commit == CommitPolicy::BeforeProcessing;
    configured || history.meta.expect.delivery == Some(Delivery::AtMostOnce)
}

/// When some handler of a group was done with each record, by the row of the send; empty if handlers are not recorded.
fn done(analysis: &Analysis<'_>, group: GroupId) -> Vec<u32> {
    let history = analysis.history;
    if !analysis.consumers.iter().any(|consumer| consumer.group == Some(group) && consumer.handles) {
        return Vec::new();
    }
    let mut first = vec![u32::MAX; history.sends().len()];
    let finished = |how: Handling| matches!(how, Handling::Ok | Handling::Poison);
    for handled in history.handled().iter().filter(|one| one.group == Some(group) && finished(one.how)) {
        if let Some(row) = analysis.writer(handled.value) {
            first[row as usize] = first[row as usize].min(handled.event);
        }
    }
    first
}

/// Puts a record into the hand: nearly always behind all others.
fn take(hand: &mut Hand, record: (u64, u32, u32)) {
    match hand.back() {
        Some(last) if *last > record => {
            let place = hand.partition_point(|other| *other < record);
            hand.insert(place, record);
        }
        _ => hand.push_back(record),
    }
}

/// A commit takes what it passes out of the hand: the lowest that was not done, if there is one.
fn passed(commit: &CommitRow, unit: UnitId, to: u64, hand: &mut Hand, done: &[u32]) -> Option<Found> {
    let mut lowest = None;
    while hand.front().is_some_and(|(position, ..)| *position < to) {
        let record = hand.pop_front()?;
        if done[record.1 as usize] > commit.invoke.0 {
            lowest = lowest.or(Some(record));
        }
    }
    lowest.map(|record| finding(commit, unit, record))
}

fn finding(commit: &CommitRow, unit: UnitId, (position, row, read): (u64, u32, u32)) -> Found {
    Found {
        unit: Some(unit),
        position: Some(position),
        ops: proof([Some(read), Some(commit.invoke.0), commit.completion()]),
        send: Some(row),
        other: Some(commit.invoke.0),
        case: Case::Plain,
    }
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(row), Some(unit), Some(position), Some(commit)) =
        (found.send, found.unit, found.position, found.other)
    else {
        return Default::default();
    };
    let read = found.ops.first().copied().unwrap_or(commit);
    [
        format!(
            "{} was handed {} in {} at position {position} {}.",
            analysis.who(read),
            analysis.record(analysis.send(row)),
            analysis.unit(unit),
            analysis.when(read)
        ),
        format!(
            "It committed a place behind it {}, before any handler of the group was done with it.",
            analysis.when(commit)
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::{
        checks::{Case, testing::tale},
        guarantees::CommitPolicy,
        history::Handling,
    };

    #[test]
    fn the_commit_passes_a_record_in_the_handler() {
        // Record 2 is in a handler when the member commits 2.
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).assigned(0).read(1, 0).handled(1, Handling::Ok).read(2, 1).committed(2);
        tale.handled(2, Handling::Ok).finds(CHECK, &[(2, 1, Case::Plain)]);
    }

    #[test]
    fn a_commit_of_what_is_done_is_right() {
        let mut tale = tale();
        tale.sent(1, 0)
            .sent(2, 1)
            .assigned(0)
            .read(1, 0)
            .read(2, 1)
            .handled(1, Handling::Poison)
            .committed(1);
        tale.handled(2, Handling::Ok).committed(2).finds(CHECK, &[]);
    }

    #[test]
    fn a_redelivered_record_that_was_done_before_needs_no_second_time() {
        let mut tale = tale();
        tale.sent(1, 0)
            .assigned(0)
            .read(1, 0)
            .handled(1, Handling::Ok)
            .by("consumer-1")
            .assigned(0)
            .read(1, 0);
        tale.committed(1).finds(CHECK, &[]);
    }

    #[test]
    fn a_group_that_commits_first_by_design_is_not_judged_here() {
        let mut tale = tale();
        tale.configure(|meta| meta.configuration.commit = CommitPolicy::BeforeProcessing);
        tale.sent(1, 0).assigned(0).read(1, 0).committed(1).handled(1, Handling::Ok).finds(CHECK, &[]);
    }
}
