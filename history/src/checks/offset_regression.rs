//! `offset_regression`: the end of a log, or the leader epoch along it, went down.
//!
//! **Definition.** Somebody asks where a unit ends and is told a high watermark below one that was told before the
//! question was asked. Questions to a single node are compared with questions to the same node only. *In epochs*: a
//! record is stored with a leader epoch below that of a record before it.
//!
//! **Algorithm.** Per unit and node the highest answer so far, over the events; the records with an epoch in the order
//! of their places with the highest epoch so far. **Cost.** Linear, and a sort of what carries an epoch.
//!
//! **Forbidden** unless acknowledged records may be lost, or the loss of power took the ends of logs away
//! ([`Rules::no_regression`]).
//!
//! **Source.** redpanda/chaos `list_offsets`; kgo-verifier.

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::Analysis,
    guarantees::Rules,
    history::{Status, UnitId},
};

pub(super) const CHECK: Check = Check {
    kind: Kind::OffsetRegression,
    about: "the end of a log, or the leader epoch along it, went down",
    forbidden: "always, except after a loss that is allowed",
    source: "redpanda chaos: list_offsets; kgo-verifier",
    find,
    tell,
    rule: |rules, _| Rules::no_regression(rules),
};

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let mut found = ends(analysis);
    found.extend(epochs(analysis));
    found
}

/// An answer: whom, where, asked and answered when, and what.
struct Answer {
    of: (UnitId, Option<u32>),
    asked: u32,
    answered: u32,
    high: u64,
}

fn ends(analysis: &Analysis<'_>) -> Vec<Found> {
    let asked = analysis.history.ends().iter().filter(|end| end.status == Status::Ok);
    let mut list: Vec<Answer> = asked
        .filter_map(|end| {
            let (ends, answered) = end.ends.zip(end.completion())?;
            Some(Answer { of: (end.unit, end.node()), asked: end.invoke.0, answered, high: ends.high })
        })
        .collect();
    // Stable: the questions to one node about one unit stay in the order in which they were asked.
    list.sort_by_key(|answer| answer.of);
    let mut found: Vec<Found> = list.chunk_by(|a, b| a.of == b.of).flat_map(regressions).collect();
    found.sort_by_key(|one| one.other);
    found
}

/// The answers below one that was given before they were asked for.
fn regressions(asked: &[Answer]) -> Vec<Found> {
    let mut answered: Vec<&Answer> = asked.iter().collect();
    answered.sort_by_key(|answer| answer.answered);
    let mut before = answered.iter().peekable();
    let (mut highest, mut found): (Option<&Answer>, _) = (None, Vec::new());
    for answer in asked {
        while let Some(earlier) = before.next_if(|earlier| earlier.answered < answer.asked) {
            if highest.is_none_or(|highest| highest.high < earlier.high) {
                highest = Some(earlier);
            }
        }
        if let Some(higher) = highest.filter(|higher| higher.high > answer.high) {
            found.push(Found {
                unit: Some(answer.of.0),
                position: Some(answer.high),
                ops: proof([
                    Some(higher.asked),
                    Some(higher.answered),
                    Some(answer.asked),
                    Some(answer.answered),
                ]),
                send: None,
                other: Some(answer.answered),
                case: Case::Plain,
            });
        }
    }
    found
}

fn epochs(analysis: &Analysis<'_>) -> Vec<Found> {
    let history = analysis.history;
    let mut list: Vec<(UnitId, u64, u32, u32)> = history
        .deliver_extras()
        .iter()
        .filter_map(|(row, extra)| {
            let read = &history.delivers()[*row as usize];
            extra.epoch.map(|epoch| (read.unit, read.position, epoch, read.event))
        })
        .collect();
    list.sort_unstable();
    let mut found = Vec::new();
    for unit in list.chunk_by(|a, b| a.0 == b.0) {
        let mut highest: Option<(u32, u32)> = None;
        for place in unit.chunk_by(|a, b| a.1 == b.1) {
            let (unit, position, epoch, event) = place[0];
            if let Some((_, before)) = highest.filter(|(highest, _)| *highest > epoch) {
                found.push(Found {
                    unit: Some(unit),
                    position: Some(position),
                    ops: proof([Some(before), Some(event)]),
                    send: None,
                    other: Some(event),
                    case: Case::InEpochs,
                });
            }
            let (.., epoch, event) = place[place.len() - 1];
            if highest.is_none_or(|(highest, _)| highest < epoch) {
                highest = Some((epoch, event));
            }
        }
    }
    found
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(unit), Some(position), Some(event)) = (found.unit, found.position, found.other) else {
        return Default::default();
    };
    let (unit, history) = (analysis.unit(unit), analysis.history);
    if found.case == Case::InEpochs {
        let other = found.ops.iter().find(|other| **other != event).copied().unwrap_or(event);
        let told = |event: u32| {
            let row = history.deliver_row(event).unwrap_or_default();
            let read = &history.delivers()[row as usize];
            let epoch = history.deliver_extra(row).epoch.unwrap_or_default();
            format!("position {} with leader epoch {epoch} {}", read.position, analysis.when(event))
        };
        return [
            format!("{} read {unit} {}.", analysis.who(other), told(other)),
            format!(
                "Behind it {} read {}: epochs never go down along a log.",
                analysis.who(event),
                told(event)
            ),
        ];
    }
    let end = |event: u32| {
        let end = history.ends().iter().find(|end| end.completion() == Some(event));
        end.and_then(|end| end.ends).map_or(position, |ends| ends.high)
    };
    let higher = found.ops.iter().filter(|op| **op != event).max_by_key(|op| (end_of(analysis, **op), **op));
    let higher = higher.copied().unwrap_or(event);
    [
        format!(
            "{} was told that {unit} ends at {} {}.",
            analysis.who(higher),
            end(higher),
            analysis.when(higher)
        ),
        format!("{} asked later and was told {position} {}.", analysis.who(event), analysis.when(event)),
    ]
}

/// What an answer said; nothing for a question.
fn end_of(analysis: &Analysis<'_>, event: u32) -> Option<u64> {
    let end = analysis.history.ends().iter().find(|end| end.completion() == Some(event))?;
    end.ends.map(|ends| ends.high)
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::testing::tale;

    #[test]
    fn the_end_of_the_log_goes_back() {
        let mut tale = tale();
        tale.ends(7, None, None).ends(5, None, None).ends(8, None, None).finds_at(CHECK, &[5]);
    }

    #[test]
    fn a_log_that_grows_is_fine() {
        let mut tale = tale();
        tale.ends(3, None, None).ends(3, None, None).ends(9, None, None).finds_at(CHECK, &[]);
        tale.partition(1).ends(1, None, None).finds_at(CHECK, &[]);
    }

    #[test]
    fn an_older_epoch_behind_a_newer_one() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).reads_so(1, 0, |read| read.extra.epoch = Some(3));
        tale.reads_so(2, 1, |read| read.extra.epoch = Some(2)).finds_at(CHECK, &[1]);
    }
}
