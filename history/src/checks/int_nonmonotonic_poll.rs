//! `int_nonmonotonic_poll`: one operation's reads go back.
//!
//! **Definition.** Within one operation of a reader (a poll, or the polls of a transaction) a record is delivered that
//! stands at or before the one delivered before it from the same unit. Units about which the reader was told during
//! the operation are excused.
//!
//! **Algorithm** and **cost** as for `poll_skip`.
//!
//! **Forbidden** always, unless records may be lost or uncommitted ones are read and a leader changed
//! ([`Rules::no_return`]).
//!
//! **Source.** Jepsen's Kafka workload (`int-nonmonotonic-poll`).

use super::{Check, Found, steps};
use crate::{Kind, Ruling, guarantees::Rules};

pub(super) const CHECK: Check = Check {
    kind: Kind::IntNonmonotonicPoll,
    about: "one operation's reads go back",
    forbidden: "always, except where a rebalance moved the unit",
    source: "Jepsen kafka: int-nonmonotonic-poll",
    find: |analysis| steps::found(analysis, true, false),
    tell: steps::tell,
    rule,
};

fn rule(rules: &Rules<'_>, _: &Found) -> Ruling {
    rules.no_inner_return()
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::{Case, testing::tale};

    #[test]
    fn a_poll_delivers_a_record_twice() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).polls(&[(1, 0), (2, 1), (1, 0)]).finds(CHECK, &[(1, 0, Case::Plain)]);
    }

    #[test]
    fn deliveries_without_a_poll_have_no_inside() {
        let mut tale = tale();
        tale.sent(1, 0).read(1, 0).read(1, 0).finds(CHECK, &[]);
    }

    #[test]
    fn a_unit_that_was_taken_away_and_given_back_begins_anew() {
        let mut tale = tale();
        tale.sent(1, 0).poll().read(1, 0).lost().owns(&[0], 2).read(1, 0).polled().finds(CHECK, &[]);
    }
}
