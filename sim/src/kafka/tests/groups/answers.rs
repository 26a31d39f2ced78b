//! What coordinators answer whom: in the kind of the request, and to who waits when an office moves.

use super::{consumer::six, *};
use crate::kafka::protocol::{ConsumerGroupHeartbeatRequest, Payload, TopicIx};

fn office(partition: u32) -> PartitionId {
    PartitionId::new(TopicIx::CONSUMER_OFFSETS, partition)
}

/// `String.hashCode()` of Java.
fn java_hash(name: &str) -> i32 {
    name.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

#[test]
fn e7_a_group_is_coordinated_by_the_leader_of_its_partition() {
    let mut groups = Groups::new(40);
    let probe = groups.lab.probe();
    let partitions = groups.lab.kafka().shared.rules.offsets_partitions;
    assert!(partitions > 1);
    for name in ["billing", "orders", "a", "b", "c", "d", "e", "f", "g", "h"] {
        groups.group = groups.lab.world.model_mut().shared.names.intern_group(name);
        assert_eq!(groups.find(probe), ErrorCode::None);
        let partition = (java_hash(name) & i32::MAX) as u32 % partitions;
        assert_eq!(Some(groups.coordinator), groups.lab.leader(office(partition)), "{name}");
    }
}

#[test]
fn e7_another_broker_refuses_every_request_in_its_own_kind() {
    let mut groups = Groups::new(41);
    let (member, generation) = groups.stable();
    groups.coordinator = NodeId((groups.coordinator.0 + 1) % 3);
    let error = ErrorCode::NotCoordinator;
    assert_eq!(error.code(), 16);
    let asked = groups.ask_join(member.probe, Some(member.id));
    let joined = groups.joined(asked);
    assert_eq!((joined.error, joined.member), (error, Some(member.id)));
    let asked = groups.sync(member, generation, Vec::new());
    assert_eq!(groups.synced(asked), (error, Vec::new()));
    assert_eq!(groups.heartbeat(member, generation), error);
    assert_eq!(groups.commit(member.probe, Some((member.id, generation)), 1), error);
    assert_eq!(groups.committed(member.probe), Err(error));
    let leave = RequestBody::LeaveGroup(groups.group, member.id, None);
    let asked = groups.lab.ask(member.probe, groups.coordinator, leave);
    let answer = groups.lab.wait(asked, secs(5));
    assert!(matches!(answer, Some(ResponseBody::LeaveGroup(ErrorCode::NotCoordinator))), "{answer:?}");
    let beaten = groups.beat(member, 1, None);
    assert_eq!((beaten.error, beaten.epoch, beaten.assignment), (error, -1, None));
}

#[test]
fn e7_a_coordinator_that_hands_over_answers_who_waits() {
    let mut groups = Groups::new(42);
    groups.stable();
    let (_, joining) = groups.begin_join();
    groups.lab.run(millis(100));
    assert!(groups.lab.answer(joining).is_none(), "it waits for the other member");
    let coordinator = groups.coordinator;
    groups.lab.world.stop(coordinator);
    assert_eq!(groups.joined(joining).error, ErrorCode::NotCoordinator);
}

/// A batch's 61 bytes, and 160 for each member.
#[test]
fn e7_a_generation_takes_room_in_the_log_for_each_member() {
    let mut groups = Groups::new(43);
    let (first, _) = groups.stable();
    let (_, joining) = groups.begin_join();
    let rejoining = groups.ask_join(first.probe, Some(first.id));
    let generation = groups.joined(rejoining).generation;
    groups.joined(joining);
    let dealt = vec![(first.id, vec![groups.topic])];
    let asked = groups.sync(first, generation, dealt);
    groups.synced(asked);
    let partition = groups.lab.kafka().offsets_partition("billing");
    let log = &groups.lab.replica(groups.coordinator, office(partition)).log;
    let sizes = log.entries().iter().filter_map(|entry| match &entry.batch.payload {
        Payload::Group(snapshot) => Some((snapshot.members.len(), entry.bytes())),
        _ => None,
    });
    let sizes: Vec<(usize, u32)> = sizes.collect();
    assert!(sizes.contains(&(1, 61 + 160)) && sizes.contains(&(2, 61 + 320)), "{sizes:?}");
}

#[test]
fn e6_only_a_full_heartbeat_is_told_what_is_no_news() {
    let mut groups = six(44);
    let member = groups.member(1);
    let all = groups.enter(member).assignment.expect("it joins");
    for bits in 0..8 {
        let [timeout, topics, owned] = [1, 2, 4].map(|bit| bits & bit > 0);
        let request = ConsumerGroupHeartbeatRequest {
            epoch: 1,
            rebalance_timeout: timeout.then_some(secs(20)),
            topics: topics.then(|| vec![groups.topic.topic]),
            owned: owned.then(|| all.clone()),
            ..groups.joining(member)
        };
        let told = groups.speak(member, request);
        assert_eq!((told.error, told.epoch), (ErrorCode::None, 1));
        assert_eq!(told.assignment, (timeout && topics && owned).then(|| all.clone()), "{bits:03b}");
    }
}
