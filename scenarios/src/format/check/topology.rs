//! Nodes and topics: replicas fit on the nodes, and in-sync copies among the replicas. Brokers: their versions and settings
//! exist and can have these values.

use super::{Check, Path};
use crate::format::{Brokers, TopicShape, suggest, tree::shorten};
use squall_sim::{
    bugs,
    settings::{self, BrokerOptions},
};

/// More nodes than this are no test cluster.
const MAX_NODES: u32 = 99;
/// More partitions than this in one topic are no test topic.
const MAX_PARTITIONS: u32 = 10_000;

pub(super) fn check(check: &mut Check<'_>) {
    let topology = &check.scenario.topology;
    let nodes = topology.nodes.get();
    if nodes > MAX_NODES {
        check.report(
            &Path::new("topology/nodes"),
            format!("{nodes} nodes are too many"),
            format!("write at most {MAX_NODES}"),
        );
    }
    if topology.topics.is_empty() {
        check.report(
            &Path::new("topology/topics"),
            "there is no topic",
            "add one, as in `topics: { orders: { partitions: 3 } }`",
        );
    }
    for (bus, said) in &topology.brokers {
        let path = Path::new("topology/brokers").key(bus);
        match settings::brokers(bus) {
            Some(options) => brokers(check, &path, said, &options),
            None => check.report(
                &path,
                format!("`{}` is not a bus", shorten(bus)),
                suggest::or_list(bus, squall_sim::BUSES, "the buses are"),
            ),
        }
    }
    if let Some(bug) = topology.bug.as_deref()
        && bugs::find(bug).is_none()
    {
        let ids: Vec<&str> = bugs::all().iter().map(|bug| bug.id).collect();
        check.report(
            &Path::new("topology/bug"),
            format!("there is no bug `{}`", shorten(bug)),
            suggest::or_list(bug, ids, "the bugs are"),
        );
    }
    for (name, shape) in &topology.topics {
        topic(check, name, shape);
    }
}

/// What is said of one bus's brokers, against what can be said of them.
fn brokers(check: &mut Check<'_>, path: &Path, said: &Brokers, options: &BrokerOptions) {
    if let Some(profile) = &said.profile
        && options.profile(&profile.0).is_none()
    {
        let known: Vec<&str> = options.profiles.iter().map(|profile| profile.name).collect();
        check.report(
            &path.key("profile"),
            format!("there is no profile `{}`", shorten(&profile.0)),
            format!("the profiles are {}", known.join(", ")),
        );
    }
    for (name, value) in &said.config {
        let path = path.key("config").key(name);
        let Some(setting) = options.setting(name) else {
            let names: Vec<&str> = options.settings.iter().map(|setting| setting.name).collect();
            check.report(
                &path,
                format!("`{}` is not a setting that the model has", shorten(name)),
                suggest::or_list(name, names, "the settings are"),
            );
            continue;
        };
        if let Err(help) = setting.kind.number(&value.0) {
            let message = format!("`{name}` is {}, not `{}`", setting.kind, shorten(&value.0));
            check.report(&path, message, help);
        }
    }
}

fn topic(check: &mut Check<'_>, name: &str, shape: &TopicShape) {
    let path = Path::new("topology/topics").key(name);
    let nodes = check.scenario.topology.nodes;
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > 249 || name == "." || name == ".." || !name.chars().all(legal) {
        check.report(
            &path,
            "this is not the name of a topic",
            "use letters, digits, `.`, `_` and `-`, at most 249",
        );
    }
    if shape.partitions.get() > MAX_PARTITIONS {
        let message = format!("{} partitions are too many", shape.partitions);
        check.report(&path.key("partitions"), message, format!("write at most {MAX_PARTITIONS}"));
    }
    let replicas = shape.replicas_on(nodes);
    if replicas > nodes.get() {
        let message = format!("{replicas} replicas do not fit on {nodes} nodes");
        check.report(
            &path.key("replicas"),
            message,
            format!("write at most {nodes}, or raise topology.nodes"),
        );
    }
    let min_insync = shape.min_insync_on(nodes);
    if min_insync > replicas {
        let message = format!("min_insync {min_insync} can never be met by {replicas} replicas");
        check.report(
            &path.key("min_insync"),
            message,
            format!("write at most {replicas}, or raise replicas"),
        );
    }
}
