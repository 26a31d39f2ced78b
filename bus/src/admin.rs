//! Administration: what a runner needs before, during and after a run.

use crate::{BoxFuture, Capability, Error, Position, Topic, Unit};
use std::{collections::BTreeMap, time::Duration};

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

/// What a topic's settings say about how long it keeps what was acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keeping {
    /// Of each key only the last record stays.
    pub compacts: bool,
    /// For how long a record stays at least, if not for ever.
    pub retention: Option<Duration>,
    /// A copy that is not in sync may become the leader.
    pub unclean_election: bool,
}

impl TopicSpec {
    /// How long the topic keeps its records, as far as its settings say: by Kafka's names `cleanup.policy`,
    /// `retention.ms` and `unclean.leader.election.enable`. A retention that is not set is longer than any run.
    #[must_use]
    pub fn keeps(&self) -> Keeping {
        let value = |name: &str| self.config.get(name).map(String::as_str);
        let policy =
            |word: &str| value("cleanup.policy").map(|all| all.split(',').any(|one| one.trim() == word));
        let retention =
            value("retention.ms").and_then(|ms| ms.trim().parse().ok()).map(Duration::from_millis);
        Keeping {
            compacts: policy("compact").unwrap_or(false),
            retention: retention.filter(|_| policy("delete").unwrap_or(true)),
            unclean_election: value("unclean.leader.election.enable") == Some("true"),
        }
    }
}

impl Keeping {
    /// What a bus must be able to do for that.
    pub fn needs(self) -> impl Iterator<Item = Capability> {
        let needs = [
            (self.compacts, Capability::Compaction),
            (self.retention.is_some(), Capability::Retention),
            (self.unclean_election, Capability::UncleanElection),
        ];
        needs.into_iter().filter(|(needed, _)| *needed).map(|(_, capability)| capability)
    }
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

fn unsupported<'a, T: Send + 'a>(capability: Capability) -> BoxFuture<'a, Result<T, Error>> {
    Box::pin(std::future::ready(Err(Error::unsupported(capability))))
}

/// An administrator's handle. What a bus may lack is unsupported unless its implementation says otherwise.
pub trait Admin: Send + Sync + 'static {
    /// Creates topics; one that exists with the same shape is fine.
    fn create_topics<'a>(&'a self, topics: &'a [TopicSpec]) -> BoxFuture<'a, Result<(), Error>>;
    /// Deletes a topic with its records. Clients learn of it in their own time. Needs
    /// [`Capability::DeleteTopics`]; refused when there is no such topic.
    fn delete_topic<'a>(&'a self, _topic: &'a Topic) -> BoxFuture<'a, Result<(), Error>> {
        unsupported(Capability::DeleteTopics)
    }
    /// Gives a topic so many units in all; fewer than it has are refused. Records of a key may go to another unit from
    /// then on. Needs [`Capability::AddPartitions`].
    fn create_partitions<'a>(&'a self, _topic: &'a Topic, _count: u32) -> BoxFuture<'a, Result<(), Error>> {
        unsupported(Capability::AddPartitions)
    }
    /// Changes settings of a topic, by the broker's own names; a name or value that it does not know is refused. Needs
    /// [`Capability::AlterTopics`].
    fn alter_topic<'a>(
        &'a self,
        _topic: &'a Topic,
        _config: &'a BTreeMap<String, String>,
    ) -> BoxFuture<'a, Result<(), Error>> {
        unsupported(Capability::AlterTopics)
    }
    /// Deletes the records of a unit before a place, or all that can be read now; where the unit begins then. Needs
    /// [`Capability::DeleteRecords`]; refused beyond what can be read.
    fn delete_records<'a>(
        &'a self,
        _unit: &'a Unit,
        _upto: Option<Position>,
    ) -> BoxFuture<'a, Result<Position, Error>> {
        unsupported(Capability::DeleteRecords)
    }
    /// The units of a topic with their leaders and copies.
    fn describe<'a>(&'a self, topic: &'a Topic) -> BoxFuture<'a, Result<Vec<TopicState>, Error>>;
    /// The first readable place and the place behind the last readable record of this unit: where several units
    /// share a log, records of others do not count. Equal when there is none. Refused when the bus has no such
    /// unit, or no longer.
    fn bounds<'a>(&'a self, unit: &'a Unit) -> BoxFuture<'a, Result<(Position, Position), Error>>;
    /// The place behind the last record of this unit that no open transaction holds back; `None` on a bus that does not
    /// say.
    fn stable<'a>(&'a self, _unit: &'a Unit) -> BoxFuture<'a, Result<Option<Position>, Error>> {
        Box::pin(std::future::ready(Ok(None)))
    }
    /// Where a group goes on in a unit, if it ever committed there: it is done with everything before. On a bus
    /// that acknowledges each record, the place of the first record that is not acknowledged, or the unit's end.
    fn committed<'a>(
        &'a self,
        group: &'a str,
        unit: &'a Unit,
    ) -> BoxFuture<'a, Result<Option<Position>, Error>>;
    /// The node that coordinates a group, if one does; or, where no group is called like that, a transactional id.
    fn coordinator<'a>(&'a self, group: &'a str) -> BoxFuture<'a, Result<Option<u32>, Error>>;
    /// The node that controls the cluster, if one does.
    fn controller(&self) -> BoxFuture<'_, Result<Option<u32>, Error>>;
}
