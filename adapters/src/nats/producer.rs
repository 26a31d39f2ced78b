//! A producer.
//!
//! - `send` hands the record to one task, which finds out the partitions of its topic (once) and publishes in that
//!   order. Room is counted from `send` to the outcome.
//! - As in async-nats, at most `max_in_flight` publishes ([`WINDOW`] by default) wait for acks, each at most
//!   `request_timeout` (5 s by default). async-nats sends nothing again by itself; the policy for that is the one of
//!   [`squall_bus::lowering`]: with `retries` the record is published again, at once after silence and after a pause
//!   when it was refused for now, and it may come behind a later one by that.
//! - An idempotent producer gives every record an id, the record's own ([`Record::id`]) where it has one, and has
//!   one record of a unit under way at a time. So what it publishes again neither duplicates nor reorders.
//! - A record without a partition and a key goes to the units in turn.
//! - acks=0 is a publish that asks for no answer: its outcome is `unknown`.

use super::{
    NatsConfig, codes,
    connection::{REQUEST, Worker, connect},
};
use crate::{
    flight::{Flight, Ticket},
    handles::Crash,
};
use async_nats::{
    Client, HeaderMap, HeaderValue,
    header::{HeaderName, NATS_MESSAGE_ID},
    jetstream::{
        self,
        context::{ContextBuilder, PublishErrorKind},
        message::PublishMessage,
    },
};
use bytes::Bytes;
use squall_bus::{
    Ack, Acks, BoxFuture, Capability, Error, ErrorClass, Outcome, Pending, Position, Producer,
    ProducerConfig, Record, Sending, Topic, Transaction, Unit,
    lowering::{self, DELIVERY_TIMEOUT, RETRY_BACKOFF},
};
use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

/// How many publishes wait for acks at most: async-nats' own default.
pub const WINDOW: u32 = 5_000;

/// A producer over async-nats.
pub struct NatsProducer {
    flight: Arc<Flight>,
    queue: UnboundedSender<Job>,
}

impl fmt::Debug for NatsProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NatsProducer")
    }
}

/// A record on its way.
struct Job {
    record: Record,
    ticket: Ticket,
    since: Instant,
}

/// A publish that can be made again and again.
struct Publish {
    unit: Unit,
    subject: String,
    headers: HeaderMap,
    value: Bytes,
    ticket: Ticket,
    since: Instant,
}

impl NatsProducer {
    pub(super) fn open(bus: &NatsConfig, config: &ProducerConfig, worker: &Worker) -> Result<Self, Error> {
        if config.acks == Acks::One {
            return Err(Error::unsupported(Capability::AckOne));
        }
        if config.transactional_id.is_some() {
            return Err(Error::unsupported(Capability::Transactions));
        }
        if config.idempotent && config.acks == Acks::None {
            let says = "an idempotent producer needs acks: set acks=all, or idempotent=false";
            return Err(Error::new(ErrorClass::Refused, "INVALID_CONFIG", says));
        }
        let flight = Arc::new(Flight::new(config.buffer));
        let (queue, jobs) = unbounded_channel();
        let (bus, config, shared) = (bus.clone(), config.clone(), Arc::clone(&flight));
        worker.spawn(async move {
            match Sender::open(&bus, &config, Arc::clone(&shared)).await {
                Ok(sender) => sender.send_all(jobs).await,
                Err(error) => refuse_all(&shared, jobs, &error).await,
            }
        })?;
        Ok(Self { flight, queue })
    }
}

async fn refuse_all(flight: &Flight, mut jobs: UnboundedReceiver<Job>, error: &Error) {
    while let Some(job) = jobs.recv().await {
        flight.land(job.ticket, Outcome::Fail(error.clone()));
    }
}

impl Crash for NatsProducer {
    fn crash(&self) {
        self.flight.crash();
    }
}

