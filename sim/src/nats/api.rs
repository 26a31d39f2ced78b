//! The JetStream API: every server hears every request, and the one that it concerns answers.
//!
//! The meta leader decides on what is new and says what is not there; a stream's or consumer's leader speaks for
//! what is there. While the meta group has no leader, the client's own server refuses everything (10008).

use super::{
    Nats, Shared,
    config::StreamConfig,
    error::ApiError,
    meta::Meta,
    protocol::{ApiRequest, ApiResponse, ConsumerId, Reply, ReplyTo, StreamIx},
    raft::{
        Raft,
        message::{GroupId, Op},
    },
    server::{Server, env},
};
use crate::kernel::{Ctx, NodeId, mix};
use crate::nodes::NodeSet;
use std::sync::Arc;

impl Server {
    /// A request to the API. `own`: of a client of this server.
    pub(super) fn api(
        &mut self,
        request: &ApiRequest,
        reply: ReplyTo,
        own: bool,
        ctx: &mut Ctx<'_, Nats>,
        shared: &Shared,
    ) {
        let leader = self.rafts.get(&GroupId::Meta).and_then(Raft::leader);
        let answer = if leader.is_none() {
            own.then_some(ApiResponse::Error(ApiError::ClusterNotAvailable))
        } else {
            match request {
                ApiRequest::StreamCreate(stream, config) => {
                    self.create_stream(*stream, config, reply, ctx, shared)
                }
                ApiRequest::StreamInfo(stream) => self.stream_info(*stream, own, ctx, shared),
                ApiRequest::MessageGet(stream, seq) => self.message(*stream, *seq, own),
                ApiRequest::ConsumerCreate(consumer, config) => {
                    self.create_consumer((*consumer, config), reply, ctx, shared)
                }
                ApiRequest::ConsumerInfo(consumer) => self.consumer_info(*consumer, ctx, shared),
                ApiRequest::ConsumerDelete(consumer) => {
                    self.remove_consumer(*consumer, Some(reply), ctx, shared)
                }
            }
        };
        if let Some(answer) = answer {
            env!(self, ctx, shared).reply(reply, Reply::Api(answer));
        }
    }

    /// An answer that the meta leader gives.
    fn by_meta_leader(&self, error: ApiError) -> Option<ApiResponse> {
        self.meta.leads.then_some(ApiResponse::Error(error))
    }

    fn reachable(&self) -> NodeSet {
        let meta = self.rafts.get(&GroupId::Meta).map_or(NodeSet::EMPTY, Raft::peers);
        meta.iter().filter(|peer| self.routes.reaches(*peer)).fold(NodeSet::EMPTY, NodeSet::with)
    }

    /// Tells a new group from earlier ones of its name.
    fn incarnation(&self) -> u64 {
        self.rafts.get(&GroupId::Meta).map_or(0, |raft| mix(raft.term(), raft.log().last()))
    }

    fn create_stream(
        &mut self,
        stream: StreamIx,
        config: &Arc<StreamConfig>,
        reply: ReplyTo,
        ctx: &mut Ctx<'_, Nats>,
        shared: &Shared,
    ) -> Option<ApiResponse> {
        match self.meta.streams.get(&stream) {
            Some(known) if known.config != *config => self.by_meta_leader(ApiError::StreamNameExists),
            Some(_) => self.led_stream_info(stream, ctx, shared),
            None if !self.meta.leads => None,
            None => {
                let (live, incarnation) = (self.reachable(), self.incarnation());
                let config = Arc::clone(config);
                match Meta::place_stream(stream, config, live, incarnation, Some(reply), ctx.choices()) {
                    Some(assignment) => {
                        self.decide(Op::AssignStream(Arc::new(assignment)), ctx, shared);
                        None
                    }
                    None => self.by_meta_leader(ApiError::NoPeers),
                }
            }
        }
    }

    fn led_stream_info(
        &mut self,
        stream: StreamIx,
        ctx: &mut Ctx<'_, Nats>,
        shared: &Shared,
    ) -> Option<ApiResponse> {
        let stream = self.streams.get(&stream).filter(|stream| stream.leads)?;
        Some(ApiResponse::Stream(stream.info(&env!(self, ctx, shared))))
    }

