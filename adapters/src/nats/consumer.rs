//! A consumer.
//!
//! - A member of a group makes sure that the group's durable consumers are there (`lowering::durables`), pulls from
//!   all of them, and tells `Assigned` with all units, once: there is no assignment. What was delivered and not
//!   acknowledged within the ack wait is delivered again, to whoever pulls.
//! - A reader of given units has an ordered consumer for each, which the client makes anew when it misses something.
//! - At most `prefetch` records wait here, or one where a `buffer` is named, so that it is the only one; beyond that
//!   nothing is taken from async-nats' subscriptions, each of which keeps `buffer` messages (65,536 unless said) and
//!   drops what comes beyond, statuses too. That is told as an error that the consumer survives, and the server delivers
//!   the message again after the ack wait.
//! - A member of a group with `max_deliver` is in the group's queue for the advisories about its durable consumers, and
//!   tells what they gave up: see `given_up`.
//! - `ack`, `nack`, `term` and `extend` are answered when the server has taken them; without `confirm_acks` they are
//!   only sent, and their outcome is unknown. A delivery waits for a word until an ack or term of it is taken.
//!   There is nothing to commit.
//! - A pull that fails (no leader, missed heartbeats) is reported as an event and begun again after a pause.
//! - Closing hands back what was fetched ahead and not read. See the parent module for what a crash is.

use super::{
    NatsConfig, codes,
    connection::{REQUEST, Worker, connect_to_read},
    pull,
};
use crate::handles::Crash;
use async_nats::{Client, Request, client::RequestErrorKind};
use bytes::Bytes;
use squall_bus::{
    Completer, Consumer, ConsumerConfig, ConsumerEvent, Delivery, Error, ErrorClass, Outcome, Pending,
    Position, Record, SLOW_CONSUMER, Subscription, Unit,
};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{
    sync::{
        Notify,
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    },
    task::{AbortHandle, JoinSet},
};

/// The most events that wait; beyond that the oldest error makes room.
const MOST_EVENTS: usize = 1_000;

/// A consumer over async-nats.
pub struct NatsConsumer {
    shared: Arc<Shared>,
    /// What the task shall do.
    requests: UnboundedSender<Ask>,
    task: AbortHandle,
    confirms: bool,
}

/// What the handle and the tasks share.
pub(super) struct Shared {
    state: Mutex<State>,
    /// Somebody took a record.
    room: Notify,
    /// How many records wait here at most.
    room_for: usize,
    grouped: bool,
}

#[derive(Default)]
struct State {
    records: VecDeque<Fetched>,
    events: VecDeque<ConsumerEvent>,
    reader: Option<Waker>,
    listener: Option<Waker>,
    /// Deliveries that the reader got and that wait for a word.
    /// By their tags; with the subject that takes it.
    open: BTreeMap<u64, String>,
    /// Where a reader of given units shall go on; the number changes with every seek.
    starts: BTreeMap<Unit, Start>,
    tags: u64,
    closed: bool,
    fatal: Option<Error>,
}

/// Where to read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) from: Option<Position>,
    /// How many seeks there have been.
    pub(super) seeks: u64,
}

/// A record that was fetched and not read.
pub(super) struct Fetched {
    pub(super) record: Record,
    pub(super) unit: Unit,
    pub(super) position: Position,
    pub(super) attempt: Option<u32>,
    /// The subject that takes the ack; none where none is wanted.
    pub(super) reply: Option<String>,
}

enum Ask {
    /// Say this about a delivery.
    Say {
        words: Bytes,
        tag: u64,
        /// The subject that takes it.
        reply: String,
        /// Whether the delivery is done with then.
        ends: bool,
        completer: Completer<Outcome<()>>,
    },
    Close(Completer<()>),
}

impl fmt::Debug for NatsConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NatsConsumer")
    }
}

