//! Following a leader: one fetcher for each leader, for all partitions that it leads (rules B1, B5).
//!
//! - One request at a time, the next one as soon as the last is answered.
//! - A diverging epoch cuts the log to where both logs agree; then fetching goes on.
//! - After an error the partition rests for `replica_fetch_backoff`, after a broken connection the whole fetcher.

use super::{
    Timer, Touch, answers,
    broker::{Broker, BrokerTimer, Env, Growth},
    error::ErrorCode,
    links::Lane,
    lull::Lull,
    metadata::TopicId,
    protocol::{FetchPartition, FetchRequest, FetchedPartition, PartitionId, RequestBody, TopicIx},
    replica::{Replica, Role, store},
    rules::Truncate,
};
use crate::kernel::{Mark, NodeId};
use squall_bus::{Isolation, Time};
use std::sync::Arc;

/// A fetcher that is begun has room for so many partitions.
const FIRST_ROOM: usize = 8;

/// What follows one leader.
#[derive(Debug)]
pub(super) struct Fetcher {
    leader: NodeId,
    /// Where to read on, by partition.
    partitions: Arc<Vec<FetchPartition>>,
    /// The ids of their topics, while they are known to be the same.
    topic_ids: Option<Arc<[(TopicIx, TopicId)]>>,
    /// Partitions that rest until then.
    resting: Vec<(Time, PartitionId)>,
    /// When the unanswered request was sent.
    asked: Option<Time>,
    /// It is sent and answered again and again in silence.
    lull: Option<Lull>,
    /// Partitions whose part of the answer under way is not wanted any more.
    stale: Vec<PartitionId>,
    /// No request before this.
    rests_until: Time,
    timeout_armed: bool,
}

impl Fetcher {
    pub(super) fn new(leader: NodeId) -> Self {
        Self {
            leader,
            partitions: Arc::default(),
            topic_ids: None,
            resting: Vec::new(),
            asked: None,
            lull: None,
            stale: Vec::new(),
            rests_until: Time::ZERO,
            timeout_armed: false,
        }
    }

    /// The process begins anew.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.leader);
    }

    fn remove(&mut self, id: PartitionId) {
        // A new partition is mostly behind all that are known.
        if self.resting.is_empty() && self.partitions.last().is_none_or(|last| last.id < id) {
            return;
        }
        self.resting.retain(|(_, resting)| *resting != id);
        if let Ok(place) = self.partitions.binary_search_by_key(&id, |at| at.id) {
            Arc::make_mut(&mut self.partitions).remove(place);
            self.topic_ids = None;
            self.stale.push(id);
        }
    }

    /// Falls silent, if it would ask for exactly these again.
    pub(super) fn fall_silent(&mut self, partitions: &Arc<Vec<FetchPartition>>, lull: Lull) -> bool {
        let same = self.asked.is_some() && Arc::ptr_eq(&self.partitions, partitions);
        let silent = same && self.stale.is_empty() && self.resting.is_empty();
        if silent {
            self.lull = Some(lull);
        }
        silent
    }

    /// What went on in silence goes on by messages.
    pub(super) fn rouse(&mut self, now: Time) {
        self.asked = self.asked_by(now);
        self.lull = None;
    }

    /// When the unanswered request was sent, or would have been.
    fn asked_by(&self, now: Time) -> Option<Time> {
        self.lull.map_or(self.asked, |lull| Some(lull.answered(now)))
    }

    /// Whether there is something to ask, and no request under way.
    fn is_unasked(&self) -> bool {
        self.asked.is_none() && !self.partitions.is_empty()
    }

    fn answered(&mut self) {
        (self.asked, self.lull) = (None, None);
    }

    /// A log begins there now; what is under way says so of where it began before.
    fn begins_at(&mut self, id: PartitionId, start: u64) {
        if let Ok(place) = self.partitions.binary_search_by_key(&id, |at| at.id)
            && self.partitions[place].log_start != start
        {
            Arc::make_mut(&mut self.partitions)[place].log_start = start;
        }
    }

    /// Reads on from here; returns at which place that is. It is looked for at `near` first.
    fn put(&mut self, at: FetchPartition, near: usize) -> usize {
        let found = match (self.partitions.get(near), self.partitions.last()) {
            (Some(known), _) if known.id == at.id => Ok(near),
            (_, Some(last)) if last.id < at.id => Err(self.partitions.len()),
            _ => self.partitions.binary_search_by_key(&at.id, |at| at.id),
        };
        match found {
            Ok(place) if self.partitions[place] == at => {}
            Ok(place) => Arc::make_mut(&mut self.partitions)[place] = at,
            Err(place) => {
                let partitions = Arc::make_mut(&mut self.partitions);
                if partitions.capacity() == 0 {
                    partitions.reserve_exact(FIRST_ROOM);
                }
                partitions.insert(place, at);
                self.topic_ids = None;
            }
        }
        found.unwrap_or_else(|place| place)
    }
}

