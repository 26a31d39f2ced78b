//! Names, interned: a model works with numbers.

use std::{borrow::Borrow, collections::BTreeMap};

/// Every name that was ever spoken of, numbered from 0 in that order.
#[derive(Clone, Debug)]
pub(crate) struct Interner<N> {
    names: Vec<N>,
    numbers: BTreeMap<N, u32>,
}

impl<N> Default for Interner<N> {
    fn default() -> Self {
        Self { names: Vec::new(), numbers: BTreeMap::new() }
    }
}

/// So many names are looked through before the map is asked.
const NEAR: usize = 8;

impl<N: Clone + Ord> Interner<N> {
    /// The number of this name, the next one if it is new.
    pub(crate) fn intern(&mut self, name: N) -> u32 {
        let next = self.names.len() as u32;
        let number = *self.numbers.entry(name.clone()).or_insert(next);
        if number == next {
            self.names.push(name);
        }
        number
    }

    /// The same as [`find`](Self::find), faster for the first few names: most runs have no more.
    pub(crate) fn find_near(&self, name: &N) -> Option<u32> {
        let near = self.names.iter().take(NEAR).position(|known| known == name);
        near.map(|number| number as u32).or_else(|| self.find(name))
    }

    /// The number of this name, if it was ever spoken of.
    pub(crate) fn find<Q: Ord + ?Sized>(&self, name: &Q) -> Option<u32>
    where
        N: Borrow<Q>,
    {
        self.numbers.get(name).copied()
    }

    /// The name of this number.
    pub(crate) fn name(&self, number: u32) -> &N {
        &self.names[number as usize]
    }
}
