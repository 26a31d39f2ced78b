//! A pull consumer's replica (1.5).
//!
//! - What all replicas know is in [`ConsumerState`]; what only its leader knows (pull requests, deadlines, the queue
//!   of what is to be delivered again) is in `lead` and goes with the office.
//! - A leader delivers from its own replica of the stream.

mod held;
mod lead;
mod state;

pub use held::Consumers;
pub use state::{ConsumerState, Pending};

use super::{
    Env,
    config::{AckPolicy, ConsumerAssignment},
    protocol::{AckBody, AckToken, ConsumerInfo, PullRequest, Reply, ReplyTo},
    raft::{
        Raft,
        message::{Acked, Op},
    },
    stream::Stream,
};
use crate::kernel::{ConnId, FileId, NodeId};
use lead::Lead;
use std::sync::Arc;

/// A consumer's replica on one server.
#[derive(Clone, Debug)]
pub struct Consumer {
    /// What it is and where.
    pub assignment: Arc<ConsumerAssignment>,
    /// The file of its log.
    pub file: FileId,
    /// Who waits to hear that it is there.
    pub creators: Vec<ReplyTo>,
    /// What all replicas know.
    pub state: ConsumerState,
    lead: Option<Lead>,
}

impl Consumer {
    /// A new consumer.
    #[must_use]
    pub fn new(assignment: Arc<ConsumerAssignment>, file: FileId) -> Self {
        let creators = assignment.reply.into_iter().collect();
        Self { assignment, file, creators, state: ConsumerState::default(), lead: None }
    }

    /// Whether this server leads it.
    #[must_use]
    pub const fn leads(&self) -> bool {
        self.lead.is_some()
    }

    fn is_explicit(&self) -> bool {
        self.assignment.config.ack == AckPolicy::Explicit
    }

    /// Calls the leader's part with everything it needs.
    fn with_lead(
        &mut self,
        stream: &Stream,
        raft: &mut Raft,
        env: &mut Env<'_, '_>,
        run: impl FnOnce(&mut Lead, &mut lead::Around<'_, '_, '_>),
    ) {
        if let Some(lead) = &mut self.lead {
            let mut around = lead::Around { assignment: &self.assignment, stream, raft, env };
            run(lead, &mut around);
            lead.pump(&mut around);
        }
    }

    /// It leads from now on.
    pub fn take_office(&mut self, stream: &Stream, raft: &mut Raft, env: &mut Env<'_, '_>) {
        let mut around = lead::Around { assignment: &self.assignment, stream, raft, env };
        let abandoned = std::mem::take(&mut self.state.abandoned);
        self.lead = Some(Lead::new(&self.state, abandoned, &mut around));
        self.with_lead(stream, raft, env, |_, _| ());
    }

    /// It leads no more.
    pub fn leave_office(&mut self) {
        self.lead = None;
    }

    /// A committed entry: who waits to hear of it.
    pub fn apply(&mut self, op: &Op) -> Option<ReplyTo> {
        self.state.apply(op, self.is_explicit());
        match op {
            Op::Acked(Acked { reply, .. }) => *reply,
            _ => None,
        }
    }

    /// The entry of this index is applied: who waits for that hears of it, if this server leads.
    pub fn applied(
        &mut self,
        index: u64,
        reply: Option<ReplyTo>,
        stream: &Stream,
        raft: &mut Raft,
        env: &mut Env<'_, '_>,
    ) {
        if self.lead.is_some() {
            env.reply_if(reply, Reply::AckReply);
            self.with_lead(stream, raft, env, |lead, around| lead.applied(index, around));
        }
    }

    /// A pull request reached the leader.
    pub fn pull(
        &mut self,
        request: PullRequest,
        reply: ReplyTo,
        stream: &Stream,
        raft: &mut Raft,
        env: &mut Env<'_, '_>,
    ) {
        self.with_lead(stream, raft, env, |lead, around| lead.pull(request, reply, around));
    }

    /// An ack reached the leader.
    pub fn ack(
        &mut self,
        (token, body, reply): (AckToken, AckBody, Option<ReplyTo>),
        stream: &Stream,
        raft: &mut Raft,
        env: &mut Env<'_, '_>,
    ) {
        self.with_lead(stream, raft, env, |lead, around| lead.ack(token, body, reply, around));
    }

    /// Its timer fired. Whether nobody has used it for its inactive threshold.
    pub fn on_timer(&mut self, turn: u32, stream: &Stream, raft: &mut Raft, env: &mut Env<'_, '_>) -> bool {
        let mut inactive = false;
        self.with_lead(stream, raft, env, |lead, around| inactive = lead.on_timer(turn, around));
        inactive
    }

    /// Whether it leads and there is something to deliver, as far as it knows without asking who wants it.
    #[must_use]
    pub fn has_work(&self, stream: &Stream) -> bool {
        self.lead.as_ref().is_some_and(|lead| lead.has_work(&self.assignment, stream))
    }

    /// The stream has new messages.
    pub fn stream_grew(&mut self, stream: &Stream, raft: &mut Raft, env: &mut Env<'_, '_>) {
        self.with_lead(stream, raft, env, |_, _| ());
    }

    /// A client is gone, or all of a server's are.
    pub fn client_gone(
        &mut self,
        server: NodeId,
        conn: Option<ConnId>,
        raft: &mut Raft,
        env: &mut Env<'_, '_>,
    ) {
        if let Some(lead) = &mut self.lead {
            lead.client_gone(server, conn, raft, env);
        }
    }

    /// The requests that wait, of a consumer that is being deleted.
    pub fn end(&mut self) -> Vec<ReplyTo> {
        self.lead.take().map_or_else(Vec::new, |lead| lead.requests())
    }

    /// The consumer as its leader sees it.
    #[must_use]
    pub fn info(&self, stream: &Stream, env: &Env<'_, '_>) -> ConsumerInfo {
        let next = self.lead.as_ref().map_or(self.state.stream_seq + 1, |lead| lead.next_seq);
        ConsumerInfo {
            consumer: self.assignment.consumer,
            config: Arc::clone(&self.assignment.config),
            delivered_consumer_seq: self.state.consumer_seq,
            delivered_stream_seq: self.state.stream_seq,
            ack_floor: self.state.ack_floor(),
            ack_pending: self.state.pending.len() as u32,
            pending: stream.count_from(self.assignment.config.partition, next),
            leader: env.me,
        }
    }
}
