//! A consumer of Java's. The program's thread polls and commits; here is what its reader and its listener wait for.

use super::{
    errors::JavaError,
    lines::bytes,
    link::{Door, Link},
    producer::opened_within,
    settings,
};
use crate::{handles::Crash, kafka::KafkaConfig, wire::codes};
use squall_bus::{
    Completer, Consumer, ConsumerConfig, ConsumerEvent, Delivery, Error, Header, Outcome, Pending, Position,
    Record, Subscription, Topic, Unit,
};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

/// Java sends a commit again after `retry.backoff.ms`, 100 ms less a fifth at the soonest: one that ended within this
/// time was sent once.
const SOONEST_RETRY: Duration = Duration::from_millis(50);
/// The most events that wait; beyond that the oldest error makes room.
const MOST_EVENTS: usize = 1_000;

/// A consumer of Java's.
pub(super) struct JavaConsumer {
    group: Option<String>,
    shared: Arc<Shared>,
}

/// What the handle and the answers share.
struct Shared {
    link: Arc<Link>,
    /// What the program knows it by.
    handle: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    records: VecDeque<Delivery>,
    events: VecDeque<ConsumerEvent>,
    reader: Option<Waker>,
    listener: Option<Waker>,
    /// The reader is busy with a record.
    busy: bool,
    /// The last question for an event was left open: somebody listens.
    listens: bool,
    /// The program polls until it finds something.
    polling: bool,
    /// A revocation waits for the listener's last word.
    owes: bool,
    /// The units that are its own, with the position to be read next where it is known.
    owned: BTreeMap<Unit, Option<Position>>,
    calls: u64,
    commits: BTreeMap<u64, (Instant, Completer<Outcome<()>>)>,
    /// Seeks that are not carried out.
    seeks: BTreeMap<u64, (Unit, Position)>,
    opening: Option<mpsc::Sender<Result<(), JavaError>>>,
    closing: Option<(u64, Completer<()>)>,
    ended: bool,
    tags: u64,
    last_error: Option<Error>,
    /// The error that ended it.
    fatal: Option<Error>,
}

impl fmt::Debug for JavaConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JavaConsumer({})", self.group.as_deref().unwrap_or("alone"))
    }
}

impl JavaConsumer {
    pub(super) fn open(link: Arc<Link>, bus: &KafkaConfig, config: &ConsumerConfig) -> Result<Self, Error> {
        config.without_redelivery()?;
        let (opening, opened) = mpsc::channel();
        let mut state = State { opening: Some(opening), ..State::default() };
        let (group, what): (_, Vec<String>) = match &config.subscription {
            Subscription::Group { group, topics } => {
                (Some(group.clone()), topics.iter().map(|topic| format!("topic:{topic}")).collect())
            }
            Subscription::Assign(units) => {
                state.owned.extend(units.iter().cloned());
                state.events.push_back(ConsumerEvent::Assigned(units.clone()));
                let place = |position: &Option<Position>| {
                    position.map_or_else(|| "-".to_owned(), |position| position.0.to_string())
                };
                (None, units.iter().map(|(unit, at)| format!("place:{unit}/{}", place(at))).collect())
            }
        };
        let handle = link.handle();
        let shared = Arc::new(Shared { link, handle, state: Mutex::new(state) });
        shared.link.open(handle, &shared);
        let settings = settings::consumer(bus, config);
        let settings = settings.into_iter().map(|(name, value)| format!("{name}={value}"));
        shared.say("consumer", 0, what.into_iter().chain(settings));
        let consumer = Self { group, shared };
        opened_within(&opened)?;
        Ok(consumer)
    }

    /// The group, if it is in one.
    pub(super) fn group(&self) -> Option<&str> {
        self.group.as_deref()
    }

    /// What the program knows it by.
    pub(super) fn handle(&self) -> u64 {
        self.shared.handle
    }
}

impl Drop for JavaConsumer {
    /// A consumer that is being closed leaves its group in good order, whoever still holds it.
    fn drop(&mut self) {
        let closes = self.shared.lock().closing.is_some();
        if !closes {
            self.crash();
        }
    }
}

