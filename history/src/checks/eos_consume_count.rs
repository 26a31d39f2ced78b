//! `eos_consume_count`: committed transactions of a group consumed a record more than once.
//!
//! **Definition.** A record was handed to polls of one group that belong to committed transactions, more than once in
//! all. One finding per group and record.
//!
//! **Algorithm.** A count per group and record. **Cost.** Linear in the deliveries.
//!
//! **Never forbidden**: no bus promises it of its consumers alone, not even with exactly-once semantics; what must not
//! happen is a second *result*, `eos_duplicate`.
//!
//! **Source.** Jepsen's Kafka workload (`consume-counts`).

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::{Analysis, Buckets},
    guarantees::Rules,
    history::{DeliverRow, GroupId, Status},
};

pub(super) const CHECK: Check = Check {
    kind: Kind::EosConsumeCount,
    about: "committed transactions of a group consumed a record more than once",
    forbidden: "never: it is information",
    source: "Jepsen kafka: consume-counts",
    find,
    tell,
    rule: |rules, _| Rules::consumed_again(rules),
};

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let history = analysis.history;
    if !history.polls().iter().any(|poll| poll.txn().is_some() && poll.group().is_some()) {
        return Vec::new();
    }
    let (sends, reads) = (history.sends().len(), history.delivers());
    // Buckets of (group, record).
    let of_record = Buckets::new(history.group_count() * sends, reads.len(), |index| {
        committed(analysis, &reads[index]).map(|(group, row)| group.index() * sends + row as usize)
    });
    let mut found = Vec::new();
    for bucket in 0..of_record.len() {
        if let [first, .., last] = of_record.of(bucket) {
            let (first, last) = (&reads[*first as usize], &reads[*last as usize]);
            found.push(Found {
                unit: Some(last.unit),
                position: Some(last.position),
                ops: proof(of_record.of(bucket).iter().map(|index| Some(reads[*index as usize].event))),
                send: Some((bucket % sends) as u32),
                other: Some(first.event),
                case: Case::Plain,
            });
        }
    }
    found.sort_by_key(|one| one.ops.last().copied());
    found
}

/// The group and the record of a delivery in a committed transaction.
fn committed(analysis: &Analysis<'_>, read: &DeliverRow) -> Option<(GroupId, u32)> {
    let history = analysis.history;
    let poll = &history.polls()[history.poll_row(read.poll()?) as usize];
    let txn = &history.txns()[history.txn_row(poll.txn()?) as usize];
    let row = analysis.writer(read.value()?)?;
    (poll.status == Status::Ok && txn.status == Status::Ok).then_some((poll.group()?, row))
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(row), Some(first)) = (found.send, found.other) else { return Default::default() };
    let last = found.ops.last().copied().unwrap_or(first);
    [
        format!("{}.", analysis.sent(analysis.send(row))),
        format!(
            "Committed transactions consumed it {} times, first by {} {}, last by {} {}.",
            found.ops.len(),
            analysis.who(first),
            analysis.when(first),
            analysis.who(last),
            analysis.when(last)
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::{Case, testing::tale};

    #[test]
    fn two_committed_transactions_consume_one_record() {
        // The offsets of the first were lost with their coordinator.
        let mut tale = tale();
        tale.sent(1, 0).begin().polls(&[(1, 0)]).commit_txn();
        tale.by("consumer-1").begin().polls(&[(1, 0)]).commit_txn().finds(CHECK, &[(1, 0, Case::Plain)]);
    }

    #[test]
    fn what_an_aborted_transaction_consumed_is_consumed_again() {
        let mut tale = tale();
        tale.sent(1, 0).begin().polls(&[(1, 0)]).abort_txn().begin().polls(&[(1, 0)]).commit_txn();
        tale.finds(CHECK, &[]);
    }
}
