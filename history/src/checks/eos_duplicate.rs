//! `eos_duplicate`: the committed output of a pipeline has the result of one input twice.
//!
//! **Definition.** A pipeline's group reads one topic, computes, and writes to another; each output names its input as its
//! cause. The committed output is what was sent to the topic and happened, as far as anybody can prove. An input
//! whose results stand there more than once, in several records or in one that stands at several places, is doubled.
//!
//! **Algorithm.** Committed outputs sorted by their cause. **Cost.** Linear, and a sort of the outputs.
//!
//! **Forbidden** unless more power was lost than the copies bear: a pipeline is promised to be exactly once.
//!
//! **Evidence limit.** Of outputs of unknown outcome only those count that somebody read.
//!
//! **Source.** Apache Kafka's system test of transactions; the consume-transform-produce workload of Redpanda's chaos.

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::{Analysis, Fate},
    guarantees::{Pipeline, Rules},
    history::SendRow,
};

pub(super) const CHECK: Check = Check {
    kind: Kind::EosDuplicate,
    about: "the committed output of a pipeline has the result of one input twice",
    forbidden: "always for the groups in `pipelines`",
    source: "kafkatest: transactions; chaos: tx_subscribe",
    find,
    tell,
    rule: |rules, _| Rules::exactly_once(rules),
};

/// The sends to a pipeline's output, by their rows.
pub(super) fn outputs<'a>(
    analysis: &'a Analysis<'_>,
    pipeline: &Pipeline,
) -> impl Iterator<Item = (u32, &'a SendRow)> {
    let topic = analysis.history.find_topic(&pipeline.to);
    (0u32..).zip(analysis.history.sends()).filter(move |(_, send)| Some(send.topic) == topic)
}

/// Whether a send is in the committed output.
pub(super) fn is_out(analysis: &Analysis<'_>, row: u32) -> bool {
    match analysis.fates[row as usize] {
        Fate::Happened => true,
        Fate::Unknown => analysis.seen[row as usize],
        Fate::Failed => false,
    }
}

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let pipelines = &analysis.history.meta.configuration.pipelines;
    pipelines.iter().flat_map(|pipeline| doubled(analysis, pipeline)).collect()
}

fn doubled(analysis: &Analysis<'_>, pipeline: &Pipeline) -> Vec<Found> {
    let mut results: Vec<(u64, u32)> = outputs(analysis, pipeline)
        .filter(|(row, _)| is_out(analysis, *row))
        .filter_map(|(row, send)| Some((send.cause()?, row)))
        .collect();
    results.sort_unstable();
    let again = standing_again(analysis, pipeline);
    let mut found = Vec::new();
    for results in results.chunk_by(|one, other| one.0 == other.0) {
        let (first, rows) = (results[0].1, results[1..].iter().map(|(_, row)| *row));
        found.extend(rows.map(|row| pair(analysis, first, row, placed(analysis, row))));
        for (_, row) in results {
            let places = again.iter().filter(|(send, ..)| send == row);
            found.extend(places.map(|(_, place, event)| {
                let mut one = pair(analysis, *row, *row, Some(*place));
                one.ops = proof(one.ops.into_iter().map(Some).chain([Some(*event)]));
                one
            }));
        }
    }
    found
}

type Spot = (crate::history::UnitId, u64);

fn placed(analysis: &Analysis<'_>, row: u32) -> Option<Spot> {
    let (unit, index) = analysis.first_place[row as usize]?;
    Some((unit, analysis.units[unit.index()].places[index as usize].position))
}

/// The further places of records in the output that were read: send, place, event of the read.
fn standing_again(analysis: &Analysis<'_>, pipeline: &Pipeline) -> Vec<(u32, Spot, u32)> {
    let history = analysis.history;
    let topic = history.find_topic(&pipeline.to);
    let units = analysis.logs().filter(|(unit, _)| Some(history.unit_topic(*unit)) == topic);
    let places = units.flat_map(|(unit, log)| log.places.iter().zip(0u32..).map(move |place| (unit, place)));
    places
        .filter_map(|(unit, (place, index))| {
            let (row, read) = (place.send()?, place.read()?);
            let first = analysis.first_place[row as usize] == Some((unit, index));
            (!first).then_some((row, (unit, place.position), read))
        })
        .collect()
}

fn pair(analysis: &Analysis<'_>, first: u32, row: u32, place: Option<Spot>) -> Found {
    let (one, two) = (analysis.send(first), analysis.send(row));
    let input = two.cause().and_then(|cause| analysis.writer(cause)).map(|row| analysis.send(row).invoke.0);
    Found {
        unit: place.map(|(unit, _)| unit),
        position: place.map(|(_, position)| position),
        ops: proof([input, Some(one.invoke.0), one.completion(), Some(two.invoke.0), two.completion()]),
        send: Some(row),
        other: Some(first),
        case: Case::Plain,
    }
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(row), Some(first)) = (found.send, found.other) else { return Default::default() };
    let (one, two) = (analysis.send(first), analysis.send(row));
    let cause = two.cause().unwrap_or_default();
    let second = match row == first {
        false => format!("And again: {}.", analysis.sent(two)),
        true => {
            let unit = found.unit.map(|unit| analysis.unit(unit)).unwrap_or_default();
            format!("It stands again in {unit} at position {}.", found.position.unwrap_or_default())
        }
    };
    [format!("{}, the result of record {cause}.", analysis.sent(one)), second]
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
        tale
    }

    #[test]
    fn two_committed_transactions_have_the_result_of_one_input() {
        let mut tale = pipeline();
        tale.sent(1, 0).unit("bills", 0).begin().because_of(1).sent(11, 0).commit_txn();
        tale.begin().because_of(1).sent(12, 2).commit_txn();
        tale.finds(CHECK, &[(12, 2, Case::Plain)]);
    }

    #[test]
    fn one_result_that_stands_twice_is_doubled_too() {
        let mut tale = pipeline();
        tale.sent(1, 0).unit("bills", 0).begin().because_of(1).sent(11, 0).commit_txn();
        tale.drain(11, 0).drain(11, 1).drained(2);
        tale.finds(CHECK, &[(11, 1, Case::Plain)]);
    }

    #[test]
    fn a_result_that_was_aborted_and_made_again_stands_once() {
        let mut tale = pipeline();
        tale.sent(1, 0).unit("bills", 0).begin().because_of(1).sent(11, 0).abort_txn();
        tale.begin().because_of(1).sent(12, 2).commit_txn();
        tale.finds(CHECK, &[]);
    }
}
