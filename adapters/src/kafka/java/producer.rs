//! A producer of Java's, and its transactions.
//!
//! Room is counted from `send` to the outcome, as with librdkafka; the order of sends is that of the lines.

use super::{
    Handles,
    errors::JavaError,
    lines::hex,
    link::{Door, Link},
    settings,
};
use crate::{
    flight::{Flight, Ticket},
    handles::Crash,
    kafka::KafkaConfig,
};
use squall_bus::{
    Ack, Acks, BoxFuture, Completer, Error, ErrorClass, Outcome, Pending, Position, Producer, ProducerConfig,
    Record, Sending, Topic, Transaction, Unit,
};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    task::{Context, Poll, Waker},
    time::Duration,
};

/// How long the program may take to make a client.
pub(super) const OPENS_WITHIN: Duration = Duration::from_secs(30);

type Step = Result<(), JavaError>;

/// A producer of Java's.
pub(super) struct JavaProducer {
    link: Arc<Link>,
    handle: u64,
    shared: Arc<Shared>,
    handles: Arc<Handles>,
    transactional: bool,
}

struct Shared {
    flight: Flight,
    acked: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Calls so far.
    calls: u64,
    sends: BTreeMap<u64, (Topic, Ticket)>,
    steps: BTreeMap<u64, Completer<Step>>,
    /// Who waits for the client to be there.
    opening: Option<mpsc::Sender<Step>>,
    ended: bool,
}

impl fmt::Debug for JavaProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JavaProducer({})", self.handle)
    }
}

impl JavaProducer {
    pub(super) fn open(
        link: Arc<Link>,
        bus: &KafkaConfig,
        config: &ProducerConfig,
        handles: Arc<Handles>,
    ) -> Result<Self, Error> {
        let (opening, opened) = mpsc::channel();
        let state = State { opening: Some(opening), ..State::default() };
        let flight = Flight::new(config.buffer);
        let shared = Arc::new(Shared { flight, acked: config.acks != Acks::None, state: Mutex::new(state) });
        let handle = link.handle();
        link.open(handle, &shared);
        let settings = settings::producer(bus, config);
        link.say(handle, "producer", 0, settings.into_iter().map(|(name, value)| format!("{name}={value}")));
        let producer =
            Self { link, handle, shared, handles, transactional: config.transactional_id.is_some() };
        opened_within(&opened)?;
        Ok(producer)
    }

    /// Has the client take a step of a transaction.
    fn step(&self, verb: &str, rest: Vec<String>) -> Pending<Step> {
        let mut state = self.shared.lock();
        if state.ended {
            return Pending::done(Err(JavaError::gone()));
        }
        state.calls += 1;
        let (completer, pending) = Pending::pair();
        let call = state.calls;
        state.steps.insert(call, completer);
        // Said under the lock, so that calls are said in the order of their numbers.
        self.link.say(self.handle, verb, call, rest);
        pending
    }

    fn plain(&self, verb: &str) -> BoxFuture<'static, Result<(), Error>> {
        let step = self.step(verb, Vec::new());
        Box::pin(async move { step.await.map_err(|error| error.error()) })
    }

    fn outcome(&self, verb: &str, rest: Vec<String>) -> BoxFuture<'static, Outcome<()>> {
        let step = self.step(verb, rest);
        Box::pin(async move { step.await.map_or_else(|error| error.of_step(), Outcome::Ok) })
    }
}

/// Waits until the client is there.
pub(super) fn opened_within(opened: &mpsc::Receiver<Step>) -> Result<(), Error> {
    match opened.recv_timeout(OPENS_WITHIN) {
        Ok(opened) => opened.map_err(|error| error.error()),
        Err(_) => Err(JavaError::gone().error()),
    }
}

impl Drop for JavaProducer {
    fn drop(&mut self) {
        self.crash();
    }
}

