//! Changes: exactly one verb, inside the run, of a topic that exists.

use super::{Check, Path};
use crate::format::{Changes, changes::CHANGES, suggest};

pub(super) fn check(check: &mut Check<'_>) {
    let scenario = check.scenario;
    let end = scenario.workload.lasts;
    for (index, change) in scenario.changes.iter().enumerate() {
        let path = Path::new("changes").key(index);
        match change.verbs().as_slice() {
            [one] => topic(check, &path, one),
            [] => {
                let help = format!("add one of {}, as in `recreate: orders`", CHANGES.join(", "));
                check.report(&path, "the change does not say what changes", help);
            }
            [_, second, ..] => {
                let message =
                    format!("an entry changes one thing, and `{}` is the second here", second.verb());
                let help = "make it a change of its own, in a line of its own";
                check.report(&path.key(second.verb()), message, help);
            }
        }
        if change.at.high() >= end {
            let message =
                format!("the change comes at {}, past the end of the workload after {end}", change.at.high());
            check.report(
                &path.key("at"),
                message,
                format!("let it come before {end}, or raise workload.for"),
            );
        }
    }
}

fn topic(check: &mut Check<'_>, path: &Path, change: &Changes<'_>) {
    let path = path.key(change.verb());
    let place = match change {
        Changes::Grow(_) | Changes::Set(_) => path.key("topic"),
        Changes::Recreate(_) | Changes::DeleteRecords(_) => path.clone(),
    };
    let scenario = check.scenario;
    let Some((shape, _)) = scenario.topic(change.topic()) else {
        let names: Vec<&str> = scenario.topology.topics.keys().map(String::as_str).collect();
        let help = suggest::or_list(change.topic(), names.iter().copied(), "the topics are");
        return check.report(&place, format!("there is no topic `{}`", change.topic()), help);
    };
    match change {
        Changes::Grow(args) if args.partitions <= shape.partitions => {
            let message = format!("the topic has {} partitions already and cannot shrink", shape.partitions);
            check.report(&path.key("partitions"), message, format!("write more than {}", shape.partitions));
        }
        Changes::Set(args) if args.config.is_empty() => {
            check.report(&path.key("config"), "no setting changes", "add one, as in `retention.ms: 60000`");
        }
        _ => {}
    }
}
