//! The producer: takes records, gathers them per partition, sends batches within its window.
//!
//! | step | librdkafka | Java |
//! |---|---|---|
//! | a request carries | one partition's batch | a batch of every partition of that broker that is ready |
//! | window | 1,000,000 requests a broker, 5 if idempotent | 5 requests a broker |
//! | a partition without a leader, or with a leader out of reach | waits; metadata is asked for | the same |
//! | a record's time is up | looked for once a second; a request in flight waits no longer | at once; what is in flight is forgotten |
//!
//! acks=0: there is no response; the outcome is `unknown` (`NO_ACK`) as soon as the batch is written.
//!
//! What responses mean is in [`produced`](super::produced), what becomes of records whose time is up in
//! [`deliveries`](super::deliveries).

use super::super::{
    Shared,
    error::ErrorCode,
    protocol::{
        Few, Msg, PartitionId, ProduceRequest, RequestBody, Response, ResponseBody, TopicIx, record_bytes,
    },
};
use super::{
    Io, Timer,
    batch::{Attempted, Due, Identity, Limits, Queue, Waiting},
    connections::Slot,
    defaults::{Carries, TimedOut},
    net::{Happened, Net, What},
    partitioner::{self, Sticky},
    settings::ProducerSettings,
    txn::{Step, Transactions},
};
use crate::{
    kernel::{ConnId, Event},
    model::{Call, OpId, Output},
};
use squall_bus::{Acks, Error, ErrorClass, Outcome, Record, Time, Topic};
use std::{collections::VecDeque, sync::Arc, time::Duration};

/// How many batches of a partition an idempotent producer has in flight at most: the broker remembers as many.
const IDEMPOTENT_BATCHES: u32 = 5;
/// For so many records of a topic whose partitions are not known yet there is room at once.
const UNASSIGNED: usize = 32;
/// What a request gets at least, even when its first record has less time left (librdkafka).
const LEAST_TIMEOUT: Duration = Duration::from_millis(100);

/// What a producer's request was for.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    /// Batches, by the number of their queue.
    Produce(Vec<(u32, Attempted)>),
    ProducerId,
    /// Something about transactions.
    Txn(Step),
}

/// Where an idempotent producer's identity stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Not idempotent.
    Plain,
    /// Not yet wanted, or asked for.
    Waiting,
    /// To be asked for as soon as a broker is up.
    Wanted,
    Have(Identity),
    /// Everything in flight drains, then the epoch is bumped.
    Bumping(Identity),
}

#[derive(Clone, Debug, Default)]
pub(super) struct TopicState {
    /// The topic's queues, by partition.
    queues: Vec<u32>,
    sticky: Sticky,
    /// Records that came before the partitions were known.
    pub(super) unassigned: VecDeque<Waiting>,
    since: Time,
}

/// A producer.
#[derive(Clone, Debug)]
pub struct Producer {
    pub(super) settings: ProducerSettings,
    pub(super) limits: Limits,
    pub(super) net: Net<Asked>,
    /// By the topic's place in the metadata.
    pub(super) topics: Vec<TopicState>,
    /// Where the record before went, and that topic's place: mostly the next goes there too.
    last: Option<(Topic, usize)>,
    pub(super) queues: Vec<Queue>,
    /// Produce requests in flight, by slot.
    pub(super) windows: Vec<u32>,
    /// Queues that wait for room in a window, in order.
    blocked: VecDeque<u32>,
    pub(super) standing: Standing,
    pub(super) txn: Option<Box<Transactions>>,
    pub(super) buffered: u32,
    /// How many records were taken so far, and up to which of them nothing lingers.
    taken: u64,
    flush: u64,
    pub(super) deliveries_at: Option<Time>,
    /// Since when a record has waited that this is for.
    pub(super) deliveries_since: Time,
    pub(super) started: Option<Time>,
    closing: Option<Option<OpId>>,
    pub(super) fatal: Option<Error>,
    /// Lists of batches that are answered; kept for their memory.
    pub(super) spare: Vec<Vec<(u32, Attempted)>>,
}

