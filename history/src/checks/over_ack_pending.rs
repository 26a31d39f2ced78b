//! `over_ack_pending`: more deliveries of a group waited for their acks than may.
//!
//! **Definition.** A message is pending from its delivery until its group settles it (the settlement counts from when
//! the consumer asks for it, since the bus may know it from then on), or until the time for its ack is over. A
//! delivery that makes more than `max_ack_pending` messages of its group pending is a finding.
//!
//! **Algorithm.** One walk over the events, with the pending messages of each group by when their time is over.
//! **Cost.** n log n in the deliveries of queues.
//!
//! **Forbidden** always ([`Rules::pending_limit`]).
//!
//! **Evidence limit.** It is a lower bound: a settlement may have come later, and where it is not known when a message
//! was handed out, its time may have begun when it was sent. With `ack_wait` it needs a bound on the clocks.
//!
//! **Source.** The message machine of the reference; nats-server #4427.

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::{Analysis, before},
    guarantees::Rules,
    history::{GroupId, Settlement, Status, What},
};
use squall_bus::Time;
use std::collections::BTreeSet;

pub(super) const CHECK: Check = Check {
    kind: Kind::OverAckPending,
    about: "more deliveries of a group waited for their acks than may",
    forbidden: "always",
    source: "Squall: message machine; nats-server #4427",
    find,
    tell,
    rule: |rules, _| Rules::pending_limit(rules),
};

/// What never ends by itself.
const NEVER: Time = Time(u64::MAX);

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let history = analysis.history;
    let configuration = &history.meta.configuration;
    let clocks = configuration.ack_wait.is_none() || analysis.facts.clock_bound.is_some();
    let Some(limit) = configuration.max_ack_pending.filter(|_| clocks) else { return Vec::new() };
    let mut message_of = vec![u32::MAX; history.delivers().len()];
    for (message, number) in analysis.messages.iter().zip(0u32..) {
        message.iter().for_each(|row| message_of[*row as usize] = number);
    }
    let mut pending: Vec<BTreeSet<(Time, u32)>> = vec![BTreeSet::new(); history.group_count()];
    let mut until: Vec<Option<Time>> = vec![None; analysis.messages.len()];
    let mut found = Vec::new();
    for index in 0..history.len() as u32 {
        let event = history.event(index);
        match event.what {
            What::Deliver => {
                let Some(group) = history.delivers()[event.row as usize].group() else { continue };
                let (pending, message) = (&mut pending[group.index()], message_of[event.row as usize]);
                while let Some(over) = pending.first().filter(|(until, _)| *until <= event.time).copied() {
                    pending.remove(&over);
                    until[over.1 as usize] = None;
                }
                let end = end(analysis, event.row, index);
                let known = until[message as usize].replace(end);
                if let Some(known) = known {
                    pending.remove(&(known, message));
                }
                pending.insert((end, message));
                if known.is_none() && pending.len() > limit as usize {
                    found.push(finding(analysis, event.row, pending.len()));
                }
            }
            What::SettleInvoke => {
                let settle = &history.settles()[event.row as usize];
                let message = message_of[settle.delivery as usize];
                let group = analysis.read(settle.delivery).group();
                let (Some(group), false) = (group, settle.status == Status::Fail) else { continue };
                let set = &mut pending[group.index()];
                let slot = &mut until[message as usize];
                let Some(known) = slot.take() else { continue };
                set.remove(&(known, message));
                if settle.how == Settlement::Extend {
                    *slot = Some(known.max(end(analysis, settle.delivery, index + 1)));
                    set.insert((slot.unwrap_or(known), message));
                }
            }
            _ => {}
        }
    }
    found
}

/// When the time for the ack of a delivery is over at the earliest, by the extensions before an event.
fn end(analysis: &Analysis<'_>, row: u32, event: u32) -> Time {
    let wait = analysis.history.meta.configuration.ack_wait.zip(analysis.facts.clock_bound);
    wait.map_or(NEVER, |(wait, bound)| {
        before(analysis.expires(row, analysis.handed_out_at_least(row), wait, event), bound)
    })
}

fn finding(analysis: &Analysis<'_>, row: u32, pending: usize) -> Found {
    let read = analysis.read(row);
    Found {
        unit: Some(read.unit),
        position: Some(read.position),
        ops: proof([Some(read.event)]),
        send: read.value().and_then(|value| analysis.writer(value)),
        other: Some(pending as u32),
        case: Case::Plain,
    }
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(pending), Some(event), Some(position)) =
        (found.other, found.ops.last().copied(), found.position)
    else {
        return Default::default();
    };
    let unit = found.unit.map(|unit| analysis.unit(unit)).unwrap_or_default();
    let limit = analysis.history.meta.configuration.max_ack_pending.unwrap_or_default();
    let group: Option<GroupId> =
        analysis.history.deliver_row(event).and_then(|row| analysis.read(row).group());
    let group = group.map_or("the group", |group| analysis.history.group_name(group));
    [
        format!("At most {limit} messages of {group} may wait for their acks."),
        format!(
            "With the one at {unit} position {position}, handed to {} {}, {pending} did.",
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
        tale.configure(|meta| meta.configuration.max_ack_pending = Some(2));
        tale.sent(1, 0).sent(2, 1).sent(3, 2);
        tale
    }

    #[test]
    fn three_messages_wait_where_two_may() {
        // Nothing is settled when the third one is delivered.
        let mut tale = queue();
        tale.read(1, 0).by("consumer-1").read(2, 1).read(3, 2).finds(CHECK, &[(3, 2, Case::Plain)]);
    }

    #[test]
    fn what_is_settled_does_not_wait() {
        let mut tale = queue();
        tale.read(1, 0)
            .read(2, 1)
            .acks_unconfirmed(1)
            .read(3, 2)
            .terms(3)
            .naks(2, None)
            .read(2, 1)
            .read(1, 0);
        tale.finds(CHECK, &[]);
    }

    #[test]
    fn a_redelivery_is_the_same_message() {
        let mut tale = queue();
        tale.read(1, 0).read(2, 1).read(1, 0).read(2, 1).finds(CHECK, &[]);
    }

    #[test]
    fn what_is_over_does_not_wait() {
        let mut tale = queue();
        tale.configure(|meta| {
            meta.configuration.ack_wait = Some(Duration::from_millis(50));
            meta.configuration.clock_bound = Some(Duration::ZERO);
        });
        tale.polls(&[(1, 0), (2, 1)]).at(100).polls(&[(3, 2)]).finds(CHECK, &[]);
    }
}
