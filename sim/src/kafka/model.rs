//! Kafka as the simulated bus sees it.

use super::{
    Kafka,
    admin::Wanted,
    client::Client,
    controller::default_settings,
    coordinator::{offsets_partitions, partition_of},
    error::ErrorCode,
    metadata::{PartitionImage, TopicId, TopicSettings},
    protocol::{CommittedOffset, PartitionId, TopicIx},
    replica::Replica,
    rules::Rules,
    topic_config,
};
use crate::{
    kernel::{Choices, Ctx, NodeId, Site},
    model::{BusModel, OpId, said},
};
use squall_bus::{
    AckModel, Capabilities, Capability, ConsumerConfig, ConsumerEvent, Delivery, Error, ErrorClass, Position,
    ProducerConfig, Record, Role, Subscription, Topic, TopicSpec, TopicState, Unit,
};
use std::{cell::RefCell, collections::BTreeMap, task::Poll};

const MINORITY: Site = Site::new("kafka.minority");

thread_local! {
    /// What rules said last.
    static SAID: RefCell<Option<(Rules, String)>> = const { RefCell::new(None) };
}

/// What a simulated Kafka can do.
pub(super) fn capabilities() -> Capabilities {
    use Capability as C;
    let faults = [C::PowerFail, C::LinkFaults, C::DropResponses, C::ProcessFaults, C::ClientFaults];
    Capabilities::new(AckModel::Prefix, true, &[&C::OF_LOGS[..], &faults].concat())
}

fn refused(code: &'static str, message: String) -> Error {
    Error::new(ErrorClass::Refused, code, message)
}

fn unknown_topic(topic: &Topic) -> Error {
    refused("UNKNOWN_TOPIC_OR_PARTITION", format!("the topic `{topic}` does not exist; create it first"))
}

/// Sets a topic's settings by Kafka's own names.
fn put_config(
    topic: &Topic,
    config: &BTreeMap<String, String>,
    settings: &mut TopicSettings,
) -> Result<(), Error> {
    config.iter().try_for_each(|(name, value)| {
        topic_config::set(settings, name, value).map_err(|error| {
            let message = format!("the topic `{topic}`: {}", error.message);
            Error { message, ..error }
        })
    })
}

fn no_leader(unit: &Unit) -> Error {
    let message = format!("{unit} has no leader now");
    Error::new(ErrorClass::Retriable, "LEADER_NOT_AVAILABLE", message)
}

impl Kafka {
    fn slot(&mut self, node: NodeId) -> Result<&mut Option<Client>, Error> {
        let index = node.index().checked_sub(self.servers.len()).ok_or_else(|| {
            refused("INVALID_CONFIG", format!("{node} is a broker; a client needs a node of its own"))
        })?;
        if index >= self.clients.len() {
            self.clients.resize_with(index + 1, || None);
        }
        Ok(&mut self.clients[index])
    }

    #[inline]
    fn client(&self, node: NodeId) -> Option<&Client> {
        self.clients.get(node.index().checked_sub(self.servers.len())?)?.as_ref()
    }

    /// Has the topic created that keeps transactions, unless there is one.
    pub(super) fn use_transactions(&mut self) {
        if self.shared.names.transaction_state().is_some() {
            return;
        }
        let topic = self.shared.names.intern_transaction_state();
        let rules = &self.shared.rules;
        let replicas = rules.transactions_replicas.min(self.shared.brokers);
        let (partitions, min_insync) = (rules.transactions_partitions, rules.transactions_min_insync);
        let settings = default_settings(min_insync.min(replicas), rules);
        let wanted = self.new_topic(topic, settings, partitions, replicas);
        self.want(Wanted::Create(wanted));
    }

    /// A producer puts positions of a group into its transaction, with the membership of a consumer beside it.
    pub(super) fn send_positions(
        &mut self,
        node: NodeId,
        op: OpId,
        group: &str,
        positions: &[(Unit, Position)],
        peers: &[NodeId],
        ctx: &mut Ctx<'_, Self>,
    ) {
        let group = self.shared.names.intern_group(group);
        let member = peers.iter().find_map(|peer| self.client(*peer)?.membership(group));
        let offset = |(unit, position): &(Unit, Position)| {
            let partition = self.shared.names.partition(unit)?;
            Some(CommittedOffset { partition, offset: position.0, leader_epoch: None, metadata_bytes: 0 })
        };
        let offsets = positions.iter().filter_map(offset).collect();
        if let Some(index) = node.index().checked_sub(self.servers.len())
            && let Some(Some(client)) = self.clients.get_mut(index)
        {
            client.send_positions(op, group, member, offsets, ctx, &self.shared);
        }
    }