impl Producer {
    pub(super) fn new(settings: ProducerSettings, shared: &Shared) -> Self {
        let brokers = shared.brokers;
        let library = &settings.library;
        let limits =
            Limits { linger: library.linger, bytes: library.batch_bytes, records: library.batch_records };
        let standing = if settings.idempotent { Standing::Waiting } else { Standing::Plain };
        Self {
            txn: settings
                .transactional
                .map(|(id, timeout, version)| Box::new(Transactions::new(id, timeout, version))),
            net: Net::new(brokers, library.connecting),
            settings,
            limits,
            topics: Vec::new(),
            last: None,
            queues: Vec::new(),
            windows: vec![0; brokers as usize],
            blocked: VecDeque::new(),
            standing,
            buffered: 0,
            taken: 0,
            flush: 0,
            deliveries_at: None,
            deliveries_since: Time::ZERO,
            spare: Vec::new(),
            started: None,
            closing: None,
            fatal: None,
        }
    }

    pub(super) fn on(&mut self, event: Event<Msg, Timer>, io: &mut dyn Io, shared: &Shared) {
        match event {
            Event::Started(_) => self.start(io),
            Event::Stopping => self.close(None, io, shared),
            Event::Timer(Timer::Queue(queue)) => {
                let armed = &mut self.queues[queue as usize].wake_at;
                if armed.is_some_and(|at| at <= io.now()) {
                    *armed = None;
                    self.serve(queue, io, shared);
                }
            }
            Event::Timer(Timer::Deliveries) => self.deliveries(io, shared),
            Event::Timer(Timer::ProducerId) => {
                if self.standing == Standing::Waiting {
                    self.standing = Standing::Wanted;
                    self.ask_identity(io);
                }
            }
            Event::Timer(Timer::Transaction) => self.txn_due(io),
            event => {
                let happened = self.net.on(event, io);
                self.happened(happened, io, shared);
            }
        }
        self.after(io, shared);
    }

    /// A response came.
    pub(super) fn responded(&mut self, conn: ConnId, response: Response, io: &mut dyn Io, shared: &Shared) {
        if let Some((slot, what)) = self.net.conns.answered(conn, response.correlation) {
            match (what, response.body) {
                (What::Client(Asked::Produce(batches)), ResponseBody::Produce(results)) => {
                    self.produced(slot, batches, &results, io, shared);
                }
                (what, body) => {
                    let happened = self.net.answered(slot, what, body, io);
                    self.happened(happened, io, shared);
                }
            }
        }
        self.after(io, shared);
    }

    fn happened(&mut self, happened: Happened<Asked>, io: &mut dyn Io, shared: &Shared) {
        match happened {
            Happened::Nothing => {}
            Happened::Up => {
                self.ask_identity(io);
                self.serve_all(io, shared);
            }
            Happened::Learned => self.learned(io, shared),
            Happened::Answered(Asked::ProducerId, ResponseBody::InitProducerId(pid)) => {
                self.standing = Standing::Have(Identity { pid, epoch: 0 });
                self.serve_all(io, shared);
            }
            Happened::Answered(Asked::Txn(step), body) => self.txn_answered(step, body, io, shared),
            Happened::Answered(..) => {}
            Happened::Lost(lost) => self.connection_lost(lost, io, shared),
        }
    }

    /// What follows from whatever happened.
    #[inline]
    fn after(&mut self, io: &mut dyn Io, shared: &Shared) {
        if self.txn.is_some() {
            self.txn_step(io, shared);
        }
        self.finish_close(io);
    }

    fn start(&mut self, io: &mut dyn Io) {
        self.started = Some(io.now());
        self.net.start(io);
        if self.standing == Standing::Waiting && self.txn.is_none() {
            io.timer(self.settings.library.producer_id_delay, Timer::ProducerId);
        }
        io.emit(Output::Room(io.node()));
    }

    pub(super) fn call(&mut self, call: Call, io: &mut dyn Io, shared: &Shared) {
        match call {
            Call::Send(op, record) => return self.send(op, record, io, shared),
            Call::Flush => self.flush_all(io, shared),
            Call::Txn(op, call) => self.transact(op, &call, io, shared),
            Call::Close(op) => self.close(Some(op), io, shared),
            Call::Ack(op, _)
            | Call::Nack(op, ..)
            | Call::Term(op, _)
            | Call::Extend(op, _)
            | Call::Commit(op, _) => {
                let error = Error::new(ErrorClass::Refused, "_STATE", "a producer does not consume");
                io.emit(Output::Done(op, Outcome::Fail(error)));
            }
            Call::Seek(..) => {}
        }
        self.after(io, shared);
    }

    /// Nothing that was taken so far lingers.
    pub(super) fn flush_all(&mut self, io: &mut dyn Io, shared: &Shared) {
        self.flush = self.taken;
        self.serve_all(io, shared);
    }

