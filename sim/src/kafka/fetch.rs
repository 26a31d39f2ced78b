//! Fetch at the leader: consumers read up to the high watermark, followers up to the end (rules B1, B5, B9).
//!
//! - A request that nothing can be said to waits, at most `max_wait`, until there are `min_bytes`. What can be
//!   said: records, an error, a divergence. A follower is told a new high watermark only along with these, or
//!   when its wait is over: its high watermark lags by one fetch.
//! - A follower's fetch offset is its log end: it moves the leader's view, the ISR and the high watermark first.
//! - Where the reader's last epoch ends earlier here than at the reader, the answer says so and nothing else.

use super::{
    broker::{Broker, Busy, Env},
    error::ErrorCode,
    protocol::{FetchPartition, FetchRequest, FetchedPartition, PartitionId, ResponseBody},
    replica::Replica,
};
use crate::kernel::{ConnId, NodeId};
use squall_bus::Time;

/// A Fetch request that waits.
#[derive(Debug)]
pub(super) struct ParkedFetch {
    correlation: u32,
    pub(super) until: Time,
    pub(super) request: FetchRequest,
}

impl Broker {
    pub(super) fn fetch(
        &mut self,
        conn: ConnId,
        correlation: u32,
        request: FetchRequest,
        env: &mut Env<'_, '_>,
    ) {
        // Of which partitions there may be something to say.
        let mut open: Option<Vec<FetchPartition>> = None;
        if let Some((node, epoch)) = request.replica {
            let open = open.insert(Vec::new());
            for at in request.partitions.iter() {
                if !self.is_still_caught_up(node, epoch, at, env) {
                    self.follower_at(node, epoch, at, env);
                    open.push(*at);
                }
            }
        }
        let until = env.ctx.now() + request.max_wait;
        let expired = request.max_wait.is_zero();
        if let Some(known) = self.conns.get_mut(&conn) {
            known.busy = Busy::Fetch(ParkedFetch { correlation, until, request });
            if !self.answer_fetch(conn, open.as_deref(), expired, env) {
                self.watch(conn);
                self.wake_at(until, env);
            }
        }
    }

    /// A follower that has everything, knows so and is in sync has it still: there is nothing else to find out about
    /// the partition, and nothing to tell. Most partitions of most fetches are like that.
    fn is_still_caught_up(
        &mut self,
        node: NodeId,
        epoch: u64,
        at: &FetchPartition,
        env: &Env<'_, '_>,
    ) -> bool {
        let now = env.ctx.now();
        let Some(replica) = self.replica_mut(at.id) else { return false };
        let same_reign = at.current_leader_epoch == Some(replica.leader_epoch);
        let end = replica.log.end();
        if !same_reign
            || at.offset != end
            || replica.high_watermark != end
            || !replica.isr.contains(node)
            || replica.divergence(at).is_some()
            || is_news(replica, node)
        {
            return false;
        }
        replica.follower_fetched(node, epoch, at, now);
        replica.leading().is_some()
    }

    /// A follower has everything before this: what follows for the ISR and the high watermark.
    fn follower_at(&mut self, node: NodeId, epoch: u64, at: &FetchPartition, env: &mut Env<'_, '_>) {
        let Ok(replica) = self.check_leader(at.id, at.current_leader_epoch) else { return };
        if replica.divergence(at).is_some() || at.offset > replica.log.end() {
            return;
        }
        let now = env.ctx.now();
        let Some(replica) = self.replica_mut(at.id) else { return };
        replica.follower_fetched(node, epoch, at, now);
        if let Some(isr) = replica.expanded_isr(node, env.image) {
            self.want_isr(at.id, isr);
        }
        self.raise_high_watermark(at.id, env);
    }

    fn watch(&mut self, conn: ConnId) {
        let Some(Busy::Fetch(parked)) = self.conns.get(&conn).map(|known| &known.busy) else { return };
        let partitions = parked.request.partitions.clone();
        for at in partitions.iter() {
            if let Some(replica) = self.replica_mut(at.id) {
                replica.watch(conn);
            }
        }
    }

    /// A replica grew: answers a waiting Fetch if that is enough to say; whether it did.
    pub(super) fn answer_grown_fetch(
        &mut self,
        conn: ConnId,
        id: PartitionId,
        env: &mut Env<'_, '_>,
    ) -> bool {
        let Some(Busy::Fetch(parked)) = self.conns.get(&conn).map(|known| &known.busy) else { return false };
        let request = &parked.request;
        let follower = request.replica.map(|(node, _)| node);
        // Nothing could be said of the others before.
        let says = |at: &FetchPartition| at.id == id && self.has_more(at, follower);
        request.partitions.iter().any(says) && self.answer_fetch(conn, None, false, env)
    }

