//! Kafka: brokers, controllers, replicated partitions, groups, and the client libraries.
//!
//! - Nodes 0 to n-1 are the brokers; dedicated controllers follow, if the [`Rules`] have any; clients come after
//!   them, in order of opening. Each is a sans-IO state machine that reacts to events with a [`Ctx`].
//! - Clients are in [`client`]; they and the brokers share nothing but [`Shared`] (rules and interned names) and
//!   the messages of [`protocol`].
//! - Model code asks its rules, never which version or bug this is.

pub mod client;
pub mod error;
pub mod group;
pub mod metadata;
pub mod names;
pub mod nodes;
pub mod profile;
pub mod protocol;
pub mod quorum;
pub mod rules;

pub use error::ErrorCode;
pub use names::Names;
pub use rules::Rules;

use crate::{
    kernel::{Ctx, Digest, Event, Model, NodeId, mix},
    model::{Call, Output},
};
use client::Client;
use protocol::{Msg, PartitionId};

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
    /// A replica on this node: its log, high watermark or role.
    Replica(NodeId, PartitionId),
}

/// A whole Kafka: servers and clients.
#[derive(Debug)]
pub struct Kafka {
    /// Rules and names.
    pub shared: Shared,
    /// Clients by node, the first one at node `shared.servers`.
    clients: Vec<Option<Client>>,
}

impl Model for Kafka {
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
            self.shared.names.intern_topic(&record.topic);
        }
        if let Some(index) = node.index().checked_sub(self.shared.servers as usize)
            && let Some(Some(client)) = self.clients.get_mut(index)
        {
            client.call(call, ctx, &self.shared);
        }
    }
}
