//! Which partition a record goes to, as each client library decides it.
//!
//! | | librdkafka `consistent_random` | Java `BuiltInPartitioner` |
//! |---|---|---|
//! | with a key | CRC-32 of the key modulo the partitions | murmur2 of the key, its sign bit cleared, modulo |
//! | without | one drawn partition for `sticky.partitioning.linger.ms` | one for `batch.size` bytes (KIP-794) |
//! | empty key | as without | as with |
//!
//! Both draw by the content of the record that begins a stretch, so that deleting another record changes no
//! draw. Two clients with different partitioners send one key to two partitions: that is a finding, not an
//! error of the model.

use super::defaults::Partitioning;
use crate::kernel::{Choices, Site, mix};
use squall_bus::{Record, Time};

const STICKY: Site = Site::new("kafka.client.sticky-partition");

/// The partition that a topic's records without a key go to for now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Sticky {
    partition: Option<u32>,
    since: Time,
    bytes: u32,
}

/// The partition of a record of a topic with this many partitions, at least one.
pub(crate) fn partition(
    by: Partitioning,
    record: &Record,
    partitions: u32,
    sticky: &mut Sticky,
    batch_bytes: u32,
    now: Time,
    choices: &Choices,
) -> u32 {
    match (by, record.key.as_deref()) {
        (Partitioning::ConsistentRandom { .. }, Some(key)) if !key.is_empty() => crc32(key) % partitions,
        (Partitioning::Murmur2, Some(key)) => (murmur2(key) & 0x7fff_ffff) % partitions,
        _ => {
            let over = match by {
                Partitioning::ConsistentRandom { sticky: span } => now.since(sticky.since) >= span,
                Partitioning::Murmur2 => sticky.bytes >= batch_bytes,
            };
            if over || sticky.partition.is_none_or(|partition| partition >= partitions) {
                let drawn = choices.below(STICKY, content(record), 0, u64::from(partitions)) as u32;
                *sticky = Sticky { partition: Some(drawn), since: now, bytes: 0 };
            }
            sticky.bytes = sticky.bytes.saturating_add(record.value.len() as u32);
            sticky.partition.unwrap_or(0)
        }
    }
}

/// Names a record by what it holds: the entity of every choice that concerns it.
pub(crate) fn content(record: &Record) -> u64 {
    let key = record.key.as_deref().unwrap_or_default();
    let words = |seed, bytes: &[u8]| {
        bytes.chunks(8).fold(mix(seed, bytes.len() as u64), |hash, chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            mix(hash, u64::from_le_bytes(word))
        })
    };
    words(words(words(0, record.topic.as_str().as_bytes()), key), &record.value)
}

/// CRC-32 (ISO-HDLC), as librdkafka hashes keys.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// Murmur2 with Kafka's seed, as the Java client hashes keys.
pub(crate) fn murmur2(bytes: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ bytes.len() as u32;
    let mut chunks = bytes.chunks_exact(4);
    for chunk in &mut chunks {
        let mut k = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        for (place, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use squall_bus::Topic;
    use std::time::Duration;

    /// The vectors of `UtilsTest.testMurmur2` in Apache Kafka.
    #[test]
    fn c2_murmur2_is_javas() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
    }

    /// The vectors of librdkafka's `tests/0048-partitioner.c`.
    #[test]
    fn c2_crc32_is_librdkafkas() {
        for (key, hash) in [
            ("", 0),
            ("23456", 0xb1b4_51d7),
            ("this is another string with more length to it perhaps", 0xb015_0df7),
            ("hejsan", 0xd077_037e),
        ] {
            assert_eq!(crc32(key.as_bytes()), hash, "{key}");
        }
    }

    const RDKAFKA: Partitioning = Partitioning::ConsistentRandom { sticky: Duration::from_millis(10) };

    fn record(key: Option<&str>, value: usize) -> Record {
        let key = key.map(|key| Bytes::copy_from_slice(key.as_bytes()));
        Record::new(&Topic::new("orders"), key, Bytes::copy_from_slice(&value.to_le_bytes()))
    }

    #[test]
    fn c2_the_two_libraries_disagree_about_a_key() {
        let choices = Choices::new(1);
        let at = |by, key: &str| {
            partition(by, &record(Some(key), 0), 12, &mut Sticky::default(), 16_384, Time::ZERO, &choices)
        };
        assert_eq!(at(RDKAFKA, "customer-7"), crc32(b"customer-7") % 12);
        // Java clears the sign of -790332482 and of 479470107.
        assert_eq!(at(Partitioning::Murmur2, "foobar"), (0x8000_0000 - 790_332_482) % 12);
        assert_eq!(at(Partitioning::Murmur2, "abc"), 479_470_107 % 12);
        assert!((0..20).any(|n| {
            let key = format!("customer-{n}");
            at(RDKAFKA, &key) != at(Partitioning::Murmur2, &key)
        }));
    }

    #[test]
    fn c2_without_a_key_a_partition_sticks_for_a_time_or_for_bytes() {
        let choices = Choices::new(3);
        let stretches = |by, batch_bytes| {
            let mut sticky = Sticky::default();
            let chosen: Vec<u32> = (0..400)
                .map(|n| {
                    let now = Time::from_millis(n as u64);
                    partition(by, &record(None, n), 12, &mut sticky, batch_bytes, now, &choices)
                })
                .collect();
            assert!(chosen.iter().any(|partition| *partition != chosen[0]), "never changes");
            chosen.chunks(10).all(|chunk| chunk.iter().all(|partition| *partition == chunk[0]))
        };
        assert!(stretches(RDKAFKA, 16_384), "10 ms at one record a ms");
        assert!(stretches(Partitioning::Murmur2, 80), "80 bytes at 8 bytes a record");
        assert!(!stretches(Partitioning::Murmur2, 56), "7 records do not fill a stretch of 10");
    }
}
