//! `nonlinearizable`: no order of a unit's conditional operations, true to real time, explains their answers.
//!
//! **Definition.** Two kinds of objects answer by their state: a unit to which somebody sends on condition that its last
//! record is at a place or has a value (compare-and-set, expected sequence), and a transactional id that producers take
//! from each other (fencing). An order of the operations on one such object explains their answers if each gets its
//! answer from the state that those before it left behind; it is true to real time if no operation stands behind one
//! that began after its answer. There must be such an order.
//!
//! A send takes part when it was acknowledged; or rejected for its condition; or, of unknown outcome, from its begin
//! until its record was first read, or never. Sends answered as duplicates changed nothing and take no part.
//!
//! **Algorithm.** A search in the manner of Wing, Gong and Lowe, each object on its own ([`crate::linear`]), all within a
//! budget of steps. Units without conditional sends are left out: their positions are their order. **Cost.** A
//! step an operation where few overlap; exponential in those that do; bounded by the budget.
//!
//! **Forbidden** unless more power was lost than the copies bear. Out of budget is undecided.
//!
//! **Source.** Herlihy and Wing (1990); the checks of S2 and of Redpanda's chaos.

use super::{Case, Check, Found, proof, zombie_not_fenced};
use crate::{
    Kind,
    analysis::{Analysis, Fate},
    guarantees::{Rules, given_up},
    history::{SendRow, Status, TransactionalId, UnitId, What},
    linear::{Answer, Append, Call, Expected, FenceOp, Fencing, Judgement, Log, Model, Proof, judge_parts},
};
use std::collections::BTreeMap;

pub(super) const CHECK: Check = Check {
    kind: Kind::Nonlinearizable,
    about: "no order of a unit's conditional operations, true to real time, explains their answers",
    forbidden: "always, unless more power was lost than the copies bear",
    source: "Herlihy and Wing; Wing and Gong; Lowe",
    find,
    tell,
    rule: |rules, found| match found.case {
        Case::OutOfBudget => given_up(Rules::linearizable(rules)),
        _ => Rules::linearizable(rules),
    },
};

/// Steps of the search, for all objects of one kind: a second or two.
const BUDGET: u64 = 1_000_000;

/// How a rejection for its condition is called. A send that failed for another reason says nothing of the state.
const REJECTIONS: [&str; 3] = ["WRONG_LAST", "WRONGLAST", "PRECONDITION"];

/// How a client is told that somebody newer took its id.
const FENCED: [&str; 2] = ["FENCED", "INVALID_PRODUCER_EPOCH"];

fn says(error: Option<&str>, words: &[&str]) -> bool {
    error.is_some_and(|error| {
        let error = error.to_ascii_uppercase();
        words.iter().any(|word| error.contains(word))
    })
}

/// Calls with the events that prove them, by object.
type Parts<N, O> = BTreeMap<N, Vec<(Call<O>, u32)>>;

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let mut found = judged(&Log, &appends(analysis), |unit, proof, event| Found {
        unit: Some(*unit),
        position: proof.and_then(|_| placed(analysis, event)),
        send: analysis.history.row_of(event, What::SendInvoke),
        ..Found::default()
    });
    found.extend(judged(&Fencing, &fences(analysis), |_, _, _| Found::default()));
    found
}

/// Judges the objects of one kind. `place` says where a finding is, by its object and the event of the call that is blocked.
fn judged<M: Model, N: Ord + Clone>(
    model: &M,
    parts: &Parts<N, M::Op>,
    place: impl Fn(&N, Option<&Proof>, u32) -> Found,
) -> Vec<Found>
where
    M::Op: Clone,
{
    let calls =
        parts.iter().map(|(name, list)| (name.clone(), list.iter().map(|(call, _)| call.clone()).collect()));
    let judgements = judge_parts(model, &calls.collect(), BUDGET);
    let mut found = Vec::new();
    for ((name, judgement), list) in judgements.iter().zip(parts.values()) {
        let event = |call: usize| list[call].1;
        match judgement {
            Judgement::Linearizable(_) => {}
            Judgement::Illegal(illegal) => {
                let blocked = event(illegal.blocked);
                // The last few before it are what a person wants to see.
                let before = illegal.longest.iter().rev().take(4).map(|call| Some(event(*call)));
                let ops = proof(before.chain([Some(blocked)]));
                let one = place(name, Some(illegal), blocked);
                found.push(Found { ops, other: Some(blocked), case: Case::Plain, ..one });
            }
            Judgement::Undecided => {
                let Some((_, first)) = list.first() else { continue };
                let one = place(name, None, *first);
                let (ops, other) = (vec![*first], Some(*first));
                found.push(Found { ops, other, case: Case::OutOfBudget, ..one });
            }
        }
    }
    found
}

