//! The changes of a plan in time: an administrator makes each at its own, and tries again while the cluster cannot.

use super::{RunError, notebook::Notebook};
use crate::plan::{Change, Plan, TopicChange};
use squall_bus::{Admin, Cluster, Error, ErrorClass, Time, Unit};
use squall_history::history::Observation;
use std::time::Duration;

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
    let result = match &change.what {
        TopicChange::Grow(count) => {
            persist(cluster, deadline, || admin.create_partitions(&change.topic, *count)).await
        }
        TopicChange::Set(config) => {
            persist(cluster, deadline, || admin.alter_topic(&change.topic, config)).await
        }
        TopicChange::Recreate => recreate(cluster, &*admin, plan, change, deadline).await,
        TopicChange::DeleteRecords => delete_records(cluster, &*admin, plan, change, deadline).await,
    };
    result.map_err(|error| RunError::new(&format!("the change `{change}`"), &error))?;
    notebook.observe(Observation::Changed(change.to_string()));
    Ok(())
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

async fn recreate(
    cluster: &dyn Cluster,
    admin: &dyn Admin,
    plan: &Plan,
    change: &Change,
    deadline: Time,
) -> Result<(), Error> {
    persist(cluster, deadline, || admin.delete_topic(&change.topic)).await?;
    let clock = cluster.clock();
    let spec: Vec<_> = plan.topics().into_iter().filter(|spec| spec.topic == change.topic).collect();
    loop {
        // Deleting takes its time: until then the name is taken.
        match admin.create_topics(&spec).await {
            Err(_) if clock.now() < deadline => clock.sleep(PAUSE).await,
            done => return done,
        }
    }
}

async fn delete_records(
    cluster: &dyn Cluster,
    admin: &dyn Admin,
    plan: &Plan,
    change: &Change,
    deadline: Time,
) -> Result<(), Error> {
    let partitions = plan.partitions_at(change.at).get(&change.topic).copied().unwrap_or(0);
    for partition in 0..partitions {
        let unit = Unit::new(&change.topic, partition);
        persist(cluster, deadline, || admin.delete_records(&unit, None)).await?;
    }
    Ok(())
}