impl NatsConsumer {
    pub(super) fn open(bus: &NatsConfig, config: &ConsumerConfig, worker: &Worker) -> Result<Self, Error> {
        config.without_group_settings()?;
        if config.auto_commit.is_some() {
            let says = "records are acknowledged one by one, and nothing is committed on a timer: leave auto_commit out";
            return Err(Error::new(ErrorClass::Refused, "INVALID_CONFIG", says));
        }
        if config.ack_wait == Some(Duration::ZERO)
            || config.max_deliver == Some(0)
            || config.buffer == Some(0)
        {
            let says = "ack_wait, max_deliver and buffer must be above zero";
            return Err(Error::new(ErrorClass::Refused, "INVALID_CONFIG", says));
        }
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            room: Notify::new(),
            room_for: config.buffer.map_or(config.prefetch.max(1), |_| 1) as usize,
            grouped: matches!(config.subscription, Subscription::Group { .. }),
        });
        if let Subscription::Assign(units) = &config.subscription {
            let starts = units.iter().map(|(unit, from)| (unit.clone(), Start { from: *from, seeks: 0 }));
            shared.lock().starts = starts.collect();
            shared.event(ConsumerEvent::Assigned(units.clone()));
        }
        let (requests, asked) = unbounded_channel();
        let (bus, config, own, confirms) =
            (bus.clone(), config.clone(), Arc::clone(&shared), config.confirm_acks);
        let task = worker.spawn(async move {
            let (slow, most) = (Arc::clone(&own), config.buffer);
            let dropped = move || slow.event(ConsumerEvent::Error(slow_consumer(most)));
            match connect_to_read(&bus, &config.client, config.buffer, dropped).await {
                Ok(client) => serve(client, &config, bus.ack_wait, own, asked).await,
                Err(error) => own.fatal(error),
            }
        })?;
        Ok(Self { shared, requests, task, confirms })
    }

    /// Says something about a delivery; whether that `ends` it.
    fn say(&self, delivery: &Delivery, words: impl Into<Bytes>, ends: bool) -> Pending<Outcome<()>> {
        let state = self.shared.lock();
        let (closed, reply) = (state.closed, state.open.get(&delivery.tag).cloned());
        drop(state);
        if closed {
            return Pending::done(Outcome::Fail(Error::closed()));
        }
        let Some(reply) = reply else {
            let says = "there is no such delivery, or it needs no ack, or it has one";
            return Pending::done(Outcome::Fail(Error::new(ErrorClass::Refused, "NO_SUCH_DELIVERY", says)));
        };
        let (completer, pending) = Pending::pair();
        let (words, tag) = (words.into(), delivery.tag);
        if self.requests.send(Ask::Say { words, tag, reply, ends, completer }).is_err() {
            return Pending::done(Outcome::Fail(Error::closed()));
        }
        if self.confirms {
            return pending;
        }
        if ends {
            self.shared.lock().open.remove(&delivery.tag);
        }
        let says = "nobody says what became of the ack";
        Pending::done(Outcome::Unknown(Error::new(ErrorClass::Retriable, "NOT_CONFIRMED", says), None))
    }
}

