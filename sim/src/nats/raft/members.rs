//! A server's part in its groups, by group.

use super::{Raft, message::GroupId};

/// Members in the order of their groups. Every event of a server asks for one several times, and a server has few: a
/// sorted list of numbers is searched faster than a tree of ids.
#[derive(Clone, Debug, Default)]
pub struct Members {
    groups: Vec<u128>,
    rafts: Vec<Raft>,
}

impl Members {
    fn place(&self, group: GroupId) -> Result<usize, usize> {
        self.groups.binary_search(&group.packed())
    }

    /// The member of this group.
    #[must_use]
    pub fn get(&self, group: &GroupId) -> Option<&Raft> {
        self.place(*group).ok().map(|place| &self.rafts[place])
    }

    /// The member of this group, to change it.
    pub fn get_mut(&mut self, group: &GroupId) -> Option<&mut Raft> {
        self.place(*group).ok().map(|place| &mut self.rafts[place])
    }

    /// Puts a member in; gives back the one that was there.
    pub fn insert(&mut self, raft: Raft) -> Option<Raft> {
        match self.place(raft.group) {
            Ok(place) => Some(std::mem::replace(&mut self.rafts[place], raft)),
            Err(place) => {
                self.groups.insert(place, raft.group.packed());
                self.rafts.insert(place, raft);
                None
            }
        }
    }

    /// Takes the member of this group out.
    pub fn remove(&mut self, group: &GroupId) -> Option<Raft> {
        let place = self.place(*group).ok()?;
        self.groups.remove(place);
        Some(self.rafts.remove(place))
    }

    /// Takes all members of the other in.
    pub fn append(&mut self, other: &mut Self) {
        for raft in std::mem::take(other).rafts {
            self.insert(raft);
        }
    }

    /// All members.
    pub fn values(&self) -> impl Iterator<Item = &Raft> {
        self.rafts.iter()
    }

    /// All members, to change them.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Raft> {
        self.rafts.iter_mut()
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
    fn members_are_found_and_in_the_order_of_their_groups() {
        let consumer = |number| GroupId::Consumer(ConsumerId::durable(StreamIx(0), GroupIx(number), None));
        let groups = [consumer(7), GroupId::Stream(StreamIx(1)), consumer(3), GroupId::Meta];
        let mut members = Members::default();
        for (file, group) in (0..).zip(groups) {
            let raft = Raft::new(group, 0, NodeId(0), 1, NodeSet::EMPTY.with(NodeId(0)), FileId(file));
            assert!(members.insert(raft).is_none());
        }
        assert!(members.values().map(|raft| raft.group).is_sorted());
        for (file, group) in (0..).zip(groups) {
            assert_eq!(members.get(&group).map(|raft| raft.log().file()), Some(FileId(file)));
        }
        assert!(members.remove(&consumer(3)).is_some_and(|raft| raft.group == consumer(3)));
        assert!(members.get(&consumer(3)).is_none() && members.get_mut(&consumer(7)).is_some());
        let mut all = Members::default();
        all.append(&mut members);
        assert_eq!((all.values().count(), members.values().count()), (3, 0));
    }
}
