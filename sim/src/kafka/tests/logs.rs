//! Old segments go, records are deleted, idle producers are forgotten.

use super::*;
use crate::kafka::protocol::{DeleteRecordsRequest, DeletedRecords};

/// A batch of one record takes 61 + 12 + 8 bytes.
const BATCH: u64 = 81;

/// What is known of one partition, its leader and a probe.
pub(super) struct Bench {
    pub(super) lab: Lab,
    pub(super) id: PartitionId,
    pub(super) leader: NodeId,
    pub(super) probe: NodeId,
}

impl Bench {
    /// A topic `t` of one partition with these settings.
    pub(super) fn new(config: &[(&str, &str)]) -> Self {
        Self::with(kafka_4_3_test_cluster(), config)
    }

    pub(super) fn with(rules: Rules, config: &[(&str, &str)]) -> Self {
        let mut lab = Lab::with(1, 3, rules);
        let id = lab.topic_of("t", 1, 3, 2, config);
        let probe = lab.probe();
        let leader = lab.leader(id).expect("a new topic has a leader");
        Self { lab, id, leader, probe }
    }

    /// Writes so many batches of one record, made now.
    pub(super) fn write(&mut self, batches: u32) {
        for _ in 0..batches {
            self.write_stamped(None);
        }
    }

    pub(super) fn write_stamped(&mut self, stamp: Option<ProducerStamp>) -> ProducedPartition {
        let (batch, _) = self.lab.batch(1, stamp);
        let batch = Batch { timestamp: self.lab.now(), ..(*batch).clone() };
        self.produce(batch)
    }

    pub(super) fn produce(&mut self, batch: Batch) -> ProducedPartition {
        let (probe, leader, id) = (self.probe, self.leader, self.id);
        let asked = self.lab.produce_batch(probe, leader, id, Acks::All, Arc::new(batch), secs(5));
        self.lab.produced(asked, secs(6)).expect("an answer")
    }

    fn earliest(&mut self) -> u64 {
        self.lab.listed(self.probe, self.leader, self.id, OffsetSpec::Earliest).offset
    }

    fn fetch(&mut self, offset: u64) -> Option<FetchedPartition> {
        let asked = self.lab.fetch(self.probe, self.leader, self.id, offset);
        self.lab.fetched(asked)
    }

    fn delete(&mut self, upto: Option<u64>, timeout: Duration) -> Asked {
        let request = DeleteRecordsRequest { timeout, partitions: vec![(self.id, upto)] };
        self.lab.ask(self.probe, self.leader, RequestBody::DeleteRecords(request))
    }

    fn deleted(&mut self, asked: Asked) -> DeletedRecords {
        match self.lab.wait(asked, secs(60)) {
            Some(ResponseBody::DeleteRecords(results)) => results[0],
            other => panic!("not an answer to DeleteRecords: {other:?}"),
        }
    }

    fn starts(&self) -> Vec<u64> {
        (0..3).map(|node| self.lab.replica(NodeId(node), self.id).log.start()).collect()
    }
}

#[test]
fn b11_retention_takes_whole_segments_and_looks_every_five_minutes() {
    let rules = kafka_4_3_test_cluster();
    assert_eq!((rules.retention_check, rules.log_task_delay), (secs(300), secs(30)));
    let mut bench = Bench::new(&[("internal.segment.bytes", "250"), ("retention.ms", "60000")]);
    bench.write(7);
    bench.lab.run(secs(45));
    bench.write(1);
    // Three batches fill a segment: 0..3, 3..6, 6.. with the young one.
    bench.lab.run(secs(240));
    assert_eq!(bench.earliest(), 0, "far older than a minute, and still there");
    assert_eq!(bench.fetch(0).expect("records").entries.len(), 8);
    bench.lab.run(secs(50));
    assert_eq!(bench.earliest(), 8, "the third segment went as soon as its youngest record was old");
    assert_eq!(bench.starts(), [8; 3], "every replica deletes");
    bench.write(1);
    let fetched = bench.fetch(5).expect("an answer");
    assert_eq!((fetched.error, fetched.log_start), (ErrorCode::OffsetOutOfRange, 8));
    assert_eq!(fetched.error.code(), 1);
    assert_eq!(bench.fetch(8).expect("a record").entries.len(), 1, "offsets are not given out again");
}

#[test]
fn b11_a_segment_stays_for_its_youngest_record() {
    let mut bench = Bench::new(&[("internal.segment.bytes", "250"), ("retention.ms", "60000")]);
    bench.write(5);
    bench.lab.run(secs(280));
    bench.write(1);
    bench.lab.run(secs(60));
    assert_eq!(bench.earliest(), 3, "offsets 3 and 4 are as old as the others, 5 keeps them");
}

