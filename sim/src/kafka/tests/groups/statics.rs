//! Static members at their coordinator (E5).

use super::*;

fn named(seed: u64, session: Duration) -> Groups {
    let mut groups = Groups::new(seed);
    groups.instance = Some(InstanceId::new("consumer-1"));
    groups.session = session;
    groups
}

/// A static member alone in a stable group.
fn stable(groups: &mut Groups) -> (Member, i32) {
    let probe = groups.lab.probe();
    let asked = groups.ask_join(probe, None);
    let joined = groups.joined(asked);
    assert_eq!(joined.error, ErrorCode::None, "a static member needs no second join");
    let member = Member { probe, id: joined.member.expect("an id") };
    let asked = groups.sync(member, joined.generation, vec![(member.id, vec![groups.topic])]);
    assert_eq!(groups.synced(asked), (ErrorCode::None, vec![groups.topic]));
    (member, joined.generation)
}

#[test]
fn e5_a_restart_within_the_session_moves_nothing() {
    let mut groups = named(1, secs(45));
    let (before, generation) = stable(&mut groups);
    groups.lab.run(secs(20));
    let probe = groups.lab.probe();
    let asked = groups.ask_join(probe, None);
    let joined = groups.joined(asked);
    assert_eq!((joined.error, joined.generation), (ErrorCode::None, generation), "no rebalance");
    assert_eq!(joined.leader, Some(before.id), "it is told that the one of before leads");
    assert!(joined.members.is_empty());
    let after = Member { probe, id: joined.member.expect("an id") };
    assert_ne!(after.id, before.id);
    let asked = groups.sync(after, generation, Vec::new());
    assert_eq!(groups.synced(asked), (ErrorCode::None, vec![groups.topic]), "what it had");
    assert_eq!(groups.heartbeat(after, generation), ErrorCode::None);
    // The one of before is fenced, whatever it asks.
    assert_eq!(groups.heartbeat(before, generation), ErrorCode::FencedInstanceId);
    assert_eq!(ErrorCode::FencedInstanceId.code(), 82);
    let own = Some((before.id, generation));
    assert_eq!(groups.commit(before.probe, own, 5), ErrorCode::FencedInstanceId);
    let asked = groups.ask_join(before.probe, Some(before.id));
    assert_eq!(groups.joined(asked).error, ErrorCode::FencedInstanceId);
    let asked = groups.sync(before, generation, Vec::new());
    assert_eq!(groups.synced(asked).0, ErrorCode::FencedInstanceId);
}

#[test]
fn e5_a_name_that_nobody_has_is_unknown() {
    let mut groups = named(2, secs(45));
    let (member, generation) = stable(&mut groups);
    groups.instance = Some(InstanceId::new("consumer-2"));
    assert_eq!(groups.heartbeat(member, generation), ErrorCode::UnknownMemberId);
    let body = RequestBody::LeaveGroup(groups.group, member.id, groups.instance.clone());
    let asked = groups.lab.ask(member.probe, groups.coordinator, body);
    assert!(matches!(
        groups.lab.wait(asked, secs(1)),
        Some(ResponseBody::LeaveGroup(ErrorCode::UnknownMemberId))
    ));
}

#[test]
fn e5_a_static_member_that_does_not_come_back_is_out_after_its_session() {
    let mut groups = named(3, secs(6));
    let (gone, _) = stable(&mut groups);
    let begin = groups.lab.now();
    groups.instance = None;
    groups.session = secs(45);
    let (_, joining) = groups.begin_join();
    let joined = groups.joined(joining);
    assert_between(groups.lab.now().since(begin), 5_900, 6_100);
    assert_eq!(joined.members.len(), 1, "{:?} is no member any more", gone.id);
}

#[test]
fn e5_a_static_member_that_misses_a_rebalance_stays() {
    let mut groups = named(4, secs(1_000));
    let (absent, generation) = stable(&mut groups);
    groups.instance = None;
    let (_, joining) = groups.begin_join();
    let begin = groups.lab.now();
    let joined = groups.joined(joining);
    // The rebalance timeout of 60 s puts nobody out who has a name.
    assert_between(groups.lab.now().since(begin), 59_000, 60_100);
    assert_eq!(joined.members.len(), 2);
    assert!(joined.members.iter().any(|known| known.id == absent.id));
    assert_eq!(joined.generation, generation + 1);
}

#[test]
fn e5_the_name_outlives_its_coordinator() {
    let mut groups = named(5, secs(45));
    let (member, generation) = stable(&mut groups);
    let old = groups.coordinator;
    groups.lab.world.kill(old);
    while groups.coordinator == old || groups.committed(member.probe).is_err() {
        groups.lab.run(millis(100));
        groups.find(member.probe);
    }
    let probe = groups.lab.probe();
    let asked = groups.ask_join(probe, None);
    let joined = groups.joined(asked);
    assert_eq!((joined.error, joined.generation), (ErrorCode::None, generation));
    assert_eq!(groups.heartbeat(member, generation), ErrorCode::FencedInstanceId);
}
