//! How a leader of the metadata quorum is elected: pre-vote, vote, and the majority that decides (KIP-595, KIP-996).

use super::{QuorumTimer, Role, Voter};
use crate::{
    kafka::{
        Kafka, Timer,
        links::{Lane, Links},
        metadata::MetadataRecord,
        protocol::RequestBody,
        quorum::QuorumRequest,
        rules::Rules,
    },
    kernel::{Ctx, NodeId, Site},
    nodes::NodeSet,
};
use std::time::Duration;

const ELECTION: Site = Site::new("kafka.quorum.election-timeout");

impl Voter {
    pub(super) fn draw_election(&mut self, rules: &Rules, ctx: &Ctx<'_, Kafka>) {
        let base = rules.quorum_election_timeout.as_nanos() as u64;
        let backoff = rules.quorum_election_backoff.as_nanos() as u64;
        self.draws += 1;
        let after = ctx.between(ELECTION, u64::from(self.me.0), self.draws, base, base + backoff);
        self.election_after = Duration::from_nanos(after);
        self.heard = ctx.now();
    }

    pub(super) fn arm_election(&mut self, ctx: &mut Ctx<'_, Kafka>) {
        if self.is_voter() && !self.election_armed {
            self.election_armed = true;
            let left = (self.heard_by(ctx.now()) + self.election_after).since(ctx.now());
            ctx.timer(left, Timer::Quorum(QuorumTimer::Election));
        }
    }

    pub(super) fn stand(&mut self, pre: bool, rules: &Rules, links: &mut Links, ctx: &mut Ctx<'_, Kafka>) {
        let votes = NodeSet::EMPTY.with(self.me);
        self.fetching = None;
        self.leave_lull();
        if pre {
            self.role = Role::Prospective { votes, rejected: NodeSet::EMPTY, silent: self.leader() };
        } else {
            self.epoch += 1;
            self.voted = Some(self.me);
            self.role = Role::Candidate { votes };
        }
        self.draw_election(rules, ctx);
        self.arm_election(ctx);
        let request =
            QuorumRequest::Vote { pre, epoch: self.epoch, last_epoch: self.last_epoch(), end: self.end() };
        for voter in self.voters.without(self.me).iter() {
            links.ask(voter, Lane::Quorum, RequestBody::Quorum(request.clone()), ctx);
        }
        self.count(rules, links, ctx);
    }

    pub(super) fn count(&mut self, rules: &Rules, links: &mut Links, ctx: &mut Ctx<'_, Kafka>) {
        let majority = self.voters.len() / 2 + 1;
        match self.role {
            Role::Prospective { votes, .. } if votes.len() >= majority => {
                self.stand(false, rules, links, ctx);
            }
            Role::Candidate { votes } if votes.len() >= majority => {
                let begin = self.append(vec![MetadataRecord::LeaderChange(self.me)]);
                self.lead(begin, rules, ctx);
                for voter in self.voters.without(self.me).iter() {
                    let request = QuorumRequest::BeginEpoch { epoch: self.epoch };
                    links.ask(voter, Lane::Quorum, RequestBody::Quorum(request), ctx);
                }
                self.advance_commit();
            }
            _ => {}
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a vote depends on all of the request")]
    pub(super) fn vote(
        &mut self,
        from: NodeId,
        pre: bool,
        epoch: u32,
        log: (u32, u64),
        rules: &Rules,
        links: &mut Links,
        ctx: &mut Ctx<'_, Kafka>,
    ) -> bool {
        if epoch < self.epoch || !self.is_voter() {
            return false;
        }
        if epoch > self.epoch && !pre {
            self.follow(epoch, None, rules, links, ctx);
        }
        let complete = log >= (self.last_epoch(), self.end());
        let free = pre || self.voted.is_none_or(|voted| voted == from);
        // Who has not heard the leader that it follows takes it for gone too (KIP-996, `FollowerState`).
        let doubts = pre && !self.has_fetched && matches!(self.role, Role::Follower { .. });
        let granted = complete && free && (self.leader().is_none() || doubts);
        if granted && !pre {
            self.voted = Some(from);
            self.heard = ctx.now();
        }
        granted
    }
}
