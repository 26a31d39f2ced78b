//! What travels between NATS' processes, as plain data.
//!
//! - A client speaks to one server and sees the others only through it. A request names an `inbox`, which the
//!   client chooses; whatever comes back for it carries the inbox. Nothing promises an answer: a publish or an
//!   ack that nobody is there for is dropped, and one that names an inbox then gets
//!   [`Status::NoResponders`] (503) at once.
//! - A server knows by its routes which server listens to which [`Subject`], and hands requests on by that. A
//!   stream's leader listens to the stream, a consumer's leader to the consumer; API requests go to all.
//! - Streams and groups are interned numbers ([`Names`](super::Names) has the names); messages are shared by
//!   reference between clients, leaders and followers; nobody changes one.
//! - Sequence numbers count from 1; 0 is before the first.

use super::{
    config::{ConsumerConfig, StreamConfig},
    error::ApiError,
    nodes::NodeSet,
    raft::message::{GroupId, RaftMsg},
};
use crate::kernel::{ConnId, Digest, Message, NodeId, mix};
use bytes::Bytes;
use squall_bus::{Record, Time};
use std::{sync::Arc, time::Duration};

/// A stream, interned: each topic is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamIx(pub u32);

/// A group of the workload, interned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupIx(pub u32);

/// A consumer's name within its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConsumerName {
    /// A group's durable consumer of one partition, or of all.
    Durable(GroupIx, Option<u32>),
    /// A consumer that its client made for itself; the number is random, as in NATS' generated names.
    Ephemeral(u64),
}

/// A consumer of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerId {
    /// The stream.
    pub stream: StreamIx,
    /// Its name there.
    pub name: ConsumerName,
}

impl ConsumerId {
    /// A group's durable consumer.
    #[must_use]
    pub const fn durable(stream: StreamIx, group: GroupIx, partition: Option<u32>) -> Self {
        Self { stream, name: ConsumerName::Durable(group, partition) }
    }

    /// A client's own consumer.
    #[must_use]
    pub const fn ephemeral(stream: StreamIx, number: u64) -> Self {
        Self { stream, name: ConsumerName::Ephemeral(number) }
    }

    /// The first id in the order of a stream's consumers.
    pub(super) const fn first_of(stream: StreamIx) -> Self {
        Self { stream, name: ConsumerName::Durable(GroupIx(0), None) }
    }

    /// The id in one word, for digests and choices.
    #[must_use]
    pub const fn word(self) -> u64 {
        let name = match self.name {
            ConsumerName::Durable(group, None) => mix(1, group.0 as u64),
            ConsumerName::Durable(group, Some(partition)) => mix(mix(2, group.0 as u64), partition as u64),
            ConsumerName::Ephemeral(number) => mix(3, number),
        };
        mix(name, self.stream.0 as u64)
    }
}

/// `Nats-Msg-Id`: a producer's name for a record, the same in every retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MsgId(pub u128);

impl MsgId {
    /// The id of a record that has a name of its own ([`Record::id`]).
    #[must_use]
    pub fn named(name: &str) -> Self {
        let word = |start| name.bytes().fold(start, |hash, byte| mix(hash, u64::from(byte)));
        Self(u128::from(word(1)) << 64 | u128::from(word(2)))
    }
}

/// Where a reply goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyTo {
    /// The client's server.
    pub server: NodeId,
    /// Its connection there.
    pub conn: ConnId,
    /// The client's inbox.
    pub inbox: u64,
}

/// What one server tells the others that it listens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A stream's subjects: it leads the stream.
    Stream(StreamIx),
    /// A consumer's requests and acks: it leads the consumer.
    Consumer(ConsumerId),
    /// What is said of messages of this stream that a group's consumers gave up: a client of it is in the group's
    /// queue for that.
    GivenUp(StreamIx, GroupIx),
}

impl Subject {
    const fn word(self) -> u64 {
        match self {
            Self::Stream(stream) => mix(1, stream.0 as u64),
            Self::Consumer(consumer) => mix(2, consumer.word()),
            Self::GivenUp(stream, group) => mix(mix(3, stream.0 as u64), group.0 as u64),
        }
    }
}

/// What travels over a connection.
#[derive(Clone, Debug)]
pub enum Msg {
    /// From a client to its server.
    Client(ClientMsg),
    /// From a server to its client.
    Server(ServerMsg),
    /// From a server to a server.
    Route(RouteMsg),
}

