//! What the members of a Raft group tell each other (`server/raft.go`).

use super::super::{
    config::{ConsumerAssignment, StreamAssignment},
    protocol::{ConsumerId, MsgId, ReplyTo, StreamIx},
};
use crate::kernel::mix;
use smallvec::SmallVec;
use squall_bus::{Record, Time};
use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

/// A Raft group. The meta group comes first, then the streams, then the consumers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GroupId {
    /// All servers: which streams and consumers there are, and where.
    Meta,
    /// A stream's replicas.
    Stream(StreamIx),
    /// A consumer's replicas.
    Consumer(ConsumerId),
}

impl Ord for GroupId {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.packed().cmp(&other.packed())
    }
}

impl PartialOrd for GroupId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl GroupId {
    /// The group as one number, in order.
    #[inline]
    pub(super) const fn packed(self) -> u128 {
        match self {
            Self::Meta => 0,
            Self::Stream(stream) => 1 << 126 | stream.0 as u128,
            Self::Consumer(consumer) => 1 << 127 | consumer.packed(),
        }
    }

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

/// A group as it is named in messages: with its word, which the hash of events and the receiver ask for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Named {
    /// The group.
    pub group: GroupId,
    /// Its [word](GroupId::word).
    pub word: u64,
}

impl From<GroupId> for Named {
    fn from(group: GroupId) -> Self {
        Self { group, word: group.word() }
    }
}

impl Hash for Named {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.word);
    }
}

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.group.fmt(f)
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
    /// Consumer: a message was delivered, or its ack wait begins anew.
    Delivered(Delivered),
    /// Consumer: a message is done.
    Acked(Acked),
    /// Consumer: it starts behind this stream sequence.
    Skipped(u64),
    /// Consumer: a pull request waits.
    Waits(ReplyTo),
    /// Consumer: a pull request is done.
    Waited(ReplyTo),
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
    /// When its ack wait ends, by the leader's wall clock.
    pub due: Time,
}

/// An acknowledgement, as a consumer's replicas keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Acked {
    /// The message's stream sequence.
    pub stream_seq: u64,
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
            Self::Delivered(_) | Self::Acked(_) | Self::Skipped(_) | Self::Waits(_) | Self::Waited(_) => 40,
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

/// Entries in one message, shared by all who have them. Mostly there are one or two.
pub type Entries = SmallVec<[Arc<Entry>; 2]>;

/// How a leader's entries fit a member's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// They are in its log.
    Stored,
    /// It lacks entries before them and wants to be caught up.
    Behind,
    /// The sender is no leader: the member knows of a later term.
    Refused,
}

/// What members say.
#[derive(Clone, Debug)]
pub enum RaftMsg {
    /// The leader's entries, or its sign of life if there are none.
    Append {
        /// The leader's term.
        term: u64,
        /// These are older entries that the member asked for; they are not answered, since a leader must not
        /// count them.
        catchup: bool,
        /// What it knows to be committed.
        commit: u64,
        /// The term of the entry before these.
        prev_term: u64,
        /// The index of the entry before these.
        prev_index: u64,
        /// The entries.
        entries: Entries,
    },
    /// The answer: the term and index of the member's last entry (`Refused`: the member's own term).
    Appended {
        /// The term.
        term: u64,
        /// The index.
        index: u64,
        /// How it went.
        fit: Fit,
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
            Self::Append { term, catchup, commit, prev_index, entries, .. } => {
                let entries = mix(entries.len() as u64, u64::from(*catchup));
                mix(mix(mix(mix(1, *term), *commit), *prev_index), entries)
            }
            Self::Appended { term, index, fit } => mix(mix(mix(2, *term), *index), *fit as u64),
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
