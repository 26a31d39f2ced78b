//! What a leader of the metadata quorum does: commits, answers fetches, and resigns when a majority is gone.

use super::{Parked, QuorumTimer, Role, Voter};
use crate::{
    kafka::{
        Kafka, Timer,
        links::{Links, ReplyTo},
        lull::{Asked, Lull, Proposal},
        protocol::ResponseBody,
        quorum::QuorumResponse,
        rules::Rules,
    },
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

    /// How far a leader says that the log is committed. What it knew as a follower may be less than what was; so it says
    /// nothing before the beginning of its own epoch is committed, and a process that comes up takes in no half of it.
    fn told(&self) -> u64 {
        if self.is_active() { self.committed } else { 0 }
    }

    pub(super) fn answer_parked(&mut self, links: &mut Links, ctx: &mut Ctx<'_, Kafka>) {
        let (now, end, committed) = (ctx.now(), self.end(), self.told());
        let Role::Leader(leading) = &mut self.role else { return };
        let news = |parked: &Parked| parked.end < end || parked.committed < committed;
        for parked in leading.parked.iter_mut().filter(|parked| news(parked)) {
            if let Some(fetched) = parked.wake(now) {
                leading.fetched[parked.node.index()] = fetched;
            }
        }
        let is_ready = |parked: &Parked| {
            parked.lull.is_none() && ((news(parked) && parked.from <= now) || parked.until <= now)
        };
        let ready: Vec<Parked> = leading.parked.extract_if(.., |parked| is_ready(parked)).collect();
        for parked in ready {
            match parked.to {
                ReplyTo::Conn(conn, correlation) if !news(&parked) => {
                    let lull = Lull::begin(parked.until.since(parked.from), ctx);
                    let asked = Asked::Quorum { correlation, epoch: self.epoch, end, committed };
                    self.lulls.push(Proposal { conn, lull, asked });
                    if let Role::Leader(leading) = &mut self.role {
                        leading.parked.push(Parked { lull: Some(lull), ..parked });
                    }
                }
                to => self.answer_fetch(to, parked.end, links, ctx),
            }
        }
        self.arm_parked(ctx);
    }

    /// Answers a fetch that has so much of the log.
    fn answer_fetch(&self, to: ReplyTo, has: u64, links: &mut Links, ctx: &mut Ctx<'_, Kafka>) {
        let batches = self.log[has.min(self.end()) as usize..].to_vec();
        let answer =
            QuorumResponse::Fetch { epoch: self.epoch, batches, committed: self.told(), diverging: None };
        links.reply(to, ResponseBody::Quorum(answer), ctx);
    }

    /// Nothing came of a lull: the answer leaves, though it says nothing.
    pub(in crate::kafka) fn answer_after_all(
        &mut self,
        to: ReplyTo,
        links: &mut Links,
        ctx: &mut Ctx<'_, Kafka>,
    ) {
        let Role::Leader(leading) = &mut self.role else { return };
        let Some(place) = leading.parked.iter().position(|parked| parked.to == to) else { return };
        let parked = leading.parked.swap_remove(place);
        self.answer_fetch(to, parked.end, links, ctx);
    }

    /// Ends every lull, as leader or as follower.
    pub(in crate::kafka) fn rouse(&mut self, ctx: &mut Ctx<'_, Kafka>) {
        let now = ctx.now();
        self.heard = self.heard_by(now);
        self.lull = None;
        let Role::Leader(leading) = &mut self.role else { return };
        for parked in &mut leading.parked {
            if let Some(fetched) = parked.wake(now) {
                leading.fetched[parked.node.index()] = fetched;
            }
        }
        self.arm_parked(ctx);
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
        links: &mut Links,
        ctx: &mut Ctx<'_, Kafka>,
    ) {
        if let Some(diverging) = self.divergence(parked.end, last_epoch) {
            let answer = QuorumResponse::Fetch {
                epoch: self.epoch,
                batches: Vec::new(),
                committed: self.told(),
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
    }

    pub(super) fn arm_parked(&mut self, ctx: &mut Ctx<'_, Kafka>) {
        let now = ctx.now();
        let Role::Leader(leading) = &self.role else { return };
        let Some(first) = leading.parked.iter().filter_map(|parked| parked.due(now)).min() else { return };
        if self.parked_armed.is_none_or(|at| at > first) {
            self.parked_armed = Some(first);
            ctx.timer(first.since(now), Timer::Quorum(QuorumTimer::Parked));
        }
    }

    pub(super) fn check_majority(&mut self, rules: &Rules, links: &mut Links, ctx: &mut Ctx<'_, Kafka>) {
        self.majority_armed = false;
        let Role::Leader(leading) = &self.role else { return };
        let patience = rules.quorum_fetch_timeout * 3 / 2;
        let mut fetched: Vec<Time> = self
            .voters
            .iter()
            .map(|voter| if voter == self.me { Time::MAX } else { leading.heard_of(voter, ctx.now()) })
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
