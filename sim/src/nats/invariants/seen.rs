//! What an invariant remembers of each group and of each of its members, so that it looks only at what is new.

use super::{GroupKey, key};
use crate::{kernel::NodeId, nats::raft::Raft};
use std::collections::BTreeMap;

/// Something of each group, and something of each member. A file of a node belongs to one member, and to no other
/// afterwards: where it was seen before, there is nothing to search.
pub(super) struct Seen<G, M> {
    places: BTreeMap<GroupKey, usize>,
    groups: Vec<G>,
    /// By node and file; with the place of the group.
    members: Vec<Vec<Option<(usize, M)>>>,
}

impl<G, M> Default for Seen<G, M> {
    fn default() -> Self {
        Self { places: BTreeMap::new(), groups: Vec::new(), members: Vec::new() }
    }
}

impl<G: Default, M: Default> Seen<G, M> {
    /// What is remembered of a member's group, and of the member.
    pub(super) fn of(&mut self, node: NodeId, raft: &Raft) -> (&mut G, &mut M) {
        let (node, file) = (node.index(), raft.log().file().0 as usize);
        if self.members.get(node).is_none_or(|files| file >= files.len()) {
            self.make_room(node, file);
        }
        let (place, member) = self.members[node][file].get_or_insert_with(|| {
            let next = self.groups.len();
            let place = *self.places.entry(key(raft)).or_insert(next);
            if place == next {
                self.groups.push(G::default());
            }
            (place, M::default())
        });
        (&mut self.groups[*place], member)
    }

    #[cold]
    fn make_room(&mut self, node: usize, file: usize) {
        if node >= self.members.len() {
            self.members.resize_with(node + 1, Vec::new);
        }
        let files = &mut self.members[node];
        if file >= files.len() {
            files.resize_with(file + 1, || None);
        }
    }

    /// What is remembered of a member's group, if it was ever seen.
    pub(super) fn group(&self, raft: &Raft) -> Option<&G> {
        self.places.get(&key(raft)).map(|place| &self.groups[*place])
    }
}

/// Up to which index a log was looked at, and how often it had been cut by then.
#[derive(Clone, Copy, Default)]
pub(super) struct Looked {
    upto: u64,
    cuts: u64,
}

impl Looked {
    /// The index behind which everything is new if `upto` is looked at now: what was cut may be new from the first on.
    pub(super) fn news(&mut self, upto: u64, raft: &Raft) -> u64 {
        let cuts = raft.log().cuts();
        let from = if self.cuts == cuts { self.upto.min(upto) } else { 0 };
        *self = Self { upto, cuts };
        from
    }
}
