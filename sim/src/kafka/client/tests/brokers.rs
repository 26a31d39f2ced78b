//! Brokers as a test plays them: one shared log for each partition, a fault for chosen produce requests, a
//! coordinator on broker 0.

use super::super::super::{
    Shared, Timer,
    error::ErrorCode,
    protocol::{
        Batch, Entry, EpochEnd, EpochPartition, FetchRequest, FetchedPartition, Few, LeaderHint,
        ListedOffset, MetadataResponse, Msg, OffsetSpec, PartitionId, PartitionMetadata, ProduceRequest,
        ProducedPartition, ProducerStamp, Request, RequestBody, Response, ResponseBody, TopicIx,
        TopicMetadata,
    },
};
use super::super::{Client, Timer as ClientTimer};
use super::coordinator::Coordinator;
use crate::{
    kernel::{ConnId, Ctx, Event, Model, NodeId},
    model::{Call, Output},
};
use squall_bus::{Acks, Time};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// What happens to one produce request, counted from 1 over all brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It and what follows for a millisecond goes through, without a response; then the connection closes.
    Cut,
    /// It goes through; its response is never sent, the connection stays.
    Swallow,
    /// The connection closes before it arrives.
    Pre,
    /// It is refused with this code.
    Refuse(ErrorCode),
    /// It is appended and answered with this code all the same.
    AppendAndRefuse(ErrorCode),
}

#[derive(Debug, Default)]
pub(super) struct Partition {
    pub(super) leader: u32,
    pub(super) epoch: u32,
    pub(super) log: Vec<Entry>,
    /// The stamps seen with the offsets they got.
    seen: Vec<(ProducerStamp, u32, u64)>,
}

impl Partition {
    fn end(&self) -> u64 {
        self.log.last().map_or(0, Entry::end_offset)
    }

    /// Appends, or recognises a repeated batch (rule C3).
    fn append(&mut self, batch: &Arc<Batch>) -> Result<u64, ErrorCode> {
        if let Some(stamp) = batch.stamp {
            let own =
                |seen: &&(ProducerStamp, u32, u64)| seen.0.pid == stamp.pid && seen.0.epoch == stamp.epoch;
            if let Some((.., offset)) = self.seen.iter().filter(own).find(|seen| seen.0 == stamp) {
                return Ok(*offset);
            }
            let next = self.seen.iter().rfind(own).map_or(0, |seen| seen.0.base_seq + seen.1);
            if stamp.base_seq != next {
                return Err(ErrorCode::OutOfOrderSequenceNumber);
            }
            self.seen.push((stamp, batch.count(), self.end()));
        }
        let base_offset = self.end();
        self.log.push(Entry::new(base_offset, self.epoch, Arc::clone(batch)));
        Ok(base_offset)
    }
}

#[derive(Debug)]
struct Parked {
    broker: NodeId,
    conn: ConnId,
    correlation: u32,
    request: FetchRequest,
    until: Time,
}

/// Brokers and clients.
#[derive(Debug)]
pub(super) struct Brokers {
    pub(super) shared: Shared,
    pub(super) clients: Vec<Option<Client>>,
    /// The partitions of the one topic.
    pub(super) partitions: Vec<Partition>,
    pub(super) topic: TopicIx,
    pub(super) faults: BTreeMap<u64, Fault>,
    /// The produce requests that arrived, with their times.
    pub(super) produced: Vec<Time>,
    pub(super) coordinator: Coordinator,
    /// What each partition's log begins with.
    pub(super) log_start: u64,
    cutting: Option<ConnId>,
    parked: Vec<Parked>,
    pids: u64,
    /// How often somebody asked for metadata, the first request of a connection included.
    pub(super) metadata_requests: u32,
    /// How often somebody asked where an epoch ends.
    pub(super) epoch_requests: u32,
}

impl Brokers {
    pub(super) fn new(shared: Shared, topic: TopicIx, partitions: u32) -> Self {
        let brokers = shared.brokers;
        let lead = |number| Partition { leader: number % brokers, epoch: 1, ..Partition::default() };
        Self {
            shared,
            clients: Vec::new(),
            partitions: (0..partitions).map(lead).collect(),
            topic,
            faults: BTreeMap::new(),
            produced: Vec::new(),
            coordinator: Coordinator::default(),
            log_start: 0,
            cutting: None,
            parked: Vec::new(),
            pids: 0,
            metadata_requests: 0,
            epoch_requests: 0,
        }
    }

