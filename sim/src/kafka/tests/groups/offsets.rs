//! Committed offsets (E7): what is kept with them, what is refused, and when they expire.

use super::*;
use crate::kafka::protocol::{Payload, TopicIx};

impl Groups {
    fn commit_all(&mut self, probe: NodeId, offsets: Vec<CommittedOffset>) -> Vec<(PartitionId, ErrorCode)> {
        let request = OffsetCommitRequest { group: self.group, member: None, offsets: offsets.into() };
        let asked = self.lab.ask(probe, self.coordinator, RequestBody::OffsetCommit(request));
        match self.lab.wait(asked, secs(10)) {
            Some(ResponseBody::OffsetCommit(results)) => results.to_vec(),
            other => panic!("not an answer to OffsetCommit: {other:?}"),
        }
    }

    /// What the offsets topic holds of tombstones: of offsets, of groups.
    fn tombstones(&self) -> (usize, usize) {
        let partitions = self.lab.kafka().shared.rules.offsets_partitions;
        let entries = (0..partitions).flat_map(|partition| {
            let id = PartitionId::new(TopicIx::CONSUMER_OFFSETS, partition);
            self.lab.leader(id).map(|node| self.lab.replica(node, id).log.entries()).unwrap_or_default()
        });
        entries.fold((0, 0), |(offsets, groups), entry| match &entry.batch.payload {
            Payload::OffsetsGone(_, gone) => (offsets + gone.len(), groups),
            Payload::GroupGone(_) => (offsets, groups + 1),
            _ => (offsets, groups),
        })
    }
}

fn offset(partition: PartitionId, metadata_bytes: u32) -> CommittedOffset {
    CommittedOffset { partition, offset: 7, leader_epoch: Some(3), metadata_bytes }
}

