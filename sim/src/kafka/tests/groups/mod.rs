//! Groups at their coordinator.

mod answers;
mod consumer;
mod epochs;
mod offsets;
mod protocols;
mod refused;
mod rest;
mod statics;
mod waiting;

use super::*;
use crate::kafka::protocol::{
    Assignor, CommittedOffset, GroupIx, InstanceId, JoinGroupRequest, JoinGroupResponse, MemberEpoch,
    MemberId, MemberSubscription, OffsetCommitRequest, OffsetFetchRequest, SyncGroupRequest,
};

/// A client of a group, played by hand.
#[derive(Clone, Copy)]
struct Member {
    probe: NodeId,
    id: MemberId,
}

/// A lab with a group.
struct Groups {
    lab: Lab,
    group: GroupIx,
    topic: PartitionId,
    coordinator: NodeId,
    session: Duration,
    instance: Option<InstanceId>,
    assignors: Vec<Assignor>,
}

impl Groups {
    fn new(seed: u64) -> Self {
        Self::with(Lab::new(seed))
    }

    fn with(mut lab: Lab) -> Self {
        let topic = lab.topic(2);
        let group = lab.world.model_mut().shared.names.intern_group("billing");
        let mut groups = Self {
            lab,
            group,
            topic,
            coordinator: NodeId(0),
            session: secs(6),
            instance: None,
            assignors: vec![Assignor::Range],
        };
        let probe = groups.lab.probe();
        groups.lab.run(millis(50));
        groups.find(probe);
        groups
    }

    fn find(&mut self, probe: NodeId) -> ErrorCode {
        for broker in (0..3).map(NodeId) {
            let asked = self.lab.ask(probe, broker, RequestBody::FindCoordinator(self.group));
            if let Some(ResponseBody::FindCoordinator(error, node)) = self.lab.wait(asked, millis(500)) {
                self.coordinator = node.unwrap_or(self.coordinator);
                return error;
            }
            self.lab.hang_up(probe, broker);
        }
        ErrorCode::CoordinatorNotAvailable
    }

    /// Its coordinator dies; another one is found, and answers.
    fn fail_over(&mut self, probe: NodeId) {
        let old = self.coordinator;
        self.lab.world.kill(old);
        self.moves_on(old, probe);
    }

    /// Another than this one is found, and answers.
    fn moves_on(&mut self, old: NodeId, probe: NodeId) {
        self.another_than(old, probe, millis(100));
        while self.committed(probe).is_err() {
            self.lab.run(millis(100));
            self.find(probe);
        }
    }

    /// Its coordinator dies; another one is found, which may have to read first.
    fn kill_coordinator(&mut self, probe: NodeId, step: Duration) {
        let old = self.coordinator;
        self.lab.world.kill(old);
        self.another_than(old, probe, step);
    }

    /// Looks for another coordinator than this one, so often.
    fn another_than(&mut self, old: NodeId, probe: NodeId, step: Duration) {
        while self.coordinator == old {
            self.lab.run(step);
            self.find(probe);
        }
    }

    fn ask_join(&mut self, probe: NodeId, member: Option<MemberId>) -> Asked {
        let request = JoinGroupRequest {
            group: self.group,
            member,
            instance: self.instance.clone(),
            session_timeout: self.session,
            rebalance_timeout: secs(60),
            assignors: self.assignors.clone(),
            subscription: Arc::new(MemberSubscription {
                topics: vec![self.topic.topic],
                owned: Vec::new(),
                generation: None,
            }),
        };
        self.lab.ask(probe, self.coordinator, RequestBody::JoinGroup(request))
    }

    fn joined(&mut self, asked: Asked) -> JoinGroupResponse {
        match self.lab.wait(asked, secs(70)) {
            Some(ResponseBody::JoinGroup(response)) => response,
            other => panic!("not an answer to JoinGroup: {other:?}"),
        }
    }

    /// A new member's id, and its join on its way.
    fn begin_join(&mut self) -> (Member, Asked) {
        let probe = self.lab.probe();
        let asked = self.ask_join(probe, None);
        let response = self.joined(asked);
        assert_eq!(response.error, ErrorCode::MemberIdRequired);
        let member = Member { probe, id: response.member.expect("an id") };
        (member, self.ask_join(probe, Some(member.id)))
    }

