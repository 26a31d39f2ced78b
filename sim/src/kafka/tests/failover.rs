//! Brokers die, stop, freeze and come back: the golden cases of a real 4.3.0 cluster (kafka-measured, A to C).

use super::*;
use crate::model::{Note, Output};

/// A partition of a three-partition topic whose leader is, or is not, the active controller.
fn partition(lab: &mut Lab, min_insync: u32, leader_controls: bool) -> PartitionId {
    let id = lab.topic_of("t", 3, 3, min_insync, &[]);
    let controller = lab.controller();
    (0..3)
        .map(|partition| PartitionId::new(id.topic, partition))
        .find(|id| (lab.leader(*id) == Some(controller)) == leader_controls)
        .expect("each node leads one partition")
}

/// A follower that is, or is not, the active controller.
fn follower(lab: &Lab, id: PartitionId, controls: bool) -> NodeId {
    let (leader, controller) = (lab.leader(id), lab.controller());
    let nodes = (0..3).map(NodeId).filter(|node| Some(*node) != leader);
    nodes.into_iter().find(|node| (*node == controller) == controls).expect("there are two followers")
}

fn restart(world: &mut World<Kafka>, node: NodeId) {
    world.start(node);
}

/// The answer to a heartbeat that was under way when the wish to stop arose does not put the next one off for two seconds.
#[test]
fn a1_a_broker_that_wishes_to_stop_says_so_at_once_whatever_is_under_way() {
    for phase in 0..20 {
        let mut lab = Lab::new(1);
        let controller = lab.controller();
        let node = (0..3).map(NodeId).find(|node| *node != controller).expect("another");
        // A heartbeat is under way for a fifth of the time.
        lab.world.delay(node, controller, millis(400));
        lab.run(secs(5) + millis(100) * phase);
        let from = lab.world.now();
        lab.world.stop(node);
        while lab.world.life(node) != crate::kernel::Life::Down {
            lab.run(millis(10));
        }
        let took = lab.world.now().since(from);
        assert!(took < millis(3_900), "phase {phase}: {took:?}");
    }
}

#[test]
fn g1_a1_a_killed_leader_is_replaced_when_its_session_ends() {
    for seed in 0..8 {
        let mut lab = Lab::new(seed);
        let id = partition(&mut lab, 2, false);
        let leader = lab.leader(id).expect("it has one");
        let mut writer = Writer { idempotent: true, ..Writer::new(&mut lab, id, Acks::All) };
        lab.after(secs(3), move |world| world.kill(leader));
        lab.after(secs(16), move |world| restart(world, leader));
        writer.write_until(&mut lab, Time::from_millis(22_000));
        assert_between(writer.written.gap, 7_000, 12_500);
        assert_eq!(lab.kafka().truth().partition(id).map(|partition| partition.leader_epoch), Some(1));
        let now = lab.leader(id).expect("it has one");
        assert_ne!(now, leader, "the leadership is not moved back");
        assert_eq!(lab.isr(id), 3);
        assert_eq!(compare(&writer.written, &lab.values(now, id)), (0, 0));
    }
}

#[test]
fn g1_a1_it_takes_longer_when_the_leader_is_the_active_controller() {
    for seed in 0..8 {
        let mut lab = Lab::new(seed);
        let id = partition(&mut lab, 2, true);
        let leader = lab.leader(id).expect("it has one");
        lab.run(secs(3));
        lab.world.kill(leader);
        let took = lab.until(secs(20), |kafka| {
            kafka.truth().partition(id).is_some_and(|partition| partition.leader != Some(leader))
        });
        // A new controller is elected after 2 to 3 s and starts every session anew. Measured: 10.7 to 12.4 s.
        assert_between(took, 10_500, 14_000);
    }
}

#[test]
fn g2_a1_a_killed_follower_stalls_acks_all_until_it_is_fenced() {
    for seed in 0..8 {
        let mut lab = Lab::new(seed);
        let id = partition(&mut lab, 2, false);
        let victim = follower(&lab, id, false);
        let mut writer = Writer { patience: Some(secs(3)), ..Writer::new(&mut lab, id, Acks::All) };
        lab.after(secs(3), move |world| world.kill(victim));
        writer.write_until(&mut lab, Time::from_millis(16_000));
        assert_between(writer.written.gap, 7_000, 10_500);
        assert_eq!(writer.written.errors, [], "no request failed but by its time");
        assert!(!writer.written.timed_out.is_empty());
        let leader = lab.leader(id).expect("it has one");
        let log = lab.values(leader, id);
        assert!(writer.written.timed_out.iter().all(|value| log.contains(value)), "they are in the log");
        assert_eq!(lab.kafka().truth().partition(id).map(|partition| partition.leader_epoch), Some(0));
        assert_eq!(compare(&writer.written, &log).0, 0);
    }
}