/// From a client to its server.
#[derive(Clone, Debug)]
pub enum ClientMsg {
    /// The client presents itself; [`ServerMsg::Info`] came before.
    Connect,
    /// Answered by [`ServerMsg::Pong`], in order with everything else.
    Ping,
    /// Answers [`ServerMsg::Ping`].
    Pong,
    /// Publishes; answered by [`ServerMsg::PubAck`] or a 503 if it names an inbox. Without one this is a core
    /// publish: no answer.
    Publish(Publish, Option<u64>),
    /// Asks a consumer for messages; they, and a status at the end, come to the inbox.
    Pull(ConsumerId, PullRequest, u64),
    /// Acknowledges a delivery; answered by [`ServerMsg::AckReply`] or a 503 if it names an inbox.
    Ack(ConsumerId, AckToken, AckBody, Option<u64>),
    /// Asks the JetStream API; answered by [`ServerMsg::Api`].
    Api(ApiRequest, u64),
    /// Wants to hear a stream's advisories at this inbox.
    Advisories(StreamIx, u64),
    /// Wants its share of what is said of messages that a group's consumers of a stream gave up
    /// ([`Advisory::MaxDeliveries`]): one client of all that are in the group's queue hears each. Stands for one
    /// subscription for each of these consumers.
    QueueGivenUp(StreamIx, GroupIx, u64),
}

/// From a server to its client.
#[derive(Clone, Debug)]
pub enum ServerMsg {
    /// The first message on a connection.
    Info(ServerInfo),
    /// The client must answer with [`ClientMsg::Pong`].
    Ping,
    /// Answers [`ClientMsg::Ping`].
    Pong,
    /// What became of a publish.
    PubAck(u64, PubAck),
    /// A consumer's message for a pull request.
    Deliver(u64, Delivery),
    /// A status for a request of any kind.
    Status(u64, Status),
    /// The confirmation of an ack that asked for one.
    AckReply(u64),
    /// What the JetStream API says.
    Api(u64, ApiResponse),
    /// Something happened to a stream's consumer.
    Advisory(u64, Advisory),
}

/// A server as it presents itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ServerInfo {
    /// The server.
    pub server: NodeId,
    /// The other servers of the cluster that it knows of (`connect_urls`).
    pub peers: NodeSet,
}

/// A message for a stream.
#[derive(Clone, Debug)]
pub struct Publish {
    /// The stream: the subject's first token.
    pub stream: StreamIx,
    /// The partition: the subject's second token.
    pub partition: u32,
    /// The record.
    pub record: Arc<Record>,
    /// `Nats-Msg-Id`.
    pub msg_id: Option<MsgId>,
}

/// What became of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PubAck {
    /// It is in the stream.
    Stored {
        /// The stream.
        stream: StreamIx,
        /// Its sequence; of a duplicate the original's.
        seq: u64,
        /// A message with this id was there already.
        duplicate: bool,
    },
    /// It is not, and will not be.
    Refused(ApiError),
}

/// A message in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    /// Its sequence.
    pub seq: u64,
    /// The partition in its subject.
    pub partition: u32,
    /// The record.
    pub record: Arc<Record>,
    /// `Nats-Msg-Id`.
    pub msg_id: Option<MsgId>,
    /// When the leader took it, by its wall clock.
    pub timestamp: Time,
}

/// Asks a consumer for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PullRequest {
    /// How many at most.
    pub batch: u32,
    /// How long the request may wait; `None` for ever.
    pub expires: Option<Duration>,
    /// Answer 404 instead of waiting when there is nothing.
    pub no_wait: bool,
    /// Send [`Status::IdleHeartbeat`] when nothing was sent for so long.
    pub idle_heartbeat: Option<Duration>,
}

/// What the subject of an ack says: which delivery it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AckToken {
    /// The message's stream sequence.
    pub stream_seq: u64,
    /// The delivery's consumer sequence.
    pub consumer_seq: u64,
    /// How often it has been delivered, from 1.
    pub delivered: u32,
    /// How many messages wait behind it for this consumer.
    pub pending: u64,
}

/// A message as a consumer delivers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The consumer.
    pub consumer: ConsumerId,
    /// The ack's subject.
    pub token: AckToken,
    /// The message.
    pub message: Arc<StoredMessage>,
}

/// The body of an ack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AckBody {
    /// `+ACK`: done.
    Ack,
    /// `-NAK`: deliver it again, after a delay if one is given.
    Nak(Option<Duration>),
    /// `+WPI`: still working on it; the ack wait begins anew.
    Progress,
    /// `+TERM`: never deliver it again.
    Term,
}

