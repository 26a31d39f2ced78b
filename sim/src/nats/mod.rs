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
//! | topic | a stream on up to three servers, subjects `T.<p>.<key>` |
//! | partition | the second token of the subject: a part of one stream, so its positions have gaps |
//! | group | a durable pull consumer for each partition where order is expected, else one for the topic |
//! | leader of a unit | the leader of the stream |
//! | coordinator of a group | the leader of its consumer |
//! | controller | the leader of the meta group |
//! | position | the stream sequence |

pub mod client;
pub mod config;
pub mod error;
pub mod names;
pub mod nodes;
pub mod profile;
pub mod protocol;
pub mod raft;
pub mod rules;

pub use error::ApiError;
pub use names::Names;
pub use rules::Rules;

use crate::{
    kernel::{Ctx, Digest, Event, Model, NodeId, mix},
    model::{Call, Output},
};
use client::Client;
use protocol::Msg;

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
}

impl Digest for Timer {
    fn digest(&self) -> u64 {
        match self {
            Self::Client(timer) => mix(1, timer.digest()),
        }
    }
}

/// What an event changed, for the invariants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Touch {
    /// A member of a Raft group on this node: its term, role, log or commit index.
    Member(NodeId, raft::message::GroupId),
}

/// A whole NATS cluster: servers and clients.
#[derive(Debug)]
pub struct Nats {
    /// Rules and names.
    pub shared: Shared,
    /// Clients by node, the first one at node `shared.servers`.
    clients: Vec<Option<Client>>,
}

impl Model for Nats {
    type Msg = Msg;
    type Timer = Timer;
    type Call = Call;
    type Output = Output;
    type Touch = Touch;

    fn on(&mut self, node: NodeId, event: Event<Msg, Timer>, ctx: &mut Ctx<'_, Self>) {
        if let Some(index) = node.index().checked_sub(self.shared.servers as usize)
            && let Some(Some(client)) = self.clients.get_mut(index)
        {
            client.on(event, ctx, &self.shared);
        }
    }

    fn call(&mut self, node: NodeId, call: Call, ctx: &mut Ctx<'_, Self>) {
        if let Call::Send(_, record) = &call {
            self.shared.names.intern_stream(&record.topic);
        }
        if let Some(index) = node.index().checked_sub(self.shared.servers as usize)
            && let Some(Some(client)) = self.clients.get_mut(index)
        {
            client.call(call, ctx, &self.shared);
        }
    }
}
