//! `dlq_premature`: a record that is not poison is in the dead-letter topic.
//!
//! **Definition.** An entry of the dead-letter topic whose cause the plan did not make poison, or that has no cause
//! among the sends of the run. Two cases: a handler had given the record up before, or none had.
//!
//! **Algorithm.** One walk over the entries. **Cost.** Linear.
//!
//! **Forbidden** under `dlq: exactly-the-poison`; otherwise unless a handler gave the record up
//! ([`Rules::only_poison`]).
//!
//! **Source.** The message machine of the reference: stored, delivered, exhausted, dead-lettered.

use super::{Case, Check, Found, proof};
use crate::{Kind, analysis::Analysis, guarantees::Rules};

pub(super) const CHECK: Check = Check {
    kind: Kind::DlqPremature,
    about: "a record that is not poison is in the dead-letter topic",
    forbidden: "`dlq: exactly-the-poison`; otherwise unless a handler gave the record up",
    source: "Squall: message machine",
    find,
    tell,
    rule: |rules, found| Rules::only_poison(rules, found.case == Case::GivenUp),
};

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    for entry in &analysis.dlq_entries {
        let cause = entry.cause.map(|row| (row, analysis.send(row)));
        if cause.is_some_and(|(_, send)| send.poison) {
            continue;
        }
        let send = analysis.send(entry.send);
        let case = match cause {
            Some((row, _)) if analysis.is_poison(row) => Case::GivenUp,
            _ => Case::Plain,
        };
        found.push(Found {
            unit: analysis.unit_of[entry.send as usize],
            position: send.position(),
            ops: proof([cause.map(|(_, cause)| cause.invoke.0), Some(send.invoke.0), send.completion()]),
            send: Some(entry.send),
            other: entry.cause,
            case,
        });
    }
    found
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let Some(entry) = found.send.map(|row| analysis.send(row)) else { return Default::default() };
    let cause = match found.other.map(|row| analysis.send(row)) {
        Some(cause) => format!("{}; the plan did not make it poison.", analysis.sent(cause)),
        None => "No record that was sent is the cause of this entry.".to_owned(),
    };
    let given_up = match found.case {
        Case::GivenUp => "after a handler gave it up",
        _ => "although no handler had given it up",
    };
    [cause, format!("{}: it was dead-lettered {given_up}.", analysis.sent(entry))]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::{
        checks::{Case, testing::tale},
        history::Handling,
    };

    #[test]
    fn a_healthy_record_is_dead_lettered() {
        // Nothing is wrong with record 1, and no handler complained.
        let mut tale = tale();
        tale.sent(1, 0).read(1, 0).dead(9, Some(1), 0);
        tale.finds(CHECK, &[(9, 0, Case::Plain)]);
    }

    #[test]
    fn a_record_that_exhausted_its_attempts() {
        let mut tale = tale();
        tale.sent(1, 0).read(1, 0).handled(1, Handling::Poison).dead(9, Some(1), 0);
        tale.finds(CHECK, &[(9, 0, Case::GivenUp)]);
    }

    #[test]
    fn a_dead_letter_without_a_cause() {
        let mut tale = tale();
        tale.sent(1, 0).dead(9, None, 0);
        tale.finds(CHECK, &[(9, 0, Case::Plain)]);
    }

    #[test]
    fn poison_belongs_there() {
        let mut tale = tale();
        tale.poison(1, 0).read(1, 0).handled(1, Handling::Poison).dead(9, Some(1), 0);
        tale.finds(CHECK, &[]);
    }
}