fn place(replica: &Replica, max_bytes: u32, truncate: Truncate) -> FetchPartition {
    FetchPartition {
        id: replica.id,
        current_leader_epoch: Some(replica.leader_epoch),
        offset: replica.log.end(),
        last_fetched_epoch: match truncate {
            Truncate::ByEpoch => replica.log.last_epoch(),
            Truncate::ByFirstEpoch if !replica.aligned => replica.log.last_epoch(),
            Truncate::ByFirstEpoch | Truncate::ToHighWatermark => None,
        },
        max_bytes,
        log_start: replica.log.start(),
    }
}

impl Broker {
    /// A replica's leader changed: it moves to the new leader's fetcher, or to none.
    pub(super) fn follow_leader(&mut self, id: PartitionId, env: &Env<'_, '_>) {
        for fetcher in &mut self.fetchers {
            fetcher.remove(id);
        }
        let Some(replica) = self.replica(id) else { return };
        if let (Role::Follower, Some(leader)) = (&replica.role, replica.leader) {
            let at = place(replica, env.rules.replica_fetch_max_bytes, env.rules.truncate);
            self.go_on_fetching(leader, at);
        }
    }

    /// Sends what each fetcher has to ask. Mostly each has asked.
    pub(super) fn fetch_from_all(&mut self, env: &mut Env<'_, '_>) {
        if !self.unasked {
            return;
        }
        self.unasked = false;
        let now = env.ctx.now();
        for leader in 0..self.fetchers.len() {
            let fetcher = &self.fetchers[leader];
            if fetcher.is_unasked() && fetcher.rests_until <= now {
                self.fetch_from(NodeId(leader as u32), env);
            } else {
                self.unasked |= fetcher.is_unasked();
            }
        }
    }

    /// This replica is fetched from its leader, from here on.
    fn go_on_fetching(&mut self, leader: NodeId, at: FetchPartition) {
        self.fetchers[leader.index()].put(at, 0);
        self.unasked = true;
    }

    /// Sends the next request to a leader.
    fn fetch_from(&mut self, leader: NodeId, env: &mut Env<'_, '_>) {
        let me = self.me;
        let now = env.ctx.now();
        let fetcher = &self.fetchers[leader.index()];
        if fetcher.topic_ids.is_none() {
            let ids = self.topic_ids(&fetcher.partitions);
            self.fetchers[leader.index()].topic_ids = Some(ids);
        }
        let fetcher = &mut self.fetchers[leader.index()];
        fetcher.asked = Some(now);
        fetcher.stale.clear();
        let request = FetchRequest {
            replica: Some((me, env.epoch)),
            isolation: Isolation::ReadUncommitted,
            max_wait: env.rules.replica_fetch_wait,
            min_bytes: 1,
            max_bytes: 10 << 20,
            partitions: Arc::clone(&fetcher.partitions),
            rack: None,
            topic_ids: fetcher.topic_ids.clone(),
        };
        if !fetcher.timeout_armed {
            fetcher.timeout_armed = true;
            env.ctx
                .timer(env.rules.replica_request_timeout, Timer::Broker(BrokerTimer::FetchTimeout(leader)));
        }
        env.links.ask(leader, Lane::Fetch, RequestBody::Fetch(request), env.ctx);
    }

    /// The ids of the topics that these are partitions of, as its replicas have them.
    fn topic_ids(&self, partitions: &[FetchPartition]) -> Arc<[(TopicIx, TopicId)]> {
        let mut ids: Vec<(TopicIx, TopicId)> = Vec::new();
        for at in partitions {
            if ids.last().is_none_or(|(topic, _)| *topic != at.id.topic)
                && let Some(replica) = self.replica(at.id)
            {
                ids.push((at.id.topic, replica.topic_id));
            }
        }
        ids.into()
    }

    /// The log of a replica lost its beginning: if it follows, its next fetch says so (`LocalLeaderEndPoint.buildFetch` asks
    /// the log).
    pub(super) fn follower_begins(&mut self, id: PartitionId) {
        let Some(replica) = self.replica(id) else { return };
        if let (Role::Follower, Some(leader)) = (&replica.role, replica.leader) {
            let start = replica.log.start();
            self.fetchers[leader.index()].begins_at(id, start);
        }
    }

    /// A replica is gone.
    pub(super) fn stop_following(&mut self, id: PartitionId) {
        for fetcher in &mut self.fetchers {
            fetcher.remove(id);
        }
    }

    /// A leader answered.
    pub(super) fn fetched(&mut self, leader: NodeId, mut said: Vec<FetchedPartition>, env: &mut Env<'_, '_>) {
        self.fetchers[leader.index()].answered();
        self.unasked = true;
        for fetched in &mut said {
            if !self.fetchers[leader.index()].stale.contains(&fetched.id) {
                self.take_in(leader, fetched, env);
            }
        }
        answers::keep(said);
        self.settle(env);
    }

