//! Minimizing what fails: delta debugging over lists, and over numbers towards a floor.
//!
//! All of it is pure. A [`Judge`] says which candidates still fail; nothing in here runs anything, draws anything or
//! looks at a clock, so one input, one judge and one [`Budget`] always give one result.
//!
//! - [`list`] keeps the order of the items and leaves out as many as it can. It tries the empty list, then what is
//!   left without each half, without each quarter and so on down to each item (ddmin's complements: a subset is
//!   reached by leaving out its complement in steps, so subsets are not tried on their own). It ends when no single
//!   item can be left out: the result is 1-minimal.
//! - [`number`] tries the floor, then goes half of the way to the floor, a quarter, and so on down to one step, from
//!   every value it reaches. It ends when one step less does not fail.
//! - [`first`] takes the first of some alternatives that fails.
//!
//! The input itself must fail; it is not tried. If the budget ends before, the result still fails, and is as small
//! as was reached.
//!
//! A judge may look at several candidates at once ([`Judge::width`]), on several threads, say. The first in order
//! that fails is taken and the others are forgotten, and they are not paid for: the result does not depend on the
//! width.
//!
//! Source: Zeller and Hildebrandt, *Simplifying and Isolating Failure-Inducing Input*, IEEE TSE 28 (2002).

use std::ops::Range;

/// Says which candidates still fail. A closure `FnMut(&C) -> bool` is a judge of one candidate at a time.
pub trait Judge<C> {
    /// How many candidates it likes to see at once; at least 1.
    fn width(&self) -> usize {
        1
    }

    /// The place of the first candidate, in order, that still fails.
    fn first_failing(&mut self, candidates: &[C]) -> Option<usize>;
}

impl<C, F: FnMut(&C) -> bool> Judge<C> for F {
    fn first_failing(&mut self, candidates: &[C]) -> Option<usize> {
        candidates.iter().position(self)
    }
}

/// How many candidates may be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    left: u64,
    spent: u64,
}

impl Budget {
    /// So many candidates.
    #[must_use]
    pub const fn of(candidates: u64) -> Self {
        Self { left: candidates, spent: 0 }
    }

    /// As many as it takes.
    #[must_use]
    pub const fn unlimited() -> Self {
        Self::of(u64::MAX)
    }

    /// How many were judged so far.
    #[must_use]
    pub const fn spent(&self) -> u64 {
        self.spent
    }

    /// Whether no more may be judged.
    #[must_use]
    pub const fn is_spent(&self) -> bool {
        self.left == 0
    }

    /// The judgement on the first of these candidates, as many as the judge likes and the budget allows: how many
    /// were judged, and the place of the first that fails.
    fn judge<C>(&mut self, candidates: &[C], judge: &mut impl Judge<C>) -> (usize, Option<usize>) {
        let found = judge.first_failing(candidates);
        let judged = found.map_or(candidates.len(), |place| place + 1);
        self.left -= judged as u64;
        self.spent += judged as u64;
        (judged, found)
    }

    fn batch(&self, width: usize) -> usize {
        usize::try_from(self.left).unwrap_or(usize::MAX).min(width.max(1))
    }
}

/// The first of these candidates, in order, that fails.
pub fn first<C>(
    candidates: impl IntoIterator<Item = C>,
    budget: &mut Budget,
    judge: &mut impl Judge<C>,
) -> Option<C> {
    let mut candidates = candidates.into_iter();
    loop {
        let mut batch: Vec<C> = candidates.by_ref().take(budget.batch(judge.width())).collect();
        if batch.is_empty() {
            return None;
        }
        if let (_, Some(place)) = budget.judge(&batch, judge) {
            return Some(batch.swap_remove(place));
        }
    }
}

/// As few of these items as still fail, in their order.
pub fn list<T: Clone>(items: Vec<T>, budget: &mut Budget, judge: &mut impl Judge<Vec<T>>) -> Vec<T> {
    if items.is_empty() || first([Vec::new()], budget, judge).is_some() {
        return Vec::new();
    }
    let mut items = items;
    let mut size = items.len().div_ceil(2);
    // A single item is all there is, and the empty list does not fail.
    while items.len() > 1 && !budget.is_spent() {
        let before = items.len();
        items = without_chunks(items, size, budget, judge);
        if size > 1 {
            size = size.div_ceil(2).min(items.len().div_ceil(2));
        } else if items.len() == before {
            break;
        }
    }
    items
}

/// One pass: each chunk of this size is left out if what remains still fails.
fn without_chunks<T: Clone>(
    mut items: Vec<T>,
    size: usize,
    budget: &mut Budget,
    judge: &mut impl Judge<Vec<T>>,
) -> Vec<T> {
    let mut at = 0;
    while at < items.len() && !budget.is_spent() {
        let chunks: Vec<Range<usize>> = (at..items.len())
            .step_by(size)
            .take(budget.batch(judge.width()))
            .map(|start| start..(start + size).min(items.len()))
            .collect();
        let mut candidates: Vec<Vec<T>> = chunks.iter().map(|chunk| without(&items, chunk)).collect();
        let (judged, found) = budget.judge(&candidates, judge);
        match found {
            Some(place) => {
                at = chunks[place].start;
                items = candidates.swap_remove(place);
            }
            None => at = chunks[judged - 1].end,
        }
    }
    items
}

fn without<T: Clone>(items: &[T], chunk: &Range<usize>) -> Vec<T> {
    [&items[..chunk.start], &items[chunk.end..]].concat()
}

