//! A producer, and its transactions.
//!
//! - `send` hands the record to librdkafka before it returns. The bound on what waits is the bus's own: room
//!   is counted from `send` to the outcome.
//! - Outcomes come from librdkafka's thread. After a crash they are dropped: nobody learns them.
//! - A flush waits for exactly the records that were sent before it.
//! - Positions in a transaction carry the membership of a consumer of that group in the same process, if
//!   there is one, so that an old member is fenced; without one they carry none.

use super::{
    Handles, KafkaConfig, bus_error, config,
    context::Deliveries,
    number,
    offload::{discard, offload},
};
use crate::{
    flight::{Flight, Ticket},
    handles::Crash,
    wire::codes,
};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _, ConsumerGroupMetadata},
    error::{KafkaError, KafkaResult},
    message::{Header, OwnedHeaders},
    producer::{BaseRecord, Producer as _, ThreadedProducer},
};
use squall_bus::{
    Acks, BoxFuture, Error, ErrorClass, Outcome, Pending, Position, Producer, ProducerConfig, Record,
    Sending, Topic, Transaction, Unit,
};
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

/// How long a step of a transaction may take.
const STEP: Duration = Duration::from_secs(60);

type Client = ThreadedProducer<Deliveries>;

/// A producer over librdkafka.
pub(super) struct KafkaProducer {
    client: Mutex<Option<Arc<Client>>>,
    flight: Arc<Flight>,
    handles: Arc<Handles>,
    /// For a client that only carries the name of a group.
    settings: ClientConfig,
    transactional: bool,
}

impl fmt::Debug for KafkaProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KafkaProducer")
    }
}

/// A record on its way.
pub(super) struct Sent {
    pub(super) topic: Topic,
    pub(super) ticket: Ticket,
}

impl KafkaProducer {
    pub(super) fn open(
        bus: &KafkaConfig,
        config: &ProducerConfig,
        handles: Arc<Handles>,
    ) -> Result<Self, Error> {
        let settings = config::producer(bus, config);
        let flight = Arc::new(Flight::new(config.buffer));
        let one_attempt = config::one_attempt(bus, config);
        let acked = config.acks != Acks::None;
        let context = Deliveries { flight: Arc::clone(&flight), acked, one_attempt };
        let client: Client = settings.create_with_context(context).map_err(|error| refused(&error))?;
        let mut alone = ClientConfig::new();
        alone.set("bootstrap.servers", &bus.bootstrap).extend(bus.settings.clone());
        Ok(Self {
            client: Mutex::new(Some(Arc::new(client))),
            flight,
            handles,
            settings: alone,
            transactional: config.transactional_id.is_some(),
        })
    }

    fn client(&self) -> Result<Arc<Client>, Error> {
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        client.as_ref().map(Arc::clone).ok_or_else(Error::closed)
    }

    /// Runs a step of a transaction, which blocks, on a thread of its own.
    fn step<T: Send + 'static>(
        &self,
        step: impl FnOnce(&Client) -> KafkaResult<()> + Send + 'static,
        result: impl FnOnce(Result<(), StepError>) -> T + Send + Clone + 'static,
    ) -> BoxFuture<'static, T> {
        let client = match self.client() {
            Ok(client) => client,
            Err(error) => return Box::pin(Pending::done(result(Err(StepError::before(error))))),
        };
        let otherwise = result.clone();
        let work = move || result(step(&client).map_err(|error| StepError::of(&error)));
        let failed = |says| otherwise(Err(StepError::before(codes::error(-196, says))));
        Box::pin(offload(work, failed))
    }
}

