//! Groups of the consumer protocol at their coordinator (E6, KIP-848).

use super::*;
use crate::kafka::protocol::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

/// A group over six partitions.
pub(super) fn six(seed: u64) -> Groups {
    six_with(Lab::new(seed))
}

pub(super) fn six_with(lab: Lab) -> Groups {
    let mut groups = Groups::with(lab);
    groups.topic = groups.lab.topic_of("six", 6, 3, 2, &[]);
    groups.lab.run(secs(3));
    groups
}

impl Groups {
    pub(super) fn member(&mut self, id: u64) -> Member {
        Member { probe: self.lab.probe(), id: MemberId(id) }
    }

    pub(super) fn joining(&self, member: Member) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest {
            group: self.group,
            member: member.id,
            epoch: 0,
            instance: self.instance.clone(),
            rebalance_timeout: Some(secs(20)),
            topics: Some(vec![self.topic.topic]),
            assignor: None,
            owned: Some(Vec::new()),
        }
    }

    pub(super) fn speak(
        &mut self,
        member: Member,
        request: ConsumerGroupHeartbeatRequest,
    ) -> ConsumerGroupHeartbeatResponse {
        let body = RequestBody::ConsumerGroupHeartbeat(request);
        let asked = self.lab.ask(member.probe, self.coordinator, body);
        match self.lab.wait(asked, secs(10)) {
            Some(ResponseBody::ConsumerGroupHeartbeat(response)) => response,
            other => panic!("not an answer to ConsumerGroupHeartbeat: {other:?}"),
        }
    }

    pub(super) fn enter(&mut self, member: Member) -> ConsumerGroupHeartbeatResponse {
        self.speak(member, self.joining(member))
    }

    /// A sign of life at this epoch; what it owns, if it says so.
    pub(super) fn beat(
        &mut self,
        member: Member,
        epoch: i32,
        owned: Option<Vec<PartitionId>>,
    ) -> ConsumerGroupHeartbeatResponse {
        let instance = self.instance.clone();
        let (rebalance_timeout, topics, assignor) = (None, None, None);
        let (group, member_id) = (self.group, member.id);
        let request = ConsumerGroupHeartbeatRequest {
            group,
            member: member_id,
            epoch,
            instance,
            rebalance_timeout,
            topics,
            assignor,
            owned,
        };
        self.speak(member, request)
    }

    fn fetch_as(&mut self, member: Member, epoch: i32) -> ErrorCode {
        let who = MemberEpoch { id: member.id, epoch, instance: None };
        let request = OffsetFetchRequest {
            group: self.group,
            member: Some(who),
            partitions: vec![self.topic],
            stable: true,
        };
        let asked = self.lab.ask(member.probe, self.coordinator, RequestBody::OffsetFetch(request));
        match self.lab.wait(asked, secs(5)) {
            Some(ResponseBody::OffsetFetch(error, _)) => error,
            other => panic!("not an answer to OffsetFetch: {other:?}"),
        }
    }
}

fn numbers(assignment: Option<&Vec<PartitionId>>) -> Vec<u32> {
    assignment.expect("an assignment").iter().map(|id| id.partition).collect()
}

#[test]
fn e6_a_partition_moves_only_after_its_owner_gave_it_up() {
    let mut groups = six(1);
    let (a, b) = (groups.member(1), groups.member(2));
    let joined = groups.enter(a);
    assert_eq!((joined.error, joined.epoch), (ErrorCode::None, 1));
    assert_eq!(joined.heartbeat_interval, secs(5));
    assert_eq!(numbers(joined.assignment.as_ref()), [0, 1, 2, 3, 4, 5]);
    let all = joined.assignment.expect("checked");

    let second = groups.enter(b);
    assert_eq!((second.error, second.epoch), (ErrorCode::None, 2), "it reaches the target's epoch at once");
    assert!(numbers(second.assignment.as_ref()).is_empty(), "and gets what is free: nothing");

    // The owner is told what it may keep, and stays at its epoch until it confirms.
    let told = groups.beat(a, 1, None);
    assert_eq!((told.epoch, numbers(told.assignment.as_ref())), (1, vec![0, 1, 2]));
    let kept = told.assignment.expect("checked");
    let again = groups.beat(a, 1, None);
    assert_eq!((again.epoch, again.assignment), (1, None), "no news");
    let still = groups.beat(a, 1, Some(all));
    assert_eq!(still.epoch, 1, "it says itself that it has not");
    assert_eq!(groups.beat(b, 2, None).assignment, None, "nothing for the taker yet");
    let confirmed = groups.beat(a, 1, Some(kept));
    assert_eq!((confirmed.error, confirmed.epoch), (ErrorCode::None, 2));
    let taken = groups.beat(b, 2, None);
    assert_eq!(numbers(taken.assignment.as_ref()), [3, 4, 5]);
}

