//! The defaults of the client libraries, as data.
//!
//! | profile | library | source |
//! |---|---|---|
//! | `Native` | librdkafka 2.12 | its CONFIGURATION.md; retry, scan and timeout habits from its source |
//! | `Java` | Kafka's Java client 4.x | its ProducerConfig, ConsumerConfig and CommonClientConfigs |
//! | `Java3` | Kafka's Java client 3.x, from 3.7 on | the same; KIP-580 gave it the back-off of 4.x, KIP-1030 raised `linger.ms` in 4.0 |
//!
//! What a library does differently, and not only with other numbers, is a field here too ([`TimedOut`],
//! [`Resend`], ...): the state machines ask these fields and never which library this is.

use super::super::{error::ErrorCode, rules::TransactionVersion};
use squall_bus::{Assignor, ClientProfile, Isolation};
use std::time::Duration;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A delay that doubles with each attempt, within bounds, spread by a jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Backoff {
    /// The first delay.
    pub(crate) first: Duration,
    /// No delay is longer, before the jitter.
    pub(crate) most: Duration,
    /// The jitter's bounds, in percent of the delay.
    pub(crate) jitter: (u32, u32),
    /// Whether `most` bounds the delay after its jitter too.
    pub(crate) capped_after_jitter: bool,
}

impl Backoff {
    /// The delay of this attempt, from 0, with the jitter drawn as `drawn` of 0 to `u32::MAX`.
    pub(crate) fn delay(&self, attempt: u32, drawn: u32) -> Duration {
        let plain = self.first.saturating_mul(1 << attempt.min(16)).min(self.most).as_nanos() as u64;
        let (low, high) = (u64::from(self.jitter.0), u64::from(self.jitter.1));
        let spread = (high - low) * u64::from(drawn) / u64::from(u32::MAX);
        let jittered = Duration::from_nanos(plain / 100 * (low + spread));
        if self.capped_after_jitter { jittered.min(self.most) } else { jittered }
    }
}

/// What both kinds of client share: connections and metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Connecting {
    /// `reconnect.backoff.ms` and `.max.ms`.
    pub(crate) reconnect: Backoff,
    /// Whether the back-off counts from the last attempt to connect, so that losing an old connection is followed by an
    /// attempt at once, and once more from the failure of an attempt, so that it doubles twice (librdkafka); or from
    /// the loss alone (Java).
    pub(crate) reconnect_from_attempt: bool,
    /// `socket.connection.setup.timeout.ms` and `.max.ms`: how long until a connection is established. Java doubles it with
    /// each attempt that failed before that; librdkafka has no maximum, and no jitter.
    pub(crate) setup: Backoff,
    /// Whether that includes the first answer of the broker's process (librdkafka: until the connection can be used).
    pub(crate) setup_includes_greeting: bool,
    /// `api.version.request.timeout.ms` (librdkafka), `request.timeout.ms` (Java): how long the broker's process
    /// may take for the first answer on a connection.
    pub(crate) greeting_timeout: Duration,
    /// `socket.timeout.ms` (librdkafka) or `request.timeout.ms` (Java): how long a request waits for its
    /// response before the connection is closed.
    pub(crate) request_timeout: Duration,
    /// How often a library looks for requests that timed out; zero is at once.
    pub(crate) timeout_scan: Duration,
    /// `topic.metadata.refresh.interval.ms`, `metadata.max.age.ms`.
    pub(crate) metadata_age: Duration,
    /// The delays between attempts to learn something that is missing.
    pub(crate) metadata_retry: Backoff,
}

/// Of which partitions a Produce request carries a batch, once one partition's is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Carries {
    /// Of that partition: each has its own turn (librdkafka's `rd_kafka_toppar_producer_serve`).
    OnePartition,
    /// Of all partitions that the broker leads, lingering or not, if only they need not back off (Java's
    /// `RecordAccumulator.drainBatchesForOneNode`), up to `max.request.size` bytes.
    AllOfTheBroker,
}

/// What a producer does with a batch that is in flight when its records' time is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TimedOut {
    /// The request waits no longer than its first record may; then the connection is closed (librdkafka).
    CloseConnection,
    /// The records fail, the request goes on (Java).
    ForgetBatch,
}

/// Where a batch goes that is to be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Resend {
    /// Among what waits, in the order of the records (librdkafka).
    InOrder,
    /// Before everything that waits (Java without idempotence): several batches end up reversed.
    InFront,
}

