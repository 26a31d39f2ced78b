//! A server's part in its groups, by group and by file.

use super::{
    Raft,
    message::{GroupId, Named},
};
use crate::kernel::FileId;

/// Members by their groups. Every message of a member asks for one, and a server has few: a sorted list of words is
/// searched faster than a tree of ids. A file of a server belongs to one member, and to no other afterwards:
/// where the file is known there is nothing to search.
#[derive(Clone, Debug, Default)]
pub struct Members {
    /// The words of the groups, in order, with the members' files.
    groups: Vec<(u64, FileId)>,
    /// By file.
    rafts: Vec<Option<Raft>>,
}

impl Members {
    fn place(&self, Named { group, word }: Named) -> Result<usize, usize> {
        let first = self.groups.partition_point(|(known, _)| *known < word);
        // Two groups may have the same word.
        let same = self.groups[first..].iter().take_while(|(known, _)| *known == word);
        let found = |file: FileId| self.of_file(file).is_some_and(|raft| raft.group == group);
        let place = same.map(|(_, file)| *file).position(found);
        place.map(|place| first + place).ok_or(first)
    }

    /// The file of the member of this group.
    #[must_use]
    pub fn file(&self, group: Named) -> Option<FileId> {
        self.place(group).ok().map(|place| self.groups[place].1)
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
        if let Err(place) = self.place(raft.named()) {
            self.groups.insert(place, (raft.word, file));
        }
        let slot = file.0 as usize;
        if slot >= self.rafts.len() {
            self.rafts.resize_with(slot + 1, || None);
        }
        self.rafts[slot] = Some(raft);
        old
    }

    /// Takes the member of this group out.
    pub fn remove(&mut self, group: &GroupId) -> Option<Raft> {
        let place = self.place((*group).into()).ok()?;
        let (_, file) = self.groups.remove(place);
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
