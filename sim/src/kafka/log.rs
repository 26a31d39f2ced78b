//! A replica's log: batches at their offsets, in segments, and where each leader epoch begins.
//!
//! - It begins at its start offset: what lies before it is deleted, or is about to be. Behind a cleaned part
//!   offsets may have gaps; they are never given out again.
//! - The epoch cache answers where an epoch ends: the largest epoch that is not above the one asked for, and the
//!   offset where the next one begins (rule B5, `LeaderEpochFileCache` of Apache Kafka).
//! - Nothing here is synced: the log knows how many bytes each prefix takes in its file, and the disk says how
//!   many survived (rule B7).

use super::{
    protocol::Entry,
    segments::{Segment, SegmentLimits, Segments},
};
use smallvec::SmallVec;

/// A log that is begun has room for so many batches.
const FIRST_ROOM: usize = 32;

/// A replica's log.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    entries: Vec<Entry>,
    /// The length of the file up to the end of each entry.
    file_ends: Vec<u64>,
    /// The length of the file up to the first entry: what was deleted before it.
    file_start: u64,
    /// (epoch, first offset), rising in both.
    epochs: SmallVec<[(u32, u64); 2]>,
    segments: Segments,
    start: u64,
    end: u64,
    /// Below this offset records may be missing that were cleaned away.
    sparse_below: u64,
    /// Everything below was cleaned at least once (Kafka's cleaner checkpoint).
    cleaned: u64,
}

impl Log {
    /// The first offset that may be read (Kafka's log start offset).
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// Its segments, in order.
    pub(super) fn segments(&self) -> &[Segment] {
        self.segments.list()
    }

    /// Below this offset records may be missing that were cleaned away.
    pub(super) fn sparse_below(&self) -> u64 {
        self.sparse_below
    }

    /// Everything below was cleaned at least once.
    pub(super) fn cleaned(&self) -> u64 {
        self.cleaned.max(self.start)
    }

    /// The offset behind the last record (Kafka's LEO).
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// All entries.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Where each leader epoch begins.
    #[cfg(test)]
    pub(super) fn epochs(&self) -> &[(u32, u64)] {
        &self.epochs
    }

    /// The epoch of the last record.
    pub(super) fn last_epoch(&self) -> Option<u32> {
        self.entries.last().map(|entry| entry.epoch)
    }

    /// How many bytes the file has.
    pub(super) fn file_len(&self) -> u64 {
        self.file_ends.last().copied().unwrap_or(self.file_start)
    }

    /// A leader begins its epoch at the end of the log.
    pub(super) fn begin_epoch(&mut self, epoch: u32) {
        if self.epochs.last().is_none_or(|(last, _)| *last < epoch) {
            self.drop_epochs_from(self.end);
            self.epochs.push((epoch, self.end));
        }
    }

    /// Appends at the end, or behind a gap that the leader's cleaner left; whether that began a new segment.
    pub(super) fn append(&mut self, entry: Entry, limits: SegmentLimits) -> bool {
        debug_assert!(entry.base_offset >= self.end);
        if entry.base_offset > self.end || entry.kept.is_some() {
            self.sparse_below = entry.end_offset();
        }
        if self.epochs.last().is_none_or(|(last, _)| *last != entry.epoch) {
            // An older epoch comes behind one that began here and had no records.
            self.drop_epochs_from(self.end);
            self.epochs.push((entry.epoch, entry.base_offset));
        }
        if self.entries.capacity() == 0 {
            self.entries.reserve_exact(FIRST_ROOM);
            self.file_ends.reserve_exact(FIRST_ROOM);
        }
        self.end = entry.end_offset();
        self.file_ends.push(self.file_len() + u64::from(entry.bytes()));
        let rolled = self.segments.append(&entry, limits);
        self.entries.push(entry);
        rolled
    }

    /// An epoch that begins where another one does had no records: only the later one counts.
    fn drop_epochs_from(&mut self, offset: u64) {
        while self.epochs.last().is_some_and(|(_, start)| *start >= offset) {
            self.epochs.pop();
        }
    }

    /// Cuts the log to `offset`; a batch that reaches beyond it goes whole.
    pub(super) fn truncate(&mut self, offset: u64) {
        if offset >= self.end {
            return;
        }
        let keep = self.entries.partition_point(|entry| entry.end_offset() <= offset);
        self.cut_entries(keep, offset);
    }

    /// Cuts the log to what fits into so many bytes of its file.
    pub(super) fn truncate_file(&mut self, len: u64) {
        self.file_start = self.file_start.min(len);
        let keep = self.file_ends.partition_point(|end| *end <= len);
        if keep < self.entries.len() {
            let end = keep.checked_sub(1).map_or(self.start, |last| self.entries[last].end_offset());
            self.cut_entries(keep, end);
        }
    }

