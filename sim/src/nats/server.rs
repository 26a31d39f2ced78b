//! A server: its process, its connections, and the Raft groups that it is a member of.
//!
//! - A process reads what its disk has, listens after `startup`, dials the other servers and takes part in the meta
//!   group and in every group that the meta group's log, as far as it knows it to be committed, assigns to it.
//! - At the end of each event it looks at every member that changed: it lays down what it leads no more, applies
//!   what is committed, and takes up what it leads now.
//! - A process that is asked to stop hands over what it leads, and is gone a little later.
//! - The files are synced every `sync_interval`, the first time after half of that to all of it.

use super::{
    Env, Nats, Shared, Timer,
    clients::ClientConns,
    config::{ConsumerAssignment, StreamAssignment},
    consumer::Consumer,
    meta::{Meta, MetaChange},
    nodes::NodeSet,
    protocol::{
        Advisory, ApiResponse, Audience, ClientMsg, ConsumerId, Msg, Reply, ReplyTo, RouteMsg, Routed,
        ServerInfo, ServerMsg, Status, StreamIx, Subject,
    },
    raft::{
        Raft,
        message::{GroupId, Op},
    },
    routes::Routes,
    rules::Sync,
    stream::Stream,
};
use crate::{
    kernel::{Boot, ConnId, Ctx, Digest, Event, FileId, NodeId, Site, mix},
    model::{Note, Output},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

const STARTUP: Site = Site::new("nats.server.startup");
const FIRST_SYNC: Site = Site::new("nats.server.first-sync");

/// A server's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerTimer {
    /// The process listens.
    Up,
    /// The process that stops is done.
    Gone,
    /// A dial took too long, or is due.
    Dial(NodeId, u32),
    /// Time to look after the routes.
    Routes,
    /// Time to ping the clients.
    Clients,
    /// Time to sync the files.
    Sync,
    /// A member may stand for election.
    Election(GroupId, u32),
    /// A leader of this term gives a sign of life.
    Heartbeat(GroupId, u64),
    /// A leader of this term looks for its majority.
    Quorum(GroupId, u64),
    /// Something of a consumer is due.
    Consumer(ConsumerId, u32),
}

impl Digest for ServerTimer {
    fn digest(&self) -> u64 {
        match self {
            Self::Up => 1,
            Self::Gone => 2,
            Self::Dial(peer, turn) => mix(mix(3, u64::from(peer.0)), u64::from(*turn)),
            Self::Routes => 4,
            Self::Clients => 5,
            Self::Sync => 6,
            Self::Election(group, turn) => mix(mix(7, group.word()), u64::from(*turn)),
            Self::Heartbeat(group, term) => mix(mix(8, group.word()), *term),
            Self::Quorum(group, term) => mix(mix(9, group.word()), *term),
            Self::Consumer(consumer, turn) => mix(mix(10, consumer.word()), u64::from(*turn)),
        }
    }
}

/// A server.
#[derive(Debug)]
pub struct Server {
    pub(super) me: NodeId,
    servers: u32,
    pub(super) routes: Routes,
    clients: ClientConns,
    /// Which streams and consumers there are, as far as it knows.
    pub meta: Meta,
    /// The streams that it holds.
    pub streams: BTreeMap<StreamIx, Stream>,
    /// The consumers that it holds.
    pub consumers: BTreeMap<ConsumerId, Consumer>,
    /// Its part in the Raft groups that it takes part in.
    pub rafts: BTreeMap<GroupId, Raft>,
    /// What its disk has of groups that it does not take part in.
    stored: BTreeMap<GroupId, Raft>,
    files: u32,
    /// Whether the process listens.
    pub up: bool,
    /// The process was asked to stop.
    stopping: bool,
    /// What the process applies was committed before it began.
    recovering: bool,
    /// What the process applies was there before anything began.
    settling: bool,
    boots: u32,
    /// What an administrator wants decided.
    pub(super) outside: Vec<Op>,
    pub(super) dirty: Vec<GroupId>,
    pub(super) advisories: Vec<(Advisory, Audience)>,
}

