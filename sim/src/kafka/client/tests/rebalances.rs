//! Eager and cooperative rebalances as both libraries go through them (E4; measured: section 6).

use super::membership::{BOTH, Log, SECOND, assigned, events, member, settled};
use super::stage::{Seen, Stage};
use crate::kernel::NodeId;
use squall_bus::{Assignor, ClientProfile, ConsumerConfig, ConsumerEvent, Time};
use std::{collections::BTreeSet, time::Duration};

fn cooperative(client: &str, profile: ClientProfile) -> ConsumerConfig {
    ConsumerConfig { assignors: vec![Assignor::CooperativeSticky], ..member(client, profile) }
}

/// What a member owns, by all its events.
fn owns(log: &Log, node: NodeId) -> BTreeSet<u32> {
    log.iter().filter(|(_, who, _)| *who == node).fold(BTreeSet::new(), |mut owned, (_, _, what)| {
        match what {
            Seen::Event(ConsumerEvent::Assigned(units)) => {
                owned.extend(units.iter().map(|(unit, _)| unit.partition));
            }
            Seen::Event(ConsumerEvent::Revoked(units) | ConsumerEvent::Lost(units)) => {
                owned.retain(|owned| units.iter().all(|unit| unit.partition != *owned));
            }
            _ => {}
        }
        owned
    })
}

/// A second member comes: everybody is told what is new, which is nothing; the loser hands back what moves, and nothing
/// else; the second round brings it to the taker.
#[test]
fn e4_cooperative_members_hand_back_only_what_moves() {
    for profile in BOTH {
        let mut stage = Stage::new(4, 1, 6);
        let mut log = Log::new();
        let first = stage.consumer(cooperative("consumer-1", profile));
        stage.attend(&[first], 5 * SECOND, &mut log);
        assert_eq!(owns(&log, first).len(), 6);

        let from = stage.world.now();
        let second = stage.consumer(cooperative("consumer-2", profile));
        stage.attend(&[first, second], 7 * SECOND, &mut log);
        let told: Vec<&str> = match profile {
            ClientProfile::Native => vec!["revoked", "assigned"],
            ClientProfile::Java | ClientProfile::Java3 => vec!["revoked", "assigned", "assigned"],
        };
        assert_eq!(events(&log, first, from), told, "{profile:?}");
        assert_eq!(events(&log, second, from), ["assigned", "assigned"]);
        assert_eq!((owns(&log, first).len(), owns(&log, second).len()), (3, 3));
        let (_, empty) = log
            .iter()
            .find_map(|(at, who, what)| match what {
                Seen::Event(ConsumerEvent::Assigned(units)) if *who == second => Some((at, units.len())),
                _ => None,
            })
            .expect("round 1");
        assert_eq!(empty, 0, "round 1 brings the taker nothing");
        let took = settled(&log, &[first, second], from).as_millis();
        // Two rounds, each at most one heartbeat interval of 2 s: measured 2.5 to 4.3 s.
        assert!((100..=4_400).contains(&took), "{took} ms");

        // A member that leaves has nothing to be handed back: one round, and the survivor reads on.
        let from = stage.world.now();
        stage.close(second);
        stage.attend(&[first], 5 * SECOND, &mut log);
        assert_eq!(events(&log, first, from), ["assigned"]);
        assert_eq!(owns(&log, first).len(), 6);
        let took = settled(&log, &[first], from);
        assert!(took <= Duration::from_millis(2_100), "measured 0.6 to 1.9 s: {took:?}");
    }
}

#[test]
fn e4_a_cooperative_member_reads_on_in_a_rebalance() {
    let mut stage = Stage::new(4, 1, 2);
    stage.fill(0, 400);
    stage.fill(1, 400);
    let mut log = Log::new();
    let first = stage.consumer(cooperative("consumer-1", ClientProfile::Native));
    stage.attend(&[first], 2 * SECOND, &mut log);
    let second = stage.consumer(cooperative("consumer-2", ClientProfile::Native));
    let from = stage.world.now();
    for _ in 0..60 {
        stage.fill(0, 1);
        stage.fill(1, 1);
        stage.attend(&[first, second], Duration::from_millis(100), &mut log);
    }
    let reads = |node, partition| {
        let of = |(_, who, what): &&(Time, NodeId, Seen)| {
            *who == node && matches!(what, Seen::Record(p, _) if *p == partition)
        };
        log.iter().filter(of).map(|(at, _, what)| (*at, what.clone())).collect::<Vec<_>>()
    };
    let kept = *owns(&log, first).first().expect("one is left");
    let own = reads(first, kept);
    let gaps = own.windows(2).filter(|pair| pair[0].0 >= from).map(|pair| pair[1].0.since(pair[0].0));
    assert!(gaps.max().expect("records") < SECOND, "it never stops");
    let mut offsets: Vec<u64> = own
        .iter()
        .map(|(_, what)| match what {
            Seen::Record(_, offset) => *offset,
            Seen::Event(_) => unreachable!("records only"),
        })
        .collect();
    let read = offsets.len();
    offsets.dedup();
    assert_eq!(read, offsets.len(), "nothing twice");
    assert_eq!(offsets, (0..read as u64).collect::<Vec<_>>(), "and nothing left out");
    assert!(!reads(second, 1 - kept).is_empty());
}

