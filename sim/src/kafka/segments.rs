//! The segments of a replica's log: where each begins, how large it is, how old (rules B11, B12).
//!
//! - Records go to the last segment, the active one. A batch that would make it larger than `segment.bytes`, or
//!   that is younger than its first batch by more than `segment.ms`, begins a new one; by the time stamps of the
//!   batches, so that replicas agree.
//! - Whole segments are deleted and cleaned, never parts of one.
//!
//! Source: `LogSegment.shouldRoll` of Apache Kafka.

use super::protocol::{Entry, Few};
use squall_bus::Time;
use std::time::Duration;

/// When a segment is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentLimits {
    /// `segment.bytes`.
    pub(super) bytes: u64,
    /// `segment.ms`.
    pub(super) age: Duration,
}

/// One segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// The offset that it begins at.
    pub(super) base_offset: u64,
    /// The bytes of the batches in it.
    pub(super) bytes: u64,
    /// The time stamp of its first batch.
    first: Time,
    /// The largest time stamp in it.
    pub(super) newest: Time,
}

impl Segment {
    fn of(entry: &Entry, base_offset: u64) -> Self {
        let at = entry.batch.timestamp;
        Self { base_offset, bytes: u64::from(entry.bytes()), first: at, newest: at }
    }

    fn add(&mut self, entry: &Entry) {
        self.bytes += u64::from(entry.bytes());
        self.newest = self.newest.max(entry.batch.timestamp);
    }
}

/// All segments of a log, in order; none while nothing was ever appended.
#[derive(Clone, Debug, Default)]
pub(super) struct Segments(Few<Segment>);

impl Segments {
    /// Takes a batch in at the end; whether it began a segment behind another one.
    pub(super) fn append(&mut self, entry: &Entry, limits: SegmentLimits) -> bool {
        let bytes = u64::from(entry.bytes());
        if let Some(active) = self.0.last_mut() {
            let full = active.bytes > 0
                && (active.bytes + bytes > limits.bytes
                    || entry.batch.timestamp.since(active.first) > limits.age);
            if !full {
                if active.bytes == 0 {
                    *active = Segment::of(entry, active.base_offset);
                } else {
                    active.add(entry);
                }
                return false;
            }
        }
        self.0.push(Segment::of(entry, entry.base_offset));
        self.0.len() > 1
    }

    /// All of them.
    pub(super) fn list(&self) -> &[Segment] {
        &self.0
    }

    /// The active one is full, whatever it holds: the next batch begins another at this offset.
    pub(super) fn roll(&mut self, end: u64) {
        self.0.push(Segment { base_offset: end, bytes: 0, first: Time::ZERO, newest: Time::ZERO });
    }

    /// Forgets the first so many.
    pub(super) fn drop_first(&mut self, count: usize) {
        self.0.drain(..count);
    }

    /// The log was cut to this offset: `entries` are what is left.
    pub(super) fn cut(&mut self, end: u64, entries: &[Entry]) {
        self.0.retain(|segment| segment.base_offset < end || segment.base_offset == 0);
        if let Some(active) = self.0.last_mut() {
            let first = entries.partition_point(|entry| entry.base_offset < active.base_offset);
            let base_offset = active.base_offset;
            *active = Segment { base_offset, bytes: 0, first: Time::ZERO, newest: Time::ZERO };
            for entry in &entries[first..] {
                if active.bytes == 0 { *active = Segment::of(entry, base_offset) } else { active.add(entry) }
            }
        }
    }

    /// The first `count` were cleaned: `entries` are what the log holds now. Neighbours that had no more than
    /// `bytes` together are one from now on.
    pub(super) fn cleaned(&mut self, count: usize, entries: &[Entry], bytes: u64) {
        let rest: Vec<Segment> = self.0.drain(count..).collect();
        let cleaned = std::mem::take(&mut self.0);
        let mut filled = 0;
        for segment in cleaned {
            if self.0.is_empty() || filled + segment.bytes > bytes {
                self.0.push(Segment { bytes: 0, ..segment });
                filled = 0;
            }
            filled += segment.bytes;
            if let Some(group) = self.0.last_mut() {
                group.newest = group.newest.max(segment.newest);
            }
        }
        let mut place = 0;
        let upto = rest.first().map_or(u64::MAX, |segment| segment.base_offset);
        for entry in entries.iter().take_while(|entry| entry.base_offset < upto) {
            while self.0.get(place + 1).is_some_and(|next| next.base_offset <= entry.base_offset) {
                place += 1;
            }
            self.0[place].bytes += u64::from(entry.bytes());
        }
        self.0.extend(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::protocol::Batch;
    use squall_bus::{Record, Topic};
    use std::sync::Arc;

    /// A batch of one record, made at this second: 61 + 12 + 8 bytes.
    fn entry(offset: u64, second: u64) -> Entry {
        let record = Record::new(&Topic::new("t"), None, vec![0; 8].into());
        let batch = Batch::of_records(vec![record], None, Time::from_millis(1_000 * second));
        Entry::new(offset, 0, Arc::new(batch))
    }

    /// One batch a segment, of which the cleaner leaves the third, and the active one.
    #[test]
    fn b12_cleaned_segments_have_what_is_left_and_small_neighbours_become_one() {
        let mut segments = Segments::default();
        for offset in 0..5 {
            segments.append(&entry(offset, offset), SegmentLimits { bytes: 100, age: Duration::MAX });
        }
        assert_eq!(segments.list().len(), 5);
        segments.cleaned(4, &[entry(2, 2), entry(4, 4)], 200);
        let list = segments.list().iter();
        let list: Vec<_> = list.map(|it| (it.base_offset, it.bytes, it.newest.0 / 1_000_000_000)).collect();
        assert_eq!(list, [(0, 0, 1), (2, 81, 3), (4, 81, 4)]);
    }
}
