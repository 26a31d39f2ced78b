//! Kafka: brokers, controllers, replicated partitions, groups, and the client libraries.
//!
//! - Nodes 0 to n-1 are the brokers; dedicated controllers follow, if the [`Rules`] have any; clients come after
//!   them, in order of opening. Each is a sans-IO state machine that reacts to events with a [`Ctx`].
//! - Clients are in [`client`]; they and the brokers share nothing but [`Shared`] (rules and interned names) and
//!   the messages of [`protocol`].
//! - Model code asks its rules, never which version or bug this is.

mod admin;
mod answers;
mod assign;
pub mod batch;
mod broker;
pub mod bugs;
mod by_partition;
mod by_pid;
mod cleaner;
pub mod client;
pub mod config;
mod conns;
mod controller;
mod coordinator;
mod delete_records;
mod deletion;
mod election;
pub mod error;
mod fetch;
mod fetcher;
pub mod group;
pub mod group_protocol;
pub mod invariants;
mod isr;
mod lifecycle;
mod links;
mod liveness;
mod log;
mod log_requests;
mod lookups;
mod lull;
pub mod metadata;
mod model;
pub mod names;
mod near;
mod placement;
mod produce;
mod producers;
pub mod profile;
pub mod protocol;
pub mod quorum;
mod replica;
mod retention;
pub mod rules;
mod segments;
mod server;
#[cfg(test)]
mod tests;
pub mod topic_config;
mod topics;
pub mod txn;
mod voter;
mod wire;

pub use error::ErrorCode;
pub use names::Names;
pub use rules::Rules;

use crate::nodes::{MAX_NODES, NodeSet};
use crate::{
    kernel::{Choices, Ctx, Digest, Event, Model, NodeId, Site, mix},
    model::{BusModel, Call, Note, Output, TxnCall},
};
use admin::Wanted;
use broker::BrokerTimer;
use client::Client;
use controller::{default_settings, new_partitions};
use metadata::{Image, MetadataRecord, PartitionImage, TopicId, TopicSettings};
use placement::place;
use protocol::{GroupIx, Msg, PartitionId, TopicIx};
use quorum::MetadataBatch;
use replica::Replica;
use server::Server;
use squall_bus::{Capabilities, Error, ErrorClass};
use std::{cell::RefCell, collections::BTreeMap, sync::Arc};
use txn::messages::TxnIx;
use voter::QuorumTimer;

/// What every state machine of a cluster may know.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The rules.
    pub rules: Rules,
    /// Names of topics and groups. A topic that a call or a subscription names is interned before the client
    /// sees it.
    pub names: Names,
    /// How many brokers there are: nodes 0 to `brokers - 1`, all of them bootstrap servers.
    pub brokers: u32,
    /// How many server nodes there are: the brokers and the dedicated controllers.
    pub servers: u32,
}

/// A timer of a node.
#[derive(Clone, Copy, Debug)]
pub enum Timer {
    /// A client's.
    Client(client::Timer),
    /// A server's process is up.
    Up,
    /// A server's process that may go is done.
    Gone,
    /// It led the metadata quorum, and has waited long enough for another leader.
    Resigned,
    /// The metadata quorum's.
    Quorum(QuorumTimer),
    /// The controller of this quorum epoch looks at its sessions.
    Sessions(u32),
    /// The controller of this quorum epoch looks at who leads.
    Leaders(u32),
    /// A node takes in committed metadata.
    Apply,
    /// A broker speaks to the controller.
    Lifecycle,
    /// A broker's data plane's.
    Broker(BrokerTimer),
}

impl From<client::Timer> for Timer {
    fn from(timer: client::Timer) -> Self {
        Self::Client(timer)
    }
}

impl Digest for Timer {
    fn digest(&self) -> u64 {
        match self {
            Self::Client(timer) => mix(1, timer.digest()),
            Self::Up => 2,
            Self::Gone => 3,
            Self::Quorum(timer) => mix(4, timer.digest()),
            Self::Sessions(epoch) => mix(5, u64::from(*epoch)),
            Self::Apply => 6,
            Self::Lifecycle => 7,
            Self::Broker(timer) => mix(8, timer.digest()),
            Self::Leaders(epoch) => mix(9, u64::from(*epoch)),
            Self::Resigned => 10,
        }
    }
}

