//! `expired_delivered`: a message was delivered after its time to live.
//!
//! **Definition.** A message that may live for a time (its own, or its topic's) was handed to somebody when that time
//! was over for certain: counted from its ack, or, without one, from when it was first read. The hand-out must be
//! dated (a deadline, the poll that it answers, the phase in which the final drain reads); else the case is *undated*,
//! with the receipt for it. One finding per message, the first.
//!
//! **Algorithm.** One walk over the deliveries. **Cost.** Linear.
//!
//! **Forbidden** unless undated ([`Rules::lifetime`]).
//!
//! **Evidence limit.** It needs a bound on the clocks, which is added.
//!
//! **Source.** The message machine of the reference.

use super::{Case, Check, Found, proof};
use crate::{Kind, analysis::Analysis, guarantees::Rules};
use squall_bus::Time;
use std::time::Duration;

pub(super) const CHECK: Check = Check {
    kind: Kind::ExpiredDelivered,
    about: "a message was delivered after its time to live",
    forbidden: "when it is known when the message was handed out",
    source: "Squall: message machine",
    find,
    tell,
    rule: |rules, found| Rules::lifetime(rules, found.case == Case::Undated),
};

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let Some(bound) = analysis.facts.clock_bound.filter(|_| analysis.anything_dies()) else {
        return Vec::new();
    };
    let history = analysis.history;
    let mut first_read: Vec<Option<Time>> = vec![None; history.sends().len()];
    let mut told: Vec<Option<usize>> = vec![None; history.sends().len()];
    let mut found: Vec<Found> = Vec::new();
    for (read, row) in history.delivers().iter().zip(0u32..) {
        let Some(send) = read.value().and_then(|value| analysis.writer(value)) else { continue };
        let slot = send as usize;
        let received = analysis.received(row);
        let first = *first_read[slot].get_or_insert(received);
        let Some(end) = end(analysis, send, first, bound) else { continue };
        let dated = analysis.handed_out(row);
        let case = if dated.is_some_and(|start| start > end) { Case::Plain } else { Case::Undated };
        let known = told[slot].map(|index| found[index].case);
        if received <= end || known.is_some_and(|known| known == Case::Plain || case == Case::Undated) {
            continue;
        }
        let one = Found {
            unit: Some(read.unit),
            position: Some(read.position),
            ops: proof([
                Some(analysis.send(send).invoke.0),
                analysis.send(send).completion(),
                Some(read.event),
            ]),
            send: Some(send),
            other: Some(read.event),
            case,
        };
        match told[slot] {
            Some(index) => found[index] = one,
            None => {
                told[slot] = Some(found.len());
                found.push(one);
            }
        }
    }
    found
}

/// When the life of a message is over for certain.
fn end(analysis: &Analysis<'_>, send: u32, first_read: Time, bound: Duration) -> Option<Time> {
    let row = analysis.send(send);
    let acked = row.completion().filter(|_| row.acked()).map(|event| analysis.history.time(event));
    Some(acked.unwrap_or(first_read) + analysis.time_to_live(send)? + bound)
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(row), Some(event), Some(position)) = (found.send, found.other, found.position) else {
        return Default::default();
    };
    let unit = found.unit.map(|unit| analysis.unit(unit)).unwrap_or_default();
    let life = analysis.time_to_live(row).unwrap_or_default();
    [
        format!("{}; it may live for {}.", analysis.sent(analysis.send(row)), crate::analysis::span(life)),
        format!(
            "{} was handed it in {unit} at position {position} {}, after that.",
            analysis.who(event),
            analysis.when(event)
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
        tale.configure(|meta| meta.configuration.clock_bound = Some(Duration::from_millis(5)));
        tale.with(|extra| extra.ttl = Some(Duration::from_millis(50))).sent(1, 0);
        tale
    }

    #[test]
    fn a_dead_message_is_handed_out() {
        // It may live for 50 ms, and clocks agree within 5; a poll of 100 ms is handed it.
        queue().at(100).polls(&[(1, 0)]).finds(CHECK, &[(1, 0, Case::Plain)]);
    }

    #[test]
    fn it_may_have_been_on_its_way() {
        queue().at(100).read(1, 0).finds(CHECK, &[(1, 0, Case::Undated)]);
    }

    #[test]
    fn while_it_lives_it_may_come() {
        queue().at(40).polls(&[(1, 0)]).sent(2, 1).at(500).polls(&[(2, 1)]).finds(CHECK, &[]);
    }

    #[test]
    fn without_a_bound_on_the_clocks_nobody_can_tell() {
        let mut tale = queue();
        tale.configure(|meta| meta.configuration.clock_bound = None)
            .at(100)
            .polls(&[(1, 0)])
            .finds(CHECK, &[]);
    }
}
