//! A stream's replica: the messages, and the message ids of the deduplication window (1.2 to 1.4).
//!
//! - The leader takes a publish, checks it and proposes it; whether it is a duplicate is decided again when the
//!   entry is applied, by the entry's own time stamp, on every replica alike.
//! - The ack is sent when the entry is applied on the node that leads then. A message that was committed under one
//!   leader and is applied under the next is stored and never acknowledged.
//! - A hit in the window does not renew it: the window counts from the message that was stored.

use super::{
    Env, Touch,
    config::{Discard, StreamAssignment},
    error::ApiError,
    lookup::{Lookup, LookupSet},
    protocol::{MsgId, PubAck, Publish, Reply, ReplyTo, StoredMessage, StreamInfo, StreamIx, record_bytes},
    raft::{
        Raft,
        message::{Op, Proposal},
    },
    rules::Dedup,
};
use crate::kernel::{FileId, Mark};
use squall_bus::Time;
use std::{collections::VecDeque, sync::Arc};

/// The messages of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Partition {
    /// Sequences of what is there, in order.
    seqs: VecDeque<u64>,
    /// The sequence behind the last message there ever was.
    end: u64,
}

impl Partition {
    /// The place of the first sequence that is not before this one. Mostly somebody asks whether there is anything new.
    fn place(&self, seq: u64) -> usize {
        if seq >= self.end { self.seqs.len() } else { self.seqs.partition_point(|known| *known < seq) }
    }
}

/// The streams that a server holds, by their numbers: those are dense.
#[derive(Clone, Debug, Default)]
pub struct Streams(Vec<Option<Stream>>);

impl Streams {
    /// The stream of this number.
    #[must_use]
    pub fn get(&self, id: &StreamIx) -> Option<&Stream> {
        self.0.get(id.0 as usize)?.as_ref()
    }

    /// The stream of this number, to change it.
    pub fn get_mut(&mut self, id: &StreamIx) -> Option<&mut Stream> {
        self.0.get_mut(id.0 as usize)?.as_mut()
    }

    /// Puts a stream in, in place of one of its number.
    pub fn insert(&mut self, stream: Stream) {
        let place = stream.assignment.stream.0 as usize;
        if place >= self.0.len() {
            self.0.resize_with(place + 1, || None);
        }
        self.0[place] = Some(stream);
    }

    /// Takes all out.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// All streams, in order.
    pub fn values(&self) -> impl Iterator<Item = &Stream> {
        self.0.iter().flatten()
    }
}

/// A stream's replica on one server.
#[derive(Clone, Debug)]
pub struct Stream {
    /// What it is and where.
    pub assignment: Arc<StreamAssignment>,
    /// The file of its log.
    pub file: FileId,
    /// Whether this server leads it.
    pub leads: bool,
    /// Who waits to hear that it is there.
    pub creators: Vec<ReplyTo>,
    messages: VecDeque<Arc<StoredMessage>>,
    first_seq: u64,
    partitions: Vec<Partition>,
    ids: Lookup<MsgId, (u64, Time)>,
    /// Ids in the order of their messages.
    remembered: VecDeque<(Time, MsgId)>,
    /// Ids that the leader has proposed.
    staged: LookupSet<MsgId>,
}

impl Stream {
    /// An empty stream.
    #[must_use]
    pub fn new(assignment: Arc<StreamAssignment>, file: FileId) -> Self {
        let partitions =
            vec![Partition { seqs: VecDeque::new(), end: 1 }; assignment.config.partitions as usize];
        let creators = assignment.reply.into_iter().collect();
        Self {
            assignment,
            file,
            leads: false,
            creators,
            messages: VecDeque::new(),
            first_seq: 1,
            partitions,
            ids: Lookup::default(),
            remembered: VecDeque::new(),
            staged: LookupSet::default(),
        }
    }

    /// The sequence of its first message; one more than the last if it is empty.
    #[must_use]
    pub const fn first_seq(&self) -> u64 {
        self.first_seq
    }

