//! Answers that wait for what was written before them (E7): the coordinator decides by what is written, and nobody hears of
//! it before it is committed.

use super::{
    consumer::{six, six_with},
    *,
};
use crate::kafka::protocol::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicIx};

impl Groups {
    pub(super) fn office(&self) -> PartitionId {
        PartitionId::new(TopicIx::CONSUMER_OFFSETS, self.lab.kafka().offsets_partition("billing"))
    }

    pub(super) fn followers(&self) -> impl Iterator<Item = NodeId> + use<> {
        let coordinator = self.coordinator;
        (0..3).map(NodeId).filter(move |node| *node != coordinator)
    }

    fn ask_commit(&mut self, probe: NodeId, member: Option<(MemberId, i32)>, offset: u64) -> Asked {
        let offset = CommittedOffset { partition: self.topic, offset, leader_epoch: None, metadata_bytes: 0 };
        let member = member.map(|(id, epoch)| MemberEpoch { id, epoch, instance: None });
        let request = OffsetCommitRequest { group: self.group, member, offsets: [offset].into() };
        self.lab.ask(probe, self.coordinator, RequestBody::OffsetCommit(request))
    }

    fn ask_heartbeat(&mut self, probe: NodeId, member: Member, generation: i32) -> Asked {
        let body = RequestBody::Heartbeat(self.group, self.epoch(member, generation));
        self.lab.ask(probe, self.coordinator, body)
    }

    pub(super) fn ask_beat(&mut self, probe: NodeId, member: Member, epoch: i32) -> Asked {
        let request = ConsumerGroupHeartbeatRequest {
            epoch,
            rebalance_timeout: None,
            topics: None,
            owned: None,
            ..self.joining(member)
        };
        self.lab.ask(probe, self.coordinator, RequestBody::ConsumerGroupHeartbeat(request))
    }

    pub(super) fn ask_committed(
        &mut self,
        probe: NodeId,
        member: Option<MemberEpoch>,
        stable: bool,
    ) -> Asked {
        let (group, partitions) = (self.group, vec![self.topic]);
        let request = OffsetFetchRequest { group, member, partitions, stable };
        self.lab.ask(probe, self.coordinator, RequestBody::OffsetFetch(request))
    }

    pub(super) fn pause_followers(&mut self) {
        for follower in self.followers() {
            self.lab.world.pause(follower);
        }
    }

    pub(super) fn resume_followers(&mut self) {
        for follower in self.followers() {
            self.lab.world.resume(follower);
        }
    }

    /// Probes that have no request under way.
    pub(super) fn probes<const N: usize>(&mut self) -> [NodeId; N] {
        [(); N].map(|()| self.lab.probe())
    }

    pub(super) fn told(&self, asked: Asked) -> Option<ConsumerGroupHeartbeatResponse> {
        match self.lab.answer(asked)? {
            (_, ResponseBody::ConsumerGroupHeartbeat(told)) => Some(told),
            other => panic!("not an answer to ConsumerGroupHeartbeat: {other:?}"),
        }
    }

    pub(super) fn found(&self, asked: Asked) -> Option<Result<Option<u64>, ErrorCode>> {
        match self.lab.answer(asked)? {
            (_, ResponseBody::OffsetFetch(ErrorCode::None, found)) => {
                Some(Ok(found[0].1.map(|found| found.offset)))
            }
            (_, ResponseBody::OffsetFetch(error, _)) => Some(Err(error)),
            other => panic!("not an answer to OffsetFetch: {other:?}"),
        }
    }
}

#[test]
fn e7_a_heartbeat_is_answered_once_everything_written_before_it_is_committed() {
    let mut groups = Groups::new(60);
    let (member, generation) = groups.stable();
    let [beats, strange] = groups.probes();
    groups.lab.run(secs(1));
    groups.pause_followers();
    let commit = groups.ask_commit(member.probe, Some((member.id, generation)), 5);
    groups.lab.run(millis(10));
    let beat = groups.ask_heartbeat(beats, member, generation);
    let stranger = Member { id: MemberId(7), ..member };
    let refused = groups.ask_heartbeat(strange, stranger, generation);
    groups.lab.run(secs(2));
    assert!(groups.lab.answer(commit).is_none(), "it is not committed");
    assert!(groups.lab.answer(beat).is_none(), "nor is what was written before the heartbeat");
    let answer = groups.lab.answer(refused);
    assert!(matches!(answer, Some((_, ResponseBody::Heartbeat(ErrorCode::UnknownMemberId)))), "{answer:?}");
    groups.resume_followers();
    groups.lab.run(millis(600));
    let at = |asked| groups.lab.answer(asked).expect("it is committed").0;
    assert_between(at(beat).since(at(commit)), 0, 1);
    let answer = groups.lab.answer(beat);
    assert!(matches!(answer, Some((_, ResponseBody::Heartbeat(ErrorCode::None)))), "{answer:?}");
}

