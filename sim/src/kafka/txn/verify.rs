//! A leader asks before it lets a transaction begin in its partition (rules D3, D4).
//!
//! - The first write of a transaction to a partition waits for the coordinator's word. With version 1 the word is
//!   that the producer has added the partition (else 120, TRANSACTION_ABORTABLE); with version 2 the coordinator
//!   adds it now. Later writes of the transaction find it open in the log.
//! - A marker that was appended while the word was under way means that it speaks of an older transaction (48).
//! - Without [`verify_transactions`](crate::kafka::rules::Rules::verify_transactions) a write of version 1 that
//!   comes after its transaction's marker opens a transaction that nobody will end (KIP-890).
//! - What the coordinator says is answered in the words of Produce: fenced (90) is 47; trouble with the coordinator
//!   is 19 to version 1, which retries it, and 51 stays 51 to version 2.
//!
//! Source: KIP-890; `AddPartitionsToTxnManager` and `ReplicaManager` of Apache Kafka.

use super::{
    coordinator::home,
    messages::{ProduceTxn, ProducerIdAndEpoch, TxnOffsetCommitRequest, TxnRequest},
};
use crate::{
    kafka::{
        broker::{Broker, Env},
        conns::Busy,
        error::ErrorCode,
        links::Lane,
        protocol::{PartitionId, ProduceRequest, RequestBody},
        rules::TransactionVersion,
    },
    kernel::{ConnId, NodeId},
};
use squall_bus::Time;
use std::collections::BTreeMap;

/// What waits for a coordinator's word.
#[derive(Debug)]
enum Held {
    Produce(ConnId, u32, ProduceRequest),
    Offsets(ConnId, TxnOffsetCommitRequest),
}

/// A question that has no answer yet.
#[derive(Debug)]
struct Question {
    coordinator: NodeId,
    since: Time,
    version: TransactionVersion,
    pid: u64,
    /// The partitions asked about, with the last marker of the producer there.
    partitions: Vec<(PartitionId, Option<u64>)>,
    held: Held,
}

/// Questions under way.
#[derive(Debug, Default)]
pub(super) struct Verifications(BTreeMap<u64, Question>);

impl Broker {
    /// Whether a transactional write has to wait for the coordinator's word.
    fn needs_word(
        &self,
        id: PartitionId,
        producer: ProducerIdAndEpoch,
        txn: ProduceTxn,
        env: &Env<'_, '_>,
    ) -> bool {
        let asks = txn.version == TransactionVersion::V2 || env.rules.verify_transactions;
        let replica = self.replica(id).filter(|replica| replica.leading().is_some());
        let open = |replica: &crate::kafka::replica::Replica| {
            replica.producers.transactions().is_some_and(|transactions| transactions.is_open(producer))
        };
        asks && replica.is_some_and(|replica| !open(replica))
    }

    /// The request, if all that it writes may be appended now; else it waits.
    pub(in crate::kafka) fn verified(
        &mut self,
        conn: ConnId,
        correlation: u32,
        request: ProduceRequest,
        env: &mut Env<'_, '_>,
    ) -> Option<ProduceRequest> {
        let Some(txn) = request.txn else { return Some(request) };
        let txn = ProduceTxn { version: txn.version.min(env.rules.transaction_version), ..txn };
        let mut producer = None;
        let mut partitions = Vec::new();
        for (id, batch) in &request.batches {
            if let Some(writer) = batch.transaction()
                && self.needs_word(*id, writer, txn, env)
            {
                producer = Some(writer);
                partitions.push(*id);
            }
        }
        let Some(producer) = producer else { return Some(request) };
        if let Some(known) = self.conns.get_mut(conn) {
            known.busy = Busy::Group(correlation);
        }
        self.ask_word(txn, producer, &partitions, Held::Produce(conn, correlation, request), env);
        None
    }

    /// The request, if the group's coordinator may take it now; else it waits.
    pub(super) fn verified_offsets(
        &mut self,
        conn: ConnId,
        id: PartitionId,
        request: TxnOffsetCommitRequest,
        env: &mut Env<'_, '_>,
    ) -> Option<TxnOffsetCommitRequest> {
        let version = request.txn.version.min(env.rules.transaction_version);
        let (txn, producer) = (ProduceTxn { version, ..request.txn }, request.producer);
        if !self.needs_word(id, producer, txn, env) {
            return Some(request);
        }
        self.ask_word(txn, producer, &[id], Held::Offsets(conn, request), env);
        None
    }