/// The surroundings of a part of this server.
macro_rules! env {
    ($server:expr, $ctx:expr, $shared:expr) => {
        Env {
            me: $server.me,
            rules: &$shared.rules,
            names: &$shared.names,
            routes: &mut $server.routes,
            dirty: &mut $server.dirty,
            advisories: &mut $server.advisories,
            ctx: $ctx,
        }
    };
}
pub(super) use env;

impl Server {
    /// A server whose process never ran, in a cluster of so many.
    #[must_use]
    pub fn new(me: NodeId, servers: u32) -> Self {
        let peers = (0..servers).fold(NodeSet::EMPTY, |peers, node| peers.with(NodeId(node)));
        let meta = Raft::new(GroupId::Meta, 0, me, servers, peers, FileId(0));
        Self {
            me,
            servers,
            routes: Routes::new(me, servers),
            clients: ClientConns::default(),
            meta: Meta::default(),
            streams: BTreeMap::new(),
            consumers: BTreeMap::new(),
            rafts: BTreeMap::new(),
            stored: BTreeMap::from([(GroupId::Meta, meta)]),
            files: 1,
            up: false,
            stopping: false,
            recovering: false,
            settling: false,
            boots: 0,
            outside: Vec::new(),
            dirty: Vec::new(),
            advisories: Vec::new(),
        }
    }

    /// Whether no process of this server ever ran.
    #[must_use]
    pub const fn is_new(&self) -> bool {
        self.boots == 0
    }

    /// Puts a decision of the meta group there before any process ran.
    pub fn preset(&mut self, op: Op) {
        self.meta.apply(&op);
        if let Some(raft) = self.stored.get_mut(&GroupId::Meta) {
            raft.preset(op);
        }
    }

    /// An event of the server's node. `settled`: who leads the meta group when the first processes begin.
    pub fn on(
        &mut self,
        event: Event<Msg, Timer>,
        settled: NodeId,
        ctx: &mut Ctx<'_, Nats>,
        shared: &Shared,
    ) {
        match event {
            Event::Started(boot) => self.start(boot, settled, ctx, shared),
            Event::Stopping => self.stop(ctx, shared),
            Event::Accepted(conn, from) => self.accepted(conn, from, ctx),
            Event::Message(conn, Msg::Client(message)) if self.clients.has(conn) => {
                self.client_says(conn, message, ctx, shared);
            }
            Event::Message(conn, Msg::Route(message)) => {
                if let Some(from) = self.routes.whose(conn, ctx) {
                    self.server_says(from, message, ctx, shared);
                }
            }
            Event::Connected(_) | Event::Message(..) => {}
            Event::Closed(conn) => self.closed(conn, ctx, shared),
            Event::Timer(Timer::Server(timer)) => self.timer(timer, ctx, shared),
            Event::Timer(Timer::Client(_)) => {}
            Event::Synced(file, result) => self.synced(file, result.is_ok(), ctx, shared),
        }
        self.react(ctx, shared);
    }

    // The process.

    fn start(&mut self, boot: Boot, settled: NodeId, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        self.boots += 1;
        self.routes.reset();
        self.clients.reset();
        (self.up, self.stopping) = (false, false);
        self.dirty.clear();
        self.meta = Meta::default();
        self.streams.clear();
        self.consumers.clear();
        if let Sync::Every(span) = shared.rules.sync {
            let span = span.as_nanos() as u64;
            let (node, boots) = (u64::from(self.me.0), u64::from(self.boots));
            let first = Duration::from_nanos(ctx.between(FIRST_SYNC, node, boots, span / 2, span));
            ctx.timer(first, Timer::Server(ServerTimer::Sync));
        }
        if self.boots == 1 {
            self.start_settled(settled, ctx, shared);
            return;
        }
        self.stored.append(&mut self.rafts);
        let mut env = env!(self, ctx, shared);
        for raft in self.stored.values_mut() {
            raft.recover(boot, &mut env);
        }
        self.dirty.clear();
        let (least, most) = (shared.rules.startup_min, shared.rules.startup_max);
        let (least, most) = (least.as_nanos() as u64, most.as_nanos() as u64);
        let takes = ctx.between(STARTUP, u64::from(self.me.0), u64::from(self.boots), least, most);
        ctx.timer(Duration::from_nanos(takes), Timer::Server(ServerTimer::Up));
    }