fn placed(analysis: &Analysis<'_>, event: u32) -> Option<u64> {
    let row = analysis.history.row_of(event, What::SendInvoke)?;
    let (unit, index) = analysis.first_place[row as usize]?;
    Some(analysis.units[unit.index()].places[index as usize].position)
}

/// The sends to units with conditional ones.
fn appends(analysis: &Analysis<'_>) -> Parts<UnitId, Append> {
    let history = analysis.history;
    let mut parts: Parts<UnitId, Append> = BTreeMap::new();
    for (row, extra) in history.send_extras() {
        if extra.expected_position.or(extra.expected_value).is_some()
            && let Some(unit) = analysis.unit_of[*row as usize]
        {
            parts.entry(unit).or_default();
        }
    }
    if !parts.is_empty() {
        for (send, row) in history.sends().iter().zip(0u32..) {
            let part = analysis.unit_of[row as usize].and_then(|unit| parts.get_mut(&unit));
            if let (Some(part), Some(call)) = (part, append(analysis, send, row)) {
                part.push((call, send.invoke.0));
            }
        }
    }
    parts
}

fn append(analysis: &Analysis<'_>, send: &SendRow, row: u32) -> Option<Call<Append>> {
    let extra = analysis.history.send_extra(row);
    let position = extra.expected_position.map(Expected::Position);
    let expected = position.or(extra.expected_value.map(Expected::Value));
    let place = analysis.first_place[row as usize]
        .map(|(unit, index)| analysis.units[unit.index()].places[index as usize]);
    let read = place.and_then(|place| place.read());
    let accepted = Answer::Accepted(place.map(|place| place.position));
    let (answer, end) = match analysis.fates[row as usize] {
        _ if send.duplicate => return None,
        Fate::Happened => (accepted, first(send.completion(), read)),
        Fate::Unknown => (accepted, read),
        Fate::Failed => {
            let rejected = says(analysis.history.send_error(send), &REJECTIONS);
            expected.filter(|_| rejected)?;
            (Answer::Rejected, send.completion())
        }
    };
    let op = Append { value: send.value, expected, answer };
    Some(Call { op, begin: u64::from(send.invoke.0), end: end.map(u64::from) })
}

/// The earlier of two events, of which either may be missing.
fn first(one: Option<u32>, other: Option<u32>) -> Option<u32> {
    one.into_iter().chain(other).min()
}

/// What happened to each transactional id: claims, and sends of its transactions.
fn fences(analysis: &Analysis<'_>) -> Parts<TransactionalId, FenceOp> {
    let history = analysis.history;
    let mut parts: Parts<TransactionalId, FenceOp> = BTreeMap::new();
    for init in history.inits().iter().filter(|init| init.status != Status::Fail) {
        let op = FenceOp::TakeOver(init.epoch());
        let end = init.completion().filter(|_| init.status == Status::Ok).map(u64::from);
        let call = Call { op, begin: u64::from(init.invoke.0), end };
        parts.entry(init.id).or_default().push((call, init.invoke.0));
    }
    if !parts.is_empty() {
        for send in history.sends() {
            let Some(txn) = send.txn().map(|txn| &history.txns()[history.txn_row(txn) as usize]) else {
                continue;
            };
            let (Some(id), Some(epoch)) = (txn.id(), zombie_not_fenced::epoch(analysis, txn)) else {
                continue;
            };
            let op = match send.status {
                Status::Ok => FenceOp::Accepted(epoch),
                Status::Fail if says(history.send_error(send), &FENCED) => FenceOp::Fenced(epoch),
                Status::Fail | Status::Unknown => continue,
            };
            if let Some(part) = parts.get_mut(&id) {
                let end = send.completion().map(u64::from);
                part.push((Call { op, begin: u64::from(send.invoke.0), end }, send.invoke.0));
            }
        }
    }
    parts
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let Some(event) = found.other else { return Default::default() };
    let what = found.send.map(|row| analysis.sent(analysis.send(row)));
    let what =
        what.unwrap_or_else(|| format!("{} did something {}", analysis.who(event), analysis.when(event)));
    match (found.case, found.unit) {
        (Case::OutOfBudget, unit) => {
            let object = unit.map_or("a transactional id".to_owned(), |unit| analysis.unit(unit));
            [
                format!(
                    "The operations on {object} overlap so much that the search for their order was given up."
                ),
                format!("The first of them: {what}."),
            ]
        }
        _ => [format!("{what}{}.", condition(analysis, found)), because(analysis, found)],
    }
}