    fn take_in(&mut self, leader: NodeId, fetched: &mut FetchedPartition, env: &mut Env<'_, '_>) {
        let (id, me) = (fetched.id, self.me);
        let Some(replica) = self.replica_mut(id) else { return };
        if replica.leader != Some(leader) || !matches!(replica.role, Role::Follower) {
            return;
        }
        let (end, high_watermark) = (replica.log.end(), replica.high_watermark);
        env.ctx.touch(Touch::Replica(me, id));
        match fetched.error {
            ErrorCode::None => replica.aligned = true,
            ErrorCode::OffsetOutOfRange => {
                // What reaches beyond the leader's log goes; a log that ends before the leader's begins, as a whole.
                if end < fetched.log_start {
                    replica.restart_at(fetched.log_start);
                } else {
                    replica.truncate(fetched.high_watermark, env.rules);
                }
                env.ctx.disk().truncate(replica.file, replica.log.file_len());
            }
            _ => {
                self.rest(leader, id, env);
                return;
            }
        }
        if let Some((epoch, end)) = fetched.diverging {
            let own = match env.rules.truncate {
                Truncate::ByFirstEpoch => replica.log.end(),
                _ => replica.log.epoch_end(epoch).map_or(0, |(_, end)| end),
            };
            replica.truncate(end.min(own), env.rules);
            env.ctx.disk().truncate(replica.file, replica.log.file_len());
        }
        if replica.log.end() < end {
            env.ctx.mark(Mark::FollowerTruncated);
        }
        let mut rolled = false;
        for entry in fetched.entries.drain(..) {
            if entry.base_offset < replica.log.end() {
                break;
            }
            if store(replica.file, &entry, env).is_err() {
                self.storage_failed = true;
                return;
            }
            rolled |= replica.append(entry, env.rules);
        }
        // A new leader may know less of it than this replica once did, but what is deleted was committed.
        replica.high_watermark = fetched.high_watermark.min(replica.log.end()).max(replica.log.start());
        replica.log.raise_start(fetched.log_start.min(replica.high_watermark));
        if rolled {
            self.log_rolled(id, env);
        }
        let Some(replica) = self.replicas.get_mut(id) else { return };
        let at = place(replica, env.rules.replica_fetch_max_bytes, env.rules.truncate);
        replica.fetched_at = self.fetchers[leader.index()].put(at, replica.fetched_at);
        if replica.high_watermark > high_watermark && !replica.watchers.is_empty() {
            // A consumer reads here.
            self.grown.push((id, Growth::HighWatermark));
        }
    }

    /// A partition rests after an error.
    fn rest(&mut self, leader: NodeId, id: PartitionId, env: &mut Env<'_, '_>) {
        let until = env.ctx.now() + env.rules.replica_fetch_backoff;
        let fetcher = &mut self.fetchers[leader.index()];
        fetcher.remove(id);
        fetcher.resting.push((until, id));
        env.ctx.timer(env.rules.replica_fetch_backoff, Timer::Broker(BrokerTimer::Fetch(leader)));
    }

    /// What rested long enough is fetched again.
    pub(super) fn fetch_again(&mut self, leader: NodeId, env: &Env<'_, '_>) {
        let now = env.ctx.now();
        let resting = std::mem::take(&mut self.fetchers[leader.index()].resting);
        for (until, id) in resting {
            if until > now {
                self.fetchers[leader.index()].resting.push((until, id));
            } else if let Some(replica) = self.replica(id) {
                let at = place(replica, env.rules.replica_fetch_max_bytes, env.rules.truncate);
                self.go_on_fetching(leader, at);
            }
        }
    }

    /// The connection to a leader broke.
    pub(super) fn fetch_broke(&mut self, leader: NodeId, env: &mut Env<'_, '_>) {
        let fetcher = &mut self.fetchers[leader.index()];
        fetcher.answered();
        fetcher.rests_until = env.ctx.now() + env.rules.replica_fetch_backoff;
        self.unasked = true;
        env.ctx.timer(env.rules.replica_fetch_backoff, Timer::Broker(BrokerTimer::Fetch(leader)));
    }

    /// Gives a request up that was not answered in time.
    pub(super) fn fetch_timed_out(&mut self, leader: NodeId, env: &mut Env<'_, '_>) {
        let timeout = env.rules.replica_request_timeout;
        let fetcher = &mut self.fetchers[leader.index()];
        fetcher.timeout_armed = false;
        let Some(asked) = fetcher.asked_by(env.ctx.now()) else { return };
        let waited = env.ctx.now().since(asked);
        if waited < timeout {
            fetcher.timeout_armed = true;
            env.ctx.timer(timeout - waited, Timer::Broker(BrokerTimer::FetchTimeout(leader)));
        } else {
            env.links.hang_up(leader, Lane::Fetch, env.ctx);
            self.fetch_broke(leader, env);
        }
    }
}