    /// The cluster has been running for long: every group has its leader.
    fn start_settled(&mut self, settled: NodeId, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        self.listen(ctx, shared);
        self.settling = true;
        if let Some(mut raft) = self.stored.remove(&GroupId::Meta) {
            raft.start_settled(settled, &mut env!(self, ctx, shared));
            self.rafts.insert(GroupId::Meta, raft);
        }
        self.react(ctx, shared);
        self.settling = false;
    }

    fn came_up(&mut self, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        self.listen(ctx, shared);
        self.recovering = true;
        if let Some(mut raft) = self.stored.remove(&GroupId::Meta) {
            raft.start(false, false, &mut env!(self, ctx, shared));
            self.rafts.insert(GroupId::Meta, raft);
            self.dirty.push(GroupId::Meta);
        }
        self.react(ctx, shared);
        self.recovering = false;
    }

    fn listen(&mut self, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        self.up = true;
        self.routes.start(&shared.rules, ctx);
        ctx.timer(shared.rules.ping_interval, Timer::Server(ServerTimer::Clients));
    }

    fn stop(&mut self, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        self.stopping = true;
        let mut env = env!(self, ctx, shared);
        for raft in self.rafts.values_mut() {
            raft.hand_over(&mut env);
            raft.leave_snapshot();
        }
        ctx.timer(shared.rules.shutdown_takes, Timer::Server(ServerTimer::Gone));
    }

    fn synced(&mut self, file: FileId, ok: bool, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        if shared.rules.sync == Sync::Always
            && let Some(raft) = self.rafts.values_mut().find(|raft| raft.log().file() == file)
        {
            raft.synced(ok, &mut env!(self, ctx, shared));
        }
    }

    fn sync_files(&mut self, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        for file in (0..self.files).map(FileId) {
            if ctx.disk().written(file) > ctx.disk().synced(file) {
                // A disk that fails here fails at the next write, and that is where it is noticed.
                let _ = ctx.sync(file);
            }
        }
        if let Sync::Every(span) = shared.rules.sync {
            ctx.timer(span, Timer::Server(ServerTimer::Sync));
        }
    }

    fn timer(&mut self, timer: ServerTimer, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        let rules = &shared.rules;
        match timer {
            ServerTimer::Up => self.came_up(ctx, shared),
            ServerTimer::Gone => ctx.exit(),
            ServerTimer::Dial(peer, turn) => self.routes.on_dial(peer, turn, rules, ctx),
            ServerTimer::Routes => {
                for peer in self.routes.check(rules, ctx) {
                    self.clients_gone(peer, None, ctx, shared);
                }
            }
            ServerTimer::Clients => {
                for conn in self.clients.ping(rules, ctx) {
                    self.client_left(conn, ctx, shared);
                }
                ctx.timer(rules.ping_interval, Timer::Server(ServerTimer::Clients));
            }
            ServerTimer::Sync => self.sync_files(ctx, shared),
            ServerTimer::Election(group, turn) => {
                self.with_raft(group, ctx, shared, |raft, env| raft.on_election(turn, env));
            }
            ServerTimer::Heartbeat(group, term) => {
                self.with_raft(group, ctx, shared, |raft, env| raft.on_heartbeat(term, env));
            }
            ServerTimer::Quorum(group, term) => {
                self.with_raft(group, ctx, shared, |raft, env| raft.on_quorum_check(term, env));
            }
            ServerTimer::Consumer(id, turn) => {
                let mut inactive = false;
                self.with_consumer(id, ctx, shared, |consumer, stream, raft, env| {
                    inactive = consumer.on_timer(turn, stream, raft, env);
                });
                if inactive {
                    self.routes.broadcast(&RouteMsg::Inactive(id), rules, ctx);
                    self.remove_consumer(id, None, ctx, shared);
                }
            }
        }
    }

