//! Following: a leader's entries, and being caught up.

use super::{Entries, Env, Fit, NodeId, Raft, RaftMsg, RaftRole, Touch};
use crate::{kernel::Mark, nats::rules::Sync};
use squall_bus::Time;
use std::time::Duration;

/// A catch-up that brought nothing for so long is asked for again.
const CATCHUP_STALLED: Duration = Duration::from_secs(2);

/// A catch-up that a follower asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Catchup {
    /// Done when the log ends here or behind.
    upto: (u64, u64),
    /// Where the log ended when it last grew.
    last: u64,
    since: Time,
}

/// What a follower answered its leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    to: NodeId,
    term: u64,
    last: (u64, u64),
    at: Time,
}

/// A leader's entries.
pub(super) struct Append {
    pub(super) term: u64,
    pub(super) catchup: bool,
    pub(super) commit: u64,
    /// Term and index of the entry before.
    pub(super) prev: (u64, u64),
    pub(super) entries: Entries,
}

impl Raft {
    pub(super) fn append(&mut self, from: NodeId, append: Append, env: &mut Env<'_, '_>) {
        if self.role != RaftRole::Leader && !self.taking_over {
            self.arm_election(env);
        }
        if append.term < self.term {
            if !append.catchup {
                self.answer(from, self.term, Fit::Refused, env);
            }
            return;
        }
        if append.term > self.term {
            self.meet_term(append.term, Some(from), env);
        } else if self.role != RaftRole::Follower {
            self.follow(Some(from), env);
        }
        if append.catchup && append.prev.1 < self.log.last() && self.catchup.is_none() {
            return;
        }
        if !self.takes_live(from, &append, env) {
            return;
        }
        if !append.catchup && self.leader != Some(from) {
            self.leader = Some(from);
            self.changed(Touch::TERM, env);
        }
        self.heard[from.index()] = env.ctx.now();
        if append.prev != (self.log.last_term(), self.log.last()) && !self.align(from, &append, env) {
            return;
        }
        let empty = append.entries.is_empty();
        for entry in append.entries {
            if !self.store(entry, env) {
                return;
            }
        }
        let grew = if empty { 0 } else { Touch::LOG };
        let commit = append.commit.min(self.log.last());
        if commit > self.commit {
            self.commit = commit;
            self.changed(grew | Touch::COMMIT, env);
        } else if !empty {
            self.changed(grew, env);
        }
        let knows = empty && self.has_just_told(from, env);
        if !append.catchup && !knows {
            self.respond(from, env);
        }
    }

    /// Whether the leader was told what its log ends with so lately that the answer cannot have been lost and this
    /// message have come over another route.
    fn has_just_told(&self, leader: NodeId, env: &Env<'_, '_>) -> bool {
        let last = (self.log.last_term(), self.log.last());
        let same = |told: &Told| (told.to, told.term, told.last) == (leader, self.term, last);
        let within = env.rules.route_reconnect.min(env.rules.heartbeat) / 2;
        self.told.is_some_and(|told| same(&told) && env.ctx.now().since(told.at) < within)
    }

    /// Whether it takes entries of this kind now: while it is caught up it ignores live ones.
    fn takes_live(&mut self, from: NodeId, append: &Append, env: &mut Env<'_, '_>) -> bool {
        let Some(catchup) = self.catchup else { return true };
        if (self.log.last_term(), self.log.last()) >= catchup.upto {
            self.catchup = None;
            return true;
        }
        if append.catchup {
            return true;
        }
        if self.is_catchup_stalled(env.ctx.now()) {
            self.ask_catchup(from, append, env);
        }
        false
    }

    pub(super) fn is_catchup_stalled(&mut self, now: Time) -> bool {
        let last = self.log.last();
        match &mut self.catchup {
            Some(catchup) if catchup.last == last => now.since(catchup.since) > CATCHUP_STALLED,
            Some(catchup) => {
                (catchup.last, catchup.since) = (last, now);
                false
            }
            None => false,
        }
    }

    fn ask_catchup(&mut self, leader: NodeId, append: &Append, env: &mut Env<'_, '_>) {
        self.catchup = Some(Catchup { upto: append.prev, last: self.log.last(), since: env.ctx.now() });
        self.answer(leader, self.log.last_term(), Fit::Behind, env);
    }

    /// The entries do not follow on its last one: cuts its log back or asks for what is missing. Whether they
    /// follow now.
    fn align(&mut self, from: NodeId, append: &Append, env: &mut Env<'_, '_>) -> bool {
        let (prev_term, prev_index) = append.prev;
        if prev_index > self.log.last() {
            if self.catchup.is_some() {
                self.catchup = None;
            } else {
                self.ask_catchup(from, append, env);
            }
            return false;
        }
        if prev_index < self.commit {
            // It has these already.
            return false;
        }
        if self.log.term_at(prev_index) == Some(prev_term) || !env.rules.check_previous {
            self.cut(prev_index, env);
            return true;
        }
        self.cut(prev_index.saturating_sub(1).max(self.commit), env);
        self.catchup = None;
        false
    }

    fn cut(&mut self, index: u64, env: &mut Env<'_, '_>) {
        if index < self.log.last() {
            env.ctx.mark(Mark::FollowerTruncated);
        }
        self.log.truncate(index, env.ctx.disk());
        self.changed(Touch::LOG | Touch::COMMIT, env);
    }

    pub(super) fn respond(&mut self, leader: NodeId, env: &mut Env<'_, '_>) {
        if env.rules.sync == Sync::Always && self.log.synced(env.ctx.disk()) < self.log.last() {
            self.owes = Some(leader);
        } else if self.leader == Some(leader) {
            let last = (self.log.last_term(), self.log.last());
            self.told = Some(Told { to: leader, term: self.term, last, at: env.ctx.now() });
            self.answer(leader, last.0, Fit::Stored, env);
        }
    }

    fn answer(&self, to: NodeId, term: u64, fit: Fit, env: &mut Env<'_, '_>) {
        self.send(to, RaftMsg::Appended { term, index: self.log.last(), fit }, env);
    }
}
