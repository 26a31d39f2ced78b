//! NATS as the simulated bus sees it.

use super::{
    Nats, Rules,
    client::Client,
    config::{Discard, StreamAssignment, StreamConfig},
    consumer::Consumer,
    meta::Meta,
    protocol::{ConsumerId, StreamIx},
    raft::{
        Raft,
        message::{GroupId, Op},
    },
    server::Server,
    stream::Stream,
};
use crate::{
    kernel::{Choices, Ctx, NodeId, Site},
    model::{BusModel, said},
};
use squall_bus::{
    AckModel, Capabilities, Capability, ConsumerConfig, ConsumerEvent, Delivery, Error, ErrorClass, Position,
    ProducerConfig, Role, Subscription, Topic, TopicSpec, TopicState, Unit, lowering::Lowering,
};
use std::{cell::RefCell, sync::Arc, task::Poll, time::Duration};

const MINORITY: Site = Site::new("nats.minority");

thread_local! {
    /// What rules said last.
    static SAID: RefCell<Option<(Rules, String)>> = const { RefCell::new(None) };
}

/// What a simulated NATS can do.
pub(super) fn capabilities(rules: &Rules) -> Capabilities {
    use Capability as C;
    let mut capabilities = Capabilities::new(
        AckModel::Individual,
        false,
        &[
            C::Idempotence,
            C::AckNone,
            C::Redelivery,
            C::PowerFail,
            C::LinkFaults,
            C::DropResponses,
            C::ProcessFaults,
            C::ClientFaults,
        ],
    );
    capabilities.dedup_window = Some(rules.duplicate_window);
    capabilities.lowering = Lowering::Streams;
    capabilities
}

fn refused(code: &'static str, message: String) -> Error {
    Error::new(ErrorClass::Refused, code, message)
}

fn unknown_topic(topic: &Topic) -> Error {
    refused("10059", format!("there is no stream for the topic `{topic}`; create it first"))
}

fn no_leader(what: &str) -> Error {
    Error::new(ErrorClass::Retriable, "10008", format!("{what} has no leader now"))
}

/// A stream's settings by NATS' own names.
fn settings(spec: &TopicSpec, rules: &Rules) -> Result<StreamConfig, Error> {
    let mut config = StreamConfig {
        replicas: spec.replicas,
        partitions: spec.partitions,
        duplicate_window: rules.duplicate_window,
        max_message_bytes: rules.max_payload,
        max_messages: None,
        discard: Discard::Old,
    };
    for (name, value) in &spec.config {
        let wrong =
            || refused("10052", format!("the stream of `{}` cannot have `{name}: {value}`", spec.topic));
        match (name.as_str(), value.as_str()) {
            ("max_msg_size", _) => config.max_message_bytes = value.parse().map_err(|_| wrong())?,
            ("max_msgs", _) => config.max_messages = Some(value.parse().map_err(|_| wrong())?),
            ("duplicate_window", _) => {
                config.duplicate_window = Duration::from_nanos(value.parse().map_err(|_| wrong())?);
            }
            ("discard", "old") => config.discard = Discard::Old,
            ("discard", "new") => config.discard = Discard::New,
            ("discard", _) => return Err(wrong()),
            _ => {
                let message = format!(
                    "the topic `{}` sets `{name}`, which the simulated NATS does not model; it knows discard, \
                     duplicate_window (ns), max_msg_size, max_msgs",
                    spec.topic
                );
                return Err(refused("INVALID_CONFIG", message));
            }
        }
    }
    Ok(config)
}

impl Nats {
    fn slot(&mut self, node: NodeId) -> Result<&mut Option<Client>, Error> {
        let index = node.index().checked_sub(self.servers.len()).ok_or_else(|| {
            refused("INVALID_CONFIG", format!("{node} is a server; a client needs a node of its own"))
        })?;
        if index >= self.clients.len() {
            self.clients.resize_with(index + 1, || None);
        }
        Ok(&mut self.clients[index])
    }

    fn client(&self, node: NodeId) -> Option<&Client> {
        self.clients.get(node.index().checked_sub(self.servers.len())?)?.as_ref()
    }

    /// The server that leads a group; of two that believe it, the one of the later term is right.
    fn leader_of(&self, group: GroupId) -> Option<&Server> {
        let term = |server: &Server| server.rafts.get(&group).filter(|raft| raft.is_active()).map(Raft::term);
        self.servers.iter().filter(|server| term(server).is_some()).max_by_key(|server| term(server))
    }

