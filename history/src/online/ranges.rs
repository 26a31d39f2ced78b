//! A set of numbers as the pieces in which it is without gaps: counters of any length cost one piece.

use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges {
    /// The first number of each piece, and the one behind its last.
    pieces: BTreeMap<u64, u64>,
}

impl Ranges {
    /// Puts a number in. False when it was there.
    pub(super) fn insert(&mut self, number: u64) -> bool {
        if let Some((_, end)) = self.pieces.range_mut(..=number).next_back() {
            if number < *end {
                return false;
            }
            if number == *end {
                *end = number + 1;
                self.join(number);
                return true;
            }
        }
        let end = self.pieces.remove(&(number + 1)).unwrap_or(number + 1);
        self.pieces.insert(number, end);
        true
    }

    /// The piece that ends behind `number` takes in the piece that begins there.
    fn join(&mut self, number: u64) {
        if let Some(end) = self.pieces.remove(&(number + 1))
            && let Some((_, before)) = self.pieces.range_mut(..=number).next_back()
        {
            *before = end;
        }
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        self.pieces.range(..=number).next_back().is_some_and(|(_, end)| number < *end)
    }

    /// How many pieces there are: what the set costs.
    pub(super) fn pieces(&self) -> usize {
        self.pieces.len()
    }
}

#[cfg(test)]
mod tests {
    use super::Ranges;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn is_a_set_of_as_few_pieces_as_there_are(numbers in prop::collection::vec(0u64..40, 0..60)) {
            let (mut ranges, mut set) = (Ranges::default(), BTreeSet::new());
            for number in numbers {
                prop_assert_eq!(ranges.insert(number), set.insert(number));
            }
            for number in 0..41 {
                prop_assert_eq!(ranges.contains(number), set.contains(&number));
            }
            let starts = set.iter().filter(|number| **number == 0 || !set.contains(&(**number - 1)));
            prop_assert_eq!(ranges.pieces(), starts.count());
        }
    }
}
