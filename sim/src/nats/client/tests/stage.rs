//! A stage for the tests: played servers, clients on them, and what came out.

use super::super::{Client, Io};
use crate::{
    kernel::{Choices, ConnId, Ctx, Event, LinkSpec, Model, NodeId, World},
    model::{Call, OpId, Output},
    nats::{
        ApiError, Names, Shared, Timer,
        config::StreamConfig,
        profile::nats_2_15,
        protocol::{
            AckBody, AckToken, ApiRequest, ApiResponse, ClientMsg, ConsumerId, ConsumerInfo, Delivery,
            GroupIx, Msg, MsgId, PubAck, PullRequest, ServerInfo, ServerMsg, Status, StoredMessage,
            StreamInfo, StreamIx,
        },
    },
    nodes::NodeSet,
};
use bytes::Bytes;
use squall_bus::{
    Ack, ConsumerConfig, ConsumerEvent, Error, Outcome, ProducerConfig, Record, Time, Topic, lowering,
};
use std::{collections::BTreeMap, sync::Arc, task::Poll, time::Duration};

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const STREAM: StreamIx = StreamIx(0);
pub(super) const PARTITIONS: u32 = 2;

/// What the servers do with what reaches them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// They store and confirm.
    Fine,
    /// They store and say nothing.
    Silent,
    /// They say that nobody listens.
    NoResponders,
    /// They refuse publishes and API requests.
    Refuse(ApiError),
    /// Their processes say nothing at all.
    Frozen,
}

/// A publish as it reached a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Published {
    pub(super) at: Time,
    pub(super) partition: u32,
    pub(super) value: u64,
    pub(super) msg_id: Option<MsgId>,
    pub(super) wants_ack: bool,
}

/// Servers that store in one log, and clients.
#[derive(Debug)]
pub(super) struct Servers {
    pub(super) shared: Shared,
    pub(super) manner: Manner,
    pub(super) published: Vec<Published>,
    pub(super) pulls: Vec<(Time, ConsumerId, PullRequest, u64)>,
    pub(super) acks: Vec<(ConsumerId, AckToken, AckBody, bool)>,
    pub(super) created: Vec<(ConsumerId, Arc<crate::nats::config::ConsumerConfig>)>,
    pub(super) pings: Vec<Time>,
    pub(super) queues: Vec<(StreamIx, GroupIx, u64)>,
    /// Connections, in order: when, at which server.
    pub(super) accepted: Vec<(Time, NodeId)>,
    /// Where the client is.
    place: Option<(NodeId, ConnId)>,
    clients: Vec<Client>,
}

impl Servers {
    fn serve(&mut self, server: NodeId, event: Event<Msg, Timer>, ctx: &mut Ctx<'_, Self>) {
        match event {
            Event::Accepted(conn, _) => {
                self.accepted.push((ctx.now(), server));
                self.place = Some((server, conn));
                if self.manner != Manner::Frozen {
                    let info = ServerInfo { server, peers: NodeSet::EMPTY };
                    ctx.send(conn, Msg::Server(ServerMsg::Info(info)));
                }
            }
            Event::Message(conn, Msg::Client(message)) => {
                if let ClientMsg::Ping = message {
                    self.pings.push(ctx.now());
                }
                if let Some(answer) = self.answer(message, ctx.now())
                    && self.manner != Manner::Frozen
                {
                    ctx.send(conn, Msg::Server(answer));
                }
            }
            _ => {}
        }
    }

    fn answer(&mut self, message: ClientMsg, now: Time) -> Option<ServerMsg> {
        let fine = self.manner == Manner::Fine;
        match message {
            ClientMsg::Ping => Some(ServerMsg::Pong),
            ClientMsg::Publish(publish, inbox) => {
                let value: [u8; 8] = publish.record.value.as_ref().try_into().expect("8 bytes");
                self.published.push(Published {
                    at: now,
                    partition: publish.partition,
                    value: u64::from_le_bytes(value),
                    msg_id: publish.msg_id,
                    wants_ack: inbox.is_some(),
                });
                let seq = self.published.len() as u64;
                let ack = PubAck::Stored { stream: publish.stream, seq, duplicate: false };
                match self.manner {
                    Manner::Fine => Some(ServerMsg::PubAck(inbox?, ack)),
                    Manner::NoResponders => Some(ServerMsg::Status(inbox?, Status::NoResponders)),
                    Manner::Refuse(error) => Some(ServerMsg::PubAck(inbox?, PubAck::Refused(error))),
                    Manner::Silent | Manner::Frozen => None,
                }
            }
            ClientMsg::Pull(consumer, request, inbox) => {
                self.pulls.push((now, consumer, request, inbox));
                (self.manner == Manner::NoResponders)
                    .then_some(ServerMsg::Status(inbox, Status::NoResponders))
            }
            ClientMsg::Ack(consumer, token, body, inbox) => {
                self.acks.push((consumer, token, body, inbox.is_some()));
                match self.manner {
                    Manner::Fine => Some(ServerMsg::AckReply(inbox?)),
                    Manner::NoResponders => Some(ServerMsg::Status(inbox?, Status::NoResponders)),
                    _ => None,
                }
            }
            ClientMsg::Api(request, inbox) => match self.manner {
                Manner::Refuse(error) => Some(ServerMsg::Api(inbox, ApiResponse::Error(error))),
                Manner::NoResponders => Some(ServerMsg::Status(inbox, Status::NoResponders)),
                _ if fine => Some(ServerMsg::Api(inbox, self.api(request))),
                _ => None,
            },
            ClientMsg::QueueGivenUp(stream, group, inbox) => {
                self.queues.push((stream, group, inbox));
                None
            }
            ClientMsg::Connect | ClientMsg::Pong | ClientMsg::Advisories(..) => None,
        }
    }

