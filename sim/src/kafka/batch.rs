//! Batches of records: what producers send, logs hold and consumers receive.
//!
//! A batch is shared by reference between clients, leaders and followers; nobody changes one.

use super::{
    group::{GroupSnapshot, consumer::ConsumerGroupRecord},
    protocol::{Few, GroupIx, PartitionId},
    txn::{
        messages::{Marker, ProducerIdAndEpoch},
        state::TxnSnapshot,
    },
};
use squall_bus::{Record, Time};
use std::sync::Arc;

/// Who wrote a batch, for deduplication (rule C3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProducerStamp {
    /// The producer id.
    pub pid: u64,
    /// The producer epoch.
    pub epoch: u16,
    /// The sequence number of the first record.
    pub base_seq: u32,
    /// Whether the batch is part of a transaction (rule D3).
    pub transactional: bool,
}

/// One offset that a group committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CommittedOffset {
    /// Of which partition.
    pub partition: PartitionId,
    /// The next record to read.
    pub offset: u64,
    /// The leader epoch of the last record read, if the client knew it.
    pub leader_epoch: Option<u32>,
    /// How many bytes of metadata are kept with it; what they say is its writer's business.
    pub metadata_bytes: u32,
}

/// What is in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A client's records.
    Records(Few<Record>),
    /// Offsets committed by a group, one record each.
    Offsets(GroupIx, Few<CommittedOffset>),
    /// A group's members and generation after a rebalance.
    Group(Arc<GroupSnapshot>),
    /// Offsets of a group within a transaction, one record each: they count once the transaction is committed.
    TxnOffsets(ProducerIdAndEpoch, GroupIx, Vec<CommittedOffset>),
    /// The end of a transaction: a control record.
    Marker(Marker),
    /// A transactional id after a change.
    Transaction(Arc<TxnSnapshot>),
    /// A group of the consumer protocol after a change.
    ConsumerGroup(Arc<ConsumerGroupRecord>),
    /// Tombstones of offsets that a group's log need not keep any more, one record each.
    OffsetsGone(GroupIx, Vec<PartitionId>),
    /// The tombstone of a group.
    GroupGone(GroupIx),
}

/// A batch of records, shared by everyone who holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// What is in it.
    pub payload: Payload,
    /// The producer's stamp, if it is idempotent.
    pub stamp: Option<ProducerStamp>,
    /// Bytes on the wire and on disk.
    pub bytes: u32,
    /// When it was made, by its maker's wall clock.
    pub timestamp: Time,
    /// Whether its checksum fits.
    pub intact: bool,
}

/// Bytes of a batch header (magic 2).
pub const BATCH_OVERHEAD: u32 = 61;
/// Bytes of a control record: a transaction's marker.
const MARKER_BYTES: u32 = 17;
/// Bytes around one record in a batch: length, attributes, deltas and the lengths of key and value.
pub const RECORD_OVERHEAD: u32 = 12;

/// The bytes that one record takes in a batch.
#[must_use]
pub fn record_bytes(record: &Record) -> u32 {
    let headers: usize = record.headers.iter().map(|header| header.name.len() + header.value.len() + 2).sum();
    let bytes = record.key.as_ref().map_or(0, bytes::Bytes::len) + record.value.len() + headers;
    RECORD_OVERHEAD.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX))
}

impl Batch {
    /// A batch of client records, intact, with its size counted.
    #[must_use]
    pub fn of_records(
        records: impl Into<Few<Record>>,
        stamp: Option<ProducerStamp>,
        timestamp: Time,
    ) -> Self {
        let records = records.into();
        let bytes =
            records.iter().fold(BATCH_OVERHEAD, |bytes, record| bytes.saturating_add(record_bytes(record)));
        Self { payload: Payload::Records(records), stamp, bytes, timestamp, intact: true }
    }

