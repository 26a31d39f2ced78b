//! `poll_skip`: two polls of one reader that follow each other leave records out.
//!
//! **Definition.** The first record that an operation of a reader delivers from a unit stands behind the one on which
//! the reader's last successful operation there ended, and between them stand records that somebody read
//! ([`crate::analysis::Step`] says what counts). An operation is a transaction with its polls, a poll, or a delivery
//! by itself.
//!
//! **Algorithm.** One walk over the deliveries of each process, with a mark for each unit. **Cost.** Linear; a step
//! that is not to the next place costs a binary search.
//!
//! **Forbidden** for readers that chose their units themselves. In a group it is information: a rebalance moves
//! readers, and `group_jump` says whether the group left something out.
//!
//! **Evidence limit.** What nobody read leaves a hole that is no skip.
//!
//! **Source.** Jepsen's Kafka workload (`poll-skip`).

use super::{Check, Found, steps};
use crate::{Kind, Ruling, guarantees::Rules};

pub(super) const CHECK: Check = Check {
    kind: Kind::PollSkip,
    about: "two polls of one reader that follow each other leave records out",
    forbidden: "for readers that chose their units themselves; in a group `group_jump` judges",
    source: "Jepsen kafka: poll-skip",
    find: |analysis| steps::found(analysis, false, true),
    tell: steps::tell,
    rule,
};

fn rule(rules: &Rules<'_>, found: &Found) -> Ruling {
    rules.no_skip(found.case)
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::{Case, testing::tale};

    #[test]
    fn the_next_poll_begins_too_far() {
        // Record 2 stands between the two polls of a reader that chose its unit; the drain finds it.
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).sent(3, 2).assigns(&[(0, None)]).polls(&[(1, 0)]).polls(&[(3, 2)]);
        tale.drain(2, 1).finds(CHECK, &[(2, 1, Case::Assigned)]);
    }

    #[test]
    fn the_first_poll_begins_behind_the_place_that_was_chosen() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).assigns(&[(0, Some(0))]).polls(&[(2, 1)]).drain(1, 0);
        tale.finds(CHECK, &[(1, 0, Case::Assigned)]);
    }

    #[test]
    fn a_failed_poll_does_not_move_its_reader() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).assigns(&[(0, None)]).polls(&[(1, 0)]).poll().read(2, 1).poll_failed();
        tale.polls(&[(2, 1)]).finds(CHECK, &[]);
        tale.sent(3, 2).poll().read(3, 2).poll_failed().sent(4, 3).polls(&[(4, 3)]);
        tale.finds(CHECK, &[(3, 2, Case::Assigned)]);
    }

    #[test]
    fn a_hole_that_nobody_observed_is_no_skip() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 9).assigns(&[(0, None)]).polls(&[(1, 0)]).polls(&[(2, 9)]).finds(CHECK, &[]);
    }

    #[test]
    fn a_program_may_move_its_reader_and_a_crash_forgets() {
        let mut tale = tale();
        tale.sent(1, 0)
            .sent(2, 1)
            .sent(3, 2)
            .assigns(&[(0, None)])
            .polls(&[(1, 0)])
            .seeks(2)
            .polls(&[(3, 2)]);
        tale.by("consumer-1").assigns(&[(0, None)]).polls(&[(1, 0)]).crashed().polls(&[(3, 2)]);
        tale.drain(2, 1).finds(CHECK, &[]);
    }

    #[test]
    fn other_units_come_and_go_and_those_still_listed_stay() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).sent(3, 2).assigns(&[(0, None)]).polls(&[(1, 0)]);
        tale.assigns(&[(0, None), (1, None)]).polls(&[(3, 2)]).drain(2, 1);
        tale.finds(CHECK, &[(2, 1, Case::Assigned)]);
    }
}