impl Crash for JavaConsumer {
    fn crash(&self) {
        let mut state = self.shared.lock();
        state.ended = true;
        // A crashed process never learns what became of its commits.
        state.commits.clear();
        let (wakers, closing) = (state.wakers(), state.closing.take());
        drop(state);
        self.shared.link.end(self.shared.handle);
        let closed = closing.and_then(|(_, completer)| completer.complete(()));
        wakers.into_iter().chain(closed).for_each(Waker::wake);
    }
}

impl State {
    fn wakers(&mut self) -> Vec<Waker> {
        [self.reader.take(), self.listener.take()].into_iter().flatten().collect()
    }

    /// Whether the program is to poll, which it does not do yet.
    fn begins_to_poll(&mut self) -> bool {
        let waited_for = self.reader.is_some() || (self.listener.is_some() && !self.busy);
        let begins =
            waited_for && !self.polling && !self.ended && self.fatal.is_none() && self.records.is_empty();
        self.polling |= begins;
        begins
    }

    /// Takes a record, unless it is not its own any more or was read before a seek.
    fn received(&mut self, unit: Unit, position: Position, record: Record) {
        let sought = self.seeks.values().any(|(sought, _)| *sought == unit);
        let Some(expected) = self.owned.get_mut(&unit).filter(|_| !sought) else { return };
        let from = expected.filter(|expected| position < *expected);
        *expected = Some(position.next());
        if from.is_some() {
            self.event(ConsumerEvent::Reset { unit: unit.clone(), from, to: position });
        }
        self.tags += 1;
        let tag = self.tags;
        self.records.push_back(Delivery { record, unit, position, attempt: None, tag });
    }

    fn event(&mut self, event: ConsumerEvent) {
        if self.events.len() >= MOST_EVENTS {
            let error = self.events.iter().position(|event| matches!(event, ConsumerEvent::Error(_)));
            self.events.remove(error.unwrap_or(0));
        }
        self.events.push_back(event);
    }

