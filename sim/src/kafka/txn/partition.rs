//! What a partition's log tells of transactions (rule D5).
//!
//! - A transaction is open from its first batch to its marker. The **last stable offset** is the first offset of
//!   any open transaction, or the high watermark if that is lower; a transaction counts as open until its marker
//!   is below the high watermark.
//! - Whoever reads at read_committed reads up to the last stable offset and is told which transactions that
//!   reach into what it reads were aborted, each from its first offset to its marker.
//! - A marker of an older coordinator is refused (52).
//!
//! All of it is made from the log alone, so a new leader knows what the old one knew (rule C4).

use super::messages::{Marker, ProducerIdAndEpoch};
use crate::kafka::{
    error::ErrorCode,
    protocol::{Entry, Payload},
};
use std::collections::BTreeMap;

/// A transaction without its marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Open {
    first: u64,
    epoch: u16,
}

/// A transaction with its marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Closed {
    pid: u64,
    first: u64,
    marker: u64,
    aborted: bool,
    /// The first offset of any transaction that was open when this one ended; the one behind its marker if none was.
    stable: u64,
}

/// The last marker of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LastMarker {
    coordinator_epoch: u32,
    offset: u64,
}

/// A transaction that was aborted, as a reader is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Aborted {
    /// Its producer id.
    pub pid: u64,
    /// Its first offset.
    pub first: u64,
}

/// The transactions of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::kafka) struct Transactions {
    open: BTreeMap<u64, Open>,
    /// In the order of their markers.
    closed: Vec<Closed>,
    markers: BTreeMap<u64, LastMarker>,
}

impl Transactions {
    /// This entry, which is a transaction's or a marker, is in the log.
    pub(in crate::kafka) fn wrote(&mut self, entry: &Entry) {
        if let Some(producer) = entry.batch.transaction() {
            let open = Open { first: entry.base_offset, epoch: producer.epoch };
            self.open.entry(producer.pid).or_insert(open).epoch = producer.epoch;
        }
        let Payload::Marker(marker) = &entry.batch.payload else { return };
        let (pid, offset) = (marker.producer.pid, entry.base_offset);
        let last = LastMarker { coordinator_epoch: marker.coordinator_epoch, offset };
        self.markers.insert(pid, last);
        if let Some(open) = self.open.remove(&pid) {
            let stable = self.open.values().map(|open| open.first).min().unwrap_or(offset + 1);
            self.closed.push(Closed {
                pid,
                first: open.first,
                marker: offset,
                aborted: !marker.commit,
                stable,
            });
        }
    }

    /// The last stable offset with this high watermark.
    pub(in crate::kafka) fn last_stable(&self, high_watermark: u64) -> u64 {
        let unreplicated = self.closed.iter().rev().take_while(|closed| closed.marker >= high_watermark);
        let firsts = self.open.values().map(|open| open.first).chain(unreplicated.map(|closed| closed.first));
        firsts.min().map_or(high_watermark, |first| first.min(high_watermark))
    }

    /// The aborted transactions that reach into the offsets from `from` to below `limit`.
    pub(in crate::kafka) fn aborted(&self, from: u64, limit: u64) -> Vec<Aborted> {
        let begin = self.closed.partition_point(|closed| closed.marker < from);
        let mut aborted = Vec::new();
        for closed in &self.closed[begin..] {
            if closed.aborted && closed.first < limit {
                aborted.push(Aborted { pid: closed.pid, first: closed.first });
            }
            if closed.stable >= limit {
                break;
            }
        }
        aborted
    }

    /// Whether a transaction of this producer is open.
    pub(in crate::kafka) fn is_open(&self, producer: ProducerIdAndEpoch) -> bool {
        self.open.get(&producer.pid).is_some_and(|open| open.epoch == producer.epoch)
    }

    /// Where the last marker of this producer id is: another one since means that its transaction is another one.
    pub(in crate::kafka) fn last_marker(&self, pid: u64) -> Option<u64> {
        self.markers.get(&pid).map(|marker| marker.offset)
    }

    /// Whether a marker comes from the coordinator that is in office, or a later one.
    pub(in crate::kafka) fn check_marker(&self, marker: &Marker) -> Result<(), ErrorCode> {
        match self.markers.get(&marker.producer.pid) {
            Some(last) if marker.coordinator_epoch < last.coordinator_epoch => {
                Err(ErrorCode::TransactionCoordinatorFenced)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::{
        protocol::{Batch, ProducerStamp},
        rules::TransactionVersion,
    };
    use squall_bus::{Record, Time, Topic};
    use std::sync::Arc;

    fn data(offset: u64, pid: u64, epoch: u16) -> Entry {
        let record = Record::new(&Topic::new("t"), None, "v".into());
        let stamp = ProducerStamp { pid, epoch, base_seq: 0, transactional: true };
        Entry::new(offset, 0, Arc::new(Batch::of_records(vec![record], Some(stamp), Time::ZERO)))
    }

    fn marker(offset: u64, pid: u64, commit: bool) -> Entry {
        let producer = ProducerIdAndEpoch { pid, epoch: 0 };
        let marker = Marker { producer, commit, coordinator_epoch: 3, version: TransactionVersion::V1 };
        Entry::new(offset, 0, Arc::new(Batch::of_marker(marker, Time::ZERO)))
    }

    /// Transactions of 1 (0 to 3, aborted), of 2 (1 to 5, committed) and of 3 (4, open).
    fn some() -> Transactions {
        let mut transactions = Transactions::default();
        for entry in [
            data(0, 1, 0),
            data(1, 2, 0),
            data(2, 1, 0),
            marker(3, 1, false),
            data(4, 3, 0),
            marker(5, 2, true),
        ] {
            transactions.wrote(&entry);
        }
        transactions
    }

    #[test]
    fn d5_the_last_stable_offset_is_the_first_of_any_open_transaction() {
        let transactions = some();
        assert_eq!(transactions.last_stable(6), 4, "3 is open from 4 on");
        assert_eq!(transactions.last_stable(4), 1, "the marker at 5 is not replicated: 2 is open from 1 on");
        assert_eq!(transactions.last_stable(3), 0, "neither is the one at 3");
        assert_eq!(Transactions::default().last_stable(7), 7);
    }

    #[test]
    fn d5_a_reader_is_told_of_the_aborted_transactions_that_reach_into_its_range() {
        let transactions = some();
        let first = Aborted { pid: 1, first: 0 };
        assert_eq!(transactions.aborted(0, 6), [first]);
        assert_eq!(transactions.aborted(3, 4), [first], "its marker is in the range");
        assert_eq!(transactions.aborted(4, 6), []);
        assert_eq!(transactions.aborted(0, 0), []);
    }

    #[test]
    fn d2_an_older_coordinator_is_fenced() {
        let transactions = some();
        let version = TransactionVersion::V1;
        let marker = |pid, coordinator_epoch| {
            let producer = ProducerIdAndEpoch { pid, epoch: 0 };
            transactions.check_marker(&Marker { producer, commit: true, coordinator_epoch, version })
        };
        assert_eq!(marker(1, 2), Err(ErrorCode::TransactionCoordinatorFenced));
        assert_eq!(marker(1, 3), Ok(()), "a repetition");
        assert_eq!(marker(9, 0), Ok(()));
    }
}
