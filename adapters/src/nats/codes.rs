//! JetStream's errors as data: what they are called, what a caller can do, and whether a publish that failed with
//! one may be stored.
//!
//! Positive numbers are the server's error codes (`err_code`), under which their errors are reported, with the names
//! of its source (`errors.json`); negative ones are what the client itself found, reported under its name.
//!
//! The leader refuses a publish before it proposes it, with few exceptions: a store that failed did so when the
//! record was committed already, and an id that is just being stored belongs to an earlier attempt. No responders
//! (503) is the answer of the server that the client is connected to: it knows nobody who takes the subject, so
//! nobody got the record. Silence proves nothing: a leader that was cut off or lost its office may have stored it.

use crate::codes::{
    Appended::{Maybe, Never, NotThisTime},
    Code, find, row,
};
use async_nats::jetstream::{
    self,
    context::{PublishError, PublishErrorKind},
};
use squall_bus::{
    Error,
    ErrorClass::{Fatal, Refused, Retriable, Unsupported},
};
use std::{borrow::Cow, error::Error as _};

/// The answer did not come in time.
pub const TIMED_OUT: i32 = -1;
/// Nobody takes the subject at the moment.
pub const NO_RESPONDERS: i32 = -2;
/// The request did not leave the client in time.
pub const NOT_SENT: i32 = -3;
/// The client has ended.
pub const CLOSED: i32 = -4;
/// The record is larger than the server takes.
pub const TOO_LARGE: i32 = -5;
/// The record cannot be written in NATS' protocol.
pub const INVALID: i32 = -6;
/// The answer cannot be understood.
pub const MALFORMED: i32 = -7;
/// The record was not sent within the time that it has.
pub const EXPIRED: i32 = -8;
/// The producer has no room.
pub const NO_ROOM: i32 = -9;

/// The table, by number.
pub const CODES: &[Code] = &[
    row(NO_ROOM, "NO_ROOM", Retriable, Never),
    row(EXPIRED, "EXPIRED", Retriable, NotThisTime),
    row(MALFORMED, "MALFORMED", Retriable, Maybe),
    row(INVALID, "INVALID_RECORD", Refused, Never),
    row(TOO_LARGE, "MAX_PAYLOAD_EXCEEDED", Refused, Never),
    row(CLOSED, "CLOSED", Fatal, Maybe),
    row(NOT_SENT, "NOT_SENT", Retriable, NotThisTime),
    row(NO_RESPONDERS, "503", Retriable, NotThisTime),
    row(TIMED_OUT, "TIMED_OUT", Retriable, Maybe),
    row(10_002, "JSAccountResourcesExceededErr", Retriable, NotThisTime),
    row(10_003, "JSBadRequestErr", Refused, NotThisTime),
    row(10_005, "JSClusterNoPeersErrF", Retriable, NotThisTime),
    row(10_008, "JSClusterNotAvailErr", Retriable, NotThisTime),
    row(10_009, "JSClusterNotLeaderErr", Retriable, Maybe),
    row(10_014, "JSConsumerNotFoundErr", Refused, NotThisTime),
    row(10_023, "JSInsufficientResourcesErr", Retriable, NotThisTime),
    row(10_037, "JSNoMessageFoundErr", Refused, NotThisTime),
    row(10_039, "JSNotEnabledForAccountErr", Unsupported, NotThisTime),
    row(10_047, "JSStorageResourcesExceededErr", Retriable, NotThisTime),
    row(10_052, "JSStreamInvalidConfigF", Refused, NotThisTime),
    row(10_054, "JSStreamMessageExceedsMaximumErr", Refused, Never),
    row(10_058, "JSStreamNameExistErr", Refused, NotThisTime),
    row(10_059, "JSStreamNotFoundErr", Refused, NotThisTime),
    row(10_060, "JSStreamNotMatchErr", Refused, NotThisTime),
    row(10_065, "JSStreamSubjectOverlapErr", Refused, NotThisTime),
    row(10_070, "JSStreamWrongLastMsgIDErrF", Refused, NotThisTime),
    row(10_071, "JSStreamWrongLastSequenceErrF", Refused, NotThisTime),
    row(10_074, "JSStreamReplicasNotSupportedErr", Unsupported, NotThisTime),
    row(10_076, "JSNotEnabledErr", Unsupported, NotThisTime),
    row(10_077, "JSStreamStoreFailedF", Refused, Maybe),
    row(10_097, "JSStreamHeaderExceedsMaximumErr", Refused, Never),
    row(10_109, "JSStreamSealedErr", Refused, NotThisTime),
    row(10_118, "JSStreamOfflineErr", Retriable, NotThisTime),
    row(10_148, "JSConsumerAlreadyExists", Refused, NotThisTime),
    row(10_158, "JSStreamDuplicateMessageConflict", Retriable, Maybe),
    row(10_164, "JSStreamExpectedLastSeqPerSubjectNotReady", Retriable, NotThisTime),
    row(10_167, "JSStreamTooManyRequests", Retriable, NotThisTime),
];

