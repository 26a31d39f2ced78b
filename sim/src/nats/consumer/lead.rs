//! What only a consumer's leader knows: pull requests, deadlines, and what is to be delivered again.
//!
//! - What is to be delivered again is a queue and comes before what is new. An ack wait that ends puts everything
//!   that is due into it, in order; a NAK puts its message at the end, in the order of arrival; with a delay it is a
//!   new deadline.
//! - A message that was delivered as often as is allowed leaves, with an advisory, when its last ack wait (or the delay
//!   of its NAK) ends; or, refused without a delay, when its turn comes to be delivered again, which takes a pull
//!   request that waits: so at the NAK, mostly (2.15.1, measured; `processNak`, `checkPending`, `getNextMsg`).
//! - What its server's copy of the stream does not have yet, since the copy is behind, comes again after another ack
//!   wait (`ErrStoreEOF` in `getNextMsg`); what the stream has no more is done.
//! - `max_ack_pending` stops new messages, never repeated ones.
//! - A replicated consumer delivers when a majority knows of the delivery; a status that ends a request comes behind
//!   the request's last delivery.

use super::super::{
    Env, Timer,
    config::{AckPolicy, ConsumerAssignment, DeliverPolicy},
    lookup::{Lookup, LookupSet},
    protocol::{
        AckBody, AckToken, Advisory, ConsumerName, Delivery, PullRequest, Reply, ReplyTo, Status,
        StoredMessage,
    },
    raft::{
        Raft,
        message::{Acked, Delivered, Op},
    },
    rules::Rules,
    server::ServerTimer,
    stream::Stream,
};
use super::state::{ConsumerState, Pending};
use crate::kernel::{ConnId, Mark, NodeId};
use squall_bus::Time;
use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

/// Everything around a leader during one event.
pub(super) struct Around<'a, 'e, 'c> {
    pub(super) assignment: &'a ConsumerAssignment,
    pub(super) stream: &'a Stream,
    pub(super) raft: &'a mut Raft,
    pub(super) env: &'a mut Env<'e, 'c>,
}

impl Around<'_, '_, '_> {
    fn explicit(&self) -> bool {
        self.assignment.config.ack == AckPolicy::Explicit
    }

    fn ack_wait(&self) -> Duration {
        self.assignment.config.ack_wait.unwrap_or(self.env.rules.ack_wait)
    }

    fn is_replicated(&self) -> bool {
        self.raft.peers().len() > 1
    }

    fn propose(&mut self, op: Op) -> Option<u64> {
        self.raft.propose(op, self.env)
    }
}

/// How long a consumer lives that nobody uses; `None` for ever.
fn inactive_threshold(assignment: &ConsumerAssignment, rules: &Rules) -> Option<Duration> {
    let default = match assignment.consumer.name {
        ConsumerName::Durable(..) => None,
        ConsumerName::Ephemeral(_) => Some(rules.inactive_threshold),
    };
    assignment.config.inactive_threshold.or(default)
}

/// A pull request that waits.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    reply: ReplyTo,
    left: u32,
    delivered: bool,
    no_wait: bool,
    expires: Option<Time>,
    heartbeat: Option<(Duration, Time)>,
}

/// A consumer's leader.
#[derive(Clone, Debug)]
pub(super) struct Lead {
    waiting: VecDeque<Waiting>,
    /// What is to be delivered again, in order.
    again: VecDeque<u64>,
    queued: LookupSet<u64>,
    pending: Lookup<u64, Pending>,
    /// When ack waits end, by the wall clock.
    deadlines: BTreeSet<(Time, u64)>,
    /// The first stream sequence that was not looked at.
    pub(super) next_seq: u64,
    consumer_seq: u64,
    /// Replies that wait for the entry of this index to be applied.
    out: VecDeque<(u64, ReplyTo, Reply)>,
    last_used: Time,
    /// When the latest timer fires, if one runs.
    timer_at: Option<Time>,
    turn: u32,
}

