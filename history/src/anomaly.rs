//! Anomalies: what a check found, with its proof, its story, and the ruling on it.
//!
//! *Found* and *forbidden* are separate: a check finds, the guarantees rule. An anomaly gathers all findings
//! of one kind under one ruling; the worst few are told in full, all are counted.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How many findings of an anomaly are told in full.
pub const EXAMPLES: usize = 8;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $id:literal,)*) => {
        /// A kind of anomaly, by the id of the catalogue.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
        pub enum Kind {
            $($(#[$doc])* #[serde(rename = $id)] $name,)*
        }

        impl Kind {
            /// Every kind, in the order of reports.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The id: `lost_write`.
            #[must_use]
            pub const fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)* }
            }
        }
    };
}

kinds! {
    /// An acknowledged record is not in the log although the log was read beyond it.
    LostWrite = "lost_write",
    /// An acknowledged record was never read, and nothing behind it either.
    Unseen = "unseen",
    /// Lost records of one writer before the first of its records that was read.
    LostPrefix = "lost_prefix",
    /// Lost records of one writer between others of its records that were read.
    LostMiddle = "lost_middle",
    /// Lost records of one writer behind the last of its records that was read.
    LostPostfix = "lost_postfix",
    /// One record stands at two places of the log.
    Duplicate = "duplicate",
    /// One place of the log held two different records.
    InconsistentOffsets = "inconsistent_offsets",
    /// A record was read that nobody sent there.
    Unexpected = "unexpected",
    /// A record was read whose payload is not what was sent.
    Corrupt = "corrupt",
    /// A send that began after another was acknowledged stands before it.
    RealtimeOffsetInversion = "realtime_offset_inversion",
    /// The end of a log, or the leader epoch along it, went down.
    OffsetRegression = "offset_regression",
    /// Two nodes give different logs of one unit.
    ReplicaDivergence = "replica_divergence",
    /// A consumer was told that what it had read is no longer there.
    LogTruncated = "log_truncated",
    /// Compaction took the latest record of a key.
    CompactionLoss = "compaction_loss",
    /// A record was gone before its retention was over, or stayed long after.
    RetentionLoss = "retention_loss",
    /// Two polls of one reader that follow each other leave records out.
    PollSkip = "poll_skip",
    /// A poll goes back behind the one before it.
    NonmonotonicPoll = "nonmonotonic_poll",
    /// One operation's reads leave records out.
    IntPollSkip = "int_poll_skip",
    /// One operation's reads go back.
    IntNonmonotonicPoll = "int_nonmonotonic_poll",
    /// A later send of one producer stands before an earlier one.
    NonmonotonicSend = "nonmonotonic_send",
    /// The sends of one transaction stand in another order than they were made.
    IntNonmonotonicSend = "int_nonmonotonic_send",
    /// Other writers' records stand between the sends of one transaction.
    IntSendSkip = "int_send_skip",
    /// Records of one key are out of order, in the log or as first delivered.
    KeyOrder = "key_order",
    /// A reader was behind what was known to be in the log when it began to read.
    StaleRead = "stale_read",
    /// A record was read whose send had definitely failed, or whose transaction was aborted.
    AbortedRead = "G1a",
    /// A transaction's read of a list does not agree with what it read and wrote itself before.
    Internal = "internal",
    /// A transaction read what it had itself sent, before it was committed.
    PrecommittedRead = "precommitted_read",
    /// A reader saw a part of a transaction and went past the rest.
    TornTransaction = "G1b",
    /// A cycle of writes: transactions stand in each other's way in both orders.
    WriteCycle = "G0",
    /// Such a cycle with the order of one process in it.
    WriteCycleProcess = "G0-process",
    /// Such a cycle with the order of real time in it.
    WriteCycleRealtime = "G0-realtime",
    /// A cycle of writes and reads: transactions know of each other in a circle.
    ReadCycle = "G1c",
    /// Such a cycle with the order of one process in it.
    ReadCycleProcess = "G1c-process",
    /// Such a cycle with the order of real time in it.
    ReadCycleRealtime = "G1c-realtime",
    /// A cycle with one record that a transaction did not see.
    ReadSkew = "G-single",
    /// A cycle with several records that transactions did not see.
    AntiCycle = "G2",
    /// A committed output has one input twice.
    EosDuplicate = "eos_duplicate",
    /// A committed output lacks an input that was committed.
    EosLoss = "eos_loss",
    /// A sum that must stay the same did not.
    Conservation = "conservation",
    /// Readers of committed records stand still although no transaction is open.
    HangingTxn = "hanging_txn",
    /// An older epoch of a transactional id did something after a newer one had begun.
    ZombieNotFenced = "zombie_not_fenced",
    /// No order of the conditional operations of a unit explains their answers.
    Nonlinearizable = "nonlinearizable",
    /// After an assignment a group went on behind records that it never committed.
    GroupJump = "group_jump",
    /// After an assignment a group went on before every commit that could be in force.
    StaleCommitRead = "stale_commit_read",
    /// A group committed a place that its reader had not come to.
    CommitBeyondPosition = "commit_beyond_position",
    /// A group committed a batch that was still being processed.
    CommittedTooFar = "committed_too_far",
    /// After an abort a reader did not go back to where the transaction had begun.
    AbortPosition = "abort_position",
    /// A member was handed a record of a unit that it did not own.
    ConsumedUnassigned = "consumed_unassigned",
    /// Two members owned one unit at once.
    DoubleOwner = "double_owner",
    /// Committed transactions of a group consumed a record more than once.
    EosConsumeCount = "eos_consume_count",
    /// A group was rebalanced although neither its members nor its subscription changed.
    SpuriousRebalance = "spurious_rebalance",
    /// A consumer stood still although there was something to read and nothing was broken.
    StuckConsumer = "stuck_consumer",
    /// A producer stood still although it had something to send and nothing was broken.
    StuckProducer = "stuck_producer",
    /// An acknowledged record was neither processed nor dead-lettered, and the group went past it.
    Unprocessed = "unprocessed",
    /// A record was processed successfully more than once.
    Reprocessed = "reprocessed",
    /// A message was delivered again after its ack had been confirmed.
    DeliveredAfterAck = "delivered_after_ack",
    /// A message was delivered again before the time for its ack was over.
    EarlyRedelivery = "early_redelivery",
    /// A message was delivered more often than it may.
    OverMaxDeliver = "over_max_deliver",
    /// Two consumers of a work queue held one message at once.
    TwoHolders = "two_holders",
    /// More deliveries waited for their acks than may.
    OverAckPending = "over_ack_pending",
    /// A poison record is not in the dead-letter topic, and the group went past it.
    DlqLost = "dlq_lost",
    /// A record that is not poison is in the dead-letter topic.
    DlqPremature = "dlq_premature",
    /// A record that was processed successfully is in the dead-letter topic.
    DlqAcked = "dlq_acked",
    /// A record is in the dead-letter topic more than once.
    DlqDuplicate = "dlq_duplicate",
    /// A message was delivered after its time to live.
    ExpiredDelivered = "expired_delivered",
    /// A message vanished before its time to live was over.
    TtlEarly = "ttl_early",
    /// One message id is stored twice within the window of deduplication.
    DedupFalseAccept = "dedup_false_accept",
    /// A publish was answered as a duplicate, but no copy is stored.
    DedupFalseReject = "dedup_false_reject",
    /// What went into a queue and what came out do not add up.
    TotalQueue = "total-queue",
    /// An element of the log was known and is gone for good, or was missed for a time.
    SetFull = "set-full",
    /// A unit took no records for longer than it may.
    Unavailability = "unavailability",
    /// Some kind of operation has no success at all: there is nothing to judge.
    Vacuous = "vacuous",
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// What the guarantees say about a finding, with the clause that says so, in English.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ruling {
    /// A promise is broken: the run is invalid.
    ForbiddenBy(String),
    /// Nothing promised otherwise: information.
    AllowedBy(String),
    /// It would be forbidden, but the evidence is missing: the run is unknown.
    UndecidedBecause(String),
}

