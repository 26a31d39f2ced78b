//! NATS with JetStream: servers, routes, Raft groups, streams, pull consumers, and the client library.
//!
//! - Nodes 0 to n-1 are the servers; clients come after them, in order of opening. Each is a sans-IO state machine
//!   that reacts to events with a [`Ctx`].
//! - Clients are in [`client`]; they and the servers share nothing but [`Shared`] (rules and interned names) and
//!   the messages of [`protocol`].
//! - Model code asks its rules, never which version or bug this is.
//!
//! | of the bus | here |
//! |---|---|
//! | topic | a stream on as many servers as it has replicas, subjects `T.<p>.<key>` |
//! | partition | the second token of the subject: a part of one stream, so its positions have gaps |
//! | group | a durable pull consumer for each partition where order is expected, else one for the topic |
//! | leader of a unit | the leader of the stream |
//! | coordinator of a group | the leader of its consumer; of several the first one's |
//! | controller | the leader of the meta group |
//! | position | the stream sequence |
//!
//! What is simpler than in NATS: a log is never compacted, so a follower is caught up from the log and never from a
//! snapshot, and a stream's store is what its log says; a follower that has just answered its leader answers the empty
//! append behind it no more; routes are one connection a pair and prove by probes, not by TCP's acknowledgements, that
//! they get through; files are synced as a whole.

mod api;
pub mod client;
mod clients;
pub mod config;
pub mod consumer;
mod env;
pub mod error;
pub mod invariants;
pub mod lookup;
pub mod meta;
mod model;
pub mod names;
pub mod profile;
pub mod protocol;
pub mod raft;
mod routes;
pub mod rules;
pub mod server;
pub mod stream;
#[cfg(test)]
mod tests;

pub use env::Env;
pub use error::ApiError;
pub use names::Names;
pub use rules::Rules;

use crate::nodes::MAX_NODES;
use crate::{
    kernel::{Boot, Choices, Ctx, Digest, Event, FileId, Model, NodeId, Site, mix},
    model::{Call, Note, Output},
};
use client::Client;
use protocol::{Msg, StreamIx};
use server::{Server, ServerTimer};
use squall_bus::{Capabilities, Error, ErrorClass};

/// What every state machine of a cluster may know.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The rules.
    pub rules: Rules,
    /// Names of streams and groups. A topic that a call or a subscription names is interned before the client
    /// sees it.
    pub names: Names,
    /// How many servers there are: nodes 0 to `servers - 1`; a client may connect to any.
    pub servers: u32,
}

/// A timer of a node.
#[derive(Clone, Copy, Debug)]
pub enum Timer {
    /// A client's.
    Client(client::Timer),
    /// A server's.
    Server(ServerTimer),
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
            Self::Server(timer) => mix(2, timer.digest()),
        }
    }
}

/// What an event changed, for the invariants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Touch {
    /// A member of a Raft group on this node, by its file: of which kinds, what of it.
    Member(NodeId, FileId, u8),
    /// A message of this sequence was stored on this node.
    Stored(NodeId, StreamIx, u64),
    /// This node acknowledged a publish with this sequence; whether as a duplicate.
    Acked(NodeId, StreamIx, u64, bool),
    /// This node leads a stream from now on.
    Office(NodeId, StreamIx),
}

impl Touch {
    /// The kind of a change of a member's term, vote or role.
    pub const TERM: u8 = 1;
    /// The kind of a message that was stored.
    pub const STORED: u8 = 2;
    /// The kind of a publish that was acknowledged.
    pub const ACKED: u8 = 4;
    /// The kind of a change of leader.
    pub const OFFICE: u8 = 8;
    /// The kind of a change of a member's log.
    pub const LOG: u8 = 16;
    /// The kind of a change of what a member knows to be committed.
    pub const COMMIT: u8 = 32;
}

const FIRST_META_LEADER: Site = Site::new("nats.first-meta-leader");

