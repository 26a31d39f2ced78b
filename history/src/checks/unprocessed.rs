//! `unprocessed`: an acknowledged record was neither processed nor dead-lettered, and the group went past it.
//!
//! **Definition.** For every logical consumer whose handlers are recorded, and every topic that it reads: a record
//! that was acknowledged and is in the log (somebody read it), is no poison, was never processed successfully, and
//! is not the cause of an entry of the dead-letter topic. The group has *passed* it for certain when it committed a
//! place behind it or acknowledged it, or when the consumers had caught up with every unit at the end of the run.
//! When it does so before processing, that alone proves nothing while the run goes on: the record may be in a
//! handler. A record that an administrator deleted before the group had passed it is nobody's to process.
//!
//! **Algorithm.** One walk over the sends per consumer, and one over its commits for each deletion that took one of its
//! records. **Cost.** Linear but for that.
//!
//! **Forbidden** by `delivery: at-least-once`, and without expectations where commits follow processing
//! ([`Rules::processing`]); undecided while the group has not passed the record.
//!
//! **Evidence limit.** Records that are not in the log are `lost_write` or `unseen`, not told again here.
//!
//! **Source.** Jepsen's total-queue (`lost`), with the group's commits as evidence; the effect of
//! `committed_too_far`.

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::{Analysis, Consumer, commits_in_force},
    guarantees::{CommitPolicy, Rules},
    history::{Observation, What},
};
use std::collections::BTreeMap;

/// By a deletion's event: the place in each unit up to which the group had committed by then.
type Fronts = BTreeMap<u32, Vec<u64>>;

pub(super) const CHECK: Check = Check {
    kind: Kind::Unprocessed,
    about: "an acknowledged record was neither processed nor dead-lettered, and the group went past it",
    forbidden: "`delivery: at-least-once`; commits after processing",
    source: "Jepsen total-queue: lost; Squall",
    find,
    tell,
    rule: |rules, found| Rules::processing(rules, found.case == Case::Passed),
};

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    unhandled(analysis, false)
}

/// The records that no handler is done with: the poison, or the rest.
pub(super) fn unhandled(analysis: &Analysis<'_>, poison: bool) -> Vec<Found> {
    let mut dead = vec![false; analysis.history.sends().len()];
    let copies = analysis.dead_copies.iter().map(|copy| copy.cause);
    for cause in analysis.dlq_entries.iter().filter_map(|entry| entry.cause).chain(copies) {
        dead[cause as usize] = true;
    }
    let mut found = Vec::new();
    let skipping = &analysis.history.meta.configuration.skipping;
    for consumer in analysis.consumers.iter().filter(|consumer| consumer.handles) {
        let name = consumer.group.map(|group| analysis.history.group_name(group));
        if poison && skipping.iter().any(|skips| name == Some(skips)) {
            continue;
        }
        let mut fronts = Fronts::new();
        for (row, send) in analysis.work_of(consumer) {
            let there = analysis.happened(row) && analysis.seen[row as usize] && analysis.is_work(send);
            let done = consumer.touches[row as usize].handled > 0 || dead[row as usize];
            if there && !done && analysis.is_poison(row) == poison {
                found.extend(finding(analysis, consumer, row, &mut fronts));
            }
        }
    }
    found
}

/// Nothing when an administrator deleted the record before the group was past it.
fn finding(analysis: &Analysis<'_>, consumer: &Consumer, row: u32, fronts: &mut Fronts) -> Option<Found> {
    let place = analysis.first_place[row as usize];
    let (unit, position) = place.map_or((analysis.unit_of[row as usize], None), |(unit, index)| {
        (Some(unit), Some(analysis.units[unit.index()].places[index as usize].position))
    });
    let committed = unit.zip(position).and_then(|(unit, position)| {
        consumer.committed[unit.index()].filter(|(at, _)| *at > position).map(|(_, event)| event)
    });
    let acked = consumer.touches[row as usize].acked;
    let committed = committed.or(acked);
    if let Some(deletion) = analysis.deletions.took(row)
        && acked.is_none_or(|event| event >= deletion)
    {
        let front = fronts.entry(deletion).or_insert_with(|| front_before(analysis, consumer, deletion));
        unit.zip(position).filter(|(unit, position)| front[unit.index()] > *position)?;
    }
    let proves = analysis.history.meta.configuration.commit != CommitPolicy::BeforeProcessing;
    let passed = analysis.facts.caught_up || (committed.is_some() && proves);
    let send = analysis.send(row);
    Some(Found {
        unit,
        position,
        ops: proof([Some(send.invoke.0), send.completion(), committed]),
        send: Some(row),
        other: committed,
        case: if passed { Case::Passed } else { Case::Plain },
    })
}

