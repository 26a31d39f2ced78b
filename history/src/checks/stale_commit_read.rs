//! `stale_commit_read`: after an assignment a group went on before every commit that could be in force.
//!
//! **Definition.** A group's commits in a unit are a [register]. The first record that a newly assigned consumer is
//! handed is stale when it stands before the lowest place where the consumer could go on: the group reads again what
//! it had committed for certain.
//!
//! **Algorithm, cost.** As `group_jump`.
//!
//! **Forbidden** where the contract makes commits linearizable ([`Rules::fresh_commits`]); else it is at least once.
//!
//! **Evidence limit.** As `group_jump`. A program that seeks, and a position that was reset, are not judged.
//!
//! **Source.** redpanda/chaos `rw_subscribe`.

use super::{
    Case, Check, Found, proof,
    register::{self, Start},
};
use crate::{Kind, analysis::Analysis, guarantees::Rules};

pub(super) const CHECK: Check = Check {
    kind: Kind::StaleCommitRead,
    about: "after an assignment a group went on before every commit that could be in force",
    forbidden: "where commits are linearizable",
    source: "redpanda chaos: rw_subscribe",
    find,
    tell,
    rule: |rules, _| Rules::fresh_commits(rules),
};

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    register::starts(analysis).iter().filter_map(stale).collect()
}

fn stale(start: &Start<'_>) -> Option<Found> {
    let read = start.read;
    (read.position < start.lowest).then(|| Found {
        unit: Some(read.unit),
        position: Some(read.position),
        ops: proof([Some(start.assigned), Some(read.event)]),
        send: None,
        other: Some(start.assigned),
        case: Case::Plain,
    })
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(unit), Some(position), Some(assigned)) = (found.unit, found.position, found.other) else {
        return Default::default();
    };
    let event = found.ops.last().copied().unwrap_or(assigned);
    let start = register::starts(analysis).into_iter().find(|start| start.read.event == event);
    let lowest = start.map_or(position, |start| start.lowest);
    let unit = analysis.unit(unit);
    [
        format!("{} was assigned {unit} {}.", analysis.who(assigned), analysis.when(assigned)),
        format!(
            "It went on at position {position} {}, although every commit that could be in force said {lowest} or more.",
            analysis.when(event)
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::testing::tale;

    #[test]
    fn a_consumer_starts_before_the_only_commit() {
        // The group committed 2; the next consumer is handed record 1 at position 0.
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).assigned(0).read(1, 0).read(2, 1).committed(2).assigned(0).read(1, 0);
        tale.finds_at(CHECK, &[0]);
    }

    #[test]
    fn while_a_commit_is_on_its_way_the_older_one_may_be_read() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).assigned(0).read(1, 0).committed(1).read(2, 1).commit_unknown(2);
        tale.by("consumer-1").assigned(1).read(2, 1).finds_at(CHECK, &[]);
    }

    #[test]
    fn a_program_that_seeks_back_reads_what_it_likes() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).assigned(0).read(1, 0).committed(1).assigned(1).seeks(0).read(1, 0);
        tale.finds_at(CHECK, &[]);
    }

    #[test]
    fn a_commit_in_an_aborted_transaction_never_was() {
        let mut tale = tale();
        tale.sent(1, 0).assigned(0).begin().polls(&[(1, 0)]).committed(1).abort_txn().assigned(0).read(1, 0);
        tale.finds_at(CHECK, &[]);
    }
}
