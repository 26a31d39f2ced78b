//! Sending: a producer's configuration, its handle, and transactions.

use crate::{BoxFuture, Error, Outcome, Pending, Position, Record, Unit};
use std::{
    fmt,
    future::poll_fn,
    task::{Context, Poll},
    time::Duration,
};

/// What the brokers must have done before a send counts as acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Acks {
    /// Nothing: there is no ack. Outcomes are `unknown`.
    None,
    /// The leader has the record.
    One,
    /// Every in-sync replica, or a quorum, has the record.
    #[default]
    All,
}

impl fmt::Display for Acks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "0",
            Self::One => "1",
            Self::All => "all",
        })
    }
}

/// Whose habits a client has. In the simulator all of them; on real brokers of Kafka [`Java`](Self::Java) is Kafka's own
/// Java client where a cluster was started with it, and everything else is the adapter's own client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ClientProfile {
    /// The client that the adapter of the real bus uses: librdkafka for Kafka.
    #[default]
    Native,
    /// Kafka's Java client, 4.x.
    Java,
    /// Kafka's Java client, 3.x.
    Java3,
}

/// How a producer behaves. Fields that are `None` take the client library's own default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerConfig {
    /// The client's name: `producer-2`. Shown to the broker as the client id.
    pub client: String,
    /// Which client library's habits, where there is a choice.
    pub profile: ClientProfile,
    /// What counts as acknowledged.
    pub acks: Acks,
    /// Retries do not duplicate: sequence numbers (Kafka) or message ids (JetStream).
    pub idempotent: bool,
    /// Requests in flight at most, per connection.
    pub max_in_flight: Option<u32>,
    /// How long to wait for more records before a batch is sent.
    pub linger: Option<Duration>,
    /// How long a request waits for its response.
    pub request_timeout: Option<Duration>,
    /// How long a record may take in all, retries included.
    pub delivery_timeout: Option<Duration>,
    /// How often one request is retried.
    pub retries: Option<u32>,
    /// How many records may wait in the client; `ready` waits beyond that.
    pub buffer: u32,
    /// The transactional id; with it the producer can open a [`Transaction`].
    pub transactional_id: Option<String>,
    /// How long a transaction may be open before the bus aborts it. Needs a transactional id.
    pub transaction_timeout: Option<Duration>,
}

impl ProducerConfig {
    /// A producer of this name with the client library's defaults, acks from all.
    #[must_use]
    pub fn new(client: &str) -> Self {
        Self {
            client: client.to_owned(),
            profile: ClientProfile::Native,
            acks: Acks::All,
            idempotent: false,
            max_in_flight: None,
            linger: None,
            request_timeout: None,
            delivery_timeout: None,
            retries: None,
            buffer: 10_000,
            transactional_id: None,
            transaction_timeout: None,
        }
    }
}

/// Where an acknowledged record is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The unit it is in.
    pub unit: Unit,
    /// Its place, if the ack carries one.
    pub position: Option<Position>,
    /// The bus had it already: this ack answers a retry.
    pub duplicate: bool,
}

/// The outcome of a send, once it is known.
pub type Sending = Pending<Outcome<Ack>>;

/// A producer's handle.
pub trait Producer: Send + Sync + 'static {
    /// Ready when the client has room for one more record. Prefer [`ready`](#method.ready).
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>>;
    /// Hands the record to the client. The call itself is the invocation and fixes the order among this
    /// producer's records. Sending without room is refused with a retriable error.
    fn send(&self, record: Record) -> Sending;
    /// Resolves when every record sent so far has its outcome.
    fn flush(&self) -> BoxFuture<'_, Result<(), Error>>;
    /// The producer's transactions. Refused without a transactional id or the capability.
    fn transaction(&self) -> Result<&dyn Transaction, Error>;
}

impl dyn Producer {
    /// Waits until the client has room for one more record (back-pressure).
    pub async fn ready(&self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_ready(cx)).await
    }
}

/// Transactions of one producer: at most one is open at a time.
pub trait Transaction: Send + Sync {
    /// Fences older producers of the same transactional id. Once, first.
    fn init(&self) -> BoxFuture<'_, Result<(), Error>>;
    /// Opens a transaction: sends belong to it from now on.
    fn begin(&self) -> BoxFuture<'_, Result<(), Error>>;
    /// Puts a group's positions into the transaction.
    fn send_positions(&self, group: &str, positions: Vec<(Unit, Position)>) -> BoxFuture<'_, Outcome<()>>;
    /// Commits. A timeout leaves the outcome unknown.
    fn commit(&self) -> BoxFuture<'_, Outcome<()>>;
    /// Aborts.
    fn abort(&self) -> BoxFuture<'_, Outcome<()>>;
}
