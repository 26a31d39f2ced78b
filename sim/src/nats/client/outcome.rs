//! What an answer, or none, means for a record or an ack: a table, since a wrong row would hide a lost or a
//! duplicated record.
//!
//! | what came | again? | stored? | source |
//! |---|---|---|---|
//! | nothing in time | at once | maybe | the ack, the request or both may be lost; it may even land later |
//! | 503, nobody listens | after a pause | not this time | the client's server dropped it |
//! | 10158 | after a pause | maybe | a message of this id is being stored: an attempt before this one |
//! | 10167, 10023, 10008 | after a pause | not this time | dropped before it was proposed |
//! | 10054 | no | never | refused for what it is |
//! | 10059 | no | not this time | no such stream |
//! | 10077 | no | maybe | the store failed, perhaps on what was committed already |
//! | any other | no | maybe | |
//!
//! A record fails (`fail`) only if no attempt at it can have been stored, now or later; else its outcome is
//! `unknown`. An ack that nobody was there for failed; one that was not confirmed in time is unknown.

use crate::nats::error::ApiError;
use squall_bus::{Error, ErrorClass, Outcome};
use std::borrow::Cow;

/// How an attempt ended that was not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Answer {
    /// No answer came in time.
    Silence,
    /// Nobody listens.
    NoResponders,
    /// The stream refuses it.
    Refused(ApiError),
}

/// Whether a record that was answered so may be in the stream, or get there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Stored {
    /// No attempt at it can be: all are refused alike.
    Never,
    /// This attempt is not.
    NotThisTime,
    /// It may be.
    Maybe,
}

/// What to make of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Meaning {
    /// Whether to send it again, if that is to be done at all.
    pub(crate) again: bool,
    /// Whether to wait before.
    pub(crate) pause: bool,
    pub(crate) stored: Stored,
    pub(crate) class: ErrorClass,
}

use Answer::{NoResponders, Refused, Silence};
use ErrorClass::Retriable;
use Stored::{Maybe, Never, NotThisTime};

const fn row(again: bool, pause: bool, stored: Stored, class: ErrorClass) -> Meaning {
    Meaning { again, pause, stored, class }
}

/// The table.
pub(crate) const PUBLISH: &[(Answer, Meaning)] = &[
    (Silence, row(true, false, Maybe, Retriable)),
    (NoResponders, row(true, true, NotThisTime, Retriable)),
    (Refused(ApiError::DuplicateInFlight), row(true, true, Maybe, Retriable)),
    (Refused(ApiError::TooManyRequests), row(true, true, NotThisTime, Retriable)),
    (Refused(ApiError::InsufficientResources), row(true, true, NotThisTime, Retriable)),
    (Refused(ApiError::ClusterNotAvailable), row(true, true, NotThisTime, Retriable)),
    (Refused(ApiError::MessageTooLarge), row(false, false, Never, ErrorClass::Refused)),
    (Refused(ApiError::StreamNotFound), row(false, false, NotThisTime, ErrorClass::Refused)),
    (Refused(ApiError::StreamStoreFailed), row(false, false, Maybe, Retriable)),
];

/// What an answer to a publish means.
pub(crate) fn of_publish(answer: Answer) -> Meaning {
    match PUBLISH.iter().find(|(known, _)| *known == answer) {
        Some((_, meaning)) => *meaning,
        None => row(false, false, Maybe, ErrorClass::Refused),
    }
}

/// The error of an answer.
pub(crate) fn error(answer: Answer, class: ErrorClass) -> Error {
    match answer {
        Silence => Error::new(class, "TIMED_OUT", "no answer came in time"),
        NoResponders => Error::new(class, "503", "nobody listens to the subject: no leader, or no stream"),
        Refused(error) => {
            let code: Cow<'static, str> = error.err_code().to_string().into();
            Error::new(class, code, error.description())
        }
    }
}

/// The outcome of a record that is given up: the answer to its last attempt, and whether an earlier one (`before`)
/// may have been stored.
pub(crate) fn given_up<T>(answer: Answer, before: bool) -> Outcome<T> {
    let meaning = of_publish(answer);
    let error = error(answer, meaning.class);
    match meaning.stored {
        Never => Outcome::Fail(error),
        NotThisTime if !before => Outcome::Fail(error),
        NotThisTime | Maybe => Outcome::Unknown(error, None),
    }
}

/// The outcome of a record whose time is up while it waits to be sent, for the first time or again.
pub(crate) fn out_of_time<T>(before: bool) -> Outcome<T> {
    let error = Error::new(Retriable, "TIMED_OUT", "the time for the record is over");
    if before { Outcome::Unknown(error, None) } else { Outcome::Fail(error) }
}

/// The outcome of an ack that was not confirmed.
pub(crate) fn of_ack(answer: Answer) -> Outcome<()> {
    let error = error(answer, Retriable);
    match answer {
        NoResponders => Outcome::Fail(error),
        Silence | Refused(_) => Outcome::Unknown(error, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word<T>(outcome: &Outcome<T>) -> &'static str {
        match outcome {
            Outcome::Ok(_) => "ok",
            Outcome::Fail(_) => "fail",
            Outcome::Unknown(..) => "unknown",
        }
    }

    #[test]
    fn a_record_is_only_called_failed_when_it_must_have() {
        for (answer, once, after_a_doubtful_attempt) in [
            (Silence, "unknown", "unknown"),
            (NoResponders, "fail", "unknown"),
            (Refused(ApiError::DuplicateInFlight), "unknown", "unknown"),
            (Refused(ApiError::TooManyRequests), "fail", "unknown"),
            (Refused(ApiError::InsufficientResources), "fail", "unknown"),
            (Refused(ApiError::ClusterNotAvailable), "fail", "unknown"),
            (Refused(ApiError::MessageTooLarge), "fail", "fail"),
            (Refused(ApiError::StreamNotFound), "fail", "unknown"),
            (Refused(ApiError::StreamStoreFailed), "unknown", "unknown"),
            (Refused(ApiError::ConsumerNotFound), "unknown", "unknown"),
        ] {
            let found = (word(&given_up::<()>(answer, false)), word(&given_up::<()>(answer, true)));
            assert_eq!(found, (once, after_a_doubtful_attempt), "{answer:?}");
        }
        assert_eq!((word(&out_of_time::<()>(false)), word(&out_of_time::<()>(true))), ("fail", "unknown"));
    }

    #[test]
    fn an_ack_is_only_called_failed_when_nobody_was_there() {
        assert_eq!((word(&of_ack(NoResponders)), word(&of_ack(Silence))), ("fail", "unknown"));
    }

    #[test]
    fn an_answer_has_one_row() {
        for (place, (answer, _)) in PUBLISH.iter().enumerate() {
            assert!(PUBLISH[..place].iter().all(|(other, _)| other != answer), "{answer:?}");
        }
    }
}