#[test]
fn e6_epochs_are_checked() {
    let mut groups = six(2);
    let (a, b) = (groups.member(1), groups.member(2));
    groups.enter(a);
    assert_eq!(groups.beat(b, 3, None).error, ErrorCode::UnknownMemberId);
    assert_eq!(groups.beat(a, 2, None).error, ErrorCode::FencedMemberEpoch);
    assert_eq!(ErrorCode::FencedMemberEpoch.code(), 110);
    let own = |epoch| Some((MemberId(1), epoch));
    assert_eq!(groups.commit(a.probe, own(1), 5), ErrorCode::None);
    assert_eq!(groups.commit(a.probe, own(0), 6), ErrorCode::StaleMemberEpoch);
    assert_eq!(groups.commit(a.probe, own(2), 6), ErrorCode::StaleMemberEpoch);
    assert_eq!(ErrorCode::StaleMemberEpoch.code(), 113);
    assert_eq!(groups.commit(a.probe, Some((MemberId(9), 1)), 6), ErrorCode::UnknownMemberId);
    assert_eq!(groups.commit(a.probe, None, 6), ErrorCode::UnknownMemberId);
    assert_eq!(groups.committed(a.probe), Ok(Some(5)));
    assert_eq!(groups.fetch_as(a, 1), ErrorCode::None);
    assert_eq!(groups.fetch_as(a, 0), ErrorCode::StaleMemberEpoch);
    assert_eq!(groups.fetch_as(b, 1), ErrorCode::UnknownMemberId);
}

#[test]
fn e6_a_lost_answer_is_given_again() {
    let mut groups = six(3);
    let (a, b) = (groups.member(1), groups.member(2));
    let joined = groups.enter(a);
    // The answer to the join got lost: it joins again.
    assert_eq!(groups.enter(a), joined);
    groups.enter(b);
    let kept = groups.beat(a, 1, None).assignment;
    let confirmed = groups.beat(a, 1, kept.clone());
    assert_eq!(confirmed.epoch, 2);
    // So did the answer to the confirmation: the epoch before, owning no more than it has.
    assert_eq!(groups.beat(a, 1, kept).epoch, 2);
    let more = groups.beat(b, 2, None).assignment;
    assert_eq!(groups.beat(a, 1, more).error, ErrorCode::FencedMemberEpoch);
}

#[test]
fn e6_the_coordinator_deals_by_uniform_or_range() {
    let mut groups = six(4);
    for (assignor, error) in [
        (Assignor::RoundRobin, ErrorCode::UnsupportedAssignor),
        (Assignor::CooperativeSticky, ErrorCode::UnsupportedAssignor),
        (Assignor::Range, ErrorCode::None),
        (Assignor::Uniform, ErrorCode::None),
    ] {
        let member = groups.member(assignor as u64 + 10);
        let request = ConsumerGroupHeartbeatRequest { assignor: Some(assignor), ..groups.joining(member) };
        assert_eq!(groups.speak(member, request).error, error, "{}", assignor.name());
    }
    assert_eq!(ErrorCode::UnsupportedAssignor.code(), 112);
}

#[test]
fn e6_a_silent_member_is_unknown_after_its_session() {
    let mut groups = six(5);
    let (silent, other) = (groups.member(1), groups.member(2));
    let begin = groups.lab.now();
    groups.enter(silent);
    groups.enter(other);
    let took = loop {
        groups.lab.run(secs(1));
        let told = groups.beat(other, 2, None);
        if told.epoch > 2 {
            assert_eq!(numbers(told.assignment.as_ref()).len(), 6);
            break groups.lab.now().since(begin);
        }
    };
    assert_between(took, 45_000, 46_100);
    // Measured: 25, not 110, and the same for its commit.
    assert_eq!(groups.beat(silent, 1, None).error, ErrorCode::UnknownMemberId);
    assert_eq!(groups.commit(silent.probe, Some((silent.id, 1)), 1), ErrorCode::UnknownMemberId);
}

