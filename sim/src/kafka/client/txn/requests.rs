//! What a transactional producer asks next, and of whom.

use super::{Phase, Step, Transactions};
use crate::kafka::{
    Shared,
    client::{
        Io,
        connections::Slot,
        net::What,
        producer::{Asked, Producer, Standing},
    },
    protocol::RequestBody,
    rules::TransactionVersion,
    txn::messages::{ProducerIdAndEpoch, TxnOffsetCommitRequest, TxnRequest},
};

impl Producer {
    /// Takes the next step, if there is one to take.
    pub(in crate::kafka::client) fn txn_step(&mut self, io: &mut dyn Io, shared: &Shared) {
        if self.txn.is_none() || self.fatal.is_some() {
            return;
        }
        if self.txn.as_deref().is_some_and(Transactions::is_aborting) {
            self.purge(io);
        }
        self.txn_refuse_commit(io);
        self.search_when_due(io);
        let Some(txn) = &self.txn else { return };
        if txn.in_flight || (txn.searching && !txn.coordinator_known) {
            return;
        }
        let Some(step) = self.next_step() else { return };
        if step == Step::End && !txn.started {
            // Nobody but this client knows of the transaction.
            return self.txn_ended(None, io, shared);
        }
        if txn.not_before > io.now() {
            let at = txn.not_before;
            return self.wake_txn(at, io);
        }
        self.take_step(step, io);
    }

    fn next_step(&self) -> Option<Step> {
        let txn = self.txn.as_ref()?;
        match txn.phase {
            Phase::New | Phase::Ready => return None,
            Phase::Initializing | Phase::Bumping => return Some(Step::Init),
            Phase::Open | Phase::Ending { .. } => {}
        }
        if !txn.to_add.is_empty() && txn.failed.is_none() {
            return Some(Step::AddPartitions(txn.to_add.clone()));
        }
        if let Some(positions) = &txn.positions
            && txn.failed.is_none()
        {
            let adds = txn.version == TransactionVersion::V1 && !positions.added;
            return Some(if adds { Step::AddOffsets } else { Step::Offsets });
        }
        let drained = self.buffered == 0 && self.queues.iter().all(|queue| queue.in_flight == 0);
        (matches!(txn.phase, Phase::Ending { .. }) && drained).then_some(Step::End)
    }

    fn take_step(&mut self, step: Step, io: &mut dyn Io) {
        let Some(txn) = &self.txn else { return };
        if step == Step::Offsets {
            let Some(positions) = &txn.positions else { return };
            let group = positions.group;
            let Some(node) = txn.group_coordinator else {
                self.ask_any(Step::FindGroup, RequestBody::FindCoordinator(group), io);
                return;
            };
            let slot = node.0;
            if !self.net.conns.is_up(slot) {
                return self.net.conns.want(slot, io);
            }
            return self.ask_txn(slot, step, io);
        }
        if !txn.coordinator_known {
            return self.need_coordinator(io);
        }
        let slot = self.net.conns.coordinator();
        if self.net.conns.is_up(slot) {
            self.ask_txn(slot, step, io);
        } else {
            self.net.conns.want(slot, io);
        }
    }

    /// Asks any broker that is connected; whether there is one.
    pub(super) fn ask_any(&mut self, step: Step, body: RequestBody, io: &mut dyn Io) -> bool {
        let Some(slot) = self.net.any_up(io) else { return false };
        self.send_step(slot, step, body, io);
        true
    }

    fn ask_txn(&mut self, slot: Slot, step: Step, io: &mut dyn Io) {
        let producer = self.txn_identity();
        if matches!(step, Step::AddPartitions(_) | Step::AddOffsets) {
            self.asked_to_begin();
        }
        let Some(txn) = &mut self.txn else { return };
        let body = match (&step, txn.phase) {
            (Step::Init, _) => RequestBody::Txn(TxnRequest::InitProducerId {
                txn: txn.id,
                timeout: txn.timeout,
                current: producer,
            }),
            (Step::AddPartitions(partitions), _) => {
                txn.asked = partitions.len();
                let producer = producer.unwrap_or(ProducerIdAndEpoch::NONE);
                RequestBody::Txn(TxnRequest::AddPartitions(txn.id, producer, partitions.clone()))
            }
            (Step::AddOffsets, _) => {
                let Some(positions) = &txn.positions else { return };
                let producer = producer.unwrap_or(ProducerIdAndEpoch::NONE);
                RequestBody::Txn(TxnRequest::AddOffsets(txn.id, producer, positions.group))
            }
            (Step::Offsets, _) => {
                txn.started = true;
                let of = txn.of_produce();
                let Some(positions) = &txn.positions else { return };
                RequestBody::TxnOffsetCommit(TxnOffsetCommitRequest {
                    txn: of,
                    producer: producer.unwrap_or(ProducerIdAndEpoch::NONE),
                    group: positions.group,
                    member: positions.member.clone(),
                    offsets: positions.offsets.clone(),
                })
            }
            (Step::End, Phase::Ending { commit }) => RequestBody::Txn(TxnRequest::End {
                txn: txn.id,
                producer: producer.unwrap_or(ProducerIdAndEpoch::NONE),
                commit,
                version: txn.version,
            }),
            _ => return,
        };
        self.send_step(slot, step, body, io);
    }

    fn send_step(&mut self, slot: Slot, step: Step, body: RequestBody, io: &mut dyn Io) {
        if let Some(txn) = &mut self.txn {
            *txn.under_way(&step) = true;
        }
        let timeout = self.net.request_timeout();
        self.net.conns.send(slot, body, What::Client(Asked::Txn(step)), timeout, io);
    }

    fn txn_identity(&self) -> Option<ProducerIdAndEpoch> {
        match self.standing {
            Standing::Have(identity) => Some(ProducerIdAndEpoch { pid: identity.pid, epoch: identity.epoch }),
            _ => None,
        }
    }
}