    fn epoch(&self, member: Member, epoch: i32) -> MemberEpoch {
        MemberEpoch { id: member.id, epoch, instance: self.instance.clone() }
    }

    fn sync(
        &mut self,
        member: Member,
        generation: i32,
        assignments: Vec<(MemberId, Vec<PartitionId>)>,
    ) -> Asked {
        let member_epoch = self.epoch(member, generation);
        let request = SyncGroupRequest { group: self.group, member: member_epoch, assignments };
        self.lab.ask(member.probe, self.coordinator, RequestBody::SyncGroup(request))
    }

    fn synced(&mut self, asked: Asked) -> (ErrorCode, Vec<PartitionId>) {
        match self.lab.wait(asked, secs(5)) {
            Some(ResponseBody::SyncGroup(error, partitions)) => (error, partitions),
            other => panic!("not an answer to SyncGroup: {other:?}"),
        }
    }

    fn heartbeat(&mut self, member: Member, generation: i32) -> ErrorCode {
        let body = RequestBody::Heartbeat(self.group, self.epoch(member, generation));
        let asked = self.lab.ask(member.probe, self.coordinator, body);
        match self.lab.wait(asked, secs(5)) {
            Some(ResponseBody::Heartbeat(error)) => error,
            other => panic!("not an answer to Heartbeat: {other:?}"),
        }
    }

    fn commit(&mut self, probe: NodeId, member: Option<(MemberId, i32)>, offset: u64) -> ErrorCode {
        let offset = CommittedOffset { partition: self.topic, offset, leader_epoch: None, metadata_bytes: 0 };
        let offsets = [offset].into();
        let instance = self.instance.clone();
        let member = member.map(|(id, epoch)| MemberEpoch { id, epoch, instance });
        let request = OffsetCommitRequest { group: self.group, member, offsets };
        let asked = self.lab.ask(probe, self.coordinator, RequestBody::OffsetCommit(request));
        match self.lab.wait(asked, secs(10)) {
            Some(ResponseBody::OffsetCommit(results)) => results[0].1,
            other => panic!("not an answer to OffsetCommit: {other:?}"),
        }
    }

    fn committed(&mut self, probe: NodeId) -> Result<Option<u64>, ErrorCode> {
        let (group, partitions) = (self.group, vec![self.topic]);
        let request = OffsetFetchRequest { group, member: None, partitions, stable: true };
        let asked = self.lab.ask(probe, self.coordinator, RequestBody::OffsetFetch(request));
        match self.lab.wait(asked, secs(5)) {
            Some(ResponseBody::OffsetFetch(ErrorCode::None, found)) => {
                Ok(found[0].1.map(|found| found.offset))
            }
            Some(ResponseBody::OffsetFetch(error, _)) => Err(error),
            other => panic!("not an answer to OffsetFetch: {other:?}"),
        }
    }

    /// A member alone in a stable group: (member, generation).
    fn stable(&mut self) -> (Member, i32) {
        let (member, asked) = self.begin_join();
        let joined = self.joined(asked);
        assert_eq!((joined.error, joined.leader), (ErrorCode::None, Some(member.id)));
        let dealt = vec![(member.id, vec![self.topic])];
        let asked = self.sync(member, joined.generation, dealt);
        assert_eq!(self.synced(asked), (ErrorCode::None, vec![self.topic]));
        (member, joined.generation)
    }
}

#[test]
fn e1_a_group_is_joined_synced_and_stable() {
    let mut groups = Groups::new(1);
    let begin = groups.lab.now();
    let (member, generation) = groups.stable();
    assert_eq!(generation, 1);
    assert!(groups.lab.now().since(begin) < millis(50), "no initial delay in the test cluster");
    assert_eq!(groups.heartbeat(member, 1), ErrorCode::None);
    assert_eq!(groups.heartbeat(member, 2), ErrorCode::IllegalGeneration);
    let stranger = Member { id: MemberId(7), ..member };
    assert_eq!(groups.heartbeat(stranger, 1), ErrorCode::UnknownMemberId);
}

