//! `eos_loss`: a pipeline's group committed past an input whose result is not in the committed output.
//!
//! **Definition.** Per unit of the input topic of a pipeline, the committed position is that of the group's last commit
//! that happened: acknowledged, and its transaction committed. An input below it, itself in the log, has no result in
//! the committed output. A record that was given up as poison or dead-lettered owes none.
//!
//! **Algorithm.** The causes of the outputs in a table; one walk over the inputs. **Cost.** Linear.
//!
//! **Forbidden** unless more power was lost than the copies bear. Undecided where a result of unknown outcome was sent and
//! the final drain did not cover the whole output.
//!
//! **Evidence limit.** It needs the place of the input, and the output drained where a result's outcome is unknown. A
//! committed result that vanished from the output is a `lost_write`.
//!
//! **Source.** Apache Kafka's system test of transactions; the consume-transform-produce workload of Redpanda's chaos.

use super::{Case, Check, Found, eos_duplicate, proof};
use crate::{
    Kind, Ruling,
    analysis::{Analysis, Fate},
    guarantees::{Pipeline, Rules},
    history::{Status, UnitId},
};
use std::collections::BTreeMap;

pub(super) const CHECK: Check = Check {
    kind: Kind::EosLoss,
    about: "a pipeline's group committed past an input whose result is not in the committed output",
    forbidden: "always for the groups in `pipelines`",
    source: "kafkatest: transactions; chaos: tx_subscribe",
    find,
    tell,
    rule: |rules, found| match (found.case, Rules::exactly_once(rules)) {
        (Case::Undrained, Ruling::ForbiddenBy(clause)) => Ruling::UndecidedBecause(format!(
            "the final drain did not come to the end of the output, so the result may be there; {clause}"
        )),
        (_, ruling) => ruling,
    },
};

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let pipelines = &analysis.history.meta.configuration.pipelines;
    pipelines.iter().flat_map(|pipeline| missing(analysis, pipeline)).collect()
}

/// What is known of an input's results.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Result {
    None,
    Perhaps,
    Out,
}

fn missing(analysis: &Analysis<'_>, pipeline: &Pipeline) -> Vec<Found> {
    let history = analysis.history;
    let Some(topic) = history.find_topic(&pipeline.from) else { return Vec::new() };
    let committed = committed(analysis, &pipeline.group);
    let results = results(analysis, pipeline);
    let undrained = !drained(analysis, &pipeline.to);
    let mut found = Vec::new();
    for (send, row) in history.sends().iter().zip(0u32..) {
        if send.topic != topic || !eos_duplicate::is_out(analysis, row) || given_up(analysis, row) {
            continue;
        }
        let Some((unit, index)) = analysis.first_place[row as usize] else { continue };
        let position = analysis.units[unit.index()].places[index as usize].position;
        let Some((_, commit)) = committed.get(&unit).filter(|(next, _)| *next > position) else { continue };
        let case = match results[row as usize] {
            Result::Out => continue,
            Result::Perhaps if undrained => Case::Undrained,
            Result::Perhaps | Result::None => Case::Plain,
        };
        let ops = proof([Some(send.invoke.0), send.completion(), Some(*commit)]);
        let (unit, position) = (Some(unit), Some(position));
        found.push(Found { unit, position, ops, send: Some(row), other: Some(*commit), case });
    }
    found
}

