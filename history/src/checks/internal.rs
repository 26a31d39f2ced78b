//! `internal`: a transaction's read of a list does not agree with what the transaction itself read and wrote before.
//!
//! **Definition.** Where reads are of whole units (`whole_reads`). A committed transaction that has read a unit reads there
//! next what it read before and, behind that, the records that it sent there since, in order, and nothing else. One that
//! has not read it yet, but has sent records there, finds these at its end, in order. What is found otherwise is told at
//! the first place that differs, or right behind the shorter one.
//!
//! **Algorithm.** One walk over the sends and polls of each transaction, in the order in which they began. **Cost.** Linear
//! in sends and reads.
//!
//! **Forbidden** at isolation read-committed where reads are of whole units: a transaction that does not see its own work
//! is in no order with itself. The catalogue of logs has no such row, for a poll of a log is not handed the work of its own
//! transaction (that is `precommitted_read`).
//!
//! **Evidence limit.** A read is of the unit at whose beginning its process went to read last.
//!
//! **Source.** Elle's list-append (`internal`).

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::{Analysis, Buckets},
    guarantees::Rules,
    history::{Status, UnitId},
};
use std::collections::BTreeMap;

pub(super) const CHECK: Check = Check {
    kind: Kind::Internal,
    about: "a transaction's read of a list does not agree with what it read and wrote itself before",
    forbidden: "where reads are of whole units, at isolation read-committed",
    source: "Elle list-append: internal",
    find,
    tell,
    rule: |rules, _| Rules::committed_only(rules),
};

/// What a transaction knows of a unit: what it read last, and what it sent since.
#[derive(Default)]
struct Known {
    read: Option<(u32, Vec<Option<u64>>)>,
    sent: Vec<Option<u64>>,
}

/// An operation of a transaction.
#[derive(Clone, Copy)]
enum Step {
    Send(u32),
    Poll(u32),
}

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let history = analysis.history;
    if !history.meta.configuration.whole_reads || history.txns().is_empty() {
        return Vec::new();
    }
    let units = analysis.whole_reads();
    let lists = Buckets::new(history.polls().len(), history.delivers().len(), |row| {
        history.delivers()[row].poll().map(|poll| history.poll_row(poll) as usize)
    });
    let mut steps: BTreeMap<u32, Vec<(u32, Step)>> = BTreeMap::new();
    for (send, row) in history.sends().iter().zip(0u32..) {
        if let Some(txn) = send.txn() {
            steps.entry(history.txn_row(txn)).or_default().push((send.invoke.0, Step::Send(row)));
        }
    }
    for (poll, row) in history.polls().iter().zip(0u32..) {
        if let Some(txn) = poll.txn().filter(|_| poll.status == Status::Ok) {
            steps.entry(history.txn_row(txn)).or_default().push((poll.invoke.0, Step::Poll(row)));
        }
    }
    let mut found = Vec::new();
    for (txn, mut steps) in steps {
        if history.txns()[txn as usize].status != Status::Ok {
            continue;
        }
        steps.sort_unstable_by_key(|(event, _)| *event);
        let mut known: BTreeMap<UnitId, Known> = BTreeMap::new();
        for (event, step) in steps {
            match step {
                Step::Send(row) => {
                    if let Some(unit) = analysis.unit_of[row as usize] {
                        known.entry(unit).or_default().sent.push(Some(analysis.send(row).value));
                    }
                }
                Step::Poll(row) => {
                    let Some(unit) = units[row as usize] else { continue };
                    let list = lists.of(row as usize).iter().map(|read| &history.delivers()[*read as usize]);
                    let list: Vec<Option<u64>> = list
                        .filter(|read| read.unit == unit)
                        .map(crate::history::DeliverRow::value)
                        .collect();
                    let known = known.entry(unit).or_default();
                    if let Some(position) = differs(known, &list) {
                        let before = known.read.as_ref().map(|(event, _)| *event);
                        let invoke = history.txns()[txn as usize].invoke.0;
                        found.push(Found {
                            unit: Some(unit),
                            position: Some(position),
                            ops: proof([
                                Some(invoke),
                                before,
                                Some(event),
                                history.polls()[row as usize].completion(),
                            ]),
                            send: None,
                            other: Some(event),
                            case: Case::Plain,
                        });
                    }
                    *known = Known { read: Some((event, list)), sent: Vec::new() };
                }
            }
        }
    }
    found
}

/// The first place at which a list is not what the transaction must see.
fn differs(known: &Known, list: &[Option<u64>]) -> Option<u64> {
    let start = match &known.read {
        Some((_, read)) => {
            let same = read.iter().zip(list).take_while(|(one, other)| one == other).count();
            if same < read.len() {
                return Some(same as u64);
            }
            if list.len() > read.len() + known.sent.len() {
                return Some((read.len() + known.sent.len()) as u64);
            }
            read.len()
        }
        None => list.len().saturating_sub(known.sent.len()),
    };
    let rest = &list[start..];
    let same = known.sent.iter().zip(rest).take_while(|(one, other)| one == other).count();
    (same < known.sent.len()).then_some((start + same) as u64)
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(unit), Some(position), Some(event)) = (found.unit, found.position, found.other) else {
        return Default::default();
    };
    let (who, unit) = (analysis.who(event), analysis.unit(unit));
    [
        format!(
            "{who} read {unit} in a transaction that had read it or sent to it before, {}.",
            analysis.when(event)
        ),
        format!("From position {position} on that is not what the transaction itself read and sent there."),
    ]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::testing::{Tale, tale};

    fn lists() -> Tale {
        let mut tale = tale();
        tale.configure(|meta| meta.configuration.whole_reads = true);
        tale.client("app");
        tale
    }

    #[test]
    fn a_transaction_does_not_see_its_own_append() {
        let mut tale = lists();
        tale.begin().sent(1, 0).seeks(0).polls(&[]).commit_txn();
        tale.finds_at(CHECK, &[0]);
    }

    #[test]
    fn a_list_grows_between_two_reads_of_one_transaction() {
        let mut tale = lists();
        tale.sent(1, 0)
            .sent(2, 1)
            .begin()
            .seeks(0)
            .polls(&[(1, 0)])
            .seeks(0)
            .polls(&[(1, 0), (2, 1)])
            .commit_txn();
        tale.finds_at(CHECK, &[1]);
    }

    #[test]
    fn what_it_appended_stands_at_the_end() {
        let mut tale = lists();
        tale.sent(1, 0)
            .begin()
            .seeks(0)
            .polls(&[(1, 0)])
            .sent(2, 1)
            .seeks(0)
            .polls(&[(1, 0), (2, 1)])
            .commit_txn();
        tale.finds_at(CHECK, &[]);
    }

    #[test]
    fn an_aborted_transaction_may_have_seen_anything() {
        let mut tale = lists();
        tale.begin().sent(1, 0).seeks(0).polls(&[]).abort_txn().finds_at(CHECK, &[]);
    }
}
