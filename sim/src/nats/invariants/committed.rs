//! What is committed, as the members of the groups find out.

use super::{
    GroupKey, key,
    seen::{Looked, Members},
};
use crate::{
    kernel::NodeId,
    nats::raft::{Raft, message::Entry},
};
use std::collections::BTreeMap;

/// What is kept of a committed entry.
pub(super) trait Kept {
    fn of(entry: &Entry) -> Self;
    /// Whether this is of an equal entry, as far as it is kept.
    fn is_of(&self, entry: &Entry) -> bool;
}

impl Kept for Entry {
    fn of(entry: &Entry) -> Self {
        entry.clone()
    }

    fn is_of(&self, entry: &Entry) -> bool {
        self == entry
    }
}

/// The term.
impl Kept for u64 {
    fn of(entry: &Entry) -> Self {
        entry.term
    }

    fn is_of(&self, entry: &Entry) -> bool {
        *self == entry.term
    }
}

/// The committed entries of every group, and up to where each member was looked at.
pub(super) struct Committed<K> {
    groups: BTreeMap<GroupKey, usize>,
    /// In the order in which the groups were first seen.
    entries: Vec<Vec<K>>,
    looked: Members<(Looked, Option<usize>)>,
}

impl<K> Default for Committed<K> {
    fn default() -> Self {
        Self { groups: BTreeMap::new(), entries: Vec::new(), looked: Members::default() }
    }
}

impl<K: Kept> Committed<K> {
    /// What is committed in the group of this member.
    pub(super) fn entries(&self, raft: &Raft) -> &[K] {
        self.groups.get(&key(raft)).map_or(&[], |number| &self.entries[*number])
    }

    /// Takes in what a member knows to be committed; the first index where it contradicts another.
    pub(super) fn take(&mut self, node: NodeId, raft: &Raft) -> Option<u64> {
        let (looked, number) = self.looked.of(node, raft);
        let news = looked.news(raft.commit().min(raft.log().last()), raft);
        if news.is_empty() {
            return None;
        }
        let next = self.entries.len();
        let number = *number.get_or_insert_with(|| *self.groups.entry(key(raft)).or_insert(next));
        if number == next {
            self.entries.push(Vec::new());
        }
        let entries = &mut self.entries[number];
        for index in news {
            let entry = raft.log().entry(index)?;
            match entries.get(index as usize - 1) {
                None => entries.push(K::of(entry)),
                Some(known) if known.is_of(entry) => {}
                Some(_) => return Some(index),
            }
        }
        None
    }
}
