//! A consumer.
//!
//! - A thread of its own polls librdkafka, and only on demand: while the reader (or, before the first record,
//!   the listener) waits, and in a short burst when the reader takes a record and few are left. A reader that
//!   is busy with a record is not polled for, so rebalances wait for it and `max.poll.interval.ms` applies.
//! - Between `Revoked` or `Lost` and the next `Assigned` of a unit none of its records reaches the reader.
//! - After `Revoked` the rebalance waits until the listener asks for the next event (at most [`LAST_WORD`], and
//!   only if there is a listener and the consumer is not being closed), and until commits that were made
//!   before are through: so a last commit is possible. After `Lost` it does not wait: it would be too late.
//! - Commits go one after the other on a second thread, each awaited at the coordinator. With automatic commits
//!   the position is stored when the reader gets the record.
//! - `Reset` is told when a record comes from before the position that was to be read next, and when it comes from
//!   behind it after librdkafka's log said that the position was reset. Any other jump ahead is a gap that transactions
//!   or a cleaned log leave.
//! - Closing leaves the group. See the parent module for what a crash is.

mod doors;

use super::{
    KafkaConfig, bus_error, config,
    context::Membership,
    number,
    offload::discard,
    producer::{offsets, refused},
};
use crate::wire::codes;
use bytes::Bytes;
use rdkafka::{
    Message, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerGroupMetadata},
    error::KafkaError,
    message::{BorrowedMessage, Headers},
};
use squall_bus::{
    Completer, ConsumerConfig, ConsumerEvent, Delivery, Error, ErrorClass, Header, Outcome, Position, Record,
    Subscription, Topic, Unit,
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::Waker,
    thread,
    time::{Duration, Instant},
};

/// How long a rebalance waits for the listener's last word.
pub const LAST_WORD: Duration = Duration::from_secs(5);
/// How many records are taken from librdkafka ahead of the reader.
const AHEAD: usize = 128;
/// How many may be left when the next burst begins.
const FEW: usize = 16;
/// The most events that wait; beyond that the oldest error makes room.
const MOST_EVENTS: usize = 1_000;
const POLL: Duration = Duration::from_millis(20);
/// librdkafka sends a commit again after `retry.backoff.ms`, 100 ms less a fifth at the soonest: one that ended within
/// this time was sent once.
const SOONEST_RETRY: Duration = Duration::from_millis(50);

type Client = BaseConsumer<Membership>;

/// A consumer over librdkafka.
pub struct KafkaConsumer {
    shared: Arc<Shared>,
    client: Mutex<Option<Arc<Client>>>,
    group: Option<String>,
}

/// What the handle, the two threads and librdkafka's callbacks share.
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    stores: bool,
    /// What the polling thread holds in its hands. Only that thread touches it, also when librdkafka calls
    /// back from a poll: units that are revoked then are taken out of it.
    batch: Mutex<Vec<(Unit, Position, Record)>>,
}

#[derive(Default)]
struct State {
    records: VecDeque<Delivery>,
    events: VecDeque<ConsumerEvent>,
    reader: Option<Waker>,
    listener: Option<Waker>,
    /// The reader waits for a record.
    wanted: bool,
    /// A burst is due.
    burst: bool,
    /// The reader is busy with a record.
    busy: bool,
    /// The last question for an event was left open: somebody listens.
    listens: bool,
    /// The units that are its own, with the position to be read next where it is known.
    owned: BTreeMap<Unit, Option<Position>>,
    /// Those of them whose position was refused: the next record comes from elsewhere.
    resets: BTreeSet<Unit>,
    /// Seeks that the polling thread has not carried out.
    seeks: VecDeque<(Unit, Position)>,
    commits: VecDeque<Commit>,
    /// A commit is on its way.
    committing: bool,
    tags: u64,
    end: Option<End>,
    /// The error that ended it.
    fatal: Option<Error>,
}

struct Commit {
    positions: Vec<(Unit, Position)>,
    completer: Completer<Outcome<()>>,
}

enum End {
    Crash,
    Close(Option<Completer<()>>),
}

impl fmt::Debug for KafkaConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KafkaConsumer({})", self.group.as_deref().unwrap_or("alone"))
    }
}

