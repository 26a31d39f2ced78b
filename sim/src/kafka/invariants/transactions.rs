//! Transactions: states follow each other as they may, one coordinator speaks for a coordinator epoch, every marker
//! is a decision that was made, and with version 2 nothing is written under an epoch that has its marker.

use super::committed::{Touched, name, replica};
use crate::{
    kafka::{
        Kafka, Touch,
        broker::Broker,
        by_partition::ByPartition,
        protocol::Payload,
        replica::Replica,
        rules::TransactionVersion,
        server::Server,
        txn::{
            messages::TxnIx,
            state::{TxnSnapshot, TxnState},
        },
    },
    kernel::{Invariant, NodeId},
};
use squall_bus::Time;
use std::collections::BTreeMap;

/// How the transactions of one producer epoch may end: with a commit, with an abort.
#[derive(Clone, Copy, Debug, Default)]
struct Decided {
    commit: bool,
    abort: bool,
}

/// How far a log was looked at, and the epoch of each producer's last marker of version 2.
#[derive(Clone, Debug, Default)]
struct Looked {
    cuts: u32,
    end: u64,
    over: BTreeMap<u64, u16>,
}

/// The shadow of every coordinator and of every log that has transactions.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    known: BTreeMap<TxnIx, (u32, TxnSnapshot)>,
    decided: BTreeMap<(u64, u16), Decided>,
    logs: ByPartition<BTreeMap<NodeId, Looked>>,
}

/// What these brokers say of a transactional id as coordinators, with their epochs.
fn said(model: &Kafka, txn: TxnIx, of: fn(&Server) -> Option<&Broker>) -> Vec<(u32, &TxnSnapshot)> {
    let all = model.servers.iter().filter_map(of).flat_map(|broker| broker.txns.transactions());
    all.filter(|(_, kept)| kept.txn == txn).collect()
}

/// Whether a state may be seen after another: directly, or completed within one event.
fn may_be_seen(state: TxnState, before: TxnState) -> bool {
    let prepared = match state {
        TxnState::CompleteCommit => Some(TxnState::PrepareCommit),
        TxnState::CompleteAbort => Some(TxnState::PrepareAbort),
        _ => None,
    };
    state.may_follow(before) || prepared.is_some_and(|prepared| prepared.may_follow(before))
}

impl Transactions {
    fn coordinated(&mut self, model: &Kafka, txn: TxnIx) -> Result<(), String> {
        for (_, kept) in said(model, txn, Server::data) {
            self.decide(kept);
        }
        // One that nobody reaches yet may know less in its former epoch than its process before knew.
        let said = said(model, txn, Server::listening);
        let Some((epoch, kept)) = said.iter().max_by_key(|(epoch, _)| *epoch).copied() else {
            return Ok(());
        };
        let id = model.shared.names.transaction(txn);
        if said.iter().filter(|(other, _)| *other == epoch).count() > 1 {
            return Err(format!("{id}: two coordinators have the epoch {epoch}"));
        }
        let before = self.known.insert(txn, (epoch, kept.clone()));
        if let Some((known, before)) = before
            && known == epoch
            && before != *kept
            && !may_be_seen(kept.state, before.state)
        {
            return Err(format!("{id}: {:?} follows {:?}", kept.state, before.state));
        }
        Ok(())
    }

    fn decide(&mut self, kept: &TxnSnapshot) {
        let (pid, epoch) = match kept.previous_pid {
            Some(pid) if kept.producer.epoch == 0 => (pid, i16::MAX as u16),
            _ => (kept.producer.pid, kept.producer.epoch),
        };
        let decided = match kept.state {
            TxnState::PrepareCommit | TxnState::CompleteCommit => Decided { commit: true, abort: false },
            TxnState::PrepareAbort | TxnState::CompleteAbort => Decided { commit: false, abort: true },
            _ => return,
        };
        let known = self.decided.entry((pid, epoch)).or_default();
        known.commit |= decided.commit;
        known.abort |= decided.abort;
    }
}

/// Looks at what was written in a log with transactions.
fn written_since(
    model: &Kafka,
    touched: &Touched,
    logs: &mut ByPartition<BTreeMap<NodeId, Looked>>,
    decided: &BTreeMap<(u64, u16), Decided>,
) -> Result<(), String> {
    let Touched { node, id, .. } = *touched;
    let Some(replica) = replica(model, node, id) else { return Ok(()) };
    let looked = logs.place(id).get_or_insert_default().entry(node).or_default();
    look(looked, decided, replica).map_err(|says| format!("{}: {says}", name(model, id)))
}

fn look(
    looked: &mut Looked,
    decided: &BTreeMap<(u64, u16), Decided>,
    replica: &Replica,
) -> Result<(), String> {
    if replica.cuts != looked.cuts || replica.log.end() < looked.end {
        *looked = Looked { cuts: replica.cuts, ..Looked::default() };
    }
    if replica.log.end() == looked.end {
        return Ok(());
    }
    for entry in &replica.log.entries()[replica.log.index_of(looked.end)..] {
        looked.end = entry.end_offset();
        let offset = entry.base_offset;
        if let Some(producer) = entry.batch.transaction()
            && looked.over.get(&producer.pid).is_some_and(|over| producer.epoch < *over)
        {
            return Err(format!("offset {offset} is written under an epoch that is over"));
        }
        let Payload::Marker(marker) = &entry.batch.payload else { continue };
        let producer = marker.producer;
        if marker.version == TransactionVersion::V2 {
            looked.over.insert(producer.pid, producer.epoch);
        }
        let made = decided.get(&(producer.pid, producer.epoch)).copied().unwrap_or_default();
        if !(if marker.commit { made.commit } else { made.abort }) {
            return Err(format!("the marker at offset {offset} was never decided"));
        }
    }
    Ok(())
}

impl Invariant<Kafka> for Transactions {
    fn name(&self) -> &'static str {
        "Transactions"
    }

    fn source(&self) -> &'static str {
        "KIP-98 and KIP-890; TransactionState of Apache Kafka; ClientsHaveDifferentProducerEpochs of the Kafka \
         transaction specification"
    }

    fn kinds(&self) -> u8 {
        Touch::TRANSACTIONAL | Touch::TRANSACTION
    }

    fn after(&mut self, model: &Kafka, touched: &[Touch], _: Time) -> Result<(), String> {
        for touch in touched {
            if let Touch::Transaction(txn) = *touch {
                self.coordinated(model, txn)?;
            }
        }
        // Without a replica among it, what was looked up is an earlier event's.
        if !touched.iter().any(|touch| matches!(touch, Touch::Replica(..))) {
            return Ok(());
        }
        let Self { logs, decided, .. } = self;
        let shared = model.committed.borrow();
        let mut written = shared.touched.iter().filter(|touched| touched.transactional);
        written.try_for_each(|touched| written_since(model, touched, logs, decided))
    }

    fn full(&self, model: &Kafka) -> Result<(), String> {
        for id in self.logs.ids() {
            for node in (0..model.shared.servers).map(NodeId) {
                if let Some(replica) = replica(model, node, id) {
                    look(&mut Looked::default(), &self.decided, replica)
                        .map_err(|says| format!("{}: {says}", name(model, id)))?;
                }
            }
        }
        Ok(())
    }
}
