//! That invariants bite: a piece of state is made what it must never be, and the next events are noticed, by what they
//! touched and by looking at everything anew. (Those of groups are tested with the groups.)

use super::{logs::Bench, *};
use crate::{
    kafka::{
        metadata::{MetadataRecord, PartitionImage},
        protocol::Entry,
        quorum::MetadataBatch,
        rules::TransactionVersion,
        segments::SegmentLimits,
        txn::messages::{Marker, ProducerIdAndEpoch},
    },
    nodes::NodeSet,
};

fn bench(config: &[(&str, &str)], fully: bool) -> Bench {
    let mut bench = Bench::new(config);
    if fully {
        bench.lab.world.check_fully();
    }
    bench.lab.strict = false;
    bench
}

fn replica(bench: &mut Bench, node: NodeId) -> &mut Replica {
    let id = bench.id;
    let broker = bench.lab.world.model_mut().servers[node.index()].data_mut().expect("a broker");
    broker.replica_mut(id).expect("it has one")
}

fn follower(bench: &Bench) -> NodeId {
    (0..3).map(NodeId).find(|node| *node != bench.leader).expect("there are three")
}

/// Writes on, if it can, until an invariant is broken: which one, and how.
fn noticed(bench: &mut Bench) -> Option<(&'static str, String)> {
    for _ in 0..3 {
        let (probe, leader, id) = (bench.probe, bench.leader, bench.id);
        bench.lab.produce(probe, leader, id, Acks::All);
        bench.lab.run(millis(500));
    }
    let violation = bench.lab.world.violation()?;
    Some((violation.invariant, violation.what.clone()))
}

/// Plants a piece of state into a cluster with some records, and expects it to be noticed in these words: after the
/// events that touch it, and by looking at everything.
fn bites(invariant: &str, words: &str, plant: impl Fn(&mut Bench)) {
    for fully in [false, true] {
        bites_in(fully, invariant, words, &plant);
    }
}

/// The same in one of these ways alone.
fn bites_in(fully: bool, invariant: &str, words: &str, plant: &impl Fn(&mut Bench)) {
    let mut bench = bench(&[], fully);
    bench.write(4);
    bench.lab.run(secs(1));
    assert_eq!(noticed(&mut bench), None, "nothing is planted yet");
    plant(&mut bench);
    let (name, what) = noticed(&mut bench).expect("it is noticed");
    assert_eq!(name, invariant, "fully: {fully}; {what}");
    assert!(what.contains(words), "fully: {fully}; {what}");
}

/// Plants a piece of state into the leader while nothing is written, and expects that to be noticed.
fn bites_at_rest(invariant: &str, plant: impl Fn(&mut Replica, NodeId)) {
    let mut bench = bench(&[], true);
    bench.write(2);
    assert_eq!(noticed(&mut bench), None, "nothing is planted yet");
    let leader = bench.leader;
    plant(replica(&mut bench, leader), leader);
    bench.lab.run(millis(600));
    let violation = bench.lab.world.violation().expect("it is noticed");
    assert_eq!(violation.invariant, invariant, "{}", violation.what);
}

/// A batch of one record under this stamp, at the end of a replica's log, whatever its broker thinks of it.
fn append(bench: &mut Bench, node: NodeId, batch: Batch) {
    let rules = bench.lab.kafka().shared.rules.clone();
    let replica = replica(bench, node);
    let entry = Entry::new(replica.log.end(), replica.leader_epoch, Arc::new(batch));
    replica.append(entry, &rules);
}

fn stamped(bench: &mut Bench, epoch: u16, base_seq: u32) {
    let stamp = ProducerStamp { pid: 9, epoch, base_seq, transactional: false };
    let (batch, _) = bench.lab.batch(1, Some(stamp));
    let batch = Batch { timestamp: bench.lab.now(), ..(*batch).clone() };
    append(bench, bench.leader, batch);
}

/// Changes what the controller has of the partition.
fn decree(bench: &mut Bench, change: impl Fn(&mut PartitionImage)) {
    let id = bench.id;
    let truth = &mut bench.lab.world.model_mut().truth;
    let mut partition = truth.partition(id).expect("it exists").clone();
    change(&mut partition);
    truth.apply(&[MetadataRecord::Partition(id, partition)], &mut Vec::new());
}

#[test]
fn b2_log_matching_finds_another_record_below_the_high_watermark() {
    bites("LogMatching", "differs at offset 2, below its high watermark", |bench| {
        let node = follower(bench);
        let rules = bench.lab.kafka().shared.rules.clone();
        let replica = replica(bench, node);
        let high_watermark = replica.high_watermark;
        let mut entries: Vec<Entry> = replica.log.entries()[2..].to_vec();
        entries[0].batch = Arc::clone(&entries[1].batch);
        replica.truncate(2, &rules);
        entries.into_iter().for_each(|entry| {
            replica.append(entry, &rules);
        });
        replica.high_watermark = high_watermark;
    });
}

