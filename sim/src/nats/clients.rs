//! A server's client connections: who is there, who is alive, who wants advisories.

use super::{
    Nats,
    protocol::{Advisory, Msg, ServerMsg, StreamIx},
    rules::Rules,
};
use crate::kernel::{ConnId, Ctx};
use std::collections::BTreeMap;

/// One client connection.
#[derive(Clone, Debug, Default)]
struct ClientConn {
    unanswered: u32,
    advisories: Vec<(StreamIx, u64)>,
}

/// A server's client connections.
#[derive(Clone, Debug, Default)]
pub(super) struct ClientConns {
    conns: BTreeMap<ConnId, ClientConn>,
}

impl ClientConns {
    /// Every connection is gone with the process.
    pub(super) fn reset(&mut self) {
        self.conns.clear();
    }

    /// A client connected.
    pub(super) fn joined(&mut self, conn: ConnId) {
        self.conns.insert(conn, ClientConn::default());
    }

    /// A connection closed. Whether it was a client's.
    pub(super) fn left(&mut self, conn: ConnId) -> bool {
        self.conns.remove(&conn).is_some()
    }

    /// Whether this is a client's connection.
    #[must_use]
    pub(super) fn has(&self, conn: ConnId) -> bool {
        self.conns.contains_key(&conn)
    }

    /// A client answered a ping.
    pub(super) fn pong(&mut self, conn: ConnId) {
        if let Some(client) = self.conns.get_mut(&conn) {
            client.unanswered = 0;
        }
    }

    /// A client wants a stream's advisories.
    pub(super) fn wants_advisories(&mut self, conn: ConnId, stream: StreamIx, inbox: u64) {
        if let Some(client) = self.conns.get_mut(&conn) {
            client.advisories.push((stream, inbox));
        }
    }

    /// Hands an advisory to the clients that want it.
    pub(super) fn announce(&self, advisory: Advisory, ctx: &mut Ctx<'_, Nats>) {
        for (conn, client) in &self.conns {
            for (stream, inbox) in &client.advisories {
                if *stream == advisory.consumer().stream {
                    ctx.send(*conn, Msg::Server(ServerMsg::Advisory(*inbox, advisory)));
                }
            }
        }
    }

    /// Pings everybody; gives back those that left too many pings unanswered, which are cut off.
    pub(super) fn ping(&mut self, rules: &Rules, ctx: &mut Ctx<'_, Nats>) -> Vec<ConnId> {
        let mut stale = Vec::new();
        for (conn, client) in &mut self.conns {
            if client.unanswered >= rules.ping_max {
                stale.push(*conn);
            } else {
                client.unanswered += 1;
                ctx.send(*conn, Msg::Server(ServerMsg::Ping));
            }
        }
        for conn in &stale {
            self.conns.remove(conn);
            ctx.close(*conn);
        }
        stale
    }
}
