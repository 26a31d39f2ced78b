//! A server's routes to the other servers, and who listens to what.
//!
//! - Both sides dial when they start; of two routes between a pair the one that the lower server dialled stays. A
//!   lost route is dialled again after a second by both.
//! - Over a new route each side first says what it listens to, the one that accepted first, which is when the one
//!   that dialled knows that the route is wanted; later changes follow. What a server knows of another is forgotten
//!   with the route.
//! - What is sent without a route is gone. A route that gets nothing through for `write_deadline` is closed: a probe
//!   (in place of TCP's acknowledgements) goes along with what is sent, at most one at a time.

use super::{
    Nats, Timer,
    protocol::{Msg, RouteMsg, Subject},
    rules::Rules,
    server::ServerTimer,
};
use crate::kernel::{ConnId, Ctx, NodeId};
use squall_bus::Time;
use std::collections::BTreeSet;

/// A route to one other server.
#[derive(Debug, Default)]
struct Route {
    conn: Option<ConnId>,
    /// A connection that is being set up.
    dialling: Option<ConnId>,
    /// Names the latest dial timer; older ones mean nothing.
    turn: u32,
    listens: BTreeSet<Subject>,
    probed: Option<Time>,
    last_probe: Time,
}

/// All routes of a server.
#[derive(Debug)]
pub(super) struct Routes {
    me: NodeId,
    routes: Vec<Route>,
    mine: BTreeSet<Subject>,
}

impl Routes {
    pub(super) fn new(me: NodeId, servers: u32) -> Self {
        Self { me, routes: (0..servers).map(|_| Route::default()).collect(), mine: BTreeSet::new() }
    }

    /// Everything is gone with the process.
    pub(super) fn reset(&mut self) {
        self.routes.iter_mut().for_each(|route| *route = Route { turn: route.turn, ..Route::default() });
        self.mine.clear();
    }

    fn peers(&self) -> impl Iterator<Item = NodeId> + use<> {
        let me = self.me;
        (0..self.routes.len() as u32).map(NodeId).filter(move |peer| *peer != me)
    }

    // Routes.

    /// The server begins to listen: dials everybody.
    pub(super) fn start(&mut self, rules: &Rules, ctx: &mut Ctx<'_, Nats>) {
        for peer in self.peers() {
            self.dial(peer, rules, ctx);
        }
        ctx.timer(rules.route_probe, Timer::Server(ServerTimer::Routes));
    }

    fn dial(&mut self, peer: NodeId, rules: &Rules, ctx: &mut Ctx<'_, Nats>) {
        let route = &mut self.routes[peer.index()];
        if route.conn.is_none() && route.dialling.is_none() {
            route.dialling = Some(ctx.connect(peer));
            self.arm(peer, rules.route_dial, ctx);
        }
    }

    fn arm(&mut self, peer: NodeId, after: std::time::Duration, ctx: &mut Ctx<'_, Nats>) {
        let route = &mut self.routes[peer.index()];
        route.turn = route.turn.wrapping_add(1);
        ctx.timer(after, Timer::Server(ServerTimer::Dial(peer, route.turn)));
    }

    /// A dial took too long, or it is time to dial again.
    pub(super) fn on_dial(&mut self, peer: NodeId, turn: u32, rules: &Rules, ctx: &mut Ctx<'_, Nats>) {
        let route = &mut self.routes[peer.index()];
        if route.turn != turn || route.conn.is_some() {
            return;
        }
        match route.dialling.take() {
            Some(conn) => {
                ctx.close(conn);
                self.arm(peer, rules.route_reconnect, ctx);
            }
            None => self.dial(peer, rules, ctx),
        }
    }

    /// Another server dialled.
    pub(super) fn accepted(&mut self, peer: NodeId, conn: ConnId, ctx: &mut Ctx<'_, Nats>) {
        let lower_dials = self.me < peer && self.routes[peer.index()].dialling.is_some();
        if self.routes[peer.index()].conn.is_some() || lower_dials {
            ctx.close(conn);
            return;
        }
        if let Some(dialling) = self.routes[peer.index()].dialling.take() {
            ctx.close(dialling);
        }
        self.establish(peer, conn, ctx);
    }

    fn establish(&mut self, peer: NodeId, conn: ConnId, ctx: &mut Ctx<'_, Nats>) {
        let route = &mut self.routes[peer.index()];
        route.conn = Some(conn);
        (route.probed, route.last_probe) = (None, Time::ZERO);
        route.listens.clear();
        let hello = RouteMsg::Hello(self.mine.iter().copied().collect());
        ctx.send(conn, Msg::Route(hello));
    }

