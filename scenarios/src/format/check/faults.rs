//! Faults: exactly one verb, inside the run, aimed at something that exists.

use super::{Check, Path};
use crate::format::{
    FaultSpec, OneOrMany, Verb,
    faults::VERBS,
    scalar::{Period, PeriodRange},
    suggest,
    tree::shorten,
};
use squall_bus::{FaultKind, Role, Unit};

/// More strikes than this in one run say nothing more.
const MAX_STRIKES: u64 = 10_000;

pub(super) fn check(check: &mut Check<'_>) {
    for (index, fault) in check.scenario.faults.iter().enumerate() {
        let path = Path::new("faults").key(index);
        match fault.verbs().as_slice() {
            [(verb, at)] => {
                let verb_path = path.key(verb.name());
                role(check, &verb_path, *verb, at);
                duration(check, &path, fault, *verb);
                time(check, &path, fault);
            }
            [] => {
                let help = format!("add one of {}, as in `kill: leader(orders/0)`", VERBS.join(", "));
                check.report(&path, "the fault does not say what breaks", help);
            }
            [_, (second, _), ..] => {
                let message = format!("a fault breaks one thing, and `{}` is the second here", second.name());
                check.report(
                    &path.key(second.name()),
                    message,
                    "make it a fault of its own, in a line of its own",
                );
            }
        }
    }
}

fn duration(check: &mut Check<'_>, path: &Path, fault: &FaultSpec, verb: Verb) {
    let name = verb.name();
    match fault.lasts {
        None if verb.lasts() => {
            let message = format!("the fault does not say how long `{name}` lasts");
            check.report(&path.key(name), message, "add `for: 10s`");
        }
        Some(_) if !verb.lasts() => {
            let message = format!("`{name}` is over at once and has no duration");
            let help = if name == "restart" {
                "remove `for`, or write `stop` to keep it down"
            } else {
                "remove `for`; `count` says how many responses are lost"
            };
            check.report(&path.key("for"), message, help);
        }
        Some(range) if range.low().is_zero() => {
            check.report(&path.key("for"), "the fault lasts no time", "write how long, such as 10s");
        }
        _ => {}
    }
    if let Verb::Delay(by) = verb
        && by.high().is_zero()
    {
        check.report(
            &path.key("delay").key("by"),
            "a delay of nothing breaks nothing",
            "write how much longer, such as 200ms",
        );
    }
}

fn time(check: &mut Check<'_>, path: &Path, fault: &FaultSpec) {
    let end = check.scenario.workload.lasts;
    match (fault.at, fault.every) {
        (Some(at), None) => once(check, path, at, fault.longest(), end),
        (None, Some(every)) => again(check, path, every, fault.longest(), end),
        (Some(_), Some(_)) => {
            check.report(
                &path.key("every"),
                "a fault strikes `at` a time or `every` so often, not both",
                "remove one of the two",
            );
        }
        (None, None) => {
            check.report(path, "the fault does not say when it strikes", "add `at: 10s` or `every: 15s`");
        }
    }
}

fn once(check: &mut Check<'_>, path: &Path, at: PeriodRange, lasts: Period, end: Period) {
    if at.high() >= end {
        let message = format!("the fault strikes at {}, past the end of the workload after {end}", at.high());
        check.report(&path.key("at"), message, format!("strike before {end}, or raise workload.for"));
    } else if nanos_after(at.high(), lasts) > end {
        let over = nanos_after(at.high(), lasts);
        let message = format!("the fault is over at {over}, past the end of the workload after {end}");
        let help = format!("let it be over by {end}, or raise workload.for to at least {over}");
        check.report(&path.key("for"), message, help);
    }
}

fn again(check: &mut Check<'_>, path: &Path, every: PeriodRange, lasts: Period, end: Period) {
    let path = path.key("every");
    if every.low().is_zero() {
        check.report(&path, "a fault every 0s never stops striking", "write a distance, such as 15s");
    } else if nanos_after(every.high(), lasts) > end || every.high() >= end {
        let message = format!("not one strike every {every} is over before the workload ends after {end}");
        check.report(&path, message, "strike more often, shorten the fault, or raise workload.for");
    } else if end.nanos() / every.low().nanos() > MAX_STRIKES {
        let message = format!("that is {} strikes", end.nanos() / every.low().nanos());
        check.report(&path, message, format!("strike less often: at most {MAX_STRIKES} times in the run"));
    }
}

