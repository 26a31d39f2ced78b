//! The end of a run: wait until everything has recovered, until the consumers have caught up, and read the
//! whole log once more with a reader that no fault touched.

use super::notebook::Notebook;
use crate::plan::Plan;
use futures_util::future::select;
use squall_bus::{Admin, Cluster, Consumer, ConsumerConfig, Position, Time, TopicState, Unit};
use squall_history::history::{Drain, Observation, ProcessId};
use std::{collections::BTreeMap, pin::pin, time::Duration};

/// How often the cluster is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Waits until every copy of every unit is in sync again; `false` if the deadline came first.
pub(super) async fn recovered(cluster: &dyn Cluster, plan: &Plan, deadline: Time) -> bool {
    let healthy = |unit: &TopicState| unit.leader.is_some() && unit.insync.len() == unit.replicas.len();
    poll_until(cluster, deadline, async |admin| {
        for topic in plan.topics() {
            match admin.describe(&topic.topic).await {
                Ok(units) if units.len() == topic.partitions as usize && units.iter().all(healthy) => {}
                _ => return false,
            }
        }
        true
    })
    .await
}

/// Waits until every producer has the outcomes of all its sends.
pub(super) async fn sent(cluster: &dyn Cluster, plan: &Plan, deadline: Time) -> bool {
    poll_until(cluster, deadline, async |_| {
        !plan.producers().iter().any(|producer| cluster.running(producer.name()))
    })
    .await
}

/// Waits until every group has committed the end of every unit that it reads, and nobody handles a record.
pub(super) async fn caught_up(
    cluster: &dyn Cluster,
    plan: &Plan,
    notebook: &Notebook,
    deadline: Time,
) -> bool {
    poll_until(cluster, deadline, async |admin| {
        for consumer in plan.consumers() {
            for topic in &consumer.topics {
                let Ok(units) = admin.describe(topic).await else { return false };
                for unit in units {
                    let Ok((start, end)) = admin.bounds(&unit.unit).await else { return false };
                    match admin.committed(&consumer.group, &unit.unit).await {
                        Ok(Some(position)) if position >= end => {}
                        Ok(None) if start == end => {}
                        _ => return false,
                    }
                }
            }
        }
        notebook.pages().handling.is_empty()
    })
    .await
}

async fn poll_until(
    cluster: &dyn Cluster,
    deadline: Time,
    mut ready: impl AsyncFnMut(&dyn Admin) -> bool,
) -> bool {
    let (admin, clock) = (cluster.admin(), cluster.clock());
    loop {
        if ready(&*admin).await {
            return true;
        }
        if clock.now() >= deadline {
            return false;
        }
        clock.sleep(LOOK).await;
    }
}

/// One unit on its way.
struct Progress {
    from: Position,
    to: Position,
    next: Position,
}

/// Reads every unit from its oldest record to its end. What could not be read by the deadline is written down
/// as incomplete.
pub(super) async fn drain(
    cluster: &dyn Cluster,
    plan: &Plan,
    notebook: &Notebook,
    deadline: Time,
) -> Result<(), squall_bus::Error> {
    let admin = cluster.admin();
    let mut units: BTreeMap<Unit, Progress> = BTreeMap::new();
    for topic in plan.topics() {
        for partition in 0..topic.partitions {
            let unit = Unit::new(&topic.topic, partition);
            let (from, to) = bounds(cluster, &*admin, &unit, deadline).await?;
            units.insert(unit, Progress { from, to, next: from });
        }
    }
    let behind: Vec<_> =
        units.iter().filter(|(_, p)| p.next < p.to).map(|(unit, p)| (unit.clone(), Some(p.from))).collect();
    if !behind.is_empty() {
        let reader = cluster.bus().consumer(ConsumerConfig::assign("drain", behind))?;
        let reading = pin!(read(&*reader, &mut units, notebook));
        let clock = cluster.clock();
        // Whatever was not read by then shows in the facts below.
        let _ = select(reading, clock.sleep_until(deadline)).await;
        reader.close().await;
    }
    let now = notebook.now();
    let mut pages = notebook.pages();
    for (unit, progress) in units {
        let complete = progress.next >= progress.to;
        let unit = pages.history.unit(&unit);
        let drain = Drain { unit, from: progress.from.0, to: progress.to.0, complete };
        pages.history.observe(now, ProcessId::DRAIN, Observation::Drain(drain));
    }
    Ok(())
}

/// The bounds of a unit; a cluster that still elects a leader is asked again until the deadline.
async fn bounds(
    cluster: &dyn Cluster,
    admin: &dyn Admin,
    unit: &Unit,
    deadline: Time,
) -> Result<(Position, Position), squall_bus::Error> {
    let clock = cluster.clock();
    loop {
        match admin.bounds(unit).await {
            Err(_) if clock.now() < deadline => clock.sleep(LOOK).await,
            result => return result,
        }
    }
}

/// Reads until every unit is at its end.
async fn read(reader: &dyn Consumer, units: &mut BTreeMap<Unit, Progress>, notebook: &Notebook) {
    let mut behind = units.values().filter(|progress| progress.next < progress.to).count();
    while behind > 0 {
        let Ok(delivery) = reader.next().await else { continue };
        let Some(progress) = units.get_mut(&delivery.unit) else { continue };
        if delivery.position < progress.next || delivery.position >= progress.to {
            continue;
        }
        notebook.delivered("drain", None, &delivery);
        progress.next = delivery.position.next();
        if progress.next >= progress.to {
            behind -= 1;
        }
    }
}