/// A whole NATS cluster: servers and clients.
#[derive(Debug)]
pub struct Nats {
    /// Rules and names.
    pub shared: Shared,
    /// The servers by node.
    pub servers: Vec<Server>,
    capabilities: Capabilities,
    /// Clients by node, the first one at node `shared.servers`.
    clients: Vec<Option<Client>>,
    /// Who leads the meta group when the cluster starts.
    first_leader: NodeId,
    /// The meta leader that a history was last told of.
    controller: Option<NodeId>,
    /// A server lost its power under lazy syncs, and with it what was not synced.
    lost_writes: bool,
    /// A server got a new disk.
    new_disk: bool,
    /// The run's choices, for what the harness asks outside of any event.
    choices: Choices,
    /// Clients that a test plays by hand.
    #[cfg(test)]
    probes: std::collections::BTreeMap<NodeId, tests::Probe>,
}

impl Nats {
    /// A cluster of so many servers that has been running for long, with a meta leader that the choices draw.
    ///
    /// # Errors
    ///
    /// `Refused` for a size that cannot be.
    pub fn new(rules: Rules, servers: u32, choices: &Choices) -> Result<Self, Error> {
        if servers == 0 || servers > MAX_NODES {
            let message = format!("a cluster needs 1 to {MAX_NODES} servers, not {servers}");
            return Err(Error::new(ErrorClass::Refused, "INVALID_CONFIG", message));
        }
        let first_leader = NodeId(choices.below(FIRST_META_LEADER, 0, 0, u64::from(servers)) as u32);
        Ok(Self {
            capabilities: model::capabilities(&rules),
            servers: (0..servers).map(|node| Server::new(NodeId(node), servers)).collect(),
            shared: Shared { rules, names: Names::default(), servers },
            clients: Vec::new(),
            first_leader,
            controller: Some(first_leader),
            lost_writes: false,
            new_disk: false,
            choices: choices.clone(),
            #[cfg(test)]
            probes: std::collections::BTreeMap::new(),
        })
    }

    /// Whether a disk lost something that was written: a loss of power under lazy syncs, or a new disk. What is
    /// committed and acknowledged may be gone then.
    #[must_use]
    pub const fn lost_writes(&self) -> bool {
        self.lost_writes || self.new_disk
    }

    /// Whether a server got a new disk, and so forgot its votes.
    #[must_use]
    pub const fn lost_votes(&self) -> bool {
        self.new_disk
    }

    /// What a node's event means for the truth.
    fn observe(&mut self, node: NodeId, ctx: &mut Ctx<'_, Self>) {
        if self.servers[node.index()].meta.leads && self.controller != Some(node) {
            self.controller = Some(node);
            ctx.emit(Output::Note(Note::Controller { node: node.0 + 1 }));
        }
    }
}

impl Model for Nats {
    type Msg = Msg;
    type Timer = Timer;
    type Call = Call;
    type Output = Output;
    type Touch = Touch;

    fn kind(&self, touch: &Touch) -> u8 {
        match touch {
            Touch::Member(.., kinds) => *kinds,
            Touch::Stored(..) => Touch::STORED,
            Touch::Acked(..) => Touch::ACKED,
            Touch::Office(..) => Touch::OFFICE,
        }
    }

    fn on(&mut self, node: NodeId, event: Event<Msg, Timer>, ctx: &mut Ctx<'_, Self>) {
        #[cfg(test)]
        if let Some(probe) = self.probes.get_mut(&node) {
            return probe.on(event, ctx);
        }
        if let Some(server) = self.servers.get_mut(node.index()) {
            if let Event::Started(boot) = event {
                let lazy = self.shared.rules.sync != rules::Sync::Always;
                self.lost_writes |= boot == Boot::PowerLost && lazy;
                self.new_disk |= boot == Boot::Fresh && !server.is_new();
            }
            server.on(event, self.first_leader, ctx, &self.shared);
            self.observe(node, ctx);
        } else if let Some(Some(client)) = self.clients.get_mut(node.index() - self.servers.len()) {
            client.on(event, ctx, &self.shared);
        }
    }

    fn call(&mut self, node: NodeId, call: Call, ctx: &mut Ctx<'_, Self>) {
        if let Call::Send(_, record) = &call {
            self.shared.names.intern_stream(&record.topic);
        }
        if let Some(index) = node.index().checked_sub(self.servers.len())
            && let Some(Some(client)) = self.clients.get_mut(index)
        {
            client.call(call, ctx, &self.shared);
        }
    }
}
