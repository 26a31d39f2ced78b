//! A server's client connections: who is there, who is alive, who wants advisories.
//!
//! Of the clients that are in one queue one gets each advisory, drawn. A client that is gone without a word stays
//! until its connection is closed, and what it is handed meanwhile is lost.

use super::{
    Nats,
    protocol::{Advisory, Audience, GroupIx, Msg, ServerMsg, StreamIx, Subject},
    rules::Rules,
};
use crate::kernel::{ConnId, Ctx, Site};
use std::collections::BTreeMap;

const QUEUE: Site = Site::new("nats.advisory.queue-client");

/// One client connection.
#[derive(Clone, Debug, Default)]
struct ClientConn {
    unanswered: u32,
    advisories: Vec<(StreamIx, u64)>,
    /// The queues that it is in, and where it wants to hear what comes to it.
    queues: Vec<(Subject, u64)>,
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

    /// A client is gone: the queues in which nobody is left by that.
    pub(super) fn left(&mut self, conn: ConnId) -> Vec<Subject> {
        let gone = self.conns.remove(&conn).unwrap_or_default();
        let deserted = |subject: &Subject| self.queue(*subject).next().is_none();
        gone.queues.into_iter().map(|(subject, _)| subject).filter(deserted).collect()
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

    /// A client wants its share of what is said of a group's messages: the subject to listen to.
    pub(super) fn queues(&mut self, conn: ConnId, stream: StreamIx, group: GroupIx, inbox: u64) -> Subject {
        let subject = Subject::GivenUp(stream, group);
        if let Some(client) = self.conns.get_mut(&conn) {
            client.queues.push((subject, inbox));
        }
        subject
    }

    /// Who is in a queue: connections and inboxes.
    fn queue(&self, subject: Subject) -> impl Iterator<Item = (ConnId, u64)> + '_ {
        let of_client = move |client: &ClientConn| {
            client.queues.iter().find(|(queue, _)| *queue == subject).map(|(_, inbox)| *inbox)
        };
        self.conns.iter().filter_map(move |(conn, client)| Some((*conn, of_client(client)?)))
    }

    /// Hands an advisory to one client of its queue.
    fn announce_to_queue(&self, advisory: Advisory, ctx: &mut Ctx<'_, Nats>) {
        let Some((subject, seq)) = advisory.queue() else { return };
        let members: Vec<(ConnId, u64)> = self.queue(subject).collect();
        if members.is_empty() {
            return;
        }
        let drawn = ctx.choices().below(QUEUE, advisory.consumer().word(), seq, members.len() as u64);
        let (conn, inbox) = members[drawn as usize];
        ctx.send(conn, Msg::Server(ServerMsg::Advisory(inbox, advisory)));
    }

    /// Hands an advisory to the clients that want it.
    pub(super) fn announce(&self, advisory: Advisory, audience: Audience, ctx: &mut Ctx<'_, Nats>) {
        if audience == Audience::Queue {
            return self.announce_to_queue(advisory, ctx);
        }
        for (conn, client) in &self.conns {
            for (stream, inbox) in &client.advisories {
                if *stream == advisory.consumer().stream {
                    ctx.send(*conn, Msg::Server(ServerMsg::Advisory(*inbox, advisory)));
                }
            }
        }
    }

    /// Pings everybody; gives back those that left too many pings unanswered, which are cut off and to be let go
    /// ([`ClientConns::left`]).
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
            ctx.close(*conn);
        }
        stale
    }
}
