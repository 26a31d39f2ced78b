//! `G0-process`: the writes of transactions, with the order of a process, go in a circle.
//!
//! **Definition.** As `G0`, where one process had ended some transaction of the circle before it began the next one.
//! Not told where a `G0` of the same transactions tells it already.
//!
//! **Algorithm.** The components of the graph of dependencies among transactions ([`crate::cycles`]), and in each the
//! shortest such circle within a budget of steps. **Cost.** Linear, and the budget.
//!
//! **Forbidden** where an order of transactions is promised that agrees with each process' own.
//!
//! **Source.** Elle (`G0-process`).

use super::{Case, Check, circles};
use crate::{
    Kind,
    analysis::Circle,
    guarantees::{Rules, TxnOrder, given_up},
};

pub(super) const CHECK: Check = Check {
    kind: Kind::WriteCycleProcess,
    about: "the writes of transactions, with the order of a process, go in a circle",
    forbidden: "where `txn_order` is `process` or `realtime`",
    source: "Elle: G0-process",
    find: |analysis| circles::found(analysis, Circle::WritesProcess),
    tell: circles::tell,
    rule: |rules, found| match found.case {
        Case::OutOfBudget => given_up(Rules::transaction_order(rules, TxnOrder::Process)),
        _ => Rules::transaction_order(rules, TxnOrder::Process),
    },
};

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::testing::tale;

    #[test]
    fn a_process_whose_second_transaction_stands_before_its_first() {
        let mut tale = tale();
        tale.begin().sent(1, 5).commit_txn().begin().sent(2, 3).commit_txn();
        tale.finds_at(CHECK, &[3]);
    }

    #[test]
    fn another_process_may() {
        let mut tale = tale();
        tale.begin().sent(1, 5).commit_txn().producer("b").begin().sent(2, 3).commit_txn();
        tale.finds_at(CHECK, &[]);
    }
}