    /// The assignments as the meta leader knows them, or else whoever knows most.
    fn assignments(&self) -> &Meta {
        let known = |server: &&Server| server.rafts.get(&GroupId::Meta).map_or(0, Raft::commit);
        let best = self.leader_of(GroupId::Meta).or_else(|| self.servers.iter().max_by_key(known));
        best.map_or(&self.servers[0].meta, |server| &server.meta)
    }

    fn assignment(&self, topic: &Topic) -> Result<&Arc<StreamAssignment>, Error> {
        let stream = self.shared.names.find_stream(topic);
        let known = stream.and_then(|stream| self.assignments().streams.get(&stream));
        known.ok_or_else(|| unknown_topic(topic))
    }

    /// The stream of a unit, as its leader has it.
    fn led_stream(&self, unit: &Unit) -> Result<&Stream, Error> {
        let assignment = self.assignment(&unit.topic)?;
        if unit.partition >= assignment.config.partitions {
            return Err(unknown_topic(&unit.topic));
        }
        let leader = self.leader_of(GroupId::Stream(assignment.stream));
        let stream = leader.and_then(|server| server.streams.get(&assignment.stream));
        stream.ok_or_else(|| no_leader(&format!("the stream of `{}`", unit.topic)))
    }

    /// The consumer that serves a unit to a group.
    fn consumer_of(&self, group: &str, stream: StreamIx, partition: u32) -> Option<ConsumerId> {
        let group = self.shared.names.find_group(group)?;
        let consumers = &self.assignments().consumers;
        [Some(partition), None]
            .map(|partition| ConsumerId::durable(stream, group, partition))
            .into_iter()
            .find(|id| consumers.contains_key(id))
    }

    fn coordinator(&self, group: &str) -> Option<NodeId> {
        let group = self.shared.names.find_group(group)?;
        let of_group = |id: &&ConsumerId| matches!(id.name, super::protocol::ConsumerName::Durable(known, _) if known == group);
        let consumer = *self.assignments().consumers.keys().find(of_group)?;
        self.leader_of(GroupId::Consumer(consumer)).map(|server| server.me)
    }

    /// Whether the stream's leader reaches a server, whose copy has everything that the leader knows to be
    /// committed.
    fn is_current(&self, server: NodeId, stream: StreamIx) -> bool {
        let group = GroupId::Stream(stream);
        let last = |server: &Server| server.rafts.get(&group).map(|raft| raft.log().last());
        self.leader_of(group).is_some_and(|leader| {
            let committed = leader.rafts.get(&group).map(Raft::commit);
            leader.routes.reaches(server) && last(&self.servers[server.index()]) >= committed
        })
    }

    /// The largest set of servers that is not a majority, drawn.
    fn minority(&self) -> Vec<NodeId> {
        let servers = self.shared.servers;
        let first = self.choices.below(MINORITY, 0, 0, u64::from(servers)) as u32;
        let mut nodes: Vec<NodeId> =
            (0..(servers - 1) / 2).map(|step| NodeId((first + step) % servers)).collect();
        nodes.sort_unstable();
        nodes
    }

    fn stream_leader(&self, unit: &Unit) -> Option<NodeId> {
        let stream = self.assignment(&unit.topic).ok()?.stream;
        self.leader_of(GroupId::Stream(stream)).map(|server| server.me)
    }

    fn followers(&self, unit: &Unit) -> Vec<NodeId> {
        let leader = self.stream_leader(unit);
        match self.assignment(&unit.topic) {
            Ok(assignment) => assignment.peers.iter().filter(|peer| Some(*peer) != leader).collect(),
            Err(_) => Vec::new(),
        }
    }
}

/// Everything of a partition before this position is acknowledged.
fn acknowledged(consumer: &Consumer, stream: &Stream, partition: u32) -> Position {
    let of_partition =
        |seq: &&u64| stream.message(**seq).is_some_and(|message| message.partition == partition);
    let lowest = consumer.state.pending.keys().find(of_partition);
    Position(lowest.copied().unwrap_or(consumer.state.stream_seq + 1))
}

impl BusModel for Nats {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn rules(&self) -> String {
        said(&SAID, &self.shared.rules)
    }

    fn brokers(&self) -> u32 {
        self.shared.servers
    }

    fn open_producer(&mut self, node: NodeId, config: ProducerConfig) -> Result<(), Error> {
        let client = Client::producer(config, &self.shared)?;
        *self.slot(node)? = Some(client);
        Ok(())
    }

