//! A replica grew: those whose Fetch waits for that are answered.
//!
//! Mostly that is all there is to it: the reader waits at the leader that it knows, and its records have come. That is
//! told in one go, by what the broker has at hand; everything else is looked at as if it were asked anew.

use super::{Occasion, ParkedFetch, Wait, limit, read, told};
use crate::{
    kafka::{
        answers,
        broker::{Broker, Env, Growth},
        conns::Busy,
        deletion::knows_ids,
        protocol::{Entry, FetchPartition, PartitionId, ResponseBody},
        replica::Watcher,
        rules::ReplicaSelector,
    },
    kernel::ConnId,
};

impl Broker {
    /// A replica grew: answers the Fetches that wait for that.
    pub(in crate::kafka) fn answer_watchers(
        &mut self,
        id: PartitionId,
        growth: Growth,
        env: &mut Env<'_, '_>,
    ) {
        let longer = growth == Growth::End || self.grown.contains(&(id, Growth::End));
        let Some(replica) = self.replica_mut(id) else { return };
        if replica.watchers.is_empty() {
            return;
        }
        let mut watchers = std::mem::take(&mut replica.watchers);
        let mut place = 0;
        while let Some(Watcher { conn, follows }) = watchers.get(place).copied() {
            // A follower has what lies below a new high watermark, and hears of that with the next records.
            let stays =
                follows && !longer || self.answer_plainly(conn, id, env) || self.answer_grown(conn, id, env);
            if stays {
                place += 1;
            } else {
                watchers.remove(place);
            }
        }
        if let Some(replica) = self.replica_mut(id) {
            // Who began to watch meanwhile.
            std::mem::replace(&mut replica.watchers, watchers).into_iter().for_each(|new| replica.watch(new));
        }
    }

    /// Answers a Fetch that waits for a replica that grew, if it is plain what to do; whether it was.
    fn answer_plainly(&mut self, conn: ConnId, id: PartitionId, env: &mut Env<'_, '_>) -> bool {
        let Some(known) = self.conns.get(conn) else { return false };
        let Busy::Fetch(ParkedFetch { correlation, wait: Wait::Until(_), request }) = &known.busy else {
            return false;
        };
        if env.rules.replica_selector != ReplicaSelector::Leader || !knows_ids(known, request, env.image) {
            return false;
        }
        let Some(at) = request.partitions.iter().find(|at| at.id == id) else { return false };
        let Some(replica) = self.replicas.get(id).filter(|replica| replica.agrees_with(at)) else {
            return false;
        };
        if at.offset >= limit(replica, request, env.rules) {
            return true;
        }
        let among = match request.replica {
            Some((node, _)) => {
                let untold = &self.untold[node.index()];
                awaited(at, &request.partitions, &self.grown, untold, &mut self.open);
                &self.open[..]
            }
            None => &request.partitions[..],
        };
        let mut said = answers::spare();
        let mut bytes = 0_u32;
        for at in among {
            let Some(replica) = self.replicas.get(at.id).filter(|replica| replica.agrees_with(at)) else {
                answers::keep(said);
                self.open.clear();
                return false;
            };
            let (left, before) = (request.max_bytes.saturating_sub(bytes), said.len());
            read(replica, at, request, left, bytes == 0, env.rules, &mut said);
            if let Some(fetched) = said.get(before) {
                bytes = fetched.entries.iter().map(Entry::bytes).fold(bytes, u32::saturating_add);
            }
        }
        self.open.clear();
        if bytes == 0 || bytes < request.min_bytes {
            answers::keep(said);
            return true;
        }
        if let Some((node, _)) = request.replica {
            told(&mut self.replicas, &mut self.untold[node.index()], node, &said);
        }
        let correlation = *correlation;
        self.answer(conn, correlation, ResponseBody::Fetch(said), env);
        true
    }

    /// A replica grew: answers a Fetch that waits for it, if that is enough to say. Whether the connection goes on
    /// watching the replica.
    fn answer_grown(&mut self, conn: ConnId, id: PartitionId, env: &mut Env<'_, '_>) -> bool {
        let Some(known) = self.conns.get(conn) else { return false };
        let Busy::Fetch(ParkedFetch { request, .. }) = &known.busy else { return true };
        let follower = request.replica.map(|(node, _)| node);
        let Some(at) = request.partitions.iter().find(|at| at.id == id) else { return false };
        if self.has_more(at, request, env) {
            let mut open = std::mem::take(&mut self.open);
            if let Some(node) = follower {
                awaited(at, &request.partitions, &self.grown, &self.untold[node.index()], &mut open);
            }
            let among = follower.map(|_| &open[..]);
            self.answer_fetch(conn, among, Occasion::More, env);
            open.clear();
            self.open = open;
        }
        true
    }
}

/// The partitions of a follower's waiting Fetch of which there is something to say, now that this one grew: those that
/// grew in the same event, and those with a high watermark that it was not told. Nothing could be said of the others
/// before.
fn awaited(
    grown: &FetchPartition,
    partitions: &[FetchPartition],
    also_grown: &[(PartitionId, Growth)],
    untold: &[PartitionId],
    open: &mut Vec<FetchPartition>,
) {
    open.push(*grown);
    let mut add = |id: PartitionId| {
        if id != grown.id {
            open.extend(partitions.iter().find(|at| at.id == id));
        }
    };
    also_grown.iter().for_each(|(id, _)| add(*id));
    untold.iter().for_each(|id| add(*id));
    if open.len() > 1 {
        open.sort_unstable_by_key(|at| at.id);
        open.dedup_by_key(|at| at.id);
    }
}
