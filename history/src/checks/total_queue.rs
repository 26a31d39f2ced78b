//! `total-queue`: what went into a work queue and what came out of it do not add up.
//!
//! **Definition.** By multisets of values, over all readers and the final drain: an acknowledged record that never came
//! out is *lost* (for certain once the final drain of its unit finished); a value that came out and that nobody sent is
//! *foreign*; a record that came out more often than it was sent is *repeated*; one whose send nobody knows to have
//! happened, and that came out, is *recovered*. Dead letters, repeats answered as duplicates and messages whose time to
//! live was over are not missed.
//!
//! **Algorithm.** A count per send. **Cost.** Linear.
//!
//! **Forbidden**: lost like an unseen record ([`Rules::sight`]), foreign always; the rest is at least once. Looked for
//! only where the contract is a work queue (`exclusive`): of a log the same is asked by `lost_write`, `unseen`,
//! `unexpected` and `duplicate`.
//!
//! **Source.** Jepsen's total-queue.

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::Analysis,
    guarantees::Rules,
    history::{DeliverRow, Status},
};

pub(super) const CHECK: Check = Check {
    kind: Kind::TotalQueue,
    about: "what went into a work queue and what came out of it do not add up",
    forbidden: "lost once the final drain finished, and foreign; repeated and recovered are information",
    source: "Jepsen: total-queue",
    find,
    tell,
    rule: |rules, found| match found.case {
        Case::Foreign => Rules::only_what_was_sent(rules),
        Case::Repeated => Rules::comes_again(rules),
        Case::Recovered => Rules::may_surface(rules),
        case => Rules::sight(rules, case == Case::Drained),
    },
};

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let history = analysis.history;
    if !history.meta.configuration.exclusive {
        return Vec::new();
    }
    // Per send: how often it came out, and the last time.
    let mut out: Vec<(u32, Option<&DeliverRow>)> = vec![(0, None); history.sends().len()];
    let mut found = Vec::new();
    for read in history.delivers() {
        let Some(value) = read.value() else { continue };
        match analysis.writer(value) {
            Some(row) => {
                let (times, last) = &mut out[row as usize];
                *times += 1;
                *last = Some(read);
            }
            None => found.push(taken(read, None, Case::Foreign)),
        }
    }
    for (row, (times, last)) in (0u32..).zip(out) {
        let send = analysis.send(row);
        match last {
            None if missed(analysis, row) => found.push(lost(analysis, row)),
            Some(read) if times > 1 => found.push(taken(read, Some(row), Case::Repeated)),
            Some(read) if send.status == Status::Unknown => {
                found.push(taken(read, Some(row), Case::Recovered));
            }
            _ => {}
        }
    }
    found
}

fn taken(read: &DeliverRow, send: Option<u32>, case: Case) -> Found {
    let ops = proof([Some(read.event)]);
    Found { unit: Some(read.unit), position: Some(read.position), ops, send, other: Some(read.event), case }
}

/// Whether a record that never came out should have.
fn missed(analysis: &Analysis<'_>, row: u32) -> bool {
    let work = analysis.is_work(analysis.send(row));
    work && analysis.happened(row) && analysis.twin(row).is_none() && !analysis.may_be_gone(row)
}

fn lost(analysis: &Analysis<'_>, row: u32) -> Found {
    let (send, unit) = (analysis.send(row), analysis.unit_of[row as usize]);
    let drain = unit.and_then(|unit| analysis.units[unit.index()].drain).filter(|(_, drain)| drain.complete);
    let event = drain.map(|(event, _)| event);
    Found {
        unit,
        position: send.position(),
        ops: proof([Some(send.invoke.0), send.completion(), event]),
        send: Some(row),
        other: event,
        case: if drain.is_some() { Case::Drained } else { Case::Plain },
    }
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let sent = match found.send {
        Some(row) => format!("{}.", analysis.sent(analysis.send(row))),
        None => "No send of this run carried the value.".to_owned(),
    };
    let last = found.other.unwrap_or_default();
    let out = match (found.case, found.unit) {
        (Case::Foreign, _) => {
            format!("It came out of the queue: {} had it {}.", analysis.who(last), analysis.when(last))
        }
        (Case::Repeated, _) => {
            format!("It came out more than once, last to {} {}.", analysis.who(last), analysis.when(last))
        }
        (Case::Recovered, _) => {
            format!("It came out all the same: {} had it {}.", analysis.who(last), analysis.when(last))
        }
        (_, Some(unit)) => format!("It never came out of the queue, and {}.", analysis.drain_words(unit)),
        (_, None) => "It never came out of the queue, and nobody knows its unit.".to_owned(),
    };
    [sent, out]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::{
        Case,
        testing::{Tale, tale},
    };

    fn queue() -> Tale {
        let mut tale = tale();
        tale.configure(|meta| meta.configuration.exclusive = true);
        tale
    }

    #[test]
    fn a_message_never_comes_out() {
        // Two go in, one comes out, and the drain finds nothing more.
        let mut tale = queue();
        tale.sent(1, 0).sent(2, 1).read(1, 0).acks(1).drained(2).finds(CHECK, &[(2, 1, Case::Drained)]);
    }

    #[test]
    fn a_message_comes_from_nowhere() {
        let mut tale = queue();
        tale.sent(1, 0).read(1, 0).read(9, 1).finds_at(CHECK, &[1]);
    }

    #[test]
    fn repeated_and_recovered_messages_are_told() {
        let mut tale = queue();
        tale.sent(1, 0).unknown(2, None).read(1, 0).read(1, 0).read(2, 1);
        tale.finds(CHECK, &[(1, 0, Case::Repeated), (2, 1, Case::Recovered)]);
    }

    #[test]
    fn what_may_still_be_in_the_queue_is_not_lost_yet() {
        let mut tale = queue();
        tale.sent(1, 0).undrained(1).finds(CHECK, &[(1, 0, Case::Plain)]);
    }
}
