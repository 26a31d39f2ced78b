//! `lost_middle`: lost records of one writer between others of its records that were read.
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
    kind: Kind::LostMiddle,
    about: "lost records of a writer between two of it that were read: loss, not lag",
    forbidden: "like lost_write",
    source: "Jepsen NATS",
    find: |analysis| lost_parts::found(analysis, Part::Middle),
    tell: |analysis, found| lost_parts::tell(analysis, found, Part::Middle),
    rule: |rules, _| Rules::survival(rules),
};

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::{Case, testing::tale};

    #[test]
    fn a_record_is_lost_between_two_of_its_writer() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).sent(3, 2).drain(1, 0).drain(3, 2).drained(3);
        tale.finds(CHECK, &[(2, 1, Case::Drained)]);
    }

    #[test]
    fn a_restart_makes_another_writer() {
        let mut tale = tale();
        tale.sent(1, 0).restart_producer().sent(2, 1).restart_producer().sent(3, 2).drain(1, 0).drain(3, 2);
        tale.finds(CHECK, &[]);
    }
}
