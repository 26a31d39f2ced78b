//! What errors of Java's clients mean.
//!
//! An error that is one of the protocol's has its number and the meaning that the table of [`crate::wire::codes`] gives it.
//! Others, as `CommitFailedException` and the bare `KafkaException`, have the name of their class.
//!
//! | what failed | and certainly had no effect when |
//! |---|---|
//! | a send | it never left the caller's hands, or it was dropped with its transaction (Java's `RecordAccumulator` drops so only what it never sent: `TransactionAbortedException`), or the table says so |
//! | a step of a transaction | the producer itself refused it, since the transaction had failed before: 47, 120, a bare `KafkaException`, `IllegalStateException` (Java's `TransactionManager` makes 90 of every 47 that a coordinator answers) |
//! | a commit of positions | the group refused it at the first attempt |

use crate::wire::codes;
use squall_bus::{Error, ErrorClass, Outcome};

/// An error as the program tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JavaError {
    /// Nothing was sent to a broker.
    before: bool,
    /// Its number in the protocol; 0 if it has none.
    number: i32,
    /// Its class in Java.
    name: String,
    retriable: bool,
    says: String,
}

impl JavaError {
    /// Of a call that failed: `before` or `after`, and the error.
    pub(super) fn of_call(says: &[String]) -> Self {
        let (when, error) = says.split_first().map_or(("", says), |(when, error)| (when.as_str(), error));
        Self { before: when == "before", ..Self::of(error) }
    }

    /// Number, class, kind and sentence.
    pub(super) fn of(says: &[String]) -> Self {
        let field = |place: usize| says.get(place).map(String::as_str).unwrap_or_default();
        Self {
            before: false,
            number: field(0).parse().unwrap_or(0),
            name: field(1).to_owned(),
            retriable: field(2) == "retriable",
            says: field(3).to_owned(),
        }
    }

    /// The program is gone, and what became of its calls is not known.
    pub(super) fn gone() -> Self {
        let says = "the process of the Java clients has ended".to_owned();
        Self { before: false, number: 0, name: "CLOSED".to_owned(), retriable: false, says }
    }

    /// The bus's error for it.
    pub(super) fn error(&self) -> Error {
        match self.number {
            0 if self.retriable => Error::new(ErrorClass::Retriable, self.name.clone(), self.says.clone()),
            0 => Error::new(ErrorClass::Refused, self.name.clone(), self.says.clone()),
            number => codes::error(number, self.says.clone()),
        }
    }

    /// How a send ended that failed so.
    pub(super) fn of_send<T>(&self) -> Outcome<T> {
        match self.number {
            _ if self.before => Outcome::Fail(self.error()),
            0 if self.name == "TransactionAbortedException" => Outcome::Fail(self.error()),
            0 => Outcome::Unknown(self.error(), None),
            number => codes::failed_send(number, self.says.clone(), false),
        }
    }

    /// How a step of a transaction ended that failed so.
    pub(super) fn of_step(&self) -> Outcome<()> {
        let refused = matches!(self.number, 47 | 120)
            || (self.number == 0 && matches!(self.name.as_str(), "KafkaException" | "IllegalStateException"));
        if self.before || refused {
            Outcome::Fail(self.error())
        } else {
            Outcome::Unknown(self.error(), None)
        }
    }

    /// How a commit of positions ended that failed so, after one attempt or perhaps several.
    pub(super) fn of_commit(&self, one_attempt: bool) -> Outcome<()> {
        match (self.number, self.name.as_str()) {
            (0, "CommitFailedException") if one_attempt => Outcome::Fail(self.error()),
            (0, _) => Outcome::Unknown(self.error(), None),
            (number, _) => codes::failed_commit(number, self.says.clone(), one_attempt),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(when: &str, number: &str, name: &str) -> JavaError {
        JavaError::of_call(&[when, number, name, "refused", "why"].map(str::to_owned))
    }

    fn told<T>(outcome: Outcome<T>) -> (&'static str, String) {
        match outcome {
            Outcome::Ok(_) => ("ok", String::new()),
            Outcome::Fail(error) => ("fail", error.code.into_owned()),
            Outcome::Unknown(error, _) => ("unknown", error.code.into_owned()),
        }
    }

    #[test]
    fn a_send_fails_only_if_it_never_left_or_is_refused_whenever_it_is_tried() {
        for (when, number, expected) in [
            ("before", "47", ("fail", "INVALID_PRODUCER_EPOCH")),
            ("after", "47", ("unknown", "INVALID_PRODUCER_EPOCH")),
            ("after", "7", ("unknown", "REQUEST_TIMED_OUT")),
            ("after", "10", ("fail", "MESSAGE_TOO_LARGE")),
            ("after", "0", ("unknown", "KafkaException")),
        ] {
            let (how, code) = told(error(when, number, "KafkaException").of_send::<()>());
            assert_eq!((how, code.as_str()), expected);
        }
        let dropped = error("after", "0", "TransactionAbortedException").of_send::<()>();
        assert_eq!(told(dropped).0, "fail");
    }

    #[test]
    fn a_step_that_the_producer_refuses_had_no_effect_and_one_that_a_coordinator_refuses_may_have() {
        let step = |number, name| told(error("after", number, name).of_step()).0;
        assert_eq!(step("47", "InvalidProducerEpochException"), "fail");
        assert_eq!(step("0", "KafkaException"), "fail");
        assert_eq!(step("90", "ProducerFencedException"), "unknown");
        assert_eq!(step("48", "InvalidTxnStateException"), "unknown");
        assert_eq!(step("7", "TimeoutException"), "unknown");
    }

    #[test]
    fn a_commit_that_was_tried_again_may_have_gone_through_before() {
        let commit = |number, one| told(error("after", number, "CommitFailedException").of_commit(one)).0;
        assert_eq!((commit("0", true), commit("0", false)), ("fail", "unknown"));
        assert_eq!((commit("27", true), commit("27", false)), ("fail", "unknown"));
        assert_eq!((commit("7", true), commit("7", false)), ("unknown", "unknown"));
    }
}
