//! What must hold after every event, one file each, named with its source.

use super::Nats;
use crate::kernel::Invariant;

/// Every invariant of the model.
#[must_use]
pub fn all() -> Vec<Box<dyn Invariant<Nats>>> {
    vec![]
}
