//! What travels between transactional producers, transaction coordinators and partition leaders.

use crate::{
    kafka::{
        error::ErrorCode,
        protocol::{CommittedOffset, GroupIx, MemberEpoch, PartitionId},
        rules::TransactionVersion,
    },
    kernel::{NodeId, mix},
};
use std::time::Duration;

/// A transactional id, interned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TxnIx(pub u32);

/// A producer id and its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerIdAndEpoch {
    /// The producer id.
    pub pid: u64,
    /// The epoch.
    pub epoch: u16,
}

impl ProducerIdAndEpoch {
    /// Whom an answer names that has nobody to name.
    pub const NONE: Self = Self { pid: u64::MAX, epoch: u16::MAX };

    fn digest(self) -> u64 {
        mix(self.pid, u64::from(self.epoch))
    }
}

/// How a transaction ends in a partition's log: the content of a control batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Marker {
    /// Whose transaction. With version 2 the epoch is the next one already.
    pub producer: ProducerIdAndEpoch,
    /// Committed, or aborted.
    pub commit: bool,
    /// The leader epoch of the coordinator's log partition.
    pub coordinator_epoch: u32,
    /// The version that ended the transaction.
    pub version: TransactionVersion,
}

/// A transactional producer's part of a Produce request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProduceTxn {
    /// The transactional id.
    pub txn: TxnIx,
    /// With version 2 the leader adds the partition to the transaction.
    pub version: TransactionVersion,
}

/// What can be asked about transactions.
#[derive(Clone, Debug)]
pub enum TxnRequest {
    /// Who coordinates this transactional id.
    FindCoordinator(TxnIx),
    /// A producer presents itself: older ones are fenced. `current` names itself, to have its epoch raised.
    InitProducerId {
        /// The transactional id.
        txn: TxnIx,
        /// `transaction.timeout.ms`.
        timeout: Duration,
        /// What the producer has, if it had one before (KIP-360).
        current: Option<ProducerIdAndEpoch>,
    },
    /// These partitions belong to the transaction (version 1).
    AddPartitions(TxnIx, ProducerIdAndEpoch, Vec<PartitionId>),
    /// Positions of this group will be part of the transaction (version 1).
    AddOffsets(TxnIx, ProducerIdAndEpoch, GroupIx),
    /// The transaction is to end.
    End {
        /// The transactional id.
        txn: TxnIx,
        /// Its producer.
        producer: ProducerIdAndEpoch,
        /// Commit, or abort.
        commit: bool,
        /// What the client speaks.
        version: TransactionVersion,
    },
    /// From a partition's leader: do these partitions belong to the transaction; with `add` they do from now on.
    Verify {
        /// Repeated by the answer.
        token: u64,
        /// The transactional id.
        txn: TxnIx,
        /// Who wants to write.
        producer: ProducerIdAndEpoch,
        /// Where.
        partitions: Vec<PartitionId>,
        /// Version 2.
        add: bool,
    },
    /// From a coordinator: put this marker into these partitions.
    WriteMarkers {
        /// Repeated by the answer.
        token: u64,
        /// The marker.
        marker: Marker,
        /// Where.
        partitions: Vec<PartitionId>,
    },
}

/// What can be answered; each variant answers the request of its name.
#[derive(Clone, Debug)]
pub enum TxnResponse {
    /// The coordinator, or why there is none.
    FindCoordinator(ErrorCode, Option<NodeId>),
    /// The producer's id and epoch.
    InitProducerId(ErrorCode, ProducerIdAndEpoch),
    /// All of them, or none.
    AddPartitions(ErrorCode),
    /// OK, or why not.
    AddOffsets(ErrorCode),
    /// With version 2 also what the producer goes on with.
    End(ErrorCode, Option<ProducerIdAndEpoch>),
    /// One result for each partition.
    Verify(u64, Vec<(PartitionId, ErrorCode)>),
    /// One result for each partition.
    WriteMarkers(u64, Vec<(PartitionId, ErrorCode)>),
}

/// Asks to keep a group's positions as part of a transaction.
#[derive(Clone, Debug)]
pub struct TxnOffsetCommitRequest {
    /// The transactional id and the version that the client speaks.
    pub txn: ProduceTxn,
    /// Who writes.
    pub producer: ProducerIdAndEpoch,
    /// The group.
    pub group: GroupIx,
    /// The member of the group and its generation, if the application said so (KIP-447).
    pub member: Option<MemberEpoch>,
    /// The offsets.
    pub offsets: Vec<CommittedOffset>,
}

impl TxnRequest {
    pub(in crate::kafka) fn digest(&self) -> u64 {
        match self {
            Self::FindCoordinator(txn) => mix(1, u64::from(txn.0)),
            Self::InitProducerId { txn, .. } => mix(2, u64::from(txn.0)),
            Self::AddPartitions(txn, producer, partitions) => {
                places(mix(mix(3, u64::from(txn.0)), producer.digest()), partitions)
            }
            Self::AddOffsets(txn, producer, group) => {
                mix(mix(mix(4, u64::from(txn.0)), producer.digest()), u64::from(group.0))
            }
            Self::End { txn, producer, commit, .. } => {
                mix(mix(mix(5, u64::from(txn.0)), producer.digest()), u64::from(*commit))
            }
            Self::Verify { producer, partitions, .. } => places(mix(6, producer.digest()), partitions),
            Self::WriteMarkers { marker, partitions, .. } => {
                places(mix(mix(7, marker.producer.digest()), u64::from(marker.commit)), partitions)
            }
        }
    }
}

impl TxnResponse {
    pub(in crate::kafka) fn digest(&self) -> u64 {
        let each = |hash, results: &[(PartitionId, ErrorCode)]| {
            results.iter().fold(hash, |hash, (id, error)| mix(mix(hash, id.word()), *error as u64))
        };
        match self {
            Self::FindCoordinator(error, node) => {
                mix(mix(1, *error as u64), node.map_or(u64::MAX, |node| u64::from(node.0)))
            }
            Self::InitProducerId(error, producer) => mix(mix(2, *error as u64), producer.digest()),
            Self::AddPartitions(error) => mix(3, *error as u64),
            Self::AddOffsets(error) => mix(4, *error as u64),
            Self::End(error, producer) => {
                mix(mix(5, *error as u64), producer.map_or(0, ProducerIdAndEpoch::digest))
            }
            Self::Verify(_, results) => each(6, results),
            Self::WriteMarkers(_, results) => each(7, results),
        }
    }
}

impl TxnOffsetCommitRequest {
    pub(in crate::kafka) fn digest(&self) -> u64 {
        let hash = mix(self.producer.digest(), u64::from(self.group.0));
        self.offsets.iter().fold(hash, |hash, offset| mix(mix(hash, offset.partition.word()), offset.offset))
    }
}

fn places(hash: u64, partitions: &[PartitionId]) -> u64 {
    partitions.iter().fold(hash, |hash, id| mix(hash, id.word()))
}
