//! Promises about groups, their positions and their processing.

use super::{Rules, allowed, forbidden};
use crate::{
    Ruling,
    analysis::span,
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

    /// A group goes on no earlier than it committed.
    #[must_use]
    pub fn fresh_commits(&self) -> Ruling {
        if self.configuration.linearizable_commits {
            forbidden("linearizable_commits promises that a group goes on where it committed last")
        } else {
            allowed("at least once: a group may go on before its last commit and read records again")
        }
    }

    /// A member commits no further than it has read.
    #[must_use]
    pub fn no_commit_ahead(&self) -> Ruling {
        match self.expect.delivery {
            Some(Delivery::AtMostOnce) => allowed("`delivery: at-most-once` lets a group leave records out"),
            _ => forbidden("a member commits no further than it has read"),
        }
    }

    /// A member commits no further than its handlers have come.
    #[must_use]
    pub fn no_early_commit(&self) -> Ruling {
        match (self.expect.delivery, self.configuration.commit) {
            (Some(Delivery::AtMostOnce), _) => {
                allowed("`delivery: at-most-once` lets a group leave records out")
            }
            (_, CommitPolicy::AfterProcessing) => {
                forbidden("a group that commits after processing commits only what is processed")
            }
            (Some(_), _) => forbidden(format!(
                "`delivery: {}` demands that a commit leaves nothing behind that is not processed",
                self.delivery()
            )),
            (None, _) => allowed("commits on a timer may pass a record that is not processed yet"),
        }
    }

    /// After an abort a reader goes back no further than it must.
    #[must_use]
    pub fn rewound_further(&self) -> Ruling {
        allowed("at least once: after an abort a reader may go back further and read records again")
    }

    /// A member is handed records of its own units only.
    #[must_use]
    pub fn own_units_only(&self) -> Ruling {
        forbidden("a member is handed records of the units that it was assigned and has not given up")
    }

    /// A unit has one owner in a generation.
    #[must_use]
    pub fn one_owner(&self) -> Ruling {
        forbidden("in one generation of a group a unit has one owner")
    }

    /// Committed transactions consume a record once.
    #[must_use]
    pub fn consumed_again(&self) -> Ruling {
        allowed("no bus promises that its consumers are handed a record once; only results are exactly once")
    }

    /// A stable group is left alone. `beyond`: the bound of the scenario is used up.
    #[must_use]
    pub fn spurious(&self, beyond: bool) -> Ruling {
        match self.expect.spurious_rebalances {
            Some(bound) if beyond => {
                forbidden(format!("`spurious_rebalances: {bound}` bounds the rebalances without a reason"))
            }
            _ => allowed("a group may be rebalanced without a reason"),
        }
    }

    /// Whoever has work to do does some of it before long.
    #[must_use]
    pub fn progress(&self) -> Ruling {
        let bound = self.expect.progress.unwrap_or_default();
        forbidden(format!("`progress: < {}` bounds how long a client with work may stand still", span(bound)))
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
