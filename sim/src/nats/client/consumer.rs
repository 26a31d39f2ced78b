//! The consumer: makes its consumers in the streams, pulls from all of them, hands records out, acknowledges.
//!
//! - A member of a group asks for its topics' partitions, makes the group's durable consumers (which are there
//!   already when another member came first), and tells `Assigned` with all units, once. There is no
//!   assignment: every member pulls from all, and whose pull is first in the queue gets the next message. So
//!   there is no `Revoked` and no `Lost`, and commits are refused.
//! - A reader of chosen units has a consumer of its own for each ([`pulls`](super::pulls)).
//! - Records are handed out as they came. A close hands back (nak) what was not handed out, so that nobody has
//!   to wait for it, and ends when the acks under way are confirmed or given up.
//! - What a subscription has no room for is dropped, and told as an error that the consumer survives.
//! - What the bus gave up is told as [`given_up`](super::given_up) says.
//! - A caller learns of a connection that broke and of a pull that was silent too long as errors it survives.

use super::{
    Io, Timer,
    acks::Acks,
    deadlines::Due,
    given_up::{Fetched, GivenUp},
    link::{Learned, Link},
    outcome::Answer,
    pulls::{Next, Pull, Stage},
    settings::{AGAIN, ConsumerSettings, PULL_BATCH},
};
use crate::{
    kernel::{Event, Site},
    model::{Call, OpId, Output},
    nats::{
        ApiError, Shared,
        config::{AckPolicy, ConsumerConfig, DeliverPolicy},
        protocol::{
            AckBody, ApiRequest, ApiResponse, ClientMsg, ConsumerId, Delivery as Delivered, GroupIx, Msg,
            ServerMsg, Status, StreamIx,
        },
    },
};
use squall_bus::{
    Capability, ConsumerEvent, Delivery, Error, ErrorClass, Outcome, Position, Record, ResetPolicy,
    SLOW_CONSUMER, Subscription, Unit, lowering,
};
use std::{collections::VecDeque, sync::Arc, task::Poll};

const EPHEMERAL: Site = Site::new("nats.client.ephemeral-consumer");

/// A topic of the group, until its partitions are known.
#[derive(Clone, Copy, Debug)]
struct Topic {
    stream: StreamIx,
    question: u32,
    partitions: Option<u32>,
}

/// A message that was not handed out yet, and the place of its pull.
#[derive(Clone, Debug)]
struct Waiting {
    pull: usize,
    message: Delivered,
}

/// A consumer.
#[derive(Clone, Debug)]
pub struct Consumer {
    settings: ConsumerSettings,
    link: Link,
    group: Option<GroupIx>,
    topics: Vec<Topic>,
    /// Chosen units, until their consumers are asked for.
    chosen: Vec<(StreamIx, Unit, Option<Position>)>,
    pulls: Vec<Pull>,
    fetched: VecDeque<Waiting>,
    acks: Acks,
    given_up: GivenUp,
    events: VecDeque<ConsumerEvent>,
    assigned: bool,
    ephemerals: u64,
    closing: Option<Option<OpId>>,
    fatal: Option<Error>,
}

impl Consumer {
    pub(super) fn new(settings: ConsumerSettings, shared: &Shared) -> Result<Self, Error> {
        let unknown = |what: &str| {
            let message = format!("{what} was never heard of in this cluster");
            Error::new(ErrorClass::Refused, "INVALID_CONFIG", message)
        };
        let (mut group, mut topics, mut chosen) = (None, Vec::new(), Vec::new());
        match &settings.subscription {
            Subscription::Group { group: name, topics: names } => {
                group = Some(shared.names.find_group(name).ok_or_else(|| unknown(name))?);
                for topic in names {
                    let stream = shared.names.find_stream(topic).ok_or_else(|| unknown(topic.as_str()))?;
                    topics.push(Topic { stream, question: 0, partitions: None });
                }
            }
            Subscription::Assign(units) => {
                for (unit, position) in units {
                    let stream = shared.names.find_stream(&unit.topic);
                    let stream = stream.ok_or_else(|| unknown(unit.topic.as_str()))?;
                    chosen.push((stream, unit.clone(), *position));
                }
            }
        }
        Ok(Self {
            link: Link::new(shared.servers),
            acks: Acks::new(settings.confirm_acks),
            given_up: GivenUp::default(),
            settings,
            group,
            topics,
            chosen,
            pulls: Vec::new(),
            fetched: VecDeque::new(),
            events: VecDeque::new(),
            assigned: false,
            ephemerals: 0,
            closing: None,
            fatal: None,
        })
    }