impl KafkaConsumer {
    pub(super) fn open(bus: &KafkaConfig, config: &ConsumerConfig) -> Result<Self, Error> {
        config.without_redelivery()?;
        let stores = config.auto_commit.is_some();
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            stores,
            batch: Mutex::default(),
        });
        let context = Membership { shared: Arc::clone(&shared) };
        let mut settings = config::consumer(bus, config);
        // Resets are warnings.
        settings.set_log_level(RDKafkaLogLevel::Warning);
        let client: Client = settings.create_with_context(context).map_err(|error| refused(&error))?;
        let group = match &config.subscription {
            Subscription::Group { group, topics } => {
                let topics: Vec<&str> = topics.iter().map(Topic::as_str).collect();
                client.subscribe(&topics).map_err(|error| bus_error(&error))?;
                Some(group.clone())
            }
            Subscription::Assign(units) => {
                client.assign(&starts(units)).map_err(|error| bus_error(&error))?;
                shared.assigned(units.clone());
                None
            }
        };
        let client = Arc::new(client);
        let consumer = Self { shared, client: Mutex::new(Some(Arc::clone(&client))), group };
        consumer.serve("squall-poll", Arc::clone(&client), Shared::poll_all)?;
        consumer.serve("squall-commit", client, Shared::commit_all)?;
        Ok(consumer)
    }

    fn serve(&self, name: &str, client: Arc<Client>, work: fn(&Shared, Arc<Client>)) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        let spawned = thread::Builder::new().name(name.to_owned()).spawn(move || work(&shared, client));
        spawned.map(drop).map_err(|error| {
            codes::error(-196, format!("the threads of a consumer could not be started: {error}"))
        })
    }

    /// The group, if it is in one.
    pub(super) fn group(&self) -> Option<&str> {
        self.group.as_deref()
    }

    /// Its membership, for a transaction.
    pub(super) fn group_metadata(&self) -> Option<ConsumerGroupMetadata> {
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
        client?.group_metadata()
    }

    fn end(&self, end: End) {
        let mut state = self.shared.lock();
        if state.end.is_some() {
            if let End::Close(Some(completer)) = end
                && let Some(waker) = completer.complete(())
            {
                drop(state);
                waker.wake();
            }
            return;
        }
        state.end = Some(end);
        let wakers = [state.reader.take(), state.listener.take()];
        drop(state);
        self.shared.changed.notify_all();
        wakers.into_iter().flatten().for_each(Waker::wake);
        discard(self.client.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Drop for KafkaConsumer {
    fn drop(&mut self) {
        self.end(End::Crash);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, within: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, within).unwrap_or_else(PoisonError::into_inner).0
    }

    /// The polling thread.
    fn poll_all(&self, client: Arc<Client>) {
        loop {
            let mut state = self.lock();
            while state.end.is_none() && !state.is_polling() && state.seeks.is_empty() {
                state = self.wait(state, Duration::from_secs(3600));
            }
            if state.end.is_some() {
                break;
            }
            let seek = state.seeks.front().cloned();
            let within = if state.records.is_empty() { POLL } else { Duration::ZERO };
            drop(state);
            match seek {
                Some((unit, position)) => self.carry_out(&client, &unit, position),
                None => self.poll_once(&client, within),
            }
        }
        self.finish(client);
    }

    /// Polls for one record, and takes what else is there.
    fn poll_once(&self, client: &Client, mut within: Duration) {
        let mut is_over = false;
        for _ in 0..AHEAD {
            match client.poll(within) {
                Some(Ok(message)) => self.hold(&message),
                Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                    let mut error = codes::error(code as i32, "the consumer cannot go on");
                    error.class = ErrorClass::Fatal;
                    self.fatal(error);
                }
                Some(Err(error)) => self.error(bus_error(&error)),
                // What there was is there: the burst is over.
                None => {
                    is_over = true;
                    break;
                }
            }
            within = Duration::ZERO;
        }
        self.hand_over(is_over);
    }

    fn batch(&self) -> MutexGuard<'_, Vec<(Unit, Position, Record)>> {
        self.batch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold(&self, message: &BorrowedMessage<'_>) {
        let mut batch = self.batch();
        let partition = u32::try_from(message.partition()).unwrap_or(0);
        let before = batch.last().map(|(unit, ..)| &unit.topic);
        let topic = match before {
            Some(topic) if topic.as_str() == message.topic() => topic.clone(),
            _ => Topic::new(message.topic()),
        };
        let unit = Unit { topic, partition };
        let position = Position(u64::try_from(message.offset()).unwrap_or(0));
        let record = record(message, &unit);
        batch.push((unit, position, record));
    }

    /// Drops the client, which leaves the group if it can, and tells who waits for that.
    fn finish(&self, mut client: Arc<Client>) {
        // The committing thread lets go of its share after its last commit.
        let client = loop {
            match Arc::try_unwrap(client) {
                Ok(client) => break client,
                Err(shared) => client = shared,
            }
            thread::sleep(Duration::from_millis(1));
        };
        drop(client);
        if let Some(End::Close(completer)) = &mut self.lock().end
            && let Some(waker) = completer.take().and_then(|completer| completer.complete(()))
        {
            waker.wake();
        }
    }

    /// Hands what was polled to the reader.
    fn hand_over(&self, is_over: bool) {
        let batch = std::mem::take(&mut *self.batch());
        let mut state = self.lock();
        let mut was_reset = false;
        for (unit, position, record) in batch {
            was_reset |= state.received(unit, position, record);
        }
        if is_over || state.records.len() >= AHEAD {
            state.burst = false;
        }
        let listener = if was_reset { state.listener.take() } else { None };
        let reader = if state.records.is_empty() { None } else { state.reader.take() };
        state.wanted &= state.records.is_empty();
        drop(state);
        reader.into_iter().chain(listener).for_each(Waker::wake);
    }

    /// Units became its own.
    pub(super) fn assigned(&self, units: Vec<(Unit, Option<Position>)>) {
        let mut state = self.lock();
        state.owned.extend(units.iter().cloned());
        self.announce(state, ConsumerEvent::Assigned(units));
    }

    /// The position of a unit is reset.
    pub(super) fn reset(&self, unit: Unit) {
        let mut state = self.lock();
        if state.owned.contains_key(&unit) {
            state.resets.insert(unit);
        }
    }

    /// Units are to be handed back, or are gone already.
    pub(super) fn revoked(&self, units: Vec<Unit>, lost: bool) {
        self.batch().retain(|(unit, ..)| !units.contains(unit));
        let mut state = self.lock();
        for unit in &units {
            state.owned.remove(unit);
            state.resets.remove(unit);
        }
        state.records.retain(|record| !units.contains(&record.unit));
        state.seeks.retain(|(unit, _)| !units.contains(unit));
        let listens = state.listens;
        let event = if lost { ConsumerEvent::Lost(units) } else { ConsumerEvent::Revoked(units) };
        self.announce(state, event);
        if lost {
            return;
        }
        let end = Instant::now() + LAST_WORD;
        let mut state = self.lock();
        loop {
            // The listener is back for the next event when the queue is empty and its question is open.
            let heard = !listens || (state.events.is_empty() && state.listens);
            let committed = state.commits.is_empty() && !state.committing;
            let left = end.saturating_duration_since(Instant::now());
            // Who closes has had the last word.
            if (heard && committed) || left.is_zero() || state.end.is_some() {
                return;
            }
            state = self.wait(state, left);
        }
    }

    /// An error that the client survives.
    pub(super) fn error(&self, error: Error) {
        self.announce(self.lock(), ConsumerEvent::Error(error));
    }

    fn fatal(&self, error: Error) {
        let mut state = self.lock();
        state.fatal = Some(error.clone());
        state.wanted = false;
        let reader = state.reader.take();
        self.announce(state, ConsumerEvent::Error(error));
        reader.into_iter().for_each(Waker::wake);
    }

    fn announce(&self, mut state: MutexGuard<'_, State>, event: ConsumerEvent) {
        state.event(event);
        let listener = state.listener.take();
        drop(state);
        listener.into_iter().for_each(Waker::wake);
    }

    fn carry_out(&self, client: &Client, unit: &Unit, position: Position) {
        let partition = i32::try_from(unit.partition).unwrap_or(i32::MAX);
        let offset = Offset::Offset(i64::try_from(position.0).unwrap_or(i64::MAX));
        let sought = client.seek(unit.topic.as_str(), partition, offset, Duration::from_secs(5));
        let mut state = self.lock();
        // It may have been revoked, and its seeks forgotten, meanwhile.
        if state.seeks.front().is_some_and(|front| *front == (unit.clone(), position)) {
            state.seeks.pop_front();
        }
        if let Some(expected) = state.owned.get_mut(unit) {
            *expected = Some(position);
        }
        drop(state);
        if let Err(error) = sought {
            self.error(codes::error(-172, format!("{unit} could not be read from {position} on: {error}")));
        }
    }

    /// The committing thread.
    fn commit_all(&self, client: Arc<Client>) {
        let mut state = self.lock();
        loop {
            if let Some(commit) = state.commits.pop_front() {
                if matches!(state.end, Some(End::Crash)) {
                    // A crashed process never learns what became of its commits.
                    continue;
                }
                state.committing = true;
                drop(state);
                let outcome = commit_now(&client, &commit.positions);
                let waker = commit.completer.complete(outcome);
                state = self.lock();
                state.committing = false;
                self.changed.notify_all();
                if let Some(waker) = waker {
                    drop(state);
                    waker.wake();
                    state = self.lock();
                }
            } else if state.end.is_some() {
                return;
            } else {
                state = self.wait(state, Duration::from_secs(3600));
            }
        }
    }
}