#[test]
fn e7_metadata_has_its_bound_and_the_leader_epoch_is_kept() {
    let mut groups = Groups::new(1);
    let probe = groups.lab.probe();
    let (fits, too_large) = (groups.topic, PartitionId { partition: 1, ..groups.topic });
    let results = groups.commit_all(probe, vec![offset(fits, 4_096), offset(too_large, 4_097)]);
    assert_eq!(results, [(fits, ErrorCode::None), (too_large, ErrorCode::OffsetMetadataTooLarge)]);
    assert_eq!(ErrorCode::OffsetMetadataTooLarge.code(), 12);
    let request = OffsetFetchRequest {
        group: groups.group,
        member: None,
        partitions: vec![fits, too_large],
        stable: true,
    };
    let asked = groups.lab.ask(probe, groups.coordinator, RequestBody::OffsetFetch(request));
    match groups.lab.wait(asked, secs(1)) {
        Some(ResponseBody::OffsetFetch(ErrorCode::None, found)) => {
            assert_eq!(found, [(fits, Some(offset(fits, 4_096))), (too_large, None)]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn e7_a_commit_that_fits_into_no_batch_is_refused() {
    let mut groups = Groups::new(2);
    let probe = groups.lab.probe();
    let offsets: Vec<CommittedOffset> =
        (0..260).map(|partition| offset(PartitionId { partition, ..groups.topic }, 4_000)).collect();
    let results = groups.commit_all(probe, offsets);
    assert!(results.iter().all(|(_, error)| *error == ErrorCode::InvalidCommitOffsetSize));
    assert_eq!((results.len(), ErrorCode::InvalidCommitOffsetSize.code()), (260, 28));
    assert_eq!(groups.committed(probe), Ok(None));
}

/// Ten minutes for retention, looked at every minute, so that the test is quick.
fn short() -> Groups {
    let rules =
        Rules { offsets_retention: secs(600), offsets_retention_check: secs(60), ..kafka_4_3_test_cluster() };
    Groups::with(Lab::with(3, 3, rules))
}

#[test]
fn e7_offsets_are_kept_for_seven_days_by_default() {
    let rules = kafka_4_3_test_cluster();
    assert_eq!(rules.offsets_retention, secs(7 * 24 * 3600));
    assert_eq!(rules.offsets_retention_check, secs(600));
    assert_eq!(rules.offset_metadata_max_bytes, 4_096);
    assert_eq!(rules.offsets_partitions, 8);
    assert_eq!(crate::kafka::profile::kafka_4_3().offsets_partitions, 50);
}

#[test]
fn e7_offsets_expire_after_the_last_member_went() {
    let mut groups = short();
    groups.session = secs(1_000);
    let (member, generation) = groups.stable();
    assert_eq!(groups.commit(member.probe, Some((member.id, generation)), 9), ErrorCode::None);
    groups.lab.run(secs(900));
    assert_eq!(groups.committed(member.probe), Ok(Some(9)), "the group has a member");
    let body = RequestBody::LeaveGroup(groups.group, member.id, None);
    let asked = groups.lab.ask(member.probe, groups.coordinator, body);
    groups.lab.wait(asked, secs(1));
    let begin = groups.lab.now();
    groups.lab.run(secs(590));
    assert_eq!(groups.committed(member.probe), Ok(Some(9)));
    while groups.committed(member.probe) != Ok(None) {
        groups.lab.run(secs(1));
    }
    assert_between(groups.lab.now().since(begin), 600_000, 662_000);
    groups.lab.run(secs(1));
    assert_eq!(groups.tombstones(), (1, 1), "the offset's and the group's");
    // What was forgotten stays so under another coordinator.
    let old = groups.coordinator;
    groups.lab.world.kill(old);
    while groups.coordinator == old || groups.committed(member.probe).is_err() {
        groups.lab.run(millis(100));
        groups.find(member.probe);
    }
    assert_eq!(groups.committed(member.probe), Ok(None));
}

#[test]
fn e7_offsets_without_members_expire_after_their_commit() {
    let mut groups = short();
    let probe = groups.lab.probe();
    assert_eq!(groups.commit(probe, None, 9), ErrorCode::None);
    groups.lab.run(secs(400));
    assert_eq!(groups.commit(probe, None, 10), ErrorCode::None);
    groups.lab.run(secs(590));
    assert_eq!(groups.committed(probe), Ok(Some(10)), "the last commit counts");
    groups.lab.run(secs(80));
    assert_eq!(groups.committed(probe), Ok(None));
}

#[test]
fn e7_a_topic_that_nobody_wants_any_more_expires_under_a_living_group() {
    let mut groups = short();
    groups.session = secs(1_700);
    let probe = groups.lab.probe();
    let other = groups.lab.topic_of("other", 1, 3, 2, &[]);
    let results = groups.commit_all(probe, vec![offset(other, 0), offset(groups.topic, 0)]);
    assert!(results.iter().all(|(_, error)| !error.is_error()));
    groups.stable();
    groups.lab.run(secs(700));
    assert_eq!(groups.committed(probe), Ok(Some(7)), "a member wants this one");
    assert_eq!(groups.tombstones(), (1, 0));
}

#[test]
fn e7_a_coordinator_that_replays_wrongly_jumps_back() {
    for (replay_newest_offset, after) in [(true, 9), (false, 3)] {
        let rules = Rules { replay_newest_offset, ..kafka_4_3_test_cluster() };
        let mut groups = Groups::with(Lab::with(4, 3, rules));
        let probe = groups.lab.probe();
        assert_eq!(groups.commit(probe, None, 3), ErrorCode::None);
        assert_eq!(groups.commit(probe, None, 9), ErrorCode::None);
        groups.fail_over(probe);
        assert_eq!(groups.committed(probe), Ok(Some(after)));
    }
}

#[test]
fn e7_a_coordinator_that_still_reads_says_so() {
    let rules = Rules { group_load_takes: secs(5), ..kafka_4_3_test_cluster() };
    let mut groups = Groups::with(Lab::with(5, 3, rules));
    let probe = groups.lab.probe();
    while groups.committed(probe) != Ok(None) {
        groups.lab.run(millis(500));
    }
    groups.kill_coordinator(probe, millis(100));
    let begin = groups.lab.now();
    let mut said = std::collections::BTreeSet::new();
    while let Err(error) = groups.committed(probe) {
        said.insert(error.code());
        let told = groups.lab.kafka().committed("billing", &Unit::new(&Topic::new("t"), 0));
        assert!(
            told.is_err_and(|error| error.class == squall_bus::ErrorClass::Retriable),
            "an administrator asks again"
        );
        groups.lab.run(millis(100));
        assert!(groups.lab.now().since(begin) < secs(10));
    }
    assert!(said.contains(&14) && said.iter().all(|code| [14, 16].contains(code)), "{said:?}");
}

/// Measured: mostly 18 to 40 ms, once more than 240 ms. The first coordinator has nothing to read.
#[test]
fn e7_one_coordinator_in_sixteen_reads_for_half_a_second() {
    let mut longest = Vec::new();
    for seed in 0..64 {
        let mut groups = Groups::with(Lab::with(seed, 3, kafka_4_3_test_cluster()));
        let probe = groups.lab.probe();
        groups.lab.run(millis(100));
        assert_eq!(groups.committed(probe), Ok(None));
        groups.kill_coordinator(probe, millis(1));
        let begin = groups.lab.now();
        while groups.committed(probe).is_err() {
            groups.lab.run(millis(1));
        }
        longest.push(groups.lab.now().since(begin).as_millis());
    }
    longest.sort_unstable();
    let long = longest.iter().filter(|took| **took > 400).count();
    assert!((1..=10).contains(&long) && longest[63] <= 520, "{longest:?}");
    assert!(longest[63 - long] <= 60, "{longest:?}");
}

#[test]
fn a6_what_a_group_committed_in_a_topic_goes_with_the_topic() {
    let mut groups = Groups::new(1);
    let probe = groups.lab.probe();
    let offset =
        CommittedOffset { partition: groups.topic, offset: 7, leader_epoch: None, metadata_bytes: 0 };
    assert_eq!(groups.commit_all(probe, vec![offset])[0].1, ErrorCode::None);
    assert_eq!(groups.committed(probe), Ok(Some(7)));
    groups.lab.world.model_mut().delete_topic(&Topic::new("t")).expect("it is there");
    groups.lab.run(secs(1));
    assert_eq!((groups.committed(probe), groups.tombstones()), (Ok(None), (1, 0)));
    // The next coordinator reads the tombstone.
    let coordinator = groups.coordinator;
    groups.lab.world.stop(coordinator);
    groups.lab.run(secs(5));
    groups.find(probe);
    assert_ne!(groups.coordinator, coordinator);
    assert_eq!(groups.committed(probe), Ok(None));
}

/// `offsets.commit.timeout.ms`, of each commit on its own.
#[test]
fn e7_every_commit_that_cannot_be_kept_is_answered_after_5_s() {
    let mut groups = Groups::new(1);
    let probes = [groups.lab.probe(), groups.lab.probe()];
    for other in (0..3).map(NodeId).filter(|node| *node != groups.coordinator) {
        groups.lab.world.kill(other);
    }
    let asked = probes.map(|probe| {
        let offsets = [offset(groups.topic, 0)].into();
        let request = OffsetCommitRequest { group: groups.group, member: None, offsets };
        let begin = groups.lab.now();
        let asked = groups.lab.ask(probe, groups.coordinator, RequestBody::OffsetCommit(request));
        groups.lab.run(secs(1));
        (asked, begin)
    });
    groups.lab.run(secs(10));
    for (asked, begin) in asked {
        let (at, body) = groups.lab.answer(asked).expect("an answer");
        let ResponseBody::OffsetCommit(results) = body else { panic!("{body:?}") };
        assert_eq!(results[0].1, ErrorCode::CoordinatorNotAvailable);
        assert_between(at.since(begin), 5_000, 5_010);
    }
}

#[test]
fn e7_offsets_expire_under_the_next_coordinator() {
    let mut groups = short();
    let probe = groups.lab.probe();
    assert_eq!(groups.commit(probe, None, 9), ErrorCode::None);
    let old = groups.coordinator;
    groups.lab.world.stop(old);
    groups.moves_on(old, probe);
    assert_eq!(groups.committed(probe), Ok(Some(9)));
    groups.lab.run(secs(700));
    assert_eq!(groups.committed(probe), Ok(None));
}
