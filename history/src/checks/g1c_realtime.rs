//! `G1c-realtime`: as `G1c`, with the order of real time.
//!
//! **Definition.** A circle of `ww`, `wr`, process and real-time dependencies with at least one `wr` and one of real time:
//! some operation of the circle was over before the next one began. Not told where a weaker circle of the same
//! operations tells it already.
//!
//! **Algorithm.** The components of the graph of dependencies among transactions ([`crate::cycles`]), and in each the
//! shortest such circle within a budget of steps. **Cost.** Linear, and the budget.
//!
//! **Forbidden** where an order of transactions is promised that agrees with that of real time.
//!
//! **Source.** Elle (`G1c-realtime`).

use super::{Case, Check, circles};
use crate::{
    Kind,
    analysis::Circle,
    guarantees::{Rules, TxnOrder, given_up},
};

pub(super) const CHECK: Check = Check {
    kind: Kind::ReadCycleRealtime,
    about: "as G1c, with the order of real time",
    forbidden: "where `txn_order` is `realtime`",
    source: "Elle: G1c-realtime",
    find: |analysis| circles::found(analysis, Circle::MixedRealtime),
    tell: circles::tell,
    rule: |rules, found| match found.case {
        Case::OutOfBudget => given_up(Rules::transaction_order(rules, TxnOrder::Realtime)),
        _ => Rules::transaction_order(rules, TxnOrder::Realtime),
    },
};

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::testing::tale;

    #[test]
    fn a_reader_was_over_before_another_process_wrote_before_what_it_read() {
        let mut tale = tale();
        tale.client("b").begin().sent(1, 1).commit_txn();
        tale.client("a").begin().polls(&[(1, 1)]).commit_txn();
        tale.client("c").begin().sent(2, 0).commit_txn();
        tale.finds_at(CHECK, &[0]);
    }

    #[test]
    fn a_late_writer_behind_what_was_read_is_no_circle() {
        let mut tale = tale();
        tale.client("b").begin().sent(1, 0).commit_txn();
        tale.client("a").begin().polls(&[(1, 0)]).commit_txn();
        tale.client("c").begin().sent(2, 1).commit_txn();
        tale.finds_at(CHECK, &[]);
    }
}
