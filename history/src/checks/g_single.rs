//! `G-single`: transactions go in a circle with one record that one of them did not see.
//!
//! **Definition.** A circle of dependencies with exactly one `rw`: a transaction read a unit without the record that another one
//! wrote there next, although by the rest of the circle that other one came before it: read skew, or a lost update.
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
//! **Source.** Adya (G-single); Elle's list-append.

use super::{Case, Check, circles};
use crate::{
    Kind,
    analysis::Circle,
    guarantees::{Rules, TxnOrder, given_up},
};

pub(super) const CHECK: Check = Check {
    kind: Kind::ReadSkew,
    about: "transactions go in a circle with one record that one of them did not see",
    forbidden: "where reads are of whole units and an order of transactions is promised",
    source: "Adya, Elle: G-single",
    find: |analysis| {
        let mut found = circles::found(analysis, Circle::Unseen);
        found.extend(circles::found(analysis, Circle::UnseenRealtime));
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
    fn a_reader_sees_one_list_with_and_one_without_a_transaction() {
        let mut tale = lists();
        tale.begin().sent(1, 0).partition(1).sent(2, 0).commit_txn();
        tale.client("r").begin().seeks(0).polls(&[(2, 0)]);
        tale.partition(0).seeks(0).polls(&[]).commit_txn().drain(1, 0);
        tale.finds(CHECK, &[(1, 0, Case::Plain)]);
    }

    #[test]
    fn a_reader_that_began_later_misses_what_was_over() {
        let mut tale = lists();
        tale.begin().sent(1, 0).commit_txn();
        tale.client("r").begin().seeks(0).polls(&[]).commit_txn();
        tale.finds(CHECK, &[(1, 0, Case::InTime)]);
    }

    #[test]
    fn a_reader_of_a_log_is_in_no_such_circle() {
        let mut tale = lists();
        tale.configure(|meta| meta.configuration.whole_reads = false);
        tale.begin().sent(1, 0).commit_txn();
        tale.client("r").begin().seeks(0).polls(&[]).commit_txn();
        tale.finds(CHECK, &[]);
    }
}
