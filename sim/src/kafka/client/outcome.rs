//! What an error means for a record or a commit: a table, since a wrong row would hide a lost or a duplicated
//! record.
//!
//! | code | again? | appended? | source |
//! |---|---|---|---|
//! | 2, 3, 19 | yes | not this time | refused before the append (19 measured on Kafka 4.3.0) |
//! | 5, 6, 7, 20, 56, 74, 75 | yes | maybe | 6 measured: a leader that hands over answers it for what it had appended |
//! | connection lost, request timed out | yes | maybe | the request may have gone through |
//! | 10 | no | never | refused for what it is |
//! | 45 | see [`Desynchronized`](super::defaults::Desynchronized) | maybe | a repeat of an old batch looks the same |
//! | 47, 48, 49, 120 | no | not this time | fenced, or not part of an open transaction |
//! | 51 | yes | not this time | the transaction before is still ending |
//! | any other | no | maybe | |
//!
//! A record fails (`fail`) only if no attempt at it can have been appended; else its outcome is `unknown`.
//! A record whose time is up before it was ever sent fails.

use super::super::error::ErrorCode;
use squall_bus::{Error, ErrorClass, Outcome};

/// Whether a batch that was answered so may be in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Appended {
    /// No attempt at it can have been: all are refused alike.
    Never,
    /// This attempt was not.
    NotThisTime,
    /// It may be.
    Maybe,
}

/// What to make of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Meaning {
    pub(crate) code: ErrorCode,
    /// Whether to send the batch again.
    pub(crate) again: bool,
    /// Whether the client's metadata is to blame.
    pub(crate) refresh: bool,
    pub(crate) appended: Appended,
    pub(crate) class: ErrorClass,
}

const fn row(code: ErrorCode, again: bool, refresh: bool, appended: Appended, class: ErrorClass) -> Meaning {
    Meaning { code, again, refresh, appended, class }
}

use Appended::{Maybe, Never, NotThisTime};
use ErrorClass::{Fatal, Refused, Retriable};

/// The table for produce responses.
pub(crate) const PRODUCE: &[Meaning] = &[
    row(ErrorCode::CorruptMessage, true, false, NotThisTime, Retriable),
    row(ErrorCode::UnknownTopicOrPartition, true, true, NotThisTime, Retriable),
    row(ErrorCode::LeaderNotAvailable, true, true, Maybe, Retriable),
    row(ErrorCode::NotLeaderOrFollower, true, true, Maybe, Retriable),
    row(ErrorCode::RequestTimedOut, true, false, Maybe, Retriable),
    row(ErrorCode::MessageTooLarge, false, false, Never, Refused),
    row(ErrorCode::NotEnoughReplicas, true, false, NotThisTime, Retriable),
    row(ErrorCode::NotEnoughReplicasAfterAppend, true, false, Maybe, Retriable),
    row(ErrorCode::OutOfOrderSequenceNumber, false, false, Maybe, Fatal),
    row(ErrorCode::InvalidProducerEpoch, false, false, NotThisTime, Fatal),
    row(ErrorCode::InvalidTxnState, false, false, NotThisTime, Refused),
    row(ErrorCode::InvalidProducerIdMapping, false, false, NotThisTime, Fatal),
    row(ErrorCode::ConcurrentTransactions, true, false, NotThisTime, Retriable),
    row(ErrorCode::TransactionAbortable, false, false, NotThisTime, Refused),
    row(ErrorCode::KafkaStorageError, true, true, Maybe, Retriable),
    row(ErrorCode::FencedLeaderEpoch, true, true, Maybe, Retriable),
    row(ErrorCode::UnknownLeaderEpoch, true, true, Maybe, Retriable),
];

/// What a produce response's error means.
pub(crate) fn of_produce(code: ErrorCode) -> Meaning {
    match PRODUCE.iter().find(|row| row.code == code) {
        Some(row) => *row,
        None => row(code, false, false, Maybe, Refused),
    }
}