impl Lead {
    /// Takes over from the replicated state.
    pub(super) fn new(
        state: &ConsumerState,
        abandoned: BTreeSet<ReplyTo>,
        around: &mut Around<'_, '_, '_>,
    ) -> Self {
        for reply in abandoned {
            around.env.reply(reply, Reply::Status(Status::LeadershipChange));
        }
        if !state.pending.is_empty() {
            around.env.ctx.mark(Mark::ConsumerLeaderChanged);
        }
        let deadlines = state.pending.iter().map(|(seq, pending)| (pending.due, *seq)).collect();
        let mut lead = Self {
            waiting: VecDeque::new(),
            again: VecDeque::new(),
            queued: LookupSet::default(),
            pending: state.pending.iter().map(|(seq, pending)| (*seq, *pending)).collect(),
            deadlines,
            next_seq: state.stream_seq + 1,
            consumer_seq: state.consumer_seq,
            out: VecDeque::new(),
            last_used: around.env.ctx.now(),
            timer_at: None,
            turn: 0,
        };
        if !state.started {
            let first = match around.assignment.config.deliver {
                DeliverPolicy::All => around.stream.first_seq(),
                DeliverPolicy::New => around.stream.last_seq() + 1,
                DeliverPolicy::FromSequence(seq) => seq.max(around.stream.first_seq()),
            };
            lead.next_seq = first;
            around.propose(Op::Skipped(first - 1));
        }
        lead
    }

    /// The inboxes of all requests that wait.
    pub(super) fn requests(&self) -> Vec<ReplyTo> {
        self.waiting.iter().map(|waiting| waiting.reply).collect()
    }

    // Requests.

    /// A pull request.
    pub(super) fn pull(&mut self, request: PullRequest, reply: ReplyTo, around: &mut Around<'_, '_, '_>) {
        let now = around.env.ctx.now();
        self.last_used = now;
        let most = around.assignment.config.max_waiting.unwrap_or(around.env.rules.max_waiting);
        if request.no_wait && request.expires.is_none() && !self.has_work(around.assignment, around.stream) {
            around.env.reply(reply, Reply::Status(Status::NoMessages));
            return;
        }
        if self.waiting.len() as u32 >= most {
            // A client with heartbeats notices by itself.
            if request.idle_heartbeat.is_none() {
                around.env.reply(reply, Reply::Status(Status::ExceededMaxWaiting));
            }
            return;
        }
        self.waiting.push_back(Waiting {
            reply,
            left: request.batch.max(1),
            delivered: false,
            no_wait: request.no_wait,
            expires: request.expires.map(|expires| now + expires),
            heartbeat: request.idle_heartbeat.map(|every| (every, now + every)),
        });
        if around.is_replicated() {
            around.propose(Op::Waits(reply));
        }
    }

    pub(super) fn has_work(&self, assignment: &ConsumerAssignment, stream: &Stream) -> bool {
        !self.again.is_empty() || stream.next(assignment.config.partition, self.next_seq).is_some()
    }

    /// A request is over.
    fn done(&mut self, waiting: Waiting, status: Option<Status>, around: &mut Around<'_, '_, '_>) {
        if let Some(status) = status {
            self.say(waiting.reply, Reply::Status(status), around.env);
        }
        if around.is_replicated() {
            around.propose(Op::Waited(waiting.reply));
        }
    }

    /// Replies behind everything that still waits to be said.
    fn say(&mut self, to: ReplyTo, reply: Reply, env: &mut Env<'_, '_>) {
        match self.out.back() {
            None => env.reply(to, reply),
            Some((index, ..)) => self.out.push_back((*index, to, reply)),
        }
    }

