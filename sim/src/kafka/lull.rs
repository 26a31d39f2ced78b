//! Lulls: long polls that would go on and on with nothing to say.
//!
//! A Fetch of a follower that finds nothing waits at the leader, is answered with nothing when its time is up, and comes
//! back the same; so does one of the metadata quorum. In a cluster at rest hardly anything else happens. So when such a
//! wait is over they may fall silent: both keep since when, and whoever wants to know when the other was heard of last
//! counts the rounds that there would have been.
//!
//! - A lull begins only in peace: both processes run and are idle, their clocks run as true time does, nothing is wrong
//!   with the connection or its link, and the follower would ask for exactly the same again.
//! - It ends for one follower when there is something to say to it. If that falls between the answer and the request
//!   of a round, the request arrives when it would have arrived.
//! - It ends for all when anything else happens that a round could tell of: a fault is about to strike, metadata is
//!   taken in, a log loses its beginning, a broker registers, a node turns away from the leader of the quorum, a
//!   process ends. Whoever changes what a waiting follower is to be told, and no log grows by it, says so
//!   (`Broker::roused`): no round comes by that would tell it.
//! - A round takes as long as the leader waits, and two messages of mean latency.

use super::{Kafka, protocol::FetchPartition};
use crate::kernel::{ConnId, Ctx, NodeId};
use squall_bus::Time;
use std::{sync::Arc, time::Duration};

/// A long poll that goes on in silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lull {
    /// When the first answer that nobody sent would have left.
    since: Time,
    /// How long a message travels.
    flight: Duration,
    /// How long the leader waits.
    wait: Duration,
}

impl Lull {
    /// The leader has waited for so long with nothing to say.
    pub(super) fn begin(wait: Duration, ctx: &Ctx<'_, Kafka>) -> Self {
        Self { since: ctx.now(), flight: ctx.flight(), wait }
    }

    fn round(self) -> u64 {
        (self.wait + 2 * self.flight).as_nanos() as u64
    }

    /// The last time, up to now, that was so much later than an answer left.
    fn last(self, later: Duration, now: Time) -> Time {
        let (first, round) = ((self.since + later).0, self.round());
        match now.0.checked_sub(first) {
            Some(passed) => Time(first + passed / round * round),
            None => Time(first.saturating_sub(round)),
        }
    }

    /// When the follower last heard the leader, and asked again.
    pub(super) fn answered(self, now: Time) -> Time {
        self.last(self.flight, now)
    }

    /// When the leader last heard the follower.
    pub(super) fn fetched(self, now: Time) -> Time {
        self.last(2 * self.flight, now)
    }

    /// When the request of the present round arrives: it may be on its way.
    pub(super) fn arrives(self, now: Time) -> Time {
        self.last(Duration::ZERO, now) + 2 * self.flight
    }
}

/// A leader has nothing to say to who asked this.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    /// A follower, where it reads and the broker epoch it asked with.
    Fetch { partitions: Arc<Vec<FetchPartition>>, epoch: u64 },
    /// A node that follows the metadata quorum, and how far both are.
    Quorum { correlation: u32, epoch: u32, end: u64, committed: u64 },
}

/// A leader proposes a lull to who asked over this connection.
#[derive(Clone, Debug)]
pub(super) struct Proposal {
    pub(super) conn: ConnId,
    pub(super) lull: Lull,
    pub(super) asked: Asked,
}

impl Kafka {
    /// After an event of this server: the lulls that it proposes begin, or all end.
    pub(super) fn settle_lulls(&mut self, node: NodeId, ctx: &mut Ctx<'_, Self>) {
        while let Some(proposal) = self.servers[node.index()].next_lull() {
            let follower = ctx.peer(proposal.conn);
            #[cfg(test)]
            if self.wakeful {
                self.servers[node.index()].answer_after_all(&proposal, ctx, &self.shared);
                continue;
            }
            let agreed = ctx.is_at_peace(proposal.conn)
                && self.servers.get_mut(follower.index()).is_some_and(|it| it.fall_silent(node, &proposal));
            if !agreed {
                self.servers[node.index()].answer_after_all(&proposal, ctx, &self.shared);
            }
        }
        if self.servers[node.index()].take_roused() {
            self.rouse(ctx);
        }
    }

    /// Ends every lull: what goes on in silence goes on by messages again.
    pub(super) fn rouse(&mut self, ctx: &mut Ctx<'_, Self>) {
        for server in &mut self.servers {
            server.rouse(&mut ctx.on_behalf_of(server.me));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounds of half a second that begin at 10 s: answers leave then, arrive 1 ms later, and the next requests another
    /// millisecond later.
    #[test]
    fn what_nobody_sent_would_have_come_in_rounds() {
        let (since, flight) = (Time::from_millis(10_000), Duration::from_millis(1));
        let lull = Lull { since, flight, wait: Duration::from_millis(498) };
        let at = Time::from_millis;
        for (now, answered, fetched, arrives) in [
            (10_000, 9_501, 9_502, 10_002),
            (10_001, 10_001, 9_502, 10_002),
            (10_002, 10_001, 10_002, 10_002),
            (10_499, 10_001, 10_002, 10_002),
            (10_500, 10_001, 10_002, 10_502),
            (20_002, 20_001, 20_002, 20_002),
        ] {
            let said = [lull.answered(at(now)), lull.fetched(at(now)), lull.arrives(at(now))];
            assert_eq!(said, [at(answered), at(fetched), at(arrives)], "at {now} ms");
        }
    }
}
