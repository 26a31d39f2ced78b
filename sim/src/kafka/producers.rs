//! What a replica remembers of idempotent and transactional producers (rules C3, C4, D5).
//!
//! Per producer id: its epoch and its last few batches. It is made from the log alone, so a new leader knows
//! what the old one knew of everything that was replicated.
//! - A batch that equals one remembered is answered with the original offset.
//! - The next sequence number must follow the last one (wrapping at 2^31 - 1); a new epoch begins at 0.
//! - A producer that is not remembered may begin anywhere. One that has written nothing for
//!   `producer.id.expiration.ms`, by the time stamps of its batches and the broker's wall clock, is forgotten.

use super::{
    by_pid::ByPid,
    error::ErrorCode,
    log::Log,
    protocol::{Entry, Payload, ProducerStamp},
    rules::TransactionVersion,
    txn::{messages::Marker, partition::Transactions},
};
use smallvec::SmallVec;
use squall_bus::Time;
use std::time::Duration;

const LAST_SEQUENCE: u32 = i32::MAX as u32;

/// The sequence number so many records after this one.
const fn sequence_after(sequence: u32, records: u32) -> u32 {
    (sequence.wrapping_add(records)) & LAST_SEQUENCE
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Written {
    base_seq: u32,
    records: u32,
    base_offset: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Producer {
    epoch: u16,
    /// The time stamp of its last batch.
    last: Time,
    /// In place: Kafka remembers five, and one more is there while the first of them is forgotten.
    batches: SmallVec<[Written; 6]>,
}

/// What a leader makes of a stamped batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checked {
    /// It is new and in sequence.
    Next,
    /// It is in the log already, at this offset.
    Duplicate(u64),
    /// It is refused.
    Refused(ErrorCode),
}

/// All producers of one replica.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Producers {
    known: ByPid<Producer>,
    /// Nothing until the log has something of a transaction.
    transactions: Option<Box<Transactions>>,
}

impl Producers {
    /// These, and what a log tells of: each with at most so many batches.
    pub(super) fn with_log(mut self, log: &Log, remember: u32) -> Self {
        // What the log tells of transactions is all there is to know.
        self.transactions = None;
        for entry in log.entries() {
            self.wrote(entry, remember);
        }
        self
    }

    /// Forgets producers that have written nothing for so long.
    pub(super) fn expire(&mut self, wall: Time, limit: Duration) {
        self.known.retain(|producer| wall.since(producer.last) < limit);
    }

    /// Whether this is the last batch of a producer that is remembered.
    pub(super) fn last_batch_is(&self, entry: &Entry) -> bool {
        entry.batch.stamp.is_some_and(|stamp| {
            self.known
                .get(stamp.pid)
                .and_then(|producer| producer.batches.last())
                .is_some_and(|last| last.base_offset == entry.base_offset)
        })
    }

    /// What to make of a batch with this stamp and so many records.
    pub(super) fn check(&self, stamp: ProducerStamp, records: u32) -> Checked {
        let Some(producer) = self.known.get(stamp.pid) else { return Checked::Next };
        if stamp.epoch < producer.epoch {
            return Checked::Refused(ErrorCode::InvalidProducerEpoch);
        }
        if stamp.epoch > producer.epoch {
            return match stamp.base_seq {
                0 => Checked::Next,
                _ => Checked::Refused(ErrorCode::OutOfOrderSequenceNumber),
            };
        }
        let known = |batch: &&Written| batch.base_seq == stamp.base_seq && batch.records == records;
        if let Some(batch) = producer.batches.iter().find(known) {
            return Checked::Duplicate(batch.base_offset);
        }
        match producer.batches.last() {
            Some(last) if sequence_after(last.base_seq, last.records) != stamp.base_seq => {
                Checked::Refused(ErrorCode::OutOfOrderSequenceNumber)
            }
            // Its epoch began with a marker.
            None if stamp.base_seq != 0 => Checked::Refused(ErrorCode::OutOfOrderSequenceNumber),
            _ => Checked::Next,
        }
    }

    /// The transactions that the log tells of, if it tells of any.
    pub(super) fn transactions(&self) -> Option<&Transactions> {
        self.transactions.as_deref()
    }

    /// The last epoch of a producer id.
    pub(super) fn epoch(&self, pid: u64) -> Option<u16> {
        self.known.get(pid).map(|producer| producer.epoch)
    }

    /// Whether the end of a transaction may be appended.
    pub(super) fn check_marker(&self, marker: &Marker) -> Result<(), ErrorCode> {
        let over = match marker.version {
            TransactionVersion::V1 => self.epoch(marker.producer.pid) > Some(marker.producer.epoch),
            TransactionVersion::V2 => self.epoch(marker.producer.pid) >= Some(marker.producer.epoch),
        };
        if over {
            return Err(ErrorCode::InvalidProducerEpoch);
        }
        self.transactions().map_or(Ok(()), |transactions| transactions.check_marker(marker))
    }

