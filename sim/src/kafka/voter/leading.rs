//! What a leader of the metadata quorum does: commits, answers fetches, and resigns when a majority is gone.

use super::{Parked, QuorumTimer, Role, Voter};
use crate::{
    kafka::{Kafka, Timer, links::Links, protocol::ResponseBody, quorum::QuorumResponse, rules::Rules},
    kernel::Ctx,
};
use squall_bus::Time;

impl Voter {
    /// Commits what a majority has; the leader's.
    pub(super) fn advance_commit(&mut self) {
        let end = self.end();
        let Role::Leader(leading) = &self.role else { return };
        if self.committed == end {
            return;
        }
        let mut ends: Vec<u64> = self
            .voters
            .iter()
            .map(|voter| if voter == self.me { end } else { leading.ends[voter.index()] })
            .collect();
        ends.sort_unstable_by(|a, b| b.cmp(a));
        let reached = ends[self.voters.len() as usize / 2];
        if reached > self.committed && self.log[reached as usize - 1].epoch == self.epoch {
            self.committed = reached;
        }
    }

    pub(super) fn answer_parked(&mut self, links: &mut Links, ctx: &mut Ctx<'_, Kafka>) {
        let (now, end, committed) = (ctx.now(), self.end(), self.committed);
        let Role::Leader(leading) = &mut self.role else { return };
        let ready = |parked: &Parked| parked.end < end || parked.committed < committed || parked.until <= now;
        let ready: Vec<Parked> = leading.parked.extract_if(.., |parked| ready(parked)).collect();
        for parked in ready {
            let batches = self.log[parked.end.min(end) as usize..].to_vec();
            let answer = QuorumResponse::Fetch { epoch: self.epoch, batches, committed, diverging: None };
            links.reply(parked.to, ResponseBody::Quorum(answer), ctx);
        }
    }

    pub(super) fn refuse_parked(&mut self, links: &mut Links, ctx: &mut Ctx<'_, Kafka>) {
        let answer = QuorumResponse::Epoch { epoch: self.epoch, leader: None };
        if let Role::Leader(leading) = &mut self.role {
            for parked in std::mem::take(&mut leading.parked) {
                links.reply(parked.to, ResponseBody::Quorum(answer.clone()), ctx);
            }
        }
    }

    fn divergence(&self, end: u64, last_epoch: u32) -> Option<(u32, u64)> {
        let same = end == 0 || (end <= self.end() && self.log[end as usize - 1].epoch == last_epoch);
        if same {
            return None;
        }
        let upto = self.log.partition_point(|batch| batch.epoch <= last_epoch);
        let epoch = self.log[..upto].last().map_or(0, |batch| batch.epoch);
        Some((epoch, upto as u64))
    }

    pub(super) fn fetched(
        &mut self,
        parked: Parked,
        last_epoch: u32,
        rules: &Rules,
        links: &mut Links,
        ctx: &mut Ctx<'_, Kafka>,
    ) {
        if let Some(diverging) = self.divergence(parked.end, last_epoch) {
            let answer = QuorumResponse::Fetch {
                epoch: self.epoch,
                batches: Vec::new(),
                committed: self.committed,
                diverging: Some(diverging),
            };
            links.reply(parked.to, ResponseBody::Quorum(answer), ctx);
            return;
        }
        let Role::Leader(leading) = &mut self.role else { return };
        leading.ends[parked.node.index()] = parked.end;
        leading.fetched[parked.node.index()] = ctx.now();
        leading.parked.retain(|other| other.node != parked.node);
        leading.parked.push(parked);
        self.advance_commit();
        self.answer_parked(links, ctx);
        self.arm_parked(rules, ctx);
    }

    pub(super) fn arm_parked(&mut self, rules: &Rules, ctx: &mut Ctx<'_, Kafka>) {
        let Role::Leader(leading) = &self.role else { return };
        let Some(first) = leading.parked.iter().map(|parked| parked.until).min() else { return };
        if self.parked_armed.is_none_or(|at| at > first) {
            self.parked_armed = Some(first);
            let wait = first.since(ctx.now()).min(rules.quorum_fetch_wait);
            ctx.timer(wait, Timer::Quorum(QuorumTimer::Parked));
        }
    }

    pub(super) fn check_majority(&mut self, rules: &Rules, links: &mut Links, ctx: &mut Ctx<'_, Kafka>) {
        self.majority_armed = false;
        let Role::Leader(leading) = &self.role else { return };
        let patience = rules.quorum_fetch_timeout * 3 / 2;
        let mut fetched: Vec<Time> = self
            .voters
            .iter()
            .map(|voter| if voter == self.me { Time::MAX } else { leading.fetched[voter.index()] })
            .collect();
        fetched.sort_unstable_by(|a, b| b.cmp(a));
        let deadline = fetched[self.voters.len() as usize / 2] + patience;
        if deadline <= ctx.now() {
            self.follow(self.epoch, None, rules, links, ctx);
        } else {
            self.majority_armed = true;
            ctx.timer(deadline.since(ctx.now()), Timer::Quorum(QuorumTimer::Majority));
        }
    }
}
