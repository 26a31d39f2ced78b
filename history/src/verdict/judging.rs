//! From a history to its report.

use super::{Counts, Report, Verdict};
use crate::{
    Anomaly, Example, History, Kind, Ruling,
    analysis::Analysis,
    anomaly::EXAMPLES,
    checks::{CHECKS, Case, Check, Found, worst_outage},
    guarantees::Rules,
    history::{Observation, Status},
};
use squall_bus::Acks;

/// Judges a history by the guarantees in its head.
#[must_use]
pub fn judge(history: &History) -> Report {
    judge_without(history, &[])
}

/// Judges a history by the guarantees in its head, as if nobody had looked for anomalies of these kinds.
#[must_use]
pub fn judge_without(history: &History, ignored: &[Kind]) -> Report {
    let analysis = Analysis::new(history);
    if let Some((one, two)) = analysis.clash {
        let (one, two) = (analysis.send(one), analysis.send(two));
        let reason = format!(
            "value {} was sent twice (events {} and {}): without a unique value a record cannot be told from another",
            one.value, one.invoke.0, two.invoke.0
        );
        return Report::unjudged(Verdict::Unknown, reason);
    }
    let rules = Rules {
        configuration: &history.meta.configuration,
        expect: &history.meta.expect,
        facts: &analysis.facts,
    };
    let mut anomalies: Vec<Anomaly> = CHECKS.iter().flat_map(|check| run(check, &analysis, &rules)).collect();
    let counts = count(&analysis, &anomalies);
    anomalies.retain(|anomaly| !ignored.contains(&anomaly.kind));
    anomalies.extend(vacuous(&counts, &analysis));
    forbidden_first(&mut anomalies);
    let unfinished = history.notes().iter().find_map(|(_, note)| match note {
        Observation::Drain(drain) if !drain.complete => Some(drain.unit),
        _ => None,
    });
    let (verdict, reason) = conclude(&anomalies, unfinished.map(|unit| analysis.drain_words(unit)));
    Report { verdict, reason, anomalies, counts }
}

/// One check's findings as anomalies: one for each ruling, in the order in which they were found.
fn run(check: &Check, analysis: &Analysis<'_>, rules: &Rules<'_>) -> Vec<Anomaly> {
    let mut anomalies: Vec<Anomaly> = Vec::new();
    // A ruling depends on the case alone, and there are few cases.
    let mut ruled: Vec<(Case, usize)> = Vec::new();
    for found in (check.find)(analysis) {
        let known = ruled.iter().find(|(case, _)| *case == found.case).map(|(_, index)| *index);
        let index = known.unwrap_or_else(|| {
            let ruling = (check.rule)(rules, &found);
            let index = anomalies.iter().position(|anomaly| anomaly.ruling == ruling).unwrap_or_else(|| {
                anomalies.push(Anomaly { kind: check.kind, count: 0, ruling, examples: Vec::new() });
                anomalies.len() - 1
            });
            ruled.push((found.case, index));
            index
        });
        let anomaly = &mut anomalies[index];
        anomaly.count += 1;
        if anomaly.examples.len() < EXAMPLES {
            anomaly.examples.push(example(check, analysis, found));
        }
    }
    anomalies
}

fn example(check: &Check, analysis: &Analysis<'_>, found: Found) -> Example {
    let story = (check.tell)(analysis, &found);
    let place = found.unit.zip(found.position);
    Example {
        unit: found.unit.map(|unit| analysis.history.unit_name(unit).to_string()),
        position: found.position,
        story,
        neighbourhood: place.map(|(unit, at)| analysis.neighbourhood(unit, at)).unwrap_or_default(),
        ops: found.ops,
    }
}

/// Nothing sent, nothing acknowledged (where acks are asked for), nothing delivered, or nothing delivered to one
/// of the groups.
fn vacuous(counts: &Counts, analysis: &Analysis<'_>) -> Option<Anomaly> {
    let configuration = &analysis.history.meta.configuration;
    let idle = || configuration.groups.iter().find(|name| !was_handed_a_record(analysis, name));
    let idle_reader = || !analysis.consumers.is_empty() && counts.delivered == 0;
    let (clause, story) = if counts.sent == 0 {
        ("nothing was sent".to_owned(), "The history has no send.".to_owned())
    } else if configuration.acks != Acks::None && counts.acked == 0 {
        let story = format!("{} records were sent, and none was acknowledged.", counts.sent);
        ("nothing was acknowledged".to_owned(), story)
    } else if idle_reader() || (counts.delivered == 0 && counts.drained == 0) {
        let story = format!("{} records were acknowledged, and none was delivered.", counts.acked);
        ("nothing was delivered".to_owned(), story)
    } else if let Some(group) = idle() {
        let story = format!("{} records were acknowledged, and {group} was handed none.", counts.acked);
        (format!("nothing was delivered to the group {group}"), story)
    } else {
        return None;
    };
    let story = [story, "There is nothing to judge.".to_owned()];
    let example = Example { unit: None, position: None, ops: Vec::new(), story, neighbourhood: Vec::new() };
    let ruling = Ruling::UndecidedBecause(clause);
    Some(Anomaly { kind: Kind::Vacuous, count: 1, ruling, examples: vec![example] })
}