    pub(super) fn on(&mut self, event: Event<Msg, Timer>, io: &mut dyn Io, shared: &Shared) {
        match event {
            Event::Started(_) => self.start(io),
            Event::Stopping => self.close(None, io),
            event => match self.link.on(event, io) {
                Learned::Nothing => {}
                Learned::Up { again } => {
                    self.given_up.subscribe(&mut self.link, io);
                    if again {
                        self.reconnected(io);
                    }
                }
                Learned::Down => {
                    let message = "the connection to the server broke";
                    self.report(Error::new(ErrorClass::Retriable, "DISCONNECTED", message), io);
                }
                Learned::Answer(question, response) => match self.given_up.answered(question, &response) {
                    Some(fetched) => self.exhausted(fetched, io, shared),
                    None => self.answered(question, &response, io, shared),
                },
                Learned::Said(message) => self.said(message, io),
                Learned::Due => {
                    while let Some(due) = self.link.next_due(io) {
                        self.due(due, io);
                    }
                }
            },
        }
        self.ask(io);
        self.finish_close(io);
    }

    fn start(&mut self, io: &mut dyn Io) {
        for topic in &mut self.topics {
            topic.question = self.link.ask(ApiRequest::StreamInfo(topic.stream), io);
        }
        let chosen = std::mem::take(&mut self.chosen);
        let units: Vec<_> = chosen.iter().map(|(_, unit, position)| (unit.clone(), *position)).collect();
        let batch = batch(self.settings.prefetch, chosen.len());
        for (stream, unit, position) in chosen {
            let deliver = position.map_or(DeliverPolicy::All, |at| DeliverPolicy::FromSequence(at.0));
            let partition = Some(unit.partition);
            let config = ConsumerConfig {
                deliver,
                ack: AckPolicy::None,
                replicas: Some(1),
                ..ConsumerConfig::new(partition)
            };
            let id = self.ephemeral(stream, io);
            self.make(id, config, batch, Some(unit), io);
        }
        if self.group.is_none() {
            self.tell(ConsumerEvent::Assigned(units), io);
        }
        self.link.connection.start(io);
    }

    fn ephemeral(&mut self, stream: StreamIx, io: &mut dyn Io) -> ConsumerId {
        self.ephemerals += 1;
        ConsumerId::ephemeral(stream, io.choices().draw(EPHEMERAL, u64::from(io.node().0), self.ephemerals))
    }

    /// Makes a consumer in a stream, to pull from.
    fn make(
        &mut self,
        id: ConsumerId,
        config: ConsumerConfig,
        batch: u32,
        unit: Option<Unit>,
        io: &mut dyn Io,
    ) {
        let question = self.link.ask(ApiRequest::ConsumerCreate(id, Arc::new(config.clone())), io);
        let inbox = self.link.inbox();
        self.pulls.push(Pull::new(id, config, unit, batch, inbox, question));
    }

    fn answered(&mut self, question: u32, response: &ApiResponse, io: &mut dyn Io, shared: &Shared) {
        if let Some(place) = self.topics.iter().position(|topic| topic.question == question)
            && self.topics[place].partitions.is_none()
        {
            let stream = self.topics[place].stream;
            match response {
                ApiResponse::Stream(info) => {
                    self.topics[place].partitions = Some(info.config.partitions);
                    self.make_durables(io);
                }
                // It may be created yet.
                _ => self.topics[place].question = self.link.ask_later(ApiRequest::StreamInfo(stream), io),
            }
            return;
        }
        let made = self.pulls.iter().position(|pull| pull.stage == Stage::Making(question));
        let Some(place) = made else { return };
        match response {
            ApiResponse::Consumer(_) => {
                self.pulls[place].stage = Stage::Ready;
                self.tell_assigned(io, shared);
            }
            ApiResponse::Error(error @ ApiError::ConsumerExists) => {
                let message = format!("the group exists with other settings: {error}");
                self.end_with(Error::new(ErrorClass::Fatal, error.err_code().to_string(), message), io);
            }
            _ => {
                let config = Arc::new(self.pulls[place].next_config());
                let again = ApiRequest::ConsumerCreate(self.pulls[place].consumer, config);
                self.pulls[place].stage = Stage::Making(self.link.ask_later(again, io));
            }
        }
    }