#[test]
fn g3_a1_a_leader_that_stops_hands_over_at_once() {
    let mut duplicated = 0;
    for seed in 0..8 {
        let mut lab = Lab::new(seed);
        let id = partition(&mut lab, 2, false);
        let leader = lab.leader(id).expect("it has one");
        let mut writer = Writer { pause: millis(0), ..Writer::new(&mut lab, id, Acks::All) };
        lab.after(secs(3), move |world| world.stop(leader));
        let stopped = lab.now() + secs(3);
        writer.write_until(&mut lab, stopped + millis(20));
        assert_ne!(lab.leader(id), Some(leader), "the leadership moved within 20 ms");
        writer.write_until(&mut lab, Time::from_millis(8_000));
        assert!(writer.written.gap < millis(1_500), "{:?}", writer.written.gap);
        assert_eq!(writer.written.errors, [Some(ErrorCode::NotLeaderOrFollower)]);
        let now = lab.leader(id).expect("it has one");
        let (lost, duplicates) = compare(&writer.written, &lab.values(now, id));
        assert_eq!(lost, 0);
        assert!(duplicates <= 1);
        duplicated += duplicates;
    }
    // 6 for a parked request is indeterminate: some retry finds the record in the log already.
    assert!(duplicated > 0, "no seed shows the duplicate that 3 of 6 real runs had");
}

#[test]
fn a1_a_broker_that_stops_is_gone_soon() {
    for seed in 0..6 {
        let mut lab = Lab::new(seed);
        let id = partition(&mut lab, 2, false);
        let leader = lab.leader(id).expect("it has one");
        lab.run(secs(3));
        lab.world.stop(leader);
        let begin = lab.now();
        while lab.world.life(leader) == crate::kernel::Life::Running {
            assert!(lab.step(begin + secs(10)), "it does not stop");
        }
        // One round of heartbeats must show that everybody knows. Measured: 2.3 to 2.6 s.
        assert_between(lab.now().since(begin), 200, 2_700);
    }
}

#[test]
fn a1_a_broker_that_leads_nothing_stops_at_once() {
    let rules = Rules { offsets_replicas: 1, offsets_partitions: 1, ..kafka_4_3_test_cluster() };
    let mut lab = Lab::with(3, 3, rules);
    let id = lab.topic(2);
    let offsets = PartitionId::new(crate::kafka::protocol::TopicIx::CONSUMER_OFFSETS, 0);
    let leads = [lab.leader(id), lab.leader(offsets)];
    let idle = (0..3).map(NodeId).find(|node| !leads.contains(&Some(*node))).expect("two lead");
    lab.run(secs(3));
    lab.world.stop(idle);
    let begin = lab.now();
    while lab.world.life(idle) == crate::kernel::Life::Running {
        assert!(lab.step(begin + secs(10)), "it does not stop");
    }
    assert_between(lab.now().since(begin), 200, 300);
}

#[test]
fn g4_b4_acks_1_loses_what_was_not_replicated_and_acks_all_nothing() {
    let mut lost_by_one = 0;
    for seed in 0..20 {
        for acks in [Acks::One, Acks::All] {
            let mut lab = Lab::new(seed);
            let id = partition(&mut lab, 2, false);
            let leader = lab.leader(id).expect("it has one");
            let mut writer = Writer { pause: Duration::ZERO, ..Writer::new(&mut lab, id, acks) };
            let kill_at = lab.now() + secs(2);
            lab.after(secs(2), move |world| world.kill(leader));
            lab.after(secs(14), move |world| restart(world, leader));
            writer.write_until(&mut lab, kill_at + millis(1));
            writer.pause = millis(100);
            writer.write_until(&mut lab, kill_at + secs(20));
            let now = lab.leader(id).expect("it has one");
            let (lost, _) = compare(&writer.written, &lab.values(now, id));
            match acks {
                Acks::All => assert_eq!(lost, 0, "seed {seed}"),
                _ => lost_by_one += usize::from(lost > 0),
            }
            assert_eq!(lab.values(now, id), lab.values(leader, id), "the old leader was truncated");
        }
    }
    assert!(lost_by_one > 0, "acks=1 must lose something in some run");
}

