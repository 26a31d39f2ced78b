//! Bugs that brokers and clients really had, each as a change of one rule of a model.
//!
//! Rows of plain data, whichever bus they are of. A run with a bug proves that the checks bite: with the change a sweep
//! of the bug's own scenario finds its anomaly, without it the same seeds are clean. The invariants of the model are off
//! in such a run, so that the history alone has to show what happened.

use crate::kafka;
use squall_history::Kind;

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bug {
    /// Its id: `kip-101`.
    pub id: &'static str,
    /// The bus whose model can have it.
    pub bus: &'static str,
    /// Who had it, and where that is told.
    pub source: &'static str,
    /// What goes wrong, in a sentence.
    pub about: &'static str,
    /// The scenario that leads to it.
    pub scenario: &'static str,
    /// The anomaly that shows it.
    pub anomaly: Kind,
}

/// Every bug, of all buses.
#[must_use]
pub fn all() -> Vec<Bug> {
    kafka::bugs::all()
}

/// The bug of this id.
#[must_use]
pub fn find(id: &str) -> Option<Bug> {
    all().into_iter().find(|bug| bug.id == id)
}
