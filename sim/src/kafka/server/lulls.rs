//! A server's part in lulls: what its broker and its voter propose, agree to and end.

use super::{
    super::{
        Kafka, Shared,
        links::{Lane, ReplyTo},
        lull::{Asked, Proposal},
    },
    Server,
};
use crate::kernel::{Ctx, NodeId};

impl Server {
    /// Whether this event proposed a lull, or ends all of them.
    pub(in crate::kafka) fn has_lulls_to_settle(&self) -> bool {
        self.roused
            || self.voter.roused
            || !self.voter.lulls.is_empty()
            || self.data().is_some_and(|broker| broker.roused || !broker.lulls.is_empty())
    }

    /// The next lull that this event proposed.
    pub(in crate::kafka) fn next_lull(&mut self) -> Option<Proposal> {
        let broker = self.broker.as_mut();
        broker.and_then(|broker| broker.data.lulls.pop()).or_else(|| self.voter.lulls.pop())
    }

    /// Whether this event ends all lulls.
    pub(in crate::kafka) fn take_roused(&mut self) -> bool {
        let data = self.broker.as_mut().is_some_and(|broker| std::mem::take(&mut broker.data.roused));
        data | std::mem::take(&mut self.voter.roused) | std::mem::take(&mut self.roused)
    }

    /// Falls silent with a leader that proposes it, if this node would ask for exactly the same again.
    pub(in crate::kafka) fn fall_silent(&mut self, leader: NodeId, proposal: &Proposal) -> bool {
        let Proposal { conn, lull, asked } = proposal;
        match (asked, &mut self.broker) {
            (Asked::Fetch { partitions, epoch }, Some(broker)) => {
                self.links.is(leader, Lane::Fetch, *conn)
                    && broker.life.epoch == *epoch
                    && broker.data.fetchers[leader.index()].fall_silent(partitions, *lull)
            }
            (Asked::Fetch { .. }, None) => false,
            (Asked::Quorum { .. }, _) => {
                self.links.is(leader, Lane::Quorum, *conn) && self.voter.fall_silent(leader, asked, *lull)
            }
        }
    }

    /// Nothing came of a lull: the answer leaves, though it says nothing.
    pub(in crate::kafka) fn answer_after_all(
        &mut self,
        proposal: &Proposal,
        ctx: &mut Ctx<'_, Kafka>,
        shared: &Shared,
    ) {
        match &proposal.asked {
            Asked::Fetch { .. } => {
                self.with_broker(ctx, shared, |broker, env| broker.answer_after_all(proposal.conn, env));
            }
            Asked::Quorum { correlation, .. } => {
                let to = ReplyTo::Conn(proposal.conn, *correlation);
                self.voter.answer_after_all(to, &mut self.links, ctx);
            }
        }
    }

    /// Ends this node's part in every lull.
    pub(in crate::kafka) fn rouse(&mut self, ctx: &mut Ctx<'_, Kafka>) {
        self.voter.rouse(ctx);
        if let Some(broker) = &mut self.broker {
            broker.data.rouse(ctx);
        }
    }
}
