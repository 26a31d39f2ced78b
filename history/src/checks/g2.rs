//! `G2`: transactions go in a circle with several records that some of them did not see.
//!
//! **Definition.** A circle of dependencies with two `rw` or more: each of these transactions read a unit without the record
//! that the next one wrote there: write skew. Not told where a `G-single` of the same transactions tells it already.
//!
//! **Algorithm.** The components of the graph of dependencies among transactions ([`crate::cycles`]), and in each the
//! shortest such circle within a budget of steps. **Cost.** Linear, and the budget.
//!
//! **Forbidden** where an order of transactions is promised; a circle with the order of time in it, where an order is
//! promised that agrees with that of real time.
//!
//! **Evidence limit.** Only where reads are of whole units (lists): a poll of a log says nothing about the records that it did
//! not hand out. Out of budget is undecided.
//!
//! **Source.** Adya (G2); Elle's list-append.

use super::{Case, Check, circles};
use crate::{
    Kind,
    analysis::Circle,
    guarantees::{Rules, TxnOrder, given_up},
};

pub(super) const CHECK: Check = Check {
    kind: Kind::AntiCycle,
    about: "transactions go in a circle with several records that some of them did not see",
    forbidden: "where reads are of whole units and an order of transactions is promised",
    source: "Adya, Elle: G2",
    find: |analysis| {
        let mut found = circles::found(analysis, Circle::UnseenTwice);
        found.extend(circles::found(analysis, Circle::UnseenTwiceRealtime));
        found
    },
    tell: circles::tell,
    rule: |rules, found| match found.case {
        Case::InTime => Rules::transaction_order(rules, TxnOrder::Realtime),
        Case::OutOfBudget => given_up(Rules::transaction_order(rules, TxnOrder::Process)),
        _ => Rules::transaction_order(rules, TxnOrder::Process),
    },
};

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::{
        Case,
        testing::{Tale, tale},
    };

    /// Units are lists, and reads are of all of one.
    fn lists() -> Tale {
        let mut tale = tale();
        tale.configure(|meta| meta.configuration.whole_reads = true);
        tale
    }

    #[test]
    fn two_transactions_that_do_not_see_each_other() {
        // Each reads the list that the other one writes to.
        let mut tale = lists();
        let a = tale.client("a").begin().suspend();
        let b = tale.client("b").begin().suspend();
        tale.resume(a).client("a").seeks(0).polls(&[]).partition(1).sent(1, 0);
        let a = tale.suspend();
        tale.resume(b).client("b").seeks(0).polls(&[]).partition(0).sent(2, 0);
        let b = tale.suspend();
        tale.resume(a).client("a").commit_txn().resume(b).client("b").commit_txn();
        tale.finds(CHECK, &[(2, 0, Case::Plain)]);
    }

    #[test]
    fn one_that_is_seen_is_in_no_such_circle() {
        let mut tale = lists();
        tale.client("a").begin().seeks(0).polls(&[]).partition(1).sent(1, 0).commit_txn();
        tale.client("b").begin().seeks(0).polls(&[(1, 0)]).partition(0).sent(2, 0).commit_txn();
        tale.finds(CHECK, &[]);
    }
}