#[test]
fn e1_the_first_join_waits_and_waits_longer_when_another_comes() {
    let rules = Rules { group_initial_rebalance_delay: secs(3), ..kafka_4_3_test_cluster() };
    let mut groups = Groups::with(Lab::with(1, 3, rules.clone()));
    let begin = groups.lab.now();
    let (_, asked) = groups.begin_join();
    groups.joined(asked);
    assert_between(groups.lab.now().since(begin), 3_000, 3_100);

    let mut groups = Groups::with(Lab::with(1, 3, rules));
    let begin = groups.lab.now();
    let (_, first) = groups.begin_join();
    groups.lab.run(millis(1_500));
    let (_, second) = groups.begin_join();
    let (first, second) = (groups.joined(first), groups.joined(second));
    // Measured: both at 6.06 to 6.33 s.
    assert_between(groups.lab.now().since(begin), 6_000, 6_100);
    assert_eq!((first.generation, second.generation), (1, 1));
    assert_eq!(first.members.len() + second.members.len(), 2, "the leader alone learns of both");
}

#[test]
fn e1_a_second_member_waits_until_the_first_has_rejoined() {
    let mut groups = Groups::new(2);
    let (first, generation) = groups.stable();
    let (second, joining) = groups.begin_join();
    groups.lab.run(secs(2));
    assert!(groups.lab.answer(joining).is_none());
    assert_eq!(groups.heartbeat(first, generation), ErrorCode::RebalanceInProgress);
    let probe = first.probe;
    assert_eq!(
        groups.commit(probe, Some((first.id, generation)), 5),
        ErrorCode::None,
        "E2: the old generation"
    );
    let rejoining = groups.ask_join(probe, Some(first.id));
    let (first_joined, second_joined) = (groups.joined(rejoining), groups.joined(joining));
    assert_eq!((first_joined.generation, second_joined.generation), (2, 2));
    assert_eq!(first_joined.leader, Some(first.id), "the leader stays");
    // Completing: heartbeats are fine, commits are not.
    assert_eq!(groups.heartbeat(first, 2), ErrorCode::None);
    assert_eq!(groups.commit(probe, Some((first.id, 2)), 6), ErrorCode::RebalanceInProgress);
    assert_eq!(groups.commit(probe, Some((first.id, 1)), 6), ErrorCode::IllegalGeneration);
    let follower = groups.sync(second, 2, Vec::new());
    let dealt = vec![(second.id, vec![groups.topic]), (first.id, Vec::new())];
    let leader = groups.sync(first, 2, dealt);
    assert_eq!(groups.synced(leader), (ErrorCode::None, Vec::new()));
    assert_eq!(groups.synced(follower), (ErrorCode::None, vec![groups.topic]));
}

#[test]
fn e2_commits_need_the_generation_and_are_kept() {
    let mut groups = Groups::new(3);
    let outsider = groups.lab.probe();
    assert_eq!(groups.commit(outsider, None, 3), ErrorCode::None, "an empty group takes them from anybody");
    assert_eq!(groups.committed(outsider), Ok(Some(3)));
    let (member, generation) = groups.stable();
    assert_eq!(groups.commit(outsider, None, 4), ErrorCode::UnknownMemberId);
    assert_eq!(groups.commit(outsider, Some((MemberId(1), generation)), 4), ErrorCode::UnknownMemberId);
    assert_eq!(groups.commit(member.probe, Some((member.id, 9)), 4), ErrorCode::IllegalGeneration);
    assert_eq!(groups.committed(outsider), Ok(Some(3)));
    assert_eq!(groups.commit(member.probe, Some((member.id, generation)), 8), ErrorCode::None);
    assert_eq!(groups.committed(outsider), Ok(Some(8)));
    let unit = groups.lab.kafka().shared.names.unit(groups.topic);
    let position = groups.lab.kafka().committed("billing", &unit);
    assert_eq!(position.expect("it is known").map(|position| position.0), Some(8));
}

#[test]
fn e3_a_silent_member_is_out_after_its_session() {
    let mut groups = Groups::new(4);
    let (silent, generation) = groups.stable();
    let begin = groups.lab.now();
    let (_, joining) = groups.begin_join();
    let joined = groups.joined(joining);
    // Nobody else is to be waited for once the session of 6 s is over.
    assert_between(groups.lab.now().since(begin), 5_900, 6_100);
    assert_eq!(joined.generation, generation + 1);
    assert_eq!(groups.commit(silent.probe, Some((silent.id, generation)), 1), ErrorCode::UnknownMemberId);
    assert_eq!(groups.heartbeat(silent, generation), ErrorCode::UnknownMemberId);
}