impl State {
    fn is_polling(&self) -> bool {
        let listened = self.listener.is_some() && !self.busy;
        self.fatal.is_none() && self.records.len() < AHEAD && (self.wanted || self.burst || listened)
    }

    /// Takes a record, unless it is not its own any more or was read before a seek. Whether it tells of a reset.
    fn received(&mut self, unit: Unit, position: Position, record: Record) -> bool {
        let sought = self.seeks.iter().any(|(sought, _)| *sought == unit);
        let Some(expected) = self.owned.get_mut(&unit).filter(|_| !sought) else { return false };
        let from = expected
            .filter(|expected| position < *expected || (position > *expected && self.resets.contains(&unit)));
        *expected = Some(position.next());
        if from.is_some() {
            self.resets.remove(&unit);
            self.event(ConsumerEvent::Reset { unit: unit.clone(), from, to: position });
        }
        self.tags += 1;
        let tag = self.tags;
        self.records.push_back(Delivery { record, unit, position, attempt: None, tag });
        from.is_some()
    }

    fn event(&mut self, event: ConsumerEvent) {
        if self.events.len() >= MOST_EVENTS {
            let error = self.events.iter().position(|event| matches!(event, ConsumerEvent::Error(_)));
            self.events.remove(error.unwrap_or(0));
        }
        self.events.push_back(event);
    }
}