/// A status in place of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// 503: nobody listens to the subject.
    NoResponders,
    /// 404: a request that does not wait has had everything there is, perhaps nothing.
    NoMessages,
    /// 408: the request expired with so many messages still asked for.
    RequestTimeout(u32),
    /// 409: the request asks for more than the consumer's limits allow, or too many wait.
    ExceededMaxWaiting,
    /// 409: the consumer has another leader.
    LeadershipChange,
    /// 409: the consumer is gone.
    ConsumerDeleted,
    /// 100: the request still waits; the last consumer and stream sequence delivered.
    IdleHeartbeat(u64, u64),
}

impl Status {
    /// The number in the status line.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::NoResponders => 503,
            Self::NoMessages => 404,
            Self::RequestTimeout(_) => 408,
            Self::ExceededMaxWaiting | Self::LeadershipChange | Self::ConsumerDeleted => 409,
            Self::IdleHeartbeat(..) => 100,
        }
    }

    /// The text in the status line; 503 has none.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::NoResponders => "",
            Self::NoMessages => "No Messages",
            Self::RequestTimeout(_) => "Request Timeout",
            Self::ExceededMaxWaiting => "Exceeded MaxWaiting",
            Self::LeadershipChange => "Leadership Change",
            Self::ConsumerDeleted => "Consumer Deleted",
            Self::IdleHeartbeat(..) => "Idle Heartbeat",
        }
    }
}

/// What the JetStream API can be asked.
#[derive(Clone, Debug)]
pub enum ApiRequest {
    /// `STREAM.CREATE`: the same configuration again is fine.
    StreamCreate(StreamIx, Arc<StreamConfig>),
    /// `STREAM.INFO`.
    StreamInfo(StreamIx),
    /// `STREAM.MSG.GET`: the message of this sequence.
    MessageGet(StreamIx, u64),
    /// `CONSUMER.CREATE`: the same configuration again is fine.
    ConsumerCreate(ConsumerId, Arc<ConsumerConfig>),
    /// `CONSUMER.INFO`.
    ConsumerInfo(ConsumerId),
    /// `CONSUMER.DELETE`.
    ConsumerDelete(ConsumerId),
}

impl ApiRequest {
    /// The stream it is about.
    #[must_use]
    pub const fn stream(&self) -> StreamIx {
        match self {
            Self::StreamCreate(stream, _) | Self::StreamInfo(stream) | Self::MessageGet(stream, _) => *stream,
            Self::ConsumerCreate(consumer, _)
            | Self::ConsumerInfo(consumer)
            | Self::ConsumerDelete(consumer) => consumer.stream,
        }
    }
}

/// What the JetStream API answers.
#[derive(Clone, Debug)]
pub enum ApiResponse {
    /// It cannot be.
    Error(ApiError),
    /// A stream was created, or is as follows.
    Stream(StreamInfo),
    /// A consumer was created, or is as follows.
    Consumer(ConsumerInfo),
    /// The consumer is gone.
    Deleted,
    /// A message of the stream.
    Message(Arc<StoredMessage>),
}

/// A stream as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamInfo {
    /// The stream.
    pub stream: StreamIx,
    /// Its configuration.
    pub config: Arc<StreamConfig>,
    /// The sequence of its first message; one more than the last if it is empty.
    pub first_seq: u64,
    /// The sequence of its last message; 0 if there never was one.
    pub last_seq: u64,
    /// Its leader.
    pub leader: NodeId,
}

/// A consumer as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerInfo {
    /// The consumer.
    pub consumer: ConsumerId,
    /// Its configuration.
    pub config: Arc<ConsumerConfig>,
    /// The consumer sequence of its last delivery.
    pub delivered_consumer_seq: u64,
    /// The highest stream sequence that it delivered.
    pub delivered_stream_seq: u64,
    /// Everything up to this stream sequence is acknowledged.
    pub ack_floor: u64,
    /// How many deliveries wait for their ack.
    pub ack_pending: u32,
    /// How many messages are still to be delivered for the first time.
    pub pending: u64,
    /// Its leader.
    pub leader: NodeId,
}

/// What a consumer's leader announces; core NATS, so at most once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Advisory {
    /// `MAX_DELIVERIES`: a message was delivered as often as is allowed, and the last ack wait is over.
    MaxDeliveries {
        /// The consumer.
        consumer: ConsumerId,
        /// The message.
        stream_seq: u64,
        /// How often it was delivered.
        deliveries: u32,
    },
    /// `MSG_TERMINATED`: a client gave a message up.
    Terminated {
        /// The consumer.
        consumer: ConsumerId,
        /// The message.
        stream_seq: u64,
        /// How often it was delivered.
        deliveries: u32,
    },
}

