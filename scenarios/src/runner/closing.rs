//! The end of a run with transactions: a record of the harness closes each unit.
//!
//! Markers take places that nobody reads, and so do aborted records; so neither a group's position nor a reader's says
//! whether it has come to the end of a log. A record behind everything else does: who has read it has read what is
//! before it, and nothing open can be before it for a reader of committed records. Topics that groups write to are
//! closed after the groups have caught up with what they read.
//!
//! Where groups could not come to that record, the ends of all units are written down, with what holds readers of
//! committed records back. What clients that were not done wrote behind it until they were ended gets another such record
//! behind it.

use super::{drain::Looks, notebook::Notebook};
use crate::plan::{Plan, payload};
use squall_bus::{Cluster, Outcome, Position, Producer, ProducerConfig, Record, Time, Topic, Unit};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Closes every unit, and waits until every group has read that; `false` if the deadline came first. `ends` gets the
/// place behind the last record of each unit that was closed.
pub(super) async fn close(
    cluster: &dyn Cluster,
    plan: &Plan,
    notebook: &Notebook,
    ends: &mut BTreeMap<Unit, Position>,
    deadline: Time,
) -> bool {
    let Some(producer) = producer(cluster) else { return false };
    let written: BTreeSet<&str> = plan
        .consumers()
        .iter()
        .filter_map(|consumer| consumer.forward.as_ref())
        .map(|forward| forward.topic.as_str())
        .collect();
    let (last, first): (Vec<_>, Vec<_>) =
        plan.partitions_at_end().into_iter().partition(|(topic, _)| written.contains(topic.as_str()));
    let looks = Looks::new(cluster, deadline);
    for wave in [first, last] {
        for (topic, partitions) in &wave {
            for partition in 0..*partitions {
                let unit = Unit::new(topic, partition);
                if !close_unit(&looks, &*producer, notebook, &unit, ends).await {
                    return false;
                }
            }
        }
        let topics: BTreeSet<&Topic> = wave.iter().map(|(topic, _)| topic).collect();
        if !is_read(cluster, &looks, plan, notebook, ends, &topics).await {
            return false;
        }
    }
    true
}

/// Closes every unit behind all that is there now, and waits for nobody. What cannot be closed by the deadline stays as it is.
pub(super) async fn seal(
    cluster: &dyn Cluster,
    plan: &Plan,
    notebook: &Notebook,
    ends: &mut BTreeMap<Unit, Position>,
    deadline: Time,
) {
    let Some(producer) = producer(cluster) else { return };
    let looks = Looks::new(cluster, deadline);
    for (topic, partitions) in plan.partitions_at_end() {
        for partition in 0..partitions {
            close_unit(&looks, &*producer, notebook, &Unit::new(&topic, partition), ends).await;
        }
    }
}

fn producer(cluster: &dyn Cluster) -> Option<Arc<dyn Producer>> {
    let config = ProducerConfig { idempotent: true, ..ProducerConfig::new("closing") };
    cluster.bus().producer(config).ok()
}

/// Asks for the ends of every unit, and writes them down. What cannot be learned is left out.
pub(super) async fn sample_ends(cluster: &dyn Cluster, plan: &Plan, notebook: &Notebook) {
    let admin = cluster.admin();
    for (topic, partitions) in plan.partitions_at_end() {
        for partition in 0..partitions {
            let unit = Unit::new(&topic, partition);
            let op = notebook.asked_for_ends(&unit);
            let (bounds, stable) = (admin.bounds(&unit).await, admin.stable(&unit).await);
            notebook.told_ends(op, bounds, stable.ok().flatten());
        }
    }
}

/// Puts the last record into a unit.
async fn close_unit(
    looks: &Looks,
    producer: &dyn Producer,
    notebook: &Notebook,
    unit: &Unit,
    ends: &mut BTreeMap<Unit, Position>,
) -> bool {
    loop {
        let (value, send) = notebook.closing(unit);
        let bytes = payload::plain(value, notebook.now());
        let record = Record { partition: Some(unit.partition), ..Record::new(&unit.topic, None, bytes) };
        let outcome = producer.send(record).await;
        notebook.sent(send, &outcome);
        if let Outcome::Ok(ack) = outcome {
            ends.extend(ack.position.map(|position| (unit.clone(), position.next())));
            return true;
        }
        if !looks.again().await {
            return false;
        }
    }
}

/// Waits until every group has committed behind the last record of these topics, and nobody handles a record.
async fn is_read(
    cluster: &dyn Cluster,
    looks: &Looks,
    plan: &Plan,
    notebook: &Notebook,
    ends: &BTreeMap<Unit, Position>,
    topics: &BTreeSet<&Topic>,
) -> bool {
    let admin = cluster.admin();
    let mut wanted: Vec<(&str, &Unit, Position)> = Vec::new();
    for consumer in plan.consumers() {
        for (unit, end) in ends {
            if topics.contains(&unit.topic) && consumer.topics.contains(&unit.topic) {
                wanted.push((&consumer.group, unit, *end));
            }
        }
    }
    loop {
        let mut behind = !notebook.pages().handling.is_empty();
        for (group, unit, end) in &wanted {
            let committed = admin.committed(group, unit).await;
            behind |= !matches!(committed, Ok(Some(position)) if position >= *end);
        }
        if !behind {
            return true;
        }
        if !looks.again().await {
            return false;
        }
    }
}
