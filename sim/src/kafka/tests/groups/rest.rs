//! What must come true of groups after everything is healed, and that it is noticed when it does not.

use super::*;

/// Runs on after everything is healed; what did not come true, and in which words.
fn broken(groups: &mut Groups) -> Option<(&'static str, String)> {
    groups.lab.strict = false;
    groups.lab.world.healed();
    groups.lab.run(secs(120));
    groups.lab.world.violation().map(|violation| (violation.invariant, violation.what.clone()))
}

#[test]
fn eventually_converges_misses_a_group_that_nothing_moves_on() {
    // Members may take a minute for a round, and this one waits for an hour.
    let rules = Rules { group_initial_rebalance_delay: secs(3_600), ..kafka_4_3_test_cluster() };
    let mut groups = Groups::with(Lab::with(1, 3, rules));
    let (_, _asked) = groups.begin_join();
    let (name, what) = broken(&mut groups).expect("it is noticed");
    assert_eq!(name, "EventuallyConverges");
    assert!(what.contains("the group billing is at Round(0, Preparing)"), "{what}");
}

#[test]
fn eventually_converges_waits_as_long_as_members_may_take() {
    let mut groups = Groups::new(1);
    let (member, generation) = groups.stable();
    // Another one wants in, and the first one does not come to the next round: its session ends, later.
    groups.session = secs(45);
    let (_, _asked) = groups.begin_join();
    groups.lab.run(millis(5));
    assert_eq!(groups.heartbeat(member, generation), ErrorCode::RebalanceInProgress);
    assert_eq!(broken(&mut groups), None);
}
