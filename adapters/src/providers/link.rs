//! Directed links: what a provider plans so that somebody else can put a proxy on each of them.

use std::net::SocketAddr;

/// What travels on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkKind {
    /// Requests of clients.
    Client,
    /// Replication and requests between brokers (Kafka), routes (NATS).
    Peer,
    /// The metadata quorum, and brokers that register and give signs of life, where that has connections of its
    /// own (Kafka).
    Controller,
}

/// A directed link: whoever opens the connection is at its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The node that opens connections; `None` for clients.
    pub from: Option<u32>,
    /// The node that they lead to.
    pub to: u32,
    /// What travels there.
    pub kind: LinkKind,
    /// Where a proxy for it has to listen.
    pub listen: SocketAddr,
    /// Where the node listens.
    pub forward: SocketAddr,
}
