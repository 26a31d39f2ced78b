//! A broker's data plane: its replicas, its clients' connections, and what waits in between.
//!
//! - The requests of one connection are handled one after the other: the next is read when the last is answered.
//! - Replicas follow the broker's own metadata image, which lags behind the controller (rule A5): until it has
//!   heard, a leader that was deposed goes on as before (rule A1).
//! - What an event changed is settled at its end: grown replicas answer waiting fetches, ISR proposals leave.
//!
//! Produce is in [`produce`](super::produce), Fetch in [`fetch`](super::fetch), what a broker answers at once in
//! [`lookups`](super::lookups), following a leader in [`fetcher`](super::fetcher), the ISR in [`isr`](super::isr).

use super::{
    Kafka, Names, Timer, Touch,
    by_partition::ByPartition,
    conns::{Busy, Conn, Conns},
    coordinator::Coordinator,
    error::ErrorCode,
    fetch::Occasion,
    fetcher::Fetcher,
    isr::IsrChanges,
    links::{Links, ReplyTo},
    lookups::metadata,
    lull::Proposal,
    metadata::{Image, TopicId, TopicImage},
    protocol::{
        FetchPartition, ListOffsetsPartition, Msg, PartitionId, Request, RequestBody, Response, ResponseBody,
        TopicIx,
    },
    replica::{Leading, Replica, Role, Waiter},
    rules::{Rules, Truncate},
    txn::coordinator::TxnCoordinator,
    voter::Voter,
};
use crate::kernel::{ConnId, Ctx, Digest, FileId, Mark, NodeId};
use smallvec::SmallVec;
use squall_bus::Time;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// A timer of a broker's data plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerTimer {
    /// Answer what waited long enough.
    Purgatory,
    /// Take replicas that lag out of the ISR.
    Lag,
    /// Write the high watermarks to disk.
    Checkpoint,
    /// Fetch again from this leader.
    Fetch(NodeId),
    /// Give a fetch up that this leader did not answer.
    FetchTimeout(NodeId),
    /// Propose in-sync replicas again.
    Isr,
    /// Something of the groups is due.
    Groups,
    /// Delete old segments.
    Retention,
    /// Forget producers that have been idle for long.
    Producers,
    /// The log cleaner has rested.
    Cleaner,
    /// Something of the transactions is due.
    Transactions,
}

impl Digest for BrokerTimer {
    fn digest(&self) -> u64 {
        match self {
            Self::Purgatory => 1,
            Self::Lag => 2,
            Self::Checkpoint => 3,
            Self::Fetch(node) => u64::from(node.0) << 8 | 4,
            Self::FetchTimeout(node) => u64::from(node.0) << 8 | 5,
            Self::Isr => 6,
            Self::Groups => 7,
            Self::Retention => 8,
            Self::Producers => 9,
            Self::Cleaner => 10,
            Self::Transactions => 11,
        }
    }
}

/// By what a replica grew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    /// Its log is longer, or it does not lead any more: whoever reads it is to look.
    End,
    /// Its high watermark alone, up to which consumers read.
    HighWatermark,
}

/// What a broker needs to handle an event.
pub(super) struct Env<'a, 'k> {
    pub(super) rules: &'a Rules,
    pub(super) names: &'a Names,
    /// The broker's own view of the cluster.
    pub(super) image: &'a Image,
    /// Its broker epoch.
    pub(super) epoch: u64,
    /// The node's part in the quorum, which knows the active controller.
    pub(super) voter: &'a Voter,
    pub(super) links: &'a mut Links,
    pub(super) ctx: &'a mut Ctx<'k, Kafka>,
}

/// Partitions with a high watermark that a follower was not told: seldom many at a time.
pub(super) type Untold = SmallVec<[PartitionId; 8]>;

