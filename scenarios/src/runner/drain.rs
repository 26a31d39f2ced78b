//! The end of a run: wait until everything has recovered, until the consumers have caught up, and read the
//! whole log once more with a reader that no fault touched.

use super::notebook::Notebook;
use crate::plan::{ConsumerPlan, Plan};
use futures_util::future::select;
use squall_bus::{
    Admin, Clock, Cluster, Consumer, ConsumerConfig, ErrorClass, Position, Time, Topic, TopicState, Unit,
};
use squall_history::history::{Drain, Observation, ProcessId};
use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    sync::Arc,
    time::Duration,
};

/// How often the cluster is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How long the bus' word of what it gave up may be on its way, of records that no handler missed.
const ON_ITS_WAY: Duration = Duration::from_secs(1);
/// How long it may take until a record that the bus gave up is in a consumer's hands: its word, and fetching the record
/// from a leader that may have to be asked again.
const SAID: Duration = Duration::from_secs(20);

/// How long a bus says that it has no such unit until that is believed: after a restart it may not know yet.
const GONE: Duration = Duration::from_secs(5);

/// How long what was acknowledged may be beyond what can be read until it is believed to be gone: a copy that has
/// nothing to say for so long is no longer in sync, and then its leader does not wait for it.
const SETTLES: Duration = Duration::from_secs(30);

/// Looks again and again, until a deadline.
pub(super) struct Looks {
    pub(super) clock: Arc<dyn Clock>,
    deadline: Time,
}

impl Looks {
    pub(super) fn new(cluster: &dyn Cluster, deadline: Time) -> Self {
        Self { clock: cluster.clock(), deadline }
    }

    /// Waits for the next look; `false` if the deadline has come.
    pub(super) async fn again(&self) -> bool {
        if self.clock.now() >= self.deadline {
            return false;
        }
        self.clock.sleep(LOOK).await;
        true
    }
}

/// Waits until every copy of every unit is in sync again; `false` if the deadline came first.
pub(super) async fn recovered(cluster: &dyn Cluster, plan: &Plan, deadline: Time) -> bool {
    let (looks, admin) = (Looks::new(cluster, deadline), cluster.admin());
    while !is_whole(&*admin, plan).await {
        if !looks.again().await {
            return false;
        }
    }
    true
}

async fn is_whole(admin: &dyn Admin, plan: &Plan) -> bool {
    let healthy = |unit: &TopicState| unit.leader.is_some() && unit.insync.len() == unit.replicas.len();
    for topic in plan.topics() {
        match admin.describe(&topic.topic).await {
            Ok(units) if units.len() >= topic.partitions as usize && units.iter().all(healthy) => {}
            _ => return false,
        }
    }
    true
}

/// Waits until every producer has the outcomes of all its sends; `false` if the deadline came first.
pub(super) async fn sent(cluster: &dyn Cluster, plan: &Plan, deadline: Time) -> bool {
    let looks = Looks::new(cluster, deadline);
    while plan.producers().iter().any(|producer| cluster.running(producer.name())) {
        if !looks.again().await {
            return false;
        }
    }
    true
}

/// Waits until all that was acknowledged can be read. What a leader alone has acknowledged is not there for readers until
/// its followers have it too, which they may still be about to; the log's end before that is not its end. What is
/// lost never comes, so this does not wait for longer than that may take.
pub(super) async fn settled(cluster: &dyn Cluster, notebook: &Notebook, deadline: Time) {
    let acknowledged = notebook.pages().history.acknowledged();
    let admin = cluster.admin();
    let looks = Looks::new(cluster, deadline.min(cluster.clock().now() + SETTLES));
    for (unit, acknowledged) in acknowledged {
        while !matches!(admin.bounds(&unit).await, Ok((_, end)) if end >= acknowledged.end) {
            if !looks.again().await {
                return;
            }
        }
    }
}

/// Waits until every group is done with every unit that it reads, by its commits or its acks (see
/// [`Admin::committed`]), nobody handles a record, and the bus has said of what it gave up all that it will say;
/// `false` if the deadline came first.
pub(super) async fn caught_up(
    cluster: &dyn Cluster,
    plan: &Plan,
    notebook: &Notebook,
    deadline: Time,
) -> bool {
    let (looks, admin) = (Looks::new(cluster, deadline), cluster.admin());
    while !is_caught_up(&*admin, plan).await || !notebook.pages().handling.is_empty() {
        if !looks.again().await {
            return false;
        }
    }
    heard_out(&looks, plan, notebook).await
}