#[test]
fn g5_a1_an_isolated_leader_goes_on_acknowledging_what_will_be_lost() {
    for seed in 0..6 {
        let mut lab = Lab::new(seed);
        let id = partition(&mut lab, 2, false);
        let leader = lab.leader(id).expect("it has one");
        let others: Vec<NodeId> = (0..3).map(NodeId).filter(|node| *node != leader).collect();
        let mut zombie = Writer::new(&mut lab, id, Acks::One);
        zombie.write_until(&mut lab, Time::from_millis(2_000));
        let cut_at = lab.now();
        for other in &others {
            lab.world.cut(leader, *other);
            lab.world.cut(*other, leader);
        }
        let waiting_probe = lab.probe();
        let (waiting, waiting_value) = lab.produce(waiting_probe, leader, id, Acks::All);
        let (heal_leader, heal_others) = (leader, others.clone());
        lab.after(secs(28), move |world| {
            for other in heal_others {
                world.uncut(heal_leader, other);
                world.uncut(other, heal_leader);
            }
        });
        zombie.write_until(&mut lab, cut_at + secs(12));
        let new = lab.leader(id).expect("it has one");
        assert_ne!(new, leader, "the others elected another leader");
        let mut second = Writer { leader: Some(new), ..Writer::new(&mut lab, id, Acks::All) };
        second.write_until(&mut lab, cut_at + secs(14));
        zombie.write_until(&mut lab, cut_at + secs(28));
        assert_eq!(zombie.written.errors, [], "it notices nothing");
        lab.run(secs(20));
        assert_eq!(lab.isr(id), 3, "the old leader is back");
        let log = lab.values(new, id);
        let after_cut: Vec<u64> = zombie
            .written
            .acked
            .iter()
            .filter(|(_, _, at)| *at > cut_at + millis(5))
            .map(|(value, ..)| *value)
            .collect();
        assert!(after_cut.len() > 100);
        assert!(after_cut.iter().all(|value| !log.contains(value)), "every ack after the cut is lost");
        let reused = |offset: u64| zombie.written.acked.iter().any(|(_, other, _)| *other == offset);
        assert!(second.written.acked.iter().any(|(_, offset, _)| reused(*offset)), "offsets are reused");
        assert_eq!(compare(&second.written, &log), (0, 0));
        let answer = lab.produced(waiting, secs(30)).expect("an answer").error;
        assert!(matches!(answer, ErrorCode::NotLeaderOrFollower | ErrorCode::RequestTimedOut), "{answer}");
        assert!(!log.contains(&waiting_value));
    }
}

#[test]
fn a1_a_zombie_steps_down_soon_after_the_partition_heals() {
    for seed in 0..6 {
        let mut lab = Lab::new(seed);
        let id = partition(&mut lab, 2, false);
        let leader = lab.leader(id).expect("it has one");
        lab.run(secs(2));
        for other in (0..3).map(NodeId).filter(|node| *node != leader) {
            lab.world.cut(leader, other);
            lab.world.cut(other, leader);
        }
        lab.run(secs(28));
        for other in (0..3).map(NodeId).filter(|node| *node != leader) {
            lab.world.uncut(leader, other);
            lab.world.uncut(other, leader);
        }
        let led = |kafka: &Kafka| {
            kafka.servers[leader.index()]
                .data()
                .and_then(|broker| broker.replica(id))
                .is_some_and(|r| r.leading().is_some())
        };
        assert!(led(lab.kafka()), "it still leads");
        let took = lab.until(secs(10), |kafka| !led(kafka));
        // Measured: acks until 1.8 to 2.4 s after healing.
        assert_between(took, 0, 4_000);
        let took = lab.until(secs(10), |kafka| {
            kafka.truth().partition(id).is_some_and(|partition| partition.isr.len() == 3)
        });
        assert_between(took, 0, 8_400);
    }
}

#[test]
fn a1_a_frozen_leader_answers_what_waited_before_it_learns() {
    for seed in 0..6 {
        let mut lab = Lab::new(seed);
        let id = partition(&mut lab, 2, false);
        let leader = lab.leader(id).expect("it has one");
        let mut writer = Writer::new(&mut lab, id, Acks::One);
        writer.write_until(&mut lab, Time::from_millis(2_000));
        lab.world.pause(leader);
        let (asked, value) = lab.produce(writer.probe, leader, id, Acks::One);
        lab.run(secs(14));
        let new = lab.leader(id).expect("it has one");
        assert_ne!(new, leader);
        lab.world.resume(leader);
        let produced = lab.produced(asked, secs(1)).expect("an answer");
        assert_eq!(produced.error, ErrorCode::None, "the zombie acknowledges");
        let took = lab.until(secs(5), |kafka| {
            kafka.truth().partition(id).is_some_and(|partition| partition.isr.len() == 3)
        });
        // Measured: 0.6 to 1.2 s.
        assert_between(took, 0, 1_300);
        lab.run(secs(1));
        assert!(!lab.values(new, id).contains(&value), "and it is lost");
        assert!(!lab.values(leader, id).contains(&value));
    }
}

