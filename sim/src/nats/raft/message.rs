//! What the members of a Raft group tell each other (`server/raft.go`).

use super::super::{
    config::{ConsumerAssignment, StreamAssignment},
    protocol::{ConsumerId, MsgId, ReplyTo, StreamIx},
};
use crate::kernel::mix;
use squall_bus::{Record, Time};
use std::sync::Arc;

/// A Raft group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupId {
    /// All servers: which streams and consumers there are, and where.
    Meta,
    /// A stream's replicas.
    Stream(StreamIx),
    /// A consumer's replicas.
    Consumer(ConsumerId),
}

impl GroupId {
    /// The group in one word, for digests and choices.
    #[must_use]
    pub const fn word(self) -> u64 {
        match self {
            Self::Meta => 1,
            Self::Stream(stream) => mix(2, stream.0 as u64),
            Self::Consumer(consumer) => mix(3, consumer.word()),
        }
    }
}

/// A message that a stream is asked to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The record.
    pub record: Arc<Record>,
    /// The partition in its subject.
    pub partition: u32,
    /// `Nats-Msg-Id`.
    pub msg_id: Option<MsgId>,
    /// When the leader took it, by its wall clock.
    pub timestamp: Time,
    /// Who waits for the ack.
    pub reply: Option<ReplyTo>,
}

/// What a log entry does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// A new leader's first entry (`EntryPeerState`): does nothing.
    PeerState,
    /// Meta group: a new stream.
    AssignStream(Arc<StreamAssignment>),
    /// Meta group: a new consumer.
    AssignConsumer(Arc<ConsumerAssignment>),
    /// Meta group: a consumer goes.
    RemoveConsumer(ConsumerId, Option<ReplyTo>),
    /// Stream: store a message.
    Store(Arc<Proposal>),
    /// Consumer: a message was delivered.
    Delivered(Delivered),
    /// Consumer: a message is done.
    Acked(Acked),
}

/// A delivery, as a consumer's replicas keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Delivered {
    /// The message's stream sequence.
    pub stream_seq: u64,
    /// The delivery's consumer sequence.
    pub consumer_seq: u64,
    /// How often it has been delivered, this time included.
    pub count: u32,
    /// When, by the leader's wall clock.
    pub at: Time,
}

/// An acknowledgement, as a consumer's replicas keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Acked {
    /// The message's stream sequence.
    pub stream_seq: u64,
    /// Its first consumer sequence.
    pub consumer_seq: u64,
    /// Who waits for the confirmation (double ack).
    pub reply: Option<ReplyTo>,
}

impl Op {
    /// Bytes in the log.
    #[must_use]
    pub fn bytes(&self) -> u32 {
        match self {
            Self::Store(proposal) => 64 + super::super::protocol::record_bytes(&proposal.record),
            Self::AssignStream(_) | Self::AssignConsumer(_) => 512,
            Self::PeerState | Self::RemoveConsumer(..) => 64,
            Self::Delivered(_) | Self::Acked(_) => 40,
        }
    }
}

/// An entry of a log. Its index is its place, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The term it was proposed in.
    pub term: u64,
    /// What it does.
    pub op: Op,
}

/// What members say.
#[derive(Clone, Debug)]
pub enum RaftMsg {
    /// The leader's entries, or its sign of life if there are none.
    Append {
        /// The leader's term.
        term: u64,
        /// What it knows to be committed.
        commit: u64,
        /// The term of the entry before these.
        prev_term: u64,
        /// The index of the entry before these.
        prev_index: u64,
        /// The entries.
        entries: Arc<[Entry]>,
    },
    /// The answer.
    Appended {
        /// The member's term.
        term: u64,
        /// The last index that it has in common with the leader; unless it succeeded, where its own log ends.
        index: u64,
        /// Whether the entries fit its log.
        success: bool,
    },
    /// A candidate asks for a vote.
    RequestVote {
        /// The candidate's term.
        term: u64,
        /// The term of its last entry.
        last_term: u64,
        /// The index of its last entry.
        last_index: u64,
    },
    /// The answer.
    Vote {
        /// The voter's term.
        term: u64,
        /// Whether it votes for the candidate.
        granted: bool,
        /// Whether its log is empty.
        empty: bool,
    },
    /// The leader hands over to this member (`EntryLeaderTransfer`): campaign now.
    Transfer {
        /// The leader's term.
        term: u64,
    },
}

impl RaftMsg {
    /// A summary for the hash of events.
    #[must_use]
    pub fn digest(&self) -> u64 {
        match self {
            Self::Append { term, commit, prev_index, entries, .. } => {
                mix(mix(mix(mix(1, *term), *commit), *prev_index), entries.len() as u64)
            }
            Self::Appended { term, index, success } => mix(mix(mix(2, *term), *index), u64::from(*success)),
            Self::RequestVote { term, last_term, last_index } => {
                mix(mix(mix(3, *term), *last_term), *last_index)
            }
            Self::Vote { term, granted, empty } => {
                mix(mix(4, *term), u64::from(*granted) << 1 | u64::from(*empty))
            }
            Self::Transfer { term } => mix(5, *term),
        }
    }

    /// Bytes on the wire.
    #[must_use]
    pub fn size(&self) -> u32 {
        match self {
            Self::Append { entries, .. } => {
                entries.iter().fold(64_u32, |bytes, entry| bytes.saturating_add(entry.op.bytes()))
            }
            _ => 64,
        }
    }
}