/// A follower looks for old segments by its own time, and its next fetch says where its log begins now
/// (`LocalLeaderEndPoint.buildFetch`), though nothing else is new.
#[test]
fn b11_a_leader_hears_where_a_followers_log_begins_with_its_next_fetch() {
    let mut bench = Bench::new(&[("internal.segment.bytes", "250"), ("retention.ms", "60000")]);
    let (id, leader) = (bench.id, bench.leader);
    let follower = (0..3).map(NodeId).find(|node| *node != leader).expect("three brokers");
    bench.write(6);
    bench.lab.run(secs(100));
    // Its next look is at 30 s of its process's time, the leader's at 330 s of its own.
    bench.lab.world.kill(follower);
    bench.lab.world.start(follower);
    bench.lab.run(secs(60));
    let starts = bench.starts();
    assert!(starts[follower.index()] > starts[leader.index()], "{starts:?}");
    let leading = bench.lab.replica(leader, id).leading().expect("it leads");
    let known = leading.followers.iter().find(|known| known.node == follower).expect("it follows");
    assert_eq!(known.start, starts[follower.index()]);
}

#[test]
fn b11_retention_bytes_leave_no_less_than_the_limit() {
    let mut bench = Bench::new(&[("internal.segment.bytes", "250"), ("retention.bytes", "400")]);
    bench.write(10);
    bench.lab.run(secs(31));
    // Segments of 243, 243, 243 and 81 bytes: without the first 567 are left, without the second 324.
    assert_eq!(bench.earliest(), 3);
    let left: u64 = bench.lab.replica(bench.leader, bench.id).log.segments().iter().map(|s| s.bytes).sum();
    assert_eq!(left, 7 * BATCH);
}

#[test]
fn b11_a_segment_is_closed_by_its_age() {
    let mut bench = Bench::new(&[("segment.ms", "10000")]);
    bench.write(2);
    bench.lab.run(secs(11));
    bench.write(1);
    let bases: Vec<u64> =
        bench.lab.replica(bench.leader, bench.id).log.segments().iter().map(|s| s.base_offset).collect();
    assert_eq!(bases, [0, 2]);
}

#[test]
fn b11_a_policy_of_compaction_keeps_old_segments() {
    let mut bench = Bench::new(&[
        ("internal.segment.bytes", "250"),
        ("retention.ms", "1000"),
        ("cleanup.policy", "compact"),
    ]);
    let topic = Topic::new("t");
    for number in 0..9_u8 {
        let record = Record::new(&topic, Some(vec![number].into()), vec![number].into());
        bench.produce(Batch::of_records(vec![record], None, Time::ZERO));
    }
    bench.lab.run(secs(400));
    assert_eq!(bench.earliest(), 0);
}

#[test]
fn b11_a_follower_that_was_away_begins_where_the_leader_does() {
    let mut bench = Bench::new(&[("internal.segment.bytes", "250"), ("retention.ms", "60000")]);
    let away = NodeId((bench.leader.0 + 1) % 3);
    bench.write(4);
    bench.lab.run(secs(3));
    bench.lab.world.kill(away);
    bench.lab.run(secs(12));
    bench.write(5);
    bench.lab.run(secs(320));
    assert_eq!(bench.earliest(), 9);
    bench.lab.world.start(away);
    bench.lab.run(secs(10));
    let replica = bench.lab.replica(away, bench.id);
    assert_eq!((replica.log.start(), replica.log.end(), replica.high_watermark), (9, 9, 9));
    assert_eq!(bench.lab.isr(bench.id), 3);
}

#[test]
fn b9_deleted_records_are_gone_on_all_replicas_when_it_is_answered() {
    let mut bench = Bench::new(&[]);
    bench.write(6);
    let asked = bench.delete(Some(4), secs(30));
    let begin = bench.lab.now();
    let done = bench.deleted(asked);
    assert_eq!((done.error, done.low_watermark), (ErrorCode::None, 4));
    // The followers hear of it at the end of their long poll, and report with the next.
    assert_between(bench.lab.now().since(begin), 1, 1_010);
    assert_eq!((bench.earliest(), bench.starts()), (4, vec![4; 3]));
    assert_eq!(bench.fetch(3).expect("an answer").error, ErrorCode::OffsetOutOfRange);
    assert_eq!(bench.fetch(4).expect("records").entries.len(), 2);
    let asked = bench.delete(Some(7), secs(30));
    assert_eq!(bench.deleted(asked).error, ErrorCode::OffsetOutOfRange, "beyond the high watermark");
    let asked = bench.delete(None, secs(30));
    assert_eq!(bench.deleted(asked).low_watermark, 6, "everything up to the high watermark");
    let elsewhere = NodeId((bench.leader.0 + 1) % 3);
    bench.leader = elsewhere;
    let asked = bench.delete(None, secs(30));
    assert_eq!(bench.deleted(asked).error, ErrorCode::NotLeaderOrFollower);
}

