//! The quorum of the metadata: who controls, who votes, and what a new leader says (rule A5).

use super::*;
use crate::model::{Note, Output};

/// One that was cut off believes to be the controller until it has heard nothing for long enough; that it does so is no
/// news.
#[test]
fn a5_a_controller_is_noted_once_while_another_believes_to_be_it() {
    let mut lab = Lab::new(6);
    lab.run(secs(3));
    let old = lab.controller();
    lab.world.take_outputs().for_each(drop);
    for other in (0..3).map(NodeId).filter(|node| *node != old) {
        lab.world.cut(old, other);
        lab.world.cut(other, old);
    }
    let active = |lab: &Lab| lab.kafka().servers.iter().filter(|server| server.voter.is_active()).count();
    let mut both = 0;
    for _ in 0..2_000 {
        lab.run(millis(10));
        both += u32::from(active(&lab) > 1);
    }
    assert!(both > 0, "there are two for a while");
    let outputs = lab.world.take_outputs();
    let noted: Vec<u32> = outputs
        .filter_map(|it| if let Output::Note(Note::Controller { node }) = it { Some(node) } else { None })
        .collect();
    assert_eq!(noted, [lab.controller().0 + 1]);
}

/// Who stands first is refused by those that still believe in the leader, and believes again; but it has not heard it
/// since, so that it grants the next one its vote.
#[test]
fn a5_four_of_five_voters_agree_that_the_leader_is_gone() {
    let mut longest = Duration::ZERO;
    for seed in 0..40 {
        let mut lab = Lab::with(seed, 5, kafka_4_3_test_cluster());
        lab.run(secs(3));
        let controller = lab.controller();
        lab.world.kill(controller);
        let took = lab.until(secs(60), |kafka| kafka.resolve(&Role::Controller) != [controller]);
        longest = longest.max(took);
    }
    assert_between(longest, 1_400, 4_000);
}

/// A new leader knows less to be committed than the one before it did. A process that comes up would take that for all.
#[test]
fn a5_a_new_leader_says_nothing_of_what_is_committed_before_its_own_epoch_is() {
    for seed in 0..20 {
        let mut lab = Lab::new(seed);
        lab.run(secs(3));
        let controller = lab.controller();
        let follower = (0..3).map(NodeId).find(|node| *node != controller).expect("one of two");
        let end = lab.kafka().truth().end;
        lab.topic(2);
        lab.world.kill(follower);
        lab.until(secs(1), |kafka| kafka.truth().end > end);
        // The other one has it all, and has not heard that it is committed.
        (0..3).map(NodeId).for_each(|node| lab.world.cut(controller, node));
        lab.world.kill(controller);
        // Until the epoch of its successor is committed, a while goes by.
        (0..3).map(NodeId).for_each(|node| lab.world.delay(follower, node, millis(100)));
        let committed = lab.kafka().truth().end;
        lab.world.start(follower);
        let image = |kafka: &Kafka| kafka.servers[follower.index()].image.end;
        lab.until(secs(10), |kafka| image(kafka) == 0);
        lab.until(secs(60), |kafka| image(kafka) > 0);
        assert!(image(lab.kafka()) >= committed, "seed {seed}: it takes in a part of what was committed");
    }
}

/// Of five voters two elect nobody, however long they hear nothing.
#[test]
fn a5_a_minority_of_voters_elects_no_leader() {
    let mut lab = Lab::with(3, 5, kafka_4_3_test_cluster());
    lab.run(secs(3));
    let controller = lab.controller();
    let few: Vec<NodeId> = (0..5).map(NodeId).filter(|node| *node != controller).take(2).collect();
    for node in (0..5).map(NodeId).filter(|node| !few.contains(node)) {
        few.iter().for_each(|other| {
            lab.world.cut(node, *other);
            lab.world.cut(*other, node);
        });
    }
    let leads = |lab: &Lab, node: NodeId| lab.kafka().servers[node.index()].voter.leader() == Some(node);
    for _ in 0..60 {
        lab.run(secs(1));
        assert!(!few.iter().any(|node| leads(&lab, *node)), "two of five");
        assert!(leads(&lab, controller));
    }
}

#[test]
fn a5_another_controller_is_marked_and_the_first_is_not() {
    let marked = |lab: &Lab| lab.world.marks().has(crate::kernel::Mark::ControllerChanged);
    let mut lab = Lab::new(4);
    lab.run(secs(3));
    assert!(!marked(&lab));
    let controller = lab.controller();
    lab.world.kill(controller);
    lab.run(secs(10));
    assert!(marked(&lab));
}
