//! `dlq_duplicate`: a record is in the dead-letter topic more than once.
//!
//! **Definition.** Two or more entries with one cause. Two cases: the record was delivered at least as often as it was
//! dead-lettered (a rebalance or a crash repeated it), or it was not (the consumer repeated itself).
//!
//! **Algorithm.** Entries by cause, one walk. **Cost.** Linear.
//!
//! **Forbidden** under `delivery: exactly-once`; under `dlq: exactly-the-poison` when the consumer repeated itself
//! ([`Rules::dead_once`]).
//!
//! **Source.** The message machine of the reference.

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::{Analysis, Buckets},
    guarantees::Rules,
};

pub(super) const CHECK: Check = Check {
    kind: Kind::DlqDuplicate,
    about: "a record is in the dead-letter topic more than once",
    forbidden: "`delivery: exactly-once`; `dlq: exactly-the-poison` unless it was delivered as often",
    source: "Squall: message machine",
    find,
    tell,
    rule: |rules, found| Rules::dead_once(rules, found.case == Case::Repeated),
};

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let entries = &analysis.dlq_entries;
    let sends = analysis.history.sends().len();
    let by_cause = Buckets::new(sends, entries.len(), |entry| entries[entry].cause.map(|row| row as usize));
    let mut found = Vec::new();
    for cause in 0..sends as u32 {
        let list = by_cause.of(cause as usize);
        let [_, .., last] = list else { continue };
        let last = entries[*last as usize].send;
        let delivered: u32 = analysis.consumers.iter().map(|one| one.touches[cause as usize].delivered).sum();
        let sends = list.iter().map(|entry| analysis.send(entries[*entry as usize].send));
        found.push(Found {
            unit: analysis.unit_of[last as usize],
            position: analysis.send(last).position(),
            ops: proof(sends.map(|send| Some(send.invoke.0))),
            send: Some(last),
            other: Some(cause),
            case: if delivered as usize >= list.len() { Case::Repeated } else { Case::Plain },
        });
    }
    found
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(last), Some(cause)) = (found.send, found.other) else { return Default::default() };
    let delivered: u32 = analysis.consumers.iter().map(|one| one.touches[cause as usize].delivered).sum();
    [
        format!("{}; deliveries of it: {delivered}.", analysis.sent(analysis.send(cause))),
        format!("Dead letters of it: {}; the last: {}.", found.ops.len(), analysis.sent(analysis.send(last))),
    ]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::{Case, testing::tale};

    #[test]
    fn one_delivery_and_two_dead_letters() {
        // The consumer retries the send to the dead-letter topic although it had gone through.
        let mut tale = tale();
        tale.poison(1, 0).read(1, 0).dead(8, Some(1), 0).dead(9, Some(1), 1);
        tale.finds(CHECK, &[(9, 1, Case::Plain)]);
    }

    #[test]
    fn a_redelivered_record_is_dead_lettered_again() {
        let mut tale = tale();
        tale.poison(1, 0).read(1, 0).dead(8, Some(1), 0).by("consumer-1").read(1, 0).dead(9, Some(1), 1);
        tale.finds(CHECK, &[(9, 1, Case::Repeated)]);
    }

    #[test]
    fn two_records_and_two_dead_letters() {
        let mut tale = tale();
        tale.poison(1, 0).poison(2, 1).read(1, 0).read(2, 1).dead(8, Some(1), 0).dead(9, Some(2), 1);
        tale.finds(CHECK, &[]);
    }
}