    /// Makes the group's consumers, once all topics are known.
    fn make_durables(&mut self, io: &mut dyn Io) {
        let Some(group) = self.group else { return };
        let known: Option<Vec<(StreamIx, u32)>> =
            self.topics.iter().map(|topic| Some((topic.stream, topic.partitions?))).collect();
        let Some(topics) = known else { return };
        if self.settings.max_deliver.is_some() {
            for (stream, _) in &topics {
                self.given_up.listen(*stream, group, self.link.inbox());
            }
            self.given_up.subscribe(&mut self.link, io);
        }
        let ordered = self.settings.ordered;
        let deliver = match self.settings.reset {
            ResetPolicy::Earliest => DeliverPolicy::All,
            ResetPolicy::Latest => DeliverPolicy::New,
        };
        let count = if ordered {
            topics.iter().map(|(_, partitions)| *partitions as usize).sum()
        } else {
            topics.len()
        };
        let batch = batch(self.settings.prefetch, count);
        for (stream, partitions) in topics {
            let all = if ordered { (0..partitions).map(Some).collect() } else { vec![None] };
            for partition in all {
                let max_ack_pending = partition.map(|_| lowering::ORDERED_ACK_PENDING);
                let config = ConsumerConfig {
                    deliver,
                    max_ack_pending,
                    ack_wait: self.settings.ack_wait,
                    max_deliver: self.settings.max_deliver,
                    ..ConsumerConfig::new(partition)
                };
                self.make(ConsumerId::durable(stream, group, partition), config, batch, None, io);
            }
        }
    }

    /// Tells the group's units, once all its consumers are there.
    fn tell_assigned(&mut self, io: &mut dyn Io, shared: &Shared) {
        if self.assigned || self.group.is_none() || self.pulls.iter().any(|pull| pull.stage != Stage::Ready) {
            return;
        }
        self.assigned = true;
        let units = self.topics.iter().flat_map(|topic| {
            let partitions = topic.partitions.unwrap_or(0);
            (0..partitions).map(|partition| (shared.names.unit(topic.stream, partition), None))
        });
        let event = ConsumerEvent::Assigned(units.collect());
        self.tell(event, io);
    }

    /// Sends the pulls that are due.
    fn ask(&mut self, io: &mut dyn Io) {
        if self.closing.is_some() || self.fatal.is_some() || (self.group.is_some() && !self.assigned) {
            return;
        }
        let now = io.now();
        for place in 0..self.pulls.len() {
            let pull = &mut self.pulls[place];
            if pull.should_ask(now) {
                let request = pull.request(now);
                let message = ClientMsg::Pull(pull.consumer, request, pull.inbox);
                self.link.send(message, io);
                self.watch(place, io);
            }
        }
    }

    /// Looks at the pull again when it would have been silent too long.
    fn watch(&mut self, place: usize, io: &mut dyn Io) {
        let pull = &mut self.pulls[place];
        pull.look += 1;
        let due = Due::Pull(place as u32, pull.look);
        self.link.deadlines.add(pull.silent_at(), due, io);
    }

    fn said(&mut self, message: ServerMsg, io: &mut dyn Io) {
        match message {
            ServerMsg::Deliver(inbox, message) => self.delivered(inbox, message, io),
            ServerMsg::AckReply(inbox) => self.acks.confirmed(inbox, &mut self.link, io),
            ServerMsg::Status(inbox, status) => {
                let is_ack = status == Status::NoResponders
                    && self.acks.over(inbox, Answer::NoResponders, &mut self.link, io);
                if !is_ack {
                    self.status(inbox, status, io);
                }
            }
            ServerMsg::Info(_)
            | ServerMsg::Ping
            | ServerMsg::Pong
            | ServerMsg::PubAck(..)
            | ServerMsg::Api(..) => {}
            ServerMsg::Advisory(inbox, advisory) => self.given_up.heard(inbox, advisory, &mut self.link, io),
        }
    }

    /// The pull that this inbox belongs to, if its subscription has room for what comes; else that is dropped.
    fn subscription(&mut self, inbox: u64, io: &mut dyn Io) -> Option<usize> {
        let place = self.pulls.iter().position(|pull| pull.inbox == inbox)?;
        if self.pulls[place].has_room(self.settings.buffer) {
            return Some(place);
        }
        let message =
            format!("a subscription is full with {} messages: one was dropped", self.settings.buffer);
        self.report(Error::new(ErrorClass::Retriable, SLOW_CONSUMER, message), io);
        None
    }