impl Advisory {
    /// The consumer that it is about.
    #[must_use]
    pub const fn consumer(self) -> ConsumerId {
        match self {
            Self::MaxDeliveries { consumer, .. } | Self::Terminated { consumer, .. } => consumer,
        }
    }

    /// Which queue has its share in it, and the sequence of the message that it is about.
    pub(super) const fn queue(self) -> Option<(Subject, u64)> {
        match self {
            Self::MaxDeliveries {
                consumer: ConsumerId { stream, name: ConsumerName::Durable(group, _) },
                stream_seq,
                ..
            } => Some((Subject::GivenUp(stream, group), stream_seq)),
            Self::MaxDeliveries { .. } | Self::Terminated { .. } => None,
        }
    }
}

/// A client's request on its way between servers.
#[derive(Clone, Debug)]
pub enum Routed {
    /// To a stream's leader.
    Publish(Publish, Option<ReplyTo>),
    /// To a consumer's leader.
    Pull(ConsumerId, PullRequest, ReplyTo),
    /// To a consumer's leader.
    Ack(ConsumerId, AckToken, AckBody, Option<ReplyTo>),
    /// To every server.
    Api(ApiRequest, ReplyTo),
}

/// What a server of another client says to that client.
#[derive(Clone, Debug)]
pub enum Reply {
    /// See [`ServerMsg::PubAck`].
    PubAck(PubAck),
    /// See [`ServerMsg::Deliver`].
    Deliver(Delivery),
    /// See [`ServerMsg::Status`].
    Status(Status),
    /// See [`ServerMsg::AckReply`].
    AckReply,
    /// See [`ServerMsg::Api`].
    Api(ApiResponse),
}

impl Reply {
    /// The message to the client that has this inbox.
    #[must_use]
    pub fn to_client(self, inbox: u64) -> ServerMsg {
        match self {
            Self::PubAck(ack) => ServerMsg::PubAck(inbox, ack),
            Self::Deliver(delivery) => ServerMsg::Deliver(inbox, delivery),
            Self::Status(status) => ServerMsg::Status(inbox, status),
            Self::AckReply => ServerMsg::AckReply(inbox),
            Self::Api(response) => ServerMsg::Api(inbox, response),
        }
    }
}

/// From a server to a server.
#[derive(Clone, Debug)]
pub enum RouteMsg {
    /// The first message of each side, first of the one that accepted: everything that it listens to.
    Hello(Vec<Subject>),
    /// Are you there? Answered at once.
    Ping,
    /// The answer.
    Pong,
    /// The sender now listens to this subject.
    Listens(Subject),
    /// The sender no longer listens to this subject.
    Leaves(Subject),
    /// A client of the sender is gone, with all its inboxes.
    ClientGone(ConnId),
    /// A request of a client of the sender.
    Request(Routed),
    /// A reply for a client of the receiver.
    Reply(ReplyTo, Reply),
    /// To the meta leader: a consumer that nobody used for its inactive threshold.
    Inactive(ConsumerId),
    /// Between members of a Raft group.
    Raft(GroupId, RaftMsg),
    /// For the receiver's clients that asked for it: all, or one of a queue.
    Advisory(Advisory, Audience),
}

/// Whom an advisory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Audience {
    /// Everybody who wants to hear it.
    All,
    /// One client of the queue of the consumer's group.
    Queue,
}

/// The bytes of a record in a message: subject, headers, payload.
#[must_use]
pub fn record_bytes(record: &Record) -> u32 {
    let headers: usize = record.headers.iter().map(|header| header.name.len() + header.value.len() + 4).sum();
    let bytes = record.key.as_ref().map_or(0, Bytes::len) + record.value.len() + headers;
    u32::try_from(bytes).unwrap_or(u32::MAX).saturating_add(32)
}

/// What a message is in the hash of events, and how large.
trait Weigh {
    fn digest(&self) -> u64;
    fn size(&self) -> u32;
}

const SMALL: u32 = 64;
const INFO: u32 = 512;

impl Publish {
    fn digest(&self) -> u64 {
        let id = self.msg_id.map_or(0, |id| id.0 as u64);
        mix(
            mix(u64::from(self.stream.0) << 32 | u64::from(self.partition), id),
            self.record.value.len() as u64,
        )
    }
}