    fn same_shape(&self, topic: TopicIx, spec: &TopicSpec) -> Option<bool> {
        self.topic_to_be(topic)?;
        let known = self.topic_partitions(topic)?;
        let replicas = known.first().map_or(0, |partition| partition.replicas.len());
        Some(known.len() == spec.partitions as usize && replicas == spec.replicas as usize)
    }

    fn partition(&self, unit: &Unit) -> Result<(PartitionId, &PartitionImage), Error> {
        let id = self.shared.names.partition(unit).ok_or_else(|| unknown_topic(&unit.topic))?;
        self.topic_to_be(id.topic).ok_or_else(|| unknown_topic(&unit.topic))?;
        let known = self.partition_image(id);
        known.map(|known| (id, known)).ok_or_else(|| unknown_topic(&unit.topic))
    }

    /// A topic that exists, or will when everything is done that was asked for: its id, settings and partitions.
    fn topic_now(&self, topic: &Topic) -> Result<(TopicIx, TopicId, TopicSettings, u32), Error> {
        let ix = self.shared.names.find_topic(topic);
        let known =
            ix.and_then(|ix| self.topic_to_be(ix).map(|(id, settings, count)| (ix, id, settings, count)));
        known.ok_or_else(|| unknown_topic(topic))
    }

    /// The replica that the controller takes for the leader, and its node.
    fn leading_replica(&self, unit: &Unit) -> Result<(&Replica, NodeId), Error> {
        let (id, known) = self.partition(unit)?;
        let leader = known.leader.ok_or_else(|| no_leader(unit))?;
        let replica = self.servers[leader.index()].data().and_then(|broker| broker.replica(id));
        replica.map(|replica| (replica, leader)).ok_or_else(|| {
            let message = format!("the leader of {unit} has not heard of it yet");
            Error::new(ErrorClass::Retriable, "NOT_LEADER_OR_FOLLOWER", message)
        })
    }

    /// Who coordinates a transactional id.
    fn transaction_coordinator(&self, name: &str) -> Option<NodeId> {
        self.shared.names.find_transaction(name)?;
        let topic = self.shared.names.transaction_state()?;
        let partitions = self.truth.topic(topic)?.partitions.len() as u32;
        self.truth.partition(PartitionId::new(topic, partition_of(name, partitions)))?.leader
    }

    fn coordinator(&self, group: &str) -> Option<(u32, NodeId)> {
        let partition = self.offsets_partition(group);
        let id = PartitionId::new(TopicIx::CONSUMER_OFFSETS, partition);
        Some((partition, self.truth.partition(id)?.leader?))
    }

    /// Which partition of the offsets topic keeps a group.
    pub(super) fn offsets_partition(&self, group: &str) -> u32 {
        partition_of(group, offsets_partitions(&self.truth))
    }

    /// The largest set of servers that is not a majority, drawn.
    fn minority(&self, choices: &Choices) -> Vec<NodeId> {
        let brokers = self.shared.brokers;
        let first = choices.below(MINORITY, 0, 0, u64::from(brokers)) as u32;
        let mut nodes: Vec<NodeId> =
            (0..(brokers - 1) / 2).map(|step| NodeId((first + step) % brokers)).collect();
        nodes.sort_unstable();
        nodes
    }
}

impl BusModel for Kafka {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn rules(&self) -> String {
        said(&SAID, &self.shared.rules)
    }

    fn brokers(&self) -> u32 {
        self.shared.brokers
    }

    fn servers(&self) -> u32 {
        self.shared.servers
    }

    fn open_producer(&mut self, node: NodeId, config: ProducerConfig) -> Result<(), Error> {
        if let Some(name) = &config.transactional_id {
            self.shared.names.intern_transaction(name);
            self.use_transactions();
        }
        let client = Client::producer(config, &self.shared)?;
        *self.slot(node)? = Some(client);
        Ok(())
    }

