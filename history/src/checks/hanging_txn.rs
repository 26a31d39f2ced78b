//! `hanging_txn`: an open end of a log that no transaction holds open.
//!
//! **Definition.** The last stable offset of a unit lies below its high watermark as long as a transaction in between is open;
//! readers of committed records wait there. After `txn_timeout` the bus aborts what does not end. So it hangs when,
//! at a sample, the stable end lies below the high watermark, no node was broken in the `txn_timeout` before, and either an
//! earlier sample, that long ago or longer, showed the same stable end below its high watermark, or no transaction began
//! or ended in that time.
//!
//! **Algorithm.** One walk over the samples of each unit. **Cost.** Linear in samples, with a search in the sorted moments
//! of transactions for each.
//!
//! **Forbidden** where `txn_timeout` is given, unless whole logs may have lost their ends: what the bus knew of a
//! transaction may be gone then, and what it wrote not. Without `txn_timeout` nothing is found.
//!
//! **Evidence limit.** It needs samples of the ends of the unit that name both. One finding a unit: the first.
//!
//! **Source.** KIP-890.

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::Analysis,
    events::Hit,
    guarantees::Rules,
    history::{EndRow, Observation, UnitId},
};
use squall_bus::Time;
use std::{collections::BTreeMap, time::Duration};

pub(super) const CHECK: Check = Check {
    kind: Kind::HangingTxn,
    about: "an open end of a log that no transaction holds open: readers of committed records wait there for ever",
    forbidden: "where `txn_timeout` is given, unless whole logs may have lost their ends",
    source: "KIP-890",
    find,
    tell,
    rule: |rules, _| Rules::transactions_end(rules),
};

/// A sample of an open end.
#[derive(Clone, Copy)]
struct Open {
    stable: u64,
    /// Since when the same stable end was open, by the first sample that showed it: its ack.
    since: u32,
}

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let history = analysis.history;
    let Some(timeout) = history.meta.configuration.txn_timeout else { return Vec::new() };
    let (broken, moments) = (broken(analysis), moments(analysis));
    let mut open: BTreeMap<UnitId, Open> = BTreeMap::new();
    let mut hanging: BTreeMap<UnitId, Found> = BTreeMap::new();
    for sample in history.ends() {
        let (Some(ends), Some(answer)) = (sample.ends, sample.completion()) else { continue };
        let Some(stable) = ends.stable else { continue };
        if stable >= ends.high {
            open.remove(&sample.unit);
            continue;
        }
        let same = open.get(&sample.unit).copied().filter(|open| open.stable == stable);
        let known = same.unwrap_or(Open { stable, since: answer });
        open.insert(sample.unit, known);
        let now = history.time(sample.invoke.0);
        let Some(start) = before(now, timeout) else { continue };
        let calm = !broken.iter().any(|(from, to)| *from <= now && to.is_none_or(|to| to >= start));
        let quiet = !touched(&moments, start, now);
        if calm && (history.time(known.since) <= start || quiet) {
            hanging.entry(sample.unit).or_insert_with(|| one(sample, known, answer));
        }
    }
    hanging.into_values().collect()
}

fn one(sample: &EndRow, known: Open, answer: u32) -> Found {
    Found {
        unit: Some(sample.unit),
        position: Some(known.stable),
        ops: proof([Some(known.since), Some(sample.invoke.0), Some(answer)]),
        send: None,
        other: Some(sample.invoke.0),
        case: Case::Plain,
    }
}

fn before(now: Time, timeout: Duration) -> Option<Time> {
    let timeout = u64::try_from(timeout.as_nanos()).ok()?;
    now.0.checked_sub(timeout).map(Time)
}

