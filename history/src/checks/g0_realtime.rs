//! `G0-realtime`: the writes of transactions, with the order of real time, go in a circle.
//!
//! **Definition.** As `G0`, where some transaction of the circle was over before the next one began. Not told where a
//! `G0` or a `G0-process` of the same transactions tells it already.
//!
//! **Algorithm.** The components of the graph of dependencies among transactions ([`crate::cycles`]), and in each the
//! shortest such circle within a budget of steps. **Cost.** Linear, and the budget.
//!
//! **Forbidden** where an order of transactions is promised that agrees with that of real time.
//!
//! **Source.** Elle (`G0-realtime`).

use super::{Case, Check, circles};
use crate::{
    Kind,
    analysis::Circle,
    guarantees::{Rules, TxnOrder, given_up},
};

pub(super) const CHECK: Check = Check {
    kind: Kind::WriteCycleRealtime,
    about: "the writes of transactions, with the order of real time, go in a circle",
    forbidden: "where `txn_order` is `realtime`",
    source: "Elle: G0-realtime",
    find: |analysis| circles::found(analysis, Circle::WritesRealtime),
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
    fn a_later_transaction_stands_before_an_earlier_one() {
        let mut tale = tale();
        tale.begin().sent(1, 5).commit_txn().producer("b").begin().sent(2, 3).commit_txn();
        tale.finds_at(CHECK, &[3]);
    }

    #[test]
    fn transactions_that_overlap_may_stand_either_way() {
        let mut tale = tale();
        tale.begin().sent(1, 5);
        let open = tale.suspend();
        tale.producer("b").begin().sent(2, 3).commit_txn();
        tale.resume(open).producer("producer-0").commit_txn();
        tale.finds_at(CHECK, &[]);
    }
}