/// What an event changed, for the invariants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Touch {
    /// A replica on this node: its log, high watermark or role.
    Replica(NodeId, PartitionId),
    /// A partition in the committed metadata.
    Partition(PartitionId),
    /// A group's generation or its assignments, at its coordinator.
    Group(GroupIx),
    /// A group's coordinator took a commit.
    Commit(GroupIx),
    /// A transactional id at its coordinator.
    Transaction(TxnIx),
}

impl Touch {
    /// The kind of a change of a replica.
    pub const REPLICA: u8 = 1;
    /// The kind of a change of a partition in the committed metadata.
    pub const PARTITION: u8 = 2;
    /// The kind of a change of a group.
    pub const GROUP: u8 = 4;
    /// The kind of a commit.
    pub const COMMIT: u8 = 8;
    /// The kind of a change of a transactional id.
    pub const TRANSACTION: u8 = 16;
    /// The kind of a change of a replica in which there were transactions.
    pub const TRANSACTIONAL: u8 = 32;
    /// The kind of a change of a replica that was cleaned.
    pub const CLEANED: u8 = 64;
}

/// A topic that an administrator asked for.
#[derive(Clone, Debug)]
struct NewTopic {
    topic: TopicIx,
    id: TopicId,
    settings: Arc<TopicSettings>,
    partitions: Arc<[PartitionImage]>,
}

impl NewTopic {
    fn record(&self) -> MetadataRecord {
        MetadataRecord::Topic(self.topic, self.id, Arc::clone(&self.settings), Arc::clone(&self.partitions))
    }
}

const TOPIC_ID: Site = Site::new("kafka.topic-id");
const FIRST_CONTROLLER: Site = Site::new("kafka.first-controller");

/// A whole Kafka: servers and clients.
#[derive(Debug)]
pub struct Kafka {
    /// Rules and names.
    pub shared: Shared,
    capabilities: Capabilities,
    servers: Vec<Server>,
    /// Clients by node, the first one at node `shared.servers`.
    clients: Vec<Option<Client>>,
    /// Everything that is committed, whoever has heard of it.
    truth: Image,
    /// How often a server's process has begun, for the invariants.
    starts: u64,
    /// How many unclean elections each partition has had, for the invariants.
    unclean_elections: BTreeMap<PartitionId, u32>,
    /// What invariants know of logs, together.
    committed: RefCell<invariants::CommittedLogs>,
    /// What administrators asked for and is not committed yet, in order.
    wanted: Vec<Wanted>,
    /// How many topics of each name were created, by number.
    creations: Vec<u64>,
    /// The controller that a history was last told of, and the latest epoch of which it heard.
    controller: (NodeId, u32),
    /// Who controls the cluster when it starts.
    first_controller: NodeId,
    /// The run's choices, for what the harness asks outside of any event.
    choices: Choices,
    /// Clients that a test plays by hand.
    #[cfg(test)]
    probes: BTreeMap<NodeId, tests::Probe>,
    /// Its servers never fall silent.
    #[cfg(test)]
    wakeful: bool,
}

impl Kafka {
    /// A cluster of so many brokers that has been running for long: registered, unfenced, with a controller that
    /// the choices draw, and with its offsets topic. Refuses what cannot be.
    pub fn new(rules: Rules, brokers: u32, choices: &Choices) -> Result<Self, Error> {
        let servers = brokers + rules.dedicated_controllers;
        if brokers == 0 || servers > MAX_NODES {
            let message = format!(
                "a cluster needs 1 to {MAX_NODES} nodes, not {brokers} brokers and {} controllers",
                rules.dedicated_controllers
            );
            return Err(Error::new(ErrorClass::Refused, "INVALID_CONFIG", message));
        }
        let first_voter = if rules.dedicated_controllers > 0 { brokers } else { 0 };
        let voters = (first_voter..servers).fold(NodeSet::EMPTY, |voters, node| voters.with(NodeId(node)));
        let drawn = choices.below(FIRST_CONTROLLER, 0, 0, u64::from(servers - first_voter)) as u32;
        let first_controller = NodeId(first_voter + drawn);
        let mut kafka = Self {
            servers: (0..servers).map(|node| Server::new(NodeId(node), brokers, servers, voters)).collect(),
            shared: Shared { rules, names: Names::default(), brokers, servers },
            capabilities: model::capabilities(),
            clients: Vec::new(),
            truth: Image::default(),
            starts: 0,
            unclean_elections: BTreeMap::new(),
            committed: RefCell::default(),
            wanted: Vec::new(),
            creations: Vec::new(),
            controller: (first_controller, 0),
            first_controller,
            choices: choices.clone(),
            #[cfg(test)]
            probes: BTreeMap::new(),
            #[cfg(test)]
            wakeful: false,
        };
        kafka.settle(vec![MetadataRecord::LeaderChange(first_controller)]);
        for broker in (0..brokers).map(NodeId) {
            kafka.settle(vec![MetadataRecord::Register { broker, incarnation: 1 }]);
            kafka.settle(vec![MetadataRecord::Broker { broker, fenced: false, stopping: false }]);
        }
        let rules = &kafka.shared.rules;
        let (partitions, replicas) = (rules.offsets_partitions, rules.offsets_replicas.min(brokers));
        let settings = default_settings(rules.offsets_min_insync.min(replicas), rules);
        let topic = kafka.new_topic(TopicIx::CONSUMER_OFFSETS, settings, partitions, replicas);
        kafka.settle(vec![topic.record()]);
        Ok(kafka)
    }

