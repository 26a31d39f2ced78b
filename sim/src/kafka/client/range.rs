//! The range assignor, as both libraries have it by default: per topic the members that subscribe to it, in
//! order of their ids, get contiguous ranges of its partitions; the first ones get one more when it does not
//! come out even. Source: `RangeAssignor` of Apache Kafka (without racks and static members).

/// What one member wants: its id and its topics by their place in the caller's list, in any order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member<'a, Id> {
    pub(crate) id: Id,
    pub(crate) topics: &'a [usize],
}

/// For each member, in the order given, its (topic, partition) pairs, sorted by topic. `partitions` says how
/// many each topic has.
pub(crate) fn assign<Id: Ord>(members: &[Member<'_, Id>], partitions: &[u32]) -> Vec<Vec<(usize, u32)>> {
    let mut assigned = vec![Vec::new(); members.len()];
    for (topic, count) in partitions.iter().enumerate() {
        let mut takers: Vec<usize> =
            (0..members.len()).filter(|member| members[*member].topics.contains(&topic)).collect();
        takers.sort_unstable_by(|a, b| members[*a].id.cmp(&members[*b].id));
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
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_example_of_the_java_docs() {
        let members = [Member { id: "C0", topics: &[0, 1] }, Member { id: "C1", topics: &[0, 1] }];
        assert_eq!(assign(&members, &[3, 3]), [vec![(0, 0), (0, 1), (1, 0), (1, 1)], vec![(0, 2), (1, 2)]]);
    }

    #[test]
    fn ids_decide_and_not_the_order_of_joining() {
        let members = [Member { id: "b", topics: &[0] }, Member { id: "a", topics: &[0] }];
        assert_eq!(assign(&members, &[3]), [vec![(0, 2)], vec![(0, 0), (0, 1)]]);
    }

    #[test]
    fn a_topic_that_nobody_wants_is_left() {
        assert_eq!(assign(&[Member { id: "a", topics: &[1] }], &[2, 1]), [vec![(1, 0)]]);
        assert_eq!(assign::<u8>(&[], &[2]), Vec::<Vec<_>>::new());
    }

    proptest! {
        /// Every partition of a topic that somebody wants has exactly one owner, and shares differ by one.
        #[test]
        fn everything_is_owned_once(members in 1_usize..9, partitions in 0_u32..40) {
            let ids: Vec<String> = (0..members).map(|member| format!("m{member}")).collect();
            let wishes: Vec<Member<'_, &String>> = ids.iter().map(|id| Member { id, topics: &[0] }).collect();
            let assigned = assign(&wishes, &[partitions]);
            let mut all: Vec<u32> = assigned.iter().flatten().map(|(_, partition)| *partition).collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..partitions).collect::<Vec<_>>());
            let shares: Vec<usize> = assigned.iter().map(Vec::len).collect();
            prop_assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1);
        }
    }
}