    fn request(&mut self, conn: ConnId, request: Request, ctx: &mut Ctx<'_, Self>) {
        let correlation = request.correlation;
        let body = match request.body {
            RequestBody::Metadata(_) => ResponseBody::Metadata(self.metadata()),
            RequestBody::Produce(produce) => match self.produce(conn, &produce, ctx) {
                Some(body) => body,
                None => return,
            },
            RequestBody::Fetch(fetch) => return self.fetch(conn, correlation, fetch, ctx),
            RequestBody::ListOffsets(partitions) => ResponseBody::ListOffsets(
                partitions.iter().map(|partition| self.list(partition.id, partition.at)).collect(),
            ),
            RequestBody::OffsetForLeaderEpoch(partitions) => ResponseBody::OffsetForLeaderEpoch(
                partitions.iter().map(|at| self.epoch_end(at, ctx.node())).collect(),
            ),
            RequestBody::InitProducerId => {
                self.pids += 1;
                ResponseBody::InitProducerId(self.pids)
            }
            body => {
                let answers = self.coordinator.request(conn, correlation, body, ctx.now());
                for (conn, correlation, body) in answers {
                    reply(conn, correlation, body, ctx);
                }
                return;
            }
        };
        reply(conn, correlation, body, ctx);
    }

    fn metadata(&mut self) -> MetadataResponse {
        self.metadata_requests += 1;
        let partitions = self
            .partitions
            .iter()
            .map(|partition| PartitionMetadata {
                error: ErrorCode::None,
                leader: Some(NodeId(partition.leader)),
                leader_epoch: partition.epoch,
            })
            .collect();
        let topics = vec![TopicMetadata { topic: self.topic, error: ErrorCode::None, id: None, partitions }];
        MetadataResponse { brokers: (0..self.shared.brokers).map(NodeId).collect(), topics }
    }

    fn epoch_end(&mut self, at: &EpochPartition, node: NodeId) -> EpochEnd {
        self.epoch_requests += 1;
        let partition = &self.partitions[at.id.partition as usize];
        if partition.leader != node.0 {
            return EpochEnd { id: at.id, error: ErrorCode::NotLeaderOrFollower, end: None };
        }
        let last = partition.log.iter().rfind(|entry| entry.epoch <= at.leader_epoch);
        let end = last.map(|entry| (entry.epoch, entry.end_offset()));
        EpochEnd { id: at.id, error: ErrorCode::None, end }
    }

    fn produce(
        &mut self,
        conn: ConnId,
        request: &ProduceRequest,
        ctx: &mut Ctx<'_, Self>,
    ) -> Option<ResponseBody> {
        self.produced.push(ctx.now());
        let fault = self.faults.get(&(self.produced.len() as u64)).copied();
        if fault == Some(Fault::Pre) {
            ctx.close(conn);
            return None;
        }
        if fault == Some(Fault::Cut) {
            self.cutting = Some(conn);
            ctx.timer(Duration::from_millis(1), Timer::Client(ClientTimer::Close));
        }
        let node = ctx.node();
        let mut results = Few::new();
        for (id, batch) in &request.batches {
            let partition = &mut self.partitions[id.partition as usize];
            let hint = LeaderHint { node: Some(NodeId(partition.leader)), epoch: partition.epoch };
            let result = match fault {
                Some(Fault::Refuse(code)) => Err(code),
                _ if partition.leader != node.0 => Err(ErrorCode::NotLeaderOrFollower),
                Some(Fault::AppendAndRefuse(code)) => partition.append(batch).and(Err(code)),
                _ => partition.append(batch),
            };
            let leader = (result == Err(ErrorCode::NotLeaderOrFollower)).then_some(hint);
            let (error, base_offset) = match result {
                Ok(offset) => (ErrorCode::None, Some(offset)),
                Err(error) => (error, None),
            };
            results.push(ProducedPartition { id: *id, error, base_offset, leader });
        }
        self.unpark(ctx);
        let silent =
            fault == Some(Fault::Swallow) || self.cutting == Some(conn) || request.acks == Acks::None.into();
        (!silent).then_some(ResponseBody::Produce(results))
    }