fn condition(analysis: &Analysis<'_>, found: &Found) -> String {
    let extra = found.send.map(|row| analysis.history.send_extra(row)).unwrap_or_default();
    match (extra.expected_position, extra.expected_value) {
        (Some(position), _) => format!(", on condition that the last record is at position {position}"),
        (None, Some(value)) => format!(", on condition that the last record is {value}"),
        (None, None) => String::new(),
    }
}

fn because(analysis: &Analysis<'_>, found: &Found) -> String {
    let proof = match found.unit {
        Some(unit) => illegal(&Log, &appends(analysis), &unit),
        None => fences(analysis)
            .iter()
            .find_map(|(id, list)| list.iter().any(|(_, event)| Some(*event) == found.other).then_some(*id))
            .and_then(|id| illegal(&Fencing, &fences(analysis), &id)),
    };
    let Some(proof) = proof else { return Default::default() };
    let calls = proof.longest.len();
    format!(
        "No order explains that: the longest one that does explain {calls} answers leads to where {}.",
        proof.state
    )
}

fn illegal<M: Model, N: Ord>(model: &M, parts: &Parts<N, M::Op>, name: &N) -> Option<Proof>
where
    M::Op: Clone,
{
    let calls: Vec<Call<M::Op>> = parts.get(name)?.iter().map(|(call, _)| call.clone()).collect();
    match crate::linear::judge_calls(model, &calls, BUDGET) {
        Judgement::Illegal(proof) => Some(proof),
        Judgement::Linearizable(_) | Judgement::Undecided => None,
    }
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::{Case, testing::tale};

    #[test]
    fn two_sends_that_expect_the_same_last_record_are_both_accepted() {
        let mut tale = tale();
        tale.sent(1, 1).with(|send| send.expected_position = Some(1)).sent(2, 2);
        tale.with(|send| send.expected_position = Some(1)).sent(3, 3);
        tale.finds(CHECK, &[(3, 3, Case::Plain)]);
    }

    #[test]
    fn a_compare_and_set_that_succeeds_on_what_was_overwritten() {
        let mut tale = tale();
        tale.sent(1, 1).with(|send| send.expected_value = Some(1)).sent(2, 2);
        tale.with(|send| send.expected_value = Some(1)).sent(3, 3);
        tale.finds(CHECK, &[(3, 3, Case::Plain)]);
    }

    #[test]
    fn sends_that_overlap_may_have_been_in_either_order() {
        let mut tale = tale();
        tale.sent(1, 1).with(|send| send.expected_position = Some(2)).send(3);
        tale.with(|send| send.expected_position = Some(1)).send(2).ok(3, 3).ok(2, 2);
        tale.finds(CHECK, &[]);
    }

    #[test]
    fn a_send_of_unknown_outcome_explains_what_follows() {
        let mut tale = tale();
        tale.sent(1, 1).with(|send| send.expected_position = Some(1)).unknown(2, None);
        tale.with(|send| send.expected_position = Some(2)).sent(3, 3);
        tale.finds(CHECK, &[]);
    }

    #[test]
    fn an_epoch_that_is_given_twice() {
        let mut tale = tale();
        tale.producer("a").init("pay", 1).producer("b").init("pay", 1);
        let analysis = crate::analysis::Analysis::new(tale.history());
        let found = (CHECK.find)(&analysis);
        assert_eq!(found.len(), 1);
        let [what, why] = (CHECK.tell)(&analysis, &found[0]);
        assert!(what.ends_with('.') && why.contains("epoch 1 is the newest"), "{what} {why}");
    }
}
