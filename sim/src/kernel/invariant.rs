//! Invariants: what must hold after every event of a run.
//!
//! An invariant is told what the event changed, keeps its own shadow of what it needs and costs O(change).
//! What holds only in the end is asked for a while after everything was healed ([`Invariant::due`]).
//! [`Invariant::full`] recomputes from the whole state; it runs at the end of each run and, in tests, after
//! every event of small runs, and must agree.

use super::Model;
use squall_bus::Time;

/// One invariant of a model. One file each, named with its source.
pub trait Invariant<M: Model>: Send {
    /// Its name, as its source has it.
    fn name(&self) -> &'static str;
    /// Where it comes from: a TLA+ specification, the broker's documentation.
    fn source(&self) -> &'static str;
    /// The [kinds](Model::kind) of changes that it looks at, as bits: it is not asked after an event without any.
    /// One that looks at none is asked only when it is due.
    fn kinds(&self) -> u8 {
        u8::MAX
    }
    /// After an event that touched `touched`: what is wrong, if anything.
    fn after(&mut self, model: &M, touched: &[M::Touch], now: Time) -> Result<(), String>;
    /// Over the whole state: what is wrong, if anything.
    fn full(&self, model: &M) -> Result<(), String>;
    /// Nothing is broken any more: when one that looks at no changes wants to be asked what has come true since, if at
    /// all. What it had asked for before is forgotten, as it is when something breaks.
    fn healed(&mut self, _model: &M, _now: Time) -> Option<Time> {
        None
    }
    /// At the time that it asked for: when it wants to be asked again, if at all, or what has not come true.
    fn due(&mut self, _model: &M, _now: Time) -> Result<Option<Time>, String> {
        Ok(None)
    }
}

/// An invariant that does not hold: the model is wrong, or a rule was changed on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The invariant's name.
    pub invariant: &'static str,
    /// Its source.
    pub source: &'static str,
    /// When.
    pub at: Time,
    /// What is wrong.
    pub what: String,
}