#[test]
fn b3_high_watermark_sane_finds_one_beyond_the_log() {
    // Every in-sync replica has what there is.
    bites_at_rest("HighWatermarkSane", |replica, _| replica.high_watermark = replica.log.end() + 1);
}

/// A member of the in-sync replicas lost what is committed, or has something else behind its own high watermark; no
/// event touched it.
#[test]
fn b2_strong_isr_finds_a_member_without_what_is_committed() {
    bites_in(true, "StrongIsr", "records are committed and its log ends at 2", &|bench: &mut Bench| {
        let (node, rules) = (follower(bench), bench.lab.kafka().shared.rules.clone());
        replica(bench, node).truncate(2, &rules);
    });
    bites_in(true, "StrongIsr", "records are committed and its log differs", &|bench: &mut Bench| {
        let (node, rules) = (follower(bench), bench.lab.kafka().shared.rules.clone());
        let replica = replica(bench, node);
        let mut entries: Vec<Entry> = replica.log.entries()[2..].to_vec();
        entries[0].batch = Arc::clone(&entries[1].batch);
        replica.truncate(2, &rules);
        entries.into_iter().for_each(|entry| {
            replica.append(entry, &rules);
        });
        replica.high_watermark = 2;
    });
}

#[test]
fn c3_idempotence_finds_a_gap_and_a_new_epoch_that_does_not_begin_at_0() {
    let one_and_three = |bench: &mut Bench| [0, 2].into_iter().for_each(|seq| stamped(bench, 0, seq));
    bites("Idempotence", "a batch out of sequence at offset", one_and_three);
    let again = |bench: &mut Bench| [0, 0].into_iter().for_each(|seq| stamped(bench, 0, seq));
    bites("Idempotence", "a batch out of sequence at offset", again);
    bites("Idempotence", "a batch out of sequence at offset", |bench| {
        stamped(bench, 3, 0);
        stamped(bench, 4, 1);
    });
    bites("Idempotence", "a batch out of sequence at offset", |bench| {
        stamped(bench, 3, 0);
        stamped(bench, 2, 0);
    });
}

#[test]
fn c3_idempotence_allows_what_follows_and_a_new_epoch_from_0() {
    for fully in [false, true] {
        let mut bench = bench(&[], fully);
        for (epoch, seq) in [(0, 0), (0, 1), (1, 0), (3, 0), (3, 1)] {
            stamped(&mut bench, epoch, seq);
            assert_eq!(noticed(&mut bench), None);
        }
    }
}

#[test]
fn d1_transactions_finds_a_marker_that_nobody_decided() {
    for commit in [false, true] {
        bites("Transactions", "was never decided", |bench| {
            let producer = ProducerIdAndEpoch { pid: 9, epoch: 0 };
            let version = TransactionVersion::V1;
            let marker = Marker { producer, commit, coordinator_epoch: 0, version };
            let batch = Batch::of_marker(marker, bench.lab.now());
            append(bench, bench.leader, batch);
        });
    }
}

/// The log has a transaction of which its broker knows nothing, before one that it knows.
#[test]
fn d5_last_stable_offset_finds_a_transaction_that_is_left_out() {
    bites("LastStableOffset", "by the log it is", |bench| {
        let (leader, now) = (bench.leader, bench.lab.now());
        let [unknown, known] = [9, 8].map(|pid| {
            let stamp = ProducerStamp { pid, epoch: 0, base_seq: 0, transactional: true };
            let (batch, _) = bench.lab.batch(1, Some(stamp));
            Batch { timestamp: now, ..(*batch).clone() }
        });
        let replica = replica(bench, leader);
        let entry = Entry::new(replica.log.end(), replica.leader_epoch, Arc::new(unknown));
        replica.log.append(entry, SegmentLimits { bytes: u64::MAX, age: Duration::MAX });
        append(bench, leader, known);
    });
}

/// What the controller has, which no event touches: noticed when everything is looked at.
#[test]
fn a3_valid_controller_isr_and_elr_finds_what_makes_no_sense() {
    type Change = fn(&mut PartitionImage);
    let senseless: [(&str, Change); 4] = [
        ("in-sync or eligible nodes that are no replicas", |it| it.isr = it.isr.with(NodeId(7))),
        ("nodes both in sync and eligible", |it| it.elr = it.isr),
        ("eligible nodes although enough are in sync", |it| {
            let last = it.isr.iter().last().expect("three");
            (it.isr, it.elr) = (it.isr.without(last), NodeSet::EMPTY.with(last));
            it.leader = it.isr.iter().next();
        }),
        ("a leader that is not in sync", |it| it.isr = it.isr.without(it.leader.expect("it has one"))),
    ];
    for (words, change) in senseless {
        let mut bench = bench(&[], true);
        bench.write(2);
        assert_eq!(noticed(&mut bench), None);
        decree(&mut bench, change);
        let (name, what) = noticed(&mut bench).expect("it is noticed");
        assert_eq!(name, "ValidControllerIsrAndElr", "{what}");
        assert!(what.contains(words), "{what}");
    }
}