    fn stream_info(
        &mut self,
        stream: StreamIx,
        own: bool,
        ctx: &mut Ctx<'_, Nats>,
        shared: &Shared,
    ) -> Option<ApiResponse> {
        if !self.meta.streams.contains_key(&stream) {
            return self.by_meta_leader(ApiError::StreamNotFound);
        }
        let group = self.rafts.get(&GroupId::Stream(stream));
        if own && group.is_some_and(|raft| raft.leader().is_none()) {
            return Some(ApiResponse::Error(ApiError::ClusterNotAvailable));
        }
        self.led_stream_info(stream, ctx, shared)
    }

    /// A message, as the stream's leader has it.
    fn message(&self, id: StreamIx, seq: u64, own: bool) -> Option<ApiResponse> {
        if !self.meta.streams.contains_key(&id) {
            return self.by_meta_leader(ApiError::StreamNotFound);
        }
        let group = self.rafts.get(&GroupId::Stream(id));
        if own && group.is_some_and(|raft| raft.leader().is_none()) {
            return Some(ApiResponse::Error(ApiError::ClusterNotAvailable));
        }
        let stream = self.streams.get(&id).filter(|stream| stream.leads)?;
        let missing = ApiResponse::Error(ApiError::MessageNotFound);
        Some(stream.message(seq).map_or(missing, |message| ApiResponse::Message(Arc::clone(message))))
    }

    fn create_consumer(
        &mut self,
        (id, config): (ConsumerId, &Arc<super::config::ConsumerConfig>),
        reply: ReplyTo,
        ctx: &mut Ctx<'_, Nats>,
        shared: &Shared,
    ) -> Option<ApiResponse> {
        if !self.meta.streams.contains_key(&id.stream) {
            return self.by_meta_leader(ApiError::StreamNotFound);
        }
        match self.meta.consumers.get(&id) {
            Some(known) if known.config != *config => self.by_meta_leader(ApiError::ConsumerExists),
            Some(_) => self.led_consumer_info(id, ctx, shared),
            None if !self.meta.leads => None,
            None => {
                let (live, incarnation) = (self.reachable(), self.incarnation());
                let config = Arc::clone(config);
                let placed =
                    self.meta.place_consumer(id, config, live, incarnation, Some(reply), ctx.choices());
                match placed {
                    Some(assignment) => {
                        self.decide(Op::AssignConsumer(Arc::new(assignment)), ctx, shared);
                        None
                    }
                    None => self.by_meta_leader(ApiError::NoPeers),
                }
            }
        }
    }

    fn led_consumer_info(
        &mut self,
        id: ConsumerId,
        ctx: &mut Ctx<'_, Nats>,
        shared: &Shared,
    ) -> Option<ApiResponse> {
        let consumer = self.consumers.get(&id).filter(|consumer| consumer.leads())?;
        let stream = self.streams.get(&id.stream)?;
        Some(ApiResponse::Consumer(consumer.info(stream, &env!(self, ctx, shared))))
    }

    fn consumer_info(
        &mut self,
        id: ConsumerId,
        ctx: &mut Ctx<'_, Nats>,
        shared: &Shared,
    ) -> Option<ApiResponse> {
        if !self.meta.streams.contains_key(&id.stream) {
            return self.by_meta_leader(ApiError::StreamNotFound);
        }
        if !self.meta.consumers.contains_key(&id) {
            return self.by_meta_leader(ApiError::ConsumerNotFound);
        }
        self.led_consumer_info(id, ctx, shared)
    }

    /// The meta leader lets a consumer go.
    pub(super) fn remove_consumer(
        &mut self,
        id: ConsumerId,
        reply: Option<ReplyTo>,
        ctx: &mut Ctx<'_, Nats>,
        shared: &Shared,
    ) -> Option<ApiResponse> {
        if !self.meta.leads {
            return None;
        }
        if !self.meta.consumers.contains_key(&id) {
            return self.by_meta_leader(ApiError::ConsumerNotFound);
        }
        self.decide(Op::RemoveConsumer(id, reply), ctx, shared);
        None
    }
}

/// The servers of a cluster of this size.
#[must_use]
pub(super) fn all(servers: u32) -> NodeSet {
    (0..servers).map(NodeId).fold(NodeSet::EMPTY, NodeSet::with)
}
