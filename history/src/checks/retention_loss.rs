//! `retention_loss`: a record was gone before its retention was over, or stayed long after.
//!
//! **Definition.** In a topic that deletes by age: *gone*, somebody was told a start of the log behind the record, or
//! the final drain began behind it, when it was, counted from the invocation of its send (or from the timestamp that
//! it carries), younger than its retention less the bound of the clocks. *Kept*: a reader was handed the record when
//! it was, counted from its ack, older than retention, the topic's slack and that bound together.
//!
//! **Algorithm.** Per unit, the starts of the log in the order of their times, and one walk over the places.
//! **Cost.** Linear, and per record a search among the starts.
//!
//! **Forbidden** when gone ([`Rules::retention`]); *kept* is information. Undecided while nobody knows how far clocks
//! may be off.
//!
//! **Source.** Squall's own, from the meaning of `retention.ms` and `max_age`.

use super::{Case, Check, Found, proof};
use crate::{
    Kind,
    analysis::{Analysis, Place, UnitLog},
    guarantees::{Rules, TopicFacts},
    history::UnitId,
};
use squall_bus::Time;
use std::time::Duration;

pub(super) const CHECK: Check = Check {
    kind: Kind::RetentionLoss,
    about: "a record was gone before its retention was over, or stayed long after",
    forbidden: "when gone too early by more than clocks may be off; one that stayed is information",
    source: "Squall",
    find,
    tell,
    rule: |rules, found| Rules::retention(rules, found.case == Case::Kept),
};

/// The start of a log as somebody was told at an event.
#[derive(Clone, Copy)]
struct Start {
    event: u32,
    position: u64,
}

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    let history = analysis.history;
    let configuration = &history.meta.configuration;
    let mut found = Vec::new();
    for (unit, log) in analysis.logs() {
        let facts = configuration.topic(history.topic_name(history.unit_topic(unit)));
        let Some(retention) = facts.retention.filter(|_| facts.deletes()) else { continue };
        let starts = starts(analysis, unit, log);
        for place in &log.places {
            found.extend(gone(analysis, unit, place, &starts, retention));
        }
        if let Some(slack) = facts.retention_slack {
            found
                .extend(log.places.iter().filter_map(|place| kept(analysis, unit, place, retention + slack)));
        }
    }
    found
}

/// The starts of a unit's log, each further than those before it, in the order in which they were told.
fn starts(analysis: &Analysis<'_>, unit: UnitId, log: &UnitLog) -> Vec<Start> {
    let asked = analysis.history.ends().iter().filter(|end| end.unit == unit).filter_map(|end| {
        let position = end.ends?.start?;
        Some(Start { event: end.completion()?, position })
    });
    let drained = log.drain.filter(|(_, drain)| drain.complete);
    let mut list: Vec<Start> =
        asked.chain(drained.map(|(event, drain)| Start { event, position: drain.from })).collect();
    list.sort_by_key(|start| start.event);
    let mut furthest: Option<u64> = None;
    list.retain(|start| {
        let further = furthest.is_none_or(|known| start.position > known);
        furthest = furthest.max(Some(start.position));
        further
    });
    list
}

fn bound(analysis: &Analysis<'_>) -> Duration {
    analysis.facts.clock_bound.unwrap_or_default()
}

fn gone(
    analysis: &Analysis<'_>,
    unit: UnitId,
    place: &Place,
    starts: &[Start],
    retention: Duration,
) -> Option<Found> {
    let row = place.send().filter(|row| analysis.happened(*row))?;
    let row = Some(row).filter(|row| analysis.deletions.took(*row).is_none())?;
    let start = starts[starts.partition_point(|start| start.position <= place.position)..].first()?;
    let age = analysis.history.time(start.event).since(born(analysis, row));
    (age + bound(analysis) < retention).then(|| finding(analysis, unit, place, row, start.event, Case::Plain))
}

/// When a record's age begins, at the earliest.
fn born(analysis: &Analysis<'_>, row: u32) -> Time {
    let invoked = analysis.history.time(analysis.send(row).invoke.0);
    analysis.history.send_extra(row).timestamp.map_or(invoked, |time| time.min(invoked))
}

fn kept(analysis: &Analysis<'_>, unit: UnitId, place: &Place, limit: Duration) -> Option<Found> {
    let history = analysis.history;
    let row = place.send().filter(|row| analysis.happened(*row))?;
    let (read, ack) = (place.drained()?, place.ack()?);
    let stamped = history.send_extra(row).timestamp.unwrap_or_default();
    let age = history.time(read).since(history.time(ack).max(stamped));
    (age > limit + bound(analysis)).then(|| finding(analysis, unit, place, row, read, Case::Kept))
}

fn finding(analysis: &Analysis<'_>, unit: UnitId, place: &Place, row: u32, event: u32, case: Case) -> Found {
    Found {
        unit: Some(unit),
        position: Some(place.position),
        ops: proof([Some(analysis.send(row).invoke.0), place.ack(), Some(event)]),
        send: Some(row),
        other: Some(event),
        case,
    }
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let (Some(row), Some(unit), Some(event)) = (found.send, found.unit, found.other) else {
        return Default::default();
    };
    let history = analysis.history;
    let facts: TopicFacts = history.meta.configuration.topic(history.topic_name(history.unit_topic(unit)));
    let retention = crate::analysis::span(facts.retention.unwrap_or_default());
    let (unit, when) = (analysis.unit(unit), analysis.when(event));
    let second = match found.case {
        Case::Kept => format!("{unit} keeps records for {retention}, and it was still there {when}."),
        _ => format!(
            "{unit} keeps records for {retention}, and its log began behind the record {when} already."
        ),
    };
    [format!("{}.", analysis.sent(analysis.send(row))), second]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::{
        checks::{
            Case,
            testing::{Tale, tale},
        },
        guarantees::{Cleanup, TopicFacts},
    };
    use std::time::Duration;

    /// Records live 100 ms, and may stay 50 ms longer.
    fn aging() -> Tale {
        let mut tale = tale();
        tale.configure(|meta| {
            let (retention, retention_slack) =
                (Some(Duration::from_millis(100)), Some(Duration::from_millis(50)));
            let facts = TopicFacts { cleanup: Cleanup::Delete, retention, retention_slack, ttl: None };
            meta.configuration.topics.insert("orders".into(), facts);
        });
        tale
    }

    #[test]
    fn a_record_is_gone_after_half_its_time() {
        let mut tale = aging();
        tale.at(1).sent(1, 0).sent(2, 1).at(50).ends(2, None, Some(1)).drain(2, 1);
        tale.finds(CHECK, &[(1, 0, Case::Plain)]);
    }

    #[test]
    fn a_record_is_gone_when_its_time_is_over() {
        let mut tale = aging();
        tale.at(1).sent(1, 0).sent(2, 1).at(150).ends(2, None, Some(1)).finds(CHECK, &[]);
        tale.clock_bound(70).finds(CHECK, &[]);
    }

    #[test]
    fn a_record_stays_too_long() {
        let mut tale = aging();
        tale.at(1).sent(1, 0).at(140).drain(1, 0).drained(1).finds(CHECK, &[]);
        tale.sent(2, 1).at(400).drain(2, 1).finds(CHECK, &[(2, 1, Case::Kept)]);
    }
}
