//! A consumer.
//!
//! - A member of a group makes sure that the group's durable consumers are there ([`lowering::durables`]) and pulls
//!   from all of them. The wait for an ack is `session_timeout`, else the server's default of 30 s: a record that
//!   was delivered and not acknowledged by then is delivered again, to whoever pulls.
//! - A reader of given units has an ordered consumer for each, which the client makes anew when it misses something.
//! - At most `prefetch` records wait here; beyond that nothing is taken from the connection.
//! - `ack`, `nack`, `term` and `extend` are requests, answered when the server has taken them. A delivery is done
//!   with after the first three. `commit` acknowledges every delivery that the reader got from before the given
//!   positions and did not acknowledge yet.
//! - A pull that fails (no leader, a missed heartbeat) is reported as an event and begun again after a pause.
//! - There is no assignment: a member of a group gets no such events. A reader of given units gets one at the start.
//! - Closing hands back what was fetched ahead and not read. See the parent module for what a crash is.

use super::{
    NatsConfig, codes,
    connection::{REQUEST, Worker, connect},
    pull,
};
use async_nats::{Client, Request, client::RequestErrorKind};
use bytes::Bytes;
use squall_bus::{
    Completer, Consumer, ConsumerConfig, ConsumerEvent, Delivery, Error, ErrorClass, Outcome, Pending,
    Position, Record, Subscription, Unit,
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

/// The most events that wait; beyond that the oldest makes room.
const MOST_EVENTS: usize = 1_000;

/// A consumer over async-nats.
pub struct NatsConsumer {
    shared: Arc<Shared>,
    /// What the task shall do.
    requests: UnboundedSender<Ask>,
    task: AbortHandle,
}

/// What the handle and the tasks share.
pub(super) struct Shared {
    state: Mutex<State>,
    /// Somebody took a record.
    room: Notify,
    prefetch: usize,
    grouped: bool,
}

#[derive(Default)]
struct State {
    records: VecDeque<Fetched>,
    events: VecDeque<ConsumerEvent>,
    reader: Option<Waker>,
    listener: Option<Waker>,
    /// Deliveries that the reader got and that wait for a word.
    open: BTreeMap<u64, Open>,
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

/// A delivery that waits for a word.
struct Open {
    unit: Unit,
    position: Position,
    reply: String,
}

enum Ask {
    /// Say this about deliveries.
    Say {
        words: Bytes,
        to: Vec<String>,
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
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            room: Notify::new(),
            prefetch: config.prefetch.max(1) as usize,
            grouped: matches!(config.subscription, Subscription::Group { .. }),
        });
        if let Subscription::Assign(units) = &config.subscription {
            let starts = units.iter().map(|(unit, from)| (unit.clone(), Start { from: *from, seeks: 0 }));
            shared.lock().starts = starts.collect();
            shared.event(ConsumerEvent::Assigned(units.clone()));
        }
        let (requests, asked) = unbounded_channel();
        let (bus, config, own) = (bus.clone(), config.clone(), Arc::clone(&shared));
        let task = worker.spawn(async move {
            match connect(&bus, &config.client).await {
                Ok(client) => serve(client, &config, own, asked).await,
                Err(error) => own.fatal(error),
            }
        })?;
        Ok(Self { shared, requests, task })
    }

    /// Ends the client without ceremony.
    pub(super) fn crash(&self) {
        self.shared.close();
        self.task.abort();
    }

    /// Says something about deliveries, and awaits that the server has taken it.
    fn say(&self, words: impl Into<Bytes>, to: Vec<String>) -> Pending<Outcome<()>> {
        if self.shared.lock().closed {
            return Pending::done(Outcome::Fail(Error::closed()));
        }
        let (completer, pending) = Pending::pair();
        match self.requests.send(Ask::Say { words: words.into(), to, completer }) {
            Ok(()) => pending,
            Err(_) => Pending::done(Outcome::Fail(Error::closed())),
        }
    }

    /// The last word about a delivery, or not the last one.
    fn about(&self, delivery: &Delivery, words: impl Into<Bytes>, last: bool) -> Pending<Outcome<()>> {
        let mut state = self.shared.lock();
        let reply = state.open.get(&delivery.tag).map(|open| open.reply.clone());
        if last {
            state.open.remove(&delivery.tag);
        }
        drop(state);
        match reply {
            Some(reply) => self.say(words, vec![reply]),
            None => {
                let says = "there is no such delivery that waits for a word";
                Pending::done(Outcome::Fail(Error::new(ErrorClass::Refused, "NO_DELIVERY", says)))
            }
        }
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
        if state.events.len() >= MOST_EVENTS {
            state.events.pop_front();
        }
        state.events.push_back(event);
        let listener = state.listener.take();
        drop(state);
        listener.into_iter().for_each(Waker::wake);
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
        while self.lock().records.len() >= self.prefetch {
            let taken = self.room.notified();
            // Between the look and the wait it may have been taken.
            if self.lock().records.len() >= self.prefetch {
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

/// The task of a consumer: its pullers, and what is said about deliveries.
async fn serve(
    client: Client,
    config: &ConsumerConfig,
    shared: Arc<Shared>,
    mut asked: UnboundedReceiver<Ask>,
) {
    let mut pullers = pull::all(&client, config, &shared);
    let mut words = JoinSet::new();
    while let Some(ask) = asked.recv().await {
        match ask {
            Ask::Say { words: said, to, completer } => {
                let client = client.clone();
                words.spawn(async move {
                    let outcome = say_all(&client, &said, to).await;
                    completer.complete(outcome).into_iter().for_each(Waker::wake);
                });
            }
            Ask::Close(completer) => {
                pullers.shutdown().await;
                let unread: Vec<String> =
                    shared.lock().records.drain(..).filter_map(|fetched| fetched.reply).collect();
                let _ = say_all(&client, &Bytes::from_static(b"-NAK"), unread).await;
                while words.join_next().await.is_some() {}
                completer.complete(()).into_iter().for_each(Waker::wake);
                return;
            }
        }
        while words.try_join_next().is_some() {}
    }
}

/// Says the same about deliveries, about all at once; the worst outcome is the one of all.
async fn say_all(client: &Client, words: &Bytes, to: Vec<String>) -> Outcome<()> {
    let mut saying = JoinSet::new();
    for reply in to {
        let (client, words) = (client.clone(), words.clone());
        saying.spawn(async move { say(&client, words, reply).await });
    }
    let mut worst = Outcome::Ok(());
    while let Some(said) = saying.join_next().await {
        worst = match (worst, said.unwrap_or(Outcome::Unknown(Error::closed(), None))) {
            (worst @ Outcome::Unknown(..), _) | (worst, Outcome::Ok(())) => worst,
            (_, outcome) => outcome,
        };
    }
    worst
}

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
            state.open.insert(tag, Open { unit: unit.clone(), position, reply });
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
        self.about(delivery, Bytes::from_static(b"+ACK"), true)
    }

    fn nack(&self, delivery: &Delivery, delay: Duration) -> Pending<Outcome<()>> {
        let words = if delay.is_zero() {
            "-NAK".to_owned()
        } else {
            format!("-NAK {{\"delay\":{}}}", delay.as_nanos())
        };
        self.about(delivery, words, true)
    }

    fn term(&self, delivery: &Delivery, reason: &str) -> Pending<Outcome<()>> {
        self.about(delivery, format!("+TERM {reason}"), true)
    }

    fn extend(&self, delivery: &Delivery) -> Pending<Outcome<()>> {
        self.about(delivery, Bytes::from_static(b"+WPI"), false)
    }

    fn commit(&self, positions: Vec<(Unit, Position)>) -> Pending<Outcome<()>> {
        if !self.shared.grouped {
            let says = "a consumer outside of any group has nothing to commit";
            return Pending::done(Outcome::Fail(Error::new(ErrorClass::Refused, "NO_GROUP", says)));
        }
        let mut state = self.shared.lock();
        let before = |open: &Open| {
            positions.iter().any(|(unit, position)| *unit == open.unit && open.position < *position)
        };
        let tags: Vec<u64> =
            state.open.iter().filter(|(_, open)| before(open)).map(|(tag, _)| *tag).collect();
        let replies = tags.iter().filter_map(|tag| Some(state.open.remove(tag)?.reply)).collect();
        drop(state);
        self.say(Bytes::from_static(b"+ACK"), replies)
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