    fn open_consumer(&mut self, node: NodeId, config: ConsumerConfig) -> Result<(), Error> {
        match &config.subscription {
            Subscription::Group { group, topics } => {
                self.shared.names.intern_group(group);
                for topic in topics {
                    self.shared.names.intern_topic(topic);
                }
            }
            Subscription::Assign(units) => {
                for (unit, _) in units {
                    self.shared.names.intern_topic(&unit.topic);
                }
            }
        }
        let client = Client::consumer(config, &self.shared)?;
        *self.slot(node)? = Some(client);
        Ok(())
    }

    fn has_room(&self, node: NodeId) -> Result<bool, Error> {
        self.client(node).ok_or_else(Error::closed)?.has_room()
    }

    #[inline]
    fn takes_records(&self, node: NodeId) -> bool {
        matches!(self.client(node), Some(Client::Producer(producer)) if producer.takes_records())
    }

    fn send(&mut self, node: NodeId, op: OpId, record: Record, ctx: &mut Ctx<'_, Self>) {
        let client =
            node.index().checked_sub(self.servers.len()).and_then(|index| self.clients.get_mut(index));
        if !matches!(client, Some(Some(Client::Producer(producer))) if producer.knows(&record.topic)) {
            self.shared.names.intern_topic(&record.topic);
        }
        if let Some(Some(client)) = client {
            client.send(op, record, ctx, &self.shared);
        }
    }

    fn take_record(&mut self, node: NodeId, ctx: &mut Ctx<'_, Self>) -> Poll<Result<Delivery, Error>> {
        let index = node.index().wrapping_sub(self.servers.len());
        match self.clients.get_mut(index) {
            Some(Some(client)) => client.take_record(ctx, &self.shared),
            _ => Poll::Pending,
        }
    }

    fn take_event(&mut self, node: NodeId, ctx: &mut Ctx<'_, Self>) -> Option<ConsumerEvent> {
        let index = node.index().checked_sub(self.servers.len())?;
        self.clients.get_mut(index)?.as_mut()?.take_event(ctx)
    }

    fn create_topic(&mut self, spec: &TopicSpec, _: &Choices) -> Result<(), Error> {
        let topic = self.shared.names.intern_topic(&spec.topic);
        match self.same_shape(topic, spec) {
            Some(true) => return Ok(()),
            Some(false) => {
                let message = format!("the topic `{}` exists with another shape", spec.topic);
                return Err(refused("TOPIC_ALREADY_EXISTS", message));
            }
            None => {}
        }
        let brokers = self.truth.unfenced().count();
        if spec.partitions == 0 || spec.replicas == 0 || spec.replicas as usize > brokers {
            let message = format!(
                "the topic `{}` cannot have {} partitions with {} replicas: there are {brokers} live brokers",
                spec.topic, spec.partitions, spec.replicas
            );
            return Err(refused("INVALID_REPLICATION_FACTOR", message));
        }
        let mut settings = default_settings(spec.min_insync, &self.shared.rules);
        put_config(&spec.topic, &spec.config, &mut settings)?;
        let wanted = self.new_topic(topic, settings, spec.partitions, spec.replicas);
        self.want(Wanted::Create(wanted));
        Ok(())
    }

    fn delete_topic(&mut self, topic: &Topic) -> Result<(), Error> {
        let (ix, id, ..) = self.topic_now(topic)?;
        self.want(Wanted::Delete(ix, id));
        Ok(())
    }

    fn create_partitions(&mut self, topic: &Topic, count: u32) -> Result<(), Error> {
        let (ix, id, _, before) = self.topic_now(topic)?;
        if count < before {
            let message = format!("the topic `{topic}` has {before} partitions; {count} would be fewer");
            return Err(refused("INVALID_PARTITIONS", message));
        }
        if count > before {
            self.want(Wanted::Grow(ix, id, count));
        }
        Ok(())
    }

    fn alter_topic(&mut self, topic: &Topic, config: &BTreeMap<String, String>) -> Result<(), Error> {
        let (ix, id, mut altered, _) = self.topic_now(topic)?;
        put_config(topic, config, &mut altered)?;
        let config = config.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        self.want(Wanted::Alter(ix, id, config, Box::new(altered)));
        Ok(())
    }

