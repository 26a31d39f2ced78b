//! Every constant and switch of the Kafka model, in one plain value.
//!
//! A profile ([`super::profile`]) constructs it; model code asks its rules, never which version or bug this is.
//! Printed as one `name: value` a line, it goes into the capsule and the hash.

use super::topic_config::{Cleanup, Ratio};
use squall_bus::Assignor;
use std::{fmt, time::Duration};

/// What a follower does with its log when it begins to follow a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Truncate {
    /// The leader tells where the logs diverge, by leader epochs (KIP-101, KIP-279; rule B5).
    ByEpoch,
    /// It asks its leader once, when it begins to follow, where its last epoch ends, and cuts there even if the leader
    /// never had that epoch, as before KIP-279: keeps what another leader wrote.
    ByFirstEpoch,
    /// It cuts its log to its own high watermark, as before Kafka 0.11: loses committed records.
    ToHighWatermark,
}

/// `replica.selector.class`: which replica a consumer is to read from (KIP-392).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReplicaSelector {
    /// The leader, always.
    Leader,
    /// `RackAwareReplicaSelector`: an in-sync replica in the consumer's own rack, if there is one.
    RackAware,
}

/// Which replicas hold the high watermark back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WatermarkOver {
    /// In-sync replicas, those that are about to be, and those that are caught up (rule B3).
    MaximalIsr,
    /// Only the in-sync replicas that the controller has confirmed: loses committed records.
    CommittedIsr,
    /// The leader alone: acknowledges before anything is replicated.
    LeaderOnly,
}

/// Which version of transactions is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransactionVersion {
    /// One epoch for all transactions of a producer; it adds partitions itself (KIP-98).
    V1,
    /// Each transaction ends with a new epoch; leaders add partitions (KIP-890).
    V2,
}

/// How far a reader at read_committed reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReadCommittedUpto {
    /// Below the last stable offset.
    Below,
    /// The last stable offset included: shows the beginning of an open transaction.
    Including,
}

