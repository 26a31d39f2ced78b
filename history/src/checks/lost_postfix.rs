//! `lost_postfix`: lost records of one writer behind the last of its records that was read.
//!
//! **Definition**, **algorithm** and **cost**: see [`super::lost_parts`]. A middle proves a loss, since a later record of
//! the same writer in the same unit was read; a postfix may be a slow reader.
//!
//! **Forbidden** like lost_write once the final drain finished; undecided before.
//!
//! **Source.** Jepsen's NATS workload.

use super::{
    Case, Check,
    lost_parts::{self, Part},
};
use crate::{Kind, guarantees::Rules};

pub(super) const CHECK: Check = Check {
    kind: Kind::LostPostfix,
    about: "lost records of a writer behind the last one of it that was read",
    forbidden: "like lost_write once the final drain finished; undecided before",
    source: "Jepsen NATS",
    find: |analysis| lost_parts::found(analysis, Part::Postfix),
    tell: |analysis, found| lost_parts::tell(analysis, found, Part::Postfix),
    rule: |rules, found| Rules::sight(rules, found.case == Case::Drained),
};

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::{Case, testing::tale};

    #[test]
    fn the_last_records_of_a_writer_are_missing() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).drain(1, 0).drained(2).finds(CHECK, &[(2, 1, Case::Drained)]);
    }

    #[test]
    fn without_a_drain_it_may_be_a_slow_reader() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).read(1, 0).finds(CHECK, &[(2, 1, Case::Plain)]);
    }
}
