//! A heap of times: `(time, sequence)` orders, the least comes first.
//!
//! Four children to a node: half as many levels as with two, and the four are neighbours in memory. Keys are distinct,
//! so the order of what comes out does not depend on how the heap is built.

use squall_bus::Time;

/// When something is due, and where it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) at: Time,
    pub(super) sequence: u64,
    pub(super) slot: u32,
}

impl Entry {
    /// Both parts of the order in one number, which compares without a branch.
    const fn key(&self) -> u128 {
        (self.at.0 as u128) << 64 | self.sequence as u128
    }
}

const CHILDREN: usize = 4;

/// Entries of which the least can be taken.
#[derive(Clone, Debug, Default)]
pub(super) struct Heap(Vec<Entry>);

impl Heap {
    /// The least entry.
    pub(super) fn peek(&self) -> Option<&Entry> {
        self.0.first()
    }

    pub(super) fn push(&mut self, entry: Entry) {
        let mut place = self.0.len();
        self.0.push(entry);
        while place > 0 {
            let parent = (place - 1) / CHILDREN;
            if self.0[parent].key() < entry.key() {
                break;
            }
            self.0[place] = self.0[parent];
            place = parent;
        }
        self.0[place] = entry;
    }

    /// Takes the least entry.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        let last = self.0.pop()?;
        let Some(least) = self.0.first().copied() else { return Some(last) };
        let mut place = 0;
        // The last entry sinks from the top to where it belongs.
        while let Some(child) = self.least_child(place)
            && self.0[child].key() < last.key()
        {
            self.0[place] = self.0[child];
            place = child;
        }
        self.0[place] = last;
        Some(least)
    }

    fn least_child(&self, place: usize) -> Option<usize> {
        let first = place * CHILDREN + 1;
        let end = (first + CHILDREN).min(self.0.len());
        let children = self.0.get(first..end)?;
        let mut least = 0;
        let mut key = children.first()?.key();
        for (number, child) in children.iter().enumerate().skip(1) {
            if child.key() < key {
                (least, key) = (number, child.key());
            }
        }
        Some(first + least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever goes in comes out sorted, with takes in between.
        #[test]
        fn what_goes_in_comes_out_in_order(steps in prop::collection::vec((any::<bool>(), 0_u64..9), 0..300)) {
            let (mut heap, mut list) = (Heap::default(), Vec::new());
            for (sequence, (takes, at)) in (0..).zip(steps) {
                if takes {
                    list.sort_unstable();
                    let expected = if list.is_empty() { None } else { Some(list.remove(0)) };
                    prop_assert_eq!(heap.pop().map(|entry| (entry.at, entry.sequence)), expected);
                } else {
                    list.push((Time(at), sequence));
                    heap.push(Entry { at: Time(at), sequence, slot: 0 });
                }
                let least = list.iter().min().copied();
                prop_assert_eq!(heap.peek().map(|entry| (entry.at, entry.sequence)), least);
            }
        }
    }
}
