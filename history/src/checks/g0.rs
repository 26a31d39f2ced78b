//! `G0`: the writes of committed transactions go in a circle.
//!
//! **Definition.** Each transaction of the circle has a record in some unit right before a record of the next one. So
//! no order of the transactions agrees with the order of the units.
//!
//! **Algorithm.** The components of the graph of dependencies among transactions ([`crate::cycles`]), and in each the
//! shortest such circle within a budget of steps. **Cost.** Linear, and the budget.
//!
//! **Forbidden** where `isolated_writes` or an order of transactions is promised. Logs such as Kafka's do not: the records
//! of two open transactions interleave freely.
//!
//! **Evidence limit.** The order of a unit comes from acks and reads: records that were never placed have no say. Out of
//! budget is undecided.
//!
//! **Source.** Adya (G0, dirty write); Elle; Jepsen's Kafka workload.

use super::{Case, Check, circles};
use crate::{
    Kind,
    analysis::Circle,
    guarantees::{Rules, given_up},
};

pub(super) const CHECK: Check = Check {
    kind: Kind::WriteCycle,
    about: "the writes of committed transactions go in a circle",
    forbidden: "where `isolated_writes` or an order of transactions is promised",
    source: "Adya, Elle: G0",
    find: |analysis| circles::found(analysis, Circle::Writes),
    tell: circles::tell,
    rule: |rules, found| match found.case {
        Case::OutOfBudget => given_up(Rules::isolated_writes(rules)),
        _ => Rules::isolated_writes(rules),
    },
};

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::testing::tale;

    #[test]
    fn two_transactions_that_interleave_in_two_units_go_in_a_circle() {
        let mut tale = tale();
        tale.producer("a").begin().sent(1, 0);
        let a = tale.suspend();
        tale.producer("b").begin().sent(2, 1).partition(1).sent(3, 0).commit_txn();
        tale.resume(a).producer("a").sent(4, 1).commit_txn();
        tale.finds_at(CHECK, &[0]);
    }

    #[test]
    fn an_aborted_transaction_has_no_say() {
        let mut tale = tale();
        tale.producer("a").begin().sent(1, 0);
        let a = tale.suspend();
        tale.producer("b").begin().sent(2, 1).partition(1).sent(3, 0).commit_txn();
        tale.resume(a).producer("a").sent(4, 1).abort_txn();
        tale.finds_at(CHECK, &[]);
    }

    #[test]
    fn transactions_one_after_the_other_do_not() {
        let mut tale = tale();
        tale.begin().sent(1, 0).partition(1).sent(2, 0).commit_txn();
        tale.begin().sent(3, 1).partition(0).sent(4, 1).commit_txn();
        tale.finds_at(CHECK, &[]);
    }
}