impl Producer for NatsProducer {
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.flight.poll_ready(cx)
    }

    fn send(&self, record: Record) -> Sending {
        if self.flight.has_crashed() || self.queue.is_closed() {
            return Pending::done(Outcome::Fail(Error::closed()));
        }
        let Some((ticket, sending)) = self.flight.take_off() else {
            let says = "the producer has no room: wait until it is ready";
            return Pending::done(Outcome::Fail(codes::error(codes::NO_ROOM, says)));
        };
        if let Err(unsent) = self.queue.send(Job { record, ticket, since: Instant::now() }) {
            self.flight.land(unsent.0.ticket, Outcome::Fail(Error::closed()));
        }
        sending
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.flight.flush()
    }

    fn transaction(&self) -> Result<&dyn Transaction, Error> {
        Err(Error::unsupported(Capability::Transactions))
    }
}

/// The task that publishes.
struct Sender {
    publisher: Arc<Publisher>,
    acks: Acks,
    partitions: HashMap<Topic, u32>,
    drawn: u32,
    /// Units in which one record is under way at a time.
    lanes: Option<HashMap<Unit, UnboundedSender<Publish>>>,
    tasks: JoinSet<()>,
}

impl Sender {
    async fn open(bus: &NatsConfig, config: &ProducerConfig, flight: Arc<Flight>) -> Result<Self, Error> {
        let client = connect(bus, &config.client).await?;
        let patience = config.request_timeout.unwrap_or(REQUEST).max(Duration::from_millis(1));
        let window = config.max_in_flight.unwrap_or(WINDOW).max(1) as usize;
        let context = ContextBuilder::new().timeout(patience).max_ack_inflight(window).build(client.clone());
        let session = format!(
            "{}-{:016x}",
            lowering::token(config.client.as_bytes()),
            RandomState::new().hash_one(std::process::id())
        );
        let retries = config.retries.unwrap_or(if config.idempotent { u32::MAX } else { 0 });
        let within = if retries > 0 { DELIVERY_TIMEOUT } else { Duration::MAX };
        let publisher = Publisher {
            flight,
            client,
            context,
            patience,
            retries,
            within: config.delivery_timeout.unwrap_or(within),
            session: config.idempotent.then_some(session),
        };
        Ok(Self {
            publisher: Arc::new(publisher),
            acks: config.acks,
            partitions: HashMap::new(),
            drawn: 0,
            lanes: config.idempotent.then(HashMap::new),
            tasks: JoinSet::new(),
        })
    }

    /// Publishes until the handle is gone and everything has its outcome.
    async fn send_all(mut self, mut jobs: UnboundedReceiver<Job>) {
        let mut number = 0;
        while let Some(job) = jobs.recv().await {
            number += 1;
            match self.prepare(&job, number).await {
                Ok(publish) => self.begin(publish, job).await,
                Err(error) => self.publisher.flight.land(job.ticket, Outcome::Fail(error)),
            }
            while self.tasks.try_join_next().is_some() {}
        }
        self.lanes = None;
        while self.tasks.join_next().await.is_some() {}
    }

    /// Where the record goes, and what is written there. What fails here was not sent.
    async fn prepare(&mut self, job: &Job, number: u64) -> Result<(Unit, String, HeaderMap), Error> {
        let record = &job.record;
        let partition = match record.partition {
            Some(partition) => partition,
            None => {
                let partitions = self.partitions(&record.topic, job.since).await?;
                if record.key.as_ref().is_none_or(Bytes::is_empty) {
                    self.drawn = self.drawn.wrapping_add(1);
                }
                lowering::partition(record.key.as_deref(), partitions, self.drawn)
            }
        };
        let unit = Unit::new(&record.topic, partition);
        let subject = lowering::subject(&unit, record.key.as_deref())?;
        let mut headers = HeaderMap::new();
        for header in &record.headers {
            headers.append(header_name(&header.name)?, header_value(&header.name, &header.value)?);
        }
        if let Some(session) = &self.publisher.session {
            let id = record.id().map_or_else(|| lowering::message_id(session, number), str::to_owned);
            headers.insert(NATS_MESSAGE_ID, id);
        }
        Ok((unit, subject, headers))
    }