/// A broker's data plane. Replicas' logs and checkpoints survive the process.
#[derive(Debug)]
pub(super) struct Broker {
    pub(super) me: NodeId,
    pub(super) replicas: ByPartition<Box<Replica>>,
    next_file: u32,
    pub(super) conns: Conns,
    pub(super) fetchers: Vec<Fetcher>,
    /// Some fetcher may have something to ask, and no request under way.
    pub(super) unasked: bool,
    pub(super) isr: IsrChanges,
    pub(super) coordinator: Coordinator,
    pub(super) txns: TxnCoordinator,
    /// Replicas that grew during this event, and by what.
    pub(super) grown: Vec<(PartitionId, Growth)>,
    /// Which partitions have a high watermark that a follower was not told, by node.
    pub(super) untold: Vec<Untold>,
    /// Of which partitions of a Fetch there may be something to say; kept for its memory.
    pub(super) open: Vec<FetchPartition>,
    /// Lulls that this event proposes.
    pub(super) lulls: Vec<Proposal>,
    /// Within this event a log lost its beginning, which followers are told in no other way than by a round.
    pub(super) roused: bool,
    /// Connections that can be read on.
    ready: VecDeque<ConnId>,
    purgatory_at: Option<Time>,
    /// The disk failed: the process must end.
    pub(super) storage_failed: bool,
    /// The ids of the topics that the metadata had last.
    pub(super) topic_ids: BTreeMap<TopicIx, TopicId>,
    /// The log cleaner will look.
    pub(super) cleaner_armed: bool,
    /// The process has begun so often; part of producer ids.
    boots: u64,
    producer_ids: u64,
}

impl Broker {
    pub(super) fn new(me: NodeId, servers: u32) -> Self {
        Self {
            me,
            replicas: ByPartition::default(),
            next_file: 0,
            conns: Conns::default(),
            fetchers: (0..servers).map(|node| Fetcher::new(NodeId(node))).collect(),
            unasked: false,
            isr: IsrChanges::default(),
            coordinator: Coordinator::default(),
            txns: TxnCoordinator::default(),
            grown: Vec::new(),
            untold: vec![Untold::new(); servers as usize],
            open: Vec::new(),
            lulls: Vec::new(),
            roused: false,
            ready: VecDeque::new(),
            purgatory_at: None,
            storage_failed: false,
            topic_ids: BTreeMap::new(),
            cleaner_armed: false,
            boots: 0,
            producer_ids: 0,
        }
    }

    /// How often the process has begun.
    pub(super) const fn boots(&self) -> u64 {
        self.boots
    }

    /// The process begins: replicas find what their files kept, everything else is forgotten.
    pub(super) fn start(&mut self, rules: &Rules, ctx: &mut Ctx<'_, Kafka>) {
        let waited = self.conns.iter().any(|(_, conn)| matches!(conn.busy, Busy::Produce(_)));
        self.conns.clear();
        self.fetchers.iter_mut().for_each(Fetcher::reset);
        self.isr = IsrChanges::default();
        self.coordinator = Coordinator::default();
        self.txns = TxnCoordinator::default();
        self.grown.clear();
        self.untold.iter_mut().for_each(Untold::clear);
        self.lulls.clear();
        self.ready.clear();
        self.purgatory_at = None;
        self.storage_failed = false;
        self.cleaner_armed = false;
        self.boots += 1;
        self.producer_ids = 0;
        let node = ctx.node();
        if waited {
            ctx.mark(Mark::LeaderLostUnacked);
        }
        for replica in self.replicas.values_mut() {
            let found = ctx.disk().recovered(replica.file);
            let intact = found.rotten.first().copied().unwrap_or(found.len).min(found.len);
            replica.restart(intact, rules);
            ctx.disk().truncate(replica.file, replica.log.file_len());
            ctx.touch(Touch::Replica(node, replica.id));
        }
    }

    /// The periodic work begins.
    pub(super) fn start_timers(&mut self, rules: &Rules, ctx: &mut Ctx<'_, Kafka>) {
        ctx.timer(rules.replica_lag_check, Timer::Broker(BrokerTimer::Lag));
        ctx.timer(rules.watermark_checkpoint, Timer::Broker(BrokerTimer::Checkpoint));
        ctx.timer(rules.log_task_delay, Timer::Broker(BrokerTimer::Retention));
        ctx.timer(rules.producer_expiration_check, Timer::Broker(BrokerTimer::Producers));
        self.cleaner_armed = true;
        ctx.timer(rules.cleaner_backoff, Timer::Broker(BrokerTimer::Cleaner));
    }

    /// The disk is empty.
    pub(super) fn wipe(&mut self) {
        self.replicas = ByPartition::default();
        self.next_file = 0;
    }

    /// A replica, if this broker has one.
    pub(super) fn replica(&self, id: PartitionId) -> Option<&Replica> {
        self.replicas.get(id).map(Box::as_ref)
    }

    pub(super) fn replica_mut(&mut self, id: PartitionId) -> Option<&mut Replica> {
        self.replicas.get_mut(id).map(Box::as_mut)
    }

    /// All replicas.
    pub(super) fn replicas(&self) -> impl Iterator<Item = &Replica> {
        self.replicas.values().map(Box::as_ref)
    }