/// What an idempotent producer makes of OUT_OF_ORDER_SEQUENCE_NUMBER for its oldest batch: the broker misses
/// something that it had acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Desynchronized {
    /// Nothing can be known any more: the producer is finished (librdkafka).
    Fatal,
    /// The epoch is bumped and the batch sent again under the new one (Java, KIP-360).
    Bump,
}

/// Where an idempotent producer's next epoch comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum NextEpoch {
    /// InitProducerId once more (librdkafka).
    FromBroker,
    /// It counts up by itself (Java).
    Own,
}

/// What INVALID_PRODUCER_EPOCH for a batch does to a transactional producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum FencedWrite {
    /// It is finished (librdkafka).
    Fatal,
    /// The transaction failed; its end finds out whether the producer is finished (Java).
    Abortable,
}

/// What a transaction makes of the partitions that its coordinator is adding to it (version 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Adding {
    /// It has begun with the question, whatever the answer. An abort forgets the partitions and what is said of them, and
    /// ends at once (librdkafka's `txn_req_cnt`): the coordinator refuses that while it has added nothing yet.
    Forgotten,
    /// It has begun with the answer. An abort first adds what it has asked for, however often it takes (Java's
    /// `transactionStarted` and queue of requests).
    Finished,
}

/// Which partitioner a library uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Partitioning {
    /// CRC-32 of the key; without a key, or with an empty one, a partition kept for a while.
    ConsistentRandom {
        /// `sticky.partitioning.linger.ms`: for how long.
        sticky: Duration,
    },
    /// Murmur2 of the key; without a key a partition kept for a batch's bytes.
    Murmur2,
}

/// A producer's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ProducerDefaults {
    pub(crate) connecting: Connecting,
    /// `max.in.flight.requests.per.connection`.
    pub(crate) max_in_flight: u32,
    /// The same with idempotence.
    pub(crate) max_in_flight_idempotent: u32,
    /// Whether a single request in flight is one of each partition too, wherever that is led (Java's
    /// `Sender.guaranteeMessageOrder`), or of the connection alone (librdkafka).
    pub(crate) one_in_flight_by_partition: bool,
    /// Whether an idempotent producer sends nothing to a new leader before all that it sent to the old one is answered
    /// (librdkafka's `rd_kafka_idemp_drain_toppar`).
    pub(crate) drains_before_new_leader: bool,
    /// `linger.ms`.
    pub(crate) linger: Duration,
    /// `batch.size`: bytes of records.
    pub(crate) batch_bytes: u32,
    /// `batch.num.messages`.
    pub(crate) batch_records: u32,
    /// `message.max.bytes`, `max.request.size`: a larger record is refused.
    pub(crate) max_record_bytes: u32,
    /// Which batches a request carries.
    pub(crate) carries: Carries,
    /// `retries`.
    pub(crate) retries: u32,
    /// `retry.backoff.ms` and `.max.ms`.
    pub(crate) retry: Backoff,
    /// `message.timeout.ms`, `delivery.timeout.ms`.
    pub(crate) delivery_timeout: Duration,
    /// How often a library looks for records whose time is up; zero is at once.
    pub(crate) delivery_scan: Duration,
    /// `request.timeout.ms` as the broker is told: how long it may wait for replicas.
    pub(crate) ack_timeout: Duration,
    pub(crate) timed_out: TimedOut,
    pub(crate) resend: Resend,
    pub(crate) partitioning: Partitioning,
    /// How long after the start a producer id is asked for.
    pub(crate) producer_id_delay: Duration,
    /// Whether a retry after an error that calls for new metadata leaves `retries` alone.
    pub(crate) free_retry_after_refresh: bool,
    /// What becomes of an idempotent producer whose oldest batch is out of order at the broker.
    pub(crate) desynchronized: Desynchronized,
    /// Where the next epoch of the producer id comes from.
    pub(crate) next_epoch: NextEpoch,
    /// `transaction.timeout.ms`.
    pub(crate) transaction_timeout: Duration,
    /// The version of transactions that the library speaks, if the cluster does.
    pub(crate) transaction_version: TransactionVersion,
    /// Whether a record may take no longer than its transaction.
    pub(crate) delivery_within_transaction: bool,
    /// What a fenced producer's batch does.
    pub(crate) fenced_write: FencedWrite,
    /// What becomes of partitions that are being added.
    pub(crate) adding: Adding,
    /// A transactional producer stays connected to its coordinator. So long after the connection is lost, after an attempt
    /// to connect fails and after an answer that names none, it asks who coordinates; not between the attempts
    /// (librdkafka). Otherwise it asks when a request needs to know (Java).
    pub(crate) coordinator_search: Option<Duration>,
    /// How long a topic may be unknown before its records fail.
    pub(crate) unknown_topic: Duration,
    /// What the library calls a record whose time was up, or that of a request on its connection.
    pub(crate) timeout_code: &'static str,
    /// What it calls a record that is dropped since its transaction is aborted.
    pub(crate) purged_code: &'static str,
    /// What it calls a request whose connection broke.
    pub(crate) transport_code: &'static str,
    /// What it calls a topic that is not there.
    pub(crate) unknown_topic_code: &'static str,
}