    /// This entry is in the log.
    pub(super) fn wrote(&mut self, entry: &Entry, remember: u32) {
        let Some(stamp) = entry.batch.stamp else { return self.wrote_unnumbered(entry) };
        if stamp.transactional {
            self.transactions.get_or_insert_default().wrote(entry);
        }
        let producer = self.known.or_default(stamp.pid);
        if producer.epoch != stamp.epoch {
            producer.epoch = stamp.epoch;
            producer.batches.clear();
        }
        producer.last = entry.batch.timestamp;
        let (records, base_offset) = (entry.records, entry.base_offset);
        producer.batches.push(Written { base_seq: stamp.base_seq, records, base_offset });
        while producer.batches.len() > remember as usize {
            producer.batches.remove(0);
        }
    }

    /// An entry without sequence numbers: it may be a marker, or positions within a transaction.
    fn wrote_unnumbered(&mut self, entry: &Entry) {
        let producer = match &entry.batch.payload {
            Payload::Marker(marker) => marker.producer,
            Payload::TxnOffsets(producer, ..) => *producer,
            _ => return,
        };
        self.transactions.get_or_insert_default().wrote(entry);
        let known = self.known.or_default(producer.pid);
        if known.epoch != producer.epoch {
            *known = Producer { epoch: producer.epoch, ..Producer::default() };
        }
        known.last = entry.batch.timestamp;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::protocol::Batch;
    use crate::kafka::segments::SegmentLimits;
    use squall_bus::{Record, Topic};
    use std::sync::Arc;

    const LIMITS: SegmentLimits = SegmentLimits { bytes: u64::MAX, age: Duration::MAX };

    fn stamp(epoch: u16, base_seq: u32) -> ProducerStamp {
        ProducerStamp { pid: 7, epoch, base_seq, transactional: false }
    }

    fn producers(batches: &[(u16, u32)], remember: u32) -> Producers {
        let mut log = Log::default();
        for (epoch, seq) in batches {
            let record = Record::new(&Topic::new("t"), None, "v".into());
            let batch = Arc::new(Batch::of_records(vec![record; 2], Some(stamp(*epoch, *seq)), Time::ZERO));
            log.append(Entry::new(log.end(), 0, batch), LIMITS);
        }
        Producers::default().with_log(&log, remember)
    }

    #[test]
    fn c3_five_batches_are_remembered() {
        let producers = producers(&[(0, 0), (0, 2), (0, 4), (0, 6), (0, 8), (0, 10)], 5);
        assert_eq!(producers.check(stamp(0, 2), 2), Checked::Duplicate(2));
        assert_eq!(producers.check(stamp(0, 12), 2), Checked::Next);
        let out_of_order = Checked::Refused(ErrorCode::OutOfOrderSequenceNumber);
        assert_eq!(producers.check(stamp(0, 0), 2), out_of_order, "the sixth from the end is forgotten");
        assert_eq!(producers.check(stamp(0, 14), 2), out_of_order);
        assert_eq!(producers.check(stamp(0, 2), 1), out_of_order, "another batch at that place");
    }

    #[test]
    fn c3_epochs_fence_and_begin_at_zero() {
        let producers = producers(&[(3, 0)], 5);
        assert_eq!(producers.check(stamp(2, 2), 2), Checked::Refused(ErrorCode::InvalidProducerEpoch));
        assert_eq!(producers.check(stamp(4, 0), 2), Checked::Next);
        assert_eq!(producers.check(stamp(4, 2), 2), Checked::Refused(ErrorCode::OutOfOrderSequenceNumber));
    }

    #[test]
    fn c3_an_unknown_producer_may_begin_anywhere() {
        assert_eq!(Producers::default().check(stamp(0, 99), 1), Checked::Next);
    }

    #[test]
    fn c3_a_producer_is_forgotten_a_day_after_its_last_batch() {
        let mut producers = producers(&[(0, 0), (0, 2)], 5);
        let day = Duration::from_secs(86_400);
        producers.expire(Time::ZERO + (day - Duration::from_millis(1)), day);
        assert_eq!(producers.check(stamp(0, 2), 2), Checked::Duplicate(2));
        producers.expire(Time::ZERO + day, day);
        assert_eq!(producers.check(stamp(0, 2), 2), Checked::Next, "any sequence number will do");
    }

    #[test]
    fn c3_sequence_numbers_wrap() {
        let producers = producers(&[(0, LAST_SEQUENCE)], 5);
        assert_eq!(producers.check(stamp(0, 1), 2), Checked::Next);
    }
}