    fn delete_records(&mut self, unit: &Unit, upto: Option<Position>) -> Result<Position, Error> {
        let (id, leader) = (self.partition(unit)?.0, self.leading_replica(unit)?.1);
        let broker = self.servers[leader.index()].data_mut();
        let done = broker.map(|broker| broker.delete_before(id, upto.map(|upto| upto.0)));
        match done {
            Some(Ok(start)) => Ok(Position(start)),
            Some(Err(ErrorCode::OffsetOutOfRange)) => {
                let message =
                    format!("the log of {unit} ends before the place up to which records are to go");
                Err(refused("OFFSET_OUT_OF_RANGE", message))
            }
            Some(Err(_)) | None => Err(no_leader(unit)),
        }
    }

    fn describe(&self, topic: &Topic) -> Result<Vec<TopicState>, Error> {
        let known = self.topic_now(topic).ok().and_then(|(ix, ..)| self.topic_partitions(ix));
        let known = known.ok_or_else(|| unknown_topic(topic))?;
        let state = |(number, partition): (usize, &PartitionImage)| TopicState {
            unit: Unit::new(topic, number as u32),
            leader: partition.leader.map(|node| node.0 + 1),
            replicas: partition.replicas.iter().map(|node| node.0 + 1).collect(),
            insync: partition.isr.iter().map(|node| node.0 + 1).collect(),
        };
        Ok(known.iter().enumerate().map(state).collect())
    }

    fn bounds(&self, unit: &Unit) -> Result<(Position, Position), Error> {
        let (replica, _) = self.leading_replica(unit)?;
        Ok((Position(replica.log.start()), Position(replica.high_watermark)))
    }

    fn stable(&self, unit: &Unit) -> Result<Option<Position>, Error> {
        let (replica, _) = self.leading_replica(unit)?;
        Ok(Some(Position(replica.last_stable())))
    }

    fn committed(&self, group: &str, unit: &Unit) -> Result<Option<Position>, Error> {
        let (id, _) = self.partition(unit)?;
        let Some(ix) = self.shared.names.find_group(group) else { return Ok(None) };
        let away = || {
            let message = format!("the group `{group}` has no coordinator now");
            Error::new(ErrorClass::Retriable, "COORDINATOR_NOT_AVAILABLE", message)
        };
        let (partition, node) = self.coordinator(group).ok_or_else(away)?;
        let broker = self.servers[node.index()].data().ok_or_else(away)?;
        Ok(broker.coordinator.position(partition, ix, &id).ok_or_else(away)?.map(Position))
    }

    fn resolve(&self, role: &Role) -> Vec<NodeId> {
        let followers = |unit: &Unit| match self.partition(unit) {
            Ok((_, known)) => {
                let mut nodes: Vec<NodeId> =
                    known.replicas.iter().copied().filter(|node| known.leader != Some(*node)).collect();
                nodes.sort_unstable();
                nodes
            }
            Err(_) => Vec::new(),
        };
        match role {
            Role::Leader(unit) => {
                self.partition(unit).ok().and_then(|(_, known)| known.leader).into_iter().collect()
            }
            Role::Follower(unit) => {
                let image = &self.truth;
                followers(unit).into_iter().find(|node| image.is_active(*node)).into_iter().collect()
            }
            Role::Followers(unit) => followers(unit),
            // A transactional id has a coordinator of its own, unless a group is called like that.
            Role::Coordinator(name) => match self.shared.names.find_group(name) {
                None if self.shared.names.find_transaction(name).is_some() => {
                    self.transaction_coordinator(name).into_iter().collect()
                }
                _ => self.coordinator(name).map(|(_, node)| node).into_iter().collect(),
            },
            Role::Controller => self.active_controller().into_iter().collect(),
            Role::Minority => self.minority(&self.choices),
            Role::Node(number) if (1..=self.shared.servers).contains(number) => vec![NodeId(number - 1)],
            Role::Node(_) | Role::Client(_) => Vec::new(),
            Role::All => (0..self.shared.servers).map(NodeId).collect(),
        }
    }
}
