//! The administrator of a Kafka cluster, over [`Connection`].
//!
//! - Questions about the cluster go to every node at once. Of several answers about a partition or the
//!   controller the one with the highest leader epoch counts: a node that was cut off knows old ones.
//! - Nodes that do not answer in 700 ms are left out when others do; only when none answers within
//!   [`WireAdmin::PATIENCE`] the question fails.
//! - A topic counts as created when every node that answers shows a leader for each of its partitions.
//! - Nothing is cached and every question opens its own connections, on a thread of its own.

use super::{Connection, Metadata, MetadataUnit, Quorum, WireError};
use squall_bus::{
    Admin, BoxFuture, Error, ErrorClass, Pending, Position, Topic, TopicSpec, TopicState, Unit,
};
use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, ToSocketAddrs},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// An administrator's handle. Cheap to clone.
#[derive(Clone, Debug)]
pub struct WireAdmin(Arc<Nodes>);

#[derive(Debug)]
pub(super) struct Nodes {
    /// Whom to ask.
    ask: Vec<SocketAddr>,
    /// Where each node is reached, if not where it says itself.
    direct: BTreeMap<u32, SocketAddr>,
}

impl WireAdmin {
    /// How long one node may take to answer, when none answers sooner.
    pub const PATIENCE: Duration = Duration::from_secs(3);
    /// How long a node may take to answer when another one does: a fault strikes in time although nodes are frozen.
    pub(super) const LOOK: Duration = Duration::from_millis(700);
    /// How long a group may be without a coordinator before a question about it fails.
    pub(super) const ELECTION: Duration = Duration::from_secs(15);
    /// How long a topic may take to get its leaders.
    const CREATION: Duration = Duration::from_secs(30);

    /// An administrator that finds the nodes as these ones advertise them: `host:port,host:port`.
    pub fn discover(bootstrap: &str) -> Result<Self, Error> {
        let mut ask = Vec::new();
        for address in bootstrap.split(',').map(str::trim).filter(|address| !address.is_empty()) {
            let resolved = address.to_socket_addrs().map_err(|error| {
                let says = format!("the address `{address}` cannot be used ({error}): write host:port");
                Error::new(ErrorClass::Refused, "_RESOLVE", says)
            })?;
            ask.extend(resolved.take(1));
        }
        if ask.is_empty() {
            let says = "no address of a broker is given: write host:port,host:port";
            return Err(Error::new(ErrorClass::Refused, "_INVALID_ARG", says));
        }
        Ok(Self(Arc::new(Nodes { ask, direct: BTreeMap::new() })))
    }

    /// An administrator that reaches node i of a cluster at the i-th of these addresses, whatever the node
    /// advertises; so it passes by proxies that break the clients' links.
    #[must_use]
    pub fn direct(addresses: &[SocketAddr]) -> Self {
        let direct = (1..).zip(addresses.iter().copied()).collect();
        Self(Arc::new(Nodes { ask: addresses.to_vec(), direct }))
    }

    /// The units of all topics that are not the brokers' own, as the nodes see them now.
    pub fn survey(&self) -> BoxFuture<'static, Result<BTreeMap<Unit, MetadataUnit>, Error>> {
        self.run(|nodes| {
            let answers = nodes.ask_all(Connection::metadata_of_all)?;
            let mut survey: BTreeMap<Unit, MetadataUnit> = BTreeMap::new();
            for topic in answers.iter().flat_map(|answer| &answer.topics).filter(|topic| !topic.internal) {
                for unit in &topic.units {
                    let partition = u32::try_from(unit.partition).unwrap_or_default();
                    let known = survey.entry(Unit::new(&Topic::new(&topic.name), partition));
                    let known = known.or_insert_with(|| unit.clone());
                    if unit.leader_epoch > known.leader_epoch {
                        *known = unit.clone();
                    }
                }
            }
            Ok(survey)
        })
    }

    fn run<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Nodes) -> Result<T, Error> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, Error>> {
        let nodes = Arc::clone(&self.0);
        let (completer, pending) = Pending::pair();
        let work = move || {
            if let Some(waker) = completer.complete(question(&nodes)) {
                waker.wake();
            }
        };
        match thread::Builder::new().name("squall-admin".to_owned()).spawn(work) {
            Ok(_) => Box::pin(pending),
            Err(error) => {
                let says = format!("a thread for the administrator could not be started: {error}");
                Box::pin(Pending::done(Err(Error::new(ErrorClass::Retriable, "_CRIT_SYS_RESOURCE", says))))
            }
        }
    }
}

