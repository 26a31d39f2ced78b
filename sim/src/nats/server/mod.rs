//! A server: its process, its connections, and the Raft groups that it is a member of.
//!
//! - A process reads what its disk has, listens after `startup`, dials the other servers and takes part in the meta
//!   group and in every group that the meta group's log, as far as it knows it to be committed, assigns to it.
//! - At the end of each event it looks at every member that changed: it lays down what it leads no more, applies
//!   what is committed, and takes up what it leads now.
//! - A process that is asked to stop hands over what it leads, and is gone a little later.
//! - What clients and other servers say is handled in `messages`, what the groups' logs ask for in `groups`, and what
//!   groups there are in `assignments`.
//! - The files are synced every `sync_interval`, the first time after half of that to all of it.

mod assignments;
mod groups;
mod messages;

use super::{
    Env, Nats, Shared, Timer,
    clients::ClientConns,
    consumer::{Consumer, Consumers},
    meta::Meta,
    protocol::{Advisory, Audience, ConsumerId, Msg, RouteMsg},
    raft::{
        Members, Raft,
        message::{GroupId, Named, Op},
    },
    routes::Routes,
    rules::Sync,
    stream::{Stream, Streams},
};
use crate::kernel::{Boot, Ctx, Digest, Event, FileId, NodeId, Site, mix};
use crate::nodes::NodeSet;
use std::time::Duration;

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
    pub streams: Streams,
    /// The consumers that it holds.
    pub consumers: Consumers,
    /// Its part in the Raft groups that it takes part in.
    pub rafts: Members,
    /// What its disk has of groups that it does not take part in.
    stored: Members,
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
    /// Members that changed during the present event, by their files.
    pub(super) dirty: Vec<FileId>,
    /// Leaders that proposed something during the present event, by their files.
    pub(super) unsent: Vec<FileId>,
    pub(super) advisories: Vec<(Advisory, Audience)>,
}

/// The surroundings of a part of this server.
macro_rules! env {
    ($server:expr, $ctx:expr, $shared:expr) => {
        $crate::nats::Env {
            me: $server.me,
            rules: &$shared.rules,
            names: &$shared.names,
            routes: &mut $server.routes,
            dirty: &mut $server.dirty,
            unsent: &mut $server.unsent,
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
        let mut stored = Members::default();
        stored.insert(Raft::new(GroupId::Meta, 0, me, servers, peers, FileId(0)));
        Self {
            me,
            servers,
            routes: Routes::new(me, servers),
            clients: ClientConns::default(),
            meta: Meta::default(),
            streams: Streams::default(),
            consumers: Consumers::default(),
            rafts: Members::default(),
            stored,
            files: 1,
            up: false,
            stopping: false,
            recovering: false,
            settling: false,
            boots: 0,
            outside: Vec::new(),
            dirty: Vec::new(),
            unsent: Vec::new(),
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
        self.unsent.clear();
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
            self.rafts.insert(raft);
        }
        self.react(ctx, shared);
        self.settling = false;
    }

    fn came_up(&mut self, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        self.listen(ctx, shared);
        self.recovering = true;
        if let Some(mut raft) = self.stored.remove(&GroupId::Meta) {
            raft.start(false, false, &mut env!(self, ctx, shared));
            self.dirty.push(raft.log().file());
            self.rafts.insert(raft);
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
            && let Some(raft) = self.rafts.of_file_mut(file)
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
                self.with_raft(group.into(), ctx, shared, |raft, env| raft.on_election(turn, env));
            }
            ServerTimer::Heartbeat(group, term) => {
                self.with_raft(group.into(), ctx, shared, |raft, env| raft.on_heartbeat(term, env));
            }
            ServerTimer::Quorum(group, term) => {
                self.with_raft(group.into(), ctx, shared, |raft, env| raft.on_quorum_check(term, env));
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
        group: Named,
        ctx: &mut Ctx<'_, Nats>,
        shared: &Shared,
        run: impl FnOnce(&mut Raft, &mut Env<'_, '_>),
    ) {
        if let Some(file) = self.rafts.file(group).filter(|_| !self.stopping)
            && let Some(raft) = self.rafts.of_file_mut(file)
        {
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
            && let Some(raft) = self.rafts.of_file_mut(consumer.file)
        {
            run(consumer, stream, raft, &mut env!(self, ctx, shared));
        }
    }
}