    /// A client is gone, or all of a server's are: their requests go.
    pub(super) fn client_gone(
        &mut self,
        server: NodeId,
        conn: Option<ConnId>,
        raft: &mut Raft,
        env: &mut Env<'_, '_>,
    ) {
        let gone = |reply: &ReplyTo| reply.server == server && conn.is_none_or(|conn| conn == reply.conn);
        let replies: Vec<ReplyTo> = self.requests().into_iter().filter(gone).collect();
        self.waiting.retain(|waiting| !gone(&waiting.reply));
        if raft.peers().len() > 1 {
            for reply in replies {
                raft.propose(Op::Waited(reply), env);
            }
        }
    }

    // Deliveries.

    /// Delivers what can be, ends what is over, and sets the timer.
    pub(super) fn pump(&mut self, around: &mut Around<'_, '_, '_>) {
        while !self.waiting.is_empty() {
            let Some((message, count)) = self.next_message(around) else { break };
            self.deliver(&message, count, around);
        }
        self.end_of_stream(around);
        self.arm(around);
    }

    fn next_message(&mut self, around: &mut Around<'_, '_, '_>) -> Option<(Arc<StoredMessage>, u32)> {
        while let Some(seq) = self.again.pop_front() {
            self.queued.remove(&seq);
            let Some(pending) = self.pending.get(&seq).copied() else { continue };
            if self.is_last(pending, around) {
                self.give_up(seq, pending, around);
                continue;
            }
            match around.stream.message(seq) {
                Some(message) => return Some((Arc::clone(message), pending.count + 1)),
                None if seq > around.stream.last_seq() => {
                    let due = around.env.ctx.wall() + around.ack_wait();
                    self.wait_for_ack(seq, pending.consumer_seq, due, pending.count);
                }
                // The stream dropped it: there is nothing to wait for.
                None => self.settle(seq, None, around),
            }
        }
        let rules = around.env.rules;
        let most = around.assignment.config.max_ack_pending.unwrap_or(rules.max_ack_pending);
        if around.explicit() && self.pending.len() as u32 >= most {
            return None;
        }
        let message = around.stream.next(around.assignment.config.partition, self.next_seq)?;
        self.next_seq = message.seq + 1;
        Some((Arc::clone(message), 1))
    }

    fn deliver(&mut self, message: &Arc<StoredMessage>, count: u32, around: &mut Around<'_, '_, '_>) {
        let Some(mut waiting) = self.waiting.pop_front() else { return };
        let due = around.env.ctx.wall() + around.ack_wait();
        self.consumer_seq += 1;
        let (stream_seq, consumer_seq) = (message.seq, self.consumer_seq);
        if around.explicit() {
            self.wait_for_ack(stream_seq, consumer_seq, due, count);
        }
        let pending = around.stream.count_from(around.assignment.config.partition, self.next_seq);
        let token = AckToken { stream_seq, consumer_seq, delivered: count, pending };
        let consumer = around.assignment.consumer;
        let delivery = Delivery { consumer, token, message: Arc::clone(message) };
        let index = around.propose(Op::Delivered(Delivered { stream_seq, consumer_seq, count, due }));
        let reply = Reply::Deliver(delivery);
        match index {
            // It leads no more: the next leader delivers.
            None => {}
            Some(index)
                if around.env.rules.deliver_after_quorum && around.explicit() && around.is_replicated() =>
            {
                self.out.push_back((index, waiting.reply, reply));
            }
            Some(_) => around.env.reply(waiting.reply, reply),
        }
        waiting.left -= 1;
        waiting.delivered = true;
        if let Some((every, next)) = &mut waiting.heartbeat {
            *next = around.env.ctx.now() + *every;
        }
        if waiting.left == 0 {
            self.done(waiting, None, around);
        } else {
            self.waiting.push_back(waiting);
        }
    }

    fn wait_for_ack(&mut self, seq: u64, consumer_seq: u64, due: Time, count: u32) {
        let pending = self.pending.get_or_insert(seq, Pending { consumer_seq, due, count });
        self.deadlines.remove(&(pending.due, seq));
        (pending.due, pending.count) = (due, count);
        self.deadlines.insert((due, seq));
    }

