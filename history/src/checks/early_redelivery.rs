//! `early_redelivery`: a message was delivered again before the time for its ack was over.
//!
//! **Definition.** A message that was neither acknowledged nor given up came again although, at the receipt of the
//! second delivery, the time for the ack of the first was not over: `ack_wait` after it was handed out, or after the
//! last confirmed extension. A nak ends that time at once, or after its delay. When the first was handed out must be
//! known (a deadline, or at the earliest the poll that it answers), and the second must have begun after the first was
//! received; otherwise the case is *undated*, with the receipt for the start.
//!
//! **Algorithm.** One walk over neighbouring deliveries of each message. **Cost.** Linear in the deliveries of queues.
//!
//! **Forbidden** unless undated ([`Rules::ack_time`]).
//!
//! **Evidence limit.** It needs `ack_wait` and a bound on the clocks, which is taken off.
//!
//! **Source.** The message machine of the reference.

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::Analysis,
    guarantees::Rules,
    history::{SettleRow, Settlement},
};
use squall_bus::Time;
use std::time::Duration;

pub(super) const CHECK: Check = Check {
    kind: Kind::EarlyRedelivery,
    about: "a message was delivered again before the time for its ack was over",
    forbidden: "when it is known since when the message waited for its ack",
    source: "Squall: message machine",
    find,
    tell,
    rule: |rules, found| Rules::ack_time(rules, found.case == Case::Undated),
};

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let wait = analysis.history.meta.configuration.ack_wait;
    let (Some(wait), Some(bound)) = (wait, analysis.facts.clock_bound) else { return Vec::new() };
    let pairs = analysis.messages.iter().flat_map(|message| message.windows(2));
    let mut found: Vec<Found> =
        pairs.filter_map(|pair| early(analysis, pair[0], pair[1], wait, bound)).collect();
    found.sort_by_key(|one| one.ops.last().copied());
    found
}

fn early(analysis: &Analysis<'_>, first: u32, second: u32, wait: Duration, bound: Duration) -> Option<Found> {
    let read = analysis.read(second);
    let before = |one: &&SettleRow| one.invoke.0 < read.event;
    let done = |one: &SettleRow| matches!(one.how, Settlement::Ack | Settlement::Term);
    if analysis.settles(first).filter(before).any(done) {
        return None;
    }
    let known = analysis.handed_out(first).filter(|_| analysis.began_after(second, first));
    let start = known.unwrap_or(analysis.received(first));
    let nak = |one: &SettleRow| match one.how {
        Settlement::Nak { delay } => Some(analysis.history.time(one.invoke.0) + delay.unwrap_or_default()),
        _ => None,
    };
    let naks = analysis.settles(first).filter(before).filter_map(nak);
    let due: Time = naks.chain([analysis.expires(first, start, wait, read.event)]).min()?;
    (analysis.received(second) + bound < due).then(|| Found {
        unit: Some(read.unit),
        position: Some(read.position),
        ops: proof([Some(analysis.read(first).event), Some(read.event)]),
        send: read.value().and_then(|value| analysis.writer(value)),
        other: Some(analysis.read(first).event),
        case: if known.is_some() { Case::Plain } else { Case::Undated },
    })
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(first), Some(second), Some(position)) =
        (found.other, found.ops.last().copied(), found.position)
    else {
        return Default::default();
    };
    let unit = found.unit.map(|unit| analysis.unit(unit)).unwrap_or_default();
    let wait = analysis.history.meta.configuration.ack_wait.unwrap_or_default();
    [
        format!(
            "{} was handed the message at {unit} position {position} {}.",
            analysis.who(first),
            analysis.when(first)
        ),
        format!(
            "{} was handed it again {}, although its ack may take {}.",
            analysis.who(second),
            analysis.when(second),
            crate::analysis::span(wait)
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
        tale.configure(|meta| {
            meta.configuration.ack_wait = Some(Duration::from_millis(100));
            meta.configuration.clock_bound = Some(Duration::from_millis(5));
        });
        tale
    }

    #[test]
    fn a_message_comes_again_at_half_time() {
        // 100 ms for the ack; a poll begun at 50 ms is handed the message again.
        let mut tale = queue();
        tale.sent(1, 0).polls(&[(1, 0)]).at(50).polls(&[(1, 0)]).finds(CHECK, &[(1, 0, Case::Plain)]);
    }

    #[test]
    fn without_polls_it_may_have_been_on_its_way() {
        let mut tale = queue();
        tale.sent(1, 0).read(1, 0).at(50).read(1, 0).finds(CHECK, &[(1, 0, Case::Undated)]);
    }

    #[test]
    fn clocks_may_differ_by_their_bound() {
        let mut tale = queue();
        tale.sent(1, 0).at(3).polls(&[(1, 0)]).at(100).polls(&[(1, 0)]).finds(CHECK, &[]);
    }

    #[test]
    fn a_nak_asks_for_it() {
        let mut tale = queue();
        tale.sent(1, 0).polls(&[(1, 0)]).naks(1, None).polls(&[(1, 0)]).finds(CHECK, &[]);
    }

    #[test]
    fn a_nak_with_a_delay_asks_for_it_later() {
        let mut tale = queue();
        tale.sent(1, 0)
            .polls(&[(1, 0)])
            .naks(1, Some(40))
            .polls(&[(1, 0)])
            .finds(CHECK, &[(1, 0, Case::Plain)]);
    }

    #[test]
    fn an_extension_begins_the_time_anew() {
        let mut tale = queue();
        tale.sent(1, 0).polls(&[(1, 0)]).at(90).extends(1).at(150).polls(&[(1, 0)]);
        tale.finds(CHECK, &[(1, 0, Case::Plain)]);
    }
}