/// The smallest number from `floor` on that was found to fail, beginning with `value`.
pub fn number(value: u64, floor: u64, budget: &mut Budget, judge: &mut impl Judge<u64>) -> u64 {
    let mut value = value;
    while value > floor {
        let distance = value - floor;
        let steps = std::iter::successors(Some(distance), |step| (*step > 1).then(|| step / 2));
        match first(steps.map(|step| value - step), budget, judge) {
            Some(smaller) => value = smaller,
            None => break,
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Fails when every item of one of these sets is there.
    fn culprits(sets: &[BTreeSet<u8>]) -> impl FnMut(&Vec<u8>) -> bool + Clone {
        let sets = sets.to_vec();
        move |items: &Vec<u8>| sets.iter().any(|set| set.iter().all(|item| items.contains(item)))
    }

    /// A judge of several at once.
    struct Wide<J>(J, usize);

    impl<C, J: FnMut(&C) -> bool> Judge<C> for Wide<J> {
        fn width(&self) -> usize {
            self.1
        }

        fn first_failing(&mut self, candidates: &[C]) -> Option<usize> {
            assert!(candidates.len() <= self.1);
            let failing: Vec<bool> = candidates.iter().map(&mut self.0).collect();
            failing.iter().position(|fails| *fails)
        }
    }

    #[test]
    fn the_one_culprit_of_a_thousand_is_found_in_few_candidates() {
        let mut budget = Budget::unlimited();
        let left = list((0..1000).collect(), &mut budget, &mut |items: &Vec<u32>| items.contains(&617));
        assert_eq!(left, [617]);
        assert!(budget.spent() < 40, "{}", budget.spent());
    }

    #[test]
    fn what_fails_by_itself_needs_no_items() {
        let mut budget = Budget::unlimited();
        assert!(list(vec![1, 2, 3], &mut budget, &mut |_: &Vec<i32>| true).is_empty());
        assert_eq!(budget.spent(), 1);
        assert!(list(Vec::<i32>::new(), &mut budget, &mut |_: &Vec<i32>| true).is_empty());
        assert_eq!(budget.spent(), 1, "there is nothing to try");
    }

    #[test]
    fn a_number_goes_down_to_what_it_needs() {
        for (from, floor, needs) in
            [(1_000_000, 0, 0), (1_000_000, 0, 777), (50, 10, 3), (50, 10, 50), (7, 7, 7)]
        {
            let mut budget = Budget::unlimited();
            let found = number(from, floor, &mut budget, &mut |value: &u64| *value >= needs);
            assert_eq!(found, needs.max(floor));
            assert!(budget.spent() < 250, "{}", budget.spent());
        }
    }

    #[test]
    fn of_alternatives_the_first_that_fails_is_taken() {
        let mut budget = Budget::of(3);
        assert_eq!(first([5, 6, 7, 8], &mut budget, &mut |n: &i32| n % 2 == 0), Some(6));
        assert_eq!(
            first([5, 6, 7, 8], &mut budget, &mut |n: &i32| n % 2 == 0),
            None,
            "one candidate was left"
        );
        assert!(budget.is_spent());
    }

    proptest! {
        #[test]
        fn the_result_still_fails_and_is_1_minimal(
            length in 1_u8..60,
            sets in prop::collection::vec(prop::collection::btree_set(0_u8..60, 1..6), 1..4),
        ) {
            let items: Vec<u8> = (0..length).collect();
            let mut fails = culprits(&sets);
            prop_assume!(fails(&items));
            let mut budget = Budget::unlimited();
            let left = list(items, &mut budget, &mut fails.clone());
            prop_assert!(fails(&left));
            prop_assert!(left.is_sorted(), "the order is kept");
            for place in 0..left.len() {
                prop_assert!(!fails(&without(&left, &(place..place + 1))), "{left:?} can do without {place}");
            }
        }

        #[test]
        fn neither_the_width_nor_the_budget_make_it_pass(
            length in 1_u8..60,
            sets in prop::collection::vec(prop::collection::btree_set(0_u8..60, 1..6), 1..4),
            width in 2_usize..9,
            candidates in 0_u64..60,
        ) {
            let items: Vec<u8> = (0..length).collect();
            let mut fails = culprits(&sets);
            prop_assume!(fails(&items));
            let (mut narrow, mut wide) = (Budget::of(candidates), Budget::of(candidates));
            let one = list(items.clone(), &mut narrow, &mut fails.clone());
            let many = list(items, &mut wide, &mut Wide(fails.clone(), width));
            prop_assert!(fails(&one));
            prop_assert_eq!(one, many, "the width shows in the result");
            prop_assert_eq!(narrow, wide);
            prop_assert!(narrow.spent() <= candidates);
        }

        #[test]
        fn one_step_less_than_the_number_passes(
            value in 0_u64..100_000,
            floor in 0_u64..1000,
            holes in prop::collection::btree_set(0_u64..100_000, 0..200),
        ) {
            // Fails unless the number is a hole: not monotone.
            let mut fails = |n: &u64| !holes.contains(n);
            prop_assume!(value >= floor && fails(&value));
            let found = number(value, floor, &mut Budget::unlimited(), &mut fails);
            prop_assert!(fails(&found) && (floor..=value).contains(&found));
            prop_assert!(found == floor || !fails(&(found - 1)));
        }
    }
}
