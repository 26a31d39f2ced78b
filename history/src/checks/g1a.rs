//! `G1a`: a record was read whose send had failed, or whose transaction was aborted.
//!
//! **Definition.** A read that succeeded was handed the value of a send that definitely did not happen. Outside of
//! transactions either the bus stored what it refused, or the client's table of errors calls a possible success a
//! failure (KAFKA-13574 is such a case); both are bugs. In a transaction its records were read although it was
//! aborted.
//!
//! **Algorithm.** One walk over the deliveries; each send is told once, where it was read first. **Cost.** Linear.
//!
//! **Forbidden** always for sends that failed themselves; for aborted transactions at isolation read-committed.
//!
//! **Source.** Jepsen's Kafka workload and Elle (`G1a`, aborted read).

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::{Analysis, Fate},
    guarantees::Rules,
    history::{SendRow, Status},
};

pub(super) const CHECK: Check = Check {
    kind: Kind::AbortedRead,
    about: "a record was read whose send had failed, or whose transaction was aborted",
    forbidden: "always for a send that failed; for an aborted transaction at isolation read-committed",
    source: "Jepsen kafka, Elle: G1a",
    find,
    tell,
    rule: |rules, found| match found.case {
        Case::Aborted => Rules::committed_only(rules),
        _ => Rules::failure_is_final(rules),
    },
};

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    if !analysis.fates.contains(&Fate::Failed) {
        return found;
    }
    let mut told = vec![false; analysis.history.sends().len()];
    for read in analysis.history.delivers() {
        let Some(row) = read.value().and_then(|value| analysis.writer(value)) else { continue };
        let failed = analysis.fates[row as usize] == Fate::Failed;
        if !failed || !analysis.read_happened(read) || std::mem::replace(&mut told[row as usize], true) {
            continue;
        }
        let send = analysis.send(row);
        found.push(Found {
            unit: Some(read.unit),
            position: Some(read.position),
            ops: proof([Some(send.invoke.0), failure(analysis, send), Some(read.event)]),
            send: Some(row),
            other: Some(read.event),
            case: if send.status == Status::Fail { Case::Plain } else { Case::Aborted },
        });
    }
    found.sort_by_key(|one| one.send);
    found
}

/// The event that says that it failed: its own completion, or that of its transaction.
fn failure(analysis: &Analysis<'_>, send: &SendRow) -> Option<u32> {
    match (send.status, send.txn()) {
        (Status::Ok | Status::Unknown, Some(txn)) => {
            let history = analysis.history;
            history.txns()[history.txn_row(txn) as usize].completion()
        }
        _ => send.completion(),
    }
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(row), Some(unit), Some(position), Some(read)) =
        (found.send, found.unit, found.position, found.other)
    else {
        return Default::default();
    };
    let send = analysis.send(row);
    let seen = format!("{} in {} at position {position}", analysis.read_by(read), analysis.unit(unit));
    match (found.case, failure(analysis, send)) {
        (Case::Aborted, Some(abort)) => [
            format!("{}, in a transaction that was aborted {}.", analysis.sent(send), analysis.when(abort)),
            format!("It was handed to a reader all the same: {seen}."),
        ],
        _ => [format!("{}.", analysis.sent(send)), format!("It is in the log all the same: {seen}.")],
    }
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::{Case, testing::tale};

    #[test]
    fn a_refused_record_is_in_the_log() {
        // The client said that record 1 definitely failed; the drain found it.
        let mut tale = tale();
        tale.failed(1).sent(2, 1).drain(1, 0).drain(2, 1).drained(2);
        tale.finds(CHECK, &[(1, 0, Case::Plain)]);
    }

    #[test]
    fn a_record_of_an_aborted_transaction_is_read() {
        let mut tale = tale();
        tale.begin().sent(1, 0).abort_txn().read(1, 0).read(1, 0);
        tale.finds(CHECK, &[(1, 0, Case::Aborted)]);
    }

    #[test]
    fn an_unknown_outcome_may_go_either_way() {
        let mut tale = tale();
        tale.unknown(1, None).unknown(2, None).drain(1, 0).drained(1);
        tale.begin().sent(3, 1).lose_txn().read(3, 1);
        tale.finds(CHECK, &[]);
    }

    #[test]
    fn a_poll_that_failed_is_no_read() {
        let mut tale = tale();
        tale.begin().sent(1, 0).abort_txn().poll().read(1, 0).poll_failed();
        tale.finds(CHECK, &[]);
    }
}