    /// What the bus gave up is here, or is not to be had.
    fn exhausted(&mut self, fetched: Fetched, io: &mut dyn Io, shared: &Shared) {
        match fetched {
            Ok((consumer, token, message)) => {
                let tag = self.acks.tag(consumer, token, false);
                let delivery = delivery(&Delivered { consumer, token, message }, tag, shared);
                self.tell(ConsumerEvent::Exhausted(delivery), io);
            }
            Err(error) => self.report(error, io),
        }
    }

    fn delivered(&mut self, inbox: u64, message: Delivered, io: &mut dyn Io) {
        let Some(place) = self.subscription(inbox, io) else { return };
        if !self.pulls[place].delivered(&message, io.now()) {
            return self.begin_anew(place, io);
        }
        self.fetched.push_back(Waiting { pull: place, message });
        io.emit(Output::Readable(io.node()));
    }

    fn status(&mut self, inbox: u64, status: Status, io: &mut dyn Io) {
        let Some(place) = self.subscription(inbox, io) else { return };
        match self.pulls[place].status(status, io.now()) {
            Next::Wait | Next::Ask => {}
            Next::Pause if !self.pulls[place].wants_acks() => self.begin_anew(place, io),
            Next::Pause => {
                self.pulls[place].not_before = io.now() + AGAIN;
                self.pulls[place].look += 1;
                let due = Due::Pull(place as u32, self.pulls[place].look);
                self.link.due_after(AGAIN, due, io);
            }
            Next::Gone => self.begin_anew(place, io),
        }
    }

    /// Makes the consumer of this pull again: the group's, or the next of its own. A pause before, since whatever
    /// took it may still be going on.
    fn begin_anew(&mut self, place: usize, io: &mut dyn Io) {
        let pull = &self.pulls[place];
        let (stream, config, durable) = (pull.consumer.stream, pull.next_config(), pull.wants_acks());
        let id = if durable { pull.consumer } else { self.ephemeral(stream, io) };
        let question = self.link.ask_later(ApiRequest::ConsumerCreate(id, Arc::new(config)), io);
        let inbox = if durable { self.pulls[place].inbox } else { self.link.inbox() };
        self.pulls[place].begin_anew(id, question);
        self.pulls[place].inbox = inbox;
    }

    fn due(&mut self, due: Due, io: &mut dyn Io) {
        match due {
            Due::Ack(inbox) => {
                self.acks.over(inbox, Answer::Silence, &mut self.link, io);
            }
            Due::Pull(place, look) => self.look(place as usize, look, io),
            Due::Question(_) | Due::Attempt(_) | Due::Again(_) | Due::Bound(_) => {}
        }
    }

    /// Looks whether a pull has been silent too long.
    fn look(&mut self, place: usize, look: u32, io: &mut dyn Io) {
        let pull = &mut self.pulls[place];
        if pull.look != look || pull.stage != Stage::Ready {
            return;
        }
        if pull.has_waiting() {
            pull.busy(io.now());
        }
        if pull.silent_at() > io.now() {
            return self.watch(place, io);
        }
        pull.forget();
        if !pull.wants_acks() {
            self.begin_anew(place, io);
        }
        let message = "a pull got neither a record nor a heartbeat";
        self.report(Error::new(ErrorClass::Retriable, "MISSED_HEARTBEAT", message), io);
    }

    /// What was asked of the server before is lost with its connection.
    fn reconnected(&mut self, io: &mut dyn Io) {
        for place in 0..self.pulls.len() {
            if self.pulls[place].stage != Stage::Ready {
                continue;
            }
            if self.pulls[place].wants_acks() {
                self.pulls[place].forget();
            } else {
                self.begin_anew(place, io);
            }
        }
    }