    fn cut_entries(&mut self, keep: usize, end: u64) {
        // A cut within a gap leaves the end there; a cut within a batch leaves it before the batch.
        self.end = self.entries.get(keep).map_or(end, |entry| entry.base_offset.min(end));
        self.entries.truncate(keep);
        self.file_ends.truncate(keep);
        self.drop_epochs_from(self.end);
        self.segments.cut(self.end, &self.entries);
        self.start = self.start.min(self.end);
        self.cleaned = self.cleaned.min(self.end);
        self.sparse_below = self.sparse_below.min(self.end);
    }

    /// Drops everything and begins anew at `offset`: the leader's log begins behind the end of this one.
    pub(super) fn restart_at(&mut self, offset: u64) {
        *self = Self { start: offset, end: offset, sparse_below: offset, ..Self::default() };
    }

    /// Raises the first offset that may be read; whether it rose. A segment that lies before it stays on disk until
    /// retention drops it, and so does the part of one that reaches beyond it.
    pub(super) fn raise_start(&mut self, offset: u64) -> bool {
        let rises = offset > self.start;
        if rises {
            self.start = offset.min(self.end);
            self.forget_epochs_before(self.start);
        }
        rises
    }

    /// The epoch that the log begins in begins where the log does.
    fn forget_epochs_before(&mut self, start: u64) {
        let past = self.epochs.partition_point(|(_, begin)| *begin <= start);
        if past > 0 {
            self.epochs[past - 1].1 = start;
            self.epochs.drain(..past - 1);
        }
    }

    /// Deletes the first so many segments, and returns their entries; the log begins behind them.
    pub(super) fn drop_segments(&mut self, count: usize) -> Vec<Entry> {
        if count == self.segments().len() {
            self.segments.roll(self.end);
        }
        let Some(base) = self.segments().get(count).map(|segment| segment.base_offset) else {
            return Vec::new();
        };
        let dropped = self.entries.partition_point(|entry| entry.base_offset < base);
        if dropped > 0 {
            self.file_start = self.file_ends[dropped - 1];
        }
        self.file_ends.drain(..dropped);
        self.segments.drop_first(count);
        self.raise_start(base);
        self.entries.drain(..dropped).collect()
    }

    /// Puts cleaned entries in the place of those below `upto`, the base offset of a segment.
    pub(super) fn replace_below(&mut self, upto: u64, clean: Vec<Entry>, segment_bytes: u64) {
        let count = self.segments().partition_point(|segment| segment.base_offset < upto);
        let replaced = self.entries.partition_point(|entry| entry.base_offset < upto);
        // Each entry stays at its place in the file, which has holes from now on.
        let mut before = self.entries[..replaced].iter().zip(&self.file_ends[..replaced]);
        let mut ends = Vec::with_capacity(clean.len());
        for kept in &clean {
            if let Some((_, end)) = before.find(|(entry, _)| entry.base_offset == kept.base_offset) {
                ends.push(*end);
            }
        }
        self.file_ends.splice(..replaced, ends);
        self.entries.splice(..replaced, clean);
        self.segments.cleaned(count, &self.entries, segment_bytes);
        self.cleaned = upto;
        self.sparse_below = self.sparse_below.max(upto);
    }

    /// The largest epoch not above `epoch`, and where it ends. An epoch below all that the log knows ends where
    /// the first one begins. `None` if the log knows no epoch.
    pub(super) fn epoch_end(&self, epoch: u32) -> Option<(u32, u64)> {
        // Readers are mostly in the epoch that the log is in.
        if let Some((last, _)) = self.epochs.last()
            && *last <= epoch
        {
            return Some((*last, self.end));
        }
        let after = self.epochs.partition_point(|(known, _)| *known <= epoch);
        let end = self.epochs.get(after).map_or(self.end, |(_, start)| *start);
        match self.epochs[..after].last() {
            Some((found, _)) => Some((*found, end)),
            None => self.epochs.first().map(|_| (epoch, end)),
        }
    }

    /// The index of the entry that holds `offset`, or of the first one behind it.
    pub(super) fn index_of(&self, offset: u64) -> usize {
        // Readers follow the end: look there first.
        match self.entries.last() {
            Some(last) if last.base_offset <= offset => self.entries.len() - usize::from(offset < self.end),
            _ => self.entries.partition_point(|entry| entry.end_offset() <= offset),
        }
    }

