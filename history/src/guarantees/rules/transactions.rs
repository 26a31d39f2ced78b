//! Promises about transactions.

use super::{Rules, allowed, forbidden};
use crate::{Ruling, guarantees::TxnOrder};

impl Rules<'_> {
    /// Readers are not shown what is not committed.
    #[must_use]
    pub fn committed_only(&self) -> Ruling {
        if self.configuration.reads_committed() {
            forbidden("isolation read-committed shows readers only what is committed")
        } else {
            allowed("isolation read-uncommitted shows readers whatever is in the log")
        }
    }

    /// A reader is shown a transaction whole. `lost`: what is missing of it is lost to everybody. Where whole logs may have
    /// lost their ends, a reader may also stand in the middle of what was written anew.
    #[must_use]
    pub fn whole(&self, lost: bool) -> Ruling {
        match (self.committed_only(), self.survival()) {
            (Ruling::ForbiddenBy(_), Ruling::AllowedBy(clause)) if lost => {
                allowed(format!("a transaction lacks what may be lost of it: {clause}"))
            }
            (Ruling::ForbiddenBy(clause), _) if !lost => self.unless_power_was_lost(&clause),
            (ruling, _) => ruling,
        }
    }

    /// The writes of two transactions do not interleave. On a log they may, unless something else is promised.
    #[must_use]
    pub fn isolated_writes(&self) -> Ruling {
        if self.configuration.isolated_writes {
            forbidden("`isolated_writes` promises that the writes of two transactions do not interleave")
        } else if self.configuration.txn_order > TxnOrder::Any {
            forbidden("transactions are promised to have an order, and these have none")
        } else {
            allowed("on a log the writes of two transactions may interleave: they are not isolated")
        }
    }

    /// Transactions have an order that agrees with this one.
    #[must_use]
    pub fn transaction_order(&self, order: TxnOrder) -> Ruling {
        let words = match order {
            TxnOrder::Realtime => "that of real time",
            TxnOrder::Process | TxnOrder::Any => "each process' own",
        };
        if self.configuration.txn_order >= order {
            forbidden(format!("the order of transactions is promised to agree with {words}"))
        } else {
            allowed(format!("nothing promises that the order of transactions agrees with {words}"))
        }
    }

    /// A group that reads, computes and writes in transactions does so exactly once.
    #[must_use]
    pub fn exactly_once(&self) -> Ruling {
        self.unless_power_was_lost("a pipeline's group reads, computes and writes exactly once")
    }

    /// What transactions only move about adds up. `aborted`: what is counted is of a transaction that was aborted.
    #[must_use]
    pub fn conserved(&self, aborted: bool) -> Ruling {
        match self.committed_only() {
            ruling @ Ruling::AllowedBy(_) if aborted => ruling,
            _ => self.unless_power_was_lost("amounts on a topic in `conserved` add up to nothing"),
        }
    }

    /// A transaction that does not end is aborted after its timeout, and readers go on: unless power took what the bus
    /// knew of it, and not what it wrote.
    #[must_use]
    pub fn transactions_end(&self) -> Ruling {
        self.unless_power_was_lost("`txn_timeout` promises that a transaction which does not end is aborted")
    }

    /// Who has an older epoch of a transactional id is fenced.
    #[must_use]
    pub fn fenced(&self) -> Ruling {
        self.unless_power_was_lost("whoever has an older epoch of a transactional id is fenced")
    }

    /// Conditional operations and fences are answered in some order true to real time.
    #[must_use]
    pub fn linearizable(&self) -> Ruling {
        self.unless_power_was_lost("conditional operations are answered in one order, true to real time")
    }
}

/// What would be forbidden is undecided when the search for it was given up.
pub(crate) fn given_up(ruling: Ruling) -> Ruling {
    match ruling {
        Ruling::ForbiddenBy(clause) => Ruling::UndecidedBecause(format!(
            "the budget of steps was used up before the search was done; {clause}"
        )),
        ruling => ruling,
    }
}
