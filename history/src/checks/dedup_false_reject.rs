//! `dedup_false_reject`: a publish was answered as a duplicate, but no copy is stored.
//!
//! **Definition.** A send with a message id was acknowledged as a duplicate, and nobody ever read a record of that id
//! in that topic, although the unit was read beyond the place that the ack named, or its final drain finished.
//!
//! **Algorithm.** The sends with message ids, sorted by topic and id, and one walk. **Cost.** n log n in them.
//!
//! **Forbidden** like an unseen record: it is a lost write ([`Rules::sight`]); undecided without such a read or drain.
//!
//! **Source.** The message machine of the reference; nats-server #6415.

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::Analysis,
    guarantees::Rules,
    history::{MessageId, SendRow, TopicId},
};

pub(super) const CHECK: Check = Check {
    kind: Kind::DedupFalseReject,
    about: "a publish was answered as a duplicate, but no copy is stored",
    forbidden: "like lost_write, once the unit was read beyond it; undecided before",
    source: "Squall: message machine; nats-server #6415",
    find,
    tell,
    rule: |rules, found| Rules::sight(rules, found.case == Case::Drained),
};

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let history = analysis.history;
    let ids = history.send_extras().iter();
    let ids = ids.filter_map(|(row, extra)| Some((analysis.send(*row).topic, extra.message_id?, *row)));
    let mut sends: Vec<(TopicId, MessageId, u32)> = ids.collect();
    sends.sort_unstable();
    let mut found = Vec::new();
    for copies in sends.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
        if copies.iter().any(|(.., row)| analysis.seen[*row as usize]) {
            continue;
        }
        let answered = copies
            .iter()
            .map(|(.., row)| *row)
            .filter(|row| analysis.send(*row).duplicate && analysis.happened(*row));
        found.extend(answered.map(|row| finding(analysis, row)));
    }
    found.sort_by_key(|one: &Found| one.send);
    found
}

fn finding(analysis: &Analysis<'_>, row: u32) -> Found {
    let send = analysis.send(row);
    let case = if looked_for(analysis, send) { Case::Drained } else { Case::Plain };
    let ops = proof([Some(send.invoke.0), send.completion()]);
    Found { unit: send.unit(), position: send.position(), ops, send: Some(row), other: None, case }
}

/// Whether the unit was read beyond the place that the ack named, or drained.
fn looked_for(analysis: &Analysis<'_>, send: &SendRow) -> bool {
    let Some(log) = send.unit().map(|unit| &analysis.units[unit.index()]) else { return false };
    let beyond = send.position().zip(log.bound()).is_some_and(|(position, bound)| position <= bound);
    beyond || log.complete_drain().is_some()
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let Some(row) = found.send else { return Default::default() };
    let id = analysis.history.send_extra(row).message_id;
    let id = id.map(|id| analysis.history.message_name(id)).unwrap_or_default();
    let seen = match found.unit {
        Some(unit) if found.case == Case::Drained => format!("{} was read beyond it", analysis.unit(unit)),
        _ => "its unit was not read that far".to_owned(),
    };
    [
        format!("{}, as a duplicate of message {id}.", analysis.sent(analysis.send(row))),
        format!("Nobody ever read a record of that message, and {seen}."),
    ]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::{Case, testing::tale};

    #[test]
    fn an_id_is_remembered_and_its_message_is_not() {
        // The first send times out; the second is answered as its duplicate; the drain finds neither.
        let mut tale = tale();
        tale.message("m").unknown(1, None).message("m").repeated(2, 0).sent(3, 1).drain(3, 1).drained(2);
        tale.finds(CHECK, &[(2, 0, Case::Drained)]);
    }

    #[test]
    fn without_a_drain_nobody_knows() {
        let mut tale = tale();
        tale.message("m").unknown(1, None).message("m").repeated(2, 0).finds(CHECK, &[(2, 0, Case::Plain)]);
    }

    #[test]
    fn the_first_copy_is_there() {
        let mut tale = tale();
        tale.message("m")
            .unknown(1, None)
            .message("m")
            .repeated(2, 0)
            .drain(1, 0)
            .drained(1)
            .finds(CHECK, &[]);
    }

    #[test]
    fn a_retry_of_an_idempotent_producer_is_its_own_copy() {
        let mut tale = tale();
        tale.repeated(1, 0).drained(1).finds(CHECK, &[]);
    }
}
