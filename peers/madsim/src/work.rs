//! What both sides do: a new cluster, one topic of six partitions, one producer and one consumer that reads meanwhile
//! until it has everything.

use bytes::Bytes;
use std::{fmt, ops::Range};

/// Partitions of the topic.
pub const PARTITIONS: u16 = 6;
/// Bytes of a record's key.
const KEY: usize = 8;
/// Bytes of a record's value.
const VALUE: usize = 100;
/// Different keys.
const KEYS: u64 = 64;

/// One run of either side.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Of the whole run.
    pub seed: u64,
    /// Records that are sent and read.
    pub messages: u64,
    /// So many are sent, then all of them are waited for, then the next.
    pub batch: u64,
    /// What is sent.
    pub records: &'static Records,
}

impl Work {
    /// The numbers of the records, batch by batch.
    pub fn batches(self) -> impl Iterator<Item = Range<u64>> + Send {
        let Self { messages, batch, .. } = self;
        (0..messages.div_ceil(batch)).map(move |index| index * batch..messages.min((index + 1) * batch))
    }

    /// Holds what was read against what was sent.
    ///
    /// # Panics
    /// When they differ: then there is nothing to compare.
    pub fn check(self, read: &Read) {
        let sum = self.messages * self.messages.saturating_sub(1) / 2;
        assert_eq!((read.messages, read.sum), (self.messages, sum), "every record is read once");
    }
}

/// What a consumer has read.
#[derive(Debug, Default)]
pub struct Read {
    /// So many records.
    pub messages: u64,
    /// The sum of their numbers.
    sum: u64,
}

impl Read {
    /// Takes in one record's value.
    ///
    /// # Panics
    /// When it is none of a record.
    pub fn take(&mut self, value: Option<&[u8]>) {
        let number = value.and_then(<[u8]>::first_chunk).expect("a value begins with its number");
        self.messages += 1;
        self.sum += u64::from_be_bytes(*number);
    }
}

/// Keys and values of records, made before anything is measured, so that it is the bus that is measured. Each side
/// takes them as its producer's interface does: the rival's copies slices, Squall's shares bytes.
pub struct Records {
    keys: Bytes,
    values: Bytes,
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} records", self.values.len() / VALUE)
    }
}

impl Records {
    /// So many records. A value is the record's number, and nothing else of interest.
    pub fn new(messages: u64) -> Self {
        let keys = (0..KEYS).flat_map(u64::to_be_bytes).collect();
        let filling = [b'.'; VALUE - size_of::<u64>()];
        let values =
            (0..messages).flat_map(|number| number.to_be_bytes().into_iter().chain(filling)).collect();
        Self { keys, values }
    }

    /// The key of a record.
    pub fn key(&self, number: u64) -> &[u8] {
        &self.keys[place(number % KEYS, KEY)]
    }

    /// The value of a record.
    pub fn value(&self, number: u64) -> &[u8] {
        &self.values[place(number, VALUE)]
    }

    /// The key of a record, shared.
    pub fn shared_key(&self, number: u64) -> Bytes {
        self.keys.slice(place(number % KEYS, KEY))
    }

    /// The value of a record, shared.
    pub fn shared_value(&self, number: u64) -> Bytes {
        self.values.slice(place(number, VALUE))
    }
}

/// Where the one of this number is among those of this size.
fn place(number: u64, size: usize) -> Range<usize> {
    let from = number as usize * size;
    from..from + size
}