#[test]
fn g12_a2_a_quick_restart_waits_for_the_old_session() {
    for clean in [false, true] {
        for seed in 0..6 {
            let mut lab = Lab::new(seed);
            let id = partition(&mut lab, 2, false);
            let leader = lab.leader(id).expect("it has one");
            lab.run(secs(3));
            let begin = lab.now();
            if clean {
                lab.world.stop(leader);
                while lab.world.life(leader) == crate::kernel::Life::Running {
                    assert!(lab.step(begin + secs(10)), "it does not stop");
                }
            } else {
                lab.world.kill(leader);
            }
            lab.world.start(leader);
            let out = lab.until(secs(20), |kafka| {
                kafka.truth().partition(id).is_some_and(|partition| partition.isr.len() == 2)
            });
            let back = lab.until(secs(20), |kafka| {
                kafka.truth().partition(id).is_some_and(|partition| partition.isr.len() == 3)
            });
            let took = lab.now().since(begin);
            assert!(out + back <= took);
            // Measured: 7.6 to 9.8 s after a kill, 9.7 to 12.4 s after SIGTERM.
            if clean {
                assert_between(took, 9_000, 12_500);
            } else {
                assert_between(took, 7_000, 12_000);
            }
        }
    }
}

#[test]
fn a2_a_restart_after_fencing_is_quick() {
    for seed in 0..6 {
        let mut lab = Lab::new(seed);
        let id = partition(&mut lab, 2, false);
        let leader = lab.leader(id).expect("it has one");
        lab.run(secs(3));
        lab.world.kill(leader);
        lab.run(secs(13));
        lab.world.start(leader);
        let took = lab.until(secs(5), |kafka| {
            kafka.truth().partition(id).is_some_and(|partition| partition.isr.len() == 3)
        });
        // Measured: 2.05 to 2.17 s from the start of the process.
        assert_between(took, 1_600, 2_200);
    }
}

#[test]
fn a_cold_start_after_a_kill_of_all_waits_for_stale_sessions() {
    for seed in 0..6 {
        let mut lab = Lab::new(seed);
        let id = partition(&mut lab, 2, false);
        lab.run(secs(3));
        for node in (0..3).map(NodeId) {
            lab.world.kill(node);
        }
        lab.run(secs(1));
        for node in (0..3).map(NodeId) {
            lab.world.start(node);
        }
        let begin = lab.now();
        let mut writer = Writer::new(&mut lab, id, Acks::All);
        writer.write_one(&mut lab, Time::from_millis(40_000));
        // Measured: 13.2 to 15.0 s.
        assert_between(lab.now().since(begin), 11_000, 17_000);
    }
}

#[test]
fn b2_a_follower_that_lags_leaves_the_isr_after_30_to_45_seconds() {
    for seed in 0..4 {
        let rules = Rules { broker_session: secs(120), ..kafka_4_3_test_cluster() };
        let mut lab = Lab::with(seed, 3, rules);
        let id = partition(&mut lab, 2, false);
        let victim = follower(&lab, id, false);
        let mut writer = Writer { pause: millis(200), ..Writer::new(&mut lab, id, Acks::All) };
        writer.write_until(&mut lab, Time::from_millis(4_000));
        lab.world.pause(victim);
        let paused = lab.now();
        writer.write_one(&mut lab, paused + secs(60));
        assert_eq!(lab.isr(id), 2);
        assert_between(lab.now().since(paused), 30_000, 46_000);
        lab.world.resume(victim);
        let took = lab.until(secs(5), |kafka| {
            kafka.truth().partition(id).is_some_and(|partition| partition.isr.len() == 3)
        });
        assert_between(took, 0, 1_300);
    }
}

#[test]
fn clusters_of_two_processes_agree() {
    let hash = |seed| {
        let mut lab = Lab::new(seed);
        let id = partition(&mut lab, 2, false);
        let leader = lab.leader(id).expect("it has one");
        lab.after(secs(1), move |world| world.kill(leader));
        let mut writer = Writer::new(&mut lab, id, Acks::All);
        writer.write_until(&mut lab, Time::from_millis(12_000));
        lab.world.trace().hash()
    };
    assert_eq!(hash(5), hash(5));
    assert_ne!(hash(5), hash(6));
}

