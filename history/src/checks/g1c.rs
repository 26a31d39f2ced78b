//! `G1c`: each transaction of a circle wrote before, or was read by, the next.
//!
//! **Definition.** A circle of `ww` and `wr` dependencies with at least one `wr`: some transaction was handed a
//! record of another one that, by the same evidence, comes after it. The graver case, told apart, is a circle of reads
//! alone: two transactions each saw the other's records before both were committed. Where a component has that, the
//! mixed circle is not told.
//!
//! **Algorithm.** The components of the graph of dependencies among transactions ([`crate::cycles`]), and in each the
//! shortest such circle within a budget of steps. **Cost.** Linear, and the budget.
//!
//! **Forbidden**: of reads alone, at isolation read-committed; mixed, where `isolated_writes` or an order of transactions
//! is promised, for interleaved writes close such circles on a log.
//!
//! **Evidence limit.** As `G0`.
//!
//! **Source.** Adya (G1c, circular information flow); Elle; Jepsen's Kafka workload.

use super::{Case, Check, circles};
use crate::{
    Kind,
    analysis::Circle,
    guarantees::{Rules, given_up},
};

pub(super) const CHECK: Check = Check {
    kind: Kind::ReadCycle,
    about: "each transaction of a circle wrote before, or was read by, the next",
    forbidden: "of reads alone at isolation read-committed; with writes where `isolated_writes` or an order is promised",
    source: "Adya, Elle: G1c",
    find: |analysis| {
        let mut found = circles::found(analysis, Circle::Reads);
        found.extend(circles::found(analysis, Circle::Mixed));
        found
    },
    tell: circles::tell,
    rule: |rules, found| match found.case {
        Case::ReadsOnly => Rules::committed_only(rules),
        Case::ReadsOutOfBudget => given_up(Rules::committed_only(rules)),
        Case::OutOfBudget => given_up(Rules::isolated_writes(rules)),
        _ => Rules::isolated_writes(rules),
    },
};

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::testing::tale;

    use crate::{Verdict, guarantees::Isolation};

    #[test]
    fn two_transactions_that_read_each_other() {
        // Each polls what the other has sent, and then both commit.
        let mut tale = tale();
        tale.client("a").begin().sent(1, 0);
        let a = tale.suspend();
        tale.client("b").begin().partition(1).sent(2, 0).partition(0).polls(&[(1, 0)]).commit_txn();
        tale.resume(a).client("a").partition(1).polls(&[(2, 0)]).commit_txn();
        tale.finds(CHECK, &[(1, 0, super::Case::ReadsOnly)]);
        assert_eq!(tale.judged().verdict, Verdict::Valid);
        tale.configure(|meta| meta.configuration.isolation = Isolation::ReadCommitted);
        let report = tale.judged();
        assert_eq!(report.verdict, Verdict::Invalid);
        let told = report.anomalies.iter().find(|anomaly| anomaly.kind == CHECK.kind);
        insta::assert_snapshot!(told.expect("it is told").story());
    }

    #[test]
    fn a_reader_that_wrote_before_what_it_read() {
        let mut tale = tale();
        tale.client("a").begin().sent(1, 0);
        let a = tale.suspend();
        tale.client("b").begin().sent(2, 1).partition(1).sent(3, 0).commit_txn();
        tale.resume(a).client("a").polls(&[(3, 0)]).commit_txn();
        tale.finds(CHECK, &[(3, 0, super::Case::Plain)]);
    }

    #[test]
    fn a_reader_of_finished_transactions_is_in_no_circle() {
        let mut tale = tale();
        tale.client("a").begin().sent(1, 0).commit_txn();
        tale.client("b").begin().polls(&[(1, 0)]).sent(2, 1).commit_txn();
        tale.client("a").begin().polls(&[(1, 0), (2, 1)]).commit_txn();
        tale.finds(CHECK, &[]);
    }
}
