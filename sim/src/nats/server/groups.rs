//! What follows from the logs of a server's Raft groups, at the end of each event: it lays down what it leads no more,
//! applies what is committed, and takes up what it leads now.

use super::{Server, env};
use crate::{
    kernel::{Ctx, FileId, NodeId},
    model::{Note, Output},
    nats::{
        Env, Nats, Shared, Touch,
        protocol::{ApiResponse, Reply, StreamIx, Subject},
        raft::{
            Raft,
            message::{GroupId, Op},
        },
        stream::Stream,
    },
};

impl Server {
    pub(super) fn react(&mut self, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        if !self.outside.is_empty() {
            for op in std::mem::take(&mut self.outside) {
                self.decide(op, ctx, shared);
            }
        }
        while let Some(file) = self.dirty.pop() {
            self.settle(file, ctx, shared);
        }
        while let Some(file) = self.unsent.pop() {
            if let Some(raft) = self.rafts.of_file_mut(file) {
                raft.send_proposals(&mut env!(self, ctx, shared));
            }
        }
        if !self.advisories.is_empty() {
            for (advisory, audience) in std::mem::take(&mut self.advisories) {
                self.clients.announce(advisory, audience, ctx);
            }
        }
    }

    /// The meta leader proposes.
    pub(in crate::nats) fn decide(&mut self, op: Op, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        self.with_raft(GroupId::Meta.into(), ctx, shared, |raft, env| {
            raft.propose(op, env);
        });
    }

    fn settle(&mut self, file: FileId, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        // A group that is gone has laid its office down.
        let Some(raft) = self.rafts.of_file(file) else { return };
        let (group, active, applied) = (raft.group, raft.is_active(), raft.has_applied_all());
        if !active {
            self.leave_office(group, file, ctx, shared);
            if applied {
                return;
            }
        }
        match group {
            GroupId::Meta => self.apply_to_meta(file, ctx, shared),
            GroupId::Stream(stream) => self.apply_to_stream(stream, file, ctx, shared),
            GroupId::Consumer(consumer) => self.apply_to_consumer(consumer.stream, file, ctx, shared),
        }
        if self.rafts.of_file(file).is_some_and(Raft::is_active) {
            self.take_office(group, file, ctx, shared);
        }
    }

    fn apply_to_meta(&mut self, file: FileId, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        while let Some((_, entry)) = self.rafts.of_file_mut(file).and_then(Raft::next_committed) {
            let change = self.meta.apply(&entry.op);
            self.assigned(change, ctx, shared);
        }
    }

    fn apply_to_stream(&mut self, id: StreamIx, file: FileId, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        let (Some(stream), Some(raft)) = (self.streams.get_mut(&id), self.rafts.of_file_mut(file)) else {
            return;
        };
        let mut env = env!(self, ctx, shared);
        let mut grew = false;
        while let Some((_, entry)) = raft.next_committed() {
            if let Op::Store(proposal) = &entry.op {
                grew = true;
                stream.apply(proposal, &mut env);
            }
        }
        if grew {
            self.stream_grew(id, ctx, shared);
        }
    }

    fn apply_to_consumer(&mut self, id: StreamIx, file: FileId, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        if let Some(consumer) = self.consumers.of_file_mut(file)
            && let Some(stream) = self.streams.get(&id)
            && let Some(raft) = self.rafts.of_file_mut(file)
        {
            let mut env = env!(self, ctx, shared);
            while let Some((index, entry)) = raft.next_committed() {
                let reply = consumer.apply(&entry.op);
                consumer.applied(index, reply, stream, raft, &mut env);
            }
        }
    }

    /// The consumers that this server leads look at a stream's new messages.
    fn stream_grew(&mut self, id: StreamIx, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        let Some(stream) = self.streams.get(&id) else { return };
        let mut env = env!(self, ctx, shared);
        for consumer in self.consumers.of_stream_mut(id) {
            if consumer.has_work(stream)
                && let Some(raft) = self.rafts.of_file_mut(consumer.file)
            {
                consumer.stream_grew(stream, raft, &mut env);
            }
        }
    }

    // Offices.

    fn leave_office(&mut self, group: GroupId, file: FileId, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        match group {
            GroupId::Meta => self.meta.leads = false,
            GroupId::Stream(id) => {
                if let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.leads) {
                    let mut env = env!(self, ctx, shared);
                    stream.take_office(false);
                    env.listen(Subject::Stream(id), false);
                    let term = self.rafts.of_file(file).map_or(0, Raft::term);
                    tell(stream, None, term, &mut env);
                }
            }
            GroupId::Consumer(id) => {
                if let Some(consumer) = self.consumers.of_file_mut(file).filter(|consumer| consumer.leads()) {
                    consumer.leave_office();
                    env!(self, ctx, shared).listen(Subject::Consumer(id), false);
                }
            }
        }
    }

    fn take_office(&mut self, group: GroupId, file: FileId, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        match group {
            GroupId::Meta => self.meta.leads = true,
            GroupId::Stream(id) => {
                let Some(stream) = self.streams.get_mut(&id) else { return };
                if stream.leads && stream.creators.is_empty() {
                    return;
                }
                let mut env = env!(self, ctx, shared);
                if !stream.leads {
                    stream.take_office(true);
                    env.listen(Subject::Stream(id), true);
                    env.ctx.touch(Touch::Office(env.me, id));
                    let term = self.rafts.of_file(file).map_or(0, Raft::term);
                    if !self.settling {
                        tell(stream, Some(env.me), term, &mut env);
                    }
                }
                for reply in std::mem::take(&mut stream.creators) {
                    let info = stream.info(&env);
                    env.reply(reply, Reply::Api(ApiResponse::Stream(info)));
                }
            }
            GroupId::Consumer(id) => {
                let Some(consumer) = self.consumers.of_file_mut(file) else { return };
                if consumer.leads() && consumer.creators.is_empty() {
                    return;
                }
                self.with_consumer(id, ctx, shared, |consumer, stream, raft, env| {
                    if !consumer.leads() {
                        consumer.take_office(stream, raft, env);
                        env.listen(Subject::Consumer(id), true);
                    }
                    for reply in std::mem::take(&mut consumer.creators) {
                        let info = consumer.info(stream, env);
                        env.reply(reply, Reply::Api(ApiResponse::Consumer(info)));
                    }
                });
            }
        }
    }
}

/// Tells the world outside who leads a stream.
fn tell(stream: &Stream, leader: Option<NodeId>, term: u64, env: &mut Env<'_, '_>) {
    for partition in 0..stream.assignment.config.partitions {
        env.ctx.emit(Output::Note(Note::Leader {
            unit: env.names.unit(stream.assignment.stream, partition),
            leader: leader.map(|node| node.0 + 1),
            epoch: term as u32,
            unclean: false,
        }));
    }
}
