//! `group_jump`: after an assignment a group went on behind records that it never committed.
//!
//! **Definition.** A group's commits in a unit are a register. When a consumer is assigned the unit, the places
//! where it may go on are: every commit in force (one that ended after the start of the latest commit that had
//! ended), every commit in flight or of unknown outcome, every commit begun before its first delivery, and the
//! start of the log as long as no commit had ended. Its first delivery jumps when somebody read a record between
//! the highest of these and that delivery. Gaps are counted in records that were read, so holes are no jump.
//!
//! **Algorithm.** One walk over the events with one register per group and unit. **Cost.** Linear in the events
//! plus, per commit, the commits that overlap it.
//!
//! **Forbidden** unless `delivery: at-most-once` lets a group leave records out ([`Rules::no_jump`]).
//!
//! **Evidence limit.** Not judged when clients commit on a timer, since such commits are not in the history, nor
//! where members share units, since then nobody takes one over. The
//! gap must have been read by somebody, at the latest by the drain. A group that goes on *before* its commits is
//! at least once and no finding.
//!
//! **Source.** redpanda/chaos `rw_subscribe`.

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::{Analysis, Place},
    guarantees::{CommitPolicy, Reading, Rules},
    history::{CommitRow, DeliverRow, GroupId, History, Observation, ProcessId, Status, UnitId, What},
};
use std::collections::HashMap;

pub(super) const CHECK: Check = Check {
    kind: Kind::GroupJump,
    about: "after an assignment a group went on behind records that it never committed",
    forbidden: "always, except under `delivery: at-most-once`",
    source: "redpanda chaos: rw_subscribe",
    find,
    tell,
    rule: |rules, _| Rules::no_jump(rules),
};

/// One commit of a register: when it began, and where it wants to go on.
#[derive(Clone, Copy)]
struct Commit {
    start: u32,
    position: u64,
}

/// The commits of one group in one unit.
#[derive(Clone, Default)]
struct Register {
    open: Vec<Commit>,
    in_force: Vec<Commit>,
    latest_start: Option<u32>,
    waiting: Vec<Waiting>,
}

/// A consumer that was assigned the unit and has not been handed a record of it yet.
#[derive(Clone, Copy)]
struct Waiting {
    process: ProcessId,
    assigned: u32,
    legal: u64,
}

impl Register {
    /// The highest place where a consumer that looks now may go on.
    fn legal(&self, log_start: u64) -> u64 {
        let commits = self.open.iter().chain(&self.in_force).map(|commit| commit.position).max();
        match self.latest_start {
            Some(_) => commits.unwrap_or(log_start),
            None => commits.unwrap_or(log_start).max(log_start),
        }
    }

    fn begin(&mut self, commit: Commit) {
        self.open.push(commit);
        for waiting in &mut self.waiting {
            waiting.legal = waiting.legal.max(commit.position);
        }
    }

    /// A commit that succeeded replaces all that had ended before it began; one that failed never was; one of
    /// unknown outcome stays open, since it may still happen.
    fn end(&mut self, start: u32, status: Status) {
        let Some(index) = self.open.iter().position(|commit| commit.start == start) else { return };
        match status {
            Status::Unknown => {}
            Status::Fail => drop(self.open.swap_remove(index)),
            Status::Ok => {
                let commit = self.open.swap_remove(index);
                let latest = self.latest_start.map_or(start, |latest| latest.max(start));
                self.latest_start = Some(latest);
                self.in_force.push(commit);
            }
        }
    }

    /// Forgets commits that ended before the commit that begins now, if that one succeeds: called when it does.
    fn supersede(&mut self, ended_before: impl Fn(&Commit) -> bool) {
        self.in_force.retain(|commit| !ended_before(commit));
    }
}

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let history = analysis.history;
    let configuration = &history.meta.configuration;
    let judged = configuration.commit != CommitPolicy::Auto && configuration.reading != Reading::Share;
    if !judged || history.group_count() == 0 {
        return Vec::new();
    }
    let mut walk = Walk { analysis, registers: HashMap::new(), found: Vec::new() };
    for index in 0..history.len() as u32 {
        let event = history.event(index);
        match event.what {
            What::CommitInvoke => walk.commit_begins(&history.commits()[event.row as usize]),
            What::CommitDone => walk.commit_ends(&history.commits()[event.row as usize]),
            What::Deliver => walk.delivered(&history.delivers()[event.row as usize]),
            What::Note => walk.noted(index, event.process, &history.notes()[event.row as usize].1),
            _ => {}
        }
    }
    walk.found
}

struct Walk<'a, 'h> {
    analysis: &'a Analysis<'h>,
    /// Only asked, never walked.
    registers: HashMap<(GroupId, UnitId), Register>,
    found: Vec<Found>,
}

impl Walk<'_, '_> {
    fn register(&mut self, group: GroupId, unit: UnitId) -> &mut Register {
        self.registers.entry((group, unit)).or_default()
    }

    fn commit_begins(&mut self, commit: &CommitRow) {
        for (unit, position) in &commit.positions {
            self.register(commit.group, *unit).begin(Commit { start: commit.invoke.0, position: *position });
        }
    }

    fn commit_ends(&mut self, commit: &CommitRow) {
        let history: &History = self.analysis.history;
        for (unit, _) in &commit.positions {
            let register = self.register(commit.group, *unit);
            register.end(commit.invoke.0, commit.status);
            if commit.status == Status::Ok {
                register.supersede(|other| {
                    completion_of(history, other.start).is_some_and(|end| end < commit.invoke.0)
                });
            }
        }
    }

    fn noted(&mut self, index: u32, process: ProcessId, note: &Observation) {
        match note {
            Observation::Assigned { group: Some(group), units, .. } => {
                for (unit, _) in units {
                    let log_start = log_start(self.analysis, *unit);
                    let register = self.register(*group, *unit);
                    let legal = register.legal(log_start);
                    register.waiting.retain(|waiting| waiting.process != process);
                    register.waiting.push(Waiting { process, assigned: index, legal });
                }
            }
            Observation::Revoked(units) | Observation::Lost(units) => {
                for unit in units {
                    for group in (0..self.analysis.history.group_count() as u32).map(GroupId::from) {
                        if let Some(register) = self.registers.get_mut(&(group, *unit)) {
                            register.waiting.retain(|waiting| waiting.process != process);
                        }
                    }
                }
            }
            _ => {}
        }
    }

    fn delivered(&mut self, read: &DeliverRow) {
        let Some(group) = read.group() else { return };
        let register = self.register(group, read.unit);
        let Some(index) = register.waiting.iter().position(|waiting| waiting.process == read.process) else {
            return;
        };
        let waiting = register.waiting.swap_remove(index);
        let gap = self.analysis.units[read.unit.index()].between(waiting.legal, read.position);
        if let Some(first) = gap.iter().find(|place| place.read().is_some()) {
            self.found.push(Found {
                unit: Some(read.unit),
                position: Some(first.position),
                ops: proof([Some(waiting.assigned), Some(read.event), first.read()]),
                send: first.send(),
                other: Some(read.event),
                case: Case::Plain,
            });
        }
    }
}

/// When the commit that began at `start` ended.
fn completion_of(history: &History, start: u32) -> Option<u32> {
    history.commits()[history.event(start).row as usize].completion()
}

/// The first readable position of a unit.
fn log_start(analysis: &Analysis<'_>, unit: UnitId) -> u64 {
    analysis.units[unit.index()].drain.map(|(_, drain)| drain.from).unwrap_or_default()
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
