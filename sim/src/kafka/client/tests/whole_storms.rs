//! Groups of every kind in storms, on the whole simulated Kafka, with every invariant watching: once the faults are
//! over, every partition is read by one member (liveness: the group converges).

use super::whole::{SECOND, Whole, topic};
use super::whole_groups::{Log, attend};
use crate::kernel::{Choices, NodeId, Site};
use squall_bus::{Assignor, ClientProfile, ConsumerConfig, ConsumerEvent, GroupProtocol};
use std::collections::BTreeMap;

const FATE: Site = Site::new("test.group-storm");
const PARTITIONS: u32 = 6;

/// How a group is set up.
type Kind = (&'static str, ClientProfile, fn(&mut ConsumerConfig));

const KINDS: [Kind; 8] = [
    ("range", ClientProfile::Native, |_| {}),
    ("round robin", ClientProfile::Native, |config| config.assignors = vec![Assignor::RoundRobin]),
    ("sticky", ClientProfile::Java, |config| config.assignors = vec![Assignor::Sticky]),
    ("cooperative", ClientProfile::Native, |config| config.assignors = vec![Assignor::CooperativeSticky]),
    ("cooperative", ClientProfile::Java, |config| config.assignors = vec![Assignor::CooperativeSticky]),
    ("static", ClientProfile::Java, |config| config.instance = Some(config.client.clone())),
    ("consumer", ClientProfile::Native, consumer_protocol),
    ("consumer", ClientProfile::Java, consumer_protocol),
];

fn consumer_protocol(config: &mut ConsumerConfig) {
    config.protocol = GroupProtocol::Consumer;
    (config.session_timeout, config.heartbeat_interval) = (None, None);
}

fn member(number: usize, (_, profile, change): Kind) -> ConsumerConfig {
    let mut config = ConsumerConfig {
        profile,
        session_timeout: Some(6 * SECOND),
        heartbeat_interval: Some(2 * SECOND),
        ..ConsumerConfig::group(&format!("consumer-{number}"), "billing", &[topic()])
    };
    change(&mut config);
    config
}

/// Who owns each partition, by the events of these members.
fn owners(log: &Log, nodes: &[NodeId]) -> BTreeMap<u32, Vec<NodeId>> {
    let mut owners: BTreeMap<u32, Vec<NodeId>> = BTreeMap::new();
    for (_, node, event) in log.iter().filter(|(_, node, _)| nodes.contains(node)) {
        match event {
            ConsumerEvent::Assigned(units) => {
                units.iter().for_each(|(unit, _)| owners.entry(unit.partition).or_default().push(*node));
            }
            ConsumerEvent::Revoked(units) | ConsumerEvent::Lost(units) => {
                for unit in units {
                    owners.entry(unit.partition).or_default().retain(|owner| owner != node);
                }
            }
            _ => {}
        }
    }
    owners
}

fn storm(kind: Kind, seed: u64) {
    let mut whole = Whole::new(seed, PARTITIONS);
    let choices = Choices::new(seed);
    let mut log = Log::new();
    let mut members: Vec<NodeId> = (1..=3).map(|number| whole.consumer(member(number, kind))).collect();
    for round in 0..5 {
        let draw = |ordinal, bound| choices.below(FATE, round, ordinal, bound) as usize;
        attend(&mut whole, &members, SECOND * (1 + draw(0, 9) as u32), &mut log);
        let (victim, broker) = (draw(1, 3), NodeId(draw(2, 3) as u32));
        let span = SECOND * (1 + draw(3, 12) as u32);
        let others = |members: &[NodeId]| {
            members
                .iter()
                .enumerate()
                .filter(|(place, _)| *place != victim)
                .map(|(_, node)| *node)
                .collect::<Vec<_>>()
        };
        match draw(4, 4) {
            0 => {
                whole.world.kill(members[victim]);
                attend(&mut whole, &others(&members), span, &mut log);
                members[victim] = whole.consumer(member(victim + 1, kind));
            }
            1 => {
                whole.world.pause(members[victim]);
                attend(&mut whole, &others(&members), span, &mut log);
                whole.world.resume(members[victim]);
            }
            2 => {
                whole.world.kill(broker);
                attend(&mut whole, &members, span, &mut log);
                whole.world.start(broker);
            }
            _ => {
                whole.commit(members[victim], 0);
                whole.close(members[victim]);
                attend(&mut whole, &others(&members), span, &mut log);
                members[victim] = whole.consumer(member(victim + 1, kind));
            }
        }
    }
    attend(&mut whole, &members, 75 * SECOND, &mut log);
    let owners = owners(&log, &members);
    let alone =
        (0..PARTITIONS).all(|partition| owners.get(&partition).is_some_and(|owners| owners.len() == 1));
    assert!(alone, "{} of {:?}, seed {seed}: {owners:?}", kind.0, kind.1);
    let fair = members.iter().all(|node| owners.values().flatten().any(|owner| owner == node));
    assert!(fair, "{} of {:?}, seed {seed}: {owners:?}", kind.0, kind.1);
}

/// Long sweeps: raise the seeds.
#[test]
fn e4_e6_groups_of_every_kind_converge_after_storms() {
    for kind in KINDS {
        (0..3).for_each(|seed| storm(kind, seed));
    }
}