impl Admin for WireAdmin {
    fn create_topics<'a>(&'a self, topics: &'a [TopicSpec]) -> BoxFuture<'a, Result<(), Error>> {
        let topics = topics.to_vec();
        self.run(move |nodes| nodes.create_topics(&topics))
    }

    fn delete_topic<'a>(&'a self, topic: &'a Topic) -> BoxFuture<'a, Result<(), Error>> {
        let topic = topic.clone();
        self.run(move |nodes| nodes.delete_topic(&topic))
    }

    fn create_partitions<'a>(&'a self, topic: &'a Topic, count: u32) -> BoxFuture<'a, Result<(), Error>> {
        let topic = topic.clone();
        self.run(move |nodes| nodes.create_partitions(&topic, count))
    }

    fn alter_topic<'a>(
        &'a self,
        topic: &'a Topic,
        config: &'a BTreeMap<String, String>,
    ) -> BoxFuture<'a, Result<(), Error>> {
        let (topic, config) = (topic.clone(), config.clone());
        self.run(move |nodes| nodes.alter_topic(&topic, &config))
    }

    fn delete_records<'a>(
        &'a self,
        unit: &'a Unit,
        upto: Option<Position>,
    ) -> BoxFuture<'a, Result<Position, Error>> {
        let unit = unit.clone();
        self.run(move |nodes| nodes.delete_records(&unit, upto))
    }

    fn describe<'a>(&'a self, topic: &'a Topic) -> BoxFuture<'a, Result<Vec<TopicState>, Error>> {
        let topic = topic.clone();
        self.run(move |nodes| nodes.describe(&topic))
    }

    fn bounds<'a>(&'a self, unit: &'a Unit) -> BoxFuture<'a, Result<(Position, Position), Error>> {
        let unit = unit.clone();
        self.run(move |nodes| nodes.bounds(&unit))
    }

    fn committed<'a>(
        &'a self,
        group: &'a str,
        unit: &'a Unit,
    ) -> BoxFuture<'a, Result<Option<Position>, Error>> {
        let (group, unit) = (group.to_owned(), unit.clone());
        self.run(move |nodes| nodes.committed(&group, &unit))
    }

    fn coordinator<'a>(&'a self, group: &'a str) -> BoxFuture<'a, Result<Option<u32>, Error>> {
        let group = group.to_owned();
        self.run(move |nodes| nodes.coordinator(&group))
    }

    fn controller(&self) -> BoxFuture<'_, Result<Option<u32>, Error>> {
        self.run(Nodes::controller)
    }
}

impl Nodes {
    /// The answers of all nodes that answer; at least one. A frozen node does not hold up the answer of the others.
    pub(super) fn ask_all<T: Send>(
        &self,
        question: impl Fn(&mut Connection) -> Result<T, WireError> + Sync,
    ) -> Result<Vec<T>, WireError> {
        match self.ask_each(&question, WireAdmin::LOOK) {
            Ok(answers) => Ok(answers),
            Err(_) => self.ask_each(&question, WireAdmin::PATIENCE),
        }
    }

    /// The answers that come within `patience`; at least one.
    fn ask_each<T: Send>(
        &self,
        question: &(impl Fn(&mut Connection) -> Result<T, WireError> + Sync),
        patience: Duration,
    ) -> Result<Vec<T>, WireError> {
        let ask = |node| question(&mut Connection::open(node, patience)?);
        let answers: Vec<Result<T, WireError>> = thread::scope(|scope| {
            let asked: Vec<_> = self.ask.iter().map(|&node| scope.spawn(move || ask(node))).collect();
            asked.into_iter().map(|thread| thread.join().unwrap_or(Err(WireError::Malformed))).collect()
        });
        let (good, bad): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        match bad.into_iter().find_map(Result::err) {
            Some(error) if good.is_empty() => Err(error),
            _ => Ok(good.into_iter().flatten().collect()),
        }
    }

    pub(super) fn metadata(&self, topic: &str) -> Result<Vec<Metadata>, WireError> {
        self.ask_all(|node| node.metadata(&[topic]))
    }

    pub(super) fn address(&self, node: u32, host: &str, port: i32) -> Result<SocketAddr, WireError> {
        if let Some(address) = self.direct.get(&node) {
            return Ok(*address);
        }
        let port = u16::try_from(port).map_err(|_| WireError::Malformed)?;
        let resolved = (host, port).to_socket_addrs().and_then(|mut addresses| {
            addresses.next().ok_or_else(|| io::Error::other(format!("the host {host} has no address")))
        });
        resolved.map_err(|source| WireError::Io { node: self.ask[0], source })
    }

