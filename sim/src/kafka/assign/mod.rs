//! Assignors: how the partitions of topics are dealt to the members of a group (rule E4).
//!
//! Pure functions over places: a topic is its place in the caller's list of partition counts, a partition a pair
//! (topic, number). Members are served in Kafka's order: static ones first, by the name of their instance, then
//! the others by their id. The leader of a classic group deals by these, and so does the coordinator of a group of
//! the consumer protocol.
//!
//! Source: the assignors of Apache Kafka's clients and of its group coordinator (without racks).

mod range;
mod round_robin;
mod sticky;

use super::protocol::{Assignor, InstanceId};

/// A partition: the place of its topic, and its number.
pub(crate) type Place = (usize, u32);

/// What one member wants and has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish<'a, Id> {
    pub(crate) id: Id,
    /// The name of a static member.
    pub(crate) instance: Option<&'a InstanceId>,
    /// Its topics, in any order.
    pub(crate) topics: &'a [usize],
    /// What it was dealt last.
    pub(crate) owned: &'a [Place],
    /// In which generation that was.
    pub(crate) generation: Option<i32>,
}

/// For each member, in the order given, its partitions in order. `partitions` says how many each topic has.
pub(crate) fn assign<Id: Ord>(
    assignor: Assignor,
    members: &[Wish<'_, Id>],
    partitions: &[u32],
) -> Vec<Vec<Place>> {
    let mut assigned = match assignor {
        Assignor::Range => range::assign(members, partitions),
        Assignor::RoundRobin => round_robin::assign(members, partitions),
        Assignor::Sticky | Assignor::Uniform => sticky::assign(members, partitions),
        Assignor::CooperativeSticky => {
            let mut assigned = sticky::assign(members, partitions);
            hold_back(members, &mut assigned);
            assigned
        }
    };
    assigned.iter_mut().for_each(|share| share.sort_unstable());
    assigned
}

/// The places of members in the order in which they are served.
fn in_order<Id: Ord>(members: &[Wish<'_, Id>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_unstable_by(|a, b| {
        let (a, b) = (&members[*a], &members[*b]);
        match (a.instance, b.instance) {
            (Some(a), Some(b)) => a.cmp(b),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => a.id.cmp(&b.id),
        }
    });
    order
}

/// Takes from every share what another member still owns: that one gives it up in this round, and only the next
/// round deals it again.
fn hold_back<Id>(members: &[Wish<'_, Id>], assigned: &mut [Vec<Place>]) {
    for (member, share) in assigned.iter_mut().enumerate() {
        share.retain(|place| {
            members[member].owned.contains(place) || members.iter().all(|other| !other.owned.contains(place))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(super) fn wish<'a>(id: &'a str, topics: &'a [usize], owned: &'a [Place]) -> Wish<'a, &'a str> {
        Wish { id, instance: None, topics, owned, generation: Some(1) }
    }

    const ALL: [Assignor; 5] = [
        Assignor::Range,
        Assignor::RoundRobin,
        Assignor::Sticky,
        Assignor::CooperativeSticky,
        Assignor::Uniform,
    ];

    #[test]
    fn e4_cooperative_moves_in_two_rounds() {
        let all: Vec<Place> = (0..6).map(|partition| (0, partition)).collect();
        let first = assign(Assignor::CooperativeSticky, &[wish("a", &[0], &all), wish("b", &[0], &[])], &[6]);
        assert_eq!(first, [vec![(0, 0), (0, 1), (0, 2)], vec![]], "what moves is nobody's for a round");
        let second =
            assign(Assignor::CooperativeSticky, &[wish("a", &[0], &first[0]), wish("b", &[0], &[])], &[6]);
        assert_eq!(second, [vec![(0, 0), (0, 1), (0, 2)], vec![(0, 3), (0, 4), (0, 5)]]);
        let eager = assign(Assignor::Sticky, &[wish("a", &[0], &all), wish("b", &[0], &[])], &[6]);
        assert_eq!(eager, second, "eager sticky needs one");
    }

    #[test]
    fn e5_static_members_come_first_by_their_names() {
        let [x, y] = ["x", "y"].map(InstanceId::new);
        let mut members = [wish("a", &[0], &[]), wish("b", &[0], &[]), wish("c", &[0], &[])];
        members[1].instance = Some(&y);
        members[2].instance = Some(&x);
        assert_eq!(assign(Assignor::Range, &members, &[3]), [vec![(0, 2)], vec![(0, 1)], vec![(0, 0)]]);
    }

    proptest! {
        /// Whatever members owned, each partition that somebody wants has one owner; shares differ by one; and the
        /// members keep as much as their shares allow.
        #[test]
        fn e4_everything_is_owned_once(
            members in 1_usize..7,
            partitions in 0_u32..24,
            owners in proptest::collection::vec(0_usize..9, 24),
            assignor in 0_usize..5,
        ) {
            let ids: Vec<String> = (0..members).map(|member| format!("m{member}")).collect();
            let owned: Vec<Vec<Place>> = (0..members)
                .map(|member| (0..partitions).filter(|p| owners[*p as usize] == member).map(|p| (0, p)).collect())
                .collect();
            let wishes: Vec<_> = ids.iter().zip(&owned).map(|(id, owned)| wish(id, &[0], owned)).collect();
            let dealt = assign(ALL[assignor], &wishes, &[partitions]);
            let mut all: Vec<Place> = dealt.iter().flatten().copied().collect();
            all.sort_unstable();
            let whole: Vec<Place> = (0..partitions).map(|p| (0, p)).collect();
            prop_assert!(all.windows(2).all(|pair| pair[0] < pair[1]));
            if ALL[assignor] == Assignor::CooperativeSticky {
                return Ok(());
            }
            prop_assert_eq!(all, whole);
            let shares: Vec<usize> = dealt.iter().map(Vec::len).collect();
            prop_assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1);
            if matches!(ALL[assignor], Assignor::Sticky | Assignor::Uniform) {
                for (before, after) in owned.iter().zip(&dealt) {
                    let kept = before.iter().filter(|place| after.contains(place)).count();
                    prop_assert!(kept == before.len().min(after.len()), "{before:?} became {after:?}");
                }
            }
        }
    }
}