fn nanos_after(at: Period, lasts: Period) -> Period {
    Period::from_nanos(at.nanos().saturating_add(lasts.nanos()))
}

fn role(check: &mut Check<'_>, path: &Path, verb: Verb, role: &Role) {
    let path = &match verb {
        Verb::Plain(FaultKind::DropResponses(_)) | Verb::Delay(_) => path.key("role"),
        Verb::Plain(_) => path.clone(),
    };
    let nodes = check.scenario.topology.nodes.get();
    match role {
        Role::Leader(at) => {
            unit(check, path, at);
        }
        Role::Follower(at) | Role::Followers(at) => {
            if unit(check, path, at) == Some(1) {
                let message = format!("{at} has one replica and so no follower");
                check.report(path, message, "raise replicas, or aim at the leader");
            }
        }
        Role::Coordinator(group) => coordinator(check, path, group),
        Role::Client(name) => client(check, path, verb, name),
        Role::Node(node) if *node > nodes => {
            let message = format!("there is no node {node}: the cluster has {nodes}");
            check.report(path, message, format!("nodes are numbered from 1 to {nodes}"));
        }
        Role::Minority if nodes < 3 => {
            let message = format!("a cluster of {nodes} has no minority to strike");
            check.report(path, message, "raise topology.nodes to 3 or more, or name a node");
        }
        Role::All if verb == Verb::Plain(FaultKind::Partition) => {
            check.report(
                path,
                "nobody is left to be cut off from",
                "write `isolate: all` to cut off the clients, or `partition: minority`",
            );
        }
        Role::Controller | Role::Minority | Role::Node(_) | Role::All => {}
    }
}

/// Checks that the unit exists; answers how many copies it has.
fn unit(check: &mut Check<'_>, path: &Path, unit: &Unit) -> Option<u32> {
    let name = unit.topic.as_str();
    let Some((shape, _)) = check.scenario.topic(name) else {
        let names = check.scenario.topology.topics.keys().map(String::as_str);
        let help = suggest::or_list(name, names, "the topics are");
        check.report(path, format!("unknown topic `{}` in the role", shorten(name)), help);
        return None;
    };
    let partitions = shape.partitions.get();
    if unit.partition >= partitions {
        let message = format!("there is no partition {}: `{name}` has {partitions}", unit.partition);
        let help = if partitions == 1 {
            "its only partition is 0".to_owned()
        } else {
            format!("its partitions are 0 to {}", partitions - 1)
        };
        check.report(path, message, help);
        return None;
    }
    Some(shape.replicas_on(check.scenario.topology.nodes))
}

fn coordinator(check: &mut Check<'_>, path: &Path, group: &str) {
    let groups: Vec<&str> = check
        .scenario
        .workload
        .consumers
        .iter()
        .flat_map(OneOrMany::as_slice)
        .map(|consumers| consumers.group.as_str())
        .collect();
    let ids = check.scenario.transactional_ids();
    if !groups.contains(&group) && !ids.iter().any(|id| id == group) {
        let groups = groups.into_iter().chain(ids.iter().map(String::as_str));
        let help = suggest::or_list(
            group,
            groups,
            if ids.is_empty() { "the groups are" } else { "the groups and transactional ids are" },
        );
        check.report(path, format!("unknown group `{}` in the role", shorten(group)), help);
    }
}

fn client(check: &mut Check<'_>, path: &Path, verb: Verb, name: &str) {
    let names = check.scenario.client_names();
    if !names.iter().any(|known| known == name) {
        let message = format!("unknown client `{}` in the role", shorten(name));
        let help = suggest::or_list(name, names.iter().map(String::as_str), "the clients are");
        check.report(path, message, help);
    }
    let possible = match verb {
        Verb::Plain(kind) => matches!(
            kind,
            FaultKind::Kill
                | FaultKind::Stop
                | FaultKind::Restart
                | FaultKind::Pause
                | FaultKind::Isolate
                | FaultKind::Stall
        ),
        Verb::Delay(_) => true,
    };
    if !possible {
        let message = format!("`{}` is for nodes, not for clients", verb.name());
        let help = "clients can be killed, stopped, restarted, paused, isolated, stalled or delayed";
        check.report(path, message, help);
    }
}