macro_rules! rules {
    ($($(#[$doc:meta])* $field:ident: $type:ty,)*) => {
        /// The resolved rules of a cluster.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Rules {
            $($(#[$doc])* pub $field: $type,)*
        }

        impl fmt::Display for Rules {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $(writeln!(f, "{}: {:?}", stringify!($field), self.$field)?;)*
                Ok(())
            }
        }
    };
}

rules! {
    // Processes.
    /// Nodes that are controllers and nothing else, numbered behind the brokers; 0: the brokers vote themselves.
    dedicated_controllers: u32,
    /// How long a process takes from its start until it registers, at least.
    startup_min: Duration,
    /// And at most.
    startup_max: Duration,
    /// From the permission to shut down until the process is gone.
    shutdown_takes: Duration,
    /// How long a broker that cannot reach a controller waits for the permission to shut down.
    shutdown_patience: Duration,
    /// How long a process that led the metadata quorum stays for another leader when it shuts down.
    resignation_patience: Duration,

    // The metadata quorum.
    /// `controller.quorum.fetch.timeout.ms`: a voter without a word from its leader stands for election.
    quorum_fetch_timeout: Duration,
    /// How much later than that a process may notice it, at most.
    quorum_notice: Duration,
    /// `controller.quorum.election.timeout.ms`: a candidate without a majority tries again.
    quorum_election_timeout: Duration,
    /// `controller.quorum.election.backoff.max.ms`: the most that a candidate waits before it tries again.
    quorum_election_backoff: Duration,
    /// How long the leader holds back the answer to a fetch that has nothing to say.
    quorum_fetch_wait: Duration,
    /// How long a node waits before it tries again to reach a controller.
    controller_retry: Duration,
    /// How long a request to another controller waits before the connection is given up.
    quorum_request_timeout: Duration,
    /// The least time from a broker having metadata until it acts upon it.
    metadata_apply_min: Duration,
    /// And the most.
    metadata_apply_max: Duration,

    // Brokers and their sessions (rules A1, A2).
    /// `broker.heartbeat.interval.ms`.
    broker_heartbeat: Duration,
    /// `broker.session.timeout.ms`.
    broker_session: Duration,
    /// Sessions are tested so often: an eighth of the session.
    session_checks_per_session: u32,
    /// A refused registration is retried so often.
    registration_retry: Duration,
    /// How long a broker waits for the controller's answer to its registration or heartbeat before it gives the connection
    /// up: half its session (KAFKA-14392).
    controller_request_timeout: Duration,
    /// `controller.socket.timeout.ms`: how long it waits for the answer to its proposals.
    controller_socket_timeout: Duration,
    /// `socket.connection.setup.timeout.ms`: how long the connection for these may take to be made.
    connection_setup_timeout: Duration,
    /// A second process of a broker is refused while the first one's session lives (101).
    refuse_duplicate_registration: bool,
    /// An ISR member of another broker epoch than the registered one is refused (107).
    check_broker_epoch: bool,

    // Leaders (rules A3, A4, B8).
    /// Eligible leader replicas (KIP-966).
    elr: bool,
    /// With ISR and ELR empty, the last known leader may lead again.
    elect_last_known_leader: bool,
    /// `unclean.leader.election.enable` of topics that do not say.
    unclean_election: bool,

    /// `leader.imbalance.check.interval.seconds`, and `unclean.leader.election.interval.ms`, which is as long: how often
    /// the controller looks at who leads.
    leader_check: Duration,
    /// `leader.imbalance.per.broker.percentage`: above this share of the partitions that prefer a broker and are led
    /// elsewhere it gets them back.
    leader_imbalance: Ratio,

    // Replication (rules B1 to B5).
    /// How a follower's log is cut.
    truncate: Truncate,
    /// Which replicas hold the high watermark back.
    watermark_over: WatermarkOver,
    /// The high watermark stands still while fewer replicas are in sync than the minimum.
    freeze_below_min_isr: bool,
    /// A topic's `min.insync.replicas` counts; else one replica is enough.
    heed_min_isr: bool,
    /// The epochs of a Fetch are compared with the leader's (rules A3, B5); else its offset alone counts.
    check_fetch_epochs: bool,
    /// acks=all is refused before the append while fewer replicas are in sync than the minimum (19).
    refuse_below_min_isr: bool,
    /// `log.flush.interval.messages` is 1: what is appended is synced before anything follows from it (rule B7).
    flush_every_message: bool,
    /// A follower joins the ISR once it has what is committed (rule B2); else with its first fetch, whatever it has.
    join_caught_up: bool,
    /// `replica.lag.time.max.ms`.
    replica_lag: Duration,
    /// The lag is tested so often: half of it.
    replica_lag_check: Duration,
    /// `replica.fetch.wait.max.ms`.
    replica_fetch_wait: Duration,
    /// `replica.fetch.backoff.ms`.
    replica_fetch_backoff: Duration,
    /// `replica.socket.timeout.ms`.
    replica_request_timeout: Duration,
    /// `replica.fetch.max.bytes` for a partition.
    replica_fetch_max_bytes: u32,
    /// `replica.high.watermark.checkpoint.interval.ms`.
    watermark_checkpoint: Duration,

    // Requests (rules B4, B10, B13, C3).
    /// `message.max.bytes`.
    message_max_bytes: u32,
    /// Batches that a leader remembers of each idempotent producer.
    dedup_batches: u32,
    /// A batch that is in the log already is answered with its offset; else it is refused as out of order (45).
    answer_duplicates: bool,
    /// An ack says where its batch is; else it says 0.
    ack_offsets: bool,
    /// Every so manieth batch at a leader is acknowledged and not appended; 0: none is.
    drop_appends: u32,
    /// Which replica a consumer is to read from. Every broker is a rack of its own (`broker.rack`).
    replica_selector: ReplicaSelector,
    /// ListOffsets says OFFSET_NOT_AVAILABLE until the high watermark reaches the leader's epoch.
    guard_latest_offset: bool,

    // Logs (rules B11, B12, C3); those that a topic may set stand for topics that do not.
    /// `log.segment.bytes`.
    segment_bytes: u32,
    /// `log.roll.ms`.
    segment_age: Duration,
    /// `log.retention.ms`; `None` keeps records for ever.
    retention: Option<Duration>,
    /// `log.retention.bytes` of a partition; `None` for no limit.
    retention_bytes: Option<u64>,
    /// `log.retention.check.interval.ms`.
    retention_check: Duration,
    /// `log.initial.task.delay.ms`: from the start of a broker to its first look at retention.
    log_task_delay: Duration,
    /// `log.cleanup.policy`.
    cleanup: Cleanup,
    /// `log.cleaner.min.cleanable.ratio`.
    min_cleanable: Ratio,
    /// `log.cleaner.min.compaction.lag.ms`.
    min_compaction_lag: Duration,
    /// `log.cleaner.delete.retention.ms`: how long tombstones stay.
    delete_retention: Duration,
    /// `log.cleaner.backoff.ms`: how long the cleaner rests when there is nothing to clean.
    cleaner_backoff: Duration,
    /// `producer.id.expiration.ms`: how long an idle producer's state is remembered.
    producer_expiration: Duration,
    /// `producer.id.expiration.check.interval.ms`.
    producer_expiration_check: Duration,

    // Groups (rules E1 to E8).
    /// `offsets.topic.num.partitions`.
    offsets_partitions: u32,
    /// `offsets.topic.replication.factor`, or as many as there are brokers.
    offsets_replicas: u32,
    /// `min.insync.replicas` of the offsets topic.
    offsets_min_insync: u32,
    /// `offsets.commit.timeout.ms`.
    offsets_commit_timeout: Duration,
    /// `group.initial.rebalance.delay.ms`.
    group_initial_rebalance_delay: Duration,
    /// `group.min.session.timeout.ms`.
    group_min_session: Duration,
    /// `group.max.session.timeout.ms`.
    group_max_session: Duration,
    /// `group.max.size`: members of a classic group.
    group_max_size: u32,
    /// The coordinator speaks the consumer protocol (`group.version` 1); else it says UNSUPPORTED_VERSION.
    consumer_protocol: bool,
    /// `group.consumer.heartbeat.interval.ms`.
    consumer_heartbeat: Duration,
    /// `group.consumer.session.timeout.ms`.
    consumer_session: Duration,
    /// `group.consumer.max.size`: members of a group of the consumer protocol.
    consumer_group_max_size: u32,
    /// The first of `group.consumer.assignors`.
    consumer_assignor: Assignor,
    /// A partition moves to its new owner only when the old one has given it up (KIP-848); else two read it.
    consumer_waits_for_release: bool,
    /// A consumer that lost partitions forgets how far it was with them; else it commits that, over what their new owner
    /// committed, as soon as it is a member again.
    clients_forget_lost_positions: bool,
    /// `offset.metadata.max.bytes`.
    offset_metadata_max_bytes: u32,
    /// `offsets.retention.minutes`.
    offsets_retention: Duration,
    /// `offsets.retention.check.interval.ms`.
    offsets_retention_check: Duration,
    /// A new coordinator believes the last offset that the log has for a partition; else the first: the position of
    /// a group jumps back whenever its coordinator moves.
    replay_newest_offset: bool,
    /// A commit must name the group's generation.
    check_commit_generation: bool,
    /// How long a new coordinator mostly takes to read its partition.
    group_load_takes: Duration,

    // Transactions (rules D1 to D7).
    /// `transaction.version` of the cluster; a client that speaks less is answered in its own.
    transaction_version: TransactionVersion,
    /// `transaction.state.log.num.partitions`.
    transactions_partitions: u32,
    /// `transaction.state.log.replication.factor`, or as many as there are brokers.
    transactions_replicas: u32,
    /// `transaction.state.log.min.isr`.
    transactions_min_insync: u32,
    /// `transaction.max.timeout.ms`.
    transaction_max_timeout: Duration,
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`.
    transaction_sweep: Duration,
    /// `transactional.id.expiration.ms`: an id that is idle for so long is forgotten.
    transaction_id_expiry: Duration,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`: such ids are looked for so often.
    transaction_id_expiry_check: Duration,
    /// `transaction.partition.verification.enable`: a leader asks the coordinator before a transaction begins in its
    /// partition.
    verify_transactions: bool,
    /// How long a coordinator waits before it sends a marker again.
    transaction_marker_retry: Duration,
    /// How long a broker waits for another one's answer about transactions (`request.timeout.ms`).
    transaction_request_timeout: Duration,
    /// acks=all holds for writes of transactions too.
    replicate_transactions: bool,
    /// The coordinator keeps its records in its replicated log before it acts upon them.
    log_transactions: bool,
    /// How far a reader at read_committed reads.
    read_committed_upto: ReadCommittedUpto,
    /// A group's positions within a transaction must name the member's generation (KIP-447).
    check_transaction_generation: bool,

    // Client libraries.
    /// An idempotent producer sends a batch again with its sequence numbers; else with those of a new epoch, after an
    /// answer that leaves the append in doubt.
    resend_in_sequence: bool,
    /// NOT_LEADER_OR_FOLLOWER leaves the append in doubt; else the record counts as not appended.
    doubt_not_leader: bool,
}
