//! The log cleaner.

use super::{logs::Bench, *};
use crate::kafka::topic_config::Ratio;

/// Settings under which three batches of one record fill a segment and anything dirty is cleaned.
const EAGER: [(&str, &str); 3] =
    [("cleanup.policy", "compact"), ("internal.segment.bytes", "260"), ("min.cleanable.dirty.ratio", "0")];

impl Bench {
    /// Writes one record of this key; an empty value is a tombstone.
    fn put(&mut self, key: &str, value: &str) -> u64 {
        self.put_stamped(key, value, None).base_offset.expect("it is in the log")
    }

    fn put_stamped(&mut self, key: &str, value: &str, stamp: Option<ProducerStamp>) -> ProducedPartition {
        let record = Record::new(&Topic::new("t"), Some(key.to_owned().into()), value.to_owned().into());
        self.produce(Batch::of_records(vec![record], stamp, self.lab.now()))
    }

    /// Offsets, keys and values that a replica has.
    fn kept(&self, node: NodeId) -> Vec<(u64, String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let log = &self.lab.replica(node, self.id).log;
        log.entries()
            .iter()
            .flat_map(|entry| (0..entry.left()).map(move |index| (entry, entry.place(index))))
            .map(|(entry, place)| {
                let record = &entry.batch.records()[place as usize];
                let key = record.key.as_ref().map_or(String::new(), |key| text(key));
                (entry.base_offset + u64::from(place), key, text(&record.value))
            })
            .collect()
    }

    fn offsets(&self, node: NodeId) -> Vec<u64> {
        self.kept(node).into_iter().map(|(offset, ..)| offset).collect()
    }
}

#[test]
fn b12_of_each_key_the_last_record_stays_and_offsets_keep_gaps() {
    let rules = kafka_4_3_test_cluster();
    assert_eq!((rules.cleaner_backoff, rules.min_cleanable), (secs(15), Ratio::HALF));
    let mut bench = Bench::new(&EAGER);
    for (key, value) in [("a", "1"), ("b", "1"), ("a", "2"), ("c", "1"), ("a", "3"), ("b", "2"), ("a", "4")] {
        bench.put(key, value);
    }
    // The last record is in the active segment, which is not touched and does not count.
    bench.lab.run(secs(16));
    for node in (0..3).map(NodeId) {
        let expected = [(3, "c", "1"), (4, "a", "3"), (5, "b", "2"), (6, "a", "4")];
        let expected = expected.map(|(offset, key, value)| (offset, key.to_owned(), value.to_owned()));
        assert_eq!(bench.kept(node), expected);
    }
    let asked = bench.lab.fetch(bench.probe, bench.leader, bench.id, 0);
    let fetched = bench.lab.fetched(asked).expect("records");
    assert_eq!((fetched.error, fetched.log_start), (ErrorCode::None, 0), "a gap is not out of range");
    assert_eq!(fetched.entries[0].base_offset, 3);
    assert_eq!(bench.put("d", "1"), 7, "offsets go on");
}

/// A segment may be cleaned as soon as all of it is committed, though nothing behind it is.
#[test]
fn b12_a_segment_that_ends_at_the_high_watermark_is_cleaned() {
    let mut bench = Bench::new(&EAGER);
    for value in ["1", "2", "3"] {
        bench.put("a", value);
    }
    let leader = bench.leader;
    for node in (0..3).map(NodeId).filter(|node| *node != leader) {
        bench.lab.world.pause(node);
    }
    let (probe, id) = (bench.probe, bench.id);
    let record = Record::new(&Topic::new("t"), Some("b".into()), "1".into());
    let batch = Arc::new(Batch::of_records(vec![record], None, bench.lab.now()));
    bench.lab.produce_batch(probe, leader, id, Acks::One, batch, secs(5));
    bench.lab.run(secs(16));
    let replica = bench.lab.replica(leader, id);
    assert_eq!((replica.high_watermark, replica.log.segments()[1].base_offset), (3, 3));
    assert_eq!(bench.offsets(leader), [2, 3]);
}

#[test]
fn b12_a_record_within_a_batch_goes_alone() {
    let mut bench = Bench::new(&EAGER);
    let topic = Topic::new("t");
    let record = |key: &'static str| Record::new(&topic, Some(key.into()), "v".into());
    let records = vec![record("a"), record("b"), record("a"), record("c")];
    bench.produce(Batch::of_records(records, None, Time::ZERO));
    bench.produce(Batch::of_records(vec![record("c"); 12], None, Time::ZERO));
    bench.put("z", "1");
    bench.lab.run(secs(16));
    assert_eq!(bench.offsets(bench.leader), [1, 2, 15, 16]);
    let log = &bench.lab.replica(bench.leader, bench.id).log;
    assert_eq!(
        (log.entries()[0].base_offset, log.entries()[0].end_offset()),
        (0, 4),
        "the batch keeps its span"
    );
}

#[test]
fn b12_a_log_is_cleaned_when_more_than_half_of_it_is_dirty() {
    let mut bench = Bench::new(&[("cleanup.policy", "compact"), ("internal.segment.bytes", "260")]);
    for key in ["a", "b", "c", "d", "e", "f", "x"] {
        bench.put(key, "1");
    }
    bench.lab.run(secs(16));
    assert_eq!(
        bench.offsets(bench.leader).len(),
        7,
        "cleaned once: all of it was dirty, each key is the last"
    );
    // Three batches of dirt on six clean ones.
    for key in ["a", "b", "y"] {
        bench.put(key, "2");
    }
    bench.lab.run(secs(60));
    assert_eq!(bench.offsets(bench.leader).len(), 10, "a third is dirty");
    for key in ["c", "d", "e", "f"] {
        bench.put(key, "2");
    }
    bench.lab.run(secs(16));
    // 6..9 and 9..12 are dirty: 6 batches on 6, which is not more than half.
    assert_eq!(bench.offsets(bench.leader).len(), 14);
    for key in ["z", "z", "z"] {
        bench.put(key, "3");
    }
    bench.lab.run(secs(16));
    assert_eq!(bench.offsets(bench.leader), [6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16][..].to_vec());
}