    pub(super) fn replicas_mut(&mut self) -> impl Iterator<Item = &mut Replica> {
        self.replicas.values_mut().map(Box::as_mut)
    }

    fn make_replica(&mut self, id: PartitionId, topic: &TopicImage) -> &mut Replica {
        let next_file = &mut self.next_file;
        self.replicas.place(id).get_or_insert_with(|| {
            *next_file += 1;
            Box::new(Replica::new(id, FileId(*next_file - 1), topic))
        })
    }

    // Metadata.

    /// Partitions changed in this broker's image: replicas take up what they are now.
    pub(super) fn metadata_changed(&mut self, changed: &[PartitionId], env: &mut Env<'_, '_>) {
        self.note_topics(changed, env);
        for id in changed {
            self.drop_other_topic(*id, env);
            if env.image.partition(*id).is_some_and(|partition| partition.replicas.contains(&self.me)) {
                self.partition_changed(*id, env);
            }
        }
        self.settle(env);
    }

    fn partition_changed(&mut self, id: PartitionId, env: &mut Env<'_, '_>) {
        let (Some(image), Some(topic)) = (env.image.partition(id), env.image.topic(id.topic)) else { return };
        let me = self.me;
        let replica = self.make_replica(id, topic);
        replica.min_insync = image.effective_min_insync(&topic.settings);
        if !Arc::ptr_eq(&replica.settings, &topic.settings) {
            replica.settings = Arc::clone(&topic.settings);
        }
        let same_reign = replica.leader_epoch == image.leader_epoch && replica.leader == image.leader;
        let news = replica.update_isr(image.isr, image.partition_epoch);
        if same_reign && !matches!(replica.role, Role::Idle) {
            if news && replica.leading().is_some() {
                self.raise_high_watermark(id, env);
                self.answer_deletions(id, env);
            }
            return;
        }
        replica.isr = image.isr;
        replica.partition_epoch = image.partition_epoch;
        replica.leader = image.leader;
        replica.leader_epoch = image.leader_epoch;
        let before = std::mem::replace(&mut replica.role, Role::Idle);
        if image.leader == Some(me) {
            replica.lead(image, me, env.ctx.now());
            self.has_untold(id);
        } else if image.leader.is_some() {
            replica.role = Role::Follower;
            replica.aligned = false;
            if env.rules.truncate == Truncate::ToHighWatermark {
                let upto = replica.high_watermark;
                replica.truncate(upto, env.rules);
                env.ctx.disk().truncate(replica.file, replica.log.file_len());
            }
        }
        env.ctx.touch(Touch::Replica(me, id));
        if let Role::Leader(leading) = before {
            self.deposed(id, leading, env);
        }
        self.follow_leader(id, env);
        if image.leader == Some(me) {
            self.raise_high_watermark(id, env);
        }
        if id.topic == TopicIx::CONSUMER_OFFSETS {
            self.coordinator.partition_changed(id.partition, image.leader == Some(me), env);
        } else if Some(id.topic) == env.names.transaction_state() {
            self.txn_partition_changed(id, image.leader == Some(me), env);
        }
    }

    /// A leader that was deposed: whoever waits at it hears that it does not lead (6).
    fn deposed(&mut self, id: PartitionId, leading: Leading, env: &mut Env<'_, '_>) {
        self.dismiss(id, leading, ErrorCode::NotLeaderOrFollower, env);
    }

    /// Whoever waits at a leader hears why it leads no more.
    pub(super) fn dismiss(
        &mut self,
        id: PartitionId,
        leading: Leading,
        error: ErrorCode,
        env: &mut Env<'_, '_>,
    ) {
        if leading.waiters.iter().any(|(_, waiter)| matches!(waiter, Waiter::Produce { .. })) {
            env.ctx.mark(Mark::LeaderLostUnacked);
        }
        for (_, waiter) in leading.waiters {
            self.waited(waiter, id, error, env);
        }
        self.isr.forget(id);
        self.grown.push((id, Growth::End));
        self.deletions_deposed(id, env);
    }

