//! `delivered_after_ack`: a message was delivered again after its ack.
//!
//! **Definition.** A delivery of a message to a group after an ack of the message by that group. Three cases: the ack
//! was *confirmed*, and the delivery began after it for certain (its poll began after it, or nothing before the ack
//! was a reason to hand the message out again: no nak, and no time for an ack can have been over); the ack was
//! confirmed, but the delivery may have been on its way; nobody confirmed the ack.
//!
//! **Algorithm.** One walk over the messages. **Cost.** Linear in the deliveries of queues, after a sort.
//!
//! **Forbidden** in the first case ([`Rules::acks_are_final`]).
//!
//! **Evidence limit.** Without polls, and without a bound on the clocks, a delivery of a message that waited long may
//! have been on its way.
//!
//! An `acked` line of the history names a record and not one of its deliveries: it counts for nothing here.
//!
//! **Source.** The message machine of the reference; JetStream's double ack.

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::Analysis,
    guarantees::Rules,
    history::{SettleRow, Settlement, Status},
};

pub(super) const CHECK: Check = Check {
    kind: Kind::DeliveredAfterAck,
    about: "a message was delivered again after its ack",
    forbidden: "when the ack was confirmed and the delivery began after it",
    source: "Squall: message machine",
    find,
    tell,
    rule: |rules, found| Rules::acks_are_final(rules, found.case),
};

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let mut found: Vec<Found> =
        analysis.messages.iter().flat_map(|message| again(analysis, message)).collect();
    found.sort_by_key(|one| one.ops.last().copied());
    found
}

/// The deliveries of a message after its ack.
fn again(analysis: &Analysis<'_>, message: &[u32]) -> Vec<Found> {
    let confirmed = analysis.confirmed_ack(message);
    let loose = |one: &&SettleRow| one.how == Settlement::Ack && one.status == Status::Unknown;
    let loose = message.iter().flat_map(|row| analysis.settles(*row)).filter(loose);
    let loose = loose.map(|one| one.invoke.0).min();
    let late = message.iter().filter_map(|row| {
        let event = analysis.read(*row).event;
        let (ack, case) = match (confirmed.filter(|ack| *ack < event), loose.filter(|ack| *ack < event)) {
            (Some(ack), _) if on_its_way(analysis, message, *row, ack) => (ack, Case::OnItsWay),
            (Some(ack), _) => (ack, Case::Plain),
            (None, Some(ack)) => (ack, Case::Unconfirmed),
            (None, None) => return None,
        };
        let read = analysis.read(*row);
        Some(Found {
            unit: Some(read.unit),
            position: Some(read.position),
            ops: proof([Some(ack), Some(event)]),
            send: read.value().and_then(|value| analysis.writer(value)),
            other: Some(ack),
            case,
        })
    });
    late.collect()
}

/// Whether a delivery may have begun before the ack was confirmed: some earlier one gave a reason for it.
fn on_its_way(analysis: &Analysis<'_>, message: &[u32], row: u32, ack: u32) -> bool {
    if analysis.read(row).poll().is_some_and(|poll| poll.0 > ack) {
        return false;
    }
    let history = analysis.history;
    let clock = history.meta.configuration.ack_wait.zip(analysis.facts.clock_bound);
    let reason = |earlier: &u32| {
        let nak = |one: &SettleRow| matches!(one.how, Settlement::Nak { .. }) && one.invoke.0 < ack;
        let over = || {
            clock.is_none_or(|(wait, bound)| {
                let start = analysis.handed_out_at_least(*earlier);
                analysis.expires(*earlier, start, wait, ack) <= history.time(ack) + bound
            })
        };
        analysis.settles(*earlier).any(nak) || over()
    };
    message.iter().filter(|earlier| analysis.read(**earlier).event < ack).any(reason)
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(ack), Some(event), Some(position)) = (found.other, found.ops.last().copied(), found.position)
    else {
        return Default::default();
    };
    let unit = found.unit.map(|unit| analysis.unit(unit)).unwrap_or_default();
    let confirmed =
        if found.case == Case::Unconfirmed { "and nobody confirmed it" } else { "and the bus confirmed it" };
    let way = if found.case == Case::OnItsWay { "; it may have been on its way" } else { "" };
    [
        format!(
            "{} acknowledged the message at {unit} position {position}, {confirmed} {}.",
            analysis.who(ack),
            analysis.when(ack)
        ),
        format!("{} was handed it again {}{way}.", analysis.who(event), analysis.when(event)),
    ]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::{Case, testing::tale};
    use std::time::Duration;

    #[test]
    fn a_confirmed_ack_is_forgotten() {
        // The ack of record 1 is confirmed; the next poll is handed it again.
        let mut tale = tale();
        tale.sent(1, 0).polls(&[(1, 0)]).acks(1).polls(&[(1, 0)]).finds(CHECK, &[(1, 0, Case::Plain)]);
    }

    #[test]
    fn an_ack_that_nobody_confirmed_may_be_lost() {
        let mut tale = tale();
        tale.sent(1, 0).polls(&[(1, 0)]).acks_unconfirmed(1).polls(&[(1, 0)]);
        tale.finds(CHECK, &[(1, 0, Case::Unconfirmed)]);
    }

    #[test]
    fn a_redelivery_on_its_way_when_the_ack_came() {
        // The time for the ack is 10 ms; the ack comes after 30, the second delivery is under way.
        let mut tale = tale();
        tale.configure(|meta| {
            meta.configuration.ack_wait = Some(Duration::from_millis(10));
            meta.configuration.clock_bound = Some(Duration::ZERO);
        });
        tale.sent(1, 0)
            .read(1, 0)
            .at(30)
            .acks(1)
            .by("consumer-1")
            .read(1, 0)
            .finds(CHECK, &[(1, 0, Case::OnItsWay)]);
    }

    #[test]
    fn an_ack_in_time_leaves_no_reason_for_another_delivery() {
        let mut tale = tale();
        tale.configure(|meta| {
            meta.configuration.ack_wait = Some(Duration::from_millis(100));
            meta.configuration.clock_bound = Some(Duration::from_millis(1));
        });
        tale.sent(1, 0).read(1, 0).acks(1).at(150).read(1, 0).finds(CHECK, &[(1, 0, Case::Plain)]);
    }

    #[test]
    fn an_ack_that_names_the_record_alone_says_nothing_of_a_copy() {
        // A retry stored the record twice; each copy is delivered and acknowledged once.
        let mut tale = tale();
        tale.sent(1, 1).polls(&[(1, 0)]).notes_an_ack(1).polls(&[(1, 1)]).notes_an_ack(1).finds(CHECK, &[]);
    }
}
