//! Where a new topic's replicas go: round robin from a drawn broker, without regard to racks.
//!
//! The first replicas of a topic's partitions go round the brokers; the others follow at a distance that grows
//! by one with each round, so that the load of a lost broker spreads over the rest. Source: the rack-unaware
//! assignment of Kafka's `AdminUtils`.

use crate::kernel::{Choices, NodeId, Site};
use std::sync::Arc;

const FIRST: Site = Site::new("kafka.placement.first");
const SHIFT: Site = Site::new("kafka.placement.shift");

/// The replicas of each partition, the preferred leader first. `entity` names the topic to the choices.
pub(super) fn place(
    brokers: &[NodeId],
    partitions: u32,
    replicas: u32,
    entity: u64,
    choices: &Choices,
) -> Vec<Arc<[NodeId]>> {
    let count = brokers.len() as u64;
    let first = choices.below(FIRST, entity, 0, count);
    let shift = choices.below(SHIFT, entity, 0, count);
    (0..u64::from(partitions))
        .map(|partition| {
            let leader = (first + partition) % count;
            let shift = shift + partition / count;
            let others = (1..u64::from(replicas)).map(|replica| {
                let distance = 1 + (shift + replica - 1) % (count - 1).max(1);
                (leader + distance) % count
            });
            std::iter::once(leader).chain(others).map(|place| brokers[place as usize]).collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nodes::NodeSet;

    #[test]
    fn replicas_are_distinct_and_leaders_even() {
        let brokers: Vec<NodeId> = (0..5).map(NodeId).collect();
        for seed in 0..50 {
            let placed = place(&brokers, 20, 3, 7, &Choices::new(seed));
            let mut leads = [0; 5];
            for replicas in &placed {
                assert_eq!(NodeSet::of(replicas).len(), 3, "{replicas:?}");
                leads[replicas[0].index()] += 1;
            }
            assert_eq!(leads, [4; 5]);
        }
    }

    /// So a broker's load goes to all others when it is lost, as with `AdminUtils` of Kafka.
    #[test]
    fn followers_move_on_by_one_with_every_round_of_brokers() {
        let brokers: Vec<NodeId> = (0..5).map(NodeId).collect();
        for seed in 0..20 {
            let placed = place(&brokers, 20, 3, 7, &Choices::new(seed));
            let distance = |replicas: &[NodeId], other: usize| (replicas[other].0 + 5 - replicas[0].0) % 5;
            for (partition, replicas) in placed.iter().enumerate() {
                let before = partition.checked_sub(1).map(|before| distance(&placed[before], 1));
                let moves = u32::from(partition % 5 == 0);
                let first = distance(replicas, 1);
                assert!(before.is_none_or(|before| first == (before - 1 + moves) % 4 + 1), "{placed:?}");
                assert_eq!(distance(replicas, 2), first % 4 + 1);
            }
        }
    }

    #[test]
    fn one_broker_holds_everything() {
        let placed = place(&[NodeId(0)], 2, 1, 7, &Choices::new(1));
        assert_eq!(
            placed.iter().map(|replicas| &replicas[..]).collect::<Vec<_>>(),
            [[NodeId(0)], [NodeId(0)]]
        );
    }
}