impl Crash for JavaProducer {
    fn crash(&self) {
        self.shared.lock().ended = true;
        self.shared.flight.crash();
        self.link.end(self.handle);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the broker put a record, or what else there is to say of it.
    fn sent(&self, topic: &Topic, says: &[String]) -> Outcome<Ack> {
        if !self.acked {
            let error = Error::new(ErrorClass::Retriable, "NO_ACK", "acks=0 asks for no ack");
            return Outcome::Unknown(error, None);
        }
        let number = |place: usize| says.get(place).and_then(|field| field.parse::<u64>().ok());
        let partition = number(0).and_then(|partition| u32::try_from(partition).ok());
        let unit = Unit::new(topic, partition.unwrap_or_default());
        Outcome::Ok(Ack { unit, position: number(1).map(Position), duplicate: false })
    }

    fn settle(&self, call: u64, failed: Option<JavaError>, says: &[String]) {
        let mut state = self.lock();
        if call == 0 {
            if let Some(opening) = state.opening.take() {
                // Whoever waited may have given up.
                let _ = opening.send(failed.map_or(Ok(()), Err));
            }
            return;
        }
        let (send, step) = (state.sends.remove(&call), state.steps.remove(&call));
        drop(state);
        if let Some((topic, ticket)) = send {
            let outcome = failed.as_ref().map_or_else(|| self.sent(&topic, says), JavaError::of_send);
            self.flight.land(ticket, outcome);
        }
        if let Some(waker) = step.and_then(|step| step.complete(failed.map_or(Ok(()), Err))) {
            waker.wake();
        }
    }
}

impl Door for Shared {
    fn answer(&self, verb: &str, says: &[String]) {
        let Some((call, says)) = says.split_first() else { return };
        let Ok(call) = call.parse() else { return };
        match verb {
            "done" => self.settle(call, None, says),
            "failed" => self.settle(call, Some(JavaError::of_call(says)), says),
            _ => {}
        }
    }

    fn gone(&self) {
        let mut state = self.lock();
        state.ended = true;
        state.opening = None;
        let (sends, steps) = (std::mem::take(&mut state.sends), std::mem::take(&mut state.steps));
        drop(state);
        let error = JavaError::gone();
        sends.into_values().for_each(|(_, ticket)| self.flight.land(ticket, error.of_send()));
        let wakers = steps.into_values().filter_map(|step| step.complete(Err(error.clone())));
        wakers.for_each(Waker::wake);
    }
}

impl Producer for JavaProducer {
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.shared.flight.poll_ready(cx)
    }

    fn send(&self, record: Record) -> Sending {
        let mut state = self.shared.lock();
        if state.ended {
            return Pending::done(Outcome::Fail(Error::closed()));
        }
        let Some((ticket, sending)) = self.shared.flight.take_off() else {
            let says = "the producer's buffer is full: await room before sending";
            return Pending::done(Outcome::Fail(crate::wire::codes::error(-184, says)));
        };
        state.calls += 1;
        let call = state.calls;
        let partition = record.partition.map_or_else(|| "-".to_owned(), |partition| partition.to_string());
        // Without a payload it is a tombstone.
        let value = (!record.value.is_empty()).then_some(&record.value[..]);
        let mut rest =
            vec![record.topic.as_str().to_owned(), partition, hex(record.key.as_deref()), hex(value)];
        rest.extend(
            record.headers.iter().flat_map(|header| [header.name.to_string(), hex(Some(&header.value))]),
        );
        state.sends.insert(call, (record.topic.clone(), ticket));
        self.link.say(self.handle, "send", call, rest);
        sending
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.shared.flight.flush()
    }

    fn transaction(&self) -> Result<&dyn Transaction, Error> {
        if self.transactional { Ok(self) } else { Err(Error::not_transactional()) }
    }
}

impl Transaction for JavaProducer {
    fn init(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.plain("init")
    }

    fn begin(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.plain("begin")
    }

    fn send_positions(&self, group: &str, positions: Vec<(Unit, Position)>) -> BoxFuture<'_, Outcome<()>> {
        let members = self.handles.consumers.live();
        let member = members.iter().find(|member| member.group() == Some(group));
        let member = member.map_or_else(|| "-".to_owned(), |member| member.handle().to_string());
        let mut rest = vec![group.to_owned(), member];
        rest.extend(positions.iter().map(|(unit, position)| format!("{unit}/{}", position.0)));
        self.outcome("positions", rest)
    }

    fn commit(&self) -> BoxFuture<'_, Outcome<()>> {
        self.outcome("commit", Vec::new())
    }

    fn abort(&self) -> BoxFuture<'_, Outcome<()>> {
        self.outcome("abort", Vec::new())
    }
}
