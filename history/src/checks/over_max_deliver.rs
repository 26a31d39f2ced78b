//! `over_max_deliver`: a message was delivered more often than it may.
//!
//! **Definition.** A message was delivered to a group more than `max_deliver` times, by our own count or by the count
//! that the bus gives. One finding per message. More than one too many, or exactly one, are two cases.
//!
//! **Algorithm.** One walk over the messages. **Cost.** Linear in the deliveries of queues.
//!
//! **Forbidden** always, except exactly one too many where the contract says so and a leader may have changed
//! ([`Rules::delivery_limit`]).
//!
//! **Source.** The message machine of the reference; nats.net.v1 #812 is why the bus' own count is not trusted.

use super::{Case, Check, Found, proof};
use crate::{Kind, analysis::Analysis, guarantees::Rules};

pub(super) const CHECK: Check = Check {
    kind: Kind::OverMaxDeliver,
    about: "a message was delivered more often than it may",
    forbidden: "always, except one delivery more at a change of the leader where the contract says so",
    source: "Squall: message machine; nats.net.v1 #812",
    find,
    tell,
    rule: |rules, found| Rules::delivery_limit(rules, found.case == Case::ByOne),
};

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let Some(limit) = analysis.history.meta.configuration.max_deliver else { return Vec::new() };
    let over = analysis.messages.iter().filter_map(|message| {
        let count = times(analysis, message);
        let read = analysis.read(*message.last()?);
        (count > limit).then(|| Found {
            unit: Some(read.unit),
            position: Some(read.position),
            ops: proof(message.iter().map(|row| Some(analysis.read(*row).event))),
            send: read.value().and_then(|value| analysis.writer(value)),
            other: Some(count),
            case: if count == limit + 1 { Case::ByOne } else { Case::Plain },
        })
    });
    let mut found: Vec<Found> = over.collect();
    found.sort_by_key(|one| one.ops.last().copied());
    found
}

/// How often a message was delivered: our count, or that of the bus if it is higher.
fn times(analysis: &Analysis<'_>, message: &[u32]) -> u32 {
    let told = message.iter().filter_map(|row| analysis.read(*row).attempt()).max();
    told.unwrap_or_default().max(message.len() as u32)
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(count), Some(position), Some(last)) = (found.other, found.position, found.ops.last().copied())
    else {
        return Default::default();
    };
    let unit = found.unit.map(|unit| analysis.unit(unit)).unwrap_or_default();
    let limit = analysis.history.meta.configuration.max_deliver.unwrap_or_default();
    [
        format!("A message is delivered at most {limit} times."),
        format!(
            "The one at {unit} position {position} was delivered {count} times, last to {} {}.",
            analysis.who(last),
            analysis.when(last)
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

    fn queue() -> Tale {
        let mut tale = tale();
        tale.configure(|meta| meta.configuration.max_deliver = Some(2));
        tale
    }

    #[test]
    fn a_message_is_delivered_too_often() {
        // At most two deliveries; it is delivered four times, and the bus says each time that it is the first.
        let mut tale = queue();
        tale.sent(1, 0);
        for _ in 0..4 {
            tale.attempt(1).read(1, 0);
        }
        tale.finds(CHECK, &[(1, 0, Case::Plain)]);
    }

    #[test]
    fn one_too_many_is_a_case_of_its_own() {
        let mut tale = queue();
        tale.sent(1, 0).read(1, 0).read(1, 0).read(1, 0).finds(CHECK, &[(1, 0, Case::ByOne)]);
    }

    #[test]
    fn as_often_as_it_may() {
        let mut tale = queue();
        tale.sent(1, 0).sent(2, 1).read(1, 0).read(2, 1).read(1, 0).read(2, 1).drain(1, 0).finds(CHECK, &[]);
    }

    #[test]
    fn another_record_at_the_same_place_is_another_message() {
        let mut tale = queue();
        tale.sent(1, 0).read(1, 0).read(1, 0).sent(2, 0).read(2, 0).read(2, 0).finds(CHECK, &[]);
    }
}
