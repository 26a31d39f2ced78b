//! What an invariant remembers of each member, so that it looks only at what is new.

use crate::{kernel::NodeId, nats::raft::Raft};

/// Something of each member. A file of a node belongs to one member, and to no other afterwards.
#[derive(Default)]
pub(super) struct Members<T>(Vec<Vec<T>>);

impl<T: Clone + Default> Members<T> {
    /// What is remembered of a member.
    pub(super) fn of(&mut self, node: NodeId, raft: &Raft) -> &mut T {
        let (node, file) = (node.index(), raft.log().file().0 as usize);
        if node >= self.0.len() {
            self.0.resize_with(node + 1, Vec::new);
        }
        let files = &mut self.0[node];
        if file >= files.len() {
            files.resize(file + 1, T::default());
        }
        &mut files[file]
    }
}

/// Up to which index a log was looked at, and how often it had been cut by then.
#[derive(Clone, Copy, Default)]
pub(super) struct Looked {
    upto: u64,
    cuts: u64,
}

impl Looked {
    /// The indices that are new if `upto` is looked at now: what was cut may be new from the first one on.
    pub(super) fn news(&mut self, upto: u64, raft: &Raft) -> std::ops::RangeInclusive<u64> {
        let cuts = raft.log().cuts();
        let from = if self.cuts == cuts { self.upto.min(upto) } else { 0 };
        *self = Self { upto, cuts };
        from + 1..=upto
    }
}