/// Up to where a group had committed in each unit before an event.
fn front_before(analysis: &Analysis<'_>, consumer: &Consumer, event: u32) -> Vec<u64> {
    let mut front = vec![0; analysis.units.len()];
    let commits = commits_in_force(analysis.history).filter(|commit| {
        Some(commit.group) == consumer.group && commit.completion().is_some_and(|end| end < event)
    });
    for (unit, at) in commits.flat_map(|commit| &commit.positions) {
        front[unit.index()] = front[unit.index()].max(*at);
    }
    front
}

/// How far the group came, in words.
pub(super) fn passed(analysis: &Analysis<'_>, found: &Found) -> String {
    match (found.other, found.case) {
        (Some(ack), _) if matches!(analysis.history.event(ack).what, What::Note | What::SettleDone) => {
            format!("{} acknowledged it {}", analysis.who(ack), analysis.when(ack))
        }
        (Some(commit), _) => {
            format!("{} committed a place behind it {}", analysis.who(commit), analysis.when(commit))
        }
        (None, Case::Passed) => "the consumers had come to the end of every unit".to_owned(),
        (None, _) => "the group had not come past it when the run ended".to_owned(),
    }
}

/// The delivery history of a record in words: how often, and the first client fault if any.
pub(super) fn deliveries(analysis: &Analysis<'_>, row: u32) -> String {
    let times: u32 = analysis.consumers.iter().map(|consumer| consumer.touches[row as usize].delivered).sum();
    let crash = analysis.history.notes().iter().any(|(_, note)| matches!(note, Observation::Lost(_)));
    let fault = analysis.facts.client_fault.as_ref();
    let cause = match (fault, crash) {
        (Some((event, fault)), _) => format!("; `{fault}` struck ({})", analysis.history.quoted(*event)),
        (None, true) => "; a consumer had lost units".to_owned(),
        (None, false) => String::new(),
    };
    match times {
        0 => format!("it was never delivered{cause}"),
        1 => format!("it was delivered once{cause}"),
        times => format!("it was delivered {times} times{cause}"),
    }
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let Some(row) = found.send else { return Default::default() };
    [
        format!("{}.", analysis.sent(analysis.send(row))),
        format!(
            "No handler ever processed it: {}, and {}.",
            deliveries(analysis, row),
            passed(analysis, found)
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::{
        checks::{Case, testing::tale},
        guarantees::CommitPolicy,
        history::{Handling, Phase},
    };

    #[test]
    fn a_consumer_commits_and_then_crashes_before_it_processes() {
        // Record 1 is delivered and committed; the consumer dies; the next one starts behind it.
        let mut tale = tale();
        tale.sent(1, 0)
            .sent(2, 1)
            .read(1, 0)
            .committed(1)
            .by("consumer-1")
            .read(2, 1)
            .handled(2, Handling::Ok);
        tale.committed(2).finds(CHECK, &[(1, 0, Case::Passed)]);
    }

    #[test]
    fn a_record_in_the_queue_is_not_lost_yet() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).read(1, 0).handled(1, Handling::Ok).committed(1).drain(2, 1);
        tale.finds(CHECK, &[(2, 1, Case::Plain)]);
    }

    #[test]
    fn a_commit_ahead_of_a_running_handler_proves_nothing_yet() {
        let mut tale = tale();
        tale.configure(|meta| meta.configuration.commit = CommitPolicy::BeforeProcessing);
        tale.sent(1, 0).sent(2, 1).read(1, 0).handled(1, Handling::Ok).read(2, 1).committed(2);
        tale.finds(CHECK, &[(2, 1, Case::Plain)]);
        tale.phase(Phase::CaughtUp).finds(CHECK, &[(2, 1, Case::Passed)]);
    }

    #[test]
    fn a_dead_letter_is_processed_in_its_way() {
        let mut tale = tale();
        tale.sent(1, 0).read(1, 0).handled(1, Handling::Poison).dead(9, Some(1), 0).committed(1);
        tale.finds(CHECK, &[]);
    }

    #[test]
    fn what_was_deleted_before_the_group_had_passed_it_is_nobodys_to_process() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).read(1, 0).deleted(Some(1)).read(2, 1).handled(2, Handling::Ok);
        tale.committed(2).finds(CHECK, &[]);
    }

    #[test]
    fn a_deletion_excuses_no_commit_before_it() {
        let mut tale = tale();
        tale.sent(1, 0).sent(2, 1).read(1, 0).committed(1).deleted(Some(1)).committed(2);
        tale.read(2, 1).handled(2, Handling::Ok).finds(CHECK, &[(1, 0, Case::Passed)]);
    }

    #[test]
    fn a_record_of_unknown_outcome_need_not_be_processed() {
        let mut tale = tale();
        tale.unknown(1, None).sent(2, 1).drain(1, 0).read(2, 1).handled(2, Handling::Ok).committed(2);
        tale.finds(CHECK, &[]);
    }
}
