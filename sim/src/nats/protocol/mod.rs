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

mod ids;
mod weight;

pub use ids::{ConsumerId, ConsumerName, GroupIx, MsgId, ReplyTo, StreamIx, Subject};

use super::{
    config::{ConsumerConfig, StreamConfig},
    error::ApiError,
    raft::message::{Named, RaftMsg},
};
use crate::kernel::{ConnId, NodeId};
use crate::nodes::NodeSet;
use bytes::Bytes;
use squall_bus::{Record, Time};
use std::{sync::Arc, time::Duration};

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
    Raft(Named, RaftMsg),
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
