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

/// The committed entries of every group, and up to where each member was looked at.
#[derive(Default)]
pub(super) struct Committed {
    groups: BTreeMap<GroupKey, usize>,
    /// In the order in which the groups were first seen.
    entries: Vec<Vec<Entry>>,
    looked: Members<(Looked, Option<usize>)>,
}

impl Committed {
    /// What is committed in the group of this member.
    pub(super) fn entries(&self, raft: &Raft) -> &[Entry] {
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
                None => entries.push(entry.clone()),
                Some(known) if known == entry => {}
                Some(_) => return Some(index),
            }
        }
        None
    }
}
