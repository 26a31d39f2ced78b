//! The sticky assignor: even shares that change as little as possible.
//!
//! 1. Every member keeps what it owns of the topics that it wants. A partition that two claim is the one's of the later
//!    generation; of one generation it is nobody's.
//! 2. What nobody has goes to the member with the smallest share that wants it, scarce partitions first.
//! 3. While one member has at least two more than another that wants one of them, the last of these moves.
//!
//! Source: `AbstractStickyAssignor` of Apache Kafka: its properties, balance before stickiness.

use super::{Place, Wish, in_order};
use std::collections::BTreeMap;

pub(super) fn assign<Id: Ord>(members: &[Wish<'_, Id>], partitions: &[u32]) -> Vec<Vec<Place>> {
    let mut dealt = Deal { shares: claims(members, partitions), members, order: in_order(members) };
    dealt.deal_unowned(partitions);
    dealt.balance();
    dealt.shares
}

/// What every member may keep.
fn claims<Id>(members: &[Wish<'_, Id>], partitions: &[u32]) -> Vec<Vec<Place>> {
    let mut best: BTreeMap<Place, (Option<i32>, Option<usize>)> = BTreeMap::new();
    for (member, wish) in members.iter().enumerate() {
        for place in wish.owned {
            if !wish.topics.contains(&place.0)
                || partitions.get(place.0).is_none_or(|count| place.1 >= *count)
            {
                continue;
            }
            let known = best.entry(*place).or_insert((wish.generation, Some(member)));
            if known.1 == Some(member) {
                continue;
            }
            match wish.generation.cmp(&known.0) {
                std::cmp::Ordering::Greater => *known = (wish.generation, Some(member)),
                std::cmp::Ordering::Equal => known.1 = None,
                std::cmp::Ordering::Less => {}
            }
        }
    }
    let mut shares = vec![Vec::new(); members.len()];
    for (place, (_, member)) in best {
        if let Some(member) = member {
            shares[member].push(place);
        }
    }
    shares
}

struct Deal<'a, Id> {
    shares: Vec<Vec<Place>>,
    members: &'a [Wish<'a, Id>],
    order: Vec<usize>,
}

impl<Id> Deal<'_, Id> {
    fn deal_unowned(&mut self, partitions: &[u32]) {
        let takers = |topic| self.members.iter().filter(|member| member.topics.contains(&topic)).count();
        let all =
            partitions.iter().enumerate().flat_map(|(topic, count)| (0..*count).map(move |p| (topic, p)));
        let mut unowned: Vec<Place> =
            all.filter(|place| self.shares.iter().all(|share| !share.contains(place))).collect();
        unowned.sort_by_key(|(topic, _)| takers(*topic));
        for place in unowned {
            let wants = |member: &&usize| self.members[**member].topics.contains(&place.0);
            let least = self.order.iter().filter(wants).min_by_key(|member| self.shares[**member].len());
            if let Some(member) = least.copied() {
                self.shares[member].push(place);
            }
        }
    }

    fn balance(&mut self) {
        while let Some((from, at, to)) = self.unfair() {
            let place = self.shares[from].remove(at);
            self.shares[to].push(place);
        }
    }

    /// A partition that makes shares more even by moving: from whom, which of theirs, to whom.
    fn unfair(&self) -> Option<(usize, usize, usize)> {
        let size = |member: usize| self.shares[member].len();
        let mut givers = self.order.clone();
        givers.sort_by_key(|member| std::cmp::Reverse(size(*member)));
        for from in givers {
            let mut best: Option<(usize, usize)> = None;
            for to in self.order.iter().copied().filter(|to| size(*to) + 2 <= size(from)) {
                let topics = self.members[to].topics;
                let movable = self.shares[from].iter().rposition(|(topic, _)| topics.contains(topic));
                if let Some(at) = movable
                    && best.is_none_or(|(_, best)| size(to) < size(best))
                {
                    best = Some((at, to));
                }
            }
            if let Some((at, to)) = best {
                return Some((from, at, to));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::wish, *};

    #[test]
    fn e4_sticky_keeps_what_it_can() {
        let (a, b) = ([(0, 0), (0, 2)], [(0, 1), (0, 3)]);
        let members = [wish("a", &[0], &a), wish("b", &[0], &b), wish("c", &[0], &[])];
        assert_eq!(
            assign(&members, &[6]),
            [vec![(0, 0), (0, 2)], vec![(0, 1), (0, 3)], vec![(0, 4), (0, 5)]]
        );
        let members = [wish("a", &[0], &a), wish("b", &[0], &[])];
        assert_eq!(
            assign(&members, &[2]),
            [vec![(0, 0)], vec![(0, 1)]],
            "a partition that is gone is nobody's"
        );
    }

    #[test]
    fn e4_a_later_generation_claims_better() {
        let owned = [(0, 0)];
        let mut members = [wish("a", &[0], &owned), wish("b", &[0], &owned)];
        members[1].generation = Some(2);
        assert_eq!(assign(&members, &[2]), [vec![(0, 1)], vec![(0, 0)]]);
        members[1].generation = Some(1);
        assert_eq!(assign(&members, &[2]), [vec![(0, 0)], vec![(0, 1)]], "a draw is nobody's claim");
    }

    #[test]
    fn e4_sticky_balances_over_what_members_want() {
        let all = [(0, 0), (0, 1), (1, 0), (1, 1)];
        let members = [wish("a", &[0, 1], &all), wish("b", &[1], &[])];
        assert_eq!(assign(&members, &[2, 2]), [vec![(0, 0), (0, 1)], vec![(1, 1), (1, 0)]]);
    }
}