    fn api(&mut self, request: ApiRequest) -> ApiResponse {
        match request {
            ApiRequest::StreamInfo(stream) => ApiResponse::Stream(StreamInfo {
                stream,
                config: Arc::new(StreamConfig {
                    replicas: 3,
                    partitions: PARTITIONS,
                    duplicate_window: lowering::DEDUP_WINDOW,
                    max_message_bytes: 1 << 20,
                    max_messages: None,
                    discard: crate::nats::config::Discard::Old,
                }),
                first_seq: 1,
                last_seq: 0,
                leader: NodeId(0),
            }),
            ApiRequest::ConsumerCreate(consumer, config) => {
                self.created.push((consumer, Arc::clone(&config)));
                ApiResponse::Consumer(ConsumerInfo {
                    consumer,
                    config,
                    delivered_consumer_seq: 0,
                    delivered_stream_seq: 0,
                    ack_floor: 0,
                    ack_pending: 0,
                    pending: 0,
                    leader: NodeId(0),
                })
            }
            ApiRequest::MessageGet(_, seq) => ApiResponse::Message(Arc::new(StoredMessage {
                seq,
                partition: 0,
                record: Arc::new(Record::new(&Topic::new("orders"), None, Bytes::new())),
                msg_id: None,
                timestamp: Time::ZERO,
            })),
            _ => ApiResponse::Deleted,
        }
    }
}

impl Model for Servers {
    type Msg = Msg;
    type Timer = Timer;
    type Call = Call;
    type Output = Output;
    type Touch = u8;

    fn on(&mut self, node: NodeId, event: Event<Msg, Timer>, ctx: &mut Ctx<'_, Self>) {
        match node.index().checked_sub(self.shared.servers as usize) {
            None => self.serve(node, event, ctx),
            Some(client) => self.clients[client].on(event, ctx, &self.shared),
        }
    }

    fn call(&mut self, node: NodeId, call: Call, ctx: &mut Ctx<'_, Self>) {
        let client = node.index() - self.shared.servers as usize;
        self.clients[client].call(call, ctx, &self.shared);
    }
}

/// What a service was handed: unit, position, attempt, tag.
pub(super) type Read = (u32, u64, Option<u32>, u64);

pub(super) struct Stage {
    pub(super) world: World<Servers>,
    ops: u64,
    pub(super) sent: BTreeMap<u64, (Time, Outcome<Ack>)>,
    pub(super) done: BTreeMap<u64, (Time, Outcome<()>)>,
}

impl Stage {
    pub(super) fn new(servers: u32) -> Self {
        let mut names = Names::default();
        names.intern_stream(&Topic::new("orders"));
        names.intern_group("billing");
        let shared = Shared { rules: nats_2_15(), names, servers };
        let model = Servers {
            shared,
            manner: Manner::Fine,
            published: Vec::new(),
            pulls: Vec::new(),
            acks: Vec::new(),
            created: Vec::new(),
            pings: Vec::new(),
            queues: Vec::new(),
            accepted: Vec::new(),
            place: None,
            clients: Vec::new(),
        };
        let mut world = World::new(model, Choices::new(1), LinkSpec::default());
        for number in 0..servers {
            let node = world.add_node(&format!("server-{}", number + 1));
            world.start(node);
        }
        Self { world, ops: 0, sent: BTreeMap::new(), done: BTreeMap::new() }
    }

    pub(super) fn played(&mut self) -> &mut Servers {
        self.world.model_mut()
    }

    pub(super) fn producer(&mut self, change: impl FnOnce(&mut ProducerConfig)) -> NodeId {
        let mut config = ProducerConfig::new("producer-1");
        change(&mut config);
        self.client(|shared| Client::producer(config, shared))
    }

    pub(super) fn consumer(&mut self, config: ConsumerConfig) -> NodeId {
        self.client(|shared| Client::consumer(config, shared))
    }

