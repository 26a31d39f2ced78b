//! `int_nonmonotonic_send`: the sends of one transaction stand in another order than they were made.
//!
//! **Definition.** Of two sends of one transaction to one unit, one right after the other, the later stands before the
//! earlier. Only records that are in the log count, as in `nonmonotonic_send`.
//!
//! **Algorithm.** Sends by transaction (a counting sort) and one walk. **Cost.** Linear in the sends, times the units of
//! a transaction.
//!
//! **Forbidden** like `nonmonotonic_send` ([`Rules::send_order`]).
//!
//! **Source.** Jepsen's Kafka workload (`int-nonmonotonic-send`).

use super::{Case, Check, Found, nonmonotonic_send, proof, txn_sends};
use crate::{Kind, analysis::Analysis, guarantees::Rules};

pub(super) const CHECK: Check = Check {
    kind: Kind::IntNonmonotonicSend,
    about: "the sends of one transaction stand in another order than they were made",
    forbidden: "where the configuration keeps the order of sends",
    source: "Jepsen kafka: int-nonmonotonic-send",
    find,
    tell: nonmonotonic_send::tell,
    rule: |rules, _| Rules::send_order(rules, false),
};

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let pairs = txn_sends::pairs(analysis).into_iter();
    let reversed = pairs.filter(|pair| pair.later.1.position < pair.earlier.1.position);
    let found = reversed.map(|pair| {
        let (one, two) = (analysis.send(pair.earlier.0), analysis.send(pair.later.0));
        Found {
            unit: Some(pair.unit),
            position: Some(pair.later.1.position),
            ops: proof([Some(one.invoke.0), one.completion(), Some(two.invoke.0), two.completion()]),
            send: Some(pair.later.0),
            other: Some(pair.earlier.0),
            case: Case::Plain,
        }
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::{Case, testing::tale};

    #[test]
    fn a_transaction_stands_upside_down() {
        let mut tale = tale();
        tale.begin().sent(1, 1).sent(2, 0).commit_txn().drain(2, 0).drain(1, 1);
        tale.finds(CHECK, &[(2, 0, Case::Plain)]);
    }

    #[test]
    fn two_transactions_are_two_operations() {
        let mut tale = tale();
        tale.begin().sent(1, 1).commit_txn().begin().sent(2, 0).commit_txn().finds(CHECK, &[]);
    }
}
