//! Progress where there is no terminal: one plain line for each event worth one.

use crate::words;
use squall_history::{
    RunEvent,
    events::{Hit, Stage},
};

/// The line for an event, if it is worth one. `name` says which run it is: `sim:kafka, seed 1`. Not stable: for
/// people, not for machines.
#[must_use]
pub fn progress_line(name: &str, event: &RunEvent) -> Option<String> {
    let says = match event {
        RunEvent::Started(started) => {
            let warnings = started.warnings.iter().map(|warning| format!("\n{name}: warning: {warning}"));
            format!("{} begins{}", started.scenario, warnings.collect::<String>())
        }
        RunEvent::Plan(plan) => format!(
            "{} over {}, {}",
            words::plural(plan.operations, "record", "records"),
            words::span(plan.lasts.0),
            words::plural(plan.faults.len() as u64, "fault", "faults")
        ),
        RunEvent::Progress(progress) => format!(
            "{} {}: {} sent, {} acked, {} delivered",
            words::instant(progress.time.0),
            stage(progress.stage),
            words::count(progress.sent),
            words::count(progress.acked),
            words::count(progress.delivered)
        ),
        RunEvent::FaultResolved(fault) => {
            format!("{} {} {} {}", words::instant(fault.time.0), fault.verb, fault.role, hit(&fault.hit))
        }
        RunEvent::FaultHealed(healed) => {
            format!("{} fault {} healed", words::instant(healed.time.0), healed.id)
        }
        RunEvent::Anomaly(_) => return None,
        RunEvent::Verdict(judged) => format!("{}: {}", judged.verdict, judged.reason),
        RunEvent::Finished(_) => return None,
    };
    Some(format!("{name}: {says}"))
}

/// What a run is doing, in a word.
fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Preparing => "preparing",
        Stage::Working => "working",
        Stage::Recovering => "recovering",
        Stage::Draining => "draining",
        Stage::Judging => "judging",
    }
}

/// Whom a fault hit.
pub(crate) fn hit(hit: &Hit) -> String {
    match hit {
        Hit::Nodes(nodes) if nodes.len() == 1 => format!("hit node {}", nodes[0]),
        Hit::Nodes(nodes) => {
            format!("hit nodes {}", nodes.iter().map(u32::to_string).collect::<Vec<_>>().join(", "))
        }
        Hit::Client(client) => format!("hit client {client}"),
        Hit::Nobody => "hit nobody".to_owned(),
    }
}
