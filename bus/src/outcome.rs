//! How an operation ended: [`Outcome::Ok`] (it happened), [`Outcome::Fail`] (it definitely did not) or
//! [`Outcome::Unknown`] (nobody at the client can tell). Which client error means which is part of
//! correctness and stands in each adapter as a table with tests.

use crate::Position;
use std::{borrow::Cow, fmt};

/// How an operation ended, as far as its client can know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome<T> {
    /// It happened.
    Ok(T),
    /// It definitely did not happen and never will.
    Fail(Error),
    /// It may have happened, or may still; the position is kept when the client learned it.
    Unknown(Error, Option<Position>),
}

impl<T> Outcome<T> {
    /// The result if it is certain to have happened.
    pub fn ok(self) -> Option<T> {
        match self {
            Self::Ok(value) => Some(value),
            Self::Fail(_) | Self::Unknown(..) => None,
        }
    }

    /// Whether it is certain to have happened.
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Ok(_))
    }

    /// The error, unless it happened.
    pub fn error(&self) -> Option<&Error> {
        match self {
            Self::Ok(_) => None,
            Self::Fail(error) | Self::Unknown(error, _) => Some(error),
        }
    }
}

/// What a caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The bus or the network is in trouble; the same call may succeed later.
    Retriable,
    /// The call itself is wrong and will not succeed as it is.
    Refused,
    /// This handle is finished: fenced, closed, or its process crashed.
    Fatal,
    /// The target lacks a capability; the message names it.
    Unsupported,
}

/// An error of a bus: the broker's own name for it, and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What the caller can do.
    pub class: ErrorClass,
    /// The broker's or client's own name: `NOT_LEADER_OR_FOLLOWER`, `_MSG_TIMED_OUT`.
    pub code: Cow<'static, str>,
    /// A lower-case sentence that says what happened; empty when the code says it all.
    pub message: String,
}

impl Error {
    /// An error of this class with the broker's own name for it.
    #[must_use]
    pub fn new(class: ErrorClass, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { class, code: code.into(), message: message.into() }
    }

    /// The handle's process crashed, or the handle was closed.
    #[must_use]
    pub fn closed() -> Self {
        Self::new(ErrorClass::Fatal, "CLOSED", "the handle is closed, or its process has crashed")
    }

    /// The target lacks a capability.
    #[must_use]
    pub fn unsupported(capability: crate::Capability) -> Self {
        Self::new(
            ErrorClass::Unsupported,
            "UNSUPPORTED",
            format!("the target lacks the capability {capability}"),
        )
    }

    /// Transactions were asked of a producer without a transactional id.
    #[must_use]
    pub fn not_transactional() -> Self {
        let message = "the producer has no transactional id: set one in its configuration";
        Self::new(ErrorClass::Refused, "INVALID_CONFIG", message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() {
            f.write_str(&self.code)
        } else {
            write!(f, "{}: {}", self.code, self.message)
        }
    }
}

impl std::error::Error for Error {}
