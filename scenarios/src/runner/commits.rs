//! Commits, for a bus whose acks are prefixes.
//!
//! They are pipelined: one is under way, what is processed meanwhile goes into the next. Before units are handed
//! back everything processed is committed, as a careful service does.

use super::consumer::{AGAIN, Member};
use squall_bus::{Delivery, ErrorClass, Outcome, Pending, Position, Unit};
use squall_history::history::{Invoke, OpId};
use std::{
    collections::{BTreeMap, BTreeSet},
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};

/// A commit under way.
struct Commit {
    op: OpId,
    positions: Vec<(Unit, Position)>,
    outcome: Pending<Outcome<()>>,
}

/// What a consumer has committed, and is to commit.
pub(super) struct Commits {
    member: Member,
    owned: BTreeSet<Unit>,
    /// Where to go on, not committed yet.
    processed: BTreeMap<Unit, Position>,
    commit: Option<Commit>,
    /// The last commit that ended was not taken.
    refused: bool,
}

impl Commits {
    pub(super) const fn new(member: Member) -> Self {
        Self { member, owned: BTreeSet::new(), processed: BTreeMap::new(), commit: None, refused: false }
    }

    /// These units are ours now.
    pub(super) fn own(&mut self, units: impl Iterator<Item = Unit>) {
        self.owned.extend(units);
    }

    /// These units are no longer ours.
    pub(super) fn disown(&mut self, units: &[Unit]) {
        for unit in units {
            self.owned.remove(unit);
            self.processed.remove(unit);
        }
    }

    /// This unit goes on from here, since its log ends or begins elsewhere than it did. What was done with beyond that
    /// is another record's place by now: to commit it would skip that one.
    pub(super) fn moved(&mut self, unit: &Unit, to: Position) {
        let stays = |other: &Unit, at: Position| other != unit || at <= to;
        self.processed.retain(|other, at| stays(other, *at));
        if let Some(commit) = &mut self.commit {
            // It is not tried again.
            commit.positions.retain(|(other, at)| stays(other, *at));
        }
    }

    /// Whether anything that is done with is not known to be committed.
    pub(super) fn owes(&self) -> bool {
        self.commit.is_some() || !self.processed.is_empty()
    }

    /// Whether the last commit that ended was not taken: there may be news of the units that says why.
    pub(super) const fn was_refused(&self) -> bool {
        self.refused
    }

    /// This delivery is done with.
    pub(super) fn done(&mut self, delivery: &Delivery) {
        self.processed.insert(delivery.unit.clone(), delivery.position.next());
    }

    /// The end of the commit under way.
    pub(super) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<Outcome<()>> {
        match &mut self.commit {
            Some(commit) => Pin::new(&mut commit.outcome).poll(cx),
            None => Poll::Pending,
        }
    }

    /// Commits what is processed, unless a commit is under way.
    pub(super) fn begin(&mut self) {
        if self.commit.is_some() || self.processed.is_empty() {
            return;
        }
        let positions: Vec<_> = std::mem::take(&mut self.processed).into_iter().collect();
        let member = &self.member;
        let now = member.notebook.now();
        let op = {
            let mut pages = member.notebook.pages();
            let process = pages.history.process(&member.name);
            let group = pages.history.group(&member.group);
            let places = positions.iter().map(|(unit, at)| (pages.history.unit(unit), at.0)).collect();
            pages.history.invoke(now, process, Invoke::Commit { group, positions: places, txn: None })
        };
        let outcome = member.consumer.commit(positions.clone());
        self.commit = Some(Commit { op, positions, outcome });
    }

    /// Takes note of a commit's end. What was not committed and is still ours is committed again.
    pub(super) async fn ended(&mut self, outcome: &Outcome<()>) {
        let Some(commit) = self.commit.take() else { return };
        let now = self.member.notebook.now();
        self.member.notebook.pages().history.complete_call(now, commit.op, outcome);
        self.refused = !outcome.is_ok();
        let Some(error) = outcome.error() else { return };
        let mut again = false;
        for (unit, position) in commit.positions {
            if self.owned.contains(&unit) {
                let known = self.processed.entry(unit).or_insert(position);
                *known = position.max(*known);
                again = true;
            }
        }
        if again && error.class != ErrorClass::Fatal {
            self.member.clock.sleep(AGAIN).await;
        }
    }

    /// Commits everything that is processed and waits for it; whether all of it is certain.
    pub(super) async fn finish(&mut self) -> bool {
        let mut certain = true;
        // Twice: what is under way, and what was processed meanwhile. A failure is not tried again here, since
        // the units may be somebody else's already.
        for _ in 0..2 {
            self.begin();
            if let Some(commit) = &mut self.commit {
                let outcome = poll_fn(|cx: &mut Context<'_>| Pin::new(&mut commit.outcome).poll(cx)).await;
                certain = outcome.is_ok();
                let op = commit.op;
                self.commit = None;
                let now = self.member.notebook.now();
                self.member.notebook.pages().history.complete_call(now, op, &outcome);
            }
        }
        certain
    }
}
