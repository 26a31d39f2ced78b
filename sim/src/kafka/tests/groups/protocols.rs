//! What a classic group demands of who joins (E1), and how long it waits for them.

use super::*;

#[test]
fn e1_assignors_are_negotiated() {
    let mut groups = Groups::new(8);
    groups.assignors = vec![Assignor::Range, Assignor::CooperativeSticky];
    let (first, first_asked) = groups.begin_join();
    groups.joined(first_asked);
    groups.assignors = vec![Assignor::RoundRobin];
    let probe = groups.lab.probe();
    let asked = groups.ask_join(probe, None);
    assert_eq!(groups.joined(asked).error, ErrorCode::InconsistentGroupProtocol);
    assert_eq!(ErrorCode::InconsistentGroupProtocol.code(), 23);
    groups.assignors = Vec::new();
    let asked = groups.ask_join(probe, None);
    assert_eq!(groups.joined(asked).error, ErrorCode::InconsistentGroupProtocol, "no assignor at all");

    // What all have and most like best.
    groups.assignors = vec![Assignor::CooperativeSticky, Assignor::Range];
    let (_, second) = groups.begin_join();
    let (_, third) = groups.begin_join();
    groups.assignors = vec![Assignor::Range, Assignor::CooperativeSticky];
    let rejoining = groups.ask_join(first.probe, Some(first.id));
    let chosen = [rejoining, second, third].map(|asked| groups.joined(asked).assignor);
    assert_eq!(chosen, [Assignor::CooperativeSticky; 3]);
}

#[test]
fn e1_a_group_has_room_for_so_many() {
    let rules = Rules { group_max_size: 1, ..kafka_4_3_test_cluster() };
    let mut groups = Groups::with(Lab::with(2, 3, rules));
    let (member, generation) = groups.stable();
    let probe = groups.lab.probe();
    let asked = groups.ask_join(probe, None);
    assert_eq!(groups.joined(asked).error, ErrorCode::GroupMaxSizeReached);
    assert_eq!(ErrorCode::GroupMaxSizeReached.code(), 81);
    let asked = groups.ask_join(member.probe, Some(member.id));
    assert_eq!(groups.joined(asked).error, ErrorCode::None, "a member may rejoin");
    assert_eq!(groups.heartbeat(member, generation), ErrorCode::IllegalGeneration);
}

#[test]
fn e1_sessions_lie_within_bounds() {
    let mut groups = Groups::new(9);
    let probe = groups.lab.probe();
    for (session, error) in [
        (millis(5_999), ErrorCode::InvalidSessionTimeout),
        (millis(6_000), ErrorCode::MemberIdRequired),
        (millis(1_800_000), ErrorCode::MemberIdRequired),
        (millis(1_800_001), ErrorCode::InvalidSessionTimeout),
    ] {
        groups.session = session;
        let asked = groups.ask_join(probe, None);
        assert_eq!(groups.joined(asked).error, error, "{session:?}");
    }
}

#[test]
fn e1_who_never_syncs_is_out_after_the_rebalance_timeout() {
    let mut groups = Groups::new(10);
    groups.session = secs(45);
    let (member, asked) = groups.begin_join();
    let joined = groups.joined(asked);
    let begin = groups.lab.now();
    loop {
        // It gives signs of life, and that is all.
        groups.lab.run(secs(3));
        match groups.heartbeat(member, joined.generation) {
            ErrorCode::None => {}
            error => break assert_eq!(error, ErrorCode::UnknownMemberId),
        }
    }
    assert_between(groups.lab.now().since(begin), 60_000, 63_500);
}

#[test]
fn e2_what_a_commit_gets_in_each_state() {
    let mut groups = Groups::new(11);
    let (member, generation) = groups.stable();
    let stranger = Some((MemberId(3), generation));
    let (own, old) = (Some((member.id, generation)), Some((member.id, generation - 1)));
    let probe = member.probe;
    // Stable.
    assert_eq!(groups.commit(probe, own, 1), ErrorCode::None);
    assert_eq!(groups.commit(probe, old, 1), ErrorCode::IllegalGeneration);
    assert_eq!(groups.commit(probe, stranger, 1), ErrorCode::UnknownMemberId);
    assert_eq!(groups.commit(probe, None, 1), ErrorCode::UnknownMemberId);
    // Preparing: the old generation counts.
    let (_, joining) = groups.begin_join();
    groups.lab.run(millis(100));
    assert_eq!(groups.heartbeat(member, generation), ErrorCode::RebalanceInProgress);
    assert_eq!(groups.commit(probe, own, 2), ErrorCode::None);
    let asked = groups.sync(member, generation, Vec::new());
    assert_eq!(groups.synced(asked).0, ErrorCode::RebalanceInProgress);
    // Completing.
    let rejoining = groups.ask_join(probe, Some(member.id));
    let next = groups.joined(rejoining).generation;
    groups.joined(joining);
    assert_eq!(groups.heartbeat(member, next), ErrorCode::None);
    assert_eq!(groups.commit(probe, Some((member.id, next)), 3), ErrorCode::RebalanceInProgress);
    assert_eq!(groups.commit(probe, own, 3), ErrorCode::IllegalGeneration);
    assert_eq!(groups.committed(probe), Ok(Some(2)));
}

/// That the invariant bites: a member that leads deals a partition twice, and no coordinator looks at what it deals.
#[test]
fn e1_a_partition_dealt_twice_breaks_the_invariant() {
    let mut groups = Groups::new(13);
    groups.lab.strict = false;
    let (leader, _) = groups.stable();
    let (other, joining) = groups.begin_join();
    let rejoining = groups.ask_join(leader.probe, Some(leader.id));
    let generation = groups.joined(rejoining).generation;
    groups.joined(joining);
    assert!(groups.lab.world.violation().is_none());
    let dealt = [leader, other].map(|member| (member.id, vec![groups.topic])).to_vec();
    let asked = groups.sync(leader, generation, dealt);
    assert_eq!(groups.synced(asked).0, ErrorCode::None);
    let violation = groups.lab.world.violation().expect("two owners");
    assert_eq!(violation.invariant, "GroupAssignment", "{violation:?}");
}

/// That the invariant bites: a coordinator that does not look at the generation takes a zombie's commit.
#[test]
fn e2_a_commit_without_the_check_breaks_the_invariant() {
    let rules = Rules { check_commit_generation: false, ..kafka_4_3_test_cluster() };
    let mut groups = Groups::with(Lab::with(12, 3, rules));
    groups.lab.strict = false;
    let (member, generation) = groups.stable();
    assert_eq!(groups.commit(member.probe, Some((member.id, generation)), 1), ErrorCode::None);
    assert!(groups.lab.world.violation().is_none());
    assert_eq!(groups.commit(member.probe, Some((member.id, generation - 1)), 2), ErrorCode::None);
    let violation = groups.lab.world.violation().expect("a commit of another generation");
    assert_eq!(violation.invariant, "GroupCommits", "{violation:?}");
}