#[test]
fn e6_a_slow_revoker_blocks_its_own_partitions_until_its_rebalance_timeout() {
    let mut groups = six(6);
    let (slow, taker) = (groups.member(1), groups.member(2));
    groups.enter(slow);
    groups.enter(taker);
    let begin = groups.lab.now();
    assert_eq!(numbers(groups.beat(slow, 1, None).assignment.as_ref()).len(), 3);
    let took = loop {
        groups.lab.run(secs(1));
        let told = groups.beat(slow, 1, None);
        if told.error.is_error() {
            assert_eq!(told.error, ErrorCode::UnknownMemberId);
            break groups.lab.now().since(begin);
        }
        assert_eq!(groups.beat(taker, 2, None).assignment, None, "what is not given up is not dealt");
    };
    assert_between(took, 20_000, 21_100);
    let told = groups.beat(taker, 2, None);
    assert_eq!((told.epoch, numbers(told.assignment.as_ref()).len()), (3, 6));
}

#[test]
fn e6_leaving_frees_at_once() {
    let mut groups = six(7);
    let (a, b) = (groups.member(1), groups.member(2));
    groups.enter(a);
    groups.enter(b);
    let gone = groups.beat(a, -1, None);
    assert_eq!((gone.error, gone.epoch), (ErrorCode::None, -1));
    let told = groups.beat(b, 2, None);
    assert_eq!((told.epoch, numbers(told.assignment.as_ref()).len()), (3, 6));
}

#[test]
fn e6_a_static_member_may_be_away_for_a_session() {
    let mut groups = six(8);
    groups.instance = Some(InstanceId::new("one"));
    let before = groups.member(1);
    let had = groups.enter(before).assignment;
    // While it is here, its name is taken; and it is fenced once another has it.
    let again = groups.member(2);
    assert_eq!(groups.enter(again).error, ErrorCode::UnreleasedInstanceId);
    assert_eq!(ErrorCode::UnreleasedInstanceId.code(), 111);
    assert_eq!(groups.beat(before, -2, None).epoch, -2);
    groups.instance = None;
    let other = groups.member(3);
    let joined = groups.enter(other);
    assert!(numbers(joined.assignment.as_ref()).is_empty(), "what it had waits for it");
    groups.instance = Some(InstanceId::new("one"));
    let back = groups.enter(again);
    assert_eq!(back.error, ErrorCode::None);
    assert_eq!(numbers(back.assignment.as_ref()).len(), 3, "half of {had:?} is another's to be");
    assert_eq!(groups.beat(before, 1, None).error, ErrorCode::FencedInstanceId);
}

#[test]
fn e6_one_group_speaks_one_protocol() {
    let mut groups = six(9);
    let member = groups.member(1);
    groups.enter(member);
    let probe = groups.lab.probe();
    let asked = groups.ask_join(probe, None);
    assert_eq!(groups.joined(asked).error, ErrorCode::InconsistentGroupProtocol);
    groups.beat(member, -1, None);
    let (classic, asked) = groups.begin_join();
    assert_eq!(groups.joined(asked).error, ErrorCode::None, "an empty group may change");
    assert_eq!(groups.enter(member).error, ErrorCode::GroupIdNotFound);
    let _ = classic;
}

#[test]
fn e6_an_older_broker_does_not_speak_it() {
    let rules = Rules { consumer_protocol: false, ..kafka_4_3_test_cluster() };
    let mut groups = Groups::with(Lab::with(13, 3, rules));
    let member = groups.member(1);
    assert_eq!(groups.enter(member).error, ErrorCode::UnsupportedVersion);
    assert_eq!(ErrorCode::UnsupportedVersion.code(), 35);
}

#[test]
fn e6_the_epochs_outlive_their_coordinator() {
    let mut groups = six(10);
    let (a, b) = (groups.member(1), groups.member(2));
    groups.enter(a);
    groups.enter(b);
    assert_eq!(groups.commit(a.probe, Some((a.id, 1)), 5), ErrorCode::None);
    groups.fail_over(a.probe);
    let told = groups.beat(a, 1, None);
    assert_eq!((told.error, told.epoch), (ErrorCode::None, 1));
    let kept = told.assignment;
    assert_eq!(groups.beat(a, 1, kept).epoch, 2);
    assert_eq!(numbers(groups.beat(b, 2, None).assignment.as_ref()), [3, 4, 5]);
}

/// That the invariant bites: a coordinator that does not wait gives one partition to two.
#[test]
fn e6_moving_before_the_release_breaks_the_invariant() {
    let rules = Rules { consumer_waits_for_release: false, ..kafka_4_3_test_cluster() };
    let mut groups = six_with(Lab::with(11, 3, rules));
    groups.lab.strict = false;
    let (a, b) = (groups.member(1), groups.member(2));
    groups.enter(a);
    assert!(groups.lab.world.violation().is_none());
    assert_eq!(numbers(groups.enter(b).assignment.as_ref()).len(), 3);
    let violation = groups.lab.world.violation().expect("two owners");
    assert!(violation.what.starts_with("ValidPartitionEpoch"), "{violation:?}");
}