/// What every replica has deleted is compared with nothing any more: a run takes memory for what its brokers store.
#[test]
fn b11_what_is_deleted_everywhere_is_not_kept_to_compare_with() {
    let mut bench = bench(&[("internal.segment.bytes", "250"), ("retention.ms", "60000")], false);
    bench.write(10);
    let kept = |bench: &Bench| bench.lab.kafka().committed.borrow().kept(bench.id);
    assert_eq!(kept(&bench), 10);
    bench.lab.run(secs(400));
    bench.write(1);
    bench.lab.run(secs(1));
    let stored = bench.lab.replica(bench.leader, bench.id).log.entries().len();
    assert!(stored < 10 && kept(&bench) == stored, "{} of {stored}", kept(&bench));
}

/// A follower of the quorum takes for committed what its leader never wrote: noticed by the changes of a partition.
#[test]
fn a5_metadata_log_matching_finds_a_batch_that_the_leader_never_wrote() {
    for (fully, planted) in [(false, true), (true, true), (false, false)] {
        let mut bench = bench(&[], fully);
        bench.write(2);
        assert_eq!(noticed(&mut bench), None);
        let controller = bench.lab.controller();
        let others: Vec<NodeId> = (0..3).map(NodeId).filter(|node| *node != controller).collect();
        if planted {
            let voter = &mut bench.lab.world.model_mut().servers[others[0].index()].voter;
            let epoch = voter.epoch();
            voter.settle(MetadataBatch { epoch, records: Vec::new().into() });
        }
        // It leaves the in-sync replicas, and comes back among them.
        bench.lab.world.stop(others[1]);
        bench.lab.run(secs(10));
        bench.lab.world.start(others[1]);
        bench.lab.run(secs(20));
        let violation = bench.lab.world.violation();
        assert_eq!(violation.map(|it| it.invariant), planted.then_some("MetadataLogMatching"));
        let words = "differ in what they take for committed metadata";
        assert!(violation.is_none_or(|it| it.what.contains(words)), "{violation:?}");
    }
}

#[test]
fn b3_replication_quorum_superset_finds_a_leader_that_counts_too_few() {
    let alone = |replica: &mut Replica, leader| replica.isr = NodeSet::EMPTY.with(leader);
    bites_at_rest("ReplicationQuorumSuperset", alone);
}

/// A process that nobody reaches yet leads on in the epoch of the one before it, whatever that had proposed.
#[test]
fn b3_replication_quorum_superset_asks_nothing_of_a_leader_that_takes_no_connections() {
    let mut bench = bench(&[], true);
    bench.write(2);
    let (leader, id) = (bench.leader, bench.id);
    bench.lab.kill_and_start(leader);
    let leads = move |kafka: &Kafka| leads(kafka, leader, id);
    bench.lab.until(secs(5), leads);
    replica(&mut bench, leader).isr = NodeSet::EMPTY.with(leader);
    // Something for the invariants to look at.
    bench.lab.topic_of("other", 1, 3, 2, &[]);
    bench.lab.run(secs(1));
    assert!(leads(bench.lab.kafka()) && bench.lab.leader(id) == Some(leader));
    let violation = bench.lab.world.violation();
    assert!(violation.is_none(), "{violation:?}");
}

/// Three keys, the last record of one of them taken away by a cleaner that errs.
#[test]
fn b12_compaction_keeps_last_finds_a_key_without_its_last_record() {
    let taken = |offset: u64, fully: bool| {
        let mut bench = bench(&[("cleanup.policy", "compact")], fully);
        let put = |bench: &mut Bench, key: &'static str, value: &'static str| {
            let record = Record::new(&Topic::new("t"), Some(key.into()), value.into());
            bench.produce(Batch::of_records(vec![record], None, bench.lab.now()));
        };
        for (key, value) in [("a", "1"), ("b", "1"), ("a", "2"), ("b", ""), ("c", "1")] {
            put(&mut bench, key, value);
        }
        bench.lab.run(secs(1));
        let node = follower(&bench);
        let log = &mut replica(&mut bench, node).log;
        let dirty = log.entries().iter().filter(|entry| entry.base_offset < 4);
        let clean = dirty.filter(|entry| entry.base_offset != offset).cloned().collect();
        log.replace_below(4, clean, 1 << 20);
        put(&mut bench, "c", "2");
        bench.lab.run(secs(1));
        bench.lab.world.violation().map(|violation| (violation.invariant, violation.what.clone()))
    };
    for fully in [false, true] {
        let (name, what) = taken(2, fully).expect("it is noticed");
        assert_eq!(name, "CompactionKeepsLast");
        assert!(what.ends_with("took the last record of its key, at offset 2"), "{what}");
        // An older record, and a tombstone, may go.
        assert_eq!((taken(0, fully), taken(1, fully), taken(3, fully)), (None, None, None));
    }
}