    /// How many partitions a topic has: its stream knows.
    async fn partitions(&mut self, topic: &Topic, since: Instant) -> Result<u32, Error> {
        if let Some(partitions) = self.partitions.get(topic) {
            return Ok(*partitions);
        }
        let publisher = &self.publisher;
        let within = publisher.within.min(publisher.patience * 2);
        loop {
            match partitions(&publisher.context, topic).await {
                Ok(partitions) => {
                    self.partitions.insert(topic.clone(), partitions);
                    return Ok(partitions);
                }
                Err(error) if error.class != ErrorClass::Retriable || since.elapsed() >= within => {
                    return Err(error);
                }
                Err(_) => sleep(RETRY_BACKOFF).await,
            }
        }
    }

    async fn begin(&mut self, (unit, subject, headers): (Unit, String, HeaderMap), job: Job) {
        let Job { record, ticket, since } = job;
        let publish = Publish { unit, subject, headers, value: record.value, ticket, since };
        if self.acks == Acks::None {
            return self.publisher.publish_unacked(publish).await;
        }
        let publisher = &self.publisher;
        let Some(lanes) = &mut self.lanes else {
            // The first attempt goes out in order; its answer, and further attempts, are awaited elsewhere.
            let first = publisher.attempt(&publish).await;
            let publisher = Arc::clone(publisher);
            self.tasks.spawn(async move { publisher.finish(publish, first).await });
            return;
        };
        let lane = lanes.entry(publish.unit.clone()).or_insert_with(|| {
            let (lane, mut waiting) = unbounded_channel();
            let publisher = Arc::clone(publisher);
            self.tasks.spawn(async move {
                while let Some(publish) = waiting.recv().await {
                    let first = publisher.attempt(&publish).await;
                    publisher.finish(publish, first).await;
                }
            });
            lane
        });
        // The lane lives as long as this end of it.
        let _ = lane.send(publish);
    }
}

/// How many partitions a topic has.
pub(super) async fn partitions(context: &jetstream::Context, topic: &Topic) -> Result<u32, Error> {
    let found =
        context.get_stream(lowering::stream(topic)).await.map_err(|error| stream_error(topic, &error))?;
    let metadata = &found.cached_info().config.metadata;
    let partitions = metadata.get(lowering::PARTITIONS).and_then(|count| count.parse().ok());
    partitions.filter(|count| *count > 0).ok_or_else(|| {
        let says = format!(
            "the stream of topic {topic} does not say how many partitions it has: create the topic through squall, or \
             give the stream the metadata `{}`",
            lowering::PARTITIONS
        );
        Error::new(ErrorClass::Refused, "NO_PARTITIONS", says)
    })
}

/// Why a topic's stream is not known.
pub(super) fn stream_error(topic: &Topic, error: &jetstream::context::GetStreamError) -> Error {
    use jetstream::context::GetStreamErrorKind;
    let says = format!("the stream of topic {topic} could not be asked: {error}");
    match error.kind() {
        GetStreamErrorKind::JetStream(error) => codes::error(codes::number(&error), says),
        GetStreamErrorKind::EmptyName | GetStreamErrorKind::InvalidStreamName => {
            codes::error(codes::INVALID, says)
        }
        GetStreamErrorKind::Request => codes::error(codes::TIMED_OUT, says),
    }
}

fn header_name(name: &str) -> Result<HeaderName, Error> {
    name.parse()
        .map_err(|_| codes::error(codes::INVALID, format!("NATS cannot carry a header called {name:?}")))
}

fn header_value(name: &str, value: &[u8]) -> Result<HeaderValue, Error> {
    let text = std::str::from_utf8(value).ok();
    text.and_then(|text| text.parse().ok()).ok_or_else(|| {
        let says =
            format!("the value of header {name:?} is no line of text, and NATS carries no other: encode it");
        codes::error(codes::INVALID, says)
    })
}