impl Ruling {
    /// The clause.
    #[must_use]
    pub fn clause(&self) -> &str {
        match self {
            Self::ForbiddenBy(clause) | Self::AllowedBy(clause) | Self::UndecidedBecause(clause) => clause,
        }
    }

    /// Whether a promise is broken.
    #[must_use]
    pub const fn forbids(&self) -> bool {
        matches!(self, Self::ForbiddenBy(_))
    }

    /// Whether the evidence is missing.
    #[must_use]
    pub const fn undecided(&self) -> bool {
        matches!(self, Self::UndecidedBecause(_))
    }
}

/// One record near a finding, as far as anybody saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    /// Its position in the unit.
    pub position: u64,
    /// The values that were acknowledged or read there: none for a hole, two for a conflict.
    pub values: Vec<u64>,
    /// The processes that sent them, in the same order; `?` for a value that nobody sent.
    pub writers: Vec<String>,
    /// Whether an ack named this place.
    pub acked: bool,
    /// Whether a consumer of the workload was given the record.
    pub delivered: bool,
    /// Whether the final drain found it.
    pub drained: bool,
    /// What happened to its records, in the order of events.
    #[serde(default)]
    pub moments: Vec<Moment>,
}

/// Something that happened to a record near a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// The index of the event.
    pub event: u32,
    /// When, in nanoseconds since the run began.
    pub time: u64,
    /// Whose event it is.
    pub process: String,
    /// What it is.
    pub what: What,
}

/// What happened to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It was handed to a producer.
    Sent,
    /// An ack named its place.
    Acked,
    /// A consumer of the workload was given it, for the first time.
    Delivered,
    /// The final drain found it.
    Drained,
}

/// One finding, told in full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// The unit, as `topic/partition`.
    pub unit: Option<String>,
    /// The place in the unit.
    pub position: Option<u64>,
    /// The indexes of the events that prove it, in order.
    pub ops: Vec<u32>,
    /// Of a history that was read from a file in another format: the lines, from 1, that prove it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<u32>,
    /// The story in two lines: what was promised, and what was seen.
    pub story: [String; 2],
    /// The unit around the place: three known positions to either side.
    pub neighbourhood: Vec<Neighbour>,
}

/// All findings of one kind under one ruling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anomaly {
    /// What it is.
    pub kind: Kind,
    /// How many were found.
    pub count: u64,
    /// What the guarantees say: exactly one of `forbidden_by`, `allowed_by`, `undecided_because`.
    pub ruling: Ruling,
    /// The first few, told in full: at least one, at most [`EXAMPLES`].
    pub examples: Vec<Example>,
}

impl Anomaly {
    /// Whether a promise is broken.
    #[must_use]
    pub const fn forbidden(&self) -> bool {
        self.ruling.forbids()
    }

    /// The clause of the ruling.
    #[must_use]
    pub fn clause(&self) -> &str {
        self.ruling.clause()
    }

    /// The story of the first finding: two lines.
    #[must_use]
    pub fn story(&self) -> String {
        self.examples.first().map(|example| example.story.join("\n")).unwrap_or_default()
    }
}
