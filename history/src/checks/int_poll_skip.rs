//! `int_poll_skip`: one operation's reads leave records out.
//!
//! **Definition.** Within one operation of a reader (a poll, or the polls of a transaction) a record is delivered
//! that does not follow the one before it in its unit, and between them stand records that somebody read
//! ([`crate::analysis::Step`] says what counts). Units about which the reader was told during the operation
//! (assigned, revoked, lost) are excused; a seek or a reset says where the reader goes on.
//!
//! **Algorithm** and **cost** as for `poll_skip`.
//!
//! **Forbidden** always.
//!
//! **Source.** Jepsen's Kafka workload (`int-poll-skip`).

use super::{Check, Found, steps};
use crate::{Kind, Ruling, guarantees::Rules};

pub(super) const CHECK: Check = Check {
    kind: Kind::IntPollSkip,
    about: "one operation's reads leave records out",
    forbidden: "always, except where a rebalance moved the unit",
    source: "Jepsen kafka: int-poll-skip",
    find: |analysis| steps::found(analysis, true, true),
    tell: steps::tell,
    rule,
};

fn rule(rules: &Rules<'_>, _: &Found) -> Ruling {
    rules.no_inner_skip()
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::{Case, testing::tale};

    #[test]
    fn a_poll_leaves_out_its_middle() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).sent(3, 2).polls(&[(1, 0), (3, 2)]).drain(2, 1);
        tale.finds(CHECK, &[(2, 1, Case::Plain)]);
    }

    #[test]
    fn two_polls_of_a_transaction_are_one_operation() {
        let mut tale = tale();
        tale.sent(1, 0)
            .sent(2, 1)
            .sent(3, 2)
            .client("app")
            .begin()
            .polls(&[(1, 0)])
            .polls(&[(3, 2)])
            .commit_txn();
        tale.drain(2, 1).finds(CHECK, &[(2, 1, Case::Plain)]);
    }

    #[test]
    fn a_rebalance_in_the_middle_excuses() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).sent(3, 2).poll().read(1, 0).revoked().owns(&[0], 2).read(3, 2).polled();
        tale.drain(2, 1).finds(CHECK, &[]);
    }
}
