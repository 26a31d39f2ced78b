//! What clients and other servers say to a server.

use super::{Server, env};
use crate::{
    kernel::{ConnId, Ctx, NodeId},
    nats::{
        Nats, Shared,
        protocol::{
            ClientMsg, Msg, Reply, ReplyTo, RouteMsg, Routed, ServerInfo, ServerMsg, Status, Subject,
        },
    },
    nodes::NodeSet,
};

impl Server {
    // Connections.

    pub(super) fn accepted(&mut self, conn: ConnId, from: NodeId, ctx: &mut Ctx<'_, Nats>) {
        if !self.up || self.stopping {
            // Nobody listens there.
            ctx.close(conn);
        } else if from.0 < self.servers {
            self.routes.accepted(from, conn, ctx);
        } else {
            self.clients.joined(conn);
            let peers = (0..self.servers).map(NodeId).filter(|peer| self.routes.reaches(*peer));
            let peers = peers.fold(NodeSet::EMPTY, NodeSet::with);
            ctx.send(conn, Msg::Server(ServerMsg::Info(ServerInfo { server: self.me, peers })));
        }
    }

    pub(super) fn closed(&mut self, conn: ConnId, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        if self.clients.has(conn) {
            self.client_left(conn, ctx, shared);
        } else if let Some(peer) = self.routes.closed(conn, &shared.rules, ctx) {
            self.clients_gone(peer, None, ctx, shared);
        }
    }

    /// A client of this server is gone.
    pub(super) fn client_left(&mut self, conn: ConnId, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        for subject in self.clients.left(conn) {
            self.routes.listen(subject, false, &shared.rules, ctx);
        }
        self.routes.broadcast(&RouteMsg::ClientGone(conn), &shared.rules, ctx);
        self.clients_gone(self.me, Some(conn), ctx, shared);
    }

    /// A client of a server, or all of them, cannot be reached any more.
    pub(super) fn clients_gone(
        &mut self,
        server: NodeId,
        conn: Option<ConnId>,
        ctx: &mut Ctx<'_, Nats>,
        shared: &Shared,
    ) {
        let mut env = env!(self, ctx, shared);
        for consumer in self.consumers.values_mut() {
            if let Some(raft) = self.rafts.of_file_mut(consumer.file) {
                consumer.client_gone(server, conn, raft, &mut env);
            }
        }
    }

    // Messages.

    pub(super) fn client_says(
        &mut self,
        conn: ConnId,
        message: ClientMsg,
        ctx: &mut Ctx<'_, Nats>,
        shared: &Shared,
    ) {
        let reply_to = |inbox| ReplyTo { server: self.me, conn, inbox };
        match message {
            ClientMsg::Connect => {}
            ClientMsg::Ping => ctx.send(conn, Msg::Server(ServerMsg::Pong)),
            ClientMsg::Pong => self.clients.pong(conn),
            ClientMsg::Advisories(stream, inbox) => self.clients.wants_advisories(conn, stream, inbox),
            ClientMsg::QueueGivenUp(stream, group, inbox) => {
                let subject = self.clients.queues(conn, stream, group, inbox);
                self.routes.listen(subject, true, &shared.rules, ctx);
            }
            ClientMsg::Publish(publish, inbox) => {
                let reply = inbox.map(reply_to);
                let subject = Subject::Stream(publish.stream);
                self.hand_on(subject, reply, &Routed::Publish(publish, reply), ctx, shared);
            }
            ClientMsg::Pull(consumer, request, inbox) => {
                let reply = reply_to(inbox);
                let routed = Routed::Pull(consumer, request, reply);
                self.hand_on(Subject::Consumer(consumer), Some(reply), &routed, ctx, shared);
            }
            ClientMsg::Ack(consumer, token, body, inbox) => {
                let reply = inbox.map(reply_to);
                let routed = Routed::Ack(consumer, token, body, reply);
                self.hand_on(Subject::Consumer(consumer), reply, &routed, ctx, shared);
            }
            ClientMsg::Api(request, inbox) => {
                let reply = reply_to(inbox);
                let routed = RouteMsg::Request(Routed::Api(request.clone(), reply));
                self.routes.broadcast(&routed, &shared.rules, ctx);
                self.api(&request, reply, true, ctx, shared);
            }
        }
    }

    /// Takes a client's request to whoever listens to its subject.
    fn hand_on(
        &mut self,
        subject: Subject,
        reply: Option<ReplyTo>,
        routed: &Routed,
        ctx: &mut Ctx<'_, Nats>,
        shared: &Shared,
    ) {
        let listeners = self.routes.listeners(subject).fold(NodeSet::EMPTY, NodeSet::with);
        if listeners.is_empty() {
            env!(self, ctx, shared).reply_if(reply, Reply::Status(Status::NoResponders));
        }
        for listener in listeners.iter() {
            if listener == self.me {
                self.request(routed.clone(), ctx, shared);
            } else {
                let message = RouteMsg::Request(routed.clone());
                self.routes.send(listener, message, &shared.rules, ctx);
            }
        }
    }

    pub(super) fn server_says(
        &mut self,
        from: NodeId,
        message: RouteMsg,
        ctx: &mut Ctx<'_, Nats>,
        shared: &Shared,
    ) {
        match message {
            RouteMsg::Request(routed) => self.request(routed, ctx, shared),
            RouteMsg::Reply(to, reply) => ctx.send(to.conn, Msg::Server(reply.to_client(to.inbox))),
            RouteMsg::Raft(group, message) => {
                self.with_raft(group, ctx, shared, |raft, env| raft.on_message(from, message, env));
            }
            RouteMsg::ClientGone(conn) => self.clients_gone(from, Some(conn), ctx, shared),
            RouteMsg::Inactive(consumer) => {
                self.remove_consumer(consumer, None, ctx, shared);
            }
            RouteMsg::Advisory(advisory, audience) => self.advisories.push((advisory, audience)),
            RouteMsg::Hello(_)
            | RouteMsg::Ping
            | RouteMsg::Pong
            | RouteMsg::Listens(_)
            | RouteMsg::Leaves(_) => self.routes.on_message(from, message, &shared.rules, ctx),
        }
    }

    fn request(&mut self, routed: Routed, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        match routed {
            Routed::Publish(publish, reply) => {
                if let Some(stream) = self.streams.get_mut(&publish.stream)
                    && stream.leads
                    && let Some(raft) = self.rafts.of_file_mut(stream.file)
                {
                    stream.receive(publish, reply, raft, &mut env!(self, ctx, shared));
                }
            }
            Routed::Pull(id, request, reply) => {
                self.with_consumer(id, ctx, shared, |consumer, stream, raft, env| {
                    consumer.pull(request, reply, stream, raft, env);
                });
            }
            Routed::Ack(id, token, body, reply) => {
                self.with_consumer(id, ctx, shared, |consumer, stream, raft, env| {
                    consumer.ack((token, body, reply), stream, raft, env);
                });
            }
            Routed::Api(request, reply) => self.api(&request, reply, false, ctx, shared),
        }
    }
}
