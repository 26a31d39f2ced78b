//! `dlq_acked`: a record that was processed successfully is in the dead-letter topic.
//!
//! **Definition.** An entry of the dead-letter topic whose cause some handler of the group that dead-lettered it had
//! processed before the entry was sent.
//!
//! **Algorithm.** The first success of each record, then one walk over the entries. **Cost.** Linear.
//!
//! **Forbidden** always ([`Rules::either_processed_or_dead`]).
//!
//! **Source.** The message machine of the reference: acked and dead-lettered are both final.

use super::{Case, Check, Found, proof};
use crate::{Kind, analysis::Analysis, guarantees::Rules, history::Handling};

pub(super) const CHECK: Check = Check {
    kind: Kind::DlqAcked,
    about: "a record that was processed successfully is in the dead-letter topic",
    forbidden: "always",
    source: "Squall: message machine",
    find,
    tell,
    rule: |rules, _| Rules::either_processed_or_dead(rules),
};

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    if analysis.dlq_entries.is_empty() {
        return Vec::new();
    }
    let mut success = vec![None; analysis.history.sends().len()];
    for handled in analysis.history.handled().iter().filter(|handled| handled.how == Handling::Ok) {
        if let Some(row) = analysis.writer(handled.value) {
            success[row as usize].get_or_insert(handled.event);
        }
    }
    let mut found = Vec::new();
    for entry in &analysis.dlq_entries {
        let send = analysis.send(entry.send);
        let done = entry.cause.and_then(|row| success[row as usize]).filter(|event| *event < send.invoke.0);
        if let Some(event) = done {
            found.push(Found {
                unit: analysis.unit_of[entry.send as usize],
                position: send.position(),
                ops: proof([Some(event), Some(send.invoke.0), send.completion()]),
                send: Some(entry.send),
                other: Some(event),
                case: Case::Plain,
            });
        }
    }
    found
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(entry), Some(event)) = (found.send.map(|row| analysis.send(row)), found.other) else {
        return Default::default();
    };
    let cause = entry.cause().unwrap_or_default();
    [
        format!("{} processed record {cause} {}.", analysis.who(event), analysis.when(event)),
        format!("It was dead-lettered all the same: {}.", analysis.sent(entry)),
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
    fn a_processed_record_is_dead_lettered_too() {
        // The handler succeeds, the consumer dead-letters the record anyway.
        let mut tale = tale();
        tale.sent(1, 0).read(1, 0).handled(1, Handling::Ok).dead(9, Some(1), 0);
        tale.finds(CHECK, &[(9, 0, Case::Plain)]);
    }

    #[test]
    fn failed_attempts_before_the_dead_letter_are_right() {
        let mut tale = tale();
        tale.poison(1, 0).read(1, 0).handled(1, Handling::Retry(1)).handled(1, Handling::Poison).dead(
            9,
            Some(1),
            0,
        );
        tale.finds(CHECK, &[]);
    }
}