    fn gave_up(&mut self, units: &[Unit]) {
        for unit in units {
            self.owned.remove(unit);
        }
        self.records.retain(|record| !units.contains(&record.unit));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says something to the program.
    fn say(&self, verb: &str, call: u64, rest: impl IntoIterator<Item = String>) {
        self.link.say(self.handle, verb, call, rest);
    }

    /// Has the program poll, if somebody waits.
    fn poll_if_waited_for(&self, mut state: MutexGuard<'_, State>) {
        if state.begins_to_poll() {
            self.say("poll", 0, []);
        }
    }

    /// Something happened to its units.
    fn units(&self, verb: &str, says: &[String]) {
        let places: Vec<_> = says.iter().filter_map(|field| place(field)).collect();
        let names: Vec<Unit> = places.iter().map(|(unit, _)| unit.clone()).collect();
        let mut state = self.lock();
        match verb {
            "assigned" => {
                state.owned.extend(places.iter().cloned());
                state.event(ConsumerEvent::Assigned(places));
            }
            "lost" => {
                state.gave_up(&names);
                state.event(ConsumerEvent::Lost(names));
            }
            _ => {
                state.gave_up(&names);
                state.event(ConsumerEvent::Revoked(names));
                state.owes = state.listens && !state.ended;
                if !state.owes {
                    self.say("heard", 0, []);
                }
            }
        }
        let listener = state.listener.take();
        drop(state);
        listener.into_iter().for_each(Waker::wake);
    }

    fn settle(&self, call: u64, failed: Option<&JavaError>) {
        let mut state = self.lock();
        let opening = if call == 0 { state.opening.take() } else { None };
        let closing = state.closing.take_if(|(number, _)| *number == call);
        let commit = state.commits.remove(&call);
        if let Some((unit, position)) = state.seeks.remove(&call)
            && failed.is_none()
            && let Some(expected) = state.owned.get_mut(&unit)
        {
            *expected = Some(position);
        }
        drop(state);
        if let Some(opening) = opening {
            // Whoever waited may have given up.
            let _ = opening.send(failed.cloned().map_or(Ok(()), Err));
        }
        let committed = commit.and_then(|(began, completer)| {
            let one_attempt = began.elapsed() < SOONEST_RETRY;
            completer.complete(failed.map_or(Outcome::Ok(()), |error| error.of_commit(one_attempt)))
        });
        let closed = closing.and_then(|(_, completer)| {
            self.link.forget(self.handle);
            completer.complete(())
        });
        committed.into_iter().chain(closed).for_each(Waker::wake);
    }

    /// An error that nobody asked for; `fatal` if it was the last.
    fn error(&self, error: Option<Error>, fatal: bool) {
        let mut state = self.lock();
        if let Some(error) = error {
            state.last_error = Some(error.clone());
            state.event(ConsumerEvent::Error(error));
        }
        if fatal {
            let mut error = state.last_error.clone().unwrap_or_else(Error::closed);
            error.class = squall_bus::ErrorClass::Fatal;
            state.fatal = Some(error);
        }
        let reader = if fatal { state.reader.take() } else { None };
        let listener = state.listener.take();
        drop(state);
        reader.into_iter().chain(listener).for_each(Waker::wake);
    }
}

impl Door for Shared {
    fn answer(&self, verb: &str, says: &[String]) {
        match verb {
            "record" => {
                if let Some((unit, position, record)) = record(says) {
                    self.lock().received(unit, position, record);
                }
            }
            "polled" => {
                let mut state = self.lock();
                state.polling = false;
                if state.records.is_empty() {
                    return self.poll_if_waited_for(state);
                }
                let wakers = state.wakers();
                drop(state);
                wakers.into_iter().for_each(Waker::wake);
            }
            "assigned" | "revoked" | "lost" => self.units(verb, says),
            "error" => self.error(Some(JavaError::of(says).error()), false),
            "finished" => self.error(None, true),
            "done" | "failed" => {
                let Some((call, says)) = says.split_first() else { return };
                let failed = (verb == "failed").then(|| JavaError::of_call(says));
                self.settle(call.parse().unwrap_or(u64::MAX), failed.as_ref());
            }
            _ => {}
        }
    }

    fn gone(&self) {
        let mut state = self.lock();
        let error = JavaError::gone().error();
        let commits = std::mem::take(&mut state.commits);
        let closing = state.closing.take();
        state.opening = None;
        drop(state);
        let committed = commits
            .into_values()
            .filter_map(|(_, completer)| completer.complete(Outcome::Unknown(error.clone(), None)));
        let closed = closing.and_then(|(_, completer)| completer.complete(()));
        committed.chain(closed).for_each(Waker::wake);
        self.error(Some(error), true);
    }
}

impl Consumer for JavaConsumer {
    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Result<Delivery, Error>> {
        let mut state = self.shared.lock();
        if state.ended {
            return Poll::Ready(Err(Error::closed()));
        }
        if let Some(delivery) = state.records.pop_front() {
            state.busy = true;
            return Poll::Ready(Ok(delivery));
        }
        if let Some(error) = &state.fatal {
            return Poll::Ready(Err(error.clone()));
        }
        state.reader = Some(cx.waker().clone());
        state.busy = false;
        self.shared.poll_if_waited_for(state);
        Poll::Pending
    }

    fn poll_event(&self, cx: &mut Context<'_>) -> Poll<ConsumerEvent> {
        let mut state = self.shared.lock();
        let event = state.events.pop_front();
        state.listens = event.is_none();
        if let Some(event) = event {
            return Poll::Ready(event);
        }
        state.listener = Some(cx.waker().clone());
        if std::mem::take(&mut state.owes) {
            self.shared.say("heard", 0, []);
        }
        self.shared.poll_if_waited_for(state);
        Poll::Pending
    }

