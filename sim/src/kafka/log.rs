//! A replica's log: batches at their offsets, and where each leader epoch begins.
//!
//! - The epoch cache answers where an epoch ends: the largest epoch that is not above the one asked for, and the
//!   offset where the next one begins (rule B5, `LeaderEpochFileCache` of Apache Kafka).
//! - Nothing here is synced: the log knows how many bytes each prefix takes in its file, and the disk says how
//!   many survived (rule B7).

use super::protocol::Entry;

/// A replica's log.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    entries: Vec<Entry>,
    /// The length of the file up to the end of each entry.
    file_ends: Vec<u64>,
    /// (epoch, first offset), rising in both.
    epochs: Vec<(u32, u64)>,
    end: u64,
}

impl Log {
    /// The first offset.
    pub(super) fn start(&self) -> u64 {
        self.entries.first().map_or(0, |entry| entry.base_offset)
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
        self.file_ends.last().copied().unwrap_or(0)
    }

    /// A leader begins its epoch at the end of the log.
    pub(super) fn begin_epoch(&mut self, epoch: u32) {
        if self.epochs.last().is_none_or(|(last, _)| *last < epoch) {
            self.drop_epochs_from(self.end);
            self.epochs.push((epoch, self.end));
        }
    }

    /// Appends at the end. The entry's base offset must be the end.
    pub(super) fn append(&mut self, entry: Entry) {
        debug_assert_eq!(entry.base_offset, self.end);
        if self.epochs.last().is_none_or(|(last, _)| *last < entry.epoch) {
            self.drop_epochs_from(self.end);
            self.epochs.push((entry.epoch, entry.base_offset));
        }
        self.end = entry.end_offset();
        self.file_ends.push(self.file_len() + u64::from(entry.batch.bytes));
        self.entries.push(entry);
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
        self.cut_entries(keep);
    }

    /// Cuts the log to what fits into so many bytes of its file.
    pub(super) fn truncate_file(&mut self, len: u64) {
        let keep = self.file_ends.partition_point(|end| *end <= len);
        if keep < self.entries.len() {
            self.cut_entries(keep);
        }
    }

    fn cut_entries(&mut self, keep: usize) {
        self.end = self.entries[keep].base_offset;
        self.entries.truncate(keep);
        self.file_ends.truncate(keep);
        self.drop_epochs_from(self.end);
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
            bytes = bytes.saturating_add(entry.batch.bytes);
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
    use crate::kafka::protocol::Batch;
    use squall_bus::{Record, Time, Topic};
    use std::sync::Arc;

    fn log(epochs: &[u32]) -> Log {
        let mut log = Log::default();
        for epoch in epochs {
            let record = Record::new(&Topic::new("t"), None, "value".into());
            let batch = Arc::new(Batch::of_records(vec![record.clone(), record], None, Time::ZERO));
            log.append(Entry::new(log.end(), *epoch, batch));
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
    fn an_epoch_without_records_gives_way_to_the_next() {
        let mut log = log(&[1]);
        log.begin_epoch(2);
        log.begin_epoch(4);
        assert_eq!(log.epochs(), [(1, 0), (4, 2)]);
    }
}