    /// Raises the high watermark of a replica that leads, and tells who waited for it.
    pub(super) fn raise_high_watermark(&mut self, id: PartitionId, env: &mut Env<'_, '_>) {
        let me = self.me;
        let now = env.ctx.now();
        let Some(replica) = self.replica_mut(id) else { return };
        if !replica.raise_high_watermark(env.image, env.rules, now) {
            return;
        }
        env.ctx.touch(Touch::Replica(me, id));
        self.grown.push((id, Growth::HighWatermark));
        self.has_untold(id);
        while let Some(replica) = self.replica_mut(id)
            && let high_watermark = replica.high_watermark
            && let Some(leading) = replica.leading_mut()
            && leading.waiters.front().is_some_and(|(required, _)| *required <= high_watermark)
        {
            let Some((_, waiter)) = leading.waiters.pop_front() else { break };
            self.waited(waiter, id, ErrorCode::None, env);
        }
    }

    /// Somebody's wait for a high watermark is over.
    fn waited(&mut self, waiter: Waiter, id: PartitionId, error: ErrorCode, env: &mut Env<'_, '_>) {
        match waiter {
            Waiter::Produce { conn, correlation, index } => {
                self.produced(conn, correlation, index, error, env);
            }
            Waiter::Coordinator(token) => self.coordinator.appended(id.partition, token, error),
            Waiter::Transactions(token) => self.txns.appended(token, error),
        }
    }

    // Requests.

    pub(super) fn accepted(&mut self, conn: ConnId) {
        self.conns.insert(conn);
    }

    pub(super) fn closed(&mut self, conn: ConnId) {
        self.conns.close(conn);
    }

    /// Closes every connection that others opened.
    pub(super) fn hang_up(&mut self, ctx: &mut Ctx<'_, Kafka>) {
        self.conns.iter().for_each(|(conn, _)| ctx.close(conn));
        self.conns.clear();
    }

    pub(super) fn request(&mut self, conn: ConnId, request: Request, env: &mut Env<'_, '_>) {
        let Some(known) = self.conns.get_mut(conn) else { return };
        if known.queue.is_empty() && matches!(known.busy, Busy::No) {
            self.handle(conn, request, env);
        } else {
            known.queue.push_back(request);
        }
        self.settle(env);
    }

    /// Reads the connection's requests as long as none waits.
    fn read(&mut self, conn: ConnId, env: &mut Env<'_, '_>) {
        while let Some(known) = self.conns.get_mut(conn)
            && matches!(known.busy, Busy::No)
            && let Some(request) = known.queue.pop_front()
        {
            self.handle(conn, request, env);
        }
        self.conns.remove_if_done(conn);
    }

    fn handle(&mut self, conn: ConnId, request: Request, env: &mut Env<'_, '_>) {
        let correlation = request.correlation;
        let body = match request.body {
            RequestBody::Produce(request) => return self.produce(conn, correlation, request, env),
            RequestBody::Fetch(request) => match self.fetch(conn, correlation, request, env) {
                Some(body) => body,
                None => return,
            },
            RequestBody::Metadata(topics) => ResponseBody::Metadata(metadata(env.image, topics.as_deref())),
            RequestBody::ListOffsets(partitions) => {
                let list = |at: &ListOffsetsPartition| self.list_offset(at, env.rules);
                ResponseBody::ListOffsets(partitions.iter().map(list).collect())
            }
            RequestBody::OffsetForLeaderEpoch(partitions) => {
                ResponseBody::OffsetForLeaderEpoch(partitions.iter().map(|at| self.epoch_end(at)).collect())
            }
            RequestBody::InitProducerId => ResponseBody::InitProducerId(self.next_producer_id()),
            RequestBody::Txn(request) => {
                if let Some(known) = self.conns.get_mut(conn) {
                    known.busy = Busy::Group(correlation);
                }
                return self.txn_request(ReplyTo::Conn(conn, correlation), request, env);
            }
            RequestBody::TxnOffsetCommit(request) => {
                return self.txn_offset_commit(conn, correlation, request, env);
            }
            RequestBody::DeleteRecords(request) => {
                return self.delete_records(conn, correlation, &request, env);
            }
            body => {
                if let Some(known) = self.conns.get_mut(conn) {
                    known.busy = Busy::Group(correlation);
                }
                return self.coordinator.request(conn, body, env);
            }
        };
        env.ctx.send(conn, Msg::Response(Response { correlation, body }));
    }

    /// A producer id that no other broker and no other process of this one gives out.
    pub(super) fn next_producer_id(&mut self) -> u64 {
        self.producer_ids += 1;
        u64::from(self.me.0) << 48 | self.boots << 32 | self.producer_ids
    }

