//! What the answers about transactions mean.

use super::{Phase, Step};
use crate::{
    kafka::{
        Shared,
        client::{
            Io,
            batch::Identity,
            defaults::FencedWrite,
            outcome,
            producer::{Producer, Standing},
        },
        error::ErrorCode,
        protocol::ResponseBody,
        rules::TransactionVersion,
        txn::messages::{ProducerIdAndEpoch, TxnResponse},
    },
    model::Output,
};
use squall_bus::{Error, ErrorClass, Outcome};
use std::time::Duration;

/// How soon a partition is added again while the transaction before is still ending (both libraries).
const CONCURRENT: Duration = Duration::from_millis(20);

impl Producer {
    pub(in crate::kafka::client) fn txn_answered(
        &mut self,
        step: Step,
        body: ResponseBody,
        io: &mut dyn Io,
        shared: &Shared,
    ) {
        if self.is_forgotten(&step) {
            return;
        }
        let Some(txn) = &mut self.txn else { return };
        *txn.under_way(&step) = false;
        match (step, body) {
            (Step::FindCoordinator, ResponseBody::Txn(TxnResponse::FindCoordinator(error, node))) => {
                self.search_answered(node.filter(|_| !error.is_error()), io, shared);
            }
            (Step::FindGroup, ResponseBody::FindCoordinator(error, node)) => {
                match node.filter(|_| !error.is_error()) {
                    Some(node) => txn.group_coordinator = Some(node),
                    None => self.txn_back_off(false, None, io),
                }
            }
            (Step::Init, ResponseBody::Txn(TxnResponse::InitProducerId(error, producer))) => {
                self.init_answered(error, producer, io, shared);
            }
            (Step::AddPartitions(partitions), ResponseBody::Txn(TxnResponse::AddPartitions(error))) => {
                if self.step_went_well(error, io, shared)
                    && let Some(txn) = &mut self.txn
                {
                    txn.to_add.retain(|id| !partitions.contains(id));
                    txn.added.extend(partitions);
                    (txn.asked, txn.started) = (0, true);
                    self.serve_all(io, shared);
                }
            }
            (Step::AddOffsets, ResponseBody::Txn(TxnResponse::AddOffsets(error))) => {
                if self.step_went_well(error, io, shared)
                    && let Some(txn) = &mut self.txn
                {
                    txn.started = true;
                    if let Some(positions) = &mut txn.positions {
                        positions.added = true;
                    }
                }
            }
            (Step::Offsets, ResponseBody::OffsetCommit(results)) => {
                let error = results.iter().map(|(_, error)| *error).find(|error| error.is_error());
                self.positions_answered(error.unwrap_or_default(), io, shared);
            }
            (Step::End, ResponseBody::Txn(TxnResponse::End(error, producer))) => {
                self.end_answered(error, producer, io, shared);
            }
            _ => {}
        }
    }

    /// Whether there was no error; deals with it otherwise.
    fn step_went_well(&mut self, error: ErrorCode, io: &mut dyn Io, shared: &Shared) -> bool {
        let Some(txn) = &mut self.txn else { return false };
        let ending = matches!(txn.phase, Phase::Ending { .. });
        match error {
            ErrorCode::None => {
                txn.failures = 0;
                return true;
            }
            ErrorCode::CoordinatorNotAvailable | ErrorCode::NotCoordinator => {
                self.coordinator_is_none(io);
            }
            ErrorCode::ConcurrentTransactions => {
                let soon = (!ending && txn.phase == Phase::Open).then_some(CONCURRENT);
                self.txn_back_off(true, soon, io);
            }
            ErrorCode::CoordinatorLoadInProgress
            | ErrorCode::UnknownTopicOrPartition
            | ErrorCode::RequestTimedOut
            | ErrorCode::NotEnoughReplicas => self.txn_back_off(true, None, io),
            ErrorCode::TransactionAbortable if txn.phase != Phase::Initializing => {
                let error = outcome::error(error, ErrorClass::Refused, "the transaction can only be aborted");
                self.txn_failed(error, io, shared);
            }
            error => self.txn_fatal(error, io),
        }
        false
    }

    /// What the library calls an error that finishes its producer.
    pub(in crate::kafka::client) fn txn_error(&self, error: Error, code: ErrorCode) -> Error {
        let fenced = matches!(code, ErrorCode::ProducerFenced | ErrorCode::InvalidProducerEpoch);
        if fenced
            && error.class == ErrorClass::Fatal
            && self.settings.library.fenced_write == FencedWrite::Fatal
        {
            return Error { code: "_FENCED".into(), ..error };
        }
        error
    }

