//! `dlq_lost`: a record that was given up is not in the dead-letter topic.
//!
//! **Definition.** As `unprocessed`, for records that are poison: made so by the plan, or given up by a handler.
//! A group without a dead-letter topic owes none. An entry counts when its send was acknowledged or somebody read it.
//! Where the bus itself dead-letters (`dead_lettering`): an acknowledged record that is exhausted (an advisory says so, or
//! a consumer terminated it, confirmed), and that nobody acknowledged or processed, nobody read in the dead-letter topic,
//! and the final drain of its unit did not find. It is certain once the drains of both topics finished.
//!
//! **Algorithm, cost.** As `unprocessed`; one walk over what is exhausted. **Forbidden** as [`Rules::poison_is_kept`] says:
//! `dlq: exactly-the-poison`, at least once, or commits after processing; undecided while the group has not passed the
//! record. By the bus as [`Rules::dead_letters_arrive`] says: not where it dead-letters at most once.
//!
//! **Source.** The three-set partition of acknowledged publishes (rabbitmq/jepsen's dead-letter test).

use super::{Case, Check, Found, proof, unprocessed};
use crate::{
    Kind,
    analysis::{Analysis, UnitLog},
    guarantees::Rules,
    history::UnitId,
};

pub(super) const CHECK: Check = Check {
    kind: Kind::DlqLost,
    about: "a record that was given up is not in the dead-letter topic",
    forbidden: "`dlq: exactly-the-poison`; at-least-once delivery; commits after processing; dead_lettering at least once",
    source: "rabbitmq jepsen: dead-letter",
    find,
    tell,
    rule: |rules, found| match found.case {
        Case::Drained | Case::Undrained => Rules::dead_letters_arrive(rules, found.case == Case::Drained),
        case => Rules::poison_is_kept(rules, case == Case::Passed),
    },
};

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let mut found = match analysis.history.meta.configuration.dlq {
        Some(_) => unprocessed::unhandled(analysis, true),
        None => Vec::new(),
    };
    if analysis.history.meta.configuration.dead_lettering.is_some() {
        let by_handlers: Vec<Option<u32>> = found.iter().map(|found| found.send).collect();
        let exhausted = analysis.exhausted.iter().filter(|(row, _)| !by_handlers.contains(&Some(**row)));
        found.extend(exhausted.filter_map(|(row, event)| undelivered(analysis, *row, *event)));
    }
    found
}

/// An exhausted record that is nowhere, as far as anybody knows.
fn undelivered(analysis: &Analysis<'_>, row: u32, exhausted: u32) -> Option<Found> {
    let send = analysis.send(row);
    let done = analysis.consumers.iter().map(|consumer| &consumer.touches[row as usize]);
    let entries = analysis.dlq_entries.iter().filter_map(|entry| entry.cause);
    let dead = entries.chain(analysis.dead_copies.iter().map(|copy| copy.cause)).any(|cause| cause == row);
    let (unit, index) = analysis.first_place[row as usize]?;
    let log = &analysis.units[unit.index()];
    let place = &log.places[index as usize];
    let there =
        dead || place.drained().is_some() || { done }.any(|one| one.handled > 0 || one.acked.is_some());
    if there || !analysis.happened(row) || !analysis.is_work(send) {
        return None;
    }
    let drained = |log: &UnitLog| log.complete_drain().is_some();
    let dead = |unit: &UnitId| Some(analysis.history.unit_topic(*unit)) == analysis.dlq;
    let mut graves = analysis.logs().filter(|(unit, _)| dead(unit)).peekable();
    let all = drained(log) && graves.peek().is_some() && graves.all(|(_, log)| drained(log));
    let drain = log.drain.map(|(event, _)| event);
    Some(Found {
        unit: Some(unit),
        position: Some(place.position),
        ops: proof([Some(send.invoke.0), send.completion(), Some(exhausted), drain]),
        send: Some(row),
        other: Some(exhausted),
        case: if all { Case::Drained } else { Case::Undrained },
    })
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let Some(row) = found.send else { return Default::default() };
    let send = analysis.send(row);
    if let (Case::Drained | Case::Undrained, Some(exhausted)) = (found.case, found.other) {
        let drained = match found.case {
            Case::Drained => "and the final drains found it in neither topic",
            _ => "but the final drains did not come to their ends",
        };
        return [
            format!("{}; it was given up {}.", analysis.sent(send), analysis.when(exhausted)),
            format!("Nobody acknowledged it or read it in the dead-letter topic, {drained}."),
        ];
    }
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
        checks::{
            Case,
            testing::{Tale, tale},
        },
        guarantees::Delivery,
        history::{Advice, Handling},
    };

    /// A work queue whose bus dead-letters what is exhausted.
    fn queue(how: Delivery) -> Tale {
        let mut tale = tale();
        tale.configure(|meta| {
            meta.configuration.exclusive = true;
            meta.configuration.dead_lettering = Some(how);
        });
        tale
    }

    #[test]
    fn the_bus_gives_a_message_up_and_keeps_no_copy() {
        let mut tale = queue(Delivery::AtLeastOnce);
        tale.sent(1, 0).read(1, 0).advised(0, Advice::MaxDeliveries).drained(1);
        tale.finds(CHECK, &[(1, 0, Case::Undrained)]);
        tale.unit("orders.dlq", 0).drained(0).finds(CHECK, &[(1, 0, Case::Drained)]);
        assert!(tale.judged().anomalies.iter().any(|one| one.kind == CHECK.kind && one.forbidden()));
        tale.configure(|meta| meta.configuration.dead_lettering = Some(Delivery::AtMostOnce));
        assert!(tale.judged().anomalies.iter().any(|one| one.kind == CHECK.kind && !one.forbidden()));
    }

    #[test]
    fn a_consumer_terminates_a_message_and_it_is_nowhere() {
        let mut tale = queue(Delivery::AtLeastOnce);
        tale.sent(1, 0).read(1, 0).terms(1).drained(1).unit("orders.dlq", 0).drained(0);
        tale.finds(CHECK, &[(1, 0, Case::Drained)]);
    }

    #[test]
    fn what_is_in_the_dead_letter_topic_or_in_the_queue_or_acknowledged_is_kept() {
        let mut dead = queue(Delivery::AtLeastOnce);
        dead.sent(1, 0).read(1, 0).terms(1).drained(1).unit("orders.dlq", 0).drain(1, 0).drained(1);
        dead.finds(CHECK, &[]);
        let unexpected = dead.judged().anomalies.iter().any(crate::Anomaly::forbidden);
        assert!(!unexpected, "{:#?}", dead.judged().anomalies);
        let mut queued = queue(Delivery::AtLeastOnce);
        queued.sent(1, 0).read(1, 0).advised(0, Advice::MaxDeliveries).drain(1, 0).drained(1);
        queued.finds(CHECK, &[]);
        let mut acked = queue(Delivery::AtLeastOnce);
        acked.sent(1, 0).read(1, 0).acks(1).advised(0, Advice::MaxDeliveries).drained(1).finds(CHECK, &[]);
    }

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
