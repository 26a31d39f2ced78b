//! A server's own connections to other servers: one for each peer and purpose, opened when something is asked.
//!
//! Purposes have connections of their own, as in Kafka, so that a request that waits does not hold up another
//! kind. What a node asks of itself does not travel: it is queued and handled before the event is over. In Kafka the
//! markers of a coordinator do travel to its own node (`TransactionMarkerChannelManager`), so that a broker that takes
//! no connections yet gets none from itself either: `Server::asked_itself`.

use super::{
    Kafka,
    protocol::{Msg, Request, RequestBody, Response, ResponseBody},
};
use crate::kernel::{ConnId, Ctx, NodeId};
use std::collections::VecDeque;

/// What a connection between servers is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// The metadata quorum.
    Quorum,
    /// A broker's registration and heartbeats.
    Lifecycle,
    /// A leader's proposals of in-sync replicas.
    Isr,
    /// A follower's fetches.
    Fetch,
    /// A leader's questions about transactions.
    Verify,
    /// A transaction coordinator's markers.
    Markers,
}

const LANES: usize = 6;

/// Where an answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplyTo {
    /// Over this connection, with this correlation.
    Conn(ConnId, u32),
    /// To the node itself.
    Own(Lane),
}

/// Something that a node says to itself.
#[derive(Debug)]
pub(super) enum Own {
    Asked(Lane, RequestBody),
    Answered(Lane, ResponseBody),
}

/// A server's own connections.
#[derive(Debug)]
pub(super) struct Links {
    me: NodeId,
    conns: Vec<[Option<ConnId>; LANES]>,
    correlation: u32,
    own: VecDeque<Own>,
}

impl Links {
    pub(super) fn new(me: NodeId, servers: u32) -> Self {
        Self { me, conns: vec![[None; LANES]; servers as usize], correlation: 0, own: VecDeque::new() }
    }

    /// Asks a server; connects first if need be. Returns what the answer will repeat (nothing is repeated of
    /// what a node asks of itself).
    pub(super) fn ask(&mut self, to: NodeId, lane: Lane, body: RequestBody, ctx: &mut Ctx<'_, Kafka>) -> u32 {
        if to == self.me {
            self.own.push_back(Own::Asked(lane, body));
            return 0;
        }
        let conn = *self.conns[to.index()][lane as usize].get_or_insert_with(|| ctx.connect(to));
        self.correlation = self.correlation.wrapping_add(1);
        ctx.send(conn, Msg::Request(Request { correlation: self.correlation, client: self.me, body }));
        self.correlation
    }

    /// Whether a server can be asked without a new connection.
    pub(super) fn is_made(&self, to: NodeId, lane: Lane) -> bool {
        to == self.me || self.conns[to.index()][lane as usize].is_some()
    }

    /// Whether this is the connection to a peer for this purpose.
    pub(super) fn is(&self, peer: NodeId, lane: Lane, conn: ConnId) -> bool {
        self.conns[peer.index()][lane as usize] == Some(conn)
    }

    /// Answers.
    pub(super) fn reply(&mut self, to: ReplyTo, body: ResponseBody, ctx: &mut Ctx<'_, Kafka>) {
        match to {
            ReplyTo::Conn(conn, correlation) => {
                ctx.send(conn, Msg::Response(Response { correlation, body }));
            }
            ReplyTo::Own(lane) => self.own.push_back(Own::Answered(lane, body)),
        }
    }

    /// Whether the node said something to itself.
    pub(super) fn has_own(&self) -> bool {
        !self.own.is_empty()
    }

    /// What the node said to itself next.
    pub(super) fn next_own(&mut self) -> Option<Own> {
        self.own.pop_front()
    }

    /// Whom and what for a connection of this server is.
    pub(super) fn whose(&self, conn: ConnId) -> Option<(NodeId, Lane)> {
        // Mostly it is a follower's fetch.
        if let Some(peer) = self.conns.iter().position(|lanes| lanes[Lane::Fetch as usize] == Some(conn)) {
            return Some((NodeId(peer as u32), Lane::Fetch));
        }
        for (peer, lanes) in self.conns.iter().enumerate() {
            for lane in [Lane::Quorum, Lane::Lifecycle, Lane::Isr, Lane::Verify, Lane::Markers] {
                if lanes[lane as usize] == Some(conn) {
                    return Some((NodeId(peer as u32), lane));
                }
            }
        }
        None
    }

    /// The other side closed a connection; says whose it was.
    pub(super) fn closed(&mut self, conn: ConnId) -> Option<(NodeId, Lane)> {
        let (peer, lane) = self.whose(conn)?;
        self.conns[peer.index()][lane as usize] = None;
        Some((peer, lane))
    }

    /// Gives a connection up; the next request opens a new one.
    pub(super) fn hang_up(&mut self, peer: NodeId, lane: Lane, ctx: &mut Ctx<'_, Kafka>) {
        if let Some(conn) = self.conns[peer.index()][lane as usize].take() {
            ctx.close(conn);
        }
    }

    /// Every connection is gone with the process.
    pub(super) fn reset(&mut self) {
        self.conns.fill([None; LANES]);
        self.own.clear();
    }
}