/// A consumer's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ConsumerDefaults {
    pub(crate) connecting: Connecting,
    /// `session.timeout.ms`.
    pub(crate) session_timeout: Duration,
    /// `heartbeat.interval.ms`.
    pub(crate) heartbeat_interval: Duration,
    /// `max.poll.interval.ms`, which is also the group's rebalance timeout.
    pub(crate) max_poll_interval: Duration,
    /// `partition.assignment.strategy`.
    pub(crate) assignors: &'static [Assignor],
    /// Whether the library has the eager sticky assignor (Java).
    pub(crate) has_eager_sticky: bool,
    /// Whether the library speaks the consumer protocol (KIP-848) in a release: librdkafka since 2.12, Java since 4.0.
    pub(crate) has_consumer_protocol: bool,
    /// Whether eager and cooperative assignors may be mixed, which makes the member eager (Java).
    pub(crate) mixes_assignors: bool,
    /// Whether an assignment without news is told after a revocation too (Java).
    pub(crate) tells_empty_assignment: bool,
    /// What every call gets once the library has given up; the error's own code if not said.
    pub(crate) fatal_code: Option<&'static str>,
    /// `fetch.max.wait.ms`, `fetch.wait.max.ms`.
    pub(crate) fetch_wait: Duration,
    /// `fetch.min.bytes`.
    pub(crate) fetch_min_bytes: u32,
    /// `fetch.max.bytes`.
    pub(crate) fetch_max_bytes: u32,
    /// `max.partition.fetch.bytes`.
    pub(crate) partition_max_bytes: u32,
    /// `fetch.error.backoff.ms` (librdkafka), `retry.backoff.ms` (Java).
    pub(crate) fetch_retry: Backoff,
    /// Delays before a group request is tried again.
    pub(crate) group_retry: Backoff,
    /// How often a member asks who coordinates while it cannot reach who does, whatever it has to say to it (librdkafka);
    /// otherwise it asks when it has something to say and an attempt to connect failed (Java).
    pub(crate) coordinator_search: Option<Duration>,
    /// How long a commit is tried: `default.api.timeout.ms` (Java), `socket.timeout.ms` (librdkafka).
    pub(crate) commit_timeout: Duration,
    /// How often a commit is tried again when the coordinator asks for patience.
    pub(crate) commit_retries: u32,
    /// What a commit gets that is made between the loss of a membership and the next one.
    pub(crate) commit_outside: ErrorCode,
    /// What a commit is called that the group refused because it does not know the member or not at this epoch; the
    /// error's own code if not said.
    pub(crate) commit_failed_code: Option<&'static str>,
    /// Whether a commit goes to the coordinator while the member is rejoining (librdkafka), where the old
    /// generation may still count, or is refused at once (Java).
    pub(crate) commit_while_joining: bool,
    /// Whether automatic commits cover the record that was handed out last (librdkafka stores its position
    /// then) or only those before it (Java commits when it is asked for more).
    pub(crate) auto_commit_covers_last: bool,
    /// Whether a heartbeat that failed is repeated after a back-off (Java), or the next one waits for its interval
    /// (librdkafka).
    pub(crate) repeats_failed_heartbeat: bool,
    /// Whether the client itself declares its membership lost when no heartbeat was answered for a session.
    pub(crate) loses_session_itself: bool,
    /// Whether only metadata that was asked for because of its age tells a group's leader of more partitions (librdkafka),
    /// or any (Java).
    pub(crate) counts_partitions_by_age: bool,
    /// Whether the loss of a connection is reported.
    pub(crate) reports_transport: bool,
    /// How long a close may take.
    pub(crate) close_timeout: Duration,
    /// `isolation.level`.
    pub(crate) isolation: Isolation,
    /// Whether committed positions are asked for as `require_stable` at any isolation.
    pub(crate) always_stable_offsets: bool,
}

const RDKAFKA_RETRY: Backoff =
    Backoff { first: ms(100), most: ms(1_000), jitter: (80, 120), capped_after_jitter: true };
