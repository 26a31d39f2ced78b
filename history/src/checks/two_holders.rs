//! `two_holders`: two consumers of a work queue held one message at once.
//!
//! **Definition.** A consumer holds a message from its receipt until it settles it (acknowledges it, naks it or gives
//! it up), dies, loses the unit, or the time for its ack is over. A message of a work queue that is handed to another
//! consumer while it is held is a finding. When the time for an ack is limited, it must be known since when it runs
//! and that the second delivery began after the first was received, or the case is *undated*.
//!
//! **Algorithm.** One walk over the deliveries of each message. **Cost.** Linear in the deliveries of queues, times
//! the deliveries of one message.
//!
//! **Forbidden** unless undated ([`Rules::one_holder`]). Looked for only where the contract is a work queue
//! (`exclusive`), and, if the time for an ack is limited, only with a bound on the clocks.
//!
//! **Source.** The message machine of the reference.

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::{Analysis, before},
    guarantees::Rules,
    history::{Observation, SettleRow, Settlement},
};

pub(super) const CHECK: Check = Check {
    kind: Kind::TwoHolders,
    about: "two consumers of a work queue held one message at once",
    forbidden: "work queues, when it is known since when the first one held it",
    source: "Squall: message machine",
    find,
    tell,
    rule: |rules, found| Rules::one_holder(rules, found.case == Case::Undated),
};

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let configuration = &analysis.history.meta.configuration;
    let clocks = configuration.ack_wait.is_none() || analysis.facts.clock_bound.is_some();
    if !configuration.exclusive || !clocks {
        return Vec::new();
    }
    let mut found = Vec::new();
    for message in analysis.messages.iter() {
        for (index, second) in message.iter().enumerate().skip(1) {
            let mut holders =
                message[..index].iter().rev().filter_map(|first| held(analysis, *first, *second));
            found.extend(holders.next());
        }
    }
    found.sort_by_key(|one: &Found| one.ops.last().copied());
    found
}

/// Whether the consumer of one delivery held the message when another one received the second.
fn held(analysis: &Analysis<'_>, first: u32, second: u32) -> Option<Found> {
    let history = analysis.history;
    let (one, two) = (analysis.read(first), analysis.read(second));
    let let_go = |settle: &SettleRow| settle.how != Settlement::Extend && settle.invoke.0 < two.event;
    if one.process == two.process || analysis.settles(first).any(let_go) || gone(analysis, first, two.event) {
        return None;
    }
    let mut case = Case::Plain;
    if let (Some(wait), Some(bound)) = (history.meta.configuration.ack_wait, analysis.facts.clock_bound) {
        let known = analysis.handed_out(first).filter(|_| analysis.began_after(second, first));
        let start = known.unwrap_or(analysis.received(first));
        let over = before(analysis.expires(first, start, wait, two.event), bound);
        if analysis.received(second) >= over {
            return None;
        }
        case = if known.is_some() { Case::Plain } else { Case::Undated };
    }
    Some(Found {
        unit: Some(two.unit),
        position: Some(two.position),
        ops: proof([Some(one.event), Some(two.event)]),
        send: two.value().and_then(|value| analysis.writer(value)),
        other: Some(one.event),
        case,
    })
}

/// Whether the consumer of a delivery died or lost the unit before an event.
fn gone(analysis: &Analysis<'_>, row: u32, event: u32) -> bool {
    let (history, read) = (analysis.history, analysis.read(row));
    let from = history.notes().partition_point(|(at, _)| *at < read.event);
    let mut between = history.notes()[from..].iter().take_while(|(at, _)| *at < event);
    between.any(|(at, note)| {
        history.process_of(*at) == read.process
            && match note {
                Observation::Crashed => true,
                Observation::Lost(units) | Observation::Revoked(units) => units.contains(&read.unit),
                _ => false,
            }
    })
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(first), Some(second), Some(position)) =
        (found.other, found.ops.last().copied(), found.position)
    else {
        return Default::default();
    };
    let unit = found.unit.map(|unit| analysis.unit(unit)).unwrap_or_default();
    [
        format!(
            "{} was handed the message at {unit} position {position} {}.",
            analysis.who(first),
            analysis.when(first)
        ),
        format!(
            "{} was handed it {}, while {} still held it.",
            analysis.who(second),
            analysis.when(second),
            analysis.who(first)
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::{
        Case,
        testing::{Tale, tale},
    };
    use std::time::Duration;

    fn queue() -> Tale {
        let mut tale = tale();
        tale.configure(|meta| meta.configuration.exclusive = true);
        tale
    }

    #[test]
    fn two_consumers_work_on_one_message() {
        // consumer-0 has not settled it when consumer-1 is handed it.
        let mut tale = queue();
        tale.sent(1, 0).read(1, 0).by("consumer-1").read(1, 0).finds(CHECK, &[(1, 0, Case::Plain)]);
    }

    #[test]
    fn a_message_whose_time_is_over_goes_to_the_next() {
        let mut tale = queue();
        tale.configure(|meta| {
            meta.configuration.ack_wait = Some(Duration::from_millis(50));
            meta.configuration.clock_bound = Some(Duration::from_millis(5));
        });
        tale.sent(1, 0).polls(&[(1, 0)]).by("consumer-1").at(60).polls(&[(1, 0)]).finds(CHECK, &[]);
        tale.by("consumer-2").at(70).polls(&[(1, 0)]).finds(CHECK, &[(1, 0, Case::Plain)]);
    }

    #[test]
    fn a_nak_and_a_death_let_go() {
        let mut tale = queue();
        tale.sent(1, 0).read(1, 0).naks(1, None).by("consumer-1").read(1, 0).crashed();
        tale.by("consumer-2").read(1, 0).finds(CHECK, &[]);
    }

    #[test]
    fn in_a_log_everybody_may_hold_it() {
        let mut tale = tale();
        tale.sent(1, 0).read(1, 0).acks(1).by("consumer-1").read(1, 0).finds(CHECK, &[]);
    }
}