/// Where the bus counts tries: waits until it has said of every record whose last try failed that it gave it up, and
/// that record is dead-lettered. It says so at most once, and what was not said for so long never will be; that is for
/// the checks to find.
async fn heard_out(looks: &Looks, plan: &Plan, notebook: &Notebook) -> bool {
    if !plan.consumers().iter().any(ConsumerPlan::bus_retries) {
        return true;
    }
    let began = looks.clock.now();
    loop {
        let patience = if notebook.pages().owed.is_empty() { ON_ITS_WAY } else { SAID };
        if notebook.pages().handling.is_empty() && looks.clock.now().since(began) >= patience {
            return true;
        }
        if !looks.again().await {
            return false;
        }
    }
}

async fn is_caught_up(admin: &dyn Admin, plan: &Plan) -> bool {
    let groups: BTreeSet<(&str, &Topic)> = plan
        .consumers()
        .iter()
        .flat_map(|consumer| consumer.topics.iter().map(|topic| (&*consumer.group, topic)))
        .collect();
    for (group, topic) in groups {
        let Ok(units) = admin.describe(topic).await else { return false };
        for unit in units {
            let Ok((start, end)) = admin.bounds(&unit.unit).await else { return false };
            match admin.committed(group, &unit.unit).await {
                Ok(Some(position)) if position >= end => {}
                Ok(_) if start == end => {}
                _ => return false,
            }
        }
    }
    true
}

/// One unit on its way.
struct Progress {
    from: Position,
    to: Position,
    next: Position,
}

/// Reads every unit from its oldest record to its end, which `ends` may say. What could not be read by the deadline is written down
/// as incomplete.
pub(super) async fn drain(
    cluster: &dyn Cluster,
    plan: &Plan,
    notebook: &Notebook,
    ends: &BTreeMap<Unit, Position>,
    deadline: Time,
) -> Result<(), squall_bus::Error> {
    let admin = cluster.admin();
    let mut units: BTreeMap<Unit, Progress> = BTreeMap::new();
    for (topic, partitions) in plan.partitions_at_end() {
        for partition in 0..partitions {
            let unit = Unit::new(&topic, partition);
            let (from, end) = bounds(cluster, &*admin, &unit, deadline).await?;
            let to = ends.get(&unit).copied().unwrap_or(end);
            units.insert(unit, Progress { from, to, next: from });
        }
    }
    let behind: Vec<_> =
        units.iter().filter(|(_, p)| p.next < p.to).map(|(unit, p)| (unit.clone(), Some(p.from))).collect();
    if !behind.is_empty() {
        let isolation = plan.isolation();
        let config = ConsumerConfig { isolation, ..ConsumerConfig::assign("drain", behind) };
        let reader = cluster.bus().consumer(config)?;
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
        let drain = Drain { unit, from: progress.from.0, to: progress.to.0, complete, node: None };
        pages.history.observe(now, ProcessId::DRAIN, Observation::Drain(drain));
    }
    Ok(())
}

/// The bounds of a unit; a cluster that still elects a leader is asked again until the deadline. A unit that the bus
/// has no more is one with nothing in it.
async fn bounds(
    cluster: &dyn Cluster,
    admin: &dyn Admin,
    unit: &Unit,
    deadline: Time,
) -> Result<(Position, Position), squall_bus::Error> {
    let (looks, clock) = (Looks::new(cluster, deadline), cluster.clock());
    let mut gone_since = None;
    loop {
        let error = match admin.bounds(unit).await {
            Ok(bounds) => return Ok(bounds),
            Err(error) => error,
        };
        let gone = error.class == ErrorClass::Refused;
        gone_since = gone_since.filter(|_| gone).or_else(|| gone.then(|| clock.now()));
        let for_long = gone_since.is_some_and(|since| clock.now() >= since + GONE);
        if for_long || !looks.again().await {
            return if gone { Ok((Position(0), Position(0))) } else { Err(error) };
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