const JAVA_RETRY: Backoff =
    Backoff { first: ms(100), most: ms(1_000), jitter: (80, 120), capped_after_jitter: true };

const RDKAFKA_CONNECTING: Connecting = Connecting {
    reconnect: Backoff { first: ms(100), most: ms(10_000), jitter: (75, 150), capped_after_jitter: true },
    reconnect_from_attempt: true,
    setup: Backoff { first: ms(30_000), most: ms(30_000), jitter: (100, 100), capped_after_jitter: true },
    setup_includes_greeting: true,
    greeting_timeout: ms(10_000),
    request_timeout: ms(60_000),
    timeout_scan: ms(1_000),
    metadata_age: ms(300_000),
    metadata_retry: RDKAFKA_RETRY,
};

const JAVA_CONNECTING: Connecting = Connecting {
    reconnect: Backoff { first: ms(50), most: ms(1_000), jitter: (80, 120), capped_after_jitter: true },
    reconnect_from_attempt: false,
    setup: Backoff { first: ms(10_000), most: ms(30_000), jitter: (80, 120), capped_after_jitter: true },
    setup_includes_greeting: false,
    greeting_timeout: ms(30_000),
    request_timeout: ms(30_000),
    timeout_scan: Duration::ZERO,
    metadata_age: ms(300_000),
    metadata_retry: JAVA_RETRY,
};

const RDKAFKA_PRODUCER: ProducerDefaults = ProducerDefaults {
    connecting: RDKAFKA_CONNECTING,
    max_in_flight: 1_000_000,
    max_in_flight_idempotent: 5,
    one_in_flight_by_partition: false,
    drains_before_new_leader: true,
    linger: ms(5),
    batch_bytes: 1_000_000,
    batch_records: 10_000,
    max_record_bytes: 1_000_000,
    carries: Carries::OnePartition,
    retries: i32::MAX as u32,
    retry: RDKAFKA_RETRY,
    delivery_timeout: ms(300_000),
    delivery_scan: ms(1_000),
    ack_timeout: ms(30_000),
    timed_out: TimedOut::CloseConnection,
    resend: Resend::InOrder,
    partitioning: Partitioning::ConsistentRandom { sticky: ms(10) },
    producer_id_delay: ms(500),
    free_retry_after_refresh: true,
    desynchronized: Desynchronized::Fatal,
    next_epoch: NextEpoch::FromBroker,
    transaction_timeout: ms(60_000),
    transaction_version: TransactionVersion::V1,
    delivery_within_transaction: true,
    fenced_write: FencedWrite::Fatal,
    adding: Adding::Forgotten,
    coordinator_search: Some(ms(500)),
    unknown_topic: ms(30_000),
    timeout_code: "_MSG_TIMED_OUT",
    purged_code: "_PURGE_QUEUE",
    transport_code: "_TRANSPORT",
    unknown_topic_code: "_UNKNOWN_TOPIC",
};

const JAVA_PRODUCER: ProducerDefaults = ProducerDefaults {
    connecting: JAVA_CONNECTING,
    max_in_flight: 5,
    max_in_flight_idempotent: 5,
    one_in_flight_by_partition: true,
    drains_before_new_leader: false,
    linger: ms(5),
    batch_bytes: 16_384,
    batch_records: u32::MAX,
    max_record_bytes: 1_048_576,
    carries: Carries::AllOfTheBroker,
    retries: i32::MAX as u32,
    retry: JAVA_RETRY,
    delivery_timeout: ms(120_000),
    delivery_scan: Duration::ZERO,
    ack_timeout: ms(30_000),
    timed_out: TimedOut::ForgetBatch,
    resend: Resend::InFront,
    partitioning: Partitioning::Murmur2,
    producer_id_delay: Duration::ZERO,
    free_retry_after_refresh: false,
    desynchronized: Desynchronized::Bump,
    next_epoch: NextEpoch::Own,
    transaction_timeout: ms(60_000),
    transaction_version: TransactionVersion::V2,
    delivery_within_transaction: false,
    fenced_write: FencedWrite::Abortable,
    adding: Adding::Finished,
    coordinator_search: None,
    unknown_topic: ms(60_000),
    timeout_code: "REQUEST_TIMED_OUT",
    purged_code: "TransactionAbortedException",
    transport_code: "NETWORK_EXCEPTION",
    unknown_topic_code: "UNKNOWN_TOPIC_OR_PARTITION",
};

