//! A log with conditional appends: publish with an expected last sequence, and compare-and-set on the last value.
//!
//! The state is the last record: its value and, as far as answers tell, its position. An append without a condition
//! is always accepted; one with a condition is accepted if the last record is the expected one and rejected if not.
//! An accepted append stands behind the last record; positions may have holes, and begin at 1: to expect 0 is to
//! expect that there is no record yet.
//!
//! Before the first answer nothing is known, for the log may hold records; whatever is answered first says what it was.
//! Where no position was told, the last record is only known to be behind some place. A condition on a position
//! behind that place may hold or not, so either answer is taken; that is lenient, never wrong.
//!
//! **Source.** NATS JetStream's `Nats-Expected-Last-Sequence` and `-Last-Subject-Sequence`; compare-and-set as in
//! Herlihy (1991).

use crate::linear::Model;

/// What an append expects of the last record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Expected {
    /// It is at this position; 0: there is none.
    Position(u64),
    /// It has this value.
    Value(u64),
}

/// What the log answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// Accepted, at this position if one was told.
    Accepted(Option<u64>),
    /// Rejected, because the last record is not the expected one.
    Rejected,
}

/// An append with its answer. One of unknown outcome that takes effect counts as accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Append {
    /// Its value.
    pub value: u64,
    /// Its condition.
    pub expected: Option<Expected>,
    /// What came of it.
    pub answer: Answer,
}

/// The last record, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogState {
    /// Nothing is known of it: the history may begin with a log that holds records.
    Unknown,
    /// It has this value.
    Last {
        /// Its value.
        value: u64,
        /// Its position, or a position that it is at or behind.
        from: u64,
        /// Whether it is exactly there.
        exact: bool,
    },
}

/// The model. It starts without any knowledge.
#[derive(Clone, Copy, Debug, Default)]
pub struct Log;

impl LogState {
    /// Whether the last record can be the expected one, and whether it must be.
    fn meets(&self, expected: Expected) -> (bool, bool) {
        let certain = |is| (is, is);
        match (*self, expected) {
            (Self::Unknown, _) => (true, false),
            (Self::Last { value, .. }, Expected::Value(other)) => certain(value == other),
            (Self::Last { from, exact: true, .. }, Expected::Position(position)) => certain(position == from),
            (Self::Last { from, exact: false, .. }, Expected::Position(position)) => {
                (position >= from, false)
            }
        }
    }

    /// The state behind an accepted append; `None` if its position does not lie behind the last record.
    fn append(&self, append: &Append, position: Option<u64>) -> Option<Self> {
        // The condition says where the last record was, if nothing else does.
        let told = match (append.expected, *self) {
            (Some(Expected::Position(0)), _) => None,
            (Some(Expected::Position(position)), _) => Some(position),
            (_, Self::Last { from, .. }) => Some(from),
            (_, Self::Unknown) => None,
        };
        let value = append.value;
        match position {
            Some(from) => {
                told.is_none_or(|last| from > last).then_some(Self::Last { value, from, exact: true })
            }
            None => {
                let from = told.unwrap_or(0).saturating_add(1);
                Some(Self::Last { value, from, exact: false })
            }
        }
    }
}

impl Model for Log {
    type State = LogState;
    type Op = Append;

    fn start(&self) -> LogState {
        LogState::Unknown
    }

    fn step(&self, state: &LogState, op: &Append) -> Option<LogState> {
        let (can, must) = op.expected.map_or((true, true), |expected| state.meets(expected));
        match op.answer {
            Answer::Accepted(position) if can => state.append(op, position),
            Answer::Rejected if !must => Some(*state),
            _ => None,
        }
    }

    fn describe(&self, state: &LogState) -> String {
        match state {
            LogState::Unknown => "nothing is known of the last record".to_owned(),
            LogState::Last { value, from, exact: true } => {
                format!("the last record is {value} at position {from}")
            }
            LogState::Last { value, from, exact: false } => {
                format!("the last record is {value} at position {from} or behind it")
            }
        }
    }
}