/// `offsets.commit.timeout.ms`, of each request on its own.
#[test]
fn e7_whoever_waits_for_what_cannot_be_committed_is_told_after_5_s() {
    let mut groups = Groups::new(61);
    let (member, generation) = groups.stable();
    let [beats, reads, leaves] = groups.probes();
    groups.lab.run(secs(1));
    groups.pause_followers();
    groups.ask_commit(member.probe, Some((member.id, generation)), 5);
    groups.lab.run(secs(1));
    let begin = groups.lab.now();
    let asked = [
        groups.ask_heartbeat(beats, member, generation),
        groups.ask_committed(reads, None, true),
        groups.lab.ask(leaves, groups.coordinator, RequestBody::LeaveGroup(groups.group, member.id, None)),
    ];
    groups.lab.run(secs(6));
    for asked in asked {
        let (at, body) = groups.lab.answer(asked).expect("its time is up");
        assert_between(at.since(begin), 5_000, 5_010);
        let error = match body {
            ResponseBody::Heartbeat(error)
            | ResponseBody::LeaveGroup(error)
            | ResponseBody::OffsetFetch(error, _) => error,
            other => panic!("{other:?}"),
        };
        assert_eq!(error, ErrorCode::CoordinatorNotAvailable);
    }
}

#[test]
fn e6_a_heartbeat_without_news_waits_for_the_news_before_it() {
    let mut groups = six(62);
    let [a, b] = [1, 2].map(|id| groups.member(id));
    assert_eq!(groups.enter(a).epoch, 1);
    let [first, second] = groups.probes();
    groups.lab.run(secs(1));
    groups.pause_followers();
    let joining =
        groups.lab.ask(b.probe, groups.coordinator, RequestBody::ConsumerGroupHeartbeat(groups.joining(b)));
    groups.lab.run(millis(10));
    // The newcomer's own next heartbeat, at the epoch that it has not been told yet: it changes nothing.
    let beat = groups.ask_beat(first, b, 2);
    let refused = groups.ask_beat(second, b, 3);
    groups.lab.run(secs(2));
    assert_eq!((groups.told(joining), groups.told(beat)), (None, None));
    assert_eq!(groups.told(refused).expect("at once").error, ErrorCode::FencedMemberEpoch);
    groups.resume_followers();
    groups.lab.run(millis(600));
    assert_eq!(groups.told(joining).map(|told| told.epoch), Some(2));
    assert_eq!(groups.told(beat).map(|told| (told.error, told.epoch)), Some((ErrorCode::None, 2)));
}

/// What is written and cannot be committed is answered too, and stays written.
#[test]
fn e6_a_join_that_cannot_be_committed_is_told_so_after_5_s() {
    let mut groups = six(63);
    let a = groups.member(1);
    let [again] = groups.probes();
    groups.lab.run(secs(1));
    groups.pause_followers();
    let begin = groups.lab.now();
    let joining =
        groups.lab.ask(a.probe, groups.coordinator, RequestBody::ConsumerGroupHeartbeat(groups.joining(a)));
    groups.lab.run(secs(6));
    let (at, _) = groups.lab.answer(joining).expect("its time is up");
    assert_between(at.since(begin), 5_000, 5_010);
    assert_eq!(groups.told(joining).map(|told| told.error), Some(ErrorCode::CoordinatorNotAvailable));
    groups.resume_followers();
    groups.lab.run(secs(1));
    let beat = groups.ask_beat(again, a, 1);
    groups.lab.run(millis(10));
    assert_eq!(groups.told(beat).map(|told| (told.error, told.epoch)), Some((ErrorCode::None, 1)));
}

/// Whoever waits for a generation that cannot be committed is told so, and the group begins the next round.
#[test]
fn e1_a_generation_that_cannot_be_committed_is_given_up_after_5_s() {
    let mut groups = Groups::new(68);
    groups.session = secs(45);
    let (member, joining) = groups.begin_join();
    let generation = groups.joined(joining).generation;
    groups.lab.run(secs(1));
    groups.pause_followers();
    let begin = groups.lab.now();
    let asked = groups.sync(member, generation, vec![(member.id, vec![groups.topic])]);
    groups.lab.run(secs(6));
    let (at, body) = groups.lab.answer(asked).expect("its time is up");
    assert_between(at.since(begin), 5_000, 5_010);
    assert!(matches!(body, ResponseBody::SyncGroup(ErrorCode::CoordinatorNotAvailable, _)), "{body:?}");
    groups.resume_followers();
    groups.lab.run(secs(1));
    assert_eq!(groups.heartbeat(member, generation), ErrorCode::RebalanceInProgress);
    let asked = groups.ask_join(member.probe, Some(member.id));
    assert_eq!(groups.joined(asked).generation, generation + 1);
}