/// The outcome of an operation that is given up: the error of its last attempt, and whether that one or
/// (`before`) an earlier one may have been appended.
pub(crate) fn given_up<T>(error: Error, appended: Appended, before: bool) -> Outcome<T> {
    match appended {
        Never => Outcome::Fail(error),
        NotThisTime if !before => Outcome::Fail(error),
        NotThisTime | Maybe => Outcome::Unknown(error, None),
    }
}

/// What to do about a group or offset request that the coordinator answered with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Coordination {
    /// No error.
    Fine,
    /// Try again at the same coordinator, later.
    Again,
    /// Look for the coordinator.
    Elsewhere,
    /// The group rebalances: take part.
    Rejoin,
    /// The membership is gone, but not the member id.
    Lost,
    /// The coordinator does not know this member.
    Unknown,
    /// The member epoch is old: heartbeat, then try again.
    Stale,
    /// Another process has taken this member's place.
    Fenced,
    /// Pointless.
    Refused,
}

/// What a coordinator's error means to a member.
pub(crate) const fn of_coordinator(code: ErrorCode) -> Coordination {
    match code {
        ErrorCode::None => Coordination::Fine,
        ErrorCode::CoordinatorLoadInProgress
        | ErrorCode::RequestTimedOut
        | ErrorCode::UnstableOffsetCommit
        | ErrorCode::NotEnoughReplicas
        | ErrorCode::NotEnoughReplicasAfterAppend
        | ErrorCode::UnknownTopicOrPartition => Coordination::Again,
        ErrorCode::CoordinatorNotAvailable | ErrorCode::NotCoordinator | ErrorCode::NotLeaderOrFollower => {
            Coordination::Elsewhere
        }
        ErrorCode::RebalanceInProgress => Coordination::Rejoin,
        ErrorCode::IllegalGeneration | ErrorCode::FencedMemberEpoch => Coordination::Lost,
        ErrorCode::StaleMemberEpoch => Coordination::Stale,
        ErrorCode::UnknownMemberId => Coordination::Unknown,
        ErrorCode::FencedInstanceId => Coordination::Fenced,
        _ => Coordination::Refused,
    }
}

/// The error of a code, with a sentence.
pub(crate) fn error(code: ErrorCode, class: ErrorClass, message: impl Into<String>) -> Error {
    Error::new(class, code.name(), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(code: ErrorCode, before: bool) -> &'static str {
        let meaning = of_produce(code);
        match given_up::<()>(error(code, meaning.class, ""), meaning.appended, before) {
            Outcome::Ok(()) => "ok",
            Outcome::Fail(_) => "fail",
            Outcome::Unknown(..) => "unknown",
        }
    }

    #[test]
    fn a_record_is_only_called_failed_when_it_must_have() {
        for (code, once, after_a_doubtful_attempt) in [
            (ErrorCode::CorruptMessage, "fail", "unknown"),
            (ErrorCode::UnknownTopicOrPartition, "fail", "unknown"),
            (ErrorCode::NotLeaderOrFollower, "unknown", "unknown"),
            (ErrorCode::RequestTimedOut, "unknown", "unknown"),
            (ErrorCode::MessageTooLarge, "fail", "fail"),
            (ErrorCode::NotEnoughReplicas, "fail", "unknown"),
            (ErrorCode::NotEnoughReplicasAfterAppend, "unknown", "unknown"),
            (ErrorCode::OutOfOrderSequenceNumber, "unknown", "unknown"),
            (ErrorCode::InvalidProducerEpoch, "fail", "unknown"),
            (ErrorCode::KafkaStorageError, "unknown", "unknown"),
            (ErrorCode::NotController, "unknown", "unknown"),
        ] {
            let found = (outcome(code, false), outcome(code, true));
            assert_eq!(found, (once, after_a_doubtful_attempt), "{code}");
        }
    }

    #[test]
    fn a_code_has_one_row() {
        for (place, row) in PRODUCE.iter().enumerate() {
            assert!(PRODUCE[..place].iter().all(|other| other.code != row.code), "{}", row.code);
        }
    }
}