#[test]
fn b12_nothing_younger_than_the_lag_is_cleaned() {
    let lagging = [EAGER[0], EAGER[1], EAGER[2], ("min.compaction.lag.ms", "60000")];
    let mut bench = Bench::new(&lagging);
    for _ in 0..7 {
        bench.put("a", "1");
    }
    bench.lab.run(secs(59));
    assert_eq!(bench.offsets(bench.leader).len(), 7);
    bench.lab.run(secs(17));
    assert_eq!(bench.offsets(bench.leader), [5, 6]);
}

#[test]
fn b12_nothing_that_is_not_committed_is_cleaned() {
    let mut bench = Bench::new(&EAGER);
    bench.lab.run(secs(1));
    for node in (0..3).map(NodeId).filter(|node| *node != bench.leader).collect::<Vec<_>>() {
        bench.lab.world.pause(node);
    }
    let topic = Topic::new("t");
    for _ in 0..7 {
        let record = Record::new(&topic, Some("a".into()), "1".into());
        let batch = Arc::new(Batch::of_records(vec![record], None, Time::ZERO));
        let (probe, leader, id) = (bench.probe, bench.leader, bench.id);
        let asked = bench.lab.produce_batch(probe, leader, id, Acks::One, batch, secs(5));
        bench.lab.produced(asked, secs(1)).expect("an answer");
    }
    bench.lab.run(secs(6));
    bench.lab.run(secs(15));
    assert_eq!(bench.offsets(bench.leader).len(), 7);
}

#[test]
fn b12_a_tombstone_stays_for_a_day_after_it_was_cleaned_first() {
    assert_eq!(kafka_4_3_test_cluster().delete_retention, secs(86_400));
    let settings = [EAGER[0], EAGER[1], EAGER[2], ("delete.retention.ms", "100000")];
    let mut bench = Bench::new(&settings);
    let dirt = |bench: &mut Bench| {
        for _ in 0..4 {
            bench.put("x", "1");
        }
    };
    bench.put("a", "1");
    let tombstone = bench.put("a", "");
    dirt(&mut bench);
    bench.lab.run(secs(16));
    assert!(bench.offsets(bench.leader).contains(&tombstone), "a late reader can hear of it");
    assert!(!bench.offsets(bench.leader).contains(&0));
    bench.lab.run(secs(70));
    dirt(&mut bench);
    bench.lab.run(secs(16));
    assert!(bench.offsets(bench.leader).contains(&tombstone), "cleaned again before its time");
    bench.lab.run(secs(20));
    dirt(&mut bench);
    bench.lab.run(secs(16));
    assert!(!bench.offsets(bench.leader).contains(&tombstone));
    assert!(bench.kept(bench.leader).iter().all(|(_, key, _)| key != "a"), "nobody hears of the key again");
}

#[test]
fn b12_the_last_batch_of_a_producer_stays_without_its_records() {
    let mut bench = Bench::new(&EAGER);
    let stamp = |base_seq| Some(ProducerStamp { pid: 7, epoch: 0, base_seq, transactional: false });
    bench.put_stamped("a", "1", stamp(0));
    bench.put_stamped("a", "2", stamp(1));
    for _ in 0..6 {
        bench.put("a", "3");
    }
    bench.lab.run(secs(16));
    let log = &bench.lab.replica(bench.leader, bench.id).log;
    let first = &log.entries()[0];
    assert_eq!((first.base_offset, first.left(), first.bytes()), (1, 0, 61));
    // A new leader makes what it knows of the producer from its log.
    let leader = bench.leader;
    bench.lab.run(secs(3));
    bench.lab.world.stop(leader);
    bench.lab.run(secs(1));
    bench.leader = bench.lab.leader(bench.id).expect("another one leads");
    let wrong = bench.put_stamped("a", "4", stamp(5));
    assert_eq!(wrong.error, ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(bench.put_stamped("a", "4", stamp(2)).error, ErrorCode::None);
}

#[test]
fn b12_a_record_without_a_key_is_refused() {
    let mut bench = Bench::new(&[("cleanup.policy", "compact")]);
    let refused = bench.write_stamped(None);
    assert_eq!((refused.error, refused.error.code()), (ErrorCode::InvalidRecord, 87));
    assert_eq!(bench.lab.replica(bench.leader, bench.id).log.end(), 0);
}

#[test]
fn b12_a_replica_that_copies_a_cleaned_log_has_the_same_gaps() {
    let mut bench = Bench::new(&EAGER);
    for _ in 0..7 {
        bench.put("a", "1");
    }
    bench.lab.run(secs(16));
    let empty = NodeId((bench.leader.0 + 1) % 3);
    bench.lab.world.kill(empty);
    bench.lab.run(secs(12));
    bench.lab.world.wipe(empty);
    bench.lab.world.start(empty);
    bench.lab.run(secs(10));
    assert_eq!(bench.offsets(empty), [5, 6]);
    assert_eq!(bench.offsets(empty), bench.offsets(bench.leader));
    assert_eq!(bench.lab.isr(bench.id), 3);
}
