//! What each fault did: how long units were unavailable and how many records were duplicated after it struck.
//!
//! The time of a run is divided among its faults: a fault's share begins when it strikes and ends when the next
//! one does, or with the run. An outage belongs to the share in which the send was intended that it held up; a
//! duplicate to the share in which its record was sent. Faults that hit nobody have no share. Linear in the sends.

use crate::{
    History,
    analysis::Analysis,
    checks::{duplicated_sends, gaps},
    events::Hit,
    history::{Observation, Phase, UnitId},
};
use squall_bus::Time;
use std::time::Duration;

/// What happened in the share of a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impact {
    /// The fault's number in the plan.
    pub fault: u32,
    /// When it struck.
    pub from: Time,
    /// When the next one struck, or the workload was over.
    pub to: Time,
    /// The longest outage of a unit; `None` when no send had a schedule or no ack was asked for.
    pub unavailable: Option<Duration>,
    /// The unit.
    pub worst_unit: Option<String>,
    /// Records that stand at more than one place of the log.
    pub duplicates: u64,
}

/// The impact of each fault, in the order in which they struck.
#[must_use]
pub fn impacts(analysis: &Analysis<'_>) -> Vec<Impact> {
    let history = analysis.history;
    let mut shares = shares(history);
    if shares.is_empty() {
        return shares;
    }
    let mut worst: Vec<Option<(Duration, UnitId)>> = vec![None; shares.len()];
    gaps(analysis, |unit, intended, lasts| {
        if let Some(index) = share_of(&shares, intended)
            && worst[index].is_none_or(|(longest, _)| longest < lasts)
        {
            worst[index] = Some((lasts, unit));
        }
    });
    for row in duplicated_sends(analysis) {
        let send = analysis.send(row);
        if let Some(index) = share_of(&shares, history.time(send.invoke.0)) {
            shares[index].duplicates += 1;
        }
    }
    for (share, worst) in shares.iter_mut().zip(worst) {
        share.unavailable = worst.map(|(lasts, _)| lasts);
        share.worst_unit = worst.map(|(_, unit)| history.unit_name(unit).to_string());
    }
    shares
}

fn shares(history: &History) -> Vec<Impact> {
    let mut list: Vec<Impact> = Vec::new();
    let mut over = history.end();
    for (event, note) in history.notes() {
        let time = history.time(*event);
        match note {
            Observation::Fault(struck) if struck.hit != Hit::Nobody => {
                if let Some(last) = list.last_mut() {
                    last.to = time;
                }
                let (unavailable, worst_unit) = (None, None);
                let fault = struck.id;
                list.push(Impact { fault, from: time, to: time, unavailable, worst_unit, duplicates: 0 });
            }
            Observation::Phase(Phase::WorkloadOver) => over = time,
            _ => {}
        }
    }
    if let Some(last) = list.last_mut() {
        last.to = over.max(last.from);
    }
    list
}

/// The last share that has begun by then.
fn share_of(shares: &[Impact], time: Time) -> Option<usize> {
    shares.partition_point(|share| share.from <= time).checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::tale;

    #[test]
    fn an_outage_and_a_duplicate_belong_to_the_fault_before_them() {
        // The first fault holds record 2 up for 80 ms; after the second one record 3 stands twice in the log.
        let mut tale = tale();
        tale.at(1).intend(1).ok(1, 0);
        tale.at(10).fault("kill", &[1]).at(20).intend(2).at(100).ok(2, 1);
        tale.at(200).fault("drop-responses", &[2]).at(210).intend(3).at(215).ok(3, 3);
        tale.drain(1, 0).drain(2, 1).drain(3, 2).drain(3, 3).drained(4);
        let told: Vec<_> = impacts(&Analysis::new(tale.history()))
            .into_iter()
            .map(|impact| {
                let unavailable = impact.unavailable.map(|lasts| lasts.as_millis());
                (impact.from, unavailable, impact.worst_unit, impact.duplicates)
            })
            .collect();
        let unit = || Some("orders/0".to_owned());
        assert_eq!(
            told,
            [(Time::from_millis(10), Some(80), unit(), 0), (Time::from_millis(200), Some(5), unit(), 1)]
        );
    }

    #[test]
    fn without_a_fault_there_is_no_impact() {
        let mut tale = tale();
        tale.sent(1, 0).read(1, 0);
        assert_eq!(impacts(&Analysis::new(tale.history())), []);
    }
}