    /// The sequence of its last message; 0 if there never was one.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.first_seq + self.messages.len() as u64 - 1
    }

    /// The message of this sequence.
    #[must_use]
    pub fn message(&self, seq: u64) -> Option<&Arc<StoredMessage>> {
        self.messages.get(usize::try_from(seq.checked_sub(self.first_seq)?).ok()?)
    }

    /// The first message of a partition, or of any, that is not before this sequence.
    #[must_use]
    pub fn next(&self, partition: Option<u32>, seq: u64) -> Option<&Arc<StoredMessage>> {
        let seq = seq.max(self.first_seq);
        match partition {
            None => self.message(seq),
            Some(partition) => {
                let partition = self.partitions.get(partition as usize)?;
                self.message(*partition.seqs.get(partition.place(seq))?)
            }
        }
    }

    /// How many messages of a partition, or of any, are not before this sequence.
    #[must_use]
    pub fn count_from(&self, partition: Option<u32>, seq: u64) -> u64 {
        match partition {
            None => (self.last_seq() + 1).saturating_sub(seq.max(self.first_seq)),
            Some(partition) => self
                .partitions
                .get(partition as usize)
                .map_or(0, |partition| (partition.seqs.len() - partition.place(seq)) as u64),
        }
    }

    /// The first readable sequence of a partition and the one behind its last.
    #[must_use]
    pub fn bounds(&self, partition: u32) -> Option<(u64, u64)> {
        let partition = self.partitions.get(partition as usize)?;
        Some((partition.seqs.front().copied().unwrap_or(partition.end), partition.end))
    }

    /// The stream as this server sees it.
    #[must_use]
    pub fn info(&self, env: &Env<'_, '_>) -> StreamInfo {
        StreamInfo {
            stream: self.assignment.stream,
            config: Arc::clone(&self.assignment.config),
            first_seq: self.first_seq,
            last_seq: self.last_seq(),
            leader: env.me,
        }
    }

    // The leader.

    /// It leads from now on, or no longer.
    pub fn take_office(&mut self, leads: bool) {
        self.leads = leads;
        self.staged.clear();
    }

    /// A publish reached the leader.
    pub fn receive(
        &mut self,
        publish: Publish,
        reply: Option<ReplyTo>,
        raft: &mut Raft,
        env: &mut Env<'_, '_>,
    ) {
        let now = env.ctx.wall();
        let answer = match self.refusal(&publish, raft, env) {
            Some(error) => Some(PubAck::Refused(error)),
            None => publish.msg_id.and_then(|id| self.known(id, now, env)),
        };
        if let Some(answer) = answer {
            if let PubAck::Stored { duplicate: true, .. } = answer {
                env.ctx.mark(Mark::DuplicateRecognised);
            }
            self.acknowledge(reply, answer, env);
            return;
        }
        let Publish { partition, record, msg_id, .. } = publish;
        let proposal = Arc::new(Proposal { record, partition, msg_id, timestamp: now, reply });
        match (raft.propose(Op::Store(proposal), env), msg_id, env.rules.dedup) {
            (None, ..) => {
                env.reply_if(reply, Reply::PubAck(PubAck::Refused(ApiError::InsufficientResources)));
            }
            (Some(_), Some(id), Dedup::AtStore) => {
                self.staged.insert(id);
            }
            (Some(_), Some(id), Dedup::AtReceipt) => {
                let seq = self.last_seq() + raft.in_flight();
                self.remember(id, seq, now);
            }
            (Some(_), ..) => {}
        }
    }

    fn refusal(&self, publish: &Publish, raft: &Raft, env: &Env<'_, '_>) -> Option<ApiError> {
        let config = &self.assignment.config;
        let bytes = record_bytes(&publish.record);
        if raft.in_flight() >= u64::from(env.rules.ingest_limit) {
            Some(ApiError::TooManyRequests)
        } else if bytes > config.max_message_bytes || bytes > env.rules.max_payload {
            Some(ApiError::MessageTooLarge)
        } else if config.discard == Discard::New
            && config.max_messages.is_some_and(|most| self.messages.len() as u64 + raft.in_flight() >= most)
        {
            Some(ApiError::StreamStoreFailed)
        } else {
            None
        }
    }

    /// The answer to a message with this id, if the leader knows it.
    fn known(&self, id: MsgId, now: Time, env: &Env<'_, '_>) -> Option<PubAck> {
        if env.rules.dedup == Dedup::Off {
            return None;
        }
        match self.duplicate_of(id, now) {
            Some(seq) => Some(PubAck::Stored { stream: self.assignment.stream, seq, duplicate: true }),
            None if self.staged.contains(&id) => Some(PubAck::Refused(ApiError::DuplicateInFlight)),
            None => None,
        }
    }

    fn duplicate_of(&self, id: MsgId, now: Time) -> Option<u64> {
        let (seq, at) = self.ids.get(&id)?;
        (now.since(*at) < self.assignment.config.duplicate_window).then_some(*seq)
    }

    fn remember(&mut self, id: MsgId, seq: u64, at: Time) {
        self.ids.insert(id, (seq, at));
        self.remembered.push_back((at, id));
        while let Some((old, id)) = self.remembered.front().copied()
            && at.since(old) >= self.assignment.config.duplicate_window
        {
            self.remembered.pop_front();
            if self.ids.get(&id).is_some_and(|(_, known)| *known == old) {
                self.ids.remove(&id);
            }
        }
    }

    // Every replica.

    /// A committed message.
    pub fn apply(&mut self, proposal: &Proposal, env: &mut Env<'_, '_>) {
        if let Some(id) = proposal.msg_id {
            self.staged.remove(&id);
        }
        let answer = self.store(proposal, env);
        if self.leads {
            self.acknowledge(proposal.reply, answer, env);
        }
    }

    fn acknowledge(&self, reply: Option<ReplyTo>, answer: PubAck, env: &mut Env<'_, '_>) {
        let Some(to) = reply else { return };
        env.reply(to, Reply::PubAck(answer));
        if let PubAck::Stored { seq, duplicate, .. } = answer {
            env.ctx.touch(Touch::Acked(env.me, self.assignment.stream, seq, duplicate));
        }
    }

    fn store(&mut self, proposal: &Proposal, env: &mut Env<'_, '_>) -> PubAck {
        let stream = self.assignment.stream;
        let at_store = env.rules.dedup == Dedup::AtStore;
        if let Some(id) = proposal.msg_id.filter(|_| at_store)
            && let Some(seq) = self.duplicate_of(id, proposal.timestamp)
        {
            return PubAck::Stored { stream, seq, duplicate: true };
        }
        let config = Arc::clone(&self.assignment.config);
        let full = config.max_messages.is_some_and(|most| self.messages.len() as u64 >= most);
        if full && config.discard == Discard::New {
            return PubAck::Refused(ApiError::StreamStoreFailed);
        }
        if full {
            self.drop_first();
        }
        let seq = self.last_seq() + 1;
        let Some(partition) = self.partitions.get_mut(proposal.partition as usize) else {
            return PubAck::Refused(ApiError::StreamNotFound);
        };
        partition.seqs.push_back(seq);
        partition.end = seq + 1;
        self.messages.push_back(Arc::new(StoredMessage {
            seq,
            partition: proposal.partition,
            record: Arc::clone(&proposal.record),
            msg_id: proposal.msg_id,
            timestamp: proposal.timestamp,
        }));
        if let Some(id) = proposal.msg_id {
            self.remember(id, seq, proposal.timestamp);
        }
        env.ctx.touch(Touch::Stored(env.me, stream, seq));
        PubAck::Stored { stream, seq, duplicate: false }
    }

    fn drop_first(&mut self) {
        if let Some(message) = self.messages.pop_front() {
            self.first_seq = message.seq + 1;
            self.partitions[message.partition as usize].seqs.pop_front();
        }
    }
}