    pub(super) fn has_room(&self) -> Result<bool, Error> {
        match &self.fatal {
            Some(error) => Err(error.clone()),
            None if self.closing.is_some() => Err(Error::closed()),
            None => Ok(self.takes_records()),
        }
    }

    /// Whether it takes one more record.
    #[inline]
    pub(in crate::kafka) fn takes_records(&self) -> bool {
        let is_open = self.fatal.is_none() && self.closing.is_none() && self.started.is_some();
        is_open && self.buffered < self.settings.buffer
    }

    /// Whether the record before went to this topic.
    pub(in crate::kafka) fn knows(&self, topic: &Topic) -> bool {
        self.last.as_ref().is_some_and(|(last, _)| last == topic)
    }

    /// A record of the service's.
    pub(super) fn send(&mut self, op: OpId, record: Record, io: &mut dyn Io, shared: &Shared) {
        self.take(op, record, io, shared);
        self.after(io, shared);
    }

    fn take(&mut self, op: OpId, record: Record, io: &mut dyn Io, shared: &Shared) {
        let number = self.taken;
        self.taken += 1;
        if let Some(error) = &self.fatal {
            return io.emit(Output::Sent(op, Outcome::Fail(error.clone())));
        }
        if self.txn.as_ref().is_some_and(|txn| !txn.takes_records()) {
            let message = "a transactional producer takes records within a transaction: begin one";
            let error = Error::new(ErrorClass::Refused, "_STATE", message);
            return io.emit(Output::Sent(op, Outcome::Fail(error)));
        }
        let bytes = record_bytes(&record);
        let largest = self.settings.library.max_record_bytes;
        if bytes > largest {
            let message = format!("the record takes {bytes} bytes, the client allows {largest}");
            let error = Error::new(ErrorClass::Refused, ErrorCode::MessageTooLarge.name(), message);
            return io.emit(Output::Sent(op, Outcome::Fail(error)));
        }
        let created = io.now();
        let place = match &self.last {
            Some((last, place)) if *last == record.topic => *place,
            _ => {
                let Some(topic) = shared.names.find_topic(&record.topic) else { return };
                // Before metadata is asked for: timers that are due at the same time keep their order.
                self.watch_deliveries(created, io);
                let place = self.follow(topic, io);
                self.last = Some((record.topic.clone(), place));
                place
            }
        };
        self.buffered += 1;
        self.watch_deliveries(created, io);
        if self.topics[place].queues.is_empty() {
            let waiting = Waiting { op, record, bytes, created, number };
            self.topics[place].unassigned.push_back(waiting);
        } else if let Some(queue) = self.queue_of(place, op, &record, io) {
            self.queues[queue as usize].push(Waiting { op, record, bytes, created, number });
            self.serve(queue, io, shared);
        }
    }

    /// The place of a topic that records go to.
    fn follow(&mut self, topic: TopicIx, io: &mut dyn Io) -> usize {
        let (place, new) = self.net.metadata.follow(topic);
        if new {
            let unassigned = VecDeque::with_capacity(UNASSIGNED);
            self.topics.push(TopicState { unassigned, since: io.now(), ..TopicState::default() });
            self.net.ask_at_once(io);
        }
        place
    }

    /// The queue of a record's partition; the operation is told if there is none.
    fn queue_of(&mut self, place: usize, op: OpId, record: &Record, io: &mut dyn Io) -> Option<u32> {
        let state = &mut self.topics[place];
        let partitions = state.queues.len() as u32;
        let library = &self.settings.library;
        let partition = match record.partition {
            Some(partition) if partition >= partitions => {
                let message = format!("{} has {partitions} partitions, not {partition}", record.topic);
                let code = ErrorCode::UnknownTopicOrPartition.name();
                let error = Error::new(ErrorClass::Refused, code, message);
                self.tell(&[op], &Outcome::Fail(error), io);
                return None;
            }
            Some(partition) => partition,
            None => partitioner::partition(
                library.partitioning,
                record,
                partitions,
                &mut state.sticky,
                library.batch_bytes,
                io.now(),
                io.choices(),
            ),
        };
        Some(state.queues[partition as usize])
    }

