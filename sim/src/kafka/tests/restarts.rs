//! A process that comes while the session of the one before it lives is refused by the controller (101). What it does
//! until it is registered (rule A2): seen on a real 4.3.0 cluster whose brokers wrote down what they did.

use super::*;
use crate::kafka::metadata::UNREGISTERED;

/// A cluster that has run for a while, with a topic of one partition.
fn lab(seed: u64) -> (Lab, PartitionId, NodeId, [NodeId; 2]) {
    let mut lab = Lab::new(seed);
    let id = lab.topic(2);
    let leader = lab.leader(id).expect("it has one");
    let others: Vec<_> = (0..3).map(NodeId).filter(|node| *node != leader).collect();
    lab.run(secs(3));
    (lab, id, leader, [others[0], others[1]])
}

/// The same when its leader was killed and started again a moment ago, with somebody who asks it.
fn restarted(seed: u64) -> (Lab, PartitionId, NodeId, NodeId) {
    let (mut lab, id, leader, _) = lab(seed);
    let probe = lab.probe();
    lab.world.kill(leader);
    lab.world.start(leader);
    (lab, id, leader, probe)
}

fn epoch(lab: &Lab, node: NodeId) -> u64 {
    lab.kafka().truth().broker(node).expect("it was registered").epoch
}

/// Measured: acknowledged again 2.7 s after the start; the two are fenced for the sessions of their former processes
/// 11.2 to 11.7 s after it, and registered 1.2 s later.
#[test]
fn a2_a_broker_follows_before_it_is_registered() {
    for seed in 0..6 {
        let (mut lab, id, _, others) = lab(seed);
        others.into_iter().for_each(|node| lab.world.kill(node));
        lab.run(secs(12));
        let before = others.map(|node| epoch(&lab, node));
        others.into_iter().for_each(|node| lab.world.start(node));
        let began = lab.now();
        let mut writer = Writer::new(&mut lab, id, Acks::All);
        writer.write_one(&mut lab, began + secs(20));
        assert_between(lab.now().since(began), 1_500, 4_500);
        assert_eq!(others.map(|node| epoch(&lab, node)), before, "neither is registered");
        lab.until(secs(14), |kafka| kafka.truth().partition(id).is_some_and(|known| known.isr.len() == 1));
        assert_between(lab.now().since(began), 10_000, 14_000);
        lab.until(secs(5), |kafka| kafka.truth().partition(id).is_some_and(|known| known.isr.len() == 3));
    }
}

/// It leads what the metadata says that it leads; nobody can tell, since its listeners open last.
#[test]
fn a2_a_broker_takes_no_connections_until_it_is_unfenced() {
    for seed in 0..6 {
        let (mut lab, id, leader, probe) = restarted(seed);
        lab.run(secs(4));
        assert!(lab.replica(leader, id).leading().is_some(), "it has taken its leadership up again");
        assert_eq!(lab.ask_leader(probe, leader, id), None, "no client gets in");
        let begin = lab.now();
        while lab.leader(id) == Some(leader) {
            assert!(lab.step(begin + secs(14)), "it is fenced at last");
            let leading = lab.replica(leader, id).leading();
            let fetched = leading.is_some_and(|leading| leading.followers.iter().any(|it| it.end.is_some()));
            assert!(!fetched, "no broker gets in either");
        }
        lab.until(secs(6), |kafka| kafka.truth().partition(id).is_some_and(|known| known.isr.len() == 3));
        assert!(lab.ask_leader(probe, leader, id).is_some_and(|now| now != leader));
    }
}

#[test]
fn a2_a_broker_that_stops_before_it_is_registered_is_gone_at_once() {
    for seed in 0..6 {
        let (mut lab, id, leader, probe) = restarted(seed);
        lab.run(secs(3));
        lab.world.stop(leader);
        let begin = lab.now();
        while lab.world.life(leader) == crate::kernel::Life::Running {
            assert!(lab.step(begin + secs(1)), "it has nothing to hand over");
        }
        assert_eq!(lab.leader(id), Some(leader), "the cluster has not noticed yet");
        assert_eq!(lab.ask_leader(probe, leader, id), None);
    }
}

/// A follower that the controller hears of and the leader does not leaves the ISR. Who fetches in its name?
#[test]
fn a2_the_isr_takes_in_who_fetches_without_a_broker_epoch_and_nobody_of_another_process() {
    let fetched = |with: fn(u64) -> u64| {
        let (mut lab, id, leader, others) =
            (0..).map(lab).find(|(lab, _, leader, _)| lab.controller() != *leader).expect("many do");
        // It has not got what it says that it has.
        lab.strict = false;
        let follower = others.into_iter().find(|node| *node != lab.controller()).expect("one is not it");
        // The record that it lags by.
        let probe = lab.probe();
        lab.world.cut(follower, leader);
        lab.world.cut(leader, follower);
        lab.produce(probe, leader, id, Acks::One);
        lab.until(secs(60), |kafka| kafka.truth().partition(id).is_some_and(|known| known.isr.len() == 2));
        let replica = Some((follower, with(epoch(&lab, follower))));
        let fetch = FetchRequest { replica, ..a_fetch_of_a_follower(&lab, leader, id) };
        lab.ask(probe, leader, RequestBody::Fetch(fetch));
        lab.run(secs(1));
        lab.isr(id)
    };
    assert_eq!(fetched(|_| UNREGISTERED), 3);
    assert_eq!(fetched(|epoch| epoch), 3);
    assert_eq!(fetched(|epoch| epoch + 1), 2);
}

/// What a follower asks for that has everything.
fn a_fetch_of_a_follower(lab: &Lab, leader: NodeId, id: PartitionId) -> FetchRequest {
    let replica = lab.replica(leader, id);
    let at = FetchPartition {
        current_leader_epoch: Some(replica.leader_epoch),
        ..a_fetch(id, replica.log.end()).partitions[0]
    };
    FetchRequest { partitions: Arc::new(vec![at]), ..a_fetch(id, 0) }
}
