//! A server's part in its groups, by group and by file.

use super::{
    Raft,
    message::{GroupId, Named},
};
use crate::{kernel::FileId, nats::lookup::Lookup};

/// Members by their groups: every message of a member asks for one. A file of a server belongs to one member, and to no
/// other afterwards: where the file is known there is nothing to search.
#[derive(Clone, Debug, Default)]
pub struct Members {
    files: Lookup<Named, FileId>,
    /// By file.
    rafts: Vec<Option<Raft>>,
}

impl Members {
    /// The file of the member of this group.
    #[must_use]
    pub fn file(&self, group: Named) -> Option<FileId> {
        self.files.get(&group).copied()
    }

    /// The member with this file.
    #[must_use]
    pub fn of_file(&self, file: FileId) -> Option<&Raft> {
        self.rafts.get(file.0 as usize)?.as_ref()
    }

    /// The member with this file, to change it.
    pub fn of_file_mut(&mut self, file: FileId) -> Option<&mut Raft> {
        self.rafts.get_mut(file.0 as usize)?.as_mut()
    }

    /// The member of this group.
    #[must_use]
    pub fn get(&self, group: &GroupId) -> Option<&Raft> {
        self.of_file(self.file((*group).into())?)
    }

    /// The member of this group, to change it.
    pub fn get_mut(&mut self, group: &GroupId) -> Option<&mut Raft> {
        self.of_file_mut(self.file((*group).into())?)
    }

    /// Puts a member in; gives back the one of this group that was there.
    pub fn insert(&mut self, raft: Raft) -> Option<Raft> {
        let old = self.remove(&raft.group);
        let file = raft.log().file();
        self.files.insert(raft.named(), file);
        let slot = file.0 as usize;
        if slot >= self.rafts.len() {
            self.rafts.resize_with(slot + 1, || None);
        }
        self.rafts[slot] = Some(raft);
        old
    }

    /// Takes the member of this group out.
    pub fn remove(&mut self, group: &GroupId) -> Option<Raft> {
        let file = self.files.remove(&(*group).into())?;
        self.rafts[file.0 as usize].take()
    }

    /// Takes all members of the other in.
    pub fn append(&mut self, other: &mut Self) {
        for raft in std::mem::take(other).rafts.into_iter().flatten() {
            self.insert(raft);
        }
    }

    /// All members, in the order of their files.
    pub fn values(&self) -> impl Iterator<Item = &Raft> {
        self.rafts.iter().flatten()
    }

    /// All members, to change them, in the order of their files.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Raft> {
        self.rafts.iter_mut().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kernel::{FileId, NodeId},
        nats::protocol::{ConsumerId, GroupIx, StreamIx},
        nodes::NodeSet,
    };

    #[test]
    fn members_are_found_by_their_groups_and_files() {
        let consumer = |number| GroupId::Consumer(ConsumerId::durable(StreamIx(0), GroupIx(number), None));
        let groups = [consumer(7), GroupId::Stream(StreamIx(1)), consumer(3), GroupId::Meta];
        let mut members = Members::default();
        for (file, group) in (0..).zip(groups) {
            let raft = Raft::new(group, 0, NodeId(0), 1, NodeSet::EMPTY.with(NodeId(0)), FileId(file));
            assert!(members.insert(raft).is_none());
        }
        assert!(members.values().map(|raft| raft.group).eq(groups));
        for (file, group) in (0..).zip(groups) {
            assert_eq!(members.get(&group).map(|raft| raft.log().file()), Some(FileId(file)));
            assert_eq!(members.of_file(FileId(file)).map(|raft| raft.group), Some(group));
        }
        assert!(members.remove(&consumer(3)).is_some_and(|raft| raft.group == consumer(3)));
        assert!(members.get(&consumer(3)).is_none() && members.get_mut(&consumer(7)).is_some());
        let mut all = Members::default();
        all.append(&mut members);
        assert_eq!((all.values().count(), members.values().count()), (3, 0));
    }
}
