//! Transactions at their coordinator, at the partitions and at the group coordinator.

mod coordinator;
mod partitions;
mod positions;
mod versions;

use super::*;
use crate::kafka::{
    protocol::{CommittedOffset, GroupIx, Payload},
    rules::{ReadCommittedUpto, TransactionVersion},
    txn::{
        messages::{ProduceTxn, ProducerIdAndEpoch, TxnIx, TxnOffsetCommitRequest, TxnRequest, TxnResponse},
        partition::Aborted,
        state::TxnState,
    },
};
use TransactionVersion::{V1, V2};

/// A lab with a transactional id and a topic of two partitions.
struct Txns {
    lab: Lab,
    txn: TxnIx,
    ids: [PartitionId; 2],
    coordinator: NodeId,
    probe: NodeId,
    /// The next sequence number of each partition, and the epoch that it counts under.
    sequences: BTreeMap<(PartitionId, ProducerIdAndEpoch), u32>,
}

fn v1() -> Rules {
    Rules { transaction_version: V1, ..kafka_4_3_test_cluster() }
}

impl Txns {
    fn new(seed: u64) -> Self {
        Self::with(seed, kafka_4_3_test_cluster())
    }

    fn with(seed: u64, rules: Rules) -> Self {
        let mut lab = Lab::with(seed, 3, rules);
        let first = lab.topic_of("t", 2, 3, 2, &[]);
        let model = lab.world.model_mut();
        let txn = model.shared.names.intern_transaction("payments");
        model.use_transactions();
        let probe = lab.probe();
        lab.run(millis(100));
        let ids = [first, PartitionId::new(first.topic, 1)];
        let mut txns = Self { lab, txn, ids, coordinator: NodeId(0), probe, sequences: BTreeMap::new() };
        txns.find();
        txns
    }

    /// The partition that keeps the state of its transactions.
    fn log(&self) -> PartitionId {
        let topic = self.lab.kafka().shared.names.transaction_state().expect("it exists");
        // "payments".hashCode() == 1382682413.
        PartitionId::new(topic, 1_382_682_413 % 4)
    }

    fn find(&mut self) -> ErrorCode {
        for broker in (0..3).map(NodeId) {
            let asked = self.ask_at(broker, TxnRequest::FindCoordinator(self.txn));
            if let Some(ResponseBody::Txn(TxnResponse::FindCoordinator(error, node))) =
                self.lab.wait(asked, millis(500))
            {
                self.coordinator = node.unwrap_or(self.coordinator);
                return error;
            }
            self.lab.hang_up(self.probe, broker);
        }
        ErrorCode::CoordinatorNotAvailable
    }

    fn ask_at(&mut self, broker: NodeId, request: TxnRequest) -> Asked {
        self.lab.ask(self.probe, broker, RequestBody::Txn(request))
    }

    fn request(&mut self, request: TxnRequest) -> TxnResponse {
        let asked = self.ask_at(self.coordinator, request);
        match self.lab.wait(asked, secs(5)) {
            Some(ResponseBody::Txn(answer)) => answer,
            other => panic!("not an answer about transactions: {other:?}"),
        }
    }

    fn init_with(
        &mut self,
        timeout: Duration,
        current: Option<ProducerIdAndEpoch>,
    ) -> (ErrorCode, ProducerIdAndEpoch) {
        match self.request(TxnRequest::InitProducerId { txn: self.txn, timeout, current }) {
            TxnResponse::InitProducerId(error, producer) => (error, producer),
            other => panic!("{other:?}"),
        }
    }

    /// A producer's identity, as soon as the coordinator gives it.
    fn init(&mut self) -> ProducerIdAndEpoch {
        loop {
            match self.init_with(secs(60), None) {
                (ErrorCode::None, producer) => return producer,
                (ErrorCode::ConcurrentTransactions, _) => self.lab.run(millis(20)),
                (error, _) => panic!("{error}"),
            }
        }
    }

    fn add(&mut self, producer: ProducerIdAndEpoch, ids: &[PartitionId]) -> ErrorCode {
        match self.request(TxnRequest::AddPartitions(self.txn, producer, ids.to_vec())) {
            TxnResponse::AddPartitions(error) => error,
            other => panic!("{other:?}"),
        }
    }

    fn end(
        &mut self,
        producer: ProducerIdAndEpoch,
        commit: bool,
        version: TransactionVersion,
    ) -> (ErrorCode, Option<ProducerIdAndEpoch>) {
        match self.request(TxnRequest::End { txn: self.txn, producer, commit, version }) {
            TxnResponse::End(error, next) => (error, next),
            other => panic!("{other:?}"),
        }
    }