    pub(super) fn call(&mut self, call: Call, io: &mut dyn Io, _: &Shared) {
        let (op, tag, body) = match call {
            Call::Ack(op, tag) => (op, tag, AckBody::Ack),
            Call::Nack(op, tag, delay) => (op, tag, AckBody::Nak((!delay.is_zero()).then_some(delay))),
            Call::Term(op, tag) => (op, tag, AckBody::Term),
            Call::Extend(op, tag) => (op, tag, AckBody::Progress),
            Call::Commit(op, _) => {
                let message = "records are acknowledged one by one, not by positions: ack instead";
                let error = Error::new(ErrorClass::Refused, "WRONG_CALL", message);
                return io.emit(Output::Done(op, Outcome::Fail(error)));
            }
            Call::Send(op, _) => {
                let error = Error::new(ErrorClass::Refused, "WRONG_HANDLE", "a consumer does not send");
                return io.emit(Output::Sent(op, Outcome::Fail(error)));
            }
            Call::Seek(unit, position) => return self.seek(&unit, position, io),
            Call::Txn(op, _) => {
                let error = Error::unsupported(Capability::Transactions);
                return io.emit(Output::Done(op, Outcome::Fail(error)));
            }
            Call::Close(op) => {
                self.close(Some(op), io);
                return self.finish_close(io);
            }
            Call::Flush => return,
        };
        self.acks.ack(op, tag, body, &mut self.link, io);
    }

    fn seek(&mut self, unit: &Unit, position: Position, io: &mut dyn Io) {
        let Some(place) = self.pulls.iter().position(|pull| pull.chosen.as_ref() == Some(unit)) else {
            let message =
                format!("{unit} is not among the units that this reader chose: a group cannot seek");
            return self.report(Error::new(ErrorClass::Refused, "WRONG_CALL", message), io);
        };
        self.pulls[place].seek(position.0);
        self.fetched.retain(|fetched| fetched.pull != place);
        self.pulls[place].cleared();
        self.begin_anew(place, io);
    }

    /// The next record for the caller.
    pub(super) fn take_record(&mut self, io: &mut dyn Io, shared: &Shared) -> Poll<Result<Delivery, Error>> {
        if let Some(error) = &self.fatal {
            return Poll::Ready(Err(error.clone()));
        }
        let Some(Waiting { pull: place, message }) = self.fetched.pop_front() else { return Poll::Pending };
        let pull = &mut self.pulls[place];
        pull.handed_out(io.now());
        let tag = self.acks.tag(message.consumer, message.token, pull.wants_acks());
        self.ask(io);
        Poll::Ready(Ok(delivery(&message, tag, shared)))
    }

    /// The next event for the caller.
    pub(super) fn take_event(&mut self) -> Option<ConsumerEvent> {
        self.events.pop_front()
    }

    fn tell(&mut self, event: ConsumerEvent, io: &mut dyn Io) {
        self.events.push_back(event);
        io.emit(Output::Eventful(io.node()));
    }

    fn report(&mut self, error: Error, io: &mut dyn Io) {
        self.tell(ConsumerEvent::Error(error), io);
    }

    /// The consumer is finished.
    fn end_with(&mut self, error: Error, io: &mut dyn Io) {
        self.fatal = Some(error);
        io.emit(Output::Readable(io.node()));
    }

    fn close(&mut self, op: Option<OpId>, io: &mut dyn Io) {
        if self.closing.is_some() {
            return;
        }
        self.closing = Some(op);
        for Waiting { pull, message } in std::mem::take(&mut self.fetched) {
            if self.pulls[pull].wants_acks() {
                self.link.send(ClientMsg::Ack(message.consumer, message.token, AckBody::Nak(None), None), io);
            }
        }
    }

    /// Once a close was asked for and no ack waits, the process ends.
    fn finish_close(&mut self, io: &mut dyn Io) {
        if self.closing.is_none() || !self.acks.settled() {
            return;
        }
        if let Some(Some(op)) = self.closing.take() {
            io.emit(Output::Done(op, Outcome::Ok(())));
        }
        self.fatal = Some(Error::closed());
        io.exit();
    }
}

/// A delivery as the caller gets it.
fn delivery(delivered: &Delivered, tag: u64, shared: &Shared) -> Delivery {
    let stored = &delivered.message;
    let unit = shared.names.unit(delivered.consumer.stream, stored.partition);
    let record = Record { partition: Some(stored.partition), ..(*stored.record).clone() };
    Delivery { record, unit, position: Position(stored.seq), attempt: Some(delivered.token.delivered), tag }
}

/// How many records one pull of so many asks for.
fn batch(prefetch: u32, pulls: usize) -> u32 {
    let share = prefetch / u32::try_from(pulls).unwrap_or(u32::MAX).max(1);
    share.clamp(1, PULL_BATCH)
}