    /// The metadata changed: there may be new partitions, or new leaders.
    fn learned(&mut self, io: &mut dyn Io, shared: &Shared) {
        for place in 0..self.topics.len() {
            let view = &self.net.metadata.topics[place];
            let (topic, known, error) = (view.topic, view.partitions.len(), view.error);
            for partition in self.topics[place].queues.len()..known {
                self.topics[place].queues.push(self.queues.len() as u32);
                let mut queue = Queue::new(PartitionId::new(topic, partition as u32));
                queue.sequences.transactional = self.txn.is_some();
                self.queues.push(queue);
            }
            if known > 0 {
                while let Some(waiting) = self.topics[place].unassigned.pop_front() {
                    if let Some(queue) = self.queue_of(place, waiting.op, &waiting.record, io) {
                        self.queues[queue as usize].push(waiting);
                    }
                }
            } else if error.is_error()
                && io.now().since(self.topics[place].since) >= self.settings.library.unknown_topic
            {
                self.fail_unassigned(place, io, shared);
            }
        }
        self.serve_all(io, shared);
    }

    fn fail_unassigned(&mut self, place: usize, io: &mut dyn Io, shared: &Shared) {
        let topic = shared.names.topic(self.net.metadata.topics[place].topic);
        let message = format!("the cluster has no topic {topic}");
        let error = Error::new(ErrorClass::Refused, self.settings.library.unknown_topic_code, message);
        let ops: Vec<OpId> = self.topics[place].unassigned.drain(..).map(|waiting| waiting.op).collect();
        self.tell(&ops, &Outcome::Fail(error), io);
    }

    /// Sends whatever may leave any partition.
    pub(super) fn serve_all(&mut self, io: &mut dyn Io, shared: &Shared) {
        for queue in 0..self.queues.len() as u32 {
            self.serve(queue, io, shared);
        }
    }

    /// Sends what waited for room in a window.
    pub(super) fn serve_blocked(&mut self, io: &mut dyn Io, shared: &Shared) {
        for _ in 0..self.blocked.len() {
            let Some(queue) = self.blocked.pop_front() else { return };
            self.queues[queue as usize].blocked = false;
            self.serve(queue, io, shared);
        }
    }

    /// Sends what may leave this partition, or sees to it that somebody comes back when it may.
    #[inline(always)]
    pub(super) fn serve(&mut self, number: u32, io: &mut dyn Io, shared: &Shared) {
        if !self.queues[number as usize].is_empty() {
            self.serve_records(number, io, shared);
        }
    }

    #[inline(never)]
    fn serve_records(&mut self, number: u32, io: &mut dyn Io, shared: &Shared) {
        loop {
            let now = io.now();
            let queue = &mut self.queues[number as usize];
            match queue.due(&self.limits, self.flush, now) {
                Due::Never => return,
                Due::At(at) => {
                    if queue.wake_at.is_none_or(|armed| at < armed) {
                        queue.wake_at = Some(at);
                        io.timer(at.since(now), Timer::Queue(number));
                    }
                    return;
                }
                Due::Now => {}
            }
            let Some(slot) = self.net.metadata.leader(queue.id) else { return self.net.refresh(io) };
            if !self.net.conns.is_up(slot) {
                self.net.leader_unreachable(slot, io);
                return self.net.conns.want(slot, io);
            }
            if !self.may_send(number, slot) {
                return;
            }
            if self.windows[slot as usize] >= self.settings.library.max_in_flight {
                let queue = &mut self.queues[number as usize];
                if !std::mem::replace(&mut queue.blocked, true) {
                    self.blocked.push_back(number);
                }
                return;
            }
            self.send_from(number, slot, io, shared);
        }
    }

    /// Whether idempotence, or the order of its batches, lets this partition send to this leader now.
    fn may_send(&mut self, number: u32, slot: Slot) -> bool {
        let library = &self.settings.library;
        let queue = &mut self.queues[number as usize];
        if queue.in_flight > 0 {
            if library.one_in_flight_by_partition && library.max_in_flight == 1 {
                return false;
            }
            let moved = queue.sent_to != Some(slot);
            queue.sequences.draining |= moved && library.drains_before_new_leader;
        }
        let identity = match self.standing {
            Standing::Plain => return true,
            Standing::Have(identity) => identity,
            Standing::Waiting | Standing::Wanted | Standing::Bumping(_) => return false,
        };
        let queue = &mut self.queues[number as usize];
        if let Some(txn) = &mut self.txn
            && !txn.may_send(queue.id)
        {
            return false;
        }
        if queue.in_flight == 0 {
            queue.sequences.draining = false;
            if queue.sequences.identity != Some(identity) {
                queue.adopt(identity);
            }
        }
        let stale = queue.sequences.identity != Some(identity);
        !queue.sequences.draining && !stale && queue.in_flight < IDEMPOTENT_BATCHES
    }