#[test]
fn b9_deletion_waits_for_live_replicas_and_times_out() {
    let mut bench = Bench::new(&[]);
    bench.write(6);
    let frozen = NodeId((bench.leader.0 + 1) % 3);
    bench.lab.world.pause(frozen);
    let asked = bench.delete(Some(4), secs(3));
    let begin = bench.lab.now();
    let done = bench.deleted(asked);
    assert_eq!((done.error, done.error.code()), (ErrorCode::RequestTimedOut, 7));
    assert_between(bench.lab.now().since(begin), 3_000, 3_002);
    assert_eq!(bench.earliest(), 4, "the leader has done its part");
    let asked = bench.delete(Some(4), secs(30));
    assert_eq!(bench.deleted(asked).error, ErrorCode::None);
    // The frozen broker is fenced by now and does not count.
    assert_between(bench.lab.now().since(begin), 7_000, 10_500);
}

#[test]
fn b9_what_was_deleted_stays_deleted_through_a_failover() {
    let mut bench = Bench::new(&[]);
    bench.write(6);
    let asked = bench.delete(Some(4), secs(30));
    bench.deleted(asked);
    let leader = bench.leader;
    bench.lab.world.kill(leader);
    let id = bench.id;
    bench.lab.until(secs(15), |kafka| {
        kafka.truth().partition(id).is_some_and(|partition| partition.leader != Some(leader))
    });
    bench.leader = bench.lab.leader(id).expect("another one leads");
    bench.lab.run(secs(1));
    assert_eq!(bench.earliest(), 4);
}

#[test]
fn b13_a_batch_larger_than_a_segment_is_refused() {
    let mut bench = Bench::new(&[("internal.segment.bytes", "80")]);
    let refused = bench.write_stamped(None);
    assert_eq!((refused.error, refused.error.code()), (ErrorCode::RecordListTooLarge, 18));
    assert_eq!(bench.lab.replica(bench.leader, bench.id).log.end(), 0);
}

#[test]
fn c3_a_producer_that_was_idle_for_long_may_begin_anywhere() {
    let rules = kafka_4_3_test_cluster();
    assert_eq!((rules.producer_expiration, rules.producer_expiration_check), (secs(86_400), secs(600)));
    let stamp = |base_seq| Some(ProducerStamp { pid: 7, epoch: 0, base_seq, transactional: false });
    let mut bench = Bench::with(Rules { producer_expiration: secs(900), ..rules }, &[]);
    assert_eq!(bench.write_stamped(stamp(0)).error, ErrorCode::None);
    bench.lab.run(secs(899));
    assert_eq!(bench.write_stamped(stamp(5)).error, ErrorCode::OutOfOrderSequenceNumber);
    bench.lab.run(secs(310));
    assert_eq!(bench.write_stamped(stamp(5)).error, ErrorCode::None, "looked at every ten minutes");
    assert_eq!(bench.write_stamped(stamp(7)).error, ErrorCode::OutOfOrderSequenceNumber);
}

#[test]
fn c3_retention_leaves_what_producers_are_remembered_by_but_not_on_a_new_replica() {
    let stamp = |base_seq| Some(ProducerStamp { pid: 7, epoch: 0, base_seq, transactional: false });
    let mut bench = Bench::new(&[("internal.segment.bytes", "250"), ("retention.ms", "60000")]);
    for sequence in 0..4 {
        bench.write_stamped(stamp(sequence));
    }
    bench.lab.run(secs(350));
    assert_eq!(bench.starts(), [4; 3]);
    let repeated = bench.write_stamped(stamp(3));
    assert_eq!(
        (repeated.error, repeated.base_offset),
        (ErrorCode::None, Some(3)),
        "of records that are gone"
    );
    assert_eq!(bench.write_stamped(stamp(9)).error, ErrorCode::OutOfOrderSequenceNumber);
    // A broker with an empty disk copies the log as it is now, and knows nothing of the producer.
    let (id, leader) = (bench.id, bench.leader);
    for node in 0..3 {
        if NodeId(node) != leader {
            bench.lab.world.kill(NodeId(node));
            bench.lab.run(secs(12));
            bench.lab.world.wipe(NodeId(node));
            bench.lab.world.start(NodeId(node));
            bench.lab.run(secs(10));
        }
    }
    bench.lab.world.stop(leader);
    bench.lab.run(secs(1));
    bench.leader = bench.lab.leader(id).expect("another one leads");
    assert_ne!(bench.leader, leader);
    assert_eq!(bench.write_stamped(stamp(9)).error, ErrorCode::None, "any sequence number will do");
}