    /// Requests that do not wait end when there is nothing more.
    fn end_of_stream(&mut self, around: &mut Around<'_, '_, '_>) {
        let over = |waiting: &Waiting| waiting.no_wait && (waiting.delivered || waiting.expires.is_none());
        while let Some(place) = self.waiting.iter().position(over) {
            if let Some(waiting) = self.waiting.remove(place) {
                self.done(waiting, Some(Status::NoMessages), around);
            }
        }
    }

    /// The entry of this index is applied: what waited for it is said.
    pub(super) fn applied(&mut self, index: u64, around: &mut Around<'_, '_, '_>) {
        while let Some((due, ..)) = self.out.front()
            && *due <= index
            && let Some((_, to, reply)) = self.out.pop_front()
        {
            around.env.reply(to, reply);
        }
    }

    // Acks.

    /// An ack of any kind.
    pub(super) fn ack(
        &mut self,
        token: AckToken,
        body: AckBody,
        reply: Option<ReplyTo>,
        around: &mut Around<'_, '_, '_>,
    ) {
        self.last_used = around.env.ctx.now();
        let seq = token.stream_seq;
        let Some(pending) = self.pending.get(&seq).copied() else {
            // Done already, or never delivered.
            around.env.reply_if(reply, Reply::AckReply);
            return;
        };
        match body {
            AckBody::Ack => self.settle(seq, reply, around),
            AckBody::Term => {
                let consumer = around.assignment.consumer;
                let deliveries = token.delivered;
                around.env.announce(Advisory::Terminated { consumer, stream_seq: seq, deliveries });
                self.settle(seq, reply, around);
            }
            AckBody::Progress => {
                let due = around.env.ctx.wall() + around.ack_wait();
                self.restart_wait(seq, pending, due, around);
                around.env.reply_if(reply, Reply::AckReply);
            }
            AckBody::Nak(delay) => {
                self.nak(seq, pending, delay, around);
                around.env.reply_if(reply, Reply::AckReply);
            }
        }
    }

    /// The message is done: it waits no more, here and, once replicated, everywhere.
    fn settle(&mut self, seq: u64, reply: Option<ReplyTo>, around: &mut Around<'_, '_, '_>) {
        if let Some(pending) = self.pending.remove(&seq) {
            self.deadlines.remove(&(pending.due, seq));
        }
        self.forget_again(seq);
        around.propose(Op::Acked(Acked { stream_seq: seq, reply }));
    }

    fn forget_again(&mut self, seq: u64) {
        if self.queued.remove(&seq) {
            self.again.retain(|queued| *queued != seq);
        }
    }

    fn nak(&mut self, seq: u64, pending: Pending, delay: Option<Duration>, around: &mut Around<'_, '_, '_>) {
        around.env.ctx.mark(Mark::RefusedByHandler);
        match delay {
            Some(delay) if !delay.is_zero() => {
                self.forget_again(seq);
                self.restart_wait(seq, pending, around.env.ctx.wall() + delay, around);
            }
            _ => self.queue(seq),
        }
    }

    fn is_last(&self, pending: Pending, around: &Around<'_, '_, '_>) -> bool {
        around.assignment.config.max_deliver.is_some_and(|most| pending.count >= most)
    }

    /// The message was delivered as often as is allowed: it leaves, and that is said.
    fn give_up(&mut self, seq: u64, pending: Pending, around: &mut Around<'_, '_, '_>) {
        let (consumer, deliveries) = (around.assignment.consumer, pending.count);
        around.env.ctx.mark(Mark::MaxDeliverReached);
        around.env.announce(Advisory::MaxDeliveries { consumer, stream_seq: seq, deliveries });
        self.settle(seq, None, around);
    }

