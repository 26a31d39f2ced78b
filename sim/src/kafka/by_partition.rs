//! Something for each partition: found by topic and number, without a search.

use super::protocol::{PartitionId, TopicIx};

/// A topic that is begun has room for so many partitions.
const FIRST_ROOM: usize = 10;

/// A map from partitions, which are dense numbers within dense numbers.
#[derive(Clone, Debug)]
pub(super) struct ByPartition<T>(Vec<Vec<Option<T>>>);

impl<T> Default for ByPartition<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> ByPartition<T> {
    /// What there is for this partition.
    pub(super) fn get(&self, id: PartitionId) -> Option<&T> {
        self.0.get(id.topic.0 as usize)?.get(id.partition as usize)?.as_ref()
    }

    /// What there is for this partition, to change it.
    pub(super) fn get_mut(&mut self, id: PartitionId) -> Option<&mut T> {
        self.0.get_mut(id.topic.0 as usize)?.get_mut(id.partition as usize)?.as_mut()
    }

    /// The place of this partition, with something in it or not.
    #[inline]
    pub(super) fn place(&mut self, id: PartitionId) -> &mut Option<T> {
        let (topic, partition) = (id.topic.0 as usize, id.partition as usize);
        if self.0.get(topic).is_none_or(|partitions| partition >= partitions.len()) {
            self.make_room(topic, partition);
        }
        &mut self.0[topic][partition]
    }

    #[inline(never)]
    fn make_room(&mut self, topic: usize, partition: usize) {
        if topic >= self.0.len() {
            self.0.resize_with(topic + 1, Vec::new);
        }
        let partitions = &mut self.0[topic];
        let room = if partitions.is_empty() { FIRST_ROOM } else { 2 * partitions.len() };
        partitions.resize_with(room.max(partition + 1), || None);
    }

    /// Takes out what there is for this partition.
    pub(super) fn take(&mut self, id: PartitionId) -> Option<T> {
        self.0.get_mut(id.topic.0 as usize)?.get_mut(id.partition as usize)?.take()
    }

    /// Everything, in order of partitions.
    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten().flatten()
    }

    /// Everything, in order of partitions, to change it.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().flatten().flatten()
    }

    /// The partitions for which there is something, in order.
    pub(super) fn ids(&self) -> impl Iterator<Item = PartitionId> {
        let topics = self.0.iter().enumerate();
        topics.flat_map(|(topic, partitions)| {
            let taken = partitions.iter().enumerate().filter(|(_, value)| value.is_some());
            taken.map(move |(number, _)| PartitionId::new(TopicIx(topic as u32), number as u32))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_put_and_nothing_else() {
        let id = |topic, partition| PartitionId::new(TopicIx(topic), partition);
        let mut map = ByPartition::default();
        *map.place(id(2, 1)) = Some('b');
        *map.place(id(0, 3)) = Some('a');
        assert_eq!((map.get(id(2, 1)), map.get(id(2, 0)), map.get(id(9, 9))), (Some(&'b'), None, None));
        assert_eq!(map.ids().collect::<Vec<_>>(), [id(0, 3), id(2, 1)]);
        assert_eq!(map.values().collect::<String>(), "ab");
        map.values_mut().for_each(char::make_ascii_uppercase);
        assert_eq!(map.get_mut(id(2, 1)).copied(), Some('B'));
        assert_eq!((map.take(id(2, 1)), map.take(id(2, 1)), map.take(id(9, 9))), (Some('B'), None, None));
    }
}