/// Stable positions are the latest, told once they are committed; others are what is committed now.
#[test]
fn e7_stable_positions_are_the_latest_and_others_the_committed_ones() {
    let mut groups = Groups::new(64);
    let (member, generation) = groups.stable();
    assert_eq!(groups.commit(member.probe, Some((member.id, generation)), 5), ErrorCode::None);
    let [stable, other] = groups.probes();
    groups.lab.run(secs(1));
    groups.pause_followers();
    groups.ask_commit(member.probe, Some((member.id, generation)), 6);
    groups.lab.run(millis(10));
    let asked =
        [(stable, true), (other, false)].map(|(probe, stable)| groups.ask_committed(probe, None, stable));
    groups.lab.run(secs(2));
    assert_eq!(asked.map(|asked| groups.found(asked)), [None, Some(Ok(Some(5)))]);
    groups.resume_followers();
    groups.lab.run(millis(600));
    assert_eq!(groups.found(asked[0]), Some(Ok(Some(6))));
}

/// A reader that does not ask for stable positions is a member, or not, as far as that is committed.
#[test]
fn e6_who_asks_for_committed_positions_is_known_by_what_is_committed() {
    let mut groups = six(65);
    let [a, b] = [1, 2].map(|id| groups.member(id));
    assert_eq!(groups.enter(a).epoch, 1);
    let [stable, other] = groups.probes();
    groups.lab.run(secs(1));
    groups.pause_followers();
    groups.lab.ask(b.probe, groups.coordinator, RequestBody::ConsumerGroupHeartbeat(groups.joining(b)));
    groups.lab.run(millis(10));
    let newcomer = MemberEpoch { id: b.id, epoch: 2, instance: None };
    let asked = [(stable, true), (other, false)]
        .map(|(probe, stable)| groups.ask_committed(probe, Some(newcomer.clone()), stable));
    groups.lab.run(secs(1));
    assert_eq!(asked.map(|asked| groups.found(asked)), [None, Some(Err(ErrorCode::UnknownMemberId))]);
    groups.resume_followers();
    groups.lab.run(millis(600));
    assert_eq!(groups.found(asked[0]), Some(Ok(None)));
}

#[test]
fn e7_a_coordinator_that_hands_over_answers_who_waits_for_a_commit() {
    let rules = Rules { dedicated_controllers: 1, ..kafka_4_3_test_cluster() };
    let mut groups = Groups::with(Lab::with(66, 3, rules));
    let (member, generation) = groups.stable();
    let [beats, reads] = groups.probes();
    groups.lab.run(secs(1));
    groups.pause_followers();
    groups.ask_commit(member.probe, Some((member.id, generation)), 5);
    groups.lab.run(millis(10));
    let beat = groups.ask_heartbeat(beats, member, generation);
    let read = groups.ask_committed(reads, None, true);
    groups.lab.run(millis(10));
    // The coordinator stops in good order, which another leader takes over, before anything is replicated.
    let coordinator = groups.coordinator;
    for follower in groups.followers() {
        groups.lab.world.hold(follower, coordinator);
    }
    groups.resume_followers();
    groups.lab.world.stop(coordinator);
    groups.lab.run(secs(2));
    let answer = groups.lab.answer(beat);
    assert!(matches!(answer, Some((_, ResponseBody::Heartbeat(ErrorCode::NotCoordinator)))), "{answer:?}");
    assert_eq!(groups.found(read), Some(Err(ErrorCode::NotCoordinator)));
}

/// The coordinator's own writes need the leader alone; they are shown once enough replicas have them.
#[test]
fn e7_a_commit_below_min_isr_is_written_and_told_so_after_5_s() {
    let rules = Rules { dedicated_controllers: 1, ..kafka_4_3_test_cluster() };
    let mut groups = six_with(Lab::with(67, 3, rules));
    let probe = groups.lab.probe();
    for follower in groups.followers() {
        groups.lab.world.kill(follower);
    }
    let office = groups.office();
    groups.lab.until(secs(11), |kafka| kafka.truth().partition(office).is_some_and(|at| at.isr.len() == 1));
    groups.lab.run(millis(100));
    let begin = groups.lab.now();
    let asked = groups.ask_commit(probe, None, 9);
    groups.lab.run(secs(6));
    let (at, body) = groups.lab.answer(asked).expect("its time is up");
    assert_between(at.since(begin), 5_000, 5_010);
    let ResponseBody::OffsetCommit(results) = body else { panic!("{body:?}") };
    assert_eq!(results[0].1, ErrorCode::CoordinatorNotAvailable);
    for follower in groups.followers() {
        groups.lab.world.start(follower);
    }
    groups.lab.until(secs(6), |kafka| kafka.truth().partition(office).is_some_and(|at| at.isr.len() > 1));
    groups.lab.run(secs(1));
    assert_eq!(groups.committed(probe), Ok(Some(9)), "it was written");
}
