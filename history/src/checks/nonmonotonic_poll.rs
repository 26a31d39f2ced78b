//! `nonmonotonic_poll`: a poll goes back behind the one before it.
//!
//! **Definition.** The first record that an operation of a reader delivers from a unit stands at or before the one on
//! which the reader's last successful operation there ended; or before the place that the reader's program chose.
//!
//! **Algorithm** and **cost** as for `poll_skip`.
//!
//! **Forbidden** for readers that chose their units themselves, unless records may be lost or uncommitted ones are
//! read and a leader changed ([`Rules::no_return`]). In a group a repeat after a rebalance is at least once.
//!
//! **Source.** Jepsen's Kafka workload (`nonmonotonic-poll`); redpanda #4320 for the exception.

use super::{Check, Found, steps};
use crate::{Kind, Ruling, guarantees::Rules};

pub(super) const CHECK: Check = Check {
    kind: Kind::NonmonotonicPoll,
    about: "a poll goes back behind the one before it",
    forbidden: "for readers that chose their units themselves, while no leader may have changed under them",
    source: "Jepsen kafka: nonmonotonic-poll",
    find: |analysis| steps::found(analysis, false, false),
    tell: steps::tell,
    rule,
};

fn rule(rules: &Rules<'_>, found: &Found) -> Ruling {
    rules.no_return(found.case)
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::{Case, testing::tale};

    #[test]
    fn a_reader_is_handed_a_record_again() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).assigns(&[(0, None)]).polls(&[(1, 0), (2, 1)]).polls(&[(2, 1)]);
        tale.finds(CHECK, &[(2, 1, Case::Assigned)]);
    }

    #[test]
    fn a_member_of_a_group_goes_back_to_the_commit() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).owns(&[0], 1).polls(&[(1, 0), (2, 1)]).polls(&[(2, 1)]);
        tale.finds(CHECK, &[(2, 1, Case::Plain)]);
        tale.revoked().owns(&[0], 2).polls(&[(1, 0), (2, 1)]).finds(CHECK, &[(2, 1, Case::Plain)]);
    }

    #[test]
    fn a_reader_that_was_reset_goes_on_there() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).assigns(&[(0, None)]).polls(&[(1, 0), (2, 1)]).reset(Some(2), 0);
        tale.polls(&[(1, 0)]).finds(CHECK, &[]);
    }
}
