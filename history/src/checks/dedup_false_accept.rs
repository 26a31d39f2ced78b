//! `dedup_false_accept`: one message id is stored twice within the window of deduplication.
//!
//! **Definition.** Two sends of one message id to one topic were both stored: acknowledged and not answered
//! `duplicate`, or read by somebody; and from when the first was sent to when the second was acknowledged (or, without
//! an ack, first read) less than `dedup_window` passed. One finding per send that should not have been stored; each is
//! compared with the stored one before it.
//!
//! **Algorithm.** The sends with message ids, sorted by topic and id, and one walk. **Cost.** n log n in them.
//!
//! **Forbidden** always ([`Rules::stored_once`]).
//!
//! **Evidence limit.** It needs a bound on the clocks, which is added. Sends whose bus keeps them to itself are not seen.
//!
//! **Source.** The message machine of the reference; JetStream's `Nats-Msg-Id`.

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::{Analysis, span},
    guarantees::Rules,
    history::{MessageId, TopicId},
};

pub(super) const CHECK: Check = Check {
    kind: Kind::DedupFalseAccept,
    about: "one message id is stored twice within the window of deduplication",
    forbidden: "always",
    source: "Squall: message machine",
    find,
    tell,
    rule: |rules, _| Rules::stored_once(rules),
};

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let history = analysis.history;
    let (window, bound) = (history.meta.configuration.dedup_window, analysis.facts.clock_bound);
    let (Some(window), Some(bound)) = (window, bound) else { return Vec::new() };
    let id = |(row, id): (u32, Option<MessageId>)| Some((analysis.send(row).topic, id?, row));
    let ids = history.send_extras().iter().filter_map(|(row, extra)| id((*row, extra.message_id)));
    let mut stored: Vec<(TopicId, MessageId, u32)> = ids.filter(|one| is_stored(analysis, one.2)).collect();
    stored.sort_unstable();
    let pairs = stored.windows(2).filter(|pair| (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1));
    let mut found: Vec<Found> = pairs
        .filter_map(|pair| {
            let (first, second) = (pair[0].2, pair[1].2);
            let end = known_stored(analysis, second)?;
            let passed = history.time(end).since(history.time(analysis.send(first).invoke.0));
            (passed + bound < window).then(|| finding(analysis, first, second, end))
        })
        .collect();
    found.sort_by_key(|one| one.send);
    found
}

/// Whether a send's own record is, or was, in the log for all that anybody knows.
fn is_stored(analysis: &Analysis<'_>, row: u32) -> bool {
    analysis.seen[row as usize] || (analysis.happened(row) && !analysis.send(row).duplicate)
}

/// The event by which a send was stored: its ack, or the first read of its record.
fn known_stored(analysis: &Analysis<'_>, row: u32) -> Option<u32> {
    let send = analysis.send(row);
    let acked = send.completion().filter(|_| send.acked());
    let read = || {
        let (unit, index) = analysis.first_place[row as usize]?;
        analysis.units[unit.index()].places[index as usize].read()
    };
    acked.or_else(read)
}

fn finding(analysis: &Analysis<'_>, first: u32, second: u32, end: u32) -> Found {
    let send = analysis.send(second);
    let (unit, index) = analysis.first_place[second as usize].unzip();
    let place =
        unit.zip(index).map(|(unit, index)| analysis.units[unit.index()].places[index as usize].position);
    Found {
        unit: unit.or(send.unit()),
        position: place.or(send.position()),
        ops: proof([Some(analysis.send(first).invoke.0), Some(send.invoke.0), Some(end)]),
        send: Some(second),
        other: Some(first),
        case: Case::Plain,
    }
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(second), Some(first)) = (found.send, found.other) else { return Default::default() };
    let id = analysis.history.send_extra(second).message_id;
    let id = id.map(|id| analysis.history.message_name(id)).unwrap_or_default();
    let window = analysis.history.meta.configuration.dedup_window.unwrap_or_default();
    [
        format!("{}, as message {id}.", analysis.sent(analysis.send(first))),
        format!(
            "Within {} the same message was stored again: {}.",
            span(window),
            analysis.sent(analysis.send(second))
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
            meta.configuration.dedup_window = Some(Duration::from_millis(100));
            meta.configuration.clock_bound = Some(Duration::from_millis(5));
        });
        tale
    }

    #[test]
    fn the_same_id_is_stored_twice() {
        // A retry with the id of record 1 is acknowledged as new, 50 ms later.
        let mut tale = queue();
        tale.message("m").sent(1, 0).at(50).message("m").sent(2, 1).finds(CHECK, &[(2, 1, Case::Plain)]);
    }

    #[test]
    fn after_the_window_it_is_another_message() {
        let mut tale = queue();
        tale.message("m").sent(1, 0).at(98).message("m").sent(2, 1).finds(CHECK, &[]);
    }

    #[test]
    fn a_repeat_that_is_told_apart_is_right() {
        let mut tale = queue();
        tale.message("m").sent(1, 0).message("m").repeated(2, 0).message("n").sent(3, 1).finds(CHECK, &[]);
    }

    #[test]
    fn a_repeat_that_is_told_apart_and_stored_all_the_same() {
        let mut tale = queue();
        tale.message("m")
            .sent(1, 0)
            .message("m")
            .repeated(2, 0)
            .read(2, 1)
            .finds(CHECK, &[(2, 1, Case::Plain)]);
    }
}
