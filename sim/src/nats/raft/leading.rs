//! Leading: proposals, signs of life, commits, members that lag behind, and handing over.

use super::{
    Entries, Entry, Env, Fit, NodeId, NodeSet, Op, Raft, RaftMsg, RaftRole, ServerTimer, Timer, Touch,
};
use crate::nats::rules::{CommitBy, Sync};
use std::sync::Arc;

impl Raft {
    pub(super) fn lead(&mut self, env: &mut Env<'_, '_>) {
        self.role = RaftRole::Leader;
        self.leader = Some(self.me);
        self.taking_over = false;
        self.confirmed.fill(0);
        self.first = self.log.last() + 1;
        self.start_leading(env);
        self.changed(Touch::TERM, env);
        self.propose(Op::PeerState, env);
    }

    pub(super) fn start_leading(&mut self, env: &mut Env<'_, '_>) {
        let timer = |timer| Timer::Server(timer);
        env.ctx.timer(env.rules.heartbeat, timer(ServerTimer::Heartbeat(self.group, self.term)));
        env.ctx.timer(env.rules.lost_quorum_check, timer(ServerTimer::Quorum(self.group, self.term)));
    }

    /// Appends to the log; [`send_proposals`](Self::send_proposals) sends it. `None` if it does not lead or its disk
    /// refuses.
    pub fn propose(&mut self, op: Op, env: &mut Env<'_, '_>) -> Option<u64> {
        if self.role != RaftRole::Leader || self.failed {
            return None;
        }
        let last = self.log.last();
        self.store(Arc::new(Entry { term: self.term, op }), env).then_some(())?;
        if self.unsent.is_none() {
            self.unsent = Some(last);
            env.unsent.push(self.log.file());
        }
        self.try_commit(env);
        self.changed(Touch::LOG, env);
        Some(self.log.last())
    }

    /// The event is over: what was proposed during it goes to all members.
    pub fn send_proposals(&mut self, env: &mut Env<'_, '_>) {
        if let Some(index) = self.unsent.take() {
            self.sent = env.ctx.now();
            self.send_behind(index, self.peers.without(self.me), false, env);
        }
    }

    /// Sends everything behind this index, in pieces.
    fn send_behind(&self, index: u64, peers: NodeSet, catchup: bool, env: &mut Env<'_, '_>) {
        let mut prev = index;
        while prev < self.log.last() {
            let mut bytes = 0;
            let fits = |entry: &&Arc<Entry>| {
                let room = bytes < env.rules.append_bytes;
                bytes += entry.op.bytes();
                room
            };
            let entries: Entries = self.log.behind(prev).take_while(fits).cloned().collect();
            let prev_term = self.log.term_at(prev).unwrap_or(0);
            let count = entries.len() as u64;
            for peer in peers.iter() {
                self.send(peer, self.append_of(prev_term, prev, entries.clone(), catchup), env);
            }
            prev += count;
        }
    }

    fn append_of(&self, prev_term: u64, prev_index: u64, entries: Entries, catchup: bool) -> RaftMsg {
        RaftMsg::Append { term: self.term, catchup, commit: self.commit, prev_term, prev_index, entries }
    }

    /// Time for a sign of life.
    pub fn on_heartbeat(&mut self, term: u64, env: &mut Env<'_, '_>) {
        if self.role != RaftRole::Leader || self.term != term {
            return;
        }
        if env.ctx.now().since(self.sent) >= env.rules.heartbeat {
            self.beat(env);
        }
        env.ctx.timer(env.rules.heartbeat, Timer::Server(ServerTimer::Heartbeat(self.group, term)));
    }

    pub(super) fn beat(&mut self, env: &mut Env<'_, '_>) {
        if self.unsent.is_some() {
            // The entries that follow at the end of the event say it all.
            return;
        }
        for peer in self.others() {
            let message = self.append_of(self.log.last_term(), self.log.last(), Entries::new(), false);
            self.send(peer, message, env);
        }
    }

    /// Time to see whether a majority is there.
    pub fn on_quorum_check(&mut self, term: u64, env: &mut Env<'_, '_>) {
        if self.role != RaftRole::Leader || self.term != term {
            return;
        }
        let (now, patience) = (env.ctx.now(), env.rules.lost_quorum);
        let there = self.others().filter(|peer| now.since(self.heard[peer.index()]) < patience).count();
        if there as u32 + 1 < self.quorum() {
            self.follow(None, env);
            return;
        }
        env.ctx.timer(env.rules.lost_quorum_check, Timer::Server(ServerTimer::Quorum(self.group, term)));
    }

    /// Steps down in good order: hands over to a member that was heard of lately, if there is one.
    pub fn hand_over(&mut self, env: &mut Env<'_, '_>) {
        if self.role != RaftRole::Leader {
            return;
        }
        let (now, lately) = (env.ctx.now(), env.rules.heartbeat * 3);
        let next = self
            .others()
            .filter(|peer| now.since(self.heard[peer.index()]) < lately)
            .max_by_key(|peer| (self.confirmed[peer.index()], std::cmp::Reverse(*peer)));
        if let Some(next) = next {
            self.send(next, RaftMsg::Transfer { term: self.term }, env);
        }
        self.follow(None, env);
    }

    pub(super) fn answered(
        &mut self,
        from: NodeId,
        (term, index, fit): (u64, u64, Fit),
        env: &mut Env<'_, '_>,
    ) {
        if self.role != RaftRole::Leader {
            return;
        }
        self.heard[from.index()] = env.ctx.now();
        match fit {
            Fit::Stored if term == self.term => {
                let confirmed = &mut self.confirmed[from.index()];
                *confirmed = (*confirmed).max(index);
                if index > self.commit && self.try_commit(env) {
                    self.beat(env);
                }
            }
            Fit::Stored => {}
            Fit::Behind => {
                let lacks = index.min(self.log.last());
                self.send_behind(lacks, NodeSet::EMPTY.with(from), true, env);
            }
            Fit::Refused if term > self.term => self.meet_term(term, None, env),
            Fit::Refused => {}
        }
    }

    pub(super) fn try_commit(&mut self, env: &mut Env<'_, '_>) -> bool {
        if self.commit >= self.log.last() {
            return false;
        }
        let own = match env.rules.sync {
            Sync::Always => self.log.synced(env.ctx.disk()),
            Sync::Every(_) => self.log.last(),
        };
        let index = match env.rules.commit_by {
            CommitBy::LeaderOnly => own,
            CommitBy::Majority => {
                let quorum = self.quorum();
                let confirmed = |peer: NodeId| self.confirmed[peer.index()];
                let has_majority = |index: u64| {
                    let others = self.others().filter(|peer| confirmed(*peer) >= index).count();
                    others as u32 + u32::from(own >= index) >= quorum
                };
                // Mostly no majority has anything new.
                if !has_majority(self.commit + 1) {
                    return false;
                }
                let indices = self.others().map(confirmed).chain([own]);
                indices.filter(|index| has_majority(*index)).max().unwrap_or(0)
            }
        };
        // Nothing of its own term, nothing to count (Raft, 5.4.2).
        if index <= self.commit || self.log.term_at(index) != Some(self.term) {
            return false;
        }
        self.commit = index;
        self.changed(Touch::COMMIT, env);
        true
    }
}
