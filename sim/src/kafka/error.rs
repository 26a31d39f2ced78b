//! Error codes of Kafka's protocol, by Kafka's own names and numbers.

use std::fmt;

macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $name:literal;)*) => {
        /// An error code of Kafka's protocol. `Display` prints Kafka's name, [`code`](Self::code) gives the number.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        pub enum ErrorCode {
            $($(#[$doc])* $variant = $code,)*
        }

        impl ErrorCode {
            /// Every code that the model knows.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Kafka's name of the code.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

error_codes! {
    /// No error.
    #[default]
    None = 0, "NONE";
    /// Something that the server has no other word for.
    UnknownServerError = -1, "UNKNOWN_SERVER_ERROR";
    /// The requested offset is outside of what the server holds.
    OffsetOutOfRange = 1, "OFFSET_OUT_OF_RANGE";
    /// The record batch failed its checksum.
    CorruptMessage = 2, "CORRUPT_MESSAGE";
    /// The server does not host this topic partition.
    UnknownTopicOrPartition = 3, "UNKNOWN_TOPIC_OR_PARTITION";
    /// The partition has no leader now.
    LeaderNotAvailable = 5, "LEADER_NOT_AVAILABLE";
    /// The broker is not the leader, or hosts no replica, of the partition.
    NotLeaderOrFollower = 6, "NOT_LEADER_OR_FOLLOWER";
    /// The request timed out at the broker.
    RequestTimedOut = 7, "REQUEST_TIMED_OUT";
    /// The batch is larger than `message.max.bytes`.
    MessageTooLarge = 10, "MESSAGE_TOO_LARGE";
    /// The metadata kept with an offset is larger than the coordinator takes.
    OffsetMetadataTooLarge = 12, "OFFSET_METADATA_TOO_LARGE";
    /// The coordinator is reading its partition.
    CoordinatorLoadInProgress = 14, "COORDINATOR_LOAD_IN_PROGRESS";
    /// No coordinator is known.
    CoordinatorNotAvailable = 15, "COORDINATOR_NOT_AVAILABLE";
    /// This broker is not the coordinator.
    NotCoordinator = 16, "NOT_COORDINATOR";
    /// The batch is larger than a segment.
    RecordListTooLarge = 18, "RECORD_LIST_TOO_LARGE";
    /// Fewer replicas are in sync than acks=all demands; refused before the append.
    NotEnoughReplicas = 19, "NOT_ENOUGH_REPLICAS";
    /// Fewer replicas are in sync than acks=all demands; found after the append.
    NotEnoughReplicasAfterAppend = 20, "NOT_ENOUGH_REPLICAS_AFTER_APPEND";
    /// The acks of the request are neither -1 nor 0 nor 1.
    InvalidRequiredAcks = 21, "INVALID_REQUIRED_ACKS";
    /// The generation is not the group's.
    IllegalGeneration = 22, "ILLEGAL_GENERATION";
    /// The member supports no assignor of the group.
    InconsistentGroupProtocol = 23, "INCONSISTENT_GROUP_PROTOCOL";
    /// The group does not know this member.
    UnknownMemberId = 25, "UNKNOWN_MEMBER_ID";
    /// The session timeout is outside of the allowed range.
    InvalidSessionTimeout = 26, "INVALID_SESSION_TIMEOUT";
    /// The group rebalances: rejoin.
    RebalanceInProgress = 27, "REBALANCE_IN_PROGRESS";
    /// The offsets of one commit do not fit into one batch.
    InvalidCommitOffsetSize = 28, "INVALID_COMMIT_OFFSET_SIZE";
    /// There is no group of that kind by this name.
    GroupIdNotFound = 69, "GROUP_ID_NOT_FOUND";
    /// The broker does not speak this version of the request.
    UnsupportedVersion = 35, "UNSUPPORTED_VERSION";
    /// The number of partitions is not larger than it was.
    InvalidPartitions = 37, "INVALID_PARTITIONS";
    /// There are fewer live brokers than replicas.
    InvalidReplicationFactor = 38, "INVALID_REPLICATION_FACTOR";
    /// A setting is unknown or has an impossible value.
    InvalidConfig = 40, "INVALID_CONFIG";
    /// The sequence number is not the next one.
    OutOfOrderSequenceNumber = 45, "OUT_OF_ORDER_SEQUENCE_NUMBER";
    /// The producer's epoch is older than the one the broker knows.
    InvalidProducerEpoch = 47, "INVALID_PRODUCER_EPOCH";
    /// The transaction is not in a state for this.
    InvalidTxnState = 48, "INVALID_TXN_STATE";
    /// The producer id is not the transactional id's.
    InvalidProducerIdMapping = 49, "INVALID_PRODUCER_ID_MAPPING";
    /// The transaction timeout is longer than the broker allows.
    InvalidTransactionTimeout = 50, "INVALID_TRANSACTION_TIMEOUT";
    /// Something of the transactional id is still under way.
    ConcurrentTransactions = 51, "CONCURRENT_TRANSACTIONS";
    /// The marker comes from a coordinator that has a successor.
    TransactionCoordinatorFenced = 52, "TRANSACTION_COORDINATOR_FENCED";
    /// The disk failed.
    KafkaStorageError = 56, "KAFKA_STORAGE_ERROR";
    /// The request's leader epoch is older than the broker's.
    FencedLeaderEpoch = 74, "FENCED_LEADER_EPOCH";
    /// The request's leader epoch is newer than the broker's.
    UnknownLeaderEpoch = 75, "UNKNOWN_LEADER_EPOCH";
    /// The broker epoch is not the registered one.
    StaleBrokerEpoch = 77, "STALE_BROKER_EPOCH";
    /// The new leader's high watermark is not caught up.
    OffsetNotAvailable = 78, "OFFSET_NOT_AVAILABLE";
    /// Join again with the member id of this response.
    MemberIdRequired = 79, "MEMBER_ID_REQUIRED";
    /// The preferred leader is not in sync or not active.
    PreferredLeaderNotAvailable = 80, "PREFERRED_LEADER_NOT_AVAILABLE";
    /// The group has as many members as it may have.
    GroupMaxSizeReached = 81, "GROUP_MAX_SIZE_REACHED";
    /// Another member has taken over this instance.
    FencedInstanceId = 82, "FENCED_INSTANCE_ID";
    /// No replica is there that could lead.
    EligibleLeadersNotAvailable = 83, "ELIGIBLE_LEADERS_NOT_AVAILABLE";
    /// There is a leader already that need not be replaced.
    ElectionNotNeeded = 84, "ELECTION_NOT_NEEDED";
    /// A record lacks the key that its topic's clean-up needs.
    InvalidRecord = 87, "INVALID_RECORD";
    /// The group has offsets in a transaction that is not over.
    UnstableOffsetCommit = 88, "UNSTABLE_OFFSET_COMMIT";
    /// A newer producer has the transactional id.
    ProducerFenced = 90, "PRODUCER_FENCED";
    /// The partition epoch is not the controller's.
    InvalidUpdateVersion = 95, "INVALID_UPDATE_VERSION";
    /// The server knows no topic of this id.
    UnknownTopicId = 100, "UNKNOWN_TOPIC_ID";
    /// Another process of this broker id has a live session.
    DuplicateBrokerRegistration = 101, "DUPLICATE_BROKER_REGISTRATION";
    /// An ISR member is fenced, shutting down or of another broker epoch.
    IneligibleReplica = 107, "INELIGIBLE_REPLICA";
    /// The controller elected a new leader while it answered.
    NewLeaderElected = 108, "NEW_LEADER_ELECTED";
    /// The member epoch is neither the member's nor the one before.
    FencedMemberEpoch = 110, "FENCED_MEMBER_EPOCH";
    /// Another member still uses this instance.
    UnreleasedInstanceId = 111, "UNRELEASED_INSTANCE_ID";
    /// The coordinator has no such assignor.
    UnsupportedAssignor = 112, "UNSUPPORTED_ASSIGNOR";
    /// The member epoch is not the current one: heartbeat, then try again.
    StaleMemberEpoch = 113, "STALE_MEMBER_EPOCH";
    /// The write is not part of an open transaction: abort.
    TransactionAbortable = 120, "TRANSACTION_ABORTABLE";
    /// The controller that was asked is not active.
    NotController = 41, "NOT_CONTROLLER";
}

impl ErrorCode {
    /// Kafka's number of the code.
    #[must_use]
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// Whether this is an error at all.
    #[must_use]
    pub const fn is_error(self) -> bool {
        !matches!(self, Self::None)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
