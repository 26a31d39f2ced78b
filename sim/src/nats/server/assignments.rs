//! What the meta group assigns to a server: it takes part in a group from then on, or no longer.
//!
//! What a disk has of a group is taken up again if it is of the same incarnation, and dropped otherwise; of a group
//! that keeps its log in memory it is always dropped.

use super::{Server, env};
use crate::{
    kernel::{Ctx, FileId, NodeId},
    nats::{
        Nats, Shared,
        config::{ConsumerAssignment, StreamAssignment},
        consumer::Consumer,
        meta::MetaChange,
        protocol::{ApiResponse, ConsumerId, ConsumerName, Reply, Status, Subject},
        raft::{Raft, message::GroupId},
        stream::Stream,
    },
    nodes::NodeSet,
};
use std::sync::Arc;

impl Server {
    pub(super) fn assigned(&mut self, change: MetaChange, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        match change {
            MetaChange::NewStream(assignment) => self.new_stream(assignment, ctx, shared),
            MetaChange::NewConsumer(assignment) => self.new_consumer(assignment, ctx, shared),
            MetaChange::SameStream(assignment) => {
                if let Some(stream) = self.streams.get_mut(&assignment.stream) {
                    stream.creators.extend(assignment.reply);
                    self.dirty.push(stream.file);
                }
            }
            MetaChange::SameConsumer(assignment) => {
                if let Some(consumer) = self.consumers.get_mut(&assignment.consumer) {
                    consumer.creators.extend(assignment.reply);
                    self.dirty.push(consumer.file);
                }
            }
            MetaChange::NoConsumer(id, reply) => {
                self.end_consumer(id, ctx, shared);
                if self.meta.leads {
                    env!(self, ctx, shared).reply_if(reply, Reply::Api(ApiResponse::Deleted));
                }
            }
            MetaChange::Nothing => {}
        }
    }

    fn new_stream(&mut self, assignment: Arc<StreamAssignment>, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        if assignment.peers.contains(self.me) {
            let group = GroupId::Stream(assignment.stream);
            let place = (assignment.incarnation, assignment.peers, assignment.preferred);
            let file = self.join(group, place, ctx, shared);
            self.streams.insert(Stream::new(assignment, file));
        }
    }

    fn new_consumer(
        &mut self,
        assignment: Arc<ConsumerAssignment>,
        ctx: &mut Ctx<'_, Nats>,
        shared: &Shared,
    ) {
        if assignment.peers.contains(self.me) {
            let group = GroupId::Consumer(assignment.consumer);
            let place = (assignment.incarnation, assignment.peers, assignment.preferred);
            let file = self.join(group, place, ctx, shared);
            self.consumers.insert(Consumer::new(assignment, file));
        }
    }

    /// Takes part in a group from now on: the file of its log.
    fn join(
        &mut self,
        group: GroupId,
        (incarnation, peers, preferred): (u64, NodeSet, NodeId),
        ctx: &mut Ctx<'_, Nats>,
        shared: &Shared,
    ) -> FileId {
        let known = self.stored.remove(&group);
        let mut raft = match known {
            Some(raft) if raft.incarnation == incarnation && !is_in_memory(group) => raft,
            known => {
                if let Some(old) = known {
                    ctx.disk().truncate(old.log().file(), 0);
                }
                let file = FileId(self.files);
                self.files += 1;
                Raft::new(group, incarnation, self.me, self.servers, peers, file)
            }
        };
        let mut env = env!(self, ctx, shared);
        if self.settling {
            raft.start_settled(preferred, &mut env);
        } else {
            raft.start(preferred == self.me, !self.recovering, &mut env);
        }
        let file = raft.log().file();
        self.rafts.insert(raft);
        self.dirty.push(file);
        file
    }

    /// A consumer is no more.
    fn end_consumer(&mut self, id: ConsumerId, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        let group = GroupId::Consumer(id);
        for raft in [self.rafts.remove(&group), self.stored.remove(&group)].into_iter().flatten() {
            ctx.disk().truncate(raft.log().file(), 0);
        }
        let Some(mut consumer) = self.consumers.remove(&id) else { return };
        let mut env = env!(self, ctx, shared);
        env.listen(Subject::Consumer(id), false);
        for reply in consumer.end() {
            env.reply(reply, Reply::Status(Status::ConsumerDeleted));
        }
    }
}

/// Whether the group keeps its log in memory: it does not survive the process.
const fn is_in_memory(group: GroupId) -> bool {
    matches!(group, GroupId::Consumer(ConsumerId { name: ConsumerName::Ephemeral(_), .. }))
}
