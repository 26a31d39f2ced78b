//! What becomes of the partitions that the coordinator is adding to a transaction: each library's own [`Adding`].
//!
//! - Forgotten: the transaction has begun once the coordinator was asked, also if it answers 51 since it is not done with
//!   the one before. An abort asks for its end at once, without the answer and whatever the back-off; a coordinator that
//!   has nothing to abort refuses that with INVALID_TXN_STATE, and the producer is finished.
//! - Finished: the transaction has begun once the coordinator has added something. An abort drops the partitions that were
//!   never asked for, and all of them if the transaction had failed before; the others are added first.
//!
//! Sources: librdkafka's `rdkafka_txnmgr.c` (`rd_kafka_txn_handle_AddPartitionsToTxn`, `rd_kafka_txn_op_begin_abort`,
//! `rd_kafka_txn_op_abort_transaction`); Java's `TransactionManager` (`beginAbort`, `nextRequest`).

use super::{Phase, Step};
use crate::kafka::client::{defaults::Adding, producer::Producer};
use squall_bus::Time;

impl Producer {
    /// The coordinator is asked for something that begins the transaction.
    pub(super) fn asked_to_begin(&mut self) {
        let begun = self.settings.library.adding == Adding::Forgotten;
        if let Some(txn) = &mut self.txn {
            txn.started |= begun;
        }
    }

    /// The transaction is to be aborted.
    pub(super) fn abort_adding(&mut self, now: Time) {
        let Some(txn) = &mut self.txn else { return };
        match self.settings.library.adding {
            Adding::Forgotten => {
                if txn.asked > 0 {
                    (txn.in_flight, txn.not_before) = (false, now);
                }
                txn.asked = 0;
            }
            Adding::Finished if txn.failed.is_some() => txn.asked = 0,
            Adding::Finished => {}
        }
        txn.to_add.truncate(txn.asked);
    }

    /// Whether nobody waits any more for what becomes of this request.
    pub(super) fn is_forgotten(&self, step: &Step) -> bool {
        let aborts = self.txn.as_ref().is_some_and(|txn| txn.phase == Phase::Ending { commit: false });
        aborts && matches!(step, Step::AddPartitions(_)) && self.settings.library.adding == Adding::Forgotten
    }
}