impl AckToken {
    fn digest(&self) -> u64 {
        mix(mix(self.stream_seq, self.consumer_seq), u64::from(self.delivered))
    }
}

impl AckBody {
    fn digest(&self) -> u64 {
        match self {
            Self::Ack => 1,
            Self::Nak(delay) => mix(2, delay.map_or(0, |delay| delay.as_nanos() as u64)),
            Self::Progress => 3,
            Self::Term => 4,
        }
    }
}

impl PullRequest {
    fn digest(&self) -> u64 {
        let expires = self.expires.map_or(0, |expires| expires.as_nanos() as u64);
        mix(expires, u64::from(self.batch) << 1 | u64::from(self.no_wait))
    }
}

impl ApiRequest {
    fn digest(&self) -> u64 {
        match self {
            Self::StreamCreate(stream, config) => {
                mix(mix(1, u64::from(stream.0)), u64::from(config.partitions))
            }
            Self::StreamInfo(stream) => mix(2, u64::from(stream.0)),
            Self::ConsumerCreate(consumer, config) => {
                mix(mix(3, consumer.word()), u64::from(config.partition.unwrap_or(u32::MAX)))
            }
            Self::ConsumerInfo(consumer) => mix(4, consumer.word()),
            Self::ConsumerDelete(consumer) => mix(5, consumer.word()),
            Self::MessageGet(stream, seq) => mix(mix(6, u64::from(stream.0)), *seq),
        }
    }
}

impl PubAck {
    fn digest(&self) -> u64 {
        match self {
            Self::Stored { stream, seq, duplicate } => {
                mix(mix(u64::from(stream.0), *seq), u64::from(*duplicate))
            }
            Self::Refused(error) => u64::from(error.err_code()),
        }
    }
}

impl Delivery {
    fn digest(&self) -> u64 {
        mix(self.consumer.word(), self.token.digest())
    }
}

impl Status {
    fn digest(&self) -> u64 {
        match self {
            Self::RequestTimeout(left) => mix(408, u64::from(*left)),
            Self::IdleHeartbeat(consumer, stream) => mix(mix(100, *consumer), *stream),
            status => mix(u64::from(status.code()), status.description().len() as u64),
        }
    }
}

impl ApiResponse {
    fn digest(&self) -> u64 {
        match self {
            Self::Error(error) => u64::from(error.err_code()),
            Self::Stream(info) => mix(mix(1, u64::from(info.stream.0)), info.last_seq),
            Self::Consumer(info) => mix(mix(2, info.consumer.word()), info.ack_floor),
            Self::Deleted => 3,
            Self::Message(message) => mix(4, message.seq),
        }
    }
}

impl Advisory {
    fn digest(&self) -> u64 {
        match self {
            Self::MaxDeliveries { consumer, stream_seq, .. } => mix(mix(1, consumer.word()), *stream_seq),
            Self::Terminated { consumer, stream_seq, .. } => mix(mix(2, consumer.word()), *stream_seq),
        }
    }
}

impl Weigh for ClientMsg {
    fn digest(&self) -> u64 {
        match self {
            Self::Connect => 1,
            Self::Ping => 2,
            Self::Pong => 3,
            Self::Publish(publish, inbox) => mix(mix(4, publish.digest()), inbox.unwrap_or(u64::MAX)),
            Self::Pull(consumer, request, inbox) => {
                mix(mix(mix(5, consumer.word()), request.digest()), *inbox)
            }
            Self::Ack(consumer, token, body, inbox) => {
                let ack = mix(mix(6, consumer.word()), mix(token.digest(), body.digest()));
                mix(ack, inbox.unwrap_or(u64::MAX))
            }
            Self::Api(request, inbox) => mix(mix(7, request.digest()), *inbox),
            Self::Advisories(stream, inbox) => mix(mix(8, u64::from(stream.0)), *inbox),
            Self::QueueGivenUp(stream, group, inbox) => {
                mix(mix(9, Subject::GivenUp(*stream, *group).word()), *inbox)
            }
        }
    }

    fn size(&self) -> u32 {
        match self {
            Self::Publish(publish, _) => SMALL.saturating_add(record_bytes(&publish.record)),
            Self::Api(..) => INFO,
            _ => SMALL,
        }
    }
}