    /// Puts records into everybody's metadata, before the cluster starts.
    fn settle(&mut self, records: Vec<MetadataRecord>) {
        let batch = MetadataBatch { epoch: 1, records: records.into() };
        for server in &mut self.servers {
            server.image.apply(&batch.records, &mut Vec::new());
            server.voter.settle(batch.clone());
        }
        self.truth.apply(&batch.records, &mut Vec::new());
    }

    /// A new topic among the brokers that are active now.
    fn new_topic(
        &mut self,
        topic: TopicIx,
        settings: TopicSettings,
        partitions: u32,
        replicas: u32,
    ) -> NewTopic {
        let brokers: Vec<NodeId> = self.truth.unfenced().collect();
        let entity = topics::entity(&self.shared.names, topic);
        let id = self.draw_topic_id(topic, entity);
        let placed = place(&brokers, partitions, replicas, entity, &self.choices);
        let partitions = new_partitions(&placed, |node| self.truth.is_active(node));
        NewTopic { topic, id, settings: Arc::new(settings), partitions }
    }

    /// The id of a topic that is to be created, by how many there were of its name.
    fn draw_topic_id(&mut self, topic: TopicIx, entity: u64) -> TopicId {
        let index = topic.0 as usize;
        if index >= self.creations.len() {
            self.creations.resize(index + 1, 0);
        }
        let before = self.creations[index];
        self.creations[index] += 1;
        let half = |ordinal| u128::from(self.choices.draw(TOPIC_ID, entity, ordinal));
        TopicId(half(2 * before) << 64 | half(2 * before + 1))
    }

    /// The server that controls the cluster now, or did when its process ended.
    fn active_controller(&self) -> Option<NodeId> {
        if self.servers.iter().all(Server::is_new) {
            return Some(self.first_controller);
        }
        // Of two that believe it, the one of the later epoch is right.
        let active = self.servers.iter().filter(|server| server.voter.is_active());
        active.max_by_key(|server| server.voter.epoch()).map(|server| server.me)
    }

    /// A partition: as it is committed, or as it will be created.
    fn partition_image(&self, id: PartitionId) -> Option<&PartitionImage> {
        self.topic_partitions(id.topic)?.get(id.partition as usize)
    }

    fn topic_partitions(&self, topic: TopicIx) -> Option<&[PartitionImage]> {
        let new = self.wanted.iter().rev().find_map(|wanted| match wanted {
            Wanted::Create(new) if new.topic == topic => Some(&new.partitions[..]),
            _ => None,
        });
        new.or_else(|| self.truth.topic(topic).map(|known| &known.partitions[..]))
    }

    /// Everything that is committed, whoever has heard of it.
    #[must_use]
    pub fn truth(&self) -> &Image {
        &self.truth
    }

    /// Looks whether a server controls the cluster, and has committed what nobody has yet. Mostly it has not.
    #[inline]
    fn observe(&mut self, node: NodeId, ctx: &mut Ctx<'_, Self>) {
        let voter = &self.servers[node.index()].voter;
        // One that was cut off believes for a while to be what another has become.
        if voter.is_active() && voter.epoch() > self.controller.1 {
            let before = std::mem::replace(&mut self.controller, (node, voter.epoch()));
            if before.0 != node {
                ctx.emit(Output::Note(Note::Controller { node: node.0 + 1 }));
            }
        }
        if voter.committed() > self.truth.end {
            self.observe_committed(node, ctx);
        }
    }

