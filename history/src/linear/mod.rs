//! Linearizability by search: is there one order of the calls, true to real time, that explains every answer?
//!
//! Most histories need no search, because the positions in their acks are the order. Where answers carry none, or
//! where an answer depends on the state (a publish that expects a last sequence, compare-and-set, fencing by epoch),
//! [`judge_calls`] searches in the manner of Wing and Gong (1993) with the cache of Lowe (2016): take the first
//! call that may come next, go on from the state behind it, and go back when a call would have to be answered
//! before it could take effect. What was tried, a set of calls taken and the state behind them, is never tried
//! again.
//!
//! Calls on different objects do not constrain each other, so every unit and every transactional id is searched on
//! its own ([`judge_parts`]): that turns an exponential cost in all calls into one in those that overlap.
//!
//! **Unknown outcomes.** A call without an end may take effect at any time after its begin, or never.
//!
//! **Budget.** It is counted in steps, calls of [`Model::step`], never in time. Without an answer within the budget the
//! judgement is [`Judgement::Undecided`].
//!
//! **Sources.** Herlihy and Wing (1990) for the definition; Wing and Gong, "Testing and verifying concurrent objects"
//! (1993); Lowe, "Testing for linearizability" (2016); Horn and Kroening, "Faster linearizability checking via
//! P-compositionality" (2015) for the parts.

mod models;
mod search;
mod taken;

pub use models::{Answer, Append, Expected, FenceOp, Fencing, Log, LogState, Reign};
pub use search::{judge_calls, judge_parts};

#[cfg(test)]
mod tests;

use std::hash::Hash;

/// What an object does, one call at a time.
pub trait Model {
    /// Its state. States that answer all further calls alike should be equal.
    type State: Clone + Eq + Hash;
    /// A call with its answer.
    type Op;

    /// The state before the first call.
    fn start(&self) -> Self::State;

    /// The state behind a call that gets this answer in this state; `None` if it would get another one.
    fn step(&self, state: &Self::State, op: &Self::Op) -> Option<Self::State>;

    /// The state in English, as in `the last record is at 7`.
    fn describe(&self, state: &Self::State) -> String;
}

/// A call, with the moments of its begin and its end. Only their order counts; no two are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call<O> {
    /// What was called, and what it answered.
    pub op: O,
    /// When it was called.
    pub begin: u64,
    /// When its effect was certain: its answer, or an observation of the effect. `None` if it never was.
    pub end: Option<u64>,
}

/// What the search found. Calls are named by their place in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// This order explains every answer. Calls without an end are in it as far as they were needed.
    Linearizable(Vec<usize>),
    /// No order explains every answer.
    Illegal(Proof),
    /// The budget was used up first.
    Undecided,
}

/// How far any order came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// A longest order that explains the answers of its calls.
    pub longest: Vec<usize>,
    /// The call that was answered before it could take effect in that order or in any other.
    pub blocked: usize,
    /// The state behind that order, in English.
    pub state: String,
}
