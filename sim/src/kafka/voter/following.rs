//! What a follower or observer of the metadata quorum does: fetch without pause, and look for the leader.

use super::{QuorumTimer, Role, Voter};
use crate::{
    kafka::{
        Kafka, Timer,
        links::{Lane, Links},
        lull::{Asked, Lull},
        protocol::RequestBody,
        quorum::{MetadataBatch, QuorumRequest},
        rules::Rules,
    },
    kernel::{Ctx, NodeId},
};
use squall_bus::Time;
use std::time::Duration;

impl Voter {
    pub(super) fn fetch(&mut self, rules: &Rules, links: &mut Links, ctx: &mut Ctx<'_, Kafka>) {
        let Role::Follower { leader } = self.role else { return };
        let to = leader.unwrap_or_else(|| self.guess());
        if to == self.me {
            return;
        }
        let request = QuorumRequest::Fetch {
            epoch: self.epoch,
            end: self.end(),
            last_epoch: self.last_epoch(),
            committed: self.committed,
        };
        let correlation = links.ask(to, Lane::Quorum, RequestBody::Quorum(request), ctx);
        self.fetching = Some((to, correlation));
        self.leave_lull();
        if leader.is_none() || !self.is_voter() {
            self.arm_retry(rules.quorum_request_timeout, ctx);
        }
    }

    /// Turns away from a leader with whom it was silent: that one must not count on it any more.
    pub(super) fn leave_lull(&mut self) {
        self.roused |= self.lull.take().is_some();
    }

    /// When the leader was last heard of, in silence too.
    pub(super) fn heard_by(&self, now: Time) -> Time {
        let silent = self.lull.filter(|_| self.fetching.is_some());
        silent.map_or(self.heard, |lull| self.heard.max(lull.answered(now)))
    }

    /// Falls silent with its leader, if it would ask for exactly the same again.
    pub(in crate::kafka) fn fall_silent(&mut self, leader: NodeId, asked: &Asked, lull: Lull) -> bool {
        let Asked::Quorum { correlation, epoch, end, committed } = *asked else { return false };
        let follows = matches!(self.role, Role::Follower { leader: Some(known) } if known == leader);
        let silent = follows
            && self.fetching == Some((leader, correlation))
            && (self.epoch, self.end(), self.committed) == (epoch, end, committed);
        if silent {
            self.lull = Some(lull);
        }
        silent
    }

    pub(super) fn arm_retry(&mut self, after: Duration, ctx: &mut Ctx<'_, Kafka>) {
        if !self.retry_armed {
            self.retry_armed = true;
            ctx.timer(after, Timer::Quorum(QuorumTimer::Retry));
        }
    }

    /// The next voter to ask who leads.
    pub(super) fn guess(&mut self) -> NodeId {
        loop {
            self.next_guess = (self.next_guess + 1) % self.servers;
            let guess = NodeId(self.next_guess);
            if self.voters.contains(guess) && (guess != self.me || self.voters.len() == 1) {
                return guess;
            }
        }
    }

    pub(super) fn accept(
        &mut self,
        from: NodeId,
        batches: Vec<MetadataBatch>,
        committed: u64,
        diverging: Option<(u32, u64)>,
        ctx: &Ctx<'_, Kafka>,
    ) {
        if self.leader() != Some(from) {
            return;
        }
        self.heard = ctx.now();
        self.has_fetched = true;
        if let Some((epoch, end)) = diverging {
            let own = self.log.partition_point(|batch| batch.epoch <= epoch) as u64;
            self.log.truncate(end.min(own) as usize);
        } else {
            self.log.extend(batches);
            self.committed = self.committed.max(committed.min(self.end()));
        }
    }
}