    /// Whom to ask.
    pub(super) fn addresses(&self) -> &[SocketAddr] {
        &self.ask
    }

    pub(super) fn describe(&self, topic: &Topic) -> Result<Vec<TopicState>, Error> {
        let answers = self.metadata(topic.as_str())?;
        let units = newest(&answers);
        if units.is_empty() {
            return Err(crate::wire::codes::error(3, format!("no node knows the topic {topic}")));
        }
        let node = |number: &i32| u32::try_from(*number).ok();
        let state = |unit: MetadataUnit| TopicState {
            unit: Unit::new(topic, u32::try_from(unit.partition).unwrap_or_default()),
            leader: node(&unit.leader),
            replicas: unit.replicas.iter().filter_map(node).collect(),
            insync: unit.insync.iter().filter_map(node).collect(),
        };
        Ok(units.into_values().map(state).collect())
    }

    fn bounds(&self, unit: &Unit) -> Result<(Position, Position), Error> {
        let mut leader = Connection::open(self.leader(unit)?, WireAdmin::PATIENCE)?;
        let topic = unit.topic.as_str();
        let mut offset = |timestamp| leader.list_offset(topic, unit.partition, timestamp).map(position);
        Ok((offset(-2)?, offset(-1)?))
    }

    /// Where the leader of a unit is reached.
    pub(super) fn leader(&self, unit: &Unit) -> Result<SocketAddr, Error> {
        let topic = unit.topic.as_str();
        let answers = self.metadata(topic)?;
        let units = newest(&answers);
        let found = i32::try_from(unit.partition).ok().and_then(|partition| units.get(&partition));
        let leader =
            found.ok_or_else(|| crate::wire::codes::error(3, format!("no node knows {unit}")))?.leader;
        let mut brokers = answers.iter().flat_map(|answer| &answer.brokers);
        let Some((_, host, port)) = brokers.find(|(number, ..)| *number == leader) else {
            return Err(crate::wire::codes::error(5, format!("{unit} has no live leader")));
        };
        Ok(self.address(u32::try_from(leader).unwrap_or_default(), host, *port)?)
    }

    fn committed(&self, group: &str, unit: &Unit) -> Result<Option<Position>, Error> {
        let end = Instant::now() + WireAdmin::ELECTION;
        loop {
            match self.committed_now(group, unit) {
                Err(error) if error.class == ErrorClass::Retriable && Instant::now() < end => {
                    thread::sleep(Duration::from_millis(100));
                }
                done => return done,
            }
        }
    }

    fn committed_now(&self, group: &str, unit: &Unit) -> Result<Option<Position>, Error> {
        let Some((_, node)) = self.group_coordinator(group)? else {
            return Err(crate::wire::codes::error(
                15,
                format!("the group {group} has no coordinator at the moment"),
            ));
        };
        let mut coordinator = Connection::open(node, WireAdmin::PATIENCE)?;
        let offset = coordinator.offset_fetch(group, unit.topic.as_str(), unit.partition)?;
        Ok((offset >= 0).then(|| position(offset)))
    }

    fn controller(&self) -> Result<Option<u32>, Error> {
        let answers = self.ask_all(|node| match node.describe_quorum() {
            Err(WireError::Broker { .. }) => Ok(None),
            other => other.map(Some),
        })?;
        let newest: Option<Quorum> = answers.into_iter().flatten().max();
        Ok(newest.and_then(|quorum| u32::try_from(quorum.leader).ok()))
    }

    fn create_topics(&self, topics: &[TopicSpec]) -> Result<(), Error> {
        let end = Instant::now() + WireAdmin::CREATION;
        let mut left = topics.to_vec();
        let mut ask = self.ask.iter().cycle();
        while !left.is_empty() {
            let node = *ask.next().unwrap_or(&self.ask[0]);
            let tried = Connection::open(node, WireAdmin::PATIENCE)
                .and_then(|mut node| node.create_topics(&left, WireAdmin::PATIENCE));
            match tried {
                Ok(answers) => self.settle(&mut left, &answers, end)?,
                Err(error) if Instant::now() > end => return Err(error.into()),
                Err(_) => thread::sleep(Duration::from_millis(100)),
            }
        }
        topics.iter().try_for_each(|spec| self.await_leaders(spec, end))
    }

