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
    pub(super) entries: BTreeMap<GroupKey, Vec<Entry>>,
    looked: Members<Looked>,
}

impl Committed {
    /// Takes in what a member knows to be committed; the first index where it contradicts another.
    pub(super) fn take(&mut self, node: NodeId, raft: &Raft) -> Option<u64> {
        let news = self.looked.of(node, raft).news(raft.commit().min(raft.log().last()), raft);
        if news.is_empty() {
            return None;
        }
        let entries = self.entries.entry(key(raft)).or_default();
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