    /// Whether there is more to say of a partition than its high watermark.
    fn has_more(&self, at: &FetchPartition, follower: Option<NodeId>) -> bool {
        let Ok(replica) = self.check_leader(at.id, at.current_leader_epoch) else { return true };
        let end = replica.log.end();
        let limit = if follower.is_some() { end } else { replica.high_watermark };
        at.offset < limit
            || !(replica.log.start()..=end).contains(&at.offset)
            || replica.divergence(at).is_some()
    }

    /// Answers a waiting Fetch if there is enough to say, or its time is up; whether it did. `open`: the partitions of
    /// which there may be something to say, if that is known.
    pub(super) fn answer_fetch(
        &mut self,
        conn: ConnId,
        open: Option<&[FetchPartition]>,
        expired: bool,
        env: &mut Env<'_, '_>,
    ) -> bool {
        let Some(Busy::Fetch(parked)) = self.conns.get(&conn).map(|known| &known.busy) else { return false };
        let expired = expired && parked.until <= env.ctx.now();
        let (request, correlation) = (&parked.request, parked.correlation);
        let follower = request.replica.map(|(node, _)| node);
        let mut said = Vec::new();
        let mut bytes = 0_u32;
        let mut urgent = false;
        for at in open.unwrap_or(&request.partitions) {
            let left = request.max_bytes.saturating_sub(bytes);
            if let Some(fetched) = self.read_partition(at, follower, left, bytes == 0, env) {
                let read = fetched.entries.iter().map(|entry| entry.batch.bytes);
                bytes = read.fold(bytes, u32::saturating_add);
                urgent |= fetched.is_urgent();
                said.push(fetched);
            }
        }
        if !expired && !urgent && (bytes == 0 || bytes < request.min_bytes) {
            return false;
        }
        if let Some(node) = follower {
            self.told(node, &said);
        }
        self.answer(conn, correlation, ResponseBody::Fetch(said), env);
        true
    }

    /// A follower hears these high watermarks.
    fn told(&mut self, node: NodeId, said: &[FetchedPartition]) {
        for fetched in said {
            if let Some(leading) = self.replica_mut(fetched.id).and_then(Replica::leading_mut)
                && let Some(follower) = leading.followers.iter_mut().find(|follower| follower.node == node)
            {
                follower.told = fetched.high_watermark;
            }
        }
    }

    /// What there is to say of one partition.
    fn read_partition(
        &self,
        at: &FetchPartition,
        follower: Option<NodeId>,
        max_bytes: u32,
        first: bool,
        env: &Env<'_, '_>,
    ) -> Option<FetchedPartition> {
        let replica = match self.check_leader(at.id, at.current_leader_epoch) {
            Ok(replica) => replica,
            Err(error) => return Some(refused(at.id, error, env)),
        };
        let diverging = replica.divergence(at);
        let (start, end) = (replica.log.start(), replica.log.end());
        let limit = if follower.is_some() { end } else { replica.high_watermark };
        let in_range = (start..=end).contains(&at.offset);
        let news = follower.is_some_and(|node| is_news(replica, node));
        if diverging.is_none() && in_range && at.offset >= limit && !news {
            return None;
        }
        let mut fetched = FetchedPartition {
            id: at.id,
            error: ErrorCode::None,
            high_watermark: replica.high_watermark,
            log_start: start,
            entries: Vec::new(),
            diverging,
            leader: None,
        };
        if diverging.is_some() {
            return Some(fetched);
        }
        if !in_range {
            fetched.error = ErrorCode::OffsetOutOfRange;
            return Some(fetched);
        }
        if at.offset < limit && (first || max_bytes > 0) {
            let entries = replica.log.read(at.offset, limit, at.max_bytes.min(max_bytes));
            fetched.entries = entries.to_vec();
        }
        (news || !fetched.entries.is_empty()).then_some(fetched)
    }
}

/// Whether a follower has not been told the high watermark.
fn is_news(replica: &Replica, node: NodeId) -> bool {
    let followers = replica.leading().map_or(&[][..], |leading| &leading.followers[..]);
    followers.iter().any(|follower| follower.node == node && follower.told != replica.high_watermark)
}

fn refused(id: PartitionId, error: ErrorCode, env: &Env<'_, '_>) -> FetchedPartition {
    let error = match error {
        ErrorCode::NotLeaderOrFollower if env.image.partition(id).is_none() => {
            ErrorCode::UnknownTopicOrPartition
        }
        error => error,
    };
    let hint = matches!(error, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch);
    FetchedPartition {
        id,
        error,
        high_watermark: 0,
        log_start: 0,
        entries: Vec::new(),
        diverging: None,
        leader: if hint { Broker::leader_hint(id, env.image) } else { None },
    }
}