    fn ack(&self, delivery: &Delivery) -> Pending<Outcome<()>> {
        self.commit(vec![(delivery.unit.clone(), delivery.position.next())])
    }

    fn commit(&self, positions: Vec<(Unit, Position)>) -> Pending<Outcome<()>> {
        if self.group.is_none() {
            let says = "a consumer outside of any group has nothing to commit";
            return Pending::done(Outcome::Fail(codes::error(-179, says)));
        }
        let mut state = self.shared.lock();
        if state.ended || state.closing.is_some() {
            return Pending::done(Outcome::Fail(Error::closed()));
        }
        state.calls += 1;
        let (completer, pending) = Pending::pair();
        let call = state.calls;
        state.commits.insert(call, (Instant::now(), completer));
        let places = positions.iter().map(|(unit, position)| format!("{unit}/{}", position.0));
        self.shared.say("commit", call, places);
        pending
    }

    fn seek(&self, unit: &Unit, position: Position) -> Result<(), Error> {
        let mut state = self.shared.lock();
        if state.ended || state.closing.is_some() {
            return Err(Error::closed());
        }
        if !state.owned.contains_key(unit) {
            return Err(codes::error(-172, format!("{unit} is not assigned to this consumer")));
        }
        state.records.retain(|record| record.unit != *unit);
        state.calls += 1;
        let call = state.calls;
        state.seeks.insert(call, (unit.clone(), position));
        self.shared.say("seek", call, [format!("{unit}/{}", position.0)]);
        Ok(())
    }

    fn close(&self) -> Pending<()> {
        let mut state = self.shared.lock();
        if state.ended || state.closing.is_some() {
            return Pending::done(());
        }
        state.calls += 1;
        let (completer, pending) = Pending::pair();
        let call = state.calls;
        state.closing = Some((call, completer));
        // Who closes has had the last word.
        state.owes = false;
        state.ended = true;
        let wakers = state.wakers();
        self.shared.say("heard", 0, []);
        self.shared.say("close", call, []);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        pending
    }
}

/// A unit and a place in it, if one is said: `orders/3/17`, `orders/3/-`.
fn place(field: &str) -> Option<(Unit, Option<Position>)> {
    let (unit, at) = field.rsplit_once('/')?;
    let (topic, partition) = unit.rsplit_once('/')?;
    Some((Unit::new(&Topic::new(topic), partition.parse().ok()?), at.parse().ok().map(Position)))
}

/// A record and where it stands.
fn record(says: &[String]) -> Option<(Unit, Position, Record)> {
    let [topic, partition, offset, key, value, headers @ ..] = says else { return None };
    let unit = Unit::new(&Topic::new(topic), partition.parse().ok()?);
    let header = |pair: &[String]| Header {
        name: Arc::from(pair[0].as_str()),
        value: bytes(&pair[1]).unwrap_or_default(),
    };
    let record = Record {
        topic: unit.topic.clone(),
        partition: Some(unit.partition),
        key: bytes(key),
        value: bytes(value).unwrap_or_default(),
        headers: headers.chunks_exact(2).map(header).collect(),
    };
    Some((unit, Position(offset.parse().ok()?), record))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_from_its_fields() {
        let fields = ["orders", "3", "17", "6b", "-", "trace", "01"].map(str::to_owned);
        let (unit, position, record) = record(&fields).expect("a record");
        assert_eq!((unit.to_string().as_str(), position), ("orders/3", Position(17)));
        assert_eq!((record.key.as_deref(), &record.value[..]), (Some(&b"k"[..]), &b""[..]));
        assert_eq!((&*record.headers[0].name, &record.headers[0].value[..]), ("trace", &[1][..]));
        assert!(super::record(&fields[..3]).is_none());
    }

    #[test]
    fn places_may_be_unknown() {
        let unit = Unit::new(&Topic::new("orders"), 3);
        assert_eq!(place("orders/3/17"), Some((unit.clone(), Some(Position(17)))));
        assert_eq!(place("orders/3/-"), Some((unit, None)));
        assert_eq!(place("orders"), None);
    }
}
