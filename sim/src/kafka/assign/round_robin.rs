//! The round robin assignor: all partitions of all topics one after the other, each to the next member in order that
//! wants its topic. Source: `RoundRobinAssignor` of Apache Kafka.

use super::{Place, Wish, in_order};

pub(super) fn assign<Id: Ord>(members: &[Wish<'_, Id>], partitions: &[u32]) -> Vec<Vec<Place>> {
    let mut assigned = vec![Vec::new(); members.len()];
    let order = in_order(members);
    let mut next = 0;
    for (topic, count) in partitions.iter().enumerate() {
        if members.iter().all(|member| !member.topics.contains(&topic)) {
            continue;
        }
        for partition in 0..*count {
            while !members[order[next % order.len()]].topics.contains(&topic) {
                next += 1;
            }
            assigned[order[next % order.len()]].push((topic, partition));
            next += 1;
        }
    }
    assigned
}

#[cfg(test)]
mod tests {
    use super::{super::tests::wish, *};

    /// The two examples of the Java docs.
    #[test]
    fn e4_round_robin_deals_topic_by_topic() {
        let both = [wish("C0", &[0, 1], &[]), wish("C1", &[0, 1], &[])];
        assert_eq!(assign(&both, &[3, 3]), [vec![(0, 0), (0, 2), (1, 1)], vec![(0, 1), (1, 0), (1, 2)]]);
        let uneven = [wish("C0", &[0], &[]), wish("C1", &[0, 1], &[]), wish("C2", &[0, 1, 2], &[])];
        assert_eq!(
            assign(&uneven, &[1, 2, 3]),
            [vec![(0, 0)], vec![(1, 0)], vec![(1, 1), (2, 0), (2, 1), (2, 2)]]
        );
    }
}