fn was_handed_a_record(analysis: &Analysis<'_>, group: &str) -> bool {
    let name = |id| analysis.history.group_name(id);
    analysis.history.delivers().iter().any(|read| read.group().is_some_and(|id| name(id) == group))
}

/// Forbidden first, then undecided, then allowed; within these in the order of the checks.
pub(crate) fn forbidden_first(anomalies: &mut [Anomaly]) {
    anomalies.sort_by_key(|anomaly| match anomaly.ruling {
        Ruling::ForbiddenBy(_) => 0,
        Ruling::UndecidedBecause(_) => 1,
        Ruling::AllowedBy(_) => 2,
    });
}

/// The verdict on what was found, and why. `missing`: the evidence that a valid run would have, if it is missing.
pub(crate) fn conclude(anomalies: &[Anomaly], missing: Option<String>) -> (Verdict, String) {
    let name = |anomaly: &Anomaly| format!("{} of {}", anomaly.count, anomaly.kind);
    let list = |pick: fn(&Ruling) -> bool| {
        let names: Vec<String> = anomalies.iter().filter(|anomaly| pick(&anomaly.ruling)).map(name).collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    if let Some(names) = list(Ruling::forbids) {
        return (Verdict::Invalid, format!("forbidden anomalies were found: {names}"));
    }
    if let Some(vacuous) = anomalies.iter().find(|anomaly| anomaly.kind == Kind::Vacuous) {
        return (Verdict::Unknown, format!("there is nothing to judge: {}", vacuous.clause()));
    }
    if let Some(names) = list(Ruling::undecided) {
        return (Verdict::Unknown, format!("evidence is missing about {names}"));
    }
    if let Some(missing) = missing {
        return (Verdict::Unknown, missing);
    }
    match list(|_| true) {
        Some(names) => (Verdict::Valid, format!("nothing forbidden was found; allowed: {names}")),
        None => (Verdict::Valid, "no anomaly was found".to_owned()),
    }
}

fn count(analysis: &Analysis<'_>, anomalies: &[Anomaly]) -> Counts {
    let history = analysis.history;
    let work = || history.sends().iter().filter(|send| analysis.is_work(send));
    let status = |status: Status| work().filter(|send| send.status == status).count() as u64;
    let touches = || analysis.consumers.iter().flat_map(|consumer| &consumer.touches);
    let drained = history.delivers().iter().filter(|read| read.drained()).count() as u64;
    let of_kind = |kind: Kind| anomalies.iter().filter(|one| one.kind == kind).map(|one| one.count).sum();
    let worst = worst_outage(analysis);
    let rows = || (0u32..).zip(history.sends());
    let mut dead: Vec<u32> = analysis.dlq_entries.iter().filter_map(|entry| entry.cause).collect();
    dead.sort_unstable();
    dead.dedup();
    Counts {
        sent: work().count() as u64,
        acked: status(Status::Ok),
        failed: status(Status::Fail),
        unknown: status(Status::Unknown),
        delivered: history.delivers().len() as u64 - drained,
        redelivered: touches().map(|touch| u64::from(touch.delivered.saturating_sub(1))).sum(),
        handled: touches().map(|touch| u64::from(touch.handled)).sum(),
        duplicates: of_kind(Kind::Duplicate),
        poison: rows().filter(|(row, send)| analysis.is_work(send) && analysis.is_poison(*row)).count()
            as u64,
        dead_lettered: dead.len() as u64,
        drained,
        faults: analysis.facts.faults,
        unavailable: worst.map(|outage| outage.lasts),
        worst_unit: worst.map(|outage| history.unit_name(outage.unit).to_string()),
    }
}

#[cfg(test)]
mod tests;