    /// Takes off the list what was created or was there already in the same shape.
    fn settle(
        &self,
        left: &mut Vec<TopicSpec>,
        answers: &[(String, i16, String)],
        end: Instant,
    ) -> Result<(), Error> {
        for (name, code, message) in answers {
            let error = crate::wire::codes::error((*code).into(), format!("topic {name}: {message}"));
            match code {
                0 => {}
                36 => {
                    if let Some(spec) = left.iter().find(|spec| spec.topic.as_str() == name) {
                        self.await_leaders(spec, end)?;
                    }
                }
                _ if error.class == ErrorClass::Retriable && Instant::now() < end => {
                    thread::sleep(Duration::from_millis(100));
                    continue;
                }
                _ => return Err(error),
            }
            left.retain(|spec| spec.topic.as_str() != name);
        }
        Ok(())
    }

    /// Waits until every node that answers shows a leader for each partition, and compares the shape.
    fn await_leaders(&self, spec: &TopicSpec, end: Instant) -> Result<(), Error> {
        loop {
            let answers = self.metadata(spec.topic.as_str())?;
            let led = |answer: &Metadata| {
                let units = answer.topics.iter().flat_map(|topic| &topic.units);
                units.filter(|unit| unit.leader >= 0).count()
            };
            let known = newest(&answers);
            if !known.is_empty() && answers.iter().all(|answer| led(answer) == known.len()) {
                return same_shape(spec, &known);
            }
            if Instant::now() > end {
                let says = format!("the topic {} did not get its leaders in time", spec.topic);
                return Err(crate::wire::codes::error(5, says));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

fn same_shape(spec: &TopicSpec, found: &BTreeMap<i32, MetadataUnit>) -> Result<(), Error> {
    let replicas = found.values().map(|unit| unit.replicas.len()).max().unwrap_or(0);
    if found.len() == spec.partitions as usize && replicas == spec.replicas as usize {
        return Ok(());
    }
    let says = format!(
        "the topic {} is there with {} partitions and {replicas} replicas, and {} and {} were asked for: \
         delete it, or use another name",
        spec.topic,
        found.len(),
        spec.partitions,
        spec.replicas
    );
    Err(crate::wire::codes::error(36, says))
}

/// For each partition the answer that counts: the first one of the highest leader epoch.
pub(super) fn newest(answers: &[Metadata]) -> BTreeMap<i32, MetadataUnit> {
    let mut newest: BTreeMap<i32, MetadataUnit> = BTreeMap::new();
    for unit in answers.iter().flat_map(|answer| &answer.topics).flat_map(|topic| &topic.units) {
        let known = newest.entry(unit.partition).or_insert_with(|| unit.clone());
        if unit.leader_epoch > known.leader_epoch {
            *known = unit.clone();
        }
    }
    newest
}

fn position(offset: i64) -> Position {
    Position(u64::try_from(offset).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::MetadataTopic;

    fn answer(leader: i32, leader_epoch: i32) -> Metadata {
        let unit = MetadataUnit { partition: 0, leader, leader_epoch, replicas: vec![1, 2], insync: vec![1] };
        let topic = MetadataTopic { error: 0, name: "orders".to_owned(), internal: false, units: vec![unit] };
        Metadata { brokers: Vec::new(), topics: vec![topic] }
    }

    #[test]
    fn a_node_that_was_cut_off_is_outvoted_by_the_newest_epoch() {
        let answers = [answer(1, 4), answer(2, 5), answer(1, 4)];
        assert_eq!(newest(&answers)[&0].leader, 2);
    }

    #[test]
    fn another_shape_is_refused_with_both_shapes() {
        let spec = TopicSpec {
            topic: Topic::new("orders"),
            partitions: 3,
            replicas: 2,
            min_insync: 1,
            config: BTreeMap::new(),
        };
        let error = same_shape(&spec, &newest(&[answer(1, 0)])).expect_err("another shape").to_string();
        assert!(error.contains("with 1 partitions and 2 replicas, and 3 and 2 were asked for"), "{error}");
    }

    #[test]
    fn a_bad_address_is_refused() {
        let error = WireAdmin::discover("nonsense").expect_err("no port").to_string();
        assert!(error.contains("write host:port"), "{error}");
        assert!(WireAdmin::discover(" , ").is_err());
    }

    #[test]
    fn nobody_there_is_a_retriable_error() {
        // Port 1 of loopback: nobody listens there.
        let nodes = Nodes { ask: vec![SocketAddr::from(([127, 0, 0, 1], 1))], direct: BTreeMap::new() };
        let error = nodes.controller().expect_err("nobody answers");
        assert_eq!((error.class, &*error.code), (ErrorClass::Retriable, "_TRANSPORT"));
    }
}