/// The error of a code, with a sentence.
#[must_use]
pub fn error(number: i32, message: impl Into<String>) -> Error {
    let row = find(CODES, number);
    let name = match row {
        Some(row) if number < 0 => Cow::Borrowed(row.name),
        _ => Cow::Owned(number.to_string()),
    };
    Error::new(row.map_or(Refused, |row| row.class), name, message)
}

/// Whether a publish that failed with a code may be stored. A code that the table does not know may mean
/// anything.
#[must_use]
pub fn may_be_stored(number: i32) -> bool {
    find(CODES, number).is_none_or(|row| row.appended == Maybe)
}

/// The number of a server's error.
#[must_use]
pub fn number(error: &jetstream::Error) -> i32 {
    i32::try_from(error.error_code().0).unwrap_or(i32::MAX)
}

/// The number of a publish that was not acknowledged, and what the client says.
pub(super) fn publish_failed(error: &PublishError) -> (i32, String) {
    let number = match error.kind() {
        PublishErrorKind::StreamNotFound => NO_RESPONDERS,
        PublishErrorKind::TimedOut => TIMED_OUT,
        PublishErrorKind::BrokenPipe => CLOSED,
        PublishErrorKind::MaxPayloadExceeded => TOO_LARGE,
        PublishErrorKind::MaxAckPending => NOT_SENT,
        PublishErrorKind::WrongLastMessageId
        | PublishErrorKind::WrongLastSequence
        | PublishErrorKind::Other => {
            error.source().and_then(|source| source.downcast_ref()).map_or(MALFORMED, number)
        }
    };
    (number, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::assert_table;

    #[test]
    fn the_table_is_sorted_and_its_names_are_unique() {
        assert_table(CODES);
        assert!(CODES.iter().all(|row| (row.number > 0) == row.name.starts_with("JS")));
    }

    /// The codes of which a wrong reading would hide a lost or a duplicated record.
    #[test]
    fn a_publish_is_only_called_failed_when_it_must_have() {
        for number in [TIMED_OUT, CLOSED, MALFORMED, 10_009, 10_077, 10_158, 19_999, 0] {
            assert!(may_be_stored(number), "{number}");
        }
        for number in [NO_RESPONDERS, NOT_SENT, TOO_LARGE, INVALID, EXPIRED, 10_023, 10_054, 10_071, 10_167] {
            assert!(!may_be_stored(number), "{number}");
        }
    }

    #[test]
    fn what_the_client_says_is_read_by_its_kind_and_the_servers_by_its_code() {
        let (number, _) = publish_failed(&PublishError::new(PublishErrorKind::StreamNotFound));
        assert_eq!(error(number, "").code, "503");
        let server: jetstream::Error =
            serde_json::from_str(r#"{"code":503,"err_code":10077,"description":"full"}"#).expect("an error");
        let (number, says) = publish_failed(&PublishError::with_source(PublishErrorKind::Other, server));
        assert_eq!((number, may_be_stored(number)), (10_077, true));
        assert!(says.contains("full"), "{says}");
    }

    #[test]
    fn an_unknown_code_keeps_its_number() {
        assert_eq!(error(19_999, "odd").to_string(), "19999: odd");
    }
}
