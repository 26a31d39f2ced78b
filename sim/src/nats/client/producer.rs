//! The producer: publishes records, waits for their acks, and sends again what the policy says.
//!
//! - The number of partitions of a topic is asked for once, with its first record; until then records wait.
//! - At most `max_in_flight` publishes wait for their acks; what is not acknowledged in time got no answer, and
//!   an answer that comes later is nobody's. A connection that breaks ends no attempt.
//! - An idempotent producer has one record of a unit under way and sends it again, under its id, until it has an
//!   answer or its time is up; only then goes the next one. So a later record never overtakes one that is sent
//!   again. Another producer has as many of a unit under way as there is room for: those that are sent again
//!   come behind what went out meanwhile.
//! - Without acks nothing is waited for: the outcome is `unknown` (`NO_ACK`) as soon as the record is written.
//! - How a send ends is the table in [`outcome`](super::outcome).

use super::{
    Io, Timer,
    deadlines::Due,
    link::{Learned, Link},
    outcome::{self, Answer, Stored},
    settings::{AGAIN, ProducerSettings},
};
use crate::{
    kernel::{Event, Mark, Site, mix},
    model::{Call, OpId, Output},
    nats::{
        Shared,
        lookup::Lookup,
        protocol::{
            ApiRequest, ApiResponse, ClientMsg, Msg, MsgId, PubAck, Publish, ServerMsg, Status, StreamIx,
            record_bytes,
        },
    },
};
use squall_bus::{Ack, Acks, Capability, Error, ErrorClass, Outcome, Position, Record, Time, Unit, lowering};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

const PARTITION: Site = Site::new("nats.client.partition");
const SESSION: Site = Site::new("nats.client.session");

/// Keys up to this length always have a subject that is short enough.
const SHORT_KEY: usize = 512;

/// A unit's records go through here.
type LaneId = (StreamIx, u32);

/// A record that has no outcome yet.
#[derive(Clone, Debug)]
struct Underway {
    op: OpId,
    lane: LaneId,
    record: Arc<Record>,
    bound: Option<Time>,
    attempts: u32,
    /// An attempt may have been stored, or may still be.
    doubtful: bool,
    /// The attempt under way, and when it is over.
    attempt: Option<(u64, Time)>,
}

#[derive(Clone, Debug, Default)]
struct Lane {
    waiting: VecDeque<u64>,
    /// The one record that may be under way, where there is but one.
    holder: Option<u64>,
    /// It stands among the lanes that are ready.
    queued: bool,
}

#[derive(Clone, Debug, Default)]
struct Topic {
    partitions: Option<u32>,
    question: Option<u32>,
    waiting: Vec<u64>,
}

/// A producer.
#[derive(Clone, Debug)]
pub struct Producer {
    settings: ProducerSettings,
    link: Link,
    topics: BTreeMap<StreamIx, Topic>,
    lanes: BTreeMap<LaneId, Lane>,
    /// Lanes that have something to send, in turn.
    ready: VecDeque<LaneId>,
    /// Records to be sent again.
    again: VecDeque<u64>,
    records: Lookup<u64, Underway>,
    /// Records by the inbox of their attempt.
    attempts: Lookup<u64, u64>,
    taken: u64,
    session: u64,
    started: bool,
    closing: Option<Option<OpId>>,
}

impl Producer {
    pub(super) fn new(settings: ProducerSettings, servers: u32) -> Self {
        Self {
            settings,
            link: Link::new(servers),
            topics: BTreeMap::new(),
            lanes: BTreeMap::new(),
            ready: VecDeque::new(),
            again: VecDeque::new(),
            records: Lookup::default(),
            attempts: Lookup::default(),
            taken: 0,
            session: 0,
            started: false,
            closing: None,
        }
    }

    pub(super) fn on(&mut self, event: Event<Msg, Timer>, io: &mut dyn Io, shared: &Shared) {
        match event {
            Event::Started(_) => {
                self.started = true;
                self.session = io.choices().draw(SESSION, u64::from(io.node().0), 0);
                self.link.connection.start(io);
                io.emit(Output::Room(io.node()));
            }
            Event::Stopping => self.closing = Some(None),
            event => match self.link.on(event, io) {
                Learned::Nothing | Learned::Up { .. } | Learned::Down => {}
                Learned::Answer(question, response) => self.answered(question, &response, io),
                Learned::Said(message) => self.said(&message, io, shared),
                Learned::Due => {
                    while let Some(due) = self.link.next_due(io) {
                        self.due(due, io);
                    }
                }
            },
        }
        self.go_on(io);
        self.finish_close(io);
    }

    pub(super) fn call(&mut self, call: Call, io: &mut dyn Io, shared: &Shared) {
        match call {
            Call::Send(op, record) => self.send(op, record, io, shared),
            Call::Close(op) => self.closing = Some(Some(op)),
            Call::Txn(op, _) => {
                let error = Error::unsupported(Capability::Transactions);
                io.emit(Output::Done(op, Outcome::Fail(error)));
            }
            Call::Ack(op, _)
            | Call::Nack(op, ..)
            | Call::Term(op, _)
            | Call::Extend(op, _)
            | Call::Commit(op, _) => {
                let error = Error::new(ErrorClass::Refused, "WRONG_HANDLE", "a producer does not consume");
                io.emit(Output::Done(op, Outcome::Fail(error)));
            }
            // Nothing lingers.
            Call::Flush | Call::Seek(..) => {}
        }
        self.go_on(io);
        self.finish_close(io);
    }

