//! A map and a set that are only asked by key: nobody can walk through them, so their order never shows.

use foldhash::fast::FixedState;
use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
};

/// A map without an order. It hashes alike in every process.
#[derive(Clone, Debug)]
pub struct Lookup<K, V>(HashMap<K, V, FixedState>);

impl<K, V> Default for Lookup<K, V> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<K: Eq + Hash, V> Lookup<K, V> {
    /// What is known of the key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.0.get(key)
    }

    /// What is known of the key, to change it.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.0.get_mut(key)
    }

    /// Whether anything is known of the key.
    pub fn contains_key(&self, key: &K) -> bool {
        self.0.contains_key(key)
    }

    /// Puts it in, and returns what was there.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.0.insert(key, value)
    }

    /// What is known of the key; if nothing is, this is from now on.
    pub fn get_or_insert(&mut self, key: K, value: V) -> &mut V {
        self.0.entry(key).or_insert(value)
    }

    /// Takes it out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.0.remove(key)
    }

    /// Takes all out.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Eq + Hash, V> FromIterator<(K, V)> for Lookup<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

/// A set without an order.
#[derive(Clone, Debug)]
pub struct LookupSet<K>(HashSet<K, FixedState>);

impl<K> Default for LookupSet<K> {
    fn default() -> Self {
        Self(HashSet::default())
    }
}

impl<K: Eq + Hash> LookupSet<K> {
    /// Whether it is in.
    pub fn contains(&self, key: &K) -> bool {
        self.0.contains(key)
    }

    /// Puts it in: whether it was not there.
    pub fn insert(&mut self, key: K) -> bool {
        self.0.insert(key)
    }

    /// Takes it out: whether it was there.
    pub fn remove(&mut self, key: &K) -> bool {
        self.0.remove(key)
    }

    /// Takes all out.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}