fn commit_now(client: &Client, positions: &[(Unit, Position)]) -> Outcome<()> {
    let began = Instant::now();
    let committed = offsets(positions).and_then(|list| client.commit(&list, CommitMode::Sync));
    let one_attempt = began.elapsed() < SOONEST_RETRY;
    match committed {
        Ok(()) => Outcome::Ok(()),
        Err(error) => {
            let (code, says) = number(&error);
            codes::failed_commit(code.unwrap_or(-196), says, one_attempt)
        }
    }
}

fn starts(units: &[(Unit, Option<Position>)]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(units.len());
    for (unit, position) in units {
        let start = position.and_then(|position| i64::try_from(position.0).ok());
        let offset = start.map_or(Offset::Beginning, Offset::Offset);
        // Fails only for an offset that cannot be expressed; these two can.
        let _ = list.add_partition_offset(
            unit.topic.as_str(),
            i32::try_from(unit.partition).unwrap_or(i32::MAX),
            offset,
        );
    }
    list
}

fn record(message: &BorrowedMessage<'_>, unit: &Unit) -> Record {
    let bytes = |bytes: Option<&[u8]>| Bytes::copy_from_slice(bytes.unwrap_or_default());
    let header = |header: rdkafka::message::Header<'_, &[u8]>| Header {
        name: Arc::from(header.key),
        value: bytes(header.value),
    };
    Record {
        topic: unit.topic.clone(),
        partition: Some(unit.partition),
        key: message.key().map(Bytes::copy_from_slice),
        value: bytes(message.payload()),
        headers: message.headers().map(|headers| headers.iter().map(header).collect()).unwrap_or_default(),
    }
}
