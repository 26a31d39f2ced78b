//! A group's commits as a register: where a consumer that is newly assigned a unit may go on.
//!
//! The candidates are, as of the assignment: every commit in force (one that ended at or after the latest start
//! among the commits that had ended), every commit in flight or of unknown outcome, and the start of the log as long
//! as no commit had ended; and every commit begun between the assignment and the first delivery. A commit that
//! failed never was. A commit in a transaction ends with it. A consumer that its program moved, or that gave the unit
//! back, is not judged.

use crate::{
    analysis::Analysis,
    guarantees::{CommitPolicy, Reading},
    history::{CommitRow, DeliverRow, GroupId, History, Observation, ProcessId, Status, UnitId, What},
};
use std::collections::HashMap;

/// The first record that a newly assigned consumer was handed, and where it could have begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start<'h> {
    /// The assignment.
    pub(super) assigned: u32,
    /// The first delivery.
    pub(super) read: &'h DeliverRow,
    /// The lowest candidate.
    pub(super) lowest: u64,
    /// The highest candidate.
    pub(super) highest: u64,
}

/// One commit of a register: when it began, when it took effect, and where it wants to go on.
#[derive(Clone, Copy)]
struct Commit {
    start: u32,
    end: Option<u32>,
    position: u64,
}

/// The commits of one group in one unit.
#[derive(Clone, Default)]
struct Register {
    open: Vec<Commit>,
    in_force: Vec<Commit>,
    any_ended: bool,
    waiting: Vec<Waiting>,
}

/// A consumer that was assigned the unit and has not been handed a record of it yet.
#[derive(Clone, Copy)]
struct Waiting {
    process: ProcessId,
    assigned: u32,
    lowest: u64,
    highest: u64,
}

impl Register {
    fn wait(&mut self, process: ProcessId, assigned: u32, log_start: u64) {
        let commits = || self.open.iter().chain(&self.in_force).map(|commit| commit.position);
        let start = (!self.any_ended).then_some(log_start);
        let lowest = commits().chain(start).min().unwrap_or(log_start);
        let highest = commits().chain(start).max().unwrap_or(log_start);
        self.forget(process);
        self.waiting.push(Waiting { process, assigned, lowest, highest });
    }

    fn forget(&mut self, process: ProcessId) {
        self.waiting.retain(|waiting| waiting.process != process);
    }

    fn begin(&mut self, commit: Commit) {
        self.open.push(commit);
        for waiting in &mut self.waiting {
            waiting.lowest = waiting.lowest.min(commit.position);
            waiting.highest = waiting.highest.max(commit.position);
        }
    }

    /// A commit takes effect: it replaces all that had ended before it began.
    fn end(&mut self, start: u32) {
        let Some(index) = self.open.iter().position(|commit| commit.start == start) else { return };
        let commit = self.open.swap_remove(index);
        self.any_ended = true;
        self.in_force.retain(|other| other.end.is_none_or(|end| end >= start));
        self.in_force.push(commit);
    }
}

/// Every first delivery after an assignment, in order. Nothing where commits are not in the history (clients commit
/// on a timer), or where members share units, since then nobody takes one over.
pub(super) fn starts<'h>(analysis: &Analysis<'h>) -> Vec<Start<'h>> {
    let history = analysis.history;
    let configuration = &history.meta.configuration;
    let judged = configuration.commit != CommitPolicy::Auto && configuration.reading != Reading::Share;
    let assigned = |note: &Observation| matches!(note, Observation::Assigned { group: Some(_), .. });
    if !judged || !history.notes().iter().any(|(_, note)| assigned(note)) {
        return Vec::new();
    }
    let mut walk = Walk {
        analysis,
        registers: HashMap::new(),
        of_txn: commits_by_txn(history),
        waits: vec![Vec::new(); history.process_count()],
        starts: Vec::new(),
    };
    for index in 0..history.len() as u32 {
        let event = history.event(index);
        match event.what {
            What::CommitInvoke => walk.begins(&history.commits()[event.row as usize]),
            What::CommitDone => walk.ends(&history.commits()[event.row as usize]),
            What::TxnDone => walk.txn_ends(event.row),
            What::Deliver => walk.delivered(&history.delivers()[event.row as usize]),
            What::Note => walk.noted(index, event.process, &history.notes()[event.row as usize].1),
            _ => {}
        }
    }
    walk.starts
}