    /// A connection closed; whose route it was, if it was an established one.
    pub(super) fn closed(&mut self, conn: ConnId, rules: &Rules, ctx: &mut Ctx<'_, Nats>) -> Option<NodeId> {
        let owns = |route: &Route| route.conn == Some(conn) || route.dialling == Some(conn);
        let peer = NodeId(self.routes.iter().position(owns)? as u32);
        let route = &mut self.routes[peer.index()];
        let established = route.conn == Some(conn);
        if established {
            route.conn = None;
            route.listens.clear();
        } else {
            route.dialling = None;
        }
        self.arm(peer, rules.route_reconnect, ctx);
        established.then_some(peer)
    }

    /// Time to look for routes that get nothing through; those that were closed.
    pub(super) fn check(&mut self, rules: &Rules, ctx: &mut Ctx<'_, Nats>) -> Vec<NodeId> {
        ctx.timer(rules.route_probe, Timer::Server(ServerTimer::Routes));
        let now = ctx.now();
        let stuck =
            |route: &Route| route.probed.is_some_and(|since| now.since(since) >= rules.write_deadline);
        let conns: Vec<ConnId> =
            self.routes.iter().filter(|route| stuck(route)).filter_map(|route| route.conn).collect();
        conns
            .into_iter()
            .filter_map(|conn| {
                ctx.close(conn);
                self.closed(conn, rules, ctx)
            })
            .collect()
    }

    /// The server at the other end of a route; a dialled one is established by the first word from there.
    pub(super) fn whose(&mut self, conn: ConnId, ctx: &mut Ctx<'_, Nats>) -> Option<NodeId> {
        let place = |place: usize| NodeId(place as u32);
        if let Some(peer) = self.routes.iter().position(|route| route.conn == Some(conn)) {
            return Some(place(peer));
        }
        let peer = place(self.routes.iter().position(|route| route.dialling == Some(conn))?);
        self.routes[peer.index()].dialling = None;
        self.establish(peer, conn, ctx);
        Some(peer)
    }

    /// Whether there is a route.
    pub(super) fn reaches(&self, peer: NodeId) -> bool {
        peer == self.me || self.routes[peer.index()].conn.is_some()
    }

    /// Sends over a route; in vain if there is none.
    pub(super) fn send(&mut self, to: NodeId, message: RouteMsg, rules: &Rules, ctx: &mut Ctx<'_, Nats>) {
        let route = &mut self.routes[to.index()];
        let Some(conn) = route.conn else { return };
        let now = ctx.now();
        ctx.send(conn, Msg::Route(message));
        if route.probed.is_none() && now.since(route.last_probe) >= rules.route_probe {
            (route.probed, route.last_probe) = (Some(now), now);
            ctx.send(conn, Msg::Route(RouteMsg::Ping));
        }
    }

    /// Sends over all routes.
    pub(super) fn broadcast(&mut self, message: &RouteMsg, rules: &Rules, ctx: &mut Ctx<'_, Nats>) {
        for peer in self.peers() {
            self.send(peer, message.clone(), rules, ctx);
        }
    }

    /// A message of the routes themselves.
    pub(super) fn on_message(
        &mut self,
        from: NodeId,
        message: RouteMsg,
        rules: &Rules,
        ctx: &mut Ctx<'_, Nats>,
    ) {
        let route = &mut self.routes[from.index()];
        match message {
            RouteMsg::Hello(subjects) => route.listens = subjects.into_iter().collect(),
            RouteMsg::Listens(subject) => {
                route.listens.insert(subject);
            }
            RouteMsg::Leaves(subject) => {
                route.listens.remove(&subject);
            }
            RouteMsg::Ping => self.send(from, RouteMsg::Pong, rules, ctx),
            RouteMsg::Pong => route.probed = None,
            _ => {}
        }
    }

    // Interest.

    /// This server listens to a subject from now on, or no longer.
    pub(super) fn listen(&mut self, subject: Subject, listens: bool, rules: &Rules, ctx: &mut Ctx<'_, Nats>) {
        let changed = if listens { self.mine.insert(subject) } else { self.mine.remove(&subject) };
        if changed {
            let message = if listens { RouteMsg::Listens(subject) } else { RouteMsg::Leaves(subject) };
            self.broadcast(&message, rules, ctx);
        }
    }

    /// Which servers listen to a subject, this one included, as far as it knows.
    pub(super) fn listeners(&self, subject: Subject) -> impl Iterator<Item = NodeId> + '_ {
        let listens = move |peer: &NodeId| {
            if *peer == self.me {
                self.mine.contains(&subject)
            } else {
                self.routes[peer.index()].listens.contains(&subject)
            }
        };
        (0..self.routes.len() as u32).map(NodeId).filter(listens)
    }
}