    /// Entries from the one that holds `from`, below `limit`, at most `max_bytes` but at least one.
    pub(super) fn read(&self, from: u64, limit: u64, max_bytes: u32) -> &[Entry] {
        let first = self.index_of(from);
        let mut bytes = 0_u32;
        let mut last = first;
        while let Some(entry) = self.entries.get(last) {
            bytes = bytes.saturating_add(entry.bytes());
            if entry.end_offset() > limit || (last > first && bytes > max_bytes) {
                break;
            }
            last += 1;
        }
        &self.entries[first..last]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::protocol::{Batch, Kept};
    use squall_bus::{Record, Time, Topic};
    use std::{sync::Arc, time::Duration};

    const LIMITS: SegmentLimits = SegmentLimits { bytes: 200, age: Duration::MAX };

    fn log(epochs: &[u32]) -> Log {
        let mut log = Log::default();
        for epoch in epochs {
            let record = Record::new(&Topic::new("t"), None, "value".into());
            let batch = Arc::new(Batch::of_records(vec![record.clone(), record], None, Time::ZERO));
            log.append(Entry::new(log.end(), *epoch, batch), LIMITS);
        }
        log
    }

    #[test]
    fn b5_an_epoch_ends_where_the_next_begins() {
        let log = log(&[1, 1, 3, 5]);
        for (epoch, end) in [
            (0, Some((0, 0))),
            (1, Some((1, 4))),
            (2, Some((1, 4))),
            (3, Some((3, 6))),
            (4, Some((3, 6))),
            (9, Some((5, 8))),
        ] {
            assert_eq!(log.epoch_end(epoch), end, "epoch {epoch}");
        }
        assert_eq!(Log::default().epoch_end(1), None);
    }

    /// A leader that has lost its log and led on before anybody noticed follows another one.
    #[test]
    fn b5_an_epoch_without_records_is_forgotten_when_an_older_one_comes() {
        let mut log = log(&[]);
        log.begin_epoch(4);
        let batch = Arc::clone(&self::log(&[1]).entries()[0].batch);
        log.append(Entry::new(0, 1, batch), LIMITS);
        assert_eq!(log.epochs(), [(1, 0)]);
        assert_eq!(log.epoch_end(1), Some((1, 2)));
    }

    /// Behind a gap, or with records that are gone from a batch.
    #[test]
    fn b12_a_copy_of_a_cleaned_log_knows_where_it_may_have_gaps() {
        let mut log = log(&[1, 1]);
        let two = Arc::clone(&log.entries()[0].batch);
        assert_eq!(log.sparse_below(), 0);
        log.append(Entry::new(7, 1, Arc::clone(&two)), LIMITS);
        assert_eq!((log.sparse_below(), log.end()), (9, 9));
        log.append(Entry::new(9, 1, Arc::clone(&two)), LIMITS);
        assert_eq!(log.sparse_below(), 9, "whole, and without a gap");
        let kept = Kept { places: [1].into(), bytes: 78, delete_horizon: None };
        log.append(Entry { kept: Some(Arc::new(kept)), ..Entry::new(11, 1, two) }, LIMITS);
        assert_eq!((log.sparse_below(), log.end()), (13, 13));
    }

    #[test]
    fn truncation_takes_whole_batches_and_their_epochs() {
        let mut log = log(&[1, 1, 3]);
        log.truncate(3);
        assert_eq!((log.end(), log.last_epoch(), log.epochs().len()), (2, Some(1), 1));
        log.truncate(9);
        assert_eq!(log.end(), 2);
        log.truncate(0);
        assert_eq!((log.end(), log.epochs().len(), log.file_len()), (0, 0, 0));
    }

    #[test]
    fn b7_what_the_file_lost_is_gone() {
        let mut log = log(&[1, 1]);
        let one = log.file_len() / 2;
        log.truncate_file(2 * one - 1);
        assert_eq!((log.end(), log.file_len()), (2, one));
    }

    #[test]
    fn b13_the_first_batch_comes_whatever_the_limit() {
        let log = log(&[1, 1, 1]);
        assert_eq!(log.read(2, 6, 1).len(), 1);
        assert_eq!(log.read(3, 6, 1)[0].base_offset, 2, "the batch that holds the offset");
        assert_eq!(log.read(0, 4, u32::MAX).len(), 2, "nothing beyond the limit");
        assert!(log.read(6, 6, u32::MAX).is_empty());
    }

    #[test]
    fn b11_whole_segments_go_and_the_log_begins_behind_them() {
        // Two records of 17 bytes in a batch of 95: two batches fill a segment.
        let mut log = log(&[1, 1, 2, 2, 3]);
        let bases: Vec<u64> = log.segments().iter().map(|segment| segment.base_offset).collect();
        assert_eq!(bases, [0, 4, 8]);
        assert_eq!(log.drop_segments(1).len(), 2);
        assert_eq!((log.start(), log.end(), log.entries().len()), (4, 10, 3));
        assert_eq!(log.epoch_end(1), Some((1, 4)), "an epoch before the log ends where the log begins");
        assert_eq!(log.drop_segments(2).len(), 3, "the active one too: another is begun");
        assert_eq!((log.start(), log.end(), log.segments().len()), (10, 10, 1));
        assert_eq!(log.read(10, 10, u32::MAX), []);
    }

    #[test]
    fn b11_a_cut_leaves_the_segments_of_what_is_left() {
        let mut log = log(&[1, 1, 2, 2, 3]);
        log.truncate(6);
        let sizes: Vec<(u64, u64)> = log.segments().iter().map(|s| (s.base_offset, s.bytes)).collect();
        assert_eq!(sizes, [(0, 190), (4, 95)]);
        log.restart_at(20);
        assert_eq!((log.start(), log.end(), log.file_len()), (20, 20, 0));
    }

    #[test]
    fn an_epoch_without_records_gives_way_to_the_next() {
        let mut log = log(&[1]);
        log.begin_epoch(2);
        log.begin_epoch(4);
        assert_eq!(log.epochs(), [(1, 0), (4, 2)]);
    }
}
