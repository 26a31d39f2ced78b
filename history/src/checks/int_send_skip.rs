//! `int_send_skip`: other writers' records stand between the sends of one transaction.
//!
//! **Definition.** Between the places of two sends of one transaction to one unit, one right after the other, stands a
//! record of another transaction or of none.
//!
//! **Algorithm.** Sends by transaction and one walk; per pair the places between. **Cost.** Linear in the sends and in
//! what stands between.
//!
//! **Never forbidden**: transactions interleave ([`Rules::interleaving`]).
//!
//! **Source.** Jepsen's Kafka workload (`int-send-skip`).

use super::{Case, Check, Found, proof, txn_sends};
use crate::{
    Kind,
    analysis::{Analysis, Place},
    guarantees::Rules,
};

pub(super) const CHECK: Check = Check {
    kind: Kind::IntSendSkip,
    about: "other writers' records stand between the sends of one transaction",
    forbidden: "never: transactions interleave",
    source: "Jepsen kafka: int-send-skip",
    find,
    tell,
    rule: |rules, _| Rules::interleaving(rules),
};

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    for pair in txn_sends::pairs(analysis) {
        let (from, to) = (pair.earlier.1.position.saturating_add(1), pair.later.1.position);
        let txn = analysis.send(pair.later.0).txn();
        let foreign = |place: &&Place| place.send().is_some_and(|row| analysis.send(row).txn() != txn);
        let between = analysis.units[pair.unit.index()].between(from, to.max(from));
        let Some(other) = between.iter().find(foreign) else { continue };
        let (one, two) = (analysis.send(pair.earlier.0), analysis.send(pair.later.0));
        found.push(Found {
            unit: Some(pair.unit),
            position: Some(pair.later.1.position),
            ops: proof([Some(one.invoke.0), Some(two.invoke.0), other.read().or(other.ack())]),
            send: Some(pair.later.0),
            other: other.send(),
            case: Case::Plain,
        });
    }
    found
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(row), Some(other), Some(unit), Some(position)) =
        (found.send, found.other, found.unit, found.position)
    else {
        return Default::default();
    };
    let (send, other) = (analysis.send(row), analysis.send(other));
    let name = |process| analysis.history.process_name(process);
    [
        format!(
            "{} sent {} in a transaction, which stands in {} at position {position}.",
            name(send.process),
            analysis.record(send),
            analysis.unit(unit)
        ),
        format!(
            "Between it and the transaction's record before stands {} of {}.",
            analysis.record(other),
            name(other.process)
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::{Case, testing::tale};

    #[test]
    fn another_producer_writes_in_between() {
        let mut tale = tale();
        let txn = tale.producer("a").begin().sent(1, 0).suspend();
        tale.producer("b").sent(2, 1).producer("a").resume(txn).sent(3, 2).commit_txn();
        tale.finds(CHECK, &[(3, 2, Case::Plain)]);
    }

    #[test]
    fn a_transaction_that_stands_alone() {
        let mut tale = tale();
        tale.begin().sent(1, 0).sent(2, 1).commit_txn().finds(CHECK, &[]);
    }
}