    fn with_raft(
        &mut self,
        group: GroupId,
        ctx: &mut Ctx<'_, Nats>,
        shared: &Shared,
        run: impl FnOnce(&mut Raft, &mut Env<'_, '_>),
    ) {
        if let Some(raft) = self.rafts.get_mut(&group).filter(|_| !self.stopping) {
            run(raft, &mut env!(self, ctx, shared));
        }
    }

    fn with_consumer(
        &mut self,
        id: ConsumerId,
        ctx: &mut Ctx<'_, Nats>,
        shared: &Shared,
        run: impl FnOnce(&mut Consumer, &Stream, &mut Raft, &mut Env<'_, '_>),
    ) {
        if let Some(consumer) = self.consumers.get_mut(&id)
            && let Some(stream) = self.streams.get(&id.stream)
            && let Some(raft) = self.rafts.get_mut(&GroupId::Consumer(id))
        {
            run(consumer, stream, raft, &mut env!(self, ctx, shared));
        }
    }

    // Connections.

    fn accepted(&mut self, conn: ConnId, from: NodeId, ctx: &mut Ctx<'_, Nats>) {
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

    fn closed(&mut self, conn: ConnId, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        if self.clients.has(conn) {
            self.client_left(conn, ctx, shared);
        } else if let Some(peer) = self.routes.closed(conn, &shared.rules, ctx) {
            self.clients_gone(peer, None, ctx, shared);
        }
    }

    /// A client of this server is gone.
    fn client_left(&mut self, conn: ConnId, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        for subject in self.clients.left(conn) {
            self.routes.listen(subject, false, &shared.rules, ctx);
        }
        self.routes.broadcast(&RouteMsg::ClientGone(conn), &shared.rules, ctx);
        self.clients_gone(self.me, Some(conn), ctx, shared);
    }

    /// A client of a server, or all of them, cannot be reached any more.
    fn clients_gone(
        &mut self,
        server: NodeId,
        conn: Option<ConnId>,
        ctx: &mut Ctx<'_, Nats>,
        shared: &Shared,
    ) {
        let mut env = env!(self, ctx, shared);
        for (id, consumer) in &mut self.consumers {
            if let Some(raft) = self.rafts.get_mut(&GroupId::Consumer(*id)) {
                consumer.client_gone(server, conn, raft, &mut env);
            }
        }
    }

    // Messages.

    fn client_says(&mut self, conn: ConnId, message: ClientMsg, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
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

    fn server_says(&mut self, from: NodeId, message: RouteMsg, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        let Some(message) = self.routes.on_message(from, message, &shared.rules, ctx) else { return };
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
            | RouteMsg::Leaves(_) => {}
        }
    }

    fn request(&mut self, routed: Routed, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        match routed {
            Routed::Publish(publish, reply) => {
                if let Some(stream) = self.streams.get_mut(&publish.stream)
                    && stream.leads
                    && let Some(raft) = self.rafts.get_mut(&GroupId::Stream(publish.stream))
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

    // What follows from an event.

    fn react(&mut self, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        for op in std::mem::take(&mut self.outside) {
            self.decide(op, ctx, shared);
        }
        while let Some(group) = self.dirty.pop() {
            self.settle(group, ctx, shared);
        }
        for (advisory, audience) in std::mem::take(&mut self.advisories) {
            self.clients.announce(advisory, audience, ctx);
        }
    }

    /// The meta leader proposes.
    pub(super) fn decide(&mut self, op: Op, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        self.with_raft(GroupId::Meta, ctx, shared, |raft, env| {
            raft.propose(op, env);
        });
    }

    fn settle(&mut self, group: GroupId, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        let is_active = self.rafts.get(&group).is_some_and(Raft::is_active);
        if !is_active {
            self.leave_office(group, ctx, shared);
        }
        let mut grew = false;
        while let Some((index, op)) = self.rafts.get_mut(&group).and_then(Raft::next_committed) {
            grew |= matches!(op, Op::Store(_));
            self.apply(group, index, &op, ctx, shared);
        }
        if let GroupId::Stream(stream) = group
            && grew
        {
            self.stream_grew(stream, ctx, shared);
        }
        if self.rafts.get(&group).is_some_and(Raft::is_active) {
            self.take_office(group, ctx, shared);
        }
    }

    fn apply(&mut self, group: GroupId, index: u64, op: &Op, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        match (group, op) {
            (GroupId::Meta, op) => {
                let change = self.meta.apply(op);
                self.assigned(change, ctx, shared);
            }
            (GroupId::Stream(stream), Op::Store(proposal)) => {
                if let Some(stream) = self.streams.get_mut(&stream) {
                    stream.apply(proposal, &mut env!(self, ctx, shared));
                }
            }
            (GroupId::Stream(_), _) => {}
            (GroupId::Consumer(id), op) => {
                self.with_consumer(id, ctx, shared, |consumer, stream, raft, env| {
                    consumer.apply(index, op, stream, raft, env);
                });
            }
        }
    }

    /// The consumers that this server leads look at a stream's new messages.
    fn stream_grew(&mut self, id: StreamIx, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        let Some(stream) = self.streams.get(&id) else { return };
        let mut env = env!(self, ctx, shared);
        for (id, consumer) in self.consumers.range_mut(ConsumerId::first_of(id)..) {
            if id.stream != stream.assignment.stream {
                break;
            }
            if consumer.leads()
                && let Some(raft) = self.rafts.get_mut(&GroupId::Consumer(*id))
            {
                consumer.stream_grew(stream, raft, &mut env);
            }
        }
    }

    // Assignments.

    fn assigned(&mut self, change: MetaChange, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        match change {
            MetaChange::NewStream(assignment) => self.new_stream(assignment, ctx, shared),
            MetaChange::NewConsumer(assignment) => self.new_consumer(assignment, ctx, shared),
            MetaChange::SameStream(assignment) => {
                if let Some(stream) = self.streams.get_mut(&assignment.stream) {
                    stream.creators.extend(assignment.reply);
                    self.dirty.push(GroupId::Stream(assignment.stream));
                }
            }
            MetaChange::SameConsumer(assignment) => {
                if let Some(consumer) = self.consumers.get_mut(&assignment.consumer) {
                    consumer.creators.extend(assignment.reply);
                    self.dirty.push(GroupId::Consumer(assignment.consumer));
                }
            }
            MetaChange::NoConsumer(id, reply) => {
                self.end_consumer(id, ctx, shared);
                if self.meta.leads {
                    env!(self, ctx, shared).reply_if(reply, Reply::Api(ApiResponse::Deleted));
                }
            }
            MetaChange::Nothing => {}
        }
    }

    fn new_stream(&mut self, assignment: Arc<StreamAssignment>, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        if assignment.peers.contains(self.me) {
            let group = GroupId::Stream(assignment.stream);
            let place = (assignment.incarnation, assignment.peers, assignment.preferred);
            self.streams.insert(assignment.stream, Stream::new(assignment));
            self.join(group, place, ctx, shared);
        }
    }

    fn new_consumer(
        &mut self,
        assignment: Arc<ConsumerAssignment>,
        ctx: &mut Ctx<'_, Nats>,
        shared: &Shared,
    ) {
        if assignment.peers.contains(self.me) {
            let group = GroupId::Consumer(assignment.consumer);
            let place = (assignment.incarnation, assignment.peers, assignment.preferred);
            self.consumers.insert(assignment.consumer, Consumer::new(assignment));
            self.join(group, place, ctx, shared);
        }
    }

    /// Takes part in a group from now on.
    fn join(
        &mut self,
        group: GroupId,
        (incarnation, peers, preferred): (u64, NodeSet, NodeId),
        ctx: &mut Ctx<'_, Nats>,
        shared: &Shared,
    ) {
        let known = self.stored.remove(&group);
        let mut raft = match known {
            Some(raft) if raft.incarnation == incarnation && !is_in_memory(group) => raft,
            known => {
                if let Some(old) = known {
                    ctx.disk().truncate(old.log().file(), 0);
                }
                let file = FileId(self.files);
                self.files += 1;
                Raft::new(group, incarnation, self.me, self.servers, peers, file)
            }
        };
        let mut env = env!(self, ctx, shared);
        if self.settling {
            raft.start_settled(preferred, &mut env);
        } else {
            raft.start(preferred == self.me, !self.recovering, &mut env);
        }
        self.rafts.insert(group, raft);
        self.dirty.push(group);
    }

    /// A consumer is no more.
    fn end_consumer(&mut self, id: ConsumerId, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        let group = GroupId::Consumer(id);
        for raft in [self.rafts.remove(&group), self.stored.remove(&group)].into_iter().flatten() {
            ctx.disk().truncate(raft.log().file(), 0);
        }
        let Some(mut consumer) = self.consumers.remove(&id) else { return };
        let mut env = env!(self, ctx, shared);
        env.listen(Subject::Consumer(id), false);
        for reply in consumer.end() {
            env.reply(reply, Reply::Status(Status::ConsumerDeleted));
        }
    }

    // Offices.

    fn leave_office(&mut self, group: GroupId, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        let mut env = env!(self, ctx, shared);
        match group {
            GroupId::Meta => self.meta.leads = false,
            GroupId::Stream(id) => {
                if let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.leads) {
                    stream.take_office(false);
                    env.listen(Subject::Stream(id), false);
                    let term = self.rafts.get(&group).map_or(0, Raft::term);
                    tell(stream, None, term, &mut env);
                }
            }
            GroupId::Consumer(id) => {
                if let Some(consumer) = self.consumers.get_mut(&id).filter(|consumer| consumer.leads()) {
                    consumer.leave_office();
                    env.listen(Subject::Consumer(id), false);
                }
            }
        }
    }

    fn take_office(&mut self, group: GroupId, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        match group {
            GroupId::Meta => self.meta.leads = true,
            GroupId::Stream(id) => {
                let mut env = env!(self, ctx, shared);
                let Some(stream) = self.streams.get_mut(&id) else { return };
                if !stream.leads {
                    stream.take_office(true);
                    env.listen(Subject::Stream(id), true);
                    env.ctx.touch(super::Touch::Office(env.me, id));
                    let term = self.rafts.get(&group).map_or(0, Raft::term);
                    if !self.settling {
                        tell(stream, Some(env.me), term, &mut env);
                    }
                }
                for reply in std::mem::take(&mut stream.creators) {
                    let info = stream.info(&env);
                    env.reply(reply, Reply::Api(ApiResponse::Stream(info)));
                }
            }
            GroupId::Consumer(id) => {
                self.with_consumer(id, ctx, shared, |consumer, stream, raft, env| {
                    if !consumer.leads() {
                        consumer.take_office(stream, raft, env);
                        env.listen(Subject::Consumer(id), true);
                    }
                    for reply in std::mem::take(&mut consumer.creators) {
                        let info = consumer.info(stream, env);
                        env.reply(reply, Reply::Api(ApiResponse::Consumer(info)));
                    }
                });
            }
        }
    }
}

/// Whether the group keeps its log in memory: it does not survive the process.
const fn is_in_memory(group: GroupId) -> bool {
    matches!(group, GroupId::Consumer(ConsumerId { name: super::protocol::ConsumerName::Ephemeral(_), .. }))
}

/// Tells the world outside who leads a stream.
fn tell(stream: &Stream, leader: Option<NodeId>, term: u64, env: &mut Env<'_, '_>) {
    for partition in 0..stream.assignment.config.partitions {
        env.ctx.emit(Output::Note(Note::Leader {
            unit: env.names.unit(stream.assignment.stream, partition),
            leader: leader.map(|node| node.0 + 1),
            epoch: term as u32,
            unclean: false,
        }));
    }
}