#[test]
fn a_wiped_broker_comes_back_empty_and_catches_up() {
    let mut lab = Lab::new(2);
    let id = partition(&mut lab, 2, false);
    let victim = follower(&lab, id, false);
    let mut writer = Writer::new(&mut lab, id, Acks::All);
    writer.write_until(&mut lab, Time::from_millis(2_000));
    lab.world.kill(victim);
    lab.world.wipe(victim);
    lab.run(secs(12));
    lab.world.start(victim);
    lab.until(secs(10), |kafka| {
        kafka.truth().partition(id).is_some_and(|partition| partition.isr.len() == 3)
    });
    let leader = lab.leader(id).expect("it has one");
    assert_eq!(lab.values(victim, id), lab.values(leader, id));
}

#[test]
fn a1_without_a_controller_a_broker_stops_on_its_own() {
    for seed in 0..4 {
        let mut lab = Lab::new(seed);
        lab.run(secs(3));
        for node in (0..3).map(NodeId) {
            lab.world.stop(node);
        }
        let begin = lab.now();
        let mut last = Duration::ZERO;
        for node in (0..3).map(NodeId) {
            while lab.world.life(node) == crate::kernel::Life::Running {
                assert!(lab.step(begin + secs(15)), "node {node} does not stop");
            }
            last = last.max(lab.now().since(begin));
        }
        // Measured: 5.4 s for the last of three, which leads the quorum and waits for a successor.
        assert_between(last, 5_000, 9_000);
    }
}

#[test]
fn a_broker_whose_disk_fails_halts_and_another_leads() {
    let mut lab = Lab::new(1);
    let id = partition(&mut lab, 2, false);
    let leader = lab.leader(id).expect("it has one");
    let probe = lab.probe();
    lab.world.disk_mut(leader).failing = true;
    let (asked, _) = lab.produce(probe, leader, id, Acks::All);
    let answer = lab.produced(asked, secs(1));
    assert!(answer.is_none_or(|answer| answer.error == ErrorCode::KafkaStorageError), "{answer:?}");
    assert_eq!(lab.world.life(leader), crate::kernel::Life::Down);
    lab.until(secs(14), |kafka| {
        kafka.truth().partition(id).is_some_and(|partition| partition.leader != Some(leader))
    });
}

#[test]
fn the_rules_print_one_a_line() {
    let printed = kafka_4_3_test_cluster().to_string();
    for line in ["truncate: ByEpoch", "broker_session: 9s", "dedup_batches: 5", "offsets_partitions: 8"] {
        assert!(printed.lines().any(|printed| printed == line), "{printed}");
    }
}

/// Histories name nodes from 1.
#[test]
fn a1_the_run_is_told_of_a_new_leader_and_of_who_is_in_sync() {
    let mut lab = Lab::new(1);
    let id = partition(&mut lab, 2, false);
    let leader = lab.leader(id).expect("it has one");
    lab.run(secs(1));
    lab.world.take_outputs().for_each(drop);
    lab.world.stop(leader);
    lab.run(secs(5));
    let outputs = lab.world.take_outputs();
    let notes: Vec<Note> =
        outputs.filter_map(|it| if let Output::Note(note) = it { Some(note) } else { None }).collect();
    let unit = lab.kafka().shared.names.unit(id).clone();
    let new = lab.leader(id).expect("another one");
    let (leads, epoch) = (Some(new.0 + 1), 1);
    let note = Note::Leader { unit: unit.clone(), leader: leads, epoch, unclean: false };
    assert!(notes.contains(&note), "{notes:?}");
    let rest: Vec<u32> = (0..3).filter(|node| *node != leader.0).map(|node| node + 1).collect();
    assert!(notes.contains(&Note::Insync { unit, nodes: rest }), "{notes:?}");
}

/// `replica.fetch.backoff.ms`: a follower whose leader is gone tries again a second later, not at once.
#[test]
fn b3_a_follower_rests_a_second_when_its_connection_breaks() {
    let mut lab = Lab::new(5);
    assert_eq!(lab.kafka().shared.rules.replica_fetch_backoff, secs(1));
    let id = partition(&mut lab, 2, false);
    let leader = lab.leader(id).expect("it has one");
    lab.run(secs(3));
    lab.world.kill(leader);
    let before = lab.world.trace().events();
    lab.run(secs(5));
    let events = lab.world.trace().events() - before;
    assert!(events < 60, "{events} events for the attempts of two followers in five seconds");
}