    /// Takes what a server committed into the truth, and tells of it.
    fn observe_committed(&mut self, node: NodeId, ctx: &mut Ctx<'_, Self>) {
        let voter = &self.servers[node.index()].voter;
        for batch in &voter.log()[self.truth.end as usize..voter.committed() as usize] {
            for record in batch.records.iter() {
                if let MetadataRecord::Partition(id, image) = record {
                    tell(*id, image, &self.truth, &self.shared.names, ctx);
                    let leader = self.truth.partition(*id).and_then(|before| before.leader);
                    if image.recovering && image.leader.is_some() && image.leader != leader {
                        *self.unclean_elections.entry(*id).or_default() += 1;
                    }
                }
            }
            let mut changed = Vec::new();
            self.truth.apply(&batch.records, &mut changed);
            changed.into_iter().for_each(|id| ctx.touch(Touch::Partition(id)));
        }
    }
}

fn tell(id: PartitionId, image: &PartitionImage, truth: &Image, names: &Names, ctx: &mut Ctx<'_, Kafka>) {
    let Some(before) = truth.partition(id) else { return };
    let number = |node: NodeId| node.0 + 1;
    if before.leader != image.leader {
        ctx.emit(Output::Note(Note::Leader {
            unit: names.unit(id),
            leader: image.leader.map(number),
            epoch: image.leader_epoch,
            unclean: image.recovering,
        }));
    }
    if before.isr != image.isr {
        let nodes = image.isr.iter().map(number).collect();
        ctx.emit(Output::Note(Note::Insync { unit: names.unit(id), nodes }));
    }
}

/// Of which kinds a change of this replica is.
fn kinds_of(replica: &Replica) -> u8 {
    let transactional = if replica.producers.transactions().is_some() { Touch::TRANSACTIONAL } else { 0 };
    let cleaned = if replica.log.sparse_below() > 0 { Touch::CLEANED } else { 0 };
    Touch::REPLICA | transactional | cleaned
}

impl Model for Kafka {
    type Msg = Msg;
    type Timer = Timer;
    type Call = Call;
    type Output = Output;
    type Touch = Touch;

    fn kind(&self, touch: &Touch) -> u8 {
        match touch {
            Touch::Replica(node, id) => {
                let broker = self.servers.get(node.index()).and_then(Server::data);
                broker.and_then(|broker| broker.replica(*id)).map_or(Touch::REPLICA, kinds_of)
            }
            Touch::Partition(_) => Touch::PARTITION,
            Touch::Group(_) => Touch::GROUP,
            Touch::Commit(_) => Touch::COMMIT,
            Touch::Transaction(_) => Touch::TRANSACTION,
        }
    }

    #[inline]
    fn on(&mut self, node: NodeId, event: Event<Msg, Timer>, ctx: &mut Ctx<'_, Self>) {
        #[cfg(test)]
        if let Some(probe) = self.probes.get_mut(&node) {
            return probe.on(event, ctx);
        }
        if let Some(server) = self.servers.get_mut(node.index()) {
            self.starts += u64::from(matches!(event, Event::Started(_)));
            server.on(event, Some(self.first_controller), ctx, &self.shared);
            if server.has_lulls_to_settle() {
                self.settle_lulls(node, ctx);
            }
            if !self.wanted.is_empty() {
                self.do_wanted(node, ctx);
            }
            self.observe(node, ctx);
        } else if let Some(Some(client)) = self.clients.get_mut(node.index() - self.servers.len()) {
            client.on(event, ctx, &self.shared);
        }
    }

    fn rouse(&mut self, ctx: &mut Ctx<'_, Self>) {
        Self::rouse(self, ctx);
    }

    fn call(&mut self, node: NodeId, call: Call, ctx: &mut Ctx<'_, Self>) {
        let call = match call {
            Call::Send(op, record) => return BusModel::send(self, node, op, record, ctx),
            call => call,
        };
        if let Call::Txn(op, TxnCall::Positions { group, positions, peers }) = &call {
            return self.send_positions(node, *op, group, positions, peers, ctx);
        }
        if let Some(index) = node.index().checked_sub(self.servers.len())
            && let Some(Some(client)) = self.clients.get_mut(index)
        {
            client.call(call, ctx, &self.shared);
        }
    }
}
