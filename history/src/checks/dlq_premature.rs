//! `dlq_premature`: a record that is not poison is in the dead-letter topic.
//!
//! **Definition.** An entry of the dead-letter topic whose cause the plan did not make poison, or that has no cause
//! among the sends of the run. Two cases: the record had been given up (by a handler, by a confirmed term, or by the bus,
//! as its advisory says), or nobody had. What the bus itself put there (`dead_lettering`) is an entry as well; that is
//! right if the record was given up, was delivered as often as `max_deliver` says, or lives for a time only.
//!
//! **Algorithm.** One walk over the entries. **Cost.** Linear.
//!
//! **Forbidden** under `dlq: exactly-the-poison`; otherwise unless a handler gave the record up
//! ([`Rules::only_poison`]).
//!
//! **Source.** The message machine of the reference: stored, delivered, exhausted, dead-lettered.

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::{Analysis, DeadCopy},
    guarantees::Rules,
};

pub(super) const CHECK: Check = Check {
    kind: Kind::DlqPremature,
    about: "a record that is not poison is in the dead-letter topic",
    forbidden: "`dlq: exactly-the-poison`; otherwise unless the record was given up",
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
            Some((row, _)) if given_up(analysis, row) => Case::GivenUp,
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
    found.extend(analysis.dead_copies.iter().filter(|copy| too_early(analysis, copy)).map(|copy| Found {
        unit: Some(copy.unit),
        position: Some(copy.position),
        ops: proof([Some(analysis.send(copy.cause).invoke.0), Some(copy.event)]),
        send: None,
        other: Some(copy.cause),
        case: Case::Plain,
    }));
    found
}

/// Whether somebody gave a record up.
fn given_up(analysis: &Analysis<'_>, row: u32) -> bool {
    analysis.is_poison(row) || analysis.exhausted.contains_key(&row)
}

/// Whether the bus had no reason to dead-letter a record.
fn too_early(analysis: &Analysis<'_>, copy: &DeadCopy) -> bool {
    let times = analysis.consumers.iter().map(|consumer| consumer.touches[copy.cause as usize].delivered);
    let limit = analysis.history.meta.configuration.max_deliver;
    let used_up = limit.is_some_and(|limit| times.max().unwrap_or_default() >= limit);
    !given_up(analysis, copy.cause) && !used_up && analysis.time_to_live(copy.cause).is_none()
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let Some(entry) = found.send.map(|row| analysis.send(row)) else {
        let (Some(cause), Some(event)) = (found.other, found.ops.last().copied()) else {
            return Default::default();
        };
        let sent = format!("{}; nobody had given it up.", analysis.sent(analysis.send(cause)));
        return [sent, format!("In the dead-letter topic {}.", analysis.read_by(event))];
    };
    let cause = match found.other.map(|row| analysis.send(row)) {
        Some(cause) => format!("{}; the plan did not make it poison.", analysis.sent(cause)),
        None => "No record that was sent is the cause of this entry.".to_owned(),
    };
    let given_up = match found.case {
        Case::GivenUp => "after it was given up",
        _ => "although nobody had given it up",
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
    fn the_bus_buries_a_message_alive() {
        let mut tale = tale();
        tale.configure(|meta| {
            meta.configuration.dead_lettering = Some(crate::guarantees::Delivery::AtLeastOnce);
            meta.configuration.max_deliver = Some(2);
        });
        tale.sent(1, 0).read(1, 0).unit("orders.dlq", 0).drain(1, 0).finds_at(CHECK, &[0]);
        tale.unit("orders", 0).read(1, 0).finds_at(CHECK, &[]);
    }

    #[test]
    fn a_message_that_was_terminated_may_be_dead_lettered() {
        let mut tale = tale();
        tale.sent(1, 0).read(1, 0).terms(1).dead(9, Some(1), 0).finds(CHECK, &[(9, 0, Case::GivenUp)]);
    }

    #[test]
    fn poison_belongs_there() {
        let mut tale = tale();
        tale.poison(1, 0).read(1, 0).handled(1, Handling::Poison).dead(9, Some(1), 0);
        tale.finds(CHECK, &[]);
    }
}