/// The commits that are part of a transaction, by the transaction's row.
fn commits_by_txn(history: &History) -> HashMap<u32, Vec<u32>> {
    let mut map: HashMap<u32, Vec<u32>> = HashMap::new();
    for (commit, row) in history.commits().iter().zip(0u32..) {
        if let Some(txn) = commit.txn() {
            map.entry(history.txn_row(txn)).or_default().push(row);
        }
    }
    map
}

/// When a commit took effect, if it did for certain; `None` and not failed means that it may have.
fn effect(history: &History, commit: &CommitRow) -> (Status, Option<u32>) {
    match commit.txn().map(|txn| history.txns()[history.txn_row(txn) as usize]) {
        None => (commit.status, commit.completion().filter(|_| commit.status == Status::Ok)),
        Some(_) if commit.status == Status::Fail => (Status::Fail, None),
        Some(txn) => {
            let done = commit.status == Status::Ok && txn.status == Status::Ok;
            let status = if txn.status == Status::Fail { Status::Fail } else { txn.status };
            (status, txn.completion().filter(|_| done))
        }
    }
}

struct Walk<'a, 'h> {
    analysis: &'a Analysis<'h>,
    /// Only asked, never walked.
    registers: HashMap<(GroupId, UnitId), Register>,
    /// Only asked, never walked.
    of_txn: HashMap<u32, Vec<u32>>,
    /// Per process: where it waits for a first record.
    waits: Vec<Vec<(GroupId, UnitId)>>,
    starts: Vec<Start<'h>>,
}

impl<'h> Walk<'_, 'h> {
    fn register(&mut self, group: GroupId, unit: UnitId) -> &mut Register {
        self.registers.entry((group, unit)).or_default()
    }

    fn begins(&mut self, commit: &CommitRow) {
        let (status, end) = effect(self.analysis.history, commit);
        if status == Status::Fail {
            return;
        }
        for (unit, position) in &commit.positions {
            let position = *position;
            self.register(commit.group, *unit).begin(Commit { start: commit.invoke.0, end, position });
        }
    }

    fn ends(&mut self, commit: &CommitRow) {
        if commit.txn().is_none() && commit.status == Status::Ok {
            self.take_effect(commit);
        }
    }

    fn txn_ends(&mut self, txn: u32) {
        let history = self.analysis.history;
        if history.txns()[txn as usize].status != Status::Ok {
            return;
        }
        for row in self.of_txn.remove(&txn).unwrap_or_default() {
            let commit = &history.commits()[row as usize];
            if commit.status == Status::Ok {
                self.take_effect(commit);
            }
        }
    }

    fn take_effect(&mut self, commit: &CommitRow) {
        for (unit, _) in &commit.positions {
            self.register(commit.group, *unit).end(commit.invoke.0);
        }
    }

    fn noted(&mut self, index: u32, process: ProcessId, note: &Observation) {
        match note {
            Observation::Assigned { group: Some(group), units, .. } => {
                for (unit, _) in units {
                    let log_start = log_start(self.analysis, *unit);
                    self.register(*group, *unit).wait(process, index, log_start);
                    self.waits[process.index()].push((*group, *unit));
                }
            }
            Observation::Revoked(units) | Observation::Lost(units) => {
                self.forget(process, |unit| units.contains(&unit));
            }
            Observation::Sought { unit, .. } => self.forget(process, |other| other == *unit),
            Observation::Crashed => self.forget(process, |_| true),
            _ => {}
        }
    }

    /// The process does not wait for a first record of these units any more.
    fn forget(&mut self, process: ProcessId, of: impl Fn(UnitId) -> bool) {
        let mut waits = std::mem::take(&mut self.waits[process.index()]);
        waits.retain(|(group, unit)| {
            let goes = of(*unit);
            if goes {
                self.register(*group, *unit).forget(process);
            }
            !goes
        });
        self.waits[process.index()] = waits;
    }

    fn delivered(&mut self, read: &'h DeliverRow) {
        let Some(group) = read.group() else { return };
        let waits = &mut self.waits[read.process.index()];
        let Some(index) = waits.iter().position(|wait| *wait == (group, read.unit)) else { return };
        waits.swap_remove(index);
        let register = self.register(group, read.unit);
        if let Some(index) = register.waiting.iter().position(|waiting| waiting.process == read.process) {
            let Waiting { assigned, lowest, highest, .. } = register.waiting.swap_remove(index);
            self.starts.push(Start { assigned, read, lowest, highest });
        }
    }
}

/// The first readable position of a unit.
fn log_start(analysis: &Analysis<'_>, unit: UnitId) -> u64 {
    analysis.units[unit.index()].drain.map(|(_, drain)| drain.from).unwrap_or_default()
}