    /// A control batch that ends a transaction.
    #[must_use]
    pub fn of_marker(marker: Marker, timestamp: Time) -> Self {
        let bytes = BATCH_OVERHEAD + MARKER_BYTES;
        Self { payload: Payload::Marker(marker), stamp: None, bytes, timestamp, intact: true }
    }

    /// Whose transaction it is part of.
    #[must_use]
    pub fn transaction(&self) -> Option<ProducerIdAndEpoch> {
        match (&self.payload, self.stamp) {
            (Payload::TxnOffsets(producer, ..), _) => Some(*producer),
            (Payload::Records(_), Some(stamp)) if stamp.transactional => {
                Some(ProducerIdAndEpoch { pid: stamp.pid, epoch: stamp.epoch })
            }
            _ => None,
        }
    }

    /// How many records it has, and so how many offsets it takes.
    #[must_use]
    pub fn count(&self) -> u32 {
        match &self.payload {
            Payload::Records(records) => records.len() as u32,
            Payload::Offsets(_, offsets) => offsets.len() as u32,
            Payload::TxnOffsets(_, _, offsets) => offsets.len() as u32,
            Payload::OffsetsGone(_, partitions) => partitions.len() as u32,
            Payload::Group(_)
            | Payload::ConsumerGroup(_)
            | Payload::GroupGone(_)
            | Payload::Marker(_)
            | Payload::Transaction(_) => 1,
        }
    }

    /// The client's records; none in a control batch and in a batch of an internal topic.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        match &self.payload {
            Payload::Records(records) => records,
            _ => &[],
        }
    }
}

/// A batch at its place in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The offset of its first record.
    pub base_offset: u64,
    /// The leader epoch it was appended in.
    pub epoch: u32,
    /// How many offsets the batch takes.
    pub records: u32,
    /// The batch.
    pub batch: Arc<Batch>,
    /// What the log cleaner left of it, if it has been there (rule B12).
    pub kept: Option<Arc<Kept>>,
}

/// What the log cleaner left of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The places in the batch of the records that are left, rising. None may be: the last batch of a producer
    /// stays without its records.
    pub places: Box<[u32]>,
    /// Bytes of the batch with these.
    pub bytes: u32,
    /// Its tombstones go when the log is cleaned after this, by the cleaner's wall clock (KIP-534).
    pub delete_horizon: Option<Time>,
}

impl Entry {
    /// A batch at this offset, appended in this leader epoch.
    #[must_use]
    pub fn new(base_offset: u64, epoch: u32, batch: Arc<Batch>) -> Self {
        Self { base_offset, epoch, records: batch.count(), batch, kept: None }
    }

    /// Its bytes on the wire and on disk.
    #[must_use]
    pub fn bytes(&self) -> u32 {
        self.kept.as_ref().map_or(self.batch.bytes, |kept| kept.bytes)
    }

    /// How many of its records are left.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.kept.as_ref().map_or(self.records, |kept| kept.places.len() as u32)
    }

    /// The place in the batch of the record at this index among those that are left.
    #[must_use]
    pub fn place(&self, index: u32) -> u32 {
        self.kept.as_ref().map_or(index, |kept| kept.places[index as usize])
    }

    /// Whether the record at this place in the batch is left.
    #[must_use]
    pub fn has(&self, place: u32) -> bool {
        place < self.records
            && self.kept.as_ref().is_none_or(|kept| kept.places.binary_search(&place).is_ok())
    }

    /// The index, among the records that are left, of the first one at `offset` or behind it.
    #[must_use]
    pub fn index_at(&self, offset: u64) -> u32 {
        let place = offset.saturating_sub(self.base_offset).min(u64::from(self.records)) as u32;
        match &self.kept {
            None => place,
            Some(kept) => kept.places.partition_point(|kept| *kept < place) as u32,
        }
    }

    /// The offset behind its last record.
    #[must_use]
    pub fn end_offset(&self) -> u64 {
        self.base_offset + u64::from(self.records)
    }
}
