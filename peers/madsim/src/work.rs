//! What both sides do: a new cluster, one topic of six partitions, one producer and one consumer that reads meanwhile
//! until it has everything.

/// Partitions of the topic.
pub const PARTITIONS: u16 = 6;
/// Bytes of a record's value.
const SIZE: usize = 100;
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
}

impl Work {
    /// The numbers of the records, batch by batch.
    pub fn batches(self) -> impl Iterator<Item = std::ops::Range<u64>> + Send {
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
    /// When it is none that [`value`] made.
    pub fn take(&mut self, value: Option<&[u8]>) {
        let number = value.and_then(<[u8]>::first_chunk).expect("a value begins with its number");
        self.messages += 1;
        self.sum += u64::from_be_bytes(*number);
    }
}

/// The key of a record.
pub fn key(number: u64) -> [u8; 8] {
    (number % KEYS).to_be_bytes()
}

/// The value of a record: its number, and nothing else of interest.
pub fn value(number: u64) -> [u8; SIZE] {
    let mut value = [b'.'; SIZE];
    value[..8].copy_from_slice(&number.to_be_bytes());
    value
}