/// The group's last commit that happened, per unit: the position, and the event of its ack.
fn committed(analysis: &Analysis<'_>, group: &str) -> BTreeMap<UnitId, (u64, u32)> {
    let history = analysis.history;
    let mut commits: Vec<(u32, &[(UnitId, u64)])> = (history.commits().iter())
        .filter(|commit| history.group_name(commit.group) == group && commit.status == Status::Ok)
        .filter_map(|commit| {
            let txn = commit.txn().map(|txn| history.txn_row(txn) as usize);
            match txn.map(|row| (analysis.txn_fates[row], history.txns()[row].completion())) {
                None => Some((commit.completion()?, commit.positions.as_slice())),
                Some((Fate::Happened, end)) => {
                    Some((end.or_else(|| commit.completion())?, commit.positions.as_slice()))
                }
                Some(_) => None,
            }
        })
        .collect();
    commits.sort_unstable_by_key(|(event, _)| *event);
    let mut last = BTreeMap::new();
    for (event, positions) in commits {
        last.extend(positions.iter().map(|(unit, position)| (*unit, (*position, event))));
    }
    last
}

fn results(analysis: &Analysis<'_>, pipeline: &Pipeline) -> Vec<Result> {
    let mut results = vec![Result::None; analysis.history.sends().len()];
    for (row, send) in eos_duplicate::outputs(analysis, pipeline) {
        let Some(input) = send.cause().and_then(|cause| analysis.writer(cause)) else { continue };
        let known = &mut results[input as usize];
        if eos_duplicate::is_out(analysis, row) {
            *known = Result::Out;
        } else if analysis.fates[row as usize] == Fate::Unknown && *known == Result::None {
            *known = Result::Perhaps;
        }
    }
    results
}

/// Whether the final drain covered every unit of a topic that anybody knows.
pub(super) fn drained(analysis: &Analysis<'_>, topic: &str) -> bool {
    let history = analysis.history;
    let topic = history.find_topic(topic);
    let mut units = analysis.logs().filter(|(unit, _)| Some(history.unit_topic(*unit)) == topic).peekable();
    units.peek().is_some() && units.all(|(_, log)| log.complete_drain().is_some())
}

fn given_up(analysis: &Analysis<'_>, row: u32) -> bool {
    analysis.is_poison(row) || analysis.dlq_entries.iter().any(|entry| entry.cause == Some(row))
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(row), Some(commit)) = (found.send, found.other) else { return Default::default() };
    let result = match found.case {
        Case::Undrained => "whether a result of it is in the output is not known",
        _ => "no result of it is in the committed output",
    };
    [
        format!("{}.", analysis.sent(analysis.send(row))),
        format!("Its group committed past it {}, but {result}.", analysis.when(commit)),
    ]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::{
        checks::{
            Case,
            testing::{Tale, tale},
        },
        guarantees::Pipeline,
    };

    fn pipeline() -> Tale {
        let mut tale = tale();
        let (group, from, to) = ("group".into(), "orders".into(), "bills".into());
        tale.configure(|meta| meta.configuration.pipelines = vec![Pipeline { group, from, to }]);
        tale.sent(1, 0).sent(2, 1);
        tale
    }

    #[test]
    fn an_input_is_committed_without_a_result() {
        let mut tale = pipeline();
        tale.begin().committed(2).unit("bills", 0).because_of(1).sent(11, 0).commit_txn();
        tale.finds(CHECK, &[(2, 1, Case::Plain)]);
    }

    #[test]
    fn a_commit_in_a_transaction_that_was_aborted_is_none() {
        let mut tale = pipeline();
        tale.begin().committed(2).unit("bills", 0).because_of(1).sent(11, 0).abort_txn();
        tale.finds(CHECK, &[]);
    }

    #[test]
    fn a_result_of_unknown_outcome_is_looked_for_in_the_drained_output() {
        let mut tale = pipeline();
        tale.committed(1).unit("bills", 0).because_of(1).unknown(11, None);
        tale.finds(CHECK, &[(1, 0, Case::Undrained)]);
        tale.drained(0);
        tale.finds(CHECK, &[(1, 0, Case::Plain)]);
    }

    #[test]
    fn poison_owes_no_result() {
        let mut tale = pipeline();
        tale.poison(3, 2).committed(3).unit("bills", 0);
        tale.because_of(1).sent(11, 0).because_of(2).sent(12, 1);
        tale.finds(CHECK, &[]);
    }
}
