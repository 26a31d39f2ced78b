//! Promises about acknowledged messages and the dead-letter topic.

use super::{Rules, allowed, forbidden, groups::pending};
use crate::{
    Ruling,
    guarantees::{CommitPolicy, Delivery, Dlq},
};

impl Rules<'_> {
    /// Poison that the group has passed is in the dead-letter topic.
    #[must_use]
    pub fn poison_is_kept(&self, passed: bool) -> Ruling {
        let ruling = if let Some(clause) = self.poison() {
            forbidden(clause)
        } else if self.expect.delivery == Some(Delivery::AtMostOnce) {
            allowed("`delivery: at-most-once` lets a group leave records out")
        } else if self.expect.at_least_once() {
            forbidden("a group that commits after processing dead-letters every poison record")
        } else if self.configuration.commit == CommitPolicy::AfterProcessing {
            self.unless_power_was_lost(
                "a group that commits after processing dead-letters every poison record",
            )
        } else {
            allowed("commits ahead of processing may pass a record that is not dead-lettered yet")
        };
        pending(passed, ruling)
    }

    /// Only poison is in the dead-letter topic. `given_up`: a handler gave the record up although the plan did
    /// not make it poison.
    #[must_use]
    pub fn only_poison(&self, given_up: bool) -> Ruling {
        match self.poison() {
            Some(clause) => forbidden(clause),
            None if given_up => allowed("a record that a handler gives up is dead-lettered"),
            None => forbidden("only a record that a handler gave up is dead-lettered"),
        }
    }

    /// What was processed is not dead-lettered too.
    #[must_use]
    pub fn either_processed_or_dead(&self) -> Ruling {
        match self.poison() {
            Some(clause) => forbidden(clause),
            None => forbidden("a record is either processed or dead-lettered"),
        }
    }

    /// Poison is in the dead-letter topic once. `repeated`: the record was delivered as often.
    #[must_use]
    pub fn dead_once(&self, repeated: bool) -> Ruling {
        if self.expect.delivery == Some(Delivery::ExactlyOnce) {
            forbidden("`delivery: exactly-once` demands that each poison record is dead-lettered once")
        } else if repeated {
            allowed("a poison record that is delivered again is dead-lettered again: at least once")
        } else {
            match self.poison() {
                Some(clause) => forbidden(clause),
                None => allowed("nothing demands that the dead-letter topic holds a record once"),
            }
        }
    }

    fn poison(&self) -> Option<&'static str> {
        (self.expect.dlq == Some(Dlq::ExactlyThePoison)).then_some(
            "`dlq: exactly-the-poison` demands all the poison in the dead-letter topic and nothing else",
        )
    }
}
