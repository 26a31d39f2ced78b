//! `precommitted_read`: a transaction was handed a record that it sent itself.
//!
//! **Definition.** A poll within a transaction delivers a record that was sent within the same transaction: it cannot have
//! been committed yet. Where reads are of whole units, a transaction must see its own records, and nothing is found.
//!
//! **Algorithm.** One walk over the deliveries. **Cost.** Linear.
//!
//! **Forbidden** at isolation read-committed.
//!
//! **Source.** Jepsen's Kafka workload (`precommitted-read`).

use super::{Case, Check, Found, proof};
use crate::{Kind, analysis::Analysis, guarantees::Rules};

pub(super) const CHECK: Check = Check {
    kind: Kind::PrecommittedRead,
    about: "a transaction was handed a record that it sent itself",
    forbidden: "at isolation read-committed",
    source: "Jepsen kafka: precommitted-read",
    find,
    tell,
    rule: |rules, _| Rules::committed_only(rules),
};

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let history = analysis.history;
    if history.txns().is_empty() || history.meta.configuration.whole_reads {
        return Vec::new();
    }
    let one = |read: &crate::history::DeliverRow| {
        let txn = history.polls()[history.poll_row(read.poll()?) as usize].txn()?;
        let row = read.value().and_then(|value| analysis.writer(value))?;
        let send = analysis.send(row);
        (send.txn() == Some(txn)).then(|| Found {
            unit: Some(read.unit),
            position: Some(read.position),
            ops: proof([Some(txn.0), Some(send.invoke.0), Some(read.event)]),
            send: Some(row),
            other: Some(read.event),
            case: Case::Plain,
        })
    };
    history.delivers().iter().filter_map(one).collect()
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(row), Some(unit), Some(position), Some(read)) =
        (found.send, found.unit, found.position, found.other)
    else {
        return Default::default();
    };
    let send = analysis.send(row);
    let txn = send.txn().map_or(read, |txn| txn.0);
    [
        format!("In the transaction that began {}, {}.", analysis.when(txn), analysis.sent(send)),
        format!(
            "The same transaction was handed it back, at {} position {position} {}, before it was committed.",
            analysis.unit(unit),
            analysis.when(read)
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::{Case, testing::tale};

    #[test]
    fn a_transaction_polls_what_it_sent() {
        let mut tale = tale();
        tale.client("a").begin().sent(1, 0).polls(&[(1, 0)]).commit_txn();
        tale.finds(CHECK, &[(1, 0, Case::Plain)]);
    }

    #[test]
    fn the_next_transaction_may() {
        let mut tale = tale();
        tale.client("a").begin().sent(1, 0).commit_txn().begin().polls(&[(1, 0)]).commit_txn();
        tale.finds(CHECK, &[]);
    }
}
