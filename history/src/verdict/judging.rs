//! From a history to its report.

use super::{Counts, Report, Verdict, vacuous::vacuous};
use crate::{
    Anomaly, Example, History, Kind, Ruling,
    analysis::Analysis,
    anomaly::EXAMPLES,
    checks::{CHECKS, Case, Check, Found, worst_outage},
    guarantees::Rules,
    history::{Observation, Status},
};

/// Judges a history by the guarantees in its head.
#[must_use]
pub fn judge(history: &History) -> Report {
    judge_without(history, &[])
}

/// Judges a history by the guarantees in its head, as if nobody had looked for anomalies of these kinds.
#[must_use]
pub fn judge_without(history: &History, ignored: &[Kind]) -> Report {
    judge_analysis(&Analysis::new(history), ignored)
}

/// Judges a history that is analysed already, as if nobody had looked for anomalies of these kinds.
#[must_use]
pub fn judge_analysis(analysis: &Analysis<'_>, ignored: &[Kind]) -> Report {
    let history = analysis.history;
    if let Some((one, two)) = analysis.clash {
        let (one, two) = (analysis.send(one), analysis.send(two));
        let reason = format!(
            "value {} was sent twice ({} and {}): without a unique value a record cannot be told from another",
            one.value,
            history.quoted(one.invoke.0),
            history.quoted(two.invoke.0)
        );
        return Report::unjudged(Verdict::Unknown, reason);
    }
    let rules = Rules {
        configuration: &history.meta.configuration,
        expect: &history.meta.expect,
        facts: &analysis.facts,
    };
    let mut anomalies: Vec<Anomaly> = CHECKS.iter().flat_map(|check| run(check, analysis, &rules)).collect();
    let counts = count(analysis, &anomalies);
    anomalies.retain(|anomaly| !ignored.contains(&anomaly.kind));
    anomalies.extend(vacuous(&counts, analysis));
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
    // A ruling depends on the case alone, and on what an administrator deleted meanwhile: there are few of both.
    let mut ruled: Vec<((Case, Option<u32>), usize)> = Vec::new();
    for found in (check.find)(analysis) {
        let case = (found.case, analysis.deletions.parts(check.kind, &found));
        let known = ruled.iter().find(|(other, _)| *other == case).map(|(_, index)| *index);
        let index = known.unwrap_or_else(|| {
            let ruling = rule(check, analysis, rules, &found, case.1);
            let index = anomalies.iter().position(|anomaly| anomaly.ruling == ruling).unwrap_or_else(|| {
                anomalies.push(Anomaly { kind: check.kind, count: 0, ruling, examples: Vec::new() });
                anomalies.len() - 1
            });
            ruled.push((case, index));
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

/// What the guarantees say of a finding; `parted` is the deletion of its unit that its events lie on both sides of.
fn rule(
    check: &Check,
    analysis: &Analysis<'_>,
    rules: &Rules<'_>,
    found: &Found,
    parted: Option<u32>,
) -> Ruling {
    let (Some(event), Some(unit)) = (parted, found.unit) else { return (check.rule)(rules, found) };
    Ruling::AllowedBy(format!(
        "{} was deleted ({}), and its positions began anew",
        analysis.unit(unit),
        analysis.history.quoted(event)
    ))
}

fn example(check: &Check, analysis: &Analysis<'_>, found: Found) -> Example {
    let story = (check.tell)(analysis, &found);
    let place = found.unit.zip(found.position);
    Example {
        unit: found.unit.map(|unit| analysis.history.unit_name(unit).to_string()),
        position: found.position,
        story,
        neighbourhood: place.map(|(unit, at)| analysis.neighbourhood(unit, at)).unwrap_or_default(),
        lines: lines(analysis, &found.ops),
        ops: found.ops,
    }
}

/// The lines of events, for a history that was read from a file in another format.
fn lines(analysis: &Analysis<'_>, ops: &[u32]) -> Vec<u32> {
    let mut lines: Vec<u32> = ops.iter().filter_map(|event| analysis.history.line(*event)).collect();
    lines.sort_unstable();
    lines.dedup();
    lines
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
    let (mut sent, mut by_status, mut poison) = (0, [0; 3], 0);
    for (row, send) in (0u32..).zip(history.sends()).filter(|(_, send)| analysis.is_work(send)) {
        sent += 1;
        by_status[send.status as usize] += 1;
        poison += u64::from(analysis.is_poison(row));
    }
    let status = |status: Status| by_status[status as usize];
    let (mut redelivered, mut handled) = (0, 0);
    for touch in analysis.consumers.iter().flat_map(|consumer| &consumer.touches) {
        redelivered += u64::from(touch.delivered.saturating_sub(1));
        handled += u64::from(touch.handled);
    }
    let drained = history.delivers().iter().filter(|read| read.drained()).count() as u64;
    let of_kind = |kind: Kind| anomalies.iter().filter(|one| one.kind == kind).map(|one| one.count).sum();
    let worst = worst_outage(analysis);
    let mut dead: Vec<u32> = analysis.dlq_entries.iter().filter_map(|entry| entry.cause).collect();
    dead.sort_unstable();
    dead.dedup();
    Counts {
        sent,
        acked: status(Status::Ok),
        failed: status(Status::Fail),
        unknown: status(Status::Unknown),
        delivered: history.delivers().len() as u64 - drained,
        redelivered,
        handled,
        duplicates: of_kind(Kind::Duplicate),
        poison,
        dead_lettered: dead.len() as u64,
        drained,
        faults: analysis.facts.faults,
        unavailable: worst.map(|outage| outage.lasts),
        worst_unit: worst.map(|outage| history.unit_name(outage.unit).to_string()),
    }
}

#[cfg(test)]
mod tests;