    fn read(&self, request: &FetchRequest, node: NodeId) -> Vec<FetchedPartition> {
        let mut answers = Vec::new();
        for asked in request.partitions.iter() {
            let partition = &self.partitions[asked.id.partition as usize];
            let error = if partition.leader != node.0 {
                ErrorCode::NotLeaderOrFollower
            } else if asked.offset > partition.end() || asked.offset < self.log_start {
                ErrorCode::OffsetOutOfRange
            } else {
                ErrorCode::None
            };
            let entries: Few<Entry> = match error {
                ErrorCode::None => {
                    partition.log.iter().filter(|entry| entry.end_offset() > asked.offset).cloned().collect()
                }
                _ => Few::new(),
            };
            if error.is_error() || !entries.is_empty() {
                answers.push(FetchedPartition {
                    aborted: Vec::new(),
                    id: asked.id,
                    error,
                    high_watermark: partition.end(),
                    log_start: self.log_start,
                    entries,
                    diverging: None,
                    leader: Some(LeaderHint { node: Some(NodeId(partition.leader)), epoch: partition.epoch }),
                    preferred: None,
                });
            }
        }
        answers
    }

    fn fetch(&mut self, conn: ConnId, correlation: u32, request: FetchRequest, ctx: &mut Ctx<'_, Self>) {
        let answers = self.read(&request, ctx.node());
        if !answers.is_empty() {
            return reply(conn, correlation, ResponseBody::Fetch(answers), ctx);
        }
        ctx.timer(request.max_wait, Timer::Client(ClientTimer::Fetch));
        let until = ctx.now() + request.max_wait;
        self.parked.push(Parked { broker: ctx.node(), conn, correlation, request, until });
    }

    fn unpark(&mut self, ctx: &mut Ctx<'_, Self>) {
        for parked in std::mem::take(&mut self.parked) {
            let answers = self.read(&parked.request, parked.broker);
            if parked.broker == ctx.node() && (!answers.is_empty() || parked.until <= ctx.now()) {
                reply(parked.conn, parked.correlation, ResponseBody::Fetch(answers), ctx);
            } else {
                self.parked.push(parked);
            }
        }
    }

    fn list(&self, id: PartitionId, at: OffsetSpec) -> ListedOffset {
        let partition = &self.partitions[id.partition as usize];
        let offset = match at {
            OffsetSpec::Earliest => self.log_start,
            OffsetSpec::Latest | OffsetSpec::LastStable => partition.end(),
        };
        ListedOffset { id, error: ErrorCode::None, offset, leader_epoch: partition.epoch }
    }
}

fn reply(conn: ConnId, correlation: u32, body: ResponseBody, ctx: &mut Ctx<'_, Brokers>) {
    ctx.send(conn, Msg::Response(Response { correlation, body }));
}

impl Model for Brokers {
    type Msg = Msg;
    type Timer = Timer;
    type Call = Call;
    type Output = Output;
    type Touch = ();

    fn on(&mut self, node: NodeId, event: Event<Msg, Timer>, ctx: &mut Ctx<'_, Self>) {
        if let Some(place) = node.index().checked_sub(self.shared.servers as usize) {
            if let Some(Some(client)) = self.clients.get_mut(place) {
                client.on(event, ctx, &self.shared);
            }
            return;
        }
        match event {
            Event::Message(conn, Msg::Request(request)) => self.request(conn, request, ctx),
            Event::Timer(Timer::Client(ClientTimer::Fetch)) => self.unpark(ctx),
            Event::Timer(Timer::Client(ClientTimer::Close)) => {
                if let Some(conn) = self.cutting.take() {
                    ctx.close(conn);
                }
            }
            Event::Started(_) if node.0 == 0 => {
                ctx.timer(Duration::from_millis(10), Timer::Client(ClientTimer::Group));
            }
            Event::Timer(Timer::Client(ClientTimer::Group)) => {
                ctx.timer(Duration::from_millis(10), Timer::Client(ClientTimer::Group));
                for (conn, correlation, body) in self.coordinator.expire(ctx.now()) {
                    reply(conn, correlation, body, ctx);
                }
            }
            _ => {}
        }
    }

    fn call(&mut self, node: NodeId, call: Call, ctx: &mut Ctx<'_, Self>) {
        if let Some(place) = node.index().checked_sub(self.shared.servers as usize)
            && let Some(Some(client)) = self.clients.get_mut(place)
        {
            client.call(call, ctx, &self.shared);
        }
    }
}