impl Weigh for ServerMsg {
    fn digest(&self) -> u64 {
        match self {
            Self::Info(info) => mix(mix(1, u64::from(info.server.0)), info.peers.0),
            Self::Ping => 2,
            Self::Pong => 3,
            Self::PubAck(inbox, ack) => mix(mix(4, *inbox), ack.digest()),
            Self::Deliver(inbox, delivery) => mix(mix(5, *inbox), delivery.digest()),
            Self::Status(inbox, status) => mix(mix(6, *inbox), status.digest()),
            Self::AckReply(inbox) => mix(7, *inbox),
            Self::Api(inbox, response) => mix(mix(8, *inbox), response.digest()),
            Self::Advisory(inbox, advisory) => mix(mix(9, *inbox), advisory.digest()),
        }
    }

    fn size(&self) -> u32 {
        match self {
            Self::Deliver(_, delivery) => SMALL.saturating_add(record_bytes(&delivery.message.record)),
            Self::Api(_, ApiResponse::Message(message)) => {
                SMALL.saturating_add(record_bytes(&message.record))
            }
            Self::Info(_) | Self::Api(..) => INFO,
            _ => SMALL,
        }
    }
}

impl Weigh for RouteMsg {
    fn digest(&self) -> u64 {
        match self {
            Self::Hello(subjects) => subjects.iter().fold(1, |hash, subject| mix(hash, subject.word())),
            Self::Ping => 2,
            Self::Pong => 3,
            Self::Listens(subject) => mix(4, subject.word()),
            Self::Leaves(subject) => mix(5, subject.word()),
            Self::ClientGone(conn) => mix(6, u64::from(conn.0)),
            Self::Request(routed) => mix(7, routed.digest()),
            Self::Reply(to, reply) => mix(mix(8, to.word()), reply.digest()),
            Self::Raft(group, message) => mix(mix(9, group.word()), message.digest()),
            Self::Advisory(advisory, Audience::All) => mix(10, advisory.digest()),
            Self::Advisory(advisory, Audience::Queue) => mix(12, advisory.digest()),
            Self::Inactive(consumer) => mix(11, consumer.word()),
        }
    }

    fn size(&self) -> u32 {
        match self {
            Self::Request(Routed::Publish(publish, _)) => SMALL.saturating_add(record_bytes(&publish.record)),
            Self::Reply(_, Reply::Deliver(delivery)) => {
                SMALL.saturating_add(record_bytes(&delivery.message.record))
            }
            Self::Reply(_, Reply::Api(ApiResponse::Message(message))) => {
                SMALL.saturating_add(record_bytes(&message.record))
            }
            Self::Raft(_, message) => message.size(),
            _ => SMALL,
        }
    }
}

impl ReplyTo {
    const fn word(self) -> u64 {
        mix((self.server.0 as u64) << 32 | self.conn.0 as u64, self.inbox)
    }
}

impl Routed {
    fn digest(&self) -> u64 {
        let to = |reply: &Option<ReplyTo>| reply.map_or(u64::MAX, ReplyTo::word);
        match self {
            Self::Publish(publish, reply) => mix(mix(1, publish.digest()), to(reply)),
            Self::Pull(consumer, request, reply) => {
                mix(mix(mix(2, consumer.word()), request.digest()), reply.word())
            }
            Self::Ack(consumer, token, body, reply) => {
                mix(mix(mix(3, consumer.word()), mix(token.digest(), body.digest())), to(reply))
            }
            Self::Api(request, reply) => mix(mix(4, request.digest()), reply.word()),
        }
    }
}

impl Reply {
    fn digest(&self) -> u64 {
        match self {
            Self::PubAck(ack) => mix(1, ack.digest()),
            Self::Deliver(delivery) => mix(2, delivery.digest()),
            Self::Status(status) => mix(3, status.digest()),
            Self::AckReply => 4,
            Self::Api(response) => mix(5, response.digest()),
        }
    }
}

impl Digest for Msg {
    fn digest(&self) -> u64 {
        match self {
            Self::Client(message) => mix(1, message.digest()),
            Self::Server(message) => mix(2, message.digest()),
            Self::Route(message) => mix(3, message.digest()),
        }
    }
}

impl Message for Msg {
    fn size(&self) -> u32 {
        match self {
            Self::Client(message) => message.size(),
            Self::Server(message) => message.size(),
            Self::Route(message) => message.size(),
        }
    }

    /// An ack of a publish on its way to the client.
    fn acknowledges_write(&self) -> bool {
        matches!(self, Self::Server(ServerMsg::PubAck(_, PubAck::Stored { .. })))
    }
}
