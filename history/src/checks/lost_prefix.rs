//! `lost_prefix`: lost records of one writer before the first of its records that was read.
//!
//! **Definition**, **algorithm** and **cost**: see [`super::lost_parts`]. A middle proves a loss, since a later record of
//! the same writer in the same unit was read; a postfix may be a slow reader.
//!
//! **Forbidden** like lost_write.
//!
//! **Source.** Jepsen's NATS workload.

use super::{
    Check,
    lost_parts::{self, Part},
};
use crate::{Kind, guarantees::Rules};

pub(super) const CHECK: Check = Check {
    kind: Kind::LostPrefix,
    about: "lost records of a writer before the first one of it that was read",
    forbidden: "like lost_write",
    source: "Jepsen NATS",
    find: |analysis| lost_parts::found(analysis, Part::Prefix),
    tell: |analysis, found| lost_parts::tell(analysis, found, Part::Prefix),
    rule: |rules, _| Rules::survival(rules),
};

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::{Case, testing::tale};

    #[test]
    fn the_first_records_of_a_writer_are_lost() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).sent(3, 2).drain(3, 2).drained(3);
        tale.finds(CHECK, &[(1, 0, Case::Drained), (2, 1, Case::Drained)]);
    }
}