    /// A connection that may wait for nothing any more is read on at the end of the event.
    pub(super) fn read_on(&mut self, conn: ConnId) {
        if let Some(known) = self.conns.get(conn)
            && matches!(known.busy, Busy::No)
            && !known.queue.is_empty()
        {
            self.ready.push_back(conn);
        }
    }

    /// Answers the request that a connection waits with. It reads on at the end of the event.
    pub(super) fn answer(
        &mut self,
        conn: ConnId,
        correlation: u32,
        body: ResponseBody,
        env: &mut Env<'_, '_>,
    ) {
        if let Some(known) = self.conns.get_mut(conn) {
            known.busy = Busy::No;
            env.ctx.send(conn, Msg::Response(Response { correlation, body }));
            if known.gone && std::mem::replace(&mut known.deaf, true) {
                known.queue.clear();
            }
            if known.gone || !known.queue.is_empty() {
                self.ready.push_back(conn);
            }
        }
    }

    // Time.

    pub(super) fn on_timer(&mut self, timer: BrokerTimer, env: &mut Env<'_, '_>) {
        match timer {
            BrokerTimer::Purgatory => self.expire(env),
            BrokerTimer::Lag => {
                self.shrink_isrs(env);
                env.ctx.timer(env.rules.replica_lag_check, Timer::Broker(BrokerTimer::Lag));
            }
            BrokerTimer::Checkpoint => {
                self.checkpoint();
                env.ctx.timer(env.rules.watermark_checkpoint, Timer::Broker(BrokerTimer::Checkpoint));
            }
            BrokerTimer::Fetch(leader) => self.fetch_again(leader, env),
            BrokerTimer::FetchTimeout(leader) => self.fetch_timed_out(leader, env),
            BrokerTimer::Isr => self.isr.retry(),
            BrokerTimer::Groups => self.coordinator.due(env),
            BrokerTimer::Retention => self.delete_old_segments(env),
            BrokerTimer::Producers => self.expire_producers(env),
            BrokerTimer::Cleaner => self.clean_logs(env),
            BrokerTimer::Transactions => self.txns_due(env),
        }
        self.settle(env);
    }

    /// Writes the high watermarks to disk.
    pub(super) fn checkpoint(&mut self) {
        for replica in self.replicas_mut() {
            replica.checkpoint = replica.high_watermark;
        }
    }

    /// Answers requests whose time is up, and wakes again for the next.
    fn expire(&mut self, env: &mut Env<'_, '_>) {
        self.purgatory_at = None;
        let now = env.ctx.now();
        let until = |conn: &Conn| match &conn.busy {
            Busy::Produce(parked) => Some(parked.until),
            Busy::Fetch(parked) => parked.due(),
            Busy::DeleteRecords(parked) => Some(parked.until),
            Busy::No | Busy::Group(_) => None,
        };
        let is_due = |(conn, known)| until(known).is_some_and(|until| until <= now).then_some(conn);
        let due: Vec<ConnId> = self.conns.iter().filter_map(is_due).collect();
        for conn in due {
            self.expire_produce(conn, env);
            self.answer_fetch(conn, None, Occasion::Expired, env);
            self.answer_deletion(conn, true, env);
        }
        if let Some(next) = self.conns.iter().filter_map(|(_, known)| until(known)).min() {
            self.wake_at(next, env);
        }
    }

    /// Makes sure that the purgatory is looked at by then.
    pub(super) fn wake_at(&mut self, at: Time, env: &mut Env<'_, '_>) {
        self.wake_by(at, env.ctx);
    }

    pub(super) fn wake_by(&mut self, at: Time, ctx: &mut Ctx<'_, Kafka>) {
        if self.purgatory_at.is_none_or(|armed| armed > at) {
            self.purgatory_at = Some(at);
            ctx.timer(at.since(ctx.now()), Timer::Broker(BrokerTimer::Purgatory));
        }
    }

    /// The end of an event: the coordinator's work is done, grown replicas answer fetches, connections that were
    /// answered are read on, proposals and fetches leave.
    pub(super) fn settle(&mut self, env: &mut Env<'_, '_>) {
        loop {
            if let Some(work) = self.coordinator.next_work() {
                self.coordinate(work, env);
            } else if let Some((token, error)) = self.txns.next_appended() {
                self.txn_appended(token, error, env);
            } else if let Some((id, growth)) = self.grown.pop() {
                self.answer_watchers(id, growth, env);
            } else if let Some(conn) = self.ready.pop_front() {
                self.read(conn, env);
            } else {
                break;
            }
        }
        self.propose(env);
        self.fetch_from_all(env);
    }
}
