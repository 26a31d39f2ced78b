//! The set of calls that were taken, as a bit each, with a short key for the cache.
//!
//! Calls are numbered by their begins, so all but the latest few are taken most of the time: the key leaves out the
//! words before the first call that is missing and behind the last one that is taken.

#[derive(Clone, Debug)]
pub(super) struct Taken {
    words: Vec<u64>,
    /// No word before this one misses a call.
    first: usize,
    /// No word from this one on has a call.
    end: usize,
}

/// What tells two sets apart.
pub(super) type Key = (usize, Box<[u64]>);

impl Taken {
    pub(super) fn none(calls: usize) -> Self {
        Self { words: vec![0; calls.div_ceil(64)], first: 0, end: 0 }
    }

    pub(super) fn take(&mut self, call: usize) {
        let word = call / 64;
        self.words[word] |= 1 << (call % 64);
        self.end = self.end.max(word + 1);
        while self.first < self.end && self.words[self.first] == u64::MAX {
            self.first += 1;
        }
    }

    pub(super) fn give_back(&mut self, call: usize) {
        let word = call / 64;
        self.words[word] &= !(1 << (call % 64));
        self.first = self.first.min(word);
        while self.end > 0 && self.words[self.end - 1] == 0 {
            self.end -= 1;
        }
    }

    pub(super) fn key(&self) -> Key {
        (self.first, self.words[self.first..self.end.max(self.first)].into())
    }
}

#[cfg(test)]
mod tests {
    use super::Taken;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn equal_keys_are_equal_sets(changes in prop::collection::vec(0usize..200, 0..300), prefix in 0usize..200) {
            let mut seen = std::collections::BTreeMap::new();
            let (mut taken, mut set) = (Taken::none(200), BTreeSet::new());
            for call in (0..prefix).chain(changes) {
                if set.insert(call) {
                    taken.take(call);
                } else {
                    set.remove(&call);
                    taken.give_back(call);
                }
                let known = seen.entry(taken.key()).or_insert_with(|| set.clone());
                prop_assert_eq!(&*known, &set);
            }
            let sets: BTreeSet<_> = seen.values().cloned().collect();
            prop_assert_eq!(sets.len(), seen.len());
        }
    }
}