struct Publisher {
    flight: Arc<Flight>,
    client: Client,
    context: jetstream::Context,
    patience: Duration,
    retries: u32,
    within: Duration,
    session: Option<String>,
}

/// An attempt that waits for its ack, or why there is none.
type Attempt = Result<jetstream::context::PublishAckFuture, (i32, String)>;

impl Publisher {
    /// Hands one attempt to the connection.
    async fn attempt(&self, publish: &Publish) -> Attempt {
        let left = self.within.saturating_sub(publish.since.elapsed());
        if left.is_zero() {
            return Err((codes::EXPIRED, "the delivery timeout was over before it could be sent".to_owned()));
        }
        let message = PublishMessage::build().payload(publish.value.clone()).headers(publish.headers.clone());
        let sent = timeout(left, self.context.send_publish(publish.subject.clone(), message)).await;
        let Ok(sent) = sent else {
            return Err((
                codes::NOT_SENT,
                "it did not leave the client within the delivery timeout".to_owned(),
            ));
        };
        sent.map_err(|error| match error.kind() {
            // No ack can be missing of what was not even sent.
            PublishErrorKind::TimedOut => (codes::NOT_SENT, error.to_string()),
            PublishErrorKind::Other => (codes::INVALID, error.to_string()),
            _ => codes::publish_failed(&error),
        })
    }

    /// Awaits the ack of the first attempt, and makes further ones as the configuration says.
    async fn finish(&self, publish: Publish, first: Attempt) {
        let (mut attempt, mut maybe, mut retries) = (first, false, 0);
        let outcome = loop {
            let (number, says) = match self.acked(&publish, attempt).await {
                Ok(ack) => break Outcome::Ok(ack),
                Err(failed) => failed,
            };
            maybe |= codes::may_be_stored(number);
            let error = codes::error(number, says);
            let pause = if number == codes::TIMED_OUT { Duration::ZERO } else { RETRY_BACKOFF };
            let in_time = publish.since.elapsed() + pause < self.within;
            if error.class != ErrorClass::Retriable || retries >= self.retries || !in_time {
                break if maybe { Outcome::Unknown(error, None) } else { Outcome::Fail(error) };
            }
            retries += 1;
            sleep(pause).await;
            attempt = self.attempt(&publish).await;
        };
        self.flight.land(publish.ticket, outcome);
    }

    async fn acked(&self, publish: &Publish, attempt: Attempt) -> Result<Ack, (i32, String)> {
        let left = self.within.saturating_sub(publish.since.elapsed());
        let acked = timeout(left, attempt?.into_future()).await;
        let acked = acked.map_err(|_| (codes::TIMED_OUT, "no ack within the delivery timeout".to_owned()))?;
        let ack = acked.map_err(|error| codes::publish_failed(&error))?;
        let position = Some(Position(ack.sequence));
        Ok(Ack { unit: publish.unit.clone(), position, duplicate: ack.duplicate })
    }

    async fn publish_unacked(&self, publish: Publish) {
        let Publish { subject, headers, value, ticket, .. } = publish;
        let outcome = match self.client.publish_with_headers(subject, headers, value).await {
            Ok(()) => {
                Outcome::Unknown(Error::new(ErrorClass::Retriable, "NO_ACK", "acks=0 asks for no ack"), None)
            }
            Err(error) => {
                use async_nats::client::PublishErrorKind;
                let number = match error.kind() {
                    PublishErrorKind::MaxPayloadExceeded => codes::TOO_LARGE,
                    PublishErrorKind::Send => codes::CLOSED,
                    _ => codes::INVALID,
                };
                Outcome::Fail(codes::error(number, error.to_string()))
            }
        };
        self.flight.land(ticket, outcome);
    }
}
