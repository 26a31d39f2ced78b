//! `unseen`: an acknowledged record was never read, and nothing shows that the log was read beyond it.
//!
//! **Definition.** A record acknowledged, its value read by nobody, and not a `lost_write`: its position lies
//! behind everything that was read, or the ack named no position. Once the final drain of its unit finished, so is one
//! that nobody acknowledged of a transaction that was committed.
//!
//! **Algorithm.** One walk over the sends. **Cost.** Linear.
//!
//! **Forbidden** like a lost write once the final drain of its unit finished ([`Rules::sight`]); undecided before,
//! since it may be lag. An ack without a unit needs every unit of the topic drained.
//!
//! **Source.** Jepsen's Kafka workload (`unseen`), with the drain as a fact of the history.

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::{Analysis, UnitLog},
    guarantees::Rules,
    history::{SendRow, Status, UnitId},
};

pub(super) const CHECK: Check = Check {
    kind: Kind::Unseen,
    about: "an acknowledged record was never read, nor anything behind it",
    forbidden: "like lost_write once the final drain finished; undecided before",
    source: "Jepsen kafka: unseen",
    find: |analysis| analysis.lost().unseen.clone(),
    tell,
    rule: |rules, found| Rules::sight(rules, found.case == Case::Drained),
};

pub(super) fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    for (row, send) in (0u32..).zip(analysis.history.sends()) {
        if analysis.seen[row as usize] || !analysis.happened(row) || proved_lost(analysis, send) {
            continue;
        }
        if analysis.twin(row).is_some() || analysis.may_be_gone(row) {
            continue;
        }
        let unit = analysis.unit_of[row as usize];
        let case = if drained(analysis, send, unit) { Case::Drained } else { Case::Plain };
        // That a transaction was committed does not say when: what nobody acknowledged may be on its way.
        if case == Case::Plain && send.status != Status::Ok {
            continue;
        }
        let drain = unit.and_then(|unit| analysis.units[unit.index()].drain).map(|(event, _)| event);
        let ops = proof([Some(send.invoke.0), send.completion(), drain]);
        found.push(Found { unit, position: send.position(), ops, send: Some(row), other: drain, case });
    }
    found
}

/// Whether `lost_write` has it: the log was read beyond its position.
fn proved_lost(analysis: &Analysis<'_>, send: &SendRow) -> bool {
    let (Some(unit), Some(position)) = (send.unit(), send.position()) else { return false };
    analysis.units[unit.index()].bound().is_some_and(|bound| position <= bound)
}

fn drained(analysis: &Analysis<'_>, send: &SendRow, unit: Option<UnitId>) -> bool {
    match unit {
        Some(unit) => analysis.units[unit.index()].complete_drain().is_some(),
        None => {
            let met = |log: &UnitLog| log.drain.is_some() || !log.places.is_empty();
            let of_topic = |unit| analysis.history.unit_topic(unit) == send.topic;
            let mut logs = analysis.logs().filter(|(unit, log)| of_topic(*unit) && met(log)).peekable();
            logs.peek().is_some() && logs.all(|(_, log)| log.complete_drain().is_some())
        }
    }
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let Some(send) = found.send.map(|row| analysis.send(row)) else { return Default::default() };
    let drain = match found.unit {
        Some(unit) => analysis.drain_words(unit),
        None => format!("no ack or reader ever named a unit of {}", analysis.history.topic_name(send.topic)),
    };
    [format!("{}.", analysis.sent(send)), format!("Nobody ever read it or anything behind it, and {drain}.")]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::{Case, testing::tale};

    #[test]
    fn an_acked_tail_that_a_finished_drain_lacks() {
        // Two records are acknowledged; the log ends behind the first.
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).drain(1, 0).drained(1);
        tale.finds(CHECK, &[(2, 1, Case::Drained)]);
    }

    #[test]
    fn the_same_tail_may_be_lag_when_the_drain_did_not_finish() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).drain(1, 0).undrained(2);
        tale.finds(CHECK, &[(2, 1, Case::Plain)]);
    }

    #[test]
    fn a_loss_is_not_told_twice() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).drain(2, 1).drained(2);
        tale.finds(CHECK, &[]);
    }
}
