//! Tests of the servers, driven by messages and time only.
//!
//! A [`Probe`] is a client node that a test plays by hand; the [`Lab`] holds the world around it, steps it, and
//! breaks things at given times. Names carry the ids of the rules in the reference: `n13_` is section 1.3, `a1_` an
//! anomaly of its section 4.

mod consumers;
mod faults;
mod given_up;
mod replication;
mod streams;
mod sweeps;

use super::{
    Nats, Rules, Timer,
    config::ConsumerConfig,
    profile::nats_2_15,
    protocol::{
        AckBody, AckToken, Advisory, ApiRequest, ApiResponse, ClientMsg, ConsumerId, Delivery, Msg, MsgId,
        PubAck, Publish, PullRequest, ServerMsg, Status, StreamIx,
    },
    raft::message::GroupId,
};
use crate::{
    kernel::{Choices, ConnId, Ctx, Event, LinkSpec, NodeId, World},
    model::BusModel,
};
use bytes::Bytes;
use squall_bus::{Record, Role, Time, Topic, TopicSpec, Unit};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// A client played by hand.
#[derive(Debug, Default)]
pub(super) struct Probe {
    conns: BTreeMap<NodeId, ConnId>,
    /// What came, in order: when, for which inbox, what.
    heard: Vec<(Time, u64, Heard)>,
}

/// What a server said.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Heard {
    PubAck(PubAck),
    Deliver(Delivery),
    Status(Status),
    AckReply,
    Api(String),
    Advisory(Advisory),
}

