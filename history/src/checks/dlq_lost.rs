//! `dlq_lost`: a poison record is not in the dead-letter topic, and the group went past it.
//!
//! **Definition.** As `unprocessed`, for records that are poison: made so by the plan, or given up by a handler.
//! A group without a dead-letter topic owes none. An entry counts when its send was acknowledged or somebody read it.
//!
//! **Algorithm, cost.** As `unprocessed`. **Forbidden** as [`Rules::poison_is_kept`] says: `dlq: exactly-the-poison`,
//! at least once, or commits after processing; undecided while the group has not passed the record.
//!
//! **Source.** The three-set partition of acknowledged publishes (rabbitmq/jepsen's dead-letter test).

use super::{Case, Check, Found, unprocessed};
use crate::{Kind, analysis::Analysis, guarantees::Rules};

pub(super) const CHECK: Check = Check {
    kind: Kind::DlqLost,
    about: "a poison record is not in the dead-letter topic, and the group went past it",
    forbidden: "`dlq: exactly-the-poison`; at-least-once delivery; commits after processing",
    source: "rabbitmq jepsen: dead-letter",
    find,
    tell,
    rule: |rules, found| Rules::poison_is_kept(rules, found.case == Case::Passed),
};

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    match analysis.history.meta.configuration.dlq {
        Some(_) => unprocessed::unhandled(analysis, true),
        None => Vec::new(),
    }
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let Some(row) = found.send else { return Default::default() };
    let send = analysis.send(row);
    let why = if send.poison { "it is poison" } else { "a handler gave it up" };
    [
        format!("{}; {why}.", analysis.sent(send)),
        format!(
            "The dead-letter topic never took it: {}, and {}.",
            unprocessed::deliveries(analysis, row),
            unprocessed::passed(analysis, found)
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::{
        checks::{Case, testing::tale},
        history::Handling,
    };

    #[test]
    fn the_poison_is_committed_away() {
        // The handler gives record 1 up, and the consumer commits without dead-lettering it.
        let mut tale = tale();
        tale.poison(1, 0).read(1, 0).handled(1, Handling::Poison).committed(1);
        tale.finds(CHECK, &[(1, 0, Case::Passed)]);
    }

    #[test]
    fn a_group_without_a_dead_letter_topic_owes_none() {
        let mut tale = tale();
        tale.poison(1, 0).read(1, 0).handled(1, Handling::Poison).committed(1);
        tale.configure(|meta| meta.configuration.skipping = vec!["group".to_owned()]);
        tale.finds(CHECK, &[]);
    }

    #[test]
    fn a_dead_letter_whose_send_failed_is_none() {
        let mut tale = tale();
        tale.poison(1, 0).read(1, 0).handled(1, Handling::Poison).dead_failed(9, Some(1)).committed(1);
        tale.finds(CHECK, &[(1, 0, Case::Passed)]);
    }

    #[test]
    fn a_dead_letter_of_unknown_outcome_that_is_there_counts() {
        let mut tale = tale();
        tale.poison(1, 0).read(1, 0).handled(1, Handling::Poison).dead_unknown(9, Some(1)).drain_dead(9, 0);
        tale.committed(1).finds(CHECK, &[]);
    }

    #[test]
    fn poison_that_is_dead_lettered_is_kept() {
        let mut tale = tale();
        tale.poison(1, 0).read(1, 0).handled(1, Handling::Poison).dead(9, Some(1), 0).committed(1);
        tale.finds(CHECK, &[]);
    }
}
