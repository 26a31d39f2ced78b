//! Promises about groups, their positions and their processing.

use super::{Rules, allowed, forbidden};
use crate::{
    Ruling,
    guarantees::{CommitPolicy, Delivery},
};

impl Rules<'_> {
    /// A group goes on where it committed.
    #[must_use]
    pub fn no_jump(&self) -> Ruling {
        match self.expect.delivery {
            Some(Delivery::AtMostOnce) => allowed("`delivery: at-most-once` lets a group leave records out"),
            Some(_) => forbidden(format!(
                "`delivery: {}` demands that a group leaves no record out",
                self.delivery()
            )),
            None => self.unless_power_was_lost("a group goes on where it committed"),
        }
    }

    /// A group processes every acknowledged record. `passed`: it is certain that the group will not come back.
    #[must_use]
    pub fn processing(&self, passed: bool) -> Ruling {
        let ruling = match (self.expect.delivery, self.configuration.commit) {
            (Some(Delivery::AtMostOnce), _) => {
                allowed("`delivery: at-most-once` lets a group leave records out")
            }
            (Some(_), _) => forbidden(format!(
                "`delivery: {}` demands that every acknowledged record is processed or dead-lettered",
                self.delivery()
            )),
            (None, CommitPolicy::AfterProcessing) => self.unless_power_was_lost(
                "a group that commits after processing processes every record at least once",
            ),
            (None, CommitPolicy::BeforeProcessing) => {
                allowed("a group that commits before processing processes each record at most once")
            }
            (None, CommitPolicy::Auto) => {
                allowed("commits on a timer may pass a record that is not processed yet")
            }
        };
        pending(passed, ruling)
    }

    /// A group processes no record twice.
    #[must_use]
    pub fn no_repeat(&self) -> Ruling {
        if self.expect.at_most_once() {
            forbidden(format!("`delivery: {}` demands that no record is processed twice", self.delivery()))
        } else {
            allowed("processing at least once repeats a record when it is delivered again")
        }
    }
}

/// A promise about what the group may still do is not broken before the group has passed it.
pub(super) fn pending(passed: bool, ruling: Ruling) -> Ruling {
    match ruling {
        Ruling::ForbiddenBy(clause) if !passed => Ruling::UndecidedBecause(format!(
            "the group had not passed the record when the run ended; {clause}"
        )),
        ruling => ruling,
    }
}
