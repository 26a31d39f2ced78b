//! The range assignor, as both libraries have it by default: per topic the members that subscribe to it, in
//! order, get contiguous ranges of its partitions; the first ones get one more when it does not
//! come out even. Source: `RangeAssignor` of Apache Kafka.

use super::{Place, Wish, in_order};

pub(super) fn assign<Id: Ord>(members: &[Wish<'_, Id>], partitions: &[u32]) -> Vec<Vec<Place>> {
    let mut assigned = vec![Vec::new(); members.len()];
    let order = in_order(members);
    for (topic, count) in partitions.iter().enumerate() {
        let takers: Vec<usize> =
            order.iter().copied().filter(|member| members[*member].topics.contains(&topic)).collect();
        let Some((each, more)) =
            count.checked_div(takers.len() as u32).map(|each| (each, count % takers.len() as u32))
        else {
            continue;
        };
        let mut next = 0;
        for (rank, member) in takers.into_iter().enumerate() {
            let share = each + u32::from((rank as u32) < more);
            assigned[member].extend((next..next + share).map(|partition| (topic, partition)));
            next += share;
        }
    }
    assigned
}

#[cfg(test)]
mod tests {
    use super::{super::tests::wish, *};

    #[test]
    fn e4_range_is_the_example_of_the_java_docs() {
        let members = [wish("C0", &[0, 1], &[]), wish("C1", &[0, 1], &[])];
        assert_eq!(assign(&members, &[3, 3]), [vec![(0, 0), (0, 1), (1, 0), (1, 1)], vec![(0, 2), (1, 2)]]);
    }

    #[test]
    fn e4_ids_decide_and_not_the_order_of_joining() {
        let members = [wish("b", &[0], &[]), wish("a", &[0], &[])];
        assert_eq!(assign(&members, &[3]), [vec![(0, 2)], vec![(0, 0), (0, 1)]]);
    }

    #[test]
    fn e4_a_topic_that_nobody_wants_is_left() {
        assert_eq!(assign(&[wish("a", &[1], &[])], &[2, 1]), [vec![(1, 0)]]);
        assert_eq!(assign::<u8>(&[], &[2]), Vec::<Vec<_>>::new());
    }
}
