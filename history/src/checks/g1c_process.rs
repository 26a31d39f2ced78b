//! `G1c-process`: as `G1c`, with the order of a process.
//!
//! **Definition.** A circle of `ww`, `wr` and process dependencies with at least one `wr` and one of a process: one process
//! had ended some transaction or poll of the circle before it began the next one. Not told where a `G1c` of the same
//! transactions tells it already.
//!
//! **Algorithm.** The components of the graph of dependencies among transactions ([`crate::cycles`]), and in each the
//! shortest such circle within a budget of steps. **Cost.** Linear, and the budget.
//!
//! **Forbidden** where an order of transactions is promised that agrees with each process' own.
//!
//! **Source.** Elle (`G1c-process`).

use super::{Case, Check, circles};
use crate::{
    Kind,
    analysis::Circle,
    guarantees::{Rules, TxnOrder, given_up},
};

pub(super) const CHECK: Check = Check {
    kind: Kind::ReadCycleProcess,
    about: "as G1c, with the order of a process",
    forbidden: "where `txn_order` is `process` or `realtime`",
    source: "Elle: G1c-process",
    find: |analysis| circles::found(analysis, Circle::MixedProcess),
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
    fn a_process_reads_what_it_writes_only_later() {
        // It polls record 1 and then sends record 2, which stands before record 1.
        let mut tale = tale();
        tale.client("b").begin().sent(1, 1).commit_txn();
        tale.client("a").begin().polls(&[(1, 1)]).commit_txn().begin().sent(2, 0).commit_txn();
        tale.finds_at(CHECK, &[0]);
    }

    #[test]
    fn a_process_that_writes_behind_what_it_read_does_not() {
        let mut tale = tale();
        tale.client("b").begin().sent(1, 0).commit_txn();
        tale.client("a").begin().polls(&[(1, 0)]).commit_txn().begin().sent(2, 1).commit_txn();
        tale.finds_at(CHECK, &[]);
    }
}