    /// What no transaction of this producer survives.
    fn txn_fatal(&mut self, error: ErrorCode, io: &mut dyn Io) {
        let fenced = matches!(error, ErrorCode::ProducerFenced | ErrorCode::InvalidProducerEpoch);
        let code = if fenced { ErrorCode::ProducerFenced } else { error };
        let message = if fenced {
            "a newer producer has the transactional id, or the transaction timed out"
        } else {
            "the coordinator refused the transaction"
        };
        let error = outcome::error(code, ErrorClass::Fatal, message);
        self.finish(self.txn_error(error, code), io);
    }

    fn init_answered(
        &mut self,
        error: ErrorCode,
        producer: ProducerIdAndEpoch,
        io: &mut dyn Io,
        shared: &Shared,
    ) {
        if self.step_went_well(error, io, shared) {
            self.txn_initialized(producer, io);
        }
    }

    fn end_answered(
        &mut self,
        error: ErrorCode,
        next: Option<ProducerIdAndEpoch>,
        io: &mut dyn Io,
        shared: &Shared,
    ) {
        if matches!(error, ErrorCode::CoordinatorNotAvailable | ErrorCode::NotCoordinator)
            && let Some(txn) = &mut self.txn
        {
            // It may have been written and the office lost before it could be said.
            txn.perhaps = true;
        }
        if self.step_went_well(error, io, shared) {
            self.txn_ended(next, io, shared);
        }
    }

    fn txn_initialized(&mut self, producer: ProducerIdAndEpoch, io: &mut dyn Io) {
        self.standing = Standing::Have(Identity { pid: producer.pid, epoch: producer.epoch });
        let Some(txn) = &mut self.txn else { return };
        txn.phase = Phase::Ready;
        txn.needs_bump = false;
        if let Some((op, _)) = txn.waiting.take() {
            io.emit(Output::Done(op, Outcome::Ok(())));
        }
        io.emit(Output::Room(io.node()));
    }

    fn positions_answered(&mut self, error: ErrorCode, io: &mut dyn Io, shared: &Shared) {
        match error {
            ErrorCode::None => {
                let Some(txn) = &mut self.txn else { return };
                txn.failures = 0;
                if let Some(positions) = txn.positions.take() {
                    io.emit(Output::Done(positions.op, Outcome::Ok(())));
                }
            }
            ErrorCode::CoordinatorNotAvailable
            | ErrorCode::NotCoordinator
            | ErrorCode::NotEnoughReplicas
            | ErrorCode::UnknownTopicOrPartition
            | ErrorCode::RequestTimedOut
            | ErrorCode::ConcurrentTransactions
            | ErrorCode::CoordinatorLoadInProgress => {
                if let Some(txn) = &mut self.txn {
                    txn.group_coordinator = None;
                }
                self.txn_back_off(true, None, io);
            }
            ErrorCode::InvalidProducerEpoch | ErrorCode::ProducerFenced => self.txn_fatal(error, io),
            error => {
                let error =
                    outcome::error(error, ErrorClass::Refused, "the group did not take the positions");
                self.txn_failed(error, io, shared);
            }
        }
    }

    /// The transaction is over; with version 2 this is what the producer goes on with.
    pub(super) fn txn_ended(&mut self, next: Option<ProducerIdAndEpoch>, io: &mut dyn Io, shared: &Shared) {
        if let Some(next) = next {
            self.standing = Standing::Have(Identity { pid: next.pid, epoch: next.epoch });
        }
        let Some(txn) = &mut self.txn else { return };
        if let (Phase::Ending { commit }, None) = (txn.phase, txn.waiting) {
            txn.unclaimed = Some(commit);
        }
        let bumps = txn.needs_bump && (txn.version == TransactionVersion::V1 || next.is_none());
        txn.phase = if bumps { Phase::Bumping } else { Phase::Ready };
        (txn.failed, txn.perhaps, txn.positions) = (None, false, None);
        if bumps {
            return self.txn_step(io, shared);
        }
        if let Some((op, _)) = txn.waiting.take() {
            io.emit(Output::Done(op, Outcome::Ok(())));
        }
        io.emit(Output::Room(io.node()));
    }
}
