//! What follows from the logs of a server's Raft groups, at the end of each event: it lays down what it leads no more,
//! applies what is committed, and takes up what it leads now.

use super::{Server, env};
use crate::{
    kernel::{Ctx, NodeId},
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
        while let Some(group) = self.dirty.pop() {
            self.settle(group, ctx, shared);
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
        self.with_raft(GroupId::Meta, ctx, shared, |raft, env| {
            raft.propose(op, env);
        });
    }

    fn settle(&mut self, group: GroupId, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        let Some(file) = self.rafts.file(&group) else { return self.leave_office(group, ctx, shared) };
        let (active, applied) =
            self.rafts.of_file(file).map_or((false, true), |raft| (raft.is_active(), raft.has_applied_all()));
        if !active {
            self.leave_office(group, ctx, shared);
        }
        if applied && !active {
            return;
        }
        let mut grew = false;
        while let Some((index, op)) = self.rafts.of_file_mut(file).and_then(Raft::next_committed) {
            grew |= matches!(op, Op::Store(_));
            self.apply(group, index, &op, ctx, shared);
        }
        if let GroupId::Stream(stream) = group
            && grew
        {
            self.stream_grew(stream, ctx, shared);
        }
        if self.rafts.of_file(file).is_some_and(Raft::is_active) {
            self.take_office(group, ctx, shared);
        }
    }

    fn apply(&mut self, group: GroupId, index: u64, op: &Op, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        match (group, op) {
            (GroupId::Meta, op) => {
                let change = self.meta.apply(op);
                self.assigned(change, ctx, shared);
            }
            (GroupId::Stream(stream), Op::Store(proposal)) => {
                if let Some(stream) = self.streams.get_mut(&stream) {
                    stream.apply(proposal, &mut env!(self, ctx, shared));
                }
            }
            (GroupId::Stream(_), _) => {}
            (GroupId::Consumer(id), op) => {
                self.with_consumer(id, ctx, shared, |consumer, stream, raft, env| {
                    consumer.apply(index, op, stream, raft, env);
                });
            }
        }
    }

    /// The consumers that this server leads look at a stream's new messages.
    fn stream_grew(&mut self, id: StreamIx, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        let Some(stream) = self.streams.get(&id) else { return };
        let mut env = env!(self, ctx, shared);
        for consumer in self.consumers.of_stream_mut(id) {
            if consumer.has_work(stream)
                && let Some(raft) = self.rafts.get_mut(&GroupId::Consumer(consumer.assignment.consumer))
            {
                consumer.stream_grew(stream, raft, &mut env);
            }
        }
    }

    // Offices.

    fn leave_office(&mut self, group: GroupId, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        let mut env = env!(self, ctx, shared);
        match group {
            GroupId::Meta => self.meta.leads = false,
            GroupId::Stream(id) => {
                if let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.leads) {
                    stream.take_office(false);
                    env.listen(Subject::Stream(id), false);
                    let term = self.rafts.get(&group).map_or(0, Raft::term);
                    tell(stream, None, term, &mut env);
                }
            }
            GroupId::Consumer(id) => {
                if let Some(consumer) = self.consumers.get_mut(&id).filter(|consumer| consumer.leads()) {
                    consumer.leave_office();
                    env.listen(Subject::Consumer(id), false);
                }
            }
        }
    }

    fn take_office(&mut self, group: GroupId, ctx: &mut Ctx<'_, Nats>, shared: &Shared) {
        match group {
            GroupId::Meta => self.meta.leads = true,
            GroupId::Stream(id) => {
                let mut env = env!(self, ctx, shared);
                let Some(stream) = self.streams.get_mut(&id) else { return };
                if !stream.leads {
                    stream.take_office(true);
                    env.listen(Subject::Stream(id), true);
                    env.ctx.touch(Touch::Office(env.me, id));
                    let term = self.rafts.get(&group).map_or(0, Raft::term);
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
                if self.consumers.get(&id).is_some_and(|known| known.leads() && known.creators.is_empty()) {
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