/// What is fetched already of a unit that stays is handed out, and not fetched again, when another unit goes.
#[test]
fn e4_what_was_fetched_follows_its_unit() {
    let mut stage = Stage::new(4, 1, 2);
    let records = [5, 7];
    (0..2).for_each(|partition| stage.fill(partition, records[partition as usize]));
    let first = stage.consumer(cooperative("consumer-1", ClientProfile::Native));
    stage.run(SECOND);
    assert!(matches!(stage.event(first), Some(ConsumerEvent::Assigned(units)) if units.len() == 2));
    while stage.event(first).is_some() {}
    stage.run(SECOND);
    // It has all records of both, and its caller takes events only.
    let second = stage.consumer(cooperative("consumer-2", ClientProfile::Native));
    let gone = loop {
        assert!(stage.world.now() < Time::from_millis(20_000), "one unit goes");
        stage.run(Duration::from_micros(100));
        while stage.event(second).is_some() {}
        if let Some(ConsumerEvent::Revoked(units)) = stage.event(first) {
            break units[0].partition;
        }
    };
    // Nothing can be fetched from now on.
    stage.world.pause(NodeId(0));
    while stage.event(first).is_some() {}
    let read = std::iter::from_fn(|| stage.record(first)).map(|record| {
        let delivery = record.expect("the consumer lives");
        (delivery.unit.partition, delivery.position.0)
    });
    let kept = (0..records[1 - gone as usize]).map(|offset| (1 - gone, offset));
    assert_eq!(read.collect::<Vec<_>>(), kept.collect::<Vec<_>>());
}

/// A cooperative member that was put out has lost everything at once.
#[test]
fn e4_a_cooperative_zombie_loses_everything() {
    for profile in BOTH {
        let mut stage = Stage::new(4, 1, 6);
        let mut log = Log::new();
        let zombie = stage.consumer(cooperative("consumer-1", profile));
        let other = stage.consumer(cooperative("consumer-2", profile));
        stage.attend(&[zombie, other], 10 * SECOND, &mut log);
        stage.world.pause(zombie);
        stage.attend(&[other], 9 * SECOND, &mut log);
        assert_eq!(owns(&log, other).len(), 6);
        let from = stage.world.now();
        stage.world.resume(zombie);
        stage.attend(&[zombie, other], 8 * SECOND, &mut log);
        assert_eq!(events(&log, zombie, from)[0], "lost");
        assert_eq!((owns(&log, zombie).len(), owns(&log, other).len()), (3, 3));
    }
}

/// Java's default offers range and cooperative-sticky: eager as long as one of them is.
#[test]
fn e4_a_mixed_offer_is_eager() {
    let mut stage = Stage::new(4, 1, 4);
    let mut log = Log::new();
    let mixed = |client| ConsumerConfig {
        assignors: vec![Assignor::CooperativeSticky, Assignor::Range],
        ..member(client, ClientProfile::Java)
    };
    let first = stage.consumer(mixed("consumer-1"));
    stage.attend(&[first], 3 * SECOND, &mut log);
    let from = stage.world.now();
    let second = stage.consumer(mixed("consumer-2"));
    stage.attend(&[first, second], 8 * SECOND, &mut log);
    assert_eq!(events(&log, first, from)[0], "revoked");
    let Some((_, _, Seen::Event(ConsumerEvent::Revoked(units)))) = log
        .iter()
        .find(|(_, who, what)| *who == first && matches!(what, Seen::Event(ConsumerEvent::Revoked(_))))
    else {
        panic!("nothing was revoked")
    };
    assert_eq!(units.len(), 4, "everything");
    assert!(assigned(&log, second, from).is_some());
}

/// The eager sticky assignor deals every member what it had.
#[test]
fn e4_sticky_members_get_back_what_they_had() {
    let mut stage = Stage::new(4, 1, 6);
    let mut log = Log::new();
    let sticky =
        |client| ConsumerConfig { assignors: vec![Assignor::Sticky], ..member(client, ClientProfile::Java) };
    let first = stage.consumer(sticky("consumer-1"));
    let second = stage.consumer(sticky("consumer-2"));
    stage.attend(&[first, second], 8 * SECOND, &mut log);
    let before = [first, second].map(|node| owns(&log, node));
    let third = stage.consumer(sticky("consumer-3"));
    stage.attend(&[first, second, third], 8 * SECOND, &mut log);
    let after = [first, second, third].map(|node| owns(&log, node));
    assert_eq!(after.each_ref().map(BTreeSet::len), [2, 2, 2]);
    assert!(after[0].is_subset(&before[0]) && after[1].is_subset(&before[1]));
}