    fn client(&mut self, open: impl FnOnce(&Shared) -> Result<Client, Error>) -> NodeId {
        let client = open(&self.world.model().shared).expect("a fine configuration");
        let node = self.world.add_node("client");
        self.world.model_mut().clients.push(client);
        self.world.start(node);
        self.run(SECOND / 10);
        node
    }

    pub(super) fn run(&mut self, span: Duration) {
        let until = self.world.now() + span;
        while self.world.next_time().is_some_and(|at| at <= until) {
            self.world.step();
            self.take_outputs();
        }
        self.world.advance_to(until);
    }

    fn take_outputs(&mut self) {
        let now = self.world.now();
        for output in self.world.take_outputs() {
            match output {
                Output::Sent(op, outcome) => {
                    assert!(self.sent.insert(op.0, (now, outcome)).is_none(), "{op:?} has two outcomes");
                }
                Output::Done(op, outcome) => {
                    assert!(self.done.insert(op.0, (now, outcome)).is_none(), "{op:?} has two outcomes");
                }
                _ => {}
            }
        }
    }

    pub(super) fn call(&mut self, node: NodeId, call: impl FnOnce(OpId) -> Call) -> u64 {
        self.ops += 1;
        self.world.call(node, call(OpId(self.ops)));
        self.take_outputs();
        self.ops
    }

    /// Sends a record whose value is this, to this partition.
    pub(super) fn send(&mut self, node: NodeId, partition: u32, value: u64) -> u64 {
        let value = Bytes::copy_from_slice(&value.to_le_bytes());
        let mut record = Record::new(&Topic::new("orders"), None, value);
        record.partition = Some(partition);
        self.call(node, |op| Call::Send(op, record))
    }

    /// How a send ended: `ok`, `fail CODE`, `unknown CODE`, or nothing yet.
    pub(super) fn outcome(&self, op: u64) -> String {
        match self.sent.get(&op) {
            Some((_, outcome)) => word(outcome),
            None => "nothing yet".to_owned(),
        }
    }

    /// How an ack ended.
    pub(super) fn ack_outcome(&self, op: u64) -> String {
        match self.done.get(&op) {
            Some((_, outcome)) => word(outcome),
            None => "nothing yet".to_owned(),
        }
    }

    /// A server says something to the client.
    pub(super) fn say(&mut self, message: ServerMsg) {
        let (server, conn) = self.world.model().place.expect("the client is connected");
        self.world.enter(server, |_, ctx| ctx.send(conn, Msg::Server(message)));
        self.run(SECOND / 10);
    }

    /// The client's connection breaks.
    pub(super) fn cut(&mut self) {
        let (server, conn) = self.world.model().place.expect("the client is connected");
        self.world.enter(server, |_, ctx| ctx.close(conn));
    }

    /// The server of the client's latest pull delivers this message.
    pub(super) fn deliver(&mut self, seq: u64, consumer_seq: u64, delivered: u32) {
        let (_, consumer, request, inbox) = *self.world.model().pulls.last().expect("a pull");
        assert!(request.batch > 0);
        let record = Record::new(&Topic::new("orders"), None, Bytes::new());
        let message = StoredMessage {
            seq,
            partition: 0,
            record: Arc::new(record),
            msg_id: None,
            timestamp: self.world.now(),
        };
        let token = AckToken { stream_seq: seq, consumer_seq, delivered, pending: 0 };
        self.say(ServerMsg::Deliver(inbox, Delivery { consumer, token, message: Arc::new(message) }));
    }

    pub(super) fn records(&mut self, node: NodeId) -> Vec<Read> {
        let client = node.index() - self.world.model().shared.servers as usize;
        let mut records = Vec::new();
        while let Poll::Ready(record) = self
            .world
            .enter(node, |model, ctx| model.clients[client].take_record(ctx as &mut dyn Io, &model.shared))
        {
            let delivery = record.expect("the consumer lives");
            records.push((delivery.unit.partition, delivery.position.0, delivery.attempt, delivery.tag));
        }
        self.take_outputs();
        records
    }

    pub(super) fn events(&mut self, node: NodeId) -> Vec<ConsumerEvent> {
        let client = node.index() - self.world.model().shared.servers as usize;
        std::iter::from_fn(|| {
            self.world.enter(node, |model, ctx| model.clients[client].take_event(ctx as &mut dyn Io))
        })
        .collect()
    }

    /// What was published: values, in order.
    pub(super) fn values(&self) -> Vec<u64> {
        self.world.model().published.iter().map(|published| published.value).collect()
    }
}

fn word<T>(outcome: &Outcome<T>) -> String {
    match outcome {
        Outcome::Ok(_) => "ok".to_owned(),
        Outcome::Fail(error) => format!("fail {}", error.code),
        Outcome::Unknown(error, _) => format!("unknown {}", error.code),
    }
}