    /// What leaves together with this partition's next batch, in the order of the partitions after it.
    fn companions(&mut self, number: u32, slot: Slot, now: Time) -> Vec<u32> {
        let mut others = Vec::new();
        if self.settings.library.carries == Carries::OnePartition {
            return others;
        }
        let mut bytes = self.queues[number as usize].may_join(&self.limits, now).unwrap_or_default();
        let behind = (number + 1..self.queues.len() as u32).chain(0..number);
        for other in behind {
            let queue = &self.queues[other as usize];
            let Some(more) = queue.may_join(&self.limits, now) else { continue };
            if self.net.metadata.leader(queue.id) != Some(slot) || !self.may_send(other, slot) {
                continue;
            }
            bytes = bytes.saturating_add(more);
            if bytes > self.settings.library.max_record_bytes {
                break;
            }
            others.push(other);
        }
        others
    }

    /// Sends this partition's next batch, with what the library sends along.
    fn send_from(&mut self, number: u32, slot: Slot, io: &mut dyn Io, shared: &Shared) {
        let others = self.companions(number, slot, io.now());
        let mut batches = self.spare.pop().unwrap_or_default();
        let mut sent = Few::with_capacity(1 + others.len());
        let wall = io.wall();
        let mut take = |number: u32| {
            let queue = &mut self.queues[number as usize];
            if let Some(attempted) = queue.take(&self.limits, wall) {
                queue.in_flight += 1;
                queue.sent_to = Some(slot);
                sent.push((queue.id, Arc::clone(&attempted.batch)));
                batches.push((number, attempted));
            }
        };
        take(number);
        others.into_iter().for_each(take);
        let request = ProduceRequest {
            acks: self.settings.acks.into(),
            timeout: self.settings.library.ack_timeout,
            txn: self.txn.as_ref().map(|txn| txn.of_produce()),
            batches: sent,
        };
        let body = RequestBody::Produce(request);
        if self.settings.acks == Acks::None {
            self.net.conns.send_unanswered(slot, body, io);
            return self.unacknowledged(&batches, io, shared);
        }
        self.windows[slot as usize] += 1;
        let timeout = self.timeout_of(&batches, io.now());
        self.net.conns.send(slot, body, What::Client(Asked::Produce(batches)), timeout, io);
    }

    fn timeout_of(&self, batches: &[(u32, Attempted)], now: Time) -> Duration {
        let timeout = self.net.request_timeout();
        match self.settings.library.timed_out {
            TimedOut::ForgetBatch => timeout,
            TimedOut::CloseConnection => {
                let first = batches.iter().map(|(_, attempted)| attempted.created).min().unwrap_or(now);
                let left = (first + self.settings.library.delivery_timeout).since(now);
                left.max(LEAST_TIMEOUT).min(timeout)
            }
        }
    }

    fn unacknowledged(&mut self, batches: &[(u32, Attempted)], io: &mut dyn Io, _shared: &Shared) {
        let error =
            Error::new(ErrorClass::Retriable, "NO_ACK", "sent with acks=0: nobody says what became of it");
        for (number, attempted) in batches {
            self.queues[*number as usize].in_flight -= 1;
            self.tell(&attempted.ops, &Outcome::Unknown(error.clone(), None), io);
        }
    }

    /// Tells operations their outcome, and whoever waits for room that there is some.
    pub(super) fn tell(&mut self, ops: &[OpId], outcome: &Outcome<squall_bus::Ack>, io: &mut dyn Io) {
        for op in ops {
            io.emit(Output::Sent(*op, outcome.clone()));
        }
        self.released(ops.len() as u32, io);
    }

    /// So many records have their outcome.
    pub(super) fn released(&mut self, records: u32, io: &mut dyn Io) {
        let was_full = self.buffered >= self.settings.buffer;
        self.buffered = self.buffered.saturating_sub(records);
        if was_full && self.buffered < self.settings.buffer {
            io.emit(Output::Room(io.node()));
        }
    }

    fn close(&mut self, op: Option<OpId>, io: &mut dyn Io, shared: &Shared) {
        self.closing = Some(op);
        self.flush = self.taken;
        self.serve_all(io, shared);
        self.finish_close(io);
    }

    /// Once a close was asked for and every record has its outcome, the process ends.
    fn finish_close(&mut self, io: &mut dyn Io) {
        if self.buffered > 0 {
            return;
        }
        if let Some(op) = self.closing.take() {
            if let Some(op) = op {
                io.emit(Output::Done(op, Outcome::Ok(())));
            }
            io.exit();
        }
    }
}
