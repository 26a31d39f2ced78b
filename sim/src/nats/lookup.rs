//! Maps that are only asked by key.

use foldhash::fast::FixedState;
use std::collections::{HashMap, HashSet};

/// A map that nobody walks through: its order never shows. It hashes alike in every process.
pub type Lookup<K, V> = HashMap<K, V, FixedState>;

/// A set that nobody walks through, likewise.
pub type LookupSet<K> = HashSet<K, FixedState>;
