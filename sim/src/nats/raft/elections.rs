//! Elections: who stands when, who votes for whom, and terms.

use super::{Env, GroupId, NodeId, NodeSet, Raft, RaftMsg, RaftRole, ServerTimer, Timer, Touch};
use crate::kernel::{Mark, Site, mix};
use std::time::Duration;

const ELECTION: Site = Site::new("nats.raft.election-timeout");
const CAMPAIGN: Site = Site::new("nats.raft.campaign-delay");

impl Raft {
    /// Stands for election after `delay`, whatever was planned.
    pub(super) fn arm(&mut self, delay: Duration, env: &mut Env<'_, '_>) {
        self.deadline = env.ctx.now() + delay;
        // An earlier timer finds out by itself that it is too early.
        if self.timer_at.is_none_or(|at| at > self.deadline) {
            self.timer_at = Some(self.deadline);
            self.turn = self.turn.wrapping_add(1);
            env.ctx.timer(delay, Timer::Server(ServerTimer::Election(self.group, self.turn)));
        }
    }

    /// Drawn by group, member and term, so that no message more or less changes it.
    fn drawn(&self, site: Site, least: Duration, most: Duration, env: &Env<'_, '_>) -> Duration {
        let entity = mix(self.word, u64::from(self.me.0));
        let (least, most) = (least.as_nanos() as u64, most.as_nanos() as u64);
        Duration::from_nanos(env.ctx.between(site, entity, self.term, least, most))
    }

    pub(super) fn arm_election(&mut self, env: &mut Env<'_, '_>) {
        if self.election_timeout.0 != self.term {
            let (least, most) = (env.rules.election_timeout_min, env.rules.election_timeout_max);
            self.election_timeout = (self.term, self.drawn(ELECTION, least, most, env));
        }
        self.arm(self.election_timeout.1, env);
    }

    fn arm_campaign(&mut self, env: &mut Env<'_, '_>) {
        let (least, most) = (env.rules.campaign_delay_min, env.rules.campaign_delay_max);
        let delay = self.drawn(CAMPAIGN, least, most, env);
        self.arm(delay, env);
    }

    /// The election timer fired.
    pub fn on_election(&mut self, turn: u32, env: &mut Env<'_, '_>) {
        if turn != self.turn {
            return;
        }
        self.timer_at = None;
        if self.role == RaftRole::Leader || self.failed {
            return;
        }
        let now = env.ctx.now();
        if now < self.deadline {
            self.arm(self.deadline.since(now), env);
            return;
        }
        if self.catchup.is_some() {
            if self.is_catchup_stalled(env.ctx.now()) {
                self.catchup = None;
            }
            self.arm_election(env);
            return;
        }
        self.stand(env);
    }

    pub(super) fn stand(&mut self, env: &mut Env<'_, '_>) {
        self.term += 1;
        self.vote = Some(self.me);
        self.role = RaftRole::Candidate;
        self.leader = None;
        (self.votes, self.empty_votes) = (NodeSet::EMPTY.with(self.me), NodeSet::EMPTY);
        if self.peers.len() == 1 {
            self.lead(env);
            return;
        }
        self.arm_election(env);
        let (last_term, last_index) = (self.log.last_term(), self.log.last());
        for peer in self.others() {
            self.send(peer, RaftMsg::RequestVote { term: self.term, last_term, last_index }, env);
        }
        self.changed(Touch::TERM, env);
    }

    pub(super) fn asked_for_vote(
        &mut self,
        from: NodeId,
        (term, last_term, last_index): (u64, u64, u64),
        env: &mut Env<'_, '_>,
    ) {
        let empty = self.log.last() == 0 && !self.initializing;
        let mut granted = false;
        if term >= self.term {
            if term > self.term {
                self.meet_term(term, None, env);
                self.catchup = None;
            }
            let free = self.vote.is_none_or(|vote| vote == from) || !env.rules.vote_once;
            let good = (last_term, last_index) >= (self.log.last_term(), self.log.last())
                || !env.rules.vote_checks_log;
            if free && good {
                self.vote = Some(from);
                granted = true;
                self.arm_election(env);
            } else if self.vote.is_none() && self.role != RaftRole::Candidate {
                self.arm_campaign(env);
            }
        }
        self.send(from, RaftMsg::Vote { term: self.term, granted, empty }, env);
        self.changed(Touch::TERM, env);
    }

    pub(super) fn voted(
        &mut self,
        from: NodeId,
        (term, granted, empty): (u64, bool, bool),
        env: &mut Env<'_, '_>,
    ) {
        if term > self.term {
            self.meet_term(term, None, env);
            return;
        }
        if self.role != RaftRole::Candidate || !granted || term != self.term {
            return;
        }
        self.heard[from.index()] = env.ctx.now();
        if empty && env.rules.empty_votes_need_all {
            self.empty_votes = self.empty_votes.with(from);
        } else {
            self.votes = self.votes.with(from);
        }
        let all = self.votes.or(self.empty_votes) == self.peers;
        if self.votes.len() >= self.quorum() || all {
            self.lead(env);
        }
    }

    /// A later term: whatever it was, it follows now.
    pub(super) fn meet_term(&mut self, term: u64, leader: Option<NodeId>, env: &mut Env<'_, '_>) {
        self.term = term;
        self.vote = None;
        self.follow(leader, env);
    }

    pub(super) fn follow(&mut self, leader: Option<NodeId>, env: &mut Env<'_, '_>) {
        self.mark_lost(env);
        self.unsent = None;
        self.role = RaftRole::Follower;
        self.leader = leader;
        self.taking_over = false;
        self.arm_election(env);
        self.changed(Touch::TERM, env);
    }

    /// A stream's leader that is one no more, with messages that nobody was told of.
    pub(super) fn mark_lost(&self, env: &mut Env<'_, '_>) {
        if self.role == RaftRole::Leader && self.in_flight() > 0 && matches!(self.group, GroupId::Stream(_)) {
            env.ctx.mark(Mark::LeaderLostUnacked);
        }
    }
}
