//! A group's positions within transactions, at the group's coordinator (rule D6).
//!
//! - TxnOffsetCommit names the producer and, if the application says so (KIP-447), the member of the group and its
//!   generation: a stranger is refused with 25, another generation with 22. A rebalance that is being completed
//!   does not refuse it, unlike a plain commit.
//! - The positions are appended at once and count from the commit's marker on; an abort drops them. Until then
//!   whoever asks for stable positions of these partitions hears 88.
//! - Like any write of a transaction, the first one to the group's partition is verified
//!   ([`verify`](super::verify)).
//!
//! Source: KIP-98, KIP-447; `GroupMetadataManager` of Apache Kafka.

use super::messages::{Marker, ProducerIdAndEpoch, TxnOffsetCommitRequest};
use crate::{
    kafka::{
        broker::{Broker, Env},
        conns::Busy,
        coordinator::{Coordinator, offsets_partition_of},
        error::ErrorCode,
        protocol::{CommittedOffset, GroupIx, PartitionId},
    },
    kernel::{ConnId, Mark},
};
use std::collections::BTreeMap;

/// Positions of transactions that are not over, in one partition of the offsets topic, by producer id.
#[derive(Clone, Debug, Default)]
pub(in crate::kafka) struct TxnOffsets(BTreeMap<u64, Vec<(GroupIx, CommittedOffset)>>);

impl TxnOffsets {
    /// Positions that a transaction wrote.
    pub(in crate::kafka) fn wrote(
        &mut self,
        producer: ProducerIdAndEpoch,
        group: GroupIx,
        offsets: &[CommittedOffset],
    ) {
        self.0.entry(producer.pid).or_default().extend(offsets.iter().map(|offset| (group, *offset)));
    }

    /// A transaction ended: the positions that count from now on.
    pub(in crate::kafka) fn ended(&mut self, marker: &Marker) -> Vec<(GroupIx, CommittedOffset)> {
        let offsets = self.0.remove(&marker.producer.pid).unwrap_or_default();
        if marker.commit { offsets } else { Vec::new() }
    }

    /// Whether a transaction may still change one of these positions of a group.
    pub(in crate::kafka) fn is_unstable(&self, group: GroupIx, partitions: &[PartitionId]) -> bool {
        let mut open = self.0.values().flatten();
        open.any(|(other, offset)| *other == group && partitions.contains(&offset.partition))
    }
}

impl Broker {
    /// Positions of a group as part of a transaction.
    pub(in crate::kafka) fn txn_offset_commit(
        &mut self,
        conn: ConnId,
        correlation: u32,
        request: TxnOffsetCommitRequest,
        env: &mut Env<'_, '_>,
    ) {
        if let Some(known) = self.conns.get_mut(conn) {
            known.busy = Busy::Group(correlation);
        }
        let id = offsets_partition_of(request.group, env.names, env.image);
        if let Err(error) = self.coordinator.coordinates(id.partition) {
            return self.coordinator.refuse_offsets(conn, &request.offsets, error);
        }
        if let Some(request) = self.verified_offsets(conn, id, request, env) {
            self.take_txn_offsets(conn, request, ErrorCode::None, env);
        }
    }

    /// The transaction's coordinator has said what it thinks of it.
    pub(super) fn take_txn_offsets(
        &mut self,
        conn: ConnId,
        request: TxnOffsetCommitRequest,
        error: ErrorCode,
        env: &mut Env<'_, '_>,
    ) {
        let error = match error {
            ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
            error => error,
        };
        let id = offsets_partition_of(request.group, env.names, env.image);
        let replica = self.replica(id);
        let fenced = replica.and_then(|replica| replica.producers.epoch(request.producer.pid));
        let refused = if error.is_error() {
            Some(error)
        } else if fenced > Some(request.producer.epoch) {
            Some(ErrorCode::InvalidProducerEpoch)
        } else {
            None
        };
        match refused {
            Some(error) => self.coordinator.refuse_offsets(conn, &request.offsets, error),
            None => self.coordinator.take_txn_offsets(id.partition, conn, request, env),
        }
    }
}

impl Coordinator {
    /// Checks the member, and writes the positions.
    fn take_txn_offsets(
        &mut self,
        partition: u32,
        conn: ConnId,
        request: TxnOffsetCommitRequest,
        env: &mut Env<'_, '_>,
    ) {
        let checked = match &request.member {
            Some(member) if env.rules.check_transaction_generation => {
                self.check_txn_commit(partition, request.group, member)
            }
            _ => Ok(()),
        };
        if let Err(error) = checked {
            env.ctx.mark(Mark::CommitRefused);
            return self.refuse_offsets(conn, &request.offsets, error);
        }
        let TxnOffsetCommitRequest { producer, group, offsets, .. } = request;
        self.append_txn_offsets(partition, conn, producer, group, offsets, env);
    }
}
