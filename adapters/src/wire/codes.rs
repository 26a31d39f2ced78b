//! Kafka's error codes as data: name, what a caller can do, and whether a refused record may be in the log.
//!
//! Broker codes are positive, codes of librdkafka itself are negative and their names begin with `_`.
//!
//! Kafka 4.3.0, measured: `NOT_ENOUGH_REPLICAS` (19) refuses before the append. `NOT_LEADER_OR_FOLLOWER` (6) does
//! not: a leader that hands over in a controlled shutdown answers it for records that it had appended already,
//! although librdkafka calls that "not persisted". A code that the table does not know may mean anything.

use crate::codes::{
    Appended::{Maybe, Never, NotThisTime},
    Code, find, row,
};
use squall_bus::{
    Error,
    ErrorClass::{Fatal, Refused, Retriable, Unsupported},
    Outcome,
};
use std::borrow::Cow;

/// The table, by number.
pub const CODES: &[Code] = &[
    row(-197, "_DESTROY", Fatal, Maybe),
    row(-196, "_FAIL", Retriable, Maybe),
    row(-195, "_TRANSPORT", Retriable, Maybe),
    row(-193, "_RESOLVE", Retriable, Maybe),
    row(-192, "_MSG_TIMED_OUT", Retriable, Maybe),
    row(-191, "_PARTITION_EOF", Retriable, Maybe),
    row(-190, "_UNKNOWN_PARTITION", Refused, NotThisTime),
    row(-188, "_UNKNOWN_TOPIC", Refused, NotThisTime),
    row(-187, "_ALL_BROKERS_DOWN", Retriable, Maybe),
    row(-186, "_INVALID_ARG", Refused, Never),
    row(-185, "_TIMED_OUT", Retriable, Maybe),
    row(-184, "_QUEUE_FULL", Retriable, Never),
    row(-183, "_ISR_INSUFF", Retriable, NotThisTime),
    row(-180, "_WAIT_COORD", Retriable, Maybe),
    row(-179, "_UNKNOWN_GROUP", Refused, Maybe),
    row(-178, "_IN_PROGRESS", Retriable, Maybe),
    row(-177, "_PREV_IN_PROGRESS", Retriable, Maybe),
    row(-173, "_CONFLICT", Refused, Maybe),
    row(-172, "_STATE", Refused, Never),
    row(-170, "_NOT_IMPLEMENTED", Unsupported, Never),
    row(-169, "_AUTHENTICATION", Refused, Maybe),
    row(-168, "_NO_OFFSET", Refused, Never),
    row(-166, "_TIMED_OUT_QUEUE", Retriable, Maybe),
    row(-165, "_UNSUPPORTED_FEATURE", Unsupported, Never),
    row(-153, "_RETRY", Retriable, Maybe),
    row(-152, "_PURGE_QUEUE", Fatal, NotThisTime),
    row(-151, "_PURGE_INFLIGHT", Fatal, Maybe),
    row(-150, "_FATAL", Fatal, Maybe),
    row(-149, "_INCONSISTENT", Fatal, Maybe),
    row(-148, "_GAPLESS_GUARANTEE", Fatal, Maybe),
    row(-147, "_MAX_POLL_EXCEEDED", Retriable, Maybe),
    row(-144, "_FENCED", Fatal, Maybe),
    row(-143, "_APPLICATION", Refused, Maybe),
    row(-142, "_ASSIGNMENT_LOST", Retriable, Maybe),
    row(-140, "_AUTO_OFFSET_RESET", Retriable, Maybe),
    row(-139, "_LOG_TRUNCATION", Retriable, Maybe),
    row(-1, "UNKNOWN_SERVER_ERROR", Retriable, Maybe),
    row(1, "OFFSET_OUT_OF_RANGE", Refused, NotThisTime),
    row(2, "CORRUPT_MESSAGE", Retriable, NotThisTime),
    row(3, "UNKNOWN_TOPIC_OR_PARTITION", Retriable, NotThisTime),
    row(5, "LEADER_NOT_AVAILABLE", Retriable, Maybe),
    row(6, "NOT_LEADER_OR_FOLLOWER", Retriable, Maybe),
    row(7, "REQUEST_TIMED_OUT", Retriable, Maybe),
    row(8, "BROKER_NOT_AVAILABLE", Retriable, Maybe),
    row(9, "REPLICA_NOT_AVAILABLE", Retriable, Maybe),
    row(10, "MESSAGE_TOO_LARGE", Refused, Never),
    row(13, "NETWORK_EXCEPTION", Retriable, Maybe),
    row(14, "COORDINATOR_LOAD_IN_PROGRESS", Retriable, Maybe),
    row(15, "COORDINATOR_NOT_AVAILABLE", Retriable, Maybe),
    row(16, "NOT_COORDINATOR", Retriable, Maybe),
    row(17, "INVALID_TOPIC_EXCEPTION", Refused, Never),
    row(18, "RECORD_LIST_TOO_LARGE", Refused, Never),
    row(19, "NOT_ENOUGH_REPLICAS", Retriable, NotThisTime),
    row(20, "NOT_ENOUGH_REPLICAS_AFTER_APPEND", Retriable, Maybe),
    row(21, "INVALID_REQUIRED_ACKS", Refused, Never),
    row(22, "ILLEGAL_GENERATION", Refused, Never),
    row(25, "UNKNOWN_MEMBER_ID", Refused, Never),
    row(27, "REBALANCE_IN_PROGRESS", Retriable, Never),
    row(29, "TOPIC_AUTHORIZATION_FAILED", Refused, NotThisTime),
    row(30, "GROUP_AUTHORIZATION_FAILED", Refused, NotThisTime),
    row(31, "CLUSTER_AUTHORIZATION_FAILED", Refused, NotThisTime),
    row(32, "INVALID_TIMESTAMP", Refused, Never),
    row(35, "UNSUPPORTED_VERSION", Unsupported, Never),
    row(36, "TOPIC_ALREADY_EXISTS", Refused, Never),
    row(37, "INVALID_PARTITIONS", Refused, Never),
    row(38, "INVALID_REPLICATION_FACTOR", Refused, Never),
    row(40, "INVALID_CONFIG", Refused, Never),
    row(41, "NOT_CONTROLLER", Retriable, Maybe),
    row(42, "INVALID_REQUEST", Refused, Never),
    row(43, "UNSUPPORTED_FOR_MESSAGE_FORMAT", Unsupported, Never),
    row(44, "POLICY_VIOLATION", Refused, NotThisTime),
    row(45, "OUT_OF_ORDER_SEQUENCE_NUMBER", Fatal, Maybe),
    row(46, "DUPLICATE_SEQUENCE_NUMBER", Retriable, Maybe),
    row(47, "INVALID_PRODUCER_EPOCH", Fatal, NotThisTime),
    row(48, "INVALID_TXN_STATE", Fatal, Maybe),
    row(49, "INVALID_PRODUCER_ID_MAPPING", Fatal, Maybe),
    row(51, "CONCURRENT_TRANSACTIONS", Retriable, Maybe),
    row(52, "TRANSACTION_COORDINATOR_FENCED", Fatal, Maybe),
    row(53, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", Fatal, NotThisTime),
    row(56, "KAFKA_STORAGE_ERROR", Retriable, Maybe),
    row(59, "UNKNOWN_PRODUCER_ID", Fatal, Maybe),
    row(74, "FENCED_LEADER_EPOCH", Retriable, Maybe),
    row(75, "UNKNOWN_LEADER_EPOCH", Retriable, Maybe),
    row(76, "UNSUPPORTED_COMPRESSION_TYPE", Refused, Never),
    row(78, "OFFSET_NOT_AVAILABLE", Retriable, Maybe),
    row(82, "FENCED_INSTANCE_ID", Fatal, Never),
    row(87, "INVALID_RECORD", Refused, Never),
    row(88, "UNSTABLE_OFFSET_COMMIT", Retriable, Maybe),
    row(90, "PRODUCER_FENCED", Fatal, NotThisTime),
    row(100, "UNKNOWN_TOPIC_ID", Retriable, NotThisTime),
    row(110, "FENCED_MEMBER_EPOCH", Refused, Never),
    row(113, "STALE_MEMBER_EPOCH", Refused, Never),
    row(120, "TRANSACTION_ABORTABLE", Refused, Maybe),
];

/// The error of a code, with a sentence.
#[must_use]
pub fn error(number: i32, message: impl Into<String>) -> Error {
    match find(CODES, number) {
        Some(row) => Error::new(row.class, row.name, message),
        None => Error::new(Retriable, Cow::Owned(format!("CODE_{number}")), message),
    }
}

/// How a send ended that failed with this code. `one_attempt`: the client could not have tried before.
pub fn failed_send<T>(number: i32, message: impl Into<String>, one_attempt: bool) -> Outcome<T> {
    let appended = find(CODES, number).map_or(Maybe, |row| row.appended);
    let error = error(number, message);
    match appended {
        Never => Outcome::Fail(error),
        NotThisTime if one_attempt => Outcome::Fail(error),
        NotThisTime | Maybe => Outcome::Unknown(error, None),
    }
}

/// How a commit of positions ended that failed with this code. The coordinator refuses whom it does not know
/// and old generations before it writes; everything else may have been written. So may an earlier attempt, whose
/// answer was lost, unless there was only one.
pub fn failed_commit<T>(number: i32, message: impl Into<String>, one_attempt: bool) -> Outcome<T> {
    let refused = one_attempt && find(CODES, number).is_some_and(|row| row.appended == Never);
    let error = error(number, message);
    if refused { Outcome::Fail(error) } else { Outcome::Unknown(error, None) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::assert_table;

    #[test]
    fn the_table_is_sorted_and_its_names_are_unique() {
        assert_table(CODES);
        assert!(CODES.iter().all(|row| (row.number < -1) == row.name.starts_with('_')));
    }

    /// What was measured on Kafka 4.3.0, and the codes of which a wrong reading would hide a lost or a
    /// duplicated record.
    #[test]
    fn a_failed_send_is_only_called_failed_when_it_must_have() {
        let outcome = |number, one_attempt| match failed_send::<()>(number, "", one_attempt) {
            Outcome::Ok(()) => "ok",
            Outcome::Fail(_) => "fail",
            Outcome::Unknown(..) => "unknown",
        };
        for (number, once, retried) in [
            (19, "fail", "unknown"),
            (3, "fail", "unknown"),
            (10, "fail", "fail"),
            (87, "fail", "fail"),
            (-184, "fail", "fail"),
            (6, "unknown", "unknown"),
            (7, "unknown", "unknown"),
            (20, "unknown", "unknown"),
            (13, "unknown", "unknown"),
            (45, "unknown", "unknown"),
            (56, "unknown", "unknown"),
            (-195, "unknown", "unknown"),
            (-192, "unknown", "unknown"),
            (-185, "unknown", "unknown"),
            (-151, "unknown", "unknown"),
            (9_999, "unknown", "unknown"),
        ] {
            assert_eq!((outcome(number, true), outcome(number, false)), (once, retried), "{number}");
        }
    }

    #[test]
    fn a_zombies_commit_has_failed_and_a_timed_out_one_is_unknown() {
        for number in [22, 25, 27, 82, 110] {
            assert!(matches!(failed_commit::<()>(number, "", true), Outcome::Fail(_)), "{number}");
            assert!(matches!(failed_commit::<()>(number, "", false), Outcome::Unknown(..)), "{number}");
        }
        for number in [-185, -195, 7, 14, 16] {
            assert!(matches!(failed_commit::<()>(number, "", true), Outcome::Unknown(..)), "{number}");
        }
    }

    #[test]
    fn an_unknown_code_keeps_its_number() {
        assert_eq!(error(9_999, "odd").to_string(), "CODE_9999: odd");
        assert_eq!(error(6, "").code, "NOT_LEADER_OR_FOLLOWER");
    }
}