    pub(super) fn has_room(&self) -> Result<bool, Error> {
        if self.closing.is_some() {
            return Err(Error::closed());
        }
        Ok(self.started && self.records.len() < self.settings.buffer as usize)
    }

    fn send(&mut self, op: OpId, record: Record, io: &mut dyn Io, shared: &Shared) {
        let number = self.taken;
        self.taken += 1;
        if let Err(error) = check(&record, shared) {
            return io.emit(Output::Sent(op, Outcome::Fail(error)));
        }
        let Some(stream) = shared.names.find_stream(&record.topic) else { return };
        let bound = self.settings.resending.delivery_timeout.map(|timeout| io.now() + timeout);
        if let Some(at) = bound {
            self.link.deadlines.add(at, Due::Bound(number), io);
        }
        let underway = Underway {
            op,
            lane: (stream, 0),
            record: Arc::new(record),
            bound,
            attempts: 0,
            doubtful: false,
            attempt: None,
        };
        self.records.insert(number, underway);
        let topic = self.topics.entry(stream).or_default();
        match topic.partitions {
            Some(partitions) => self.assign(number, partitions, io),
            None => {
                topic.waiting.push(number);
                if topic.question.is_none() {
                    topic.question = Some(self.link.ask(ApiRequest::StreamInfo(stream), io));
                }
            }
        }
    }

    /// An answer about a topic.
    fn answered(&mut self, question: u32, response: &ApiResponse, io: &mut dyn Io) {
        let asked = self.topics.iter_mut().find(|(_, topic)| topic.question == Some(question));
        let Some((_, topic)) = asked else { return };
        topic.question = None;
        let waiting = std::mem::take(&mut topic.waiting);
        match response {
            ApiResponse::Stream(info) => {
                topic.partitions = Some(info.config.partitions);
                waiting.into_iter().for_each(|number| self.assign(number, info.config.partitions, io));
            }
            ApiResponse::Error(error) => {
                for number in waiting {
                    self.end(number, outcome::given_up(Answer::Refused(*error), false), io);
                }
            }
            ApiResponse::Consumer(_) | ApiResponse::Deleted | ApiResponse::Message(_) => {}
        }
    }

    /// Gives a record its unit.
    fn assign(&mut self, number: u64, partitions: u32, io: &mut dyn Io) {
        let Some(underway) = self.records.get_mut(&number) else { return };
        let record = &underway.record;
        let partition = record.partition.unwrap_or_else(|| {
            let drawn = match record.key.as_deref() {
                Some(key) if !key.is_empty() => 0,
                _ => io.choices().draw(PARTITION, content(record), 0) as u32,
            };
            lowering::partition(record.key.as_deref(), partitions, drawn)
        });
        underway.lane.1 = partition;
        let id = underway.lane;
        let lane = self.lanes.entry(id).or_default();
        lane.waiting.push_back(number);
        if lane.holder.is_none() && !std::mem::replace(&mut lane.queued, true) {
            self.ready.push_back(id);
        }
    }

    /// Sends what can be sent.
    fn go_on(&mut self, io: &mut dyn Io) {
        while self.attempts.len() < self.settings.max_in_flight as usize && self.link.connection.has_room() {
            let Some(number) = self.again.pop_front().or_else(|| self.next_of_lanes()) else { return };
            self.publish(number, io);
        }
    }

    fn next_of_lanes(&mut self) -> Option<u64> {
        while let Some(id) = self.ready.pop_front() {
            let lane = self.lanes.get_mut(&id)?;
            lane.queued = false;
            while let Some(number) = lane.waiting.pop_front() {
                // Its time may have been over while it waited.
                if !self.records.contains_key(&number) {
                    continue;
                }
                if self.settings.idempotent {
                    lane.holder = Some(number);
                } else if !lane.waiting.is_empty() {
                    lane.queued = true;
                    self.ready.push_back(id);
                }
                return Some(number);
            }
        }
        None
    }

    fn publish(&mut self, number: u64, io: &mut dyn Io) {
        let with_ack = self.settings.acks != Acks::None;
        let inbox = self.link.inbox();
        let Some(underway) = self.records.get_mut(&number) else { return };
        underway.attempts += 1;
        let id = u128::from(self.session) << 64 | u128::from(number);
        let publish = Publish {
            stream: underway.lane.0,
            partition: underway.lane.1,
            record: Arc::clone(&underway.record),
            msg_id: self.settings.idempotent.then(|| underway.record.id().map_or(MsgId(id), MsgId::named)),
        };
        if with_ack {
            let at = io.now() + self.settings.ack_timeout;
            underway.attempt = Some((inbox, at));
            self.attempts.insert(inbox, number);
            self.link.deadlines.add(at, Due::Attempt(inbox), io);
        }
        self.link.send(ClientMsg::Publish(publish, with_ack.then_some(inbox)), io);
        if !with_ack {
            let message = "sent with acks=0: nobody says what became of it";
            let error = Error::new(ErrorClass::Retriable, "NO_ACK", message);
            self.end(number, Outcome::Unknown(error, None), io);
        }
    }

