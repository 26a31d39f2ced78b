//! `conservation`: what transactions only move about does not add up.
//!
//! **Definition.** The records on the topics in `conserved` carry amounts, and those of one transaction add up to nothing: what
//! is taken here is put there. When the final drain has read all of these topics, the amounts of each transaction's
//! records in the log, each as often as it stands there, must add up to nothing too. One that does not was torn,
//! lost in part, doubled in part, or aborted in part. Transactions whose own sends do not add up are none of the
//! bus' business.
//!
//! **Algorithm.** One walk over the drained places of these topics, one sum a transaction. **Cost.** Linear.
//!
//! **Forbidden** unless more power was lost than the copies bear; what is left of an aborted transaction only at isolation
//! read-committed.
//!
//! **Evidence limit.** It needs the finished drain of every unit of these topics.
//!
//! **Source.** The transfer workload of Redpanda's chaos (`tx_money`).

use super::{Case, Check, Found, eos_loss, proof};
use crate::{
    Kind,
    analysis::{Analysis, Fate},
    guarantees::Rules,
    history::TopicId,
};

pub(super) const CHECK: Check = Check {
    kind: Kind::Conservation,
    about: "what transactions only move about does not add up",
    forbidden: "always on the topics in `conserved`; what is left of an aborted transaction at read-committed",
    source: "chaos: tx_money",
    find,
    tell,
    rule: |rules, found| Rules::conserved(rules, found.case == Case::Aborted),
};

/// The sums of one transaction: what it sent, and what stands in the log.
#[derive(Clone, Copy, Default)]
struct Sums {
    sent: i128,
    stands: i128,
}

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let history = analysis.history;
    let topics = &history.meta.configuration.conserved;
    let known: Vec<TopicId> = topics.iter().filter_map(|topic| history.find_topic(topic)).collect();
    if known.is_empty() || !topics.iter().all(|topic| eos_loss::drained(analysis, topic)) {
        return Vec::new();
    }
    let sums = sums(analysis, &known);
    let wrong = |(sums, row): (&Sums, u32)| {
        (sums.sent == 0 && sums.stands != 0).then(|| imbalance(analysis, &known, row))
    };
    sums.iter().zip(0u32..).filter_map(wrong).collect()
}

fn sums(analysis: &Analysis<'_>, topics: &[TopicId]) -> Vec<Sums> {
    let history = analysis.history;
    let mut sums = vec![Sums::default(); history.txns().len()];
    for (row, extra) in history.send_extras() {
        let send = analysis.send(*row);
        if let (Some(txn), Some(amount), true) = (send.txn(), extra.amount, topics.contains(&send.topic)) {
            sums[history.txn_row(txn) as usize].sent += i128::from(amount);
        }
    }
    let logs = analysis.logs().filter(|(unit, _)| topics.contains(&history.unit_topic(*unit)));
    for place in logs.flat_map(|(_, log)| &log.places).filter(|place| place.drained().is_some()) {
        let Some(row) = place.send() else { continue };
        if let (Some(txn), Some(amount)) = (analysis.send(row).txn(), history.send_extra(row).amount) {
            sums[history.txn_row(txn) as usize].stands += i128::from(amount);
        }
    }
    sums
}

fn imbalance(analysis: &Analysis<'_>, topics: &[TopicId], txn: u32) -> Found {
    let history = analysis.history;
    let invoke = history.txns()[txn as usize].invoke;
    let sends = history.sends().iter().filter(|send| send.txn() == Some(invoke));
    let sends = sends.filter(|send| topics.contains(&send.topic)).map(|send| Some(send.invoke.0));
    let first = (0u32..)
        .zip(history.sends())
        .find(|(row, send)| send.txn() == Some(invoke) && analysis.first_place[*row as usize].is_some());
    let place = first.and_then(|(row, _)| analysis.first_place[row as usize]);
    let aborted = analysis.txn_fates[txn as usize] == Fate::Failed;
    Found {
        unit: place.map(|(unit, _)| unit),
        position: place.map(|(unit, index)| analysis.units[unit.index()].places[index as usize].position),
        ops: proof(sends.chain([Some(invoke.0), history.txns()[txn as usize].completion()])),
        send: first.map(|(row, _)| row),
        other: Some(txn),
        case: if aborted { Case::Aborted } else { Case::Plain },
    }
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let history = analysis.history;
    let Some(txn) = found.other else { return Default::default() };
    let topics = &history.meta.configuration.conserved;
    let known: Vec<TopicId> = topics.iter().filter_map(|topic| history.find_topic(topic)).collect();
    let stands = sums(analysis, &known)[txn as usize].stands;
    let invoke = history.txns()[txn as usize].invoke.0;
    let list: Vec<String> = (0u32..)
        .zip(history.sends())
        .filter(|(_, send)| send.txn().is_some_and(|txn| txn.0 == invoke) && known.contains(&send.topic))
        .filter_map(|(row, send)| {
            Some(format!("{:+} in record {}", history.send_extra(row).amount?, send.value))
        })
        .collect();
    let fate = match found.case {
        Case::Aborted => ", and aborted it",
        _ => "",
    };
    let who = analysis.who(invoke);
    [
        format!("{who} moved {} in one transaction {}{fate}.", list.join(", "), analysis.when(invoke)),
        format!("What the final drain found of it adds up to {stands:+}, not to nothing."),
    ]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::{
        Case,
        testing::{Tale, tale},
    };

    /// A transaction takes 5 here and puts it there.
    fn transfer() -> Tale {
        let mut tale = tale();
        tale.configure(|meta| meta.configuration.conserved = vec!["orders".into()]);
        tale.begin().with(|send| send.amount = Some(-5)).sent(1, 0);
        tale.with(|send| send.amount = Some(5)).sent(2, 1);
        tale
    }

    #[test]
    fn money_that_was_taken_is_put_nowhere() {
        let mut tale = transfer();
        tale.commit_txn().drain(1, 0).drained(3);
        tale.finds(CHECK, &[(1, 0, Case::Plain)]);
    }

    #[test]
    fn money_that_is_put_twice() {
        let mut tale = transfer();
        tale.commit_txn().drain(1, 0).drain(2, 1).drain(2, 2).drained(4);
        tale.finds(CHECK, &[(1, 0, Case::Plain)]);
    }

    #[test]
    fn what_is_left_of_an_aborted_transaction() {
        let mut tale = transfer();
        tale.abort_txn().drain(1, 0).drained(3);
        tale.finds(CHECK, &[(1, 0, Case::Aborted)]);
    }

    #[test]
    fn a_whole_transfer_or_none_adds_up() {
        let mut tale = transfer();
        tale.commit_txn().drain(1, 0).drain(2, 1);
        tale.finds(CHECK, &[]);
        tale.drained(3);
        tale.finds(CHECK, &[]);
        let mut tale = transfer();
        tale.abort_txn().drained(3);
        tale.finds(CHECK, &[]);
    }
}