    fn send_produce(
        &mut self,
        producer: ProducerIdAndEpoch,
        id: PartitionId,
        records: u32,
        version: TransactionVersion,
    ) -> Asked {
        let sequence = self.sequences.entry((id, producer)).or_default();
        let base_seq = *sequence;
        *sequence += records;
        let stamp = ProducerStamp { pid: producer.pid, epoch: producer.epoch, base_seq, transactional: true };
        let (batch, _) = self.lab.batch(records, Some(stamp));
        let leader = self.lab.leader(id).expect("it has one");
        let request = ProduceRequest {
            acks: Acks::All.into(),
            timeout: secs(30),
            txn: Some(ProduceTxn { txn: self.txn, version }),
            batches: [(id, batch)].into(),
        };
        self.lab.ask(self.probe, leader, RequestBody::Produce(request))
    }

    /// Writes records of a transaction.
    fn produce(
        &mut self,
        producer: ProducerIdAndEpoch,
        id: PartitionId,
        records: u32,
        version: TransactionVersion,
    ) -> ErrorCode {
        let asked = self.send_produce(producer, id, records, version);
        self.lab.produced(asked, secs(5)).expect("an answer").error
    }

    /// A whole transaction of version 1 in one partition.
    fn whole_v1(&mut self, producer: ProducerIdAndEpoch, id: PartitionId, records: u32, commit: bool) {
        self.added(producer, &[id]);
        assert_eq!(self.produce(producer, id, records, V1), ErrorCode::None);
        assert_eq!(self.end(producer, commit, V1).0, ErrorCode::None);
        self.lab.run(millis(200));
    }

    /// Adds partitions as soon as the transaction before has ended.
    fn added(&mut self, producer: ProducerIdAndEpoch, ids: &[PartitionId]) {
        while self.add(producer, ids) == ErrorCode::ConcurrentTransactions {
            self.lab.run(millis(20));
        }
    }

    /// A record without a transaction.
    fn plain(&mut self, id: PartitionId) -> u64 {
        let leader = self.lab.leader(id).expect("it has one");
        let (asked, _) = self.lab.produce(self.probe, leader, id, Acks::All);
        self.lab.produced(asked, secs(5)).expect("an answer").base_offset.expect("an offset")
    }

    /// What a consumer gets from an offset on: the offsets of records, where it goes on, and what was aborted.
    fn read(&mut self, id: PartitionId, from: u64, isolation: Isolation) -> (Vec<u64>, u64, Vec<Aborted>) {
        let leader = self.lab.leader(id).expect("it has one");
        let request = FetchRequest { isolation, max_wait: millis(100), ..a_fetch(id, from) };
        let asked = self.lab.ask(self.probe, leader, RequestBody::Fetch(request));
        let Some(fetched) = self.lab.fetched(asked) else { return (Vec::new(), from, Vec::new()) };
        let mut offsets = Vec::new();
        let mut end = from;
        for entry in &fetched.entries {
            offsets.extend((0..entry.batch.records().len() as u64).map(|place| entry.base_offset + place));
            end = entry.end_offset();
        }
        (offsets, end, fetched.aborted)
    }

    fn listed(&mut self, id: PartitionId, at: OffsetSpec) -> u64 {
        let leader = self.lab.leader(id).expect("it has one");
        let body =
            RequestBody::ListOffsets(vec![ListOffsetsPartition { id, current_leader_epoch: None, at }]);
        let asked = self.lab.ask(self.probe, leader, body);
        match self.lab.wait(asked, secs(2)) {
            Some(ResponseBody::ListOffsets(listed)) => listed[0].offset,
            other => panic!("{other:?}"),
        }
    }

    fn state(&self) -> TxnState {
        let broker = self.lab.kafka().servers[self.coordinator.index()].data().expect("a broker");
        broker.txns.transactions().find(|(_, kept)| kept.txn == self.txn).expect("it is here").1.state
    }

    /// Markers in a partition's log: offset, producer epoch, committed.
    fn markers(&self, id: PartitionId) -> Vec<(u64, u16, bool)> {
        let leader = self.lab.leader(id).expect("it has one");
        let entries = self.lab.replica(leader, id).log.entries();
        let marker = |entry: &crate::kafka::protocol::Entry| match &entry.batch.payload {
            Payload::Marker(marker) => Some((entry.base_offset, marker.producer.epoch, marker.commit)),
            _ => None,
        };
        entries.iter().filter_map(marker).collect()
    }
}