const JAVA_3_CONSUMER: ConsumerDefaults = ConsumerDefaults { has_consumer_protocol: false, ..JAVA_CONSUMER };

const JAVA_3_PRODUCER: ProducerDefaults =
    ProducerDefaults { linger: ms(0), transaction_version: TransactionVersion::V1, ..JAVA_PRODUCER };

const RDKAFKA_CONSUMER: ConsumerDefaults = ConsumerDefaults {
    connecting: RDKAFKA_CONNECTING,
    session_timeout: ms(45_000),
    heartbeat_interval: ms(3_000),
    max_poll_interval: ms(300_000),
    assignors: &[Assignor::Range, Assignor::RoundRobin],
    has_eager_sticky: false,
    has_consumer_protocol: true,
    mixes_assignors: false,
    tells_empty_assignment: false,
    fatal_code: Some("_FATAL"),
    fetch_wait: ms(500),
    fetch_min_bytes: 1,
    fetch_max_bytes: 52_428_800,
    partition_max_bytes: 1_048_576,
    fetch_retry: Backoff { first: ms(500), most: ms(500), jitter: (100, 100), capped_after_jitter: true },
    group_retry: RDKAFKA_RETRY,
    coordinator_search: Some(ms(1_000)),
    commit_timeout: ms(60_000),
    commit_retries: 2,
    commit_outside: ErrorCode::IllegalGeneration,
    commit_failed_code: None,
    commit_while_joining: true,
    auto_commit_covers_last: true,
    repeats_failed_heartbeat: false,
    loses_session_itself: true,
    counts_partitions_by_age: true,
    reports_transport: true,
    close_timeout: ms(30_000),
    isolation: Isolation::ReadCommitted,
    always_stable_offsets: false,
};

const JAVA_CONSUMER: ConsumerDefaults = ConsumerDefaults {
    connecting: JAVA_CONNECTING,
    session_timeout: ms(45_000),
    heartbeat_interval: ms(3_000),
    max_poll_interval: ms(300_000),
    assignors: &[Assignor::Range, Assignor::CooperativeSticky],
    has_eager_sticky: true,
    has_consumer_protocol: true,
    mixes_assignors: true,
    tells_empty_assignment: true,
    fatal_code: None,
    fetch_wait: ms(500),
    fetch_min_bytes: 1,
    fetch_max_bytes: 52_428_800,
    partition_max_bytes: 1_048_576,
    fetch_retry: JAVA_RETRY,
    group_retry: JAVA_RETRY,
    coordinator_search: None,
    commit_timeout: ms(60_000),
    commit_retries: u32::MAX,
    commit_outside: ErrorCode::RebalanceInProgress,
    commit_failed_code: Some("CommitFailedException"),
    commit_while_joining: false,
    auto_commit_covers_last: false,
    repeats_failed_heartbeat: true,
    loses_session_itself: false,
    counts_partitions_by_age: false,
    reports_transport: false,
    close_timeout: ms(30_000),
    isolation: Isolation::ReadUncommitted,
    always_stable_offsets: true,
};

/// The producer's defaults of this profile.
pub(crate) const fn producer(profile: ClientProfile) -> ProducerDefaults {
    match profile {
        ClientProfile::Native => RDKAFKA_PRODUCER,
        ClientProfile::Java => JAVA_PRODUCER,
        ClientProfile::Java3 => JAVA_3_PRODUCER,
    }
}

/// The consumer's defaults of this profile.
pub(crate) const fn consumer(profile: ClientProfile) -> ConsumerDefaults {
    match profile {
        ClientProfile::Native => RDKAFKA_CONSUMER,
        ClientProfile::Java => JAVA_CONSUMER,
        ClientProfile::Java3 => JAVA_3_CONSUMER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_doubles_within_its_bounds() {
        let plain = |attempt| RDKAFKA_RETRY.delay(attempt, u32::MAX / 2).as_millis();
        assert_eq!((0..6).map(plain).collect::<Vec<_>>(), [99, 198, 396, 792, 990, 990]);
        assert_eq!(RDKAFKA_RETRY.delay(9, u32::MAX), ms(1_000), "both bound the jittered delay");
        assert_eq!(JAVA_RETRY.delay(9, u32::MAX), ms(1_000), "`ExponentialBackoff` of Java 4");
        assert_eq!(JAVA_CONNECTING.reconnect.delay(9, u32::MAX), ms(1_000));
        assert_eq!(JAVA_RETRY.delay(0, 0), ms(80));
        assert_eq!(RDKAFKA_CONNECTING.reconnect.delay(0, 0), ms(75));
    }
}
