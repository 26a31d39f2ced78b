//! That `GroupEpochs` bites: a group of the consumer protocol is made what it must never be, and its next heartbeat is
//! noticed, as is any event when everything is looked at.

use super::{consumer::six, *};
use crate::kafka::group::{ConsumerGroup, consumer::ConsumerGroupRecord};

/// Two members that have reached their target at epoch 2, with three of six partitions each.
fn two(seed: u64) -> (Groups, [Member; 2]) {
    let mut groups = six(seed);
    let [a, b] = [1, 2].map(|id| groups.member(id));
    let all = groups.enter(a).assignment.expect("it joins");
    groups.enter(b);
    groups.beat(a, 1, None);
    groups.beat(a, 1, Some(all[..3].to_vec()));
    groups.beat(b, 2, None);
    groups.lab.run(secs(1));
    groups.lab.strict = false;
    (groups, [a, b])
}

fn group(groups: &mut Groups) -> &mut ConsumerGroup {
    let (id, coordinator) = (groups.group, groups.coordinator);
    let model = groups.lab.world.model_mut();
    let partition = model.offsets_partition("billing");
    let broker = model.servers[coordinator.index()].data_mut().expect("a broker");
    let group = broker.coordinator.group_mut(partition, id).expect("it is coordinated here");
    group.consumer.as_mut().expect("of the consumer protocol")
}

/// Plants something into the group, and expects it to be noticed in these words.
#[track_caller]
fn bites(words: &str, plant: impl Fn(&mut ConsumerGroup, PartitionId)) {
    for fully in [false, true] {
        let (mut groups, [a, _]) = two(31);
        if fully {
            groups.lab.world.check_fully();
        }
        let first = groups.topic;
        groups.beat(a, 2, None);
        assert_eq!(groups.lab.world.violation(), None, "nothing is planted yet");
        plant(group(&mut groups), first);
        groups.beat(a, 2, None);
        let violation = groups.lab.world.violation().expect("it is noticed");
        assert_eq!(violation.invariant, "GroupEpochs", "fully: {fully}; {violation:?}");
        assert!(violation.what.contains(words), "fully: {fully}; {violation:?}");
    }
}

fn records(
    plant: impl Fn(&mut ConsumerGroupRecord, PartitionId),
) -> impl Fn(&mut ConsumerGroup, PartitionId) {
    move |group, first| plant(&mut group.record, first)
}

const A: MemberId = MemberId(1);
const B: MemberId = MemberId(2);

#[test]
fn e6_a_target_is_dealt_once_and_to_who_wants_it() {
    let twice = |record: &mut ConsumerGroupRecord, first| {
        record.target.get_mut(&B).expect("a share").push(first);
    };
    bites("LegalTargetAssignment: group billing deals six/0 twice", records(twice));
    let unwanted = |record: &mut ConsumerGroupRecord, _| {
        record.members.get_mut(&B).expect("a member").topics.clear();
    };
    bites("what it does not want", records(unwanted));
    let nobody = |record: &mut ConsumerGroupRecord, _| {
        let share = record.target.remove(&B).expect("a share");
        record.target.insert(MemberId(9), share);
    };
    bites("LegalTargetAssignment: group billing deals MemberId(9) what it does not want", records(nobody));
}

#[test]
fn e6_a_partition_is_one_members() {
    let words = "ValidPartitionEpoch: group billing: six/0 is MemberId(2)'s and another's";
    let assigned = |record: &mut ConsumerGroupRecord, first| {
        record.members.get_mut(&B).expect("a member").assigned.push(first);
    };
    bites(words, records(assigned));
    let revoking = |record: &mut ConsumerGroupRecord, first| {
        record.members.get_mut(&B).expect("a member").revoking.push(first);
    };
    bites(words, records(revoking));
}

#[test]
fn e6_a_member_is_never_ahead_of_its_target() {
    let ahead = |record: &mut ConsumerGroupRecord, _| record.members.get_mut(&B).expect("a member").epoch = 3;
    bites("ValidMemberEpoch: group billing: MemberId(2) is at 3 of 2", records(ahead));
}

/// A static member that is away is at no epoch.
#[test]
fn e6_a_member_that_is_away_is_not_ahead() {
    let (mut groups, [a, _]) = two(32);
    groups.lab.strict = true;
    let away = group(&mut groups).record.members.get_mut(&B).expect("a member");
    (away.epoch, away.previous_epoch) = (-2, 2);
    groups.beat(a, 2, None);
}

#[test]
fn e6_a_stable_group_has_its_target() {
    let swapped = |record: &mut ConsumerGroupRecord, _| {
        let of_a = std::mem::take(&mut record.members.get_mut(&A).expect("a member").assigned);
        let of_b = &mut record.members.get_mut(&B).expect("a member").assigned;
        let of_b = std::mem::replace(of_b, of_a);
        record.members.get_mut(&A).expect("a member").assigned = of_b;
    };
    bites("ValidStableGroupState: group billing is stable beside its target", records(swapped));
}

/// The group's epoch, or a member's, is lower in the log than it was: noticed by whoever remembers it.
#[test]
fn e6_an_epoch_that_the_log_has_kept_never_falls() {
    type Change = fn(&mut ConsumerGroupRecord);
    let falls: [Change; 2] =
        [|kept| kept.epoch = 1, |kept| kept.members.get_mut(&B).expect("a member").epoch = 1];
    for change in falls {
        let (mut groups, [a, _]) = two(33);
        groups.beat(a, 2, None);
        assert_eq!(groups.lab.world.violation(), None, "nothing is planted yet");
        let group = group(&mut groups);
        let mut kept = group.kept().clone();
        change(&mut kept);
        group.persisted(Arc::new(kept));
        groups.beat(a, 2, None);
        let violation = groups.lab.world.violation().expect("it is noticed");
        assert_eq!(violation.what, "ValidMemberEpoch: group billing: an epoch fell");
    }
}
