//! Lulls: a cluster at rest is nearly free of events, and no fault shows that it was.

use super::*;
use crate::kafka::protocol::DeleteRecordsRequest;

/// A cluster that fell silent, or one that never does.
fn lab(seed: u64, wakeful: bool) -> (Lab, PartitionId) {
    let mut lab = Lab::new(seed);
    lab.world.model_mut().wakeful = wakeful;
    let id = lab.topic(2);
    lab.run(secs(1));
    (lab, id)
}

/// A follower that does not control the cluster.
fn follower(lab: &Lab, id: PartitionId) -> NodeId {
    let (leader, controller) = (lab.leader(id), lab.controller());
    let free = |node: &NodeId| Some(*node) != leader && *node != controller;
    (0..3).map(NodeId).find(free).expect("there are two followers, and one controller")
}

fn cut_both_ways(world: &mut World<Kafka>, a: NodeId, b: NodeId) {
    world.cut(a, b);
    world.cut(b, a);
}

#[test]
fn brokers_at_rest_fall_silent() {
    let events = |wakeful| {
        let (mut lab, _) = lab(1, wakeful);
        let before = lab.world.trace().events();
        lab.run(secs(600));
        lab.world.trace().events() - before
    };
    let (silent, wakeful) = (events(false), events(true));
    assert!(silent * 6 < wakeful, "{silent} events instead of {wakeful}");
}

/// A leader of the quorum holds a fetch back for half a second while it has nothing to say.
#[test]
fn a5_nodes_that_never_fall_silent_fetch_metadata_twice_a_second() {
    let (mut lab, _) = lab(1, true);
    assert_eq!(lab.kafka().shared.rules.quorum_fetch_wait, millis(500));
    let before = lab.world.trace().events();
    lab.run(secs(10));
    let events = lab.world.trace().events() - before;
    assert!(events < 1_000, "{events} events in ten seconds of rest");
}

#[test]
fn a_record_after_an_hour_reaches_every_copy_at_once() {
    for seed in 0..4 {
        let (mut lab, id) = lab(seed, false);
        lab.run(secs(3_600) + millis(seed * 137));
        let (probe, leader) = (lab.probe(), lab.leader(id).expect("it has one"));
        let (asked, value) = lab.produce(probe, leader, id, Acks::All);
        let produced = lab.produced(asked, millis(10)).expect("an answer within 10 ms");
        assert_eq!((produced.error, produced.base_offset), (ErrorCode::None, Some(0)));
        lab.run(secs(60));
        assert_eq!(lab.isr(id), 3);
        for node in (0..3).map(NodeId) {
            assert_eq!(lab.values(node, id), [value]);
        }
    }
}

/// How long it takes from a fault until its consequence shows.
fn consequence(seed: u64, wakeful: bool, fault: Fault) -> Duration {
    let (mut lab, id) = lab(seed, wakeful);
    lab.run(secs(40) + millis(seed * 83));
    let (leader, follower, controller) =
        (lab.leader(id).expect("it has one"), follower(&lab, id), lab.controller());
    let world = &mut lab.world;
    match fault {
        Fault::Killed => world.kill(leader),
        Fault::LostPower => world.power_fail(follower),
        Fault::Frozen => world.pause(follower),
        Fault::CutOff => {
            let others: Vec<NodeId> = (0..3).map(NodeId).filter(|node| *node != controller).collect();
            others.into_iter().for_each(|other| cut_both_ways(world, controller, other));
        }
        Fault::CutAndBehind => {
            cut_both_ways(world, leader, follower);
            let probe = lab.probe();
            lab.produce(probe, leader, id, Acks::One);
        }
        Fault::ControllerKilled => world.kill(controller),
    }
    lab.until(secs(60), |kafka| match fault {
        Fault::CutOff | Fault::ControllerKilled => kafka.resolve(&Role::Controller) != [controller],
        _ => kafka.truth().partition(id).is_some_and(|partition| partition.isr.len() < 3),
    })
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Killed,
    LostPower,
    Frozen,
    CutOff,
    CutAndBehind,
    ControllerKilled,
}

#[test]
fn no_fault_shows_that_it_was_silent() {
    use Fault::{ControllerKilled, CutAndBehind, CutOff, Frozen, Killed, LostPower};
    for fault in [Killed, LostPower, Frozen, CutOff, CutAndBehind, ControllerKilled] {
        for seed in 0..4 {
            let (silent, wakeful) = (consequence(seed, false, fault), consequence(seed, true, fault));
            let differ = silent.abs_diff(wakeful);
            assert!(differ < millis(10), "{fault:?}, seed {seed}: {silent:?} instead of {wakeful:?}");
        }
    }
}

#[test]
fn what_a_follower_missed_in_a_round_reaches_it_when_its_request_would_have() {
    let (mut lab, id) = lab(3, false);
    let (probe, leader) = (lab.probe(), lab.leader(id).expect("it has one"));
    lab.run(secs(30));
    // Over more than a round, so that some fall between an answer and the request after it.
    let mut slowest = Duration::ZERO;
    for _ in 0..200 {
        lab.run(Duration::from_micros(1_300_700));
        let begin = lab.now();
        let (asked, _) = lab.produce(probe, leader, id, Acks::All);
        assert!(lab.produced(asked, millis(10)).is_some(), "an answer");
        slowest = slowest.max(lab.now().since(begin));
    }
    assert_eq!(lab.isr(id), 3);
    assert!(slowest < millis(3), "{slowest:?}");
}

#[test]
fn a_log_that_loses_its_beginning_after_a_silence_loses_it_everywhere() {
    let (mut lab, id) = lab(2, false);
    let (probe, leader) = (lab.probe(), lab.leader(id).expect("it has one"));
    let (asked, _) = lab.produce(probe, leader, id, Acks::All);
    assert!(lab.produced(asked, millis(10)).is_some(), "an answer");
    lab.run(secs(60));
    let request = DeleteRecordsRequest { timeout: secs(30), partitions: vec![(id, None)] };
    let asked = lab.ask(probe, leader, RequestBody::DeleteRecords(request));
    let Some(ResponseBody::DeleteRecords(results)) = lab.wait(asked, millis(1_500)) else {
        panic!("no answer within three rounds");
    };
    assert_eq!((results[0].error, results[0].low_watermark), (ErrorCode::None, 1));
    for node in (0..3).map(NodeId) {
        assert_eq!(lab.replica(node, id).log.start(), 1);
    }
}
