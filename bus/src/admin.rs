//! Administration: what a runner needs before, during and after a run.

use crate::{BoxFuture, Error, Position, Topic, Unit};
use std::collections::BTreeMap;

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub topic: Topic,
    /// How many units.
    pub partitions: u32,
    /// How many copies of each.
    pub replicas: u32,
    /// How many copies an ack from all needs at least.
    pub min_insync: u32,
    /// Further settings, by the broker's own names.
    pub config: BTreeMap<String, String>,
}

/// One unit as the brokers see it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicState {
    /// The unit.
    pub unit: Unit,
    /// The node that leads it, if one does. Nodes count from 1.
    pub leader: Option<u32>,
    /// The nodes that hold a copy.
    pub replicas: Vec<u32>,
    /// Those of them that are in sync.
    pub insync: Vec<u32>,
}

/// An administrator's handle.
pub trait Admin: Send + Sync + 'static {
    /// Creates topics; one that exists with the same shape is fine.
    fn create_topics<'a>(&'a self, topics: &'a [TopicSpec]) -> BoxFuture<'a, Result<(), Error>>;
    /// The units of a topic with their leaders and copies.
    fn describe<'a>(&'a self, topic: &'a Topic) -> BoxFuture<'a, Result<Vec<TopicState>, Error>>;
    /// The first readable place and the place behind the last readable record of this unit: where several units
    /// share a log, records of others do not count. Equal when there is none. Refused when the bus has no such
    /// unit, or no longer.
    fn bounds<'a>(&'a self, unit: &'a Unit) -> BoxFuture<'a, Result<(Position, Position), Error>>;
    /// Where a group goes on in a unit, if it ever committed there: it is done with everything before. On a bus
    /// that acknowledges each record, the place of the first record that is not acknowledged, or the unit's end.
    fn committed<'a>(
        &'a self,
        group: &'a str,
        unit: &'a Unit,
    ) -> BoxFuture<'a, Result<Option<Position>, Error>>;
    /// The node that coordinates a group, if one does.
    fn coordinator<'a>(&'a self, group: &'a str) -> BoxFuture<'a, Result<Option<u32>, Error>>;
    /// The node that controls the cluster, if one does.
    fn controller(&self) -> BoxFuture<'_, Result<Option<u32>, Error>>;
}