/// When nodes were broken: from a fault to its healing, if it was healed.
fn broken(analysis: &Analysis<'_>) -> Vec<(Time, Option<Time>)> {
    let history = analysis.history;
    let mut list: Vec<(u32, Time, Option<Time>)> = Vec::new();
    for (event, note) in history.notes() {
        match note {
            Observation::Fault(fault) if matches!(&fault.hit, Hit::Nodes(nodes) if !nodes.is_empty()) => {
                list.push((fault.id, history.time(*event), None));
            }
            Observation::Heal { id } => {
                for (_, _, healed) in list.iter_mut().filter(|(fault, _, to)| fault == id && to.is_none()) {
                    *healed = Some(history.time(*event));
                }
            }
            _ => {}
        }
    }
    list.into_iter().map(|(_, from, to)| (from, to)).collect()
}

/// When transactions began and ended, in order.
fn moments(analysis: &Analysis<'_>) -> Vec<Time> {
    let history = analysis.history;
    let events = history.txns().iter().flat_map(|txn| [Some(txn.invoke.0), txn.completion()]);
    let mut moments: Vec<Time> = events.flatten().map(|event| history.time(event)).collect();
    moments.sort_unstable();
    moments
}

fn touched(moments: &[Time], from: Time, to: Time) -> bool {
    let next = moments.partition_point(|moment| *moment < from);
    moments.get(next).is_some_and(|moment| *moment <= to)
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(unit), Some(stable), Some(sample)) = (found.unit, found.position, found.other) else {
        return Default::default();
    };
    let row = analysis.history.ends().iter().find(|row| row.invoke.0 == sample);
    let high = row.and_then(|row| row.ends).map_or(stable, |ends| ends.high);
    let name = analysis.unit(unit);
    [
        format!(
            "{name} ended at {high} {}, but readers of committed records came to {stable} only.",
            analysis.when(sample)
        ),
        "Nothing was broken, and any transaction that held it open was over its timeout.".to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::checks::testing::{Tale, tale};
    use std::time::Duration;

    fn bus() -> Tale {
        let mut tale = tale();
        tale.configure(|meta| meta.configuration.txn_timeout = Some(Duration::from_millis(100)));
        tale
    }

    #[test]
    fn the_stable_end_stands_still_for_longer_than_a_transaction_may_last() {
        let mut tale = bus();
        tale.begin().sent(1, 0).commit_txn().ends(2, Some(0), None);
        tale.at(90).begin().sent(2, 2).commit_txn().at(120).ends(4, Some(0), None);
        tale.finds_at(CHECK, &[0]);
    }

    #[test]
    fn an_open_end_long_after_the_last_transaction() {
        let mut tale = bus();
        tale.begin().sent(1, 0).commit_txn().at(200).ends(2, Some(0), None);
        tale.finds_at(CHECK, &[0]);
    }

    #[test]
    fn a_transaction_in_time_may_hold_it() {
        let mut tale = bus();
        tale.begin().sent(1, 0).at(90).ends(1, Some(0), None).commit_txn();
        tale.at(150).begin().sent(2, 2).at(200).ends(3, Some(2), None);
        tale.finds_at(CHECK, &[]);
    }

    #[test]
    fn a_broken_node_excuses_it() {
        let mut tale = bus();
        tale.begin().sent(1, 0).fault("kill", &[1]).at(150).heal().at(200).ends(2, Some(0), None);
        tale.finds_at(CHECK, &[]);
    }
    #[test]
    fn power_that_took_what_was_known_of_a_transaction_excuses_it() {
        let forbidden = |powerless: &[u32]| {
            let mut tale = bus();
            tale.begin().sent(1, 0).commit_txn().fault("power-fail", powerless).heal();
            tale.at(200).ends(2, Some(0), None);
            let report = tale.judged();
            let found = report.anomalies.iter().find(|anomaly| anomaly.kind == CHECK.kind);
            found.map(crate::Anomaly::forbidden)
        };
        assert_eq!(forbidden(&[1]), Some(true));
        assert_eq!(forbidden(&[1, 2, 3]), Some(false));
    }
}