    fn said(&mut self, message: &ServerMsg, io: &mut dyn Io, shared: &Shared) {
        match message {
            ServerMsg::PubAck(inbox, PubAck::Stored { seq, duplicate, .. }) => {
                let Some(number) = self.attempt_ended(*inbox) else { return };
                let Some(underway) = self.records.get(&number) else { return };
                let unit: Unit = shared.names.unit(underway.lane.0, underway.lane.1);
                let ack = Ack { unit, position: Some(Position(*seq)), duplicate: *duplicate };
                self.end(number, Outcome::Ok(ack), io);
            }
            ServerMsg::PubAck(inbox, PubAck::Refused(error)) => {
                self.over(*inbox, Answer::Refused(*error), io);
            }
            ServerMsg::Status(inbox, Status::NoResponders) => self.over(*inbox, Answer::NoResponders, io),
            _ => {}
        }
    }

    fn due(&mut self, due: Due, io: &mut dyn Io) {
        match due {
            Due::Attempt(inbox) => self.over(inbox, Answer::Silence, io),
            Due::Again(number) => self.again.push_back(number),
            Due::Bound(number) => {
                // An attempt that is under way may still be answered.
                if let Some(underway) = self.records.get(&number)
                    && underway.attempt.is_none()
                {
                    let outcome = outcome::out_of_time(underway.doubtful);
                    self.end(number, outcome, io);
                }
            }
            Due::Question(_) | Due::Ack(_) | Due::Pull(..) => {}
        }
    }

    /// Takes an attempt for over: its record.
    fn attempt_ended(&mut self, inbox: u64) -> Option<u64> {
        let number = self.attempts.remove(&inbox)?;
        let (_, at) = self.records.get_mut(&number)?.attempt.take()?;
        self.link.deadlines.remove(at, Due::Attempt(inbox));
        Some(number)
    }

    /// An attempt ended without an ack.
    fn over(&mut self, inbox: u64, answer: Answer, io: &mut dyn Io) {
        let Some(number) = self.attempt_ended(inbox) else { return };
        let Some(underway) = self.records.get_mut(&number) else { return };
        let meaning = outcome::of_publish(answer);
        let next = if meaning.pause { io.now() + AGAIN } else { io.now() };
        let in_time = underway.bound.is_none_or(|bound| next < bound);
        if !meaning.again || !in_time || underway.attempts > self.settings.resending.retries {
            let outcome = outcome::given_up(answer, underway.doubtful);
            return self.end(number, outcome, io);
        }
        underway.doubtful |= meaning.stored == Stored::Maybe;
        io.mark(Mark::BatchSentAgain);
        if meaning.pause {
            self.link.deadlines.add(next, Due::Again(number), io);
        } else {
            self.again.push_back(number);
        }
    }

    /// A record has its outcome.
    fn end(&mut self, number: u64, outcome: Outcome<Ack>, io: &mut dyn Io) {
        let Some(underway) = self.records.remove(&number) else { return };
        if let Some(at) = underway.bound {
            self.link.deadlines.remove(at, Due::Bound(number));
        }
        if let Some(lane) = self.lanes.get_mut(&underway.lane)
            && lane.holder == Some(number)
        {
            lane.holder = None;
            if !lane.waiting.is_empty() && !std::mem::replace(&mut lane.queued, true) {
                self.ready.push_back(underway.lane);
            }
        }
        io.emit(Output::Sent(underway.op, outcome));
        if self.records.len() + 1 == self.settings.buffer as usize {
            io.emit(Output::Room(io.node()));
        }
    }

    /// Once a close was asked for and every record has its outcome, the process ends.
    fn finish_close(&mut self, io: &mut dyn Io) {
        if !self.records.is_empty() {
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

/// What the library refuses by itself.
fn check(record: &Record, shared: &Shared) -> Result<(), Error> {
    let (bytes, most) = (record_bytes(record), shared.rules.max_payload);
    if bytes > most {
        let message = format!("the record takes {bytes} bytes, the server allows {most}");
        return Err(Error::new(ErrorClass::Refused, "MAX_PAYLOAD_EXCEEDED", message));
    }
    match record.key.as_deref() {
        Some(key) if key.len() > SHORT_KEY => {
            lowering::subject(&Unit::new(&record.topic, u32::MAX), Some(key)).map(drop)
        }
        _ => Ok(()),
    }
}

/// Names a record by what it holds, so that its draws do not depend on other records.
fn content(record: &Record) -> u64 {
    record.value.chunks(8).fold(record.value.len() as u64, |hash, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        mix(hash, u64::from_le_bytes(word))
    })
}