    fn ask_word(
        &mut self,
        txn: ProduceTxn,
        producer: ProducerIdAndEpoch,
        partitions: &[PartitionId],
        held: Held,
        env: &mut Env<'_, '_>,
    ) {
        let (token, now) = (self.txns.token(), env.ctx.now());
        let leader = home(txn.txn, env).and_then(|id| env.image.partition(id)).and_then(|image| image.leader);
        let marker = |id: &PartitionId| {
            let transactions = self.replica(*id).and_then(|replica| replica.producers.transactions());
            transactions.and_then(|transactions| transactions.last_marker(producer.pid))
        };
        let question = Question {
            coordinator: leader.unwrap_or(self.me),
            since: now,
            version: txn.version,
            pid: producer.pid,
            partitions: partitions.iter().map(|id| (*id, marker(id))).collect(),
            held,
        };
        self.txns.verifications.0.insert(token, question);
        let Some(leader) = leader else {
            return self.no_word(token, ErrorCode::CoordinatorNotAvailable, env);
        };
        let (partitions, add) = (partitions.to_vec(), txn.version == TransactionVersion::V2);
        let request = TxnRequest::Verify { token, txn: txn.txn, producer, partitions, add };
        env.links.ask(leader, Lane::Verify, RequestBody::Txn(request), env.ctx);
        self.arm_txns(now + env.rules.transaction_request_timeout, env);
    }

    fn no_word(&mut self, token: u64, error: ErrorCode, env: &mut Env<'_, '_>) {
        let Some(question) = self.txns.verifications.0.get(&token) else { return };
        let results: Vec<(PartitionId, ErrorCode)> =
            question.partitions.iter().map(|(id, _)| (*id, error)).collect();
        self.word_given(token, &results, env);
    }

    /// The coordinator answered: what may be appended is.
    pub(super) fn word_given(
        &mut self,
        token: u64,
        results: &[(PartitionId, ErrorCode)],
        env: &mut Env<'_, '_>,
    ) {
        let Some(question) = self.txns.verifications.0.remove(&token) else { return };
        let mut refused = Vec::new();
        for (id, before) in &question.partitions {
            let said = results.iter().find(|(other, _)| other == id).map(|(_, error)| *error);
            let transactions = self.replica(*id).and_then(|replica| replica.producers.transactions());
            let now = transactions.and_then(|transactions| transactions.last_marker(question.pid));
            let error = match said.unwrap_or(ErrorCode::CoordinatorNotAvailable) {
                ErrorCode::None if now != *before => ErrorCode::InvalidTxnState,
                error => error,
            };
            if error.is_error() {
                refused.push((*id, error));
            }
        }
        match question.held {
            Held::Produce(conn, correlation, request) => {
                for (_, error) in &mut refused {
                    *error = produce_error(*error, question.version);
                }
                if let Some(known) = self.conns.get_mut(conn) {
                    known.busy = Busy::No;
                }
                self.append_request(conn, correlation, request, &refused, env);
                self.read_on(conn);
            }
            Held::Offsets(conn, request) => {
                let error = refused.first().map(|(_, error)| *error).unwrap_or_default();
                self.take_txn_offsets(conn, request, error, env);
            }
        }
    }

    /// The connection for questions to a broker broke.
    pub(in crate::kafka) fn verify_broke(&mut self, coordinator: NodeId, env: &mut Env<'_, '_>) {
        let questions = &self.txns.verifications.0;
        let lost: Vec<u64> = questions
            .iter()
            .filter(|(_, question)| question.coordinator == coordinator)
            .map(|(token, _)| *token)
            .collect();
        for token in lost {
            self.no_word(token, ErrorCode::CoordinatorNotAvailable, env);
        }
    }

    /// Gives up what was not answered in time.
    pub(super) fn verifications_due(&mut self, env: &mut Env<'_, '_>) {
        let (now, patience) = (env.ctx.now(), env.rules.transaction_request_timeout);
        let questions = self.txns.verifications.0.values();
        let late: Vec<NodeId> = questions
            .filter(|question| now.since(question.since) >= patience)
            .map(|question| question.coordinator)
            .collect();
        for coordinator in late {
            env.links.hang_up(coordinator, Lane::Verify, env.ctx);
            self.verify_broke(coordinator, env);
        }
        if let Some(since) = self.txns.verifications.0.values().map(|question| question.since).min() {
            self.arm_txns(since + patience, env);
        }
    }
}

/// What a producer is told of the coordinator's word.
fn produce_error(error: ErrorCode, version: TransactionVersion) -> ErrorCode {
    match error {
        ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
        ErrorCode::ConcurrentTransactions if version == TransactionVersion::V2 => error,
        ErrorCode::ConcurrentTransactions
        | ErrorCode::CoordinatorLoadInProgress
        | ErrorCode::CoordinatorNotAvailable
        | ErrorCode::NotCoordinator => ErrorCode::NotEnoughReplicas,
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `CONCURRENT_TRANSACTIONS` came with version 2; before it a producer is told to try again by an error it knows.
    #[test]
    fn d4_a_producer_hears_the_coordinators_word_in_errors_that_it_knows() {
        use ErrorCode as E;
        let told =
            |error| [TransactionVersion::V1, TransactionVersion::V2].map(|of| produce_error(error, of));
        assert_eq!(told(E::ConcurrentTransactions), [E::NotEnoughReplicas, E::ConcurrentTransactions]);
        for passing in [E::CoordinatorLoadInProgress, E::CoordinatorNotAvailable, E::NotCoordinator] {
            assert_eq!(told(passing), [E::NotEnoughReplicas; 2]);
        }
        assert_eq!(told(E::ProducerFenced), [E::InvalidProducerEpoch; 2]);
        assert_eq!(told(E::TransactionAbortable), [E::TransactionAbortable; 2]);
    }
}
