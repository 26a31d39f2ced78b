//! Configurations of streams and consumers, and where the meta group put them.

use super::protocol::{ConsumerId, ReplyTo, StreamIx};
use crate::kernel::NodeId;
use crate::nodes::NodeSet;
use std::{sync::Arc, time::Duration};

/// A stream's configuration: file storage, retention by limits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StreamConfig {
    /// `num_replicas`.
    pub replicas: u32,
    /// How many partitions the stream's subjects are divided into; kept in the stream's metadata for clients.
    pub partitions: u32,
    /// `duplicate_window`: how long message ids are remembered.
    pub duplicate_window: Duration,
    /// `max_msg_size`, in bytes.
    pub max_message_bytes: u32,
    /// `max_msgs`, `None` for no limit.
    pub max_messages: Option<u64>,
    /// `discard`: what a full stream does.
    pub discard: Discard,
}

/// What a full stream does with a new message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Discard {
    /// It drops its oldest one.
    #[default]
    Old,
    /// It refuses the new one (10077).
    New,
}

/// How deliveries are acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AckPolicy {
    /// Each on its own.
    Explicit,
    /// Not at all: what is delivered is done.
    None,
}

/// Where a new consumer starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeliverPolicy {
    /// At the stream's first message.
    All,
    /// Behind its last one.
    New,
    /// At this sequence number, or the next there is.
    FromSequence(u64),
}

/// A pull consumer's configuration. Which partition it reads is part of its [`ConsumerId`] if it is durable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConsumerConfig {
    /// `filter_subject` `T.<p>.>`; `None` for all partitions.
    pub partition: Option<u32>,
    /// `deliver_policy`.
    pub deliver: DeliverPolicy,
    /// `ack_policy`.
    pub ack: AckPolicy,
    /// `ack_wait`; `None` for the server's default.
    pub ack_wait: Option<Duration>,
    /// `max_deliver`; `None` for as often as it takes.
    pub max_deliver: Option<u32>,
    /// `max_ack_pending`; `None` for the server's default.
    pub max_ack_pending: Option<u32>,
    /// `max_waiting` pull requests; `None` for the server's default.
    pub max_waiting: Option<u32>,
    /// `inactive_threshold`: gone after so long without a pull request; `None` for the server's default, which
    /// for a durable consumer is never.
    pub inactive_threshold: Option<Duration>,
    /// `num_replicas`; `None` for as many as the stream has.
    pub replicas: Option<u32>,
}

impl ConsumerConfig {
    /// A consumer with the server's defaults: explicit acks, from the start, of one partition or all.
    #[must_use]
    pub fn new(partition: Option<u32>) -> Self {
        Self {
            partition,
            deliver: DeliverPolicy::All,
            ack: AckPolicy::Explicit,
            ack_wait: None,
            max_deliver: None,
            max_ack_pending: None,
            max_waiting: None,
            inactive_threshold: None,
            replicas: None,
        }
    }
}

/// A stream and the servers that hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamAssignment {
    /// The stream.
    pub stream: StreamIx,
    /// Its configuration.
    pub config: Arc<StreamConfig>,
    /// Its replicas.
    pub peers: NodeSet,
    /// The replica that campaigns first.
    pub preferred: NodeId,
    /// Tells it from earlier ones of its name: its Raft group has another name.
    pub incarnation: u64,
    /// Who asked for it and waits for its leader's answer.
    pub reply: Option<ReplyTo>,
}

/// A consumer and the servers that hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerAssignment {
    /// The consumer.
    pub consumer: ConsumerId,
    /// Its configuration.
    pub config: Arc<ConsumerConfig>,
    /// Its replicas.
    pub peers: NodeSet,
    /// The replica that campaigns first.
    pub preferred: NodeId,
    /// Tells it from earlier ones of its name: its Raft group has another name.
    pub incarnation: u64,
    /// Who asked for it and waits for its leader's answer.
    pub reply: Option<ReplyTo>,
}