#[test]
fn e1_a_member_that_leaves_makes_room_at_once() {
    let mut groups = Groups::new(5);
    let (first, generation) = groups.stable();
    let body = RequestBody::LeaveGroup(groups.group, first.id, None);
    let asked = groups.lab.ask(first.probe, groups.coordinator, body);
    assert!(matches!(groups.lab.wait(asked, secs(1)), Some(ResponseBody::LeaveGroup(ErrorCode::None))));
    assert_eq!(groups.heartbeat(first, generation), ErrorCode::UnknownMemberId);
    let begin = groups.lab.now();
    let (_, next) = groups.stable();
    assert!(next > generation);
    assert!(groups.lab.now().since(begin) < millis(50));
}

#[test]
fn e1_odd_joins_are_refused() {
    let mut groups = Groups::new(6);
    let probe = groups.lab.probe();
    groups.session = secs(5);
    let asked = groups.ask_join(probe, None);
    assert_eq!(groups.joined(asked).error, ErrorCode::InvalidSessionTimeout);
    groups.session = secs(6);
    let asked = groups.ask_join(probe, Some(MemberId(12)));
    assert_eq!(groups.joined(asked).error, ErrorCode::UnknownMemberId);
    let elsewhere = NodeId((groups.coordinator.0 + 1) % 3);
    groups.coordinator = elsewhere;
    let asked = groups.ask_join(probe, None);
    assert_eq!(groups.joined(asked).error, ErrorCode::NotCoordinator);
    assert_eq!(groups.committed(probe), Err(ErrorCode::NotCoordinator));
}

#[test]
fn e7_the_coordinator_fails_over_with_members_and_offsets() {
    for seed in 0..4 {
        let mut groups = Groups::new(seed);
        groups.session = secs(45);
        let (member, generation) = groups.stable();
        assert_eq!(groups.commit(member.probe, Some((member.id, generation)), 42), ErrorCode::None);
        let begin = groups.lab.now();
        groups.fail_over(member.probe);
        // Measured: 8.1 to 11.9 s, whoever controls the cluster.
        assert_between(groups.lab.now().since(begin), 7_000, 14_000);
        assert_eq!(groups.committed(member.probe), Ok(Some(42)));
        assert_eq!(groups.heartbeat(member, generation), ErrorCode::None, "the generation goes on");
        assert_eq!(groups.commit(member.probe, Some((member.id, generation)), 43), ErrorCode::None);
    }
}

#[test]
fn e7_a_coordinator_that_cannot_commit_says_so() {
    let mut groups = Groups::new(1);
    let (member, generation) = groups.stable();
    for other in (0..3).map(NodeId).filter(|node| *node != groups.coordinator) {
        groups.lab.world.kill(other);
    }
    let begin = groups.lab.now();
    let error = groups.commit(member.probe, Some((member.id, generation)), 5);
    assert_eq!(error, ErrorCode::CoordinatorNotAvailable);
    assert_between(groups.lab.now().since(begin), 5_000, 5_010);
    let asked = groups.ask_committed(member.probe, None, false);
    groups.lab.run(millis(10));
    assert_eq!(groups.found(asked), Some(Ok(None)), "it is not shown before it is committed");
}

#[test]
fn e3_a_late_member_is_put_out_when_the_rebalance_ends() {
    let mut groups = Groups::new(7);
    groups.session = secs(45);
    let (late, generation) = groups.stable();
    let begin = groups.lab.now();
    let (_, joining) = groups.begin_join();
    while groups.lab.answer(joining).is_none() {
        groups.lab.run(secs(3));
        let error = groups.heartbeat(late, generation);
        assert!(matches!(error, ErrorCode::RebalanceInProgress | ErrorCode::UnknownMemberId), "{error}");
    }
    // It gives signs of life but does not rejoin: out after its rebalance timeout of 60 s.
    assert_between(groups.lab.now().since(begin), 60_000, 63_500);
}