impl Probe {
    pub(super) fn on(&mut self, event: Event<Msg, Timer>, ctx: &mut Ctx<'_, Nats>) {
        match event {
            Event::Message(conn, Msg::Server(message)) => {
                let (inbox, heard) = match message {
                    ServerMsg::Info(_) | ServerMsg::Pong => return,
                    ServerMsg::Ping => return ctx.send(conn, Msg::Client(ClientMsg::Pong)),
                    ServerMsg::PubAck(inbox, ack) => (inbox, Heard::PubAck(ack)),
                    ServerMsg::Deliver(inbox, delivery) => (inbox, Heard::Deliver(delivery)),
                    ServerMsg::Status(inbox, status) => (inbox, Heard::Status(status)),
                    ServerMsg::AckReply(inbox) => (inbox, Heard::AckReply),
                    ServerMsg::Api(inbox, ApiResponse::Error(error)) => {
                        (inbox, Heard::Api(error.err_code().to_string()))
                    }
                    ServerMsg::Api(inbox, ApiResponse::Stream(_)) => (inbox, Heard::Api("stream".to_owned())),
                    ServerMsg::Api(inbox, ApiResponse::Consumer(_)) => {
                        (inbox, Heard::Api("consumer".to_owned()))
                    }
                    ServerMsg::Api(inbox, ApiResponse::Message(message)) => {
                        (inbox, Heard::Api(format!("message {}", message.seq)))
                    }
                    ServerMsg::Api(inbox, ApiResponse::Deleted) => (inbox, Heard::Api("deleted".to_owned())),
                    ServerMsg::Advisory(inbox, advisory) => (inbox, Heard::Advisory(advisory)),
                };
                self.heard.push((ctx.now(), inbox, heard));
            }
            Event::Closed(conn) => self.conns.retain(|_, known| *known != conn),
            _ => {}
        }
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const STREAM: StreamIx = StreamIx(0);

/// A cluster with one probe and what will happen to it.
struct Lab {
    world: World<Nats>,
    probe: NodeId,
    inbox: u64,
    records: u64,
    /// A violation ends the lab's work without a panic.
    quiet: bool,
}

impl Lab {
    /// Three servers by the rules of NATS 2.15 and the stream `t` of two partitions.
    fn new(seed: u64) -> Self {
        Self::with(seed, nats_2_15())
    }

    fn with(seed: u64, rules: Rules) -> Self {
        let mut lab = Self::bare(seed, 3, rules);
        lab.topic("t", &[]);
        lab.start();
        lab
    }

    /// Servers that were not started.
    fn bare(seed: u64, servers: u32, rules: Rules) -> Self {
        Self::watched(seed, servers, rules, |_| true)
    }

    /// Servers that were not started, and the invariants of these names.
    fn watched(seed: u64, servers: u32, rules: Rules, watches: impl Fn(&str) -> bool) -> Self {
        let choices = Choices::new(seed);
        let nats = Nats::new(rules, servers, &choices).expect("the cluster can be");
        let mut world = World::new(nats, choices, LinkSpec::default());
        for node in 0..servers {
            world.add_node(&format!("nats-{}", node + 1));
        }
        let probe = world.add_node("probe");
        world.model_mut().probes.insert(probe, Probe::default());
        for invariant in super::invariants::all().into_iter().filter(|invariant| watches(invariant.name())) {
            world.watch(invariant);
        }
        Self { world, probe, inbox: 0, records: 0, quiet: false }
    }

    fn start(&mut self) {
        for node in 0..self.world.nodes() {
            self.world.start(NodeId(node));
        }
        self.run(millis(5));
    }

    fn topic(&mut self, name: &str, config: &[(&str, &str)]) {
        let config = config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let replicas = self.world.model().brokers().min(3);
        let spec = TopicSpec { topic: Topic::new(name), partitions: 2, replicas, min_insync: 1, config };
        let choices = self.world.choices().clone();
        self.world.model_mut().create_topic(&spec, &choices).expect("the topic can be");
    }

    // Time.

    fn now(&self) -> Time {
        self.world.now()
    }

    fn step(&mut self, limit: Time) -> bool {
        if self.world.next_time().is_none_or(|next| next > limit) {
            self.world.advance_to(limit);
            return false;
        }
        self.world.step();
        match self.world.violation() {
            Some(_) if self.quiet => false,
            Some(violation) => panic!("{violation:?}"),
            None => true,
        }
    }

    fn run(&mut self, span: Duration) {
        let limit = self.now() + span;
        while self.step(limit) {}
    }

    /// Runs until `done`, at most `patience`; how long it took.
    fn until(&mut self, patience: Duration, mut done: impl FnMut(&Self) -> bool) -> Duration {
        let begin = self.now();
        while !done(self) {
            assert!(self.step(begin + patience), "it did not happen within {patience:?}");
        }
        self.now().since(begin)
    }

    // Roles.

    fn nats(&self) -> &Nats {
        self.world.model()
    }

    fn unit(&self) -> Unit {
        Unit::new(&Topic::new("t"), 0)
    }

    fn leader(&self) -> NodeId {
        self.nats().resolve(&Role::Leader(self.unit()))[0]
    }

    fn meta_leader(&self) -> NodeId {
        self.nats().resolve(&Role::Controller)[0]
    }

    fn follower(&self) -> NodeId {
        self.nats().resolve(&Role::Followers(self.unit()))[0]
    }

    /// Whether a server other than this leads the stream.
    fn has_other_leader(&self, than: NodeId) -> bool {
        let leaders = self.nats().resolve(&Role::Leader(self.unit()));
        leaders.first().is_some_and(|leader| *leader != than)
    }

    fn consumer_leader(&self, id: ConsumerId) -> NodeId {
        let leads = |node: &NodeId| {
            self.nats().servers[node.index()].consumers.get(&id).is_some_and(super::consumer::Consumer::leads)
        };
        (0..3).map(NodeId).find(leads).expect("it has a leader")
    }

    fn partition(&mut self, node: NodeId) {
        for other in self.servers().filter(|other| *other != node).collect::<Vec<_>>() {
            self.world.cut(node, other);
            self.world.cut(other, node);
        }
    }

    fn heal(&mut self, node: NodeId) {
        for other in self.servers().filter(|other| *other != node).collect::<Vec<_>>() {
            self.world.uncut(node, other);
            self.world.uncut(other, node);
        }
    }

    /// Every way between two servers takes two seconds longer, or no longer does.
    fn delay_all(&mut self, on: bool) {
        let pairs = self.servers().flat_map(|from| self.servers().map(move |to| (from, to)));
        for (from, to) in pairs.filter(|(from, to)| from != to).collect::<Vec<_>>() {
            if on {
                self.world.delay(from, to, secs(2));
            } else {
                self.world.undelay(from, to, secs(2));
            }
        }
    }

    fn servers(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.nats().brokers()).map(NodeId)
    }

    // The probe.

    /// Says something to a server; the inbox that answers come to.
    fn say(&mut self, to: NodeId, message: impl FnOnce(u64) -> ClientMsg) -> u64 {
        self.inbox += 1;
        let inbox = self.inbox;
        let message = message(inbox);
        let probe = self.probe;
        self.world.enter(probe, |nats, ctx| {
            let probe = nats.probes.get_mut(&probe).expect("it is there");
            let conn = *probe.conns.entry(to).or_insert_with(|| {
                let conn = ctx.connect(to);
                ctx.send(conn, Msg::Client(ClientMsg::Connect));
                conn
            });
            ctx.send(conn, Msg::Client(message));
        });
        inbox
    }

    /// The probe closes its connections.
    fn hang_up(&mut self) {
        let probe = self.probe;
        self.world.enter(probe, |nats, ctx| {
            let conns = nats.probes.get_mut(&probe).map(|probe| std::mem::take(&mut probe.conns));
            conns.into_iter().flatten().for_each(|(_, conn)| ctx.close(conn));
        });
    }

    fn heard(&self, inbox: u64) -> Vec<Heard> {
        let heard = &self.nats().probes[&self.probe].heard;
        heard.iter().filter(|(_, known, _)| *known == inbox).map(|(.., heard)| heard.clone()).collect()
    }

    fn heard_at(&self, inbox: u64) -> Vec<Time> {
        let heard = &self.nats().probes[&self.probe].heard;
        heard.iter().filter(|(_, known, _)| *known == inbox).map(|(at, ..)| *at).collect()
    }

    /// Waits for the first answer.
    fn answer(&mut self, inbox: u64) -> Heard {
        self.until(secs(60), |lab| !lab.heard(inbox).is_empty());
        self.heard(inbox).remove(0)
    }

    fn publish(&mut self, via: NodeId, partition: u32, msg_id: Option<u128>) -> u64 {
        self.records += 1;
        let value = Bytes::copy_from_slice(&self.records.to_be_bytes());
        let record = Arc::new(Record::new(&Topic::new("t"), None, value));
        let publish = Publish { stream: STREAM, partition, record, msg_id: msg_id.map(MsgId) };
        self.say(via, |inbox| ClientMsg::Publish(publish, Some(inbox)))
    }

    /// Publishes and waits for the ack.
    fn stored(&mut self, via: NodeId, partition: u32) -> u64 {
        let inbox = self.publish(via, partition, None);
        match self.answer(inbox) {
            Heard::PubAck(PubAck::Stored { seq, duplicate: false, .. }) => seq,
            other => panic!("{other:?}"),
        }
    }

    fn api(&mut self, via: NodeId, request: ApiRequest) -> String {
        let inbox = self.say(via, |inbox| ClientMsg::Api(request, inbox));
        match self.answer(inbox) {
            Heard::Api(text) => text,
            other => panic!("{other:?}"),
        }
    }

    /// The group's consumer of partition 0, or of all.
    fn consumer(
        &mut self,
        via: NodeId,
        partition: Option<u32>,
        change: impl FnOnce(&mut ConsumerConfig),
    ) -> ConsumerId {
        let group = self.world.model_mut().shared.names.intern_group("g");
        let id = ConsumerId::durable(STREAM, group, partition);
        let mut config = ConsumerConfig::new(partition);
        change(&mut config);
        assert_eq!(self.api(via, ApiRequest::ConsumerCreate(id, Arc::new(config))), "consumer");
        self.run(millis(10));
        id
    }

    fn pull(&mut self, via: NodeId, id: ConsumerId, batch: u32, expires: Option<Duration>) -> u64 {
        let no_wait = expires.is_none();
        let request = PullRequest { batch, expires, no_wait, idle_heartbeat: None };
        self.say(via, |inbox| ClientMsg::Pull(id, request, inbox))
    }

    /// What was delivered to an inbox: (stream sequence, consumer sequence, how often).
    fn delivered(&self, inbox: u64) -> Vec<(u64, u64, u32)> {
        let token = |heard: Heard| match heard {
            Heard::Deliver(delivery) => {
                let AckToken { stream_seq, consumer_seq, delivered, .. } = delivery.token;
                Some((stream_seq, consumer_seq, delivered))
            }
            _ => None,
        };
        self.heard(inbox).into_iter().filter_map(token).collect()
    }

    fn ack(
        &mut self,
        via: NodeId,
        id: ConsumerId,
        (stream_seq, consumer_seq, delivered): (u64, u64, u32),
        body: AckBody,
    ) -> u64 {
        let token = AckToken { stream_seq, consumer_seq, delivered, pending: 0 };
        self.say(via, |inbox| ClientMsg::Ack(id, token, body, Some(inbox)))
    }

    /// The values in a server's copy of the stream, by sequence.
    fn copy(&self, node: NodeId) -> Vec<(u64, Bytes)> {
        let Some(stream) = self.nats().servers[node.index()].streams.get(&STREAM) else { return Vec::new() };
        (stream.first_seq()..=stream.last_seq())
            .filter_map(|seq| stream.message(seq).map(|message| (seq, message.record.value.clone())))
            .collect()
    }
}