    fn queue(&mut self, seq: u64) {
        if self.queued.insert(seq) {
            self.again.push_back(seq);
        }
    }

    fn restart_wait(&mut self, seq: u64, pending: Pending, due: Time, around: &mut Around<'_, '_, '_>) {
        let Pending { consumer_seq, count, .. } = pending;
        self.wait_for_ack(seq, consumer_seq, due, count);
        around.propose(Op::Delivered(Delivered { stream_seq: seq, consumer_seq, count, due }));
    }

    // Time.

    /// The timer fired: whatever is due by now. Whether nobody uses the consumer any more.
    pub(super) fn on_timer(&mut self, turn: u32, around: &mut Around<'_, '_, '_>) -> bool {
        if turn != self.turn {
            return false;
        }
        self.timer_at = None;
        self.end_ack_waits(around);
        self.end_requests(around);
        let now = around.env.ctx.now();
        let threshold = inactive_threshold(around.assignment, around.env.rules);
        let unused = now.since(self.last_used);
        if self.waiting.is_empty() && threshold.is_some_and(|threshold| unused >= threshold) {
            // Asked for again after another threshold, if nobody hears it now.
            self.last_used = now;
            return true;
        }
        false
    }

    fn end_ack_waits(&mut self, around: &mut Around<'_, '_, '_>) {
        let now = around.env.ctx.wall();
        let mut due: Vec<u64> = Vec::new();
        while let Some((at, seq)) = self.deadlines.first().copied()
            && at <= now
        {
            self.deadlines.pop_first();
            due.push(seq);
        }
        if around.env.rules.redeliver_in_order {
            due.sort_unstable();
        }
        for seq in due {
            let Some(pending) = self.pending.get(&seq).copied() else { continue };
            // What is in the queue is given up from there.
            if self.is_last(pending, around) && !self.queued.contains(&seq) {
                self.give_up(seq, pending, around);
            } else {
                around.env.ctx.mark(Mark::RedeliveredAfterAckWait);
                self.queue(seq);
            }
        }
    }

    fn end_requests(&mut self, around: &mut Around<'_, '_, '_>) {
        let now = around.env.ctx.now();
        for _ in 0..self.waiting.len() {
            let Some(mut waiting) = self.waiting.pop_front() else { return };
            if waiting.expires.is_some_and(|at| at <= now) {
                self.done(waiting, Some(Status::RequestTimeout(waiting.left)), around);
                continue;
            }
            if let Some((every, next)) = &mut waiting.heartbeat
                && *next <= now
            {
                *next = now + *every;
                let status = Status::IdleHeartbeat(self.consumer_seq, self.next_seq - 1);
                around.env.reply(waiting.reply, Reply::Status(status));
            }
            self.waiting.push_back(waiting);
        }
    }

    fn arm(&mut self, around: &mut Around<'_, '_, '_>) {
        let (now, wall) = (around.env.ctx.now(), around.env.ctx.wall());
        let mut next: Option<Time> = None;
        let mut at = |time: Time| next = Some(next.map_or(time, |next: Time| next.min(time)));
        if let Some((due, _)) = self.deadlines.first() {
            at(now + due.since(wall));
        }
        for waiting in &self.waiting {
            waiting.expires.into_iter().for_each(&mut at);
            waiting.heartbeat.into_iter().for_each(|(_, beat)| at(beat));
        }
        if let Some(threshold) = inactive_threshold(around.assignment, around.env.rules)
            && self.waiting.is_empty()
        {
            at((self.last_used + threshold).max(now));
        }
        let Some(next) = next else { return };
        if self.timer_at.is_none_or(|at| at > next) {
            self.timer_at = Some(next);
            self.turn = self.turn.wrapping_add(1);
            let timer = ServerTimer::Consumer(around.assignment.consumer, self.turn);
            around.env.ctx.timer(next.since(now), Timer::Server(timer));
        }
    }
}
