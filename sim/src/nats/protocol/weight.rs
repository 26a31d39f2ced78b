//! What each message is in the hash of events, and how large it is on the wire.
//!
//! - A digest tells two messages apart that differ in kind, in addressee or in what they are about; a payload counts
//!   by its length.
//! - A message with records has their size; one that describes a stream or a consumer is an information of fixed
//!   size; any other is small.

use super::{
    AckBody, AckToken, Advisory, ApiRequest, ApiResponse, Audience, ClientMsg, Delivery, Msg, PubAck,
    Publish, PullRequest, Reply, ReplyTo, RouteMsg, Routed, ServerMsg, Status, Subject, record_bytes,
};
use crate::kernel::{Digest, Message, mix};

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
            Self::Raft(group, message) => mix(mix(9, group.word), message.digest()),
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