impl Drop for KafkaProducer {
    fn drop(&mut self) {
        discard(self.client.get_mut().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Crash for KafkaProducer {
    fn crash(&self) {
        self.flight.crash();
        discard(self.client.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Producer for KafkaProducer {
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.flight.poll_ready(cx)
    }

    fn send(&self, record: Record) -> Sending {
        let client = match self.client() {
            Ok(client) => client,
            Err(error) => return Pending::done(Outcome::Fail(error)),
        };
        let Some((ticket, sending)) = self.flight.take_off() else {
            let says = "the producer has no room: wait until it is ready";
            return Pending::done(Outcome::Fail(codes::error(-184, says)));
        };
        let sent = Box::new(Sent { topic: record.topic.clone(), ticket });
        let mut out: BaseRecord<'_, [u8], [u8], Box<Sent>> =
            BaseRecord::with_opaque_to(record.topic.as_str(), sent);
        if !record.value.is_empty() {
            // Without a payload it is a tombstone.
            out = out.payload(&record.value);
        }
        if let Some(partition) = record.partition {
            out = out.partition(i32::try_from(partition).unwrap_or(i32::MAX));
        }
        if let Some(key) = &record.key {
            out = out.key(key);
        }
        if !record.headers.is_empty() {
            let headers = OwnedHeaders::new_with_capacity(record.headers.len());
            out = out.headers(record.headers.iter().fold(headers, |headers, header| {
                headers.insert(Header { key: &header.name, value: Some(&header.value[..]) })
            }));
        }
        if let Err((error, record)) = client.send(out) {
            // What was not even enqueued was not sent.
            self.flight.land(record.delivery_opaque.ticket, Outcome::Fail(bus_error(&error)));
        }
        sending
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.flight.flush()
    }

    fn transaction(&self) -> Result<&dyn Transaction, Error> {
        if self.transactional { Ok(self) } else { Err(Error::not_transactional()) }
    }
}

/// Why a step of a transaction failed.
#[derive(Clone)]
struct StepError {
    error: Error,
    /// It certainly had no effect.
    no_effect: bool,
}

impl StepError {
    fn before(error: Error) -> Self {
        Self { error, no_effect: true }
    }

    fn of(error: &KafkaError) -> Self {
        let (code, says) = number(error);
        let mut bus = codes::error(code.unwrap_or(-196), says);
        let KafkaError::Transaction(error) = error else { return Self { error: bus, no_effect: false } };
        if error.is_fatal() {
            bus.class = ErrorClass::Fatal;
        } else if error.txn_requires_abort() {
            bus.class = ErrorClass::Refused;
        } else if error.is_retriable() {
            bus.class = ErrorClass::Retriable;
        }
        Self { error: bus, no_effect: error.txn_requires_abort() }
    }
}

fn outcome(result: Result<(), StepError>) -> Outcome<()> {
    match result {
        Ok(()) => Outcome::Ok(()),
        Err(StepError { error, no_effect: true }) => Outcome::Fail(error),
        Err(StepError { error, no_effect: false }) => Outcome::Unknown(error, None),
    }
}

fn plain(result: Result<(), StepError>) -> Result<(), Error> {
    result.map_err(|failed| failed.error)
}

impl Transaction for KafkaProducer {
    fn init(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.step(|client| client.init_transactions(STEP), plain)
    }

    fn begin(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.step(Client::begin_transaction, plain)
    }

    fn send_positions(&self, group: &str, positions: Vec<(Unit, Position)>) -> BoxFuture<'_, Outcome<()>> {
        let member = self.handles.members(group).iter().find_map(|member| member.group_metadata());
        let mut settings = self.settings.clone();
        settings.set("group.id", group);
        let send = move |client: &Client| {
            let offsets = offsets(&positions)?;
            let member = member.map_or_else(|| nobody(&settings), Ok)?;
            client.send_offsets_to_transaction(&offsets, &member, STEP)
        };
        self.step(send, outcome)
    }

    fn commit(&self) -> BoxFuture<'_, Outcome<()>> {
        self.step(|client| client.commit_transaction(STEP), outcome)
    }

    fn abort(&self) -> BoxFuture<'_, Outcome<()>> {
        self.step(|client| client.abort_transaction(STEP), outcome)
    }
}

/// A group's name without a membership.
fn nobody(settings: &ClientConfig) -> KafkaResult<ConsumerGroupMetadata> {
    let consumer: BaseConsumer = settings.create()?;
    consumer.group_metadata().ok_or(KafkaError::Canceled)
}

/// A list of positions for librdkafka.
pub(super) fn offsets(positions: &[(Unit, Position)]) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(positions.len());
    for (unit, position) in positions {
        let partition = i32::try_from(unit.partition).unwrap_or(i32::MAX);
        let offset = Offset::Offset(i64::try_from(position.0).unwrap_or(i64::MAX));
        list.add_partition_offset(unit.topic.as_str(), partition, offset)?;
    }
    Ok(list)
}

/// A configuration that librdkafka does not accept.
pub(super) fn refused(error: &KafkaError) -> Error {
    let says = format!("librdkafka refuses the configuration ({error}): change the setting that it names");
    Error::new(ErrorClass::Refused, "_INVALID_ARG", says)
}