impl Drop for NatsConsumer {
    fn drop(&mut self) {
        self.crash();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn event(&self, event: ConsumerEvent) {
        let mut state = self.lock();
        let is_error = |event: &ConsumerEvent| matches!(event, ConsumerEvent::Error(_));
        if state.events.len() >= MOST_EVENTS
            && let Some(oldest) = state.events.iter().position(is_error)
        {
            state.events.remove(oldest);
        }
        state.events.push_back(event);
        let listener = state.listener.take();
        drop(state);
        listener.into_iter().for_each(Waker::wake);
    }

    /// The group's consumers gave this record up after so many deliveries.
    pub(super) fn exhausted(&self, fetched: Fetched) {
        let mut state = self.lock();
        state.tags += 1;
        let tag = state.tags;
        drop(state);
        let Fetched { record, unit, position, attempt, .. } = fetched;
        self.event(ConsumerEvent::Exhausted(Delivery { record, unit, position, attempt, tag }));
    }

    fn fatal(&self, error: Error) {
        let mut state = self.lock();
        state.fatal = Some(error.clone());
        let reader = state.reader.take();
        drop(state);
        self.event(ConsumerEvent::Error(error));
        reader.into_iter().for_each(Waker::wake);
    }

    fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let wakers = [state.reader.take(), state.listener.take()];
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// Where a unit is to be read from.
    pub(super) fn start(&self, unit: &Unit) -> Option<Start> {
        self.lock().starts.get(unit).copied()
    }

    /// Resolves when there is room for a record.
    pub(super) async fn has_room(&self) {
        while self.lock().records.len() >= self.room_for {
            let taken = self.room.notified();
            // Between the look and the wait it may have been taken.
            if self.lock().records.len() >= self.room_for {
                taken.await;
            }
        }
    }

    /// Takes a record for the reader, unless it was sought past since: whether it was taken.
    pub(super) fn fetched(&self, fetched: Fetched, start: Option<Start>) -> bool {
        let mut state = self.lock();
        if start.is_some() && state.starts.get(&fetched.unit) != start.as_ref() {
            return false;
        }
        state.records.push_back(fetched);
        let reader = state.reader.take();
        drop(state);
        reader.into_iter().for_each(Waker::wake);
        true
    }
}

fn slow_consumer(buffer: Option<u32>) -> Error {
    let most = buffer.map_or("what it keeps".to_owned(), |most| format!("{most} messages"));
    Error::new(
        ErrorClass::Retriable,
        SLOW_CONSUMER,
        format!("a subscription is full with {most}: one was dropped"),
    )
}

/// The task of a consumer: its pullers, and what is said about deliveries.
async fn serve(
    client: Client,
    config: &ConsumerConfig,
    ack_wait: Option<Duration>,
    shared: Arc<Shared>,
    mut asked: UnboundedReceiver<Ask>,
) {
    let confirms = config.confirm_acks;
    let mut pullers = pull::all(&client, config, ack_wait, &shared);
    let mut words = JoinSet::new();
    while let Some(ask) = asked.recv().await {
        match ask {
            Ask::Say { words: said, reply, completer, .. } if !confirms => {
                // Its outcome is told already. What cannot even be written is as lost as what is lost on the way.
                let _ = client.publish(reply, said).await;
                drop(completer);
            }
            Ask::Say { words: said, tag, reply, ends, completer } => {
                let (client, shared) = (client.clone(), Arc::clone(&shared));
                words.spawn(async move {
                    let outcome = say(&client, said, reply).await;
                    if ends && outcome.is_ok() {
                        shared.lock().open.remove(&tag);
                    }
                    completer.complete(outcome).into_iter().for_each(Waker::wake);
                });
            }
            Ask::Close(completer) => {
                pullers.shutdown().await;
                let unread: Vec<String> =
                    shared.lock().records.drain(..).filter_map(|fetched| fetched.reply).collect();
                for reply in unread {
                    let client = client.clone();
                    words.spawn(async move { drop(say(&client, Bytes::from_static(b"-NAK"), reply).await) });
                }
                while words.join_next().await.is_some() {}
                completer.complete(()).into_iter().for_each(Waker::wake);
                return;
            }
        }
        while words.try_join_next().is_some() {}
    }
}

/// Says something to the server, and awaits that it has taken it.
async fn say(client: &Client, words: Bytes, reply: String) -> Outcome<()> {
    let request = Request::new().payload(words).timeout(Some(REQUEST));
    match client.send_request(reply, request).await {
        Ok(_) => Outcome::Ok(()),
        Err(error) => {
            let number = match error.kind() {
                RequestErrorKind::NoResponders => codes::NO_RESPONDERS,
                RequestErrorKind::TimedOut => codes::TIMED_OUT,
                RequestErrorKind::MaxPayloadExceeded => codes::TOO_LARGE,
                RequestErrorKind::InvalidSubject => codes::INVALID,
                RequestErrorKind::Other => codes::CLOSED,
            };
            let failed = codes::error(number, error.to_string());
            if codes::may_be_stored(number) { Outcome::Unknown(failed, None) } else { Outcome::Fail(failed) }
        }
    }
}

impl Crash for NatsConsumer {
    fn crash(&self) {
        self.shared.close();
        self.task.abort();
    }
}

impl Consumer for NatsConsumer {
    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Result<Delivery, Error>> {
        let mut state = self.shared.lock();
        if state.closed {
            return Poll::Ready(Err(Error::closed()));
        }
        let Some(Fetched { record, unit, position, attempt, reply }) = state.records.pop_front() else {
            if let Some(error) = &state.fatal {
                return Poll::Ready(Err(error.clone()));
            }
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        state.tags += 1;
        let tag = state.tags;
        if let Some(reply) = reply {
            state.open.insert(tag, reply);
        }
        drop(state);
        self.shared.room.notify_waiters();
        Poll::Ready(Ok(Delivery { record, unit, position, attempt, tag }))
    }

    fn poll_event(&self, cx: &mut Context<'_>) -> Poll<ConsumerEvent> {
        let mut state = self.shared.lock();
        let event = state.events.pop_front();
        if event.is_none() {
            state.listener = Some(cx.waker().clone());
        }
        event.map_or(Poll::Pending, Poll::Ready)
    }

    fn ack(&self, delivery: &Delivery) -> Pending<Outcome<()>> {
        self.say(delivery, Bytes::from_static(b"+ACK"), true)
    }

    fn nack(&self, delivery: &Delivery, delay: Duration) -> Pending<Outcome<()>> {
        let words = if delay.is_zero() {
            "-NAK".to_owned()
        } else {
            format!("-NAK {{\"delay\":{}}}", delay.as_nanos())
        };
        self.say(delivery, words, false)
    }

    fn term(&self, delivery: &Delivery, reason: &str) -> Pending<Outcome<()>> {
        self.say(delivery, format!("+TERM {reason}"), true)
    }

    fn extend(&self, delivery: &Delivery) -> Pending<Outcome<()>> {
        self.say(delivery, Bytes::from_static(b"+WPI"), false)
    }

    fn commit(&self, _positions: Vec<(Unit, Position)>) -> Pending<Outcome<()>> {
        let says = "records are acknowledged one by one, and there are no positions to commit: call ack";
        Pending::done(Outcome::Fail(Error::new(ErrorClass::Refused, "WRONG_CALL", says)))
    }

    fn seek(&self, unit: &Unit, position: Position) -> Result<(), Error> {
        let mut state = self.shared.lock();
        if state.closed {
            return Err(Error::closed());
        }
        if self.shared.grouped {
            let says = "a group's place is where its consumers are: only a reader of given units can seek";
            return Err(Error::new(ErrorClass::Unsupported, "SEEK", says));
        }
        let Some(start) = state.starts.get_mut(unit) else {
            let says = format!("{unit} is not assigned to this consumer");
            return Err(Error::new(ErrorClass::Refused, "NOT_ASSIGNED", says));
        };
        *start = Start { from: Some(position), seeks: start.seeks + 1 };
        state.records.retain(|fetched| fetched.unit != *unit);
        drop(state);
        self.shared.room.notify_waiters();
        Ok(())
    }

    fn close(&self) -> Pending<()> {
        let (completer, pending) = Pending::pair();
        self.shared.close();
        if let Err(unsent) = self.requests.send(Ask::Close(completer))
            && let Ask::Close(completer) = unsent.0
        {
            completer.complete(()).into_iter().for_each(Waker::wake);
        }
        pending
    }
}
