//! Something for each producer id: a replica mostly knows one or a few of them, and one writes batch after batch.

use crate::few::Few;

/// A map from producer ids, in their order. New ids are mostly the largest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ByPid<T>(Few<(u64, T)>);

impl<T> Default for ByPid<T> {
    fn default() -> Self {
        Self(Few::new())
    }
}

impl<T> ByPid<T> {
    fn find(&self, pid: u64) -> Result<usize, usize> {
        match &self.0[..] {
            [] => Err(0),
            [.., (last, _)] if *last == pid => Ok(self.0.len() - 1),
            [.., (last, _)] if *last < pid => Err(self.0.len()),
            all => all.binary_search_by_key(&pid, |(known, _)| *known),
        }
    }

    /// What there is for this producer id.
    pub(super) fn get(&self, pid: u64) -> Option<&T> {
        self.find(pid).ok().map(|place| &self.0[place].1)
    }

    /// Puts something in for this producer id, and returns what was there.
    pub(super) fn insert(&mut self, pid: u64, value: T) -> Option<T> {
        match self.find(pid) {
            Ok(place) => Some(std::mem::replace(&mut self.0[place].1, value)),
            Err(place) => {
                self.0.insert(place, (pid, value));
                None
            }
        }
    }

    /// What there is for this producer id, the default if there was nothing.
    pub(super) fn or_default(&mut self, pid: u64) -> &mut T
    where
        T: Default,
    {
        let place = self.find(pid).unwrap_or_else(|place| {
            self.0.insert(place, (pid, T::default()));
            place
        });
        &mut self.0[place].1
    }

    /// Keeps what is to be kept.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.0.retain(|(_, value)| keep(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_put_and_nothing_else() {
        let mut map = ByPid::default();
        for (pid, value) in [(7, 'a'), (3, 'b'), (9, 'c'), (5, 'd')] {
            assert_eq!(map.insert(pid, value), None);
        }
        assert_eq!(map.insert(5, 'e'), Some('d'));
        assert_eq!(
            [3, 5, 7, 9].map(|pid| map.get(pid).copied()),
            [Some('b'), Some('e'), Some('a'), Some('c')]
        );
        assert_eq!([1, 4, 8, 10].map(|pid| map.get(pid)), [None; 4]);
        *map.or_default(4) = 'f';
        map.or_default(9).make_ascii_uppercase();
        map.retain(|value| *value != 'a');
        assert_eq!(map.0[..], [(3, 'b'), (4, 'f'), (5, 'e'), (9, 'C')]);
    }
}
