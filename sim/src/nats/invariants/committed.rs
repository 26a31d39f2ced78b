//! What is committed, as the members of the groups find out.

use super::{GroupKey, key};
use crate::{
    kernel::NodeId,
    nats::raft::{
        Raft,
        message::{Entry, GroupId},
    },
};
use std::collections::BTreeMap;

/// The committed entries of every group, and up to where each member was looked at.
#[derive(Default)]
pub(super) struct Committed {
    pub(super) entries: BTreeMap<GroupKey, Vec<Entry>>,
    looked: BTreeMap<(NodeId, GroupId), (u64, u64)>,
}

impl Committed {
    /// Takes in what a member knows to be committed; the first index where it contradicts another.
    pub(super) fn take(&mut self, node: NodeId, raft: &Raft) -> Option<u64> {
        let looked = self.looked.entry((node, raft.group)).or_default();
        let upto = raft.commit().min(raft.log().last());
        let from = if looked.1 == raft.log().cuts() { looked.0.min(upto) } else { 0 };
        *looked = (upto, raft.log().cuts());
        let entries = self.entries.entry(key(raft)).or_default();
        for index in from + 1..=upto {
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
