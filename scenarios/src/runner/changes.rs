//! The changes of a plan in time: an administrator makes each at its own, and tries again while the cluster cannot.

use super::{RunError, notebook::Notebook};
use crate::plan::{Change, Plan, TopicChange};
use squall_bus::{Admin, Cluster, Error, ErrorClass, Position, Time, Unit};
use std::time::Duration;

/// What a change takes away: of each unit the records in front of a place, or the unit itself.
type Deleted = Vec<(Unit, Option<Position>)>;

/// How long a cluster that cannot make a change now may take until it can.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the administrator waits before it tries again.
const PAUSE: Duration = Duration::from_millis(200);

/// One change, at its time.
pub(super) async fn change(
    cluster: &dyn Cluster,
    plan: &Plan,
    change: &Change,
    began: Time,
    notebook: &Notebook,
) -> Result<(), RunError> {
    let clock = cluster.clock();
    clock.sleep_until(began + change.at.since(Time::ZERO)).await;
    let deadline = clock.now() + PATIENCE;
    let admin = cluster.admin();
    let deleted = match &change.what {
        TopicChange::Grow(count) => {
            persist(cluster, deadline, || admin.create_partitions(&change.topic, *count))
                .await
                .map(|()| vec![])
        }
        TopicChange::Set(config) => {
            persist(cluster, deadline, || admin.alter_topic(&change.topic, config)).await.map(|()| vec![])
        }
        TopicChange::Recreate => recreate(cluster, plan, change, deadline, notebook).await,
        TopicChange::DeleteRecords => delete_records(cluster, &*admin, plan, change, deadline).await,
    };
    let deleted = deleted.map_err(|error| RunError::new(&format!("the change `{change}`"), &error))?;
    notebook.changed(change.to_string(), &deleted);
    Ok(())
}

/// The units of a topic when a change is made.
fn units(plan: &Plan, change: &Change) -> impl Iterator<Item = Unit> {
    let partitions = plan.partitions_at(change.at).get(&change.topic).copied().unwrap_or(0);
    (0..partitions).map(|partition| Unit::new(&change.topic, partition))
}

/// Asks until the answer is not that the cluster cannot now.
async fn persist<'a, T>(
    cluster: &dyn Cluster,
    deadline: Time,
    ask: impl Fn() -> squall_bus::BoxFuture<'a, Result<T, Error>>,
) -> Result<T, Error> {
    let clock = cluster.clock();
    loop {
        match ask().await {
            Err(error) if error.class == ErrorClass::Retriable && clock.now() < deadline => {
                clock.sleep(PAUSE).await;
            }
            done => return done,
        }
    }
}

/// The topic is gone from the answer to its deletion on, and begins anew when its leaders have heard of its creation: both
/// are written down, and clients may meet either topic in between.
async fn recreate(
    cluster: &dyn Cluster,
    plan: &Plan,
    change: &Change,
    deadline: Time,
    notebook: &Notebook,
) -> Result<Deleted, Error> {
    let (admin, clock) = (cluster.admin(), cluster.clock());
    let deleted: Deleted = units(plan, change).map(|unit| (unit, None)).collect();
    let mut before = Vec::new();
    for (unit, _) in &deleted {
        before.push(persist(cluster, deadline, || admin.bounds(unit)).await?.1);
    }
    persist(cluster, deadline, || admin.delete_topic(&change.topic)).await?;
    notebook.changed(format!("{} is deleted", change.topic), &deleted);
    let spec: Vec<_> = plan.topics().into_iter().filter(|spec| spec.topic == change.topic).collect();
    loop {
        // Deleting takes its time: until then the name is taken.
        match admin.create_topics(&spec).await {
            Err(_) if clock.now() < deadline => clock.sleep(PAUSE).await,
            Err(error) => return Err(error),
            Ok(()) => break,
        }
    }
    for ((unit, _), before) in deleted.iter().zip(before) {
        await_anew(cluster, unit, before, deadline).await;
    }
    Ok(deleted)
}

/// Waits until who leads a unit has heard that it is another one: until then it ends where the old one did, or behind.
async fn await_anew(cluster: &dyn Cluster, unit: &Unit, before: Position, deadline: Time) {
    let (admin, clock) = (cluster.admin(), cluster.clock());
    while before > Position(0) && clock.now() < deadline {
        if admin.bounds(unit).await.is_ok_and(|(_, end)| end < before) {
            return;
        }
        clock.sleep(Duration::from_millis(5)).await;
    }
}

async fn delete_records(
    cluster: &dyn Cluster,
    admin: &dyn Admin,
    plan: &Plan,
    change: &Change,
    deadline: Time,
) -> Result<Deleted, Error> {
    let mut deleted = Vec::new();
    for unit in units(plan, change) {
        let start = persist(cluster, deadline, || admin.delete_records(&unit, None)).await?;
        deleted.push((unit, Some(start)));
    }
    Ok(deleted)
}