    fn open_consumer(&mut self, node: NodeId, config: ConsumerConfig) -> Result<(), Error> {
        match &config.subscription {
            Subscription::Group { group, topics } => {
                self.shared.names.intern_group(group);
                for topic in topics {
                    self.shared.names.intern_stream(topic);
                }
            }
            Subscription::Assign(units) => {
                for (unit, _) in units {
                    self.shared.names.intern_stream(&unit.topic);
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

    fn create_topic(&mut self, spec: &TopicSpec, choices: &Choices) -> Result<(), Error> {
        let stream = self.shared.names.intern_stream(&spec.topic);
        let config = settings(spec, &self.shared.rules)?;
        match self.assignments().streams.get(&stream) {
            Some(known) if *known.config == config => return Ok(()),
            Some(_) => {
                let message = format!("the stream of `{}` exists with another configuration", spec.topic);
                return Err(refused("10058", message));
            }
            None => {}
        }
        if spec.partitions == 0 {
            return Err(refused("INVALID_CONFIG", format!("the topic `{}` needs a partition", spec.topic)));
        }
        let servers = super::api::all(self.shared.servers);
        let incarnation = u64::from(stream.0) + 1;
        let placed = Meta::place_stream(stream, Arc::new(config), servers, incarnation, None, choices);
        let assignment = placed.ok_or_else(|| {
            let (topic, replicas, servers) = (&spec.topic, spec.replicas, servers.len());
            let message =
                format!("no suitable peers for `{topic}`: {replicas} replicas on {servers} servers");
            refused("10005", message)
        })?;
        let op = Op::AssignStream(Arc::new(assignment));
        if self.servers.iter().all(Server::is_new) {
            self.servers.iter_mut().for_each(|server| server.preset(op.clone()));
            return Ok(());
        }
        let leader = self.leader_of(GroupId::Meta).map(|server| server.me);
        let leader = leader.ok_or_else(|| no_leader("the meta group"))?;
        self.servers[leader.index()].outside.push(op);
        Ok(())
    }

    fn describe(&self, topic: &Topic) -> Result<Vec<TopicState>, Error> {
        let assignment = self.assignment(topic)?;
        let stream = assignment.stream;
        let number = |node: NodeId| node.0 + 1;
        let leader = self.leader_of(GroupId::Stream(stream)).map(|server| number(server.me));
        let insync = assignment.peers.iter().filter(|peer| self.is_current(*peer, stream));
        let insync: Vec<u32> = insync.map(number).collect();
        let state = |partition| TopicState {
            unit: Unit::new(topic, partition),
            leader,
            replicas: assignment.peers.iter().map(number).collect(),
            insync: insync.clone(),
        };
        Ok((0..assignment.config.partitions).map(state).collect())
    }

    fn bounds(&self, unit: &Unit) -> Result<(Position, Position), Error> {
        let bounds = self.led_stream(unit)?.bounds(unit.partition);
        let (first, end) = bounds.ok_or_else(|| unknown_topic(&unit.topic))?;
        Ok((Position(first), Position(end)))
    }

    fn committed(&self, group: &str, unit: &Unit) -> Result<Option<Position>, Error> {
        let stream = self.assignment(&unit.topic)?.stream;
        let Some(id) = self.consumer_of(group, stream, unit.partition) else { return Ok(None) };
        let away = || no_leader(&format!("the consumer of the group `{group}`"));
        let server = self.leader_of(GroupId::Consumer(id)).ok_or_else(away)?;
        let consumer = server.consumers.get(&id).ok_or_else(away)?;
        let stream = server.streams.get(&stream).ok_or_else(away)?;
        Ok(consumer.state.started.then(|| acknowledged(consumer, stream, unit.partition)))
    }

    fn resolve(&self, role: &Role) -> Vec<NodeId> {
        match role {
            Role::Leader(unit) => self.stream_leader(unit).into_iter().collect(),
            Role::Follower(unit) => {
                let stream = self.assignment(&unit.topic).map(|assignment| assignment.stream);
                let current =
                    |node: &NodeId| stream.as_ref().is_ok_and(|stream| self.is_current(*node, *stream));
                self.followers(unit).into_iter().find(current).into_iter().collect()
            }
            Role::Followers(unit) => self.followers(unit),
            Role::Coordinator(group) => self.coordinator(group).into_iter().collect(),
            Role::Controller => self.leader_of(GroupId::Meta).map(|server| server.me).into_iter().collect(),
            Role::Minority => self.minority(),
            Role::Node(number) if (1..=self.shared.servers).contains(number) => vec![NodeId(number - 1)],
            Role::Node(_) | Role::Client(_) => Vec::new(),
            Role::All => (0..self.shared.servers).map(NodeId).collect(),
        }
    }
}
