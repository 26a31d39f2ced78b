//! How streams, consumers, records, inboxes and subjects are named in messages.

use crate::kernel::{ConnId, NodeId, mix};
use std::cmp::Ordering;

/// A stream, interned: each topic is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamIx(pub u32);

/// A group of the workload, interned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupIx(pub u32);

/// A consumer's name within its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConsumerName {
    /// A group's durable consumer of one partition, or of all.
    Durable(GroupIx, Option<u32>),
    /// A consumer that its client made for itself; the number is random, as in NATS' generated names.
    Ephemeral(u64),
}

/// A consumer of a stream. In order of streams, then of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConsumerId {
    /// The stream.
    pub stream: StreamIx,
    /// Its name there.
    pub name: ConsumerName,
}

impl Ord for ConsumerId {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.packed().cmp(&other.packed())
    }
}

impl PartialOrd for ConsumerId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl ConsumerId {
    /// The id as one number in the order of its parts: maps by consumers and groups are asked several times in
    /// every event, and comparing the parts one by one takes longer.
    #[inline]
    pub(in crate::nats) const fn packed(self) -> u128 {
        let name = match self.name {
            ConsumerName::Durable(group, None) => (group.0 as u128) << 33,
            ConsumerName::Durable(group, Some(partition)) => {
                (group.0 as u128) << 33 | (partition as u128 + 1)
            }
            ConsumerName::Ephemeral(number) => 1 << 65 | number as u128,
        };
        (self.stream.0 as u128) << 66 | name
    }

    /// A group's durable consumer.
    #[must_use]
    pub const fn durable(stream: StreamIx, group: GroupIx, partition: Option<u32>) -> Self {
        Self { stream, name: ConsumerName::Durable(group, partition) }
    }

    /// A client's own consumer.
    #[must_use]
    pub const fn ephemeral(stream: StreamIx, number: u64) -> Self {
        Self { stream, name: ConsumerName::Ephemeral(number) }
    }

    /// The first id in the order of a stream's consumers.
    pub(in crate::nats) const fn first_of(stream: StreamIx) -> Self {
        Self { stream, name: ConsumerName::Durable(GroupIx(0), None) }
    }

    /// The id in one word, for digests and choices.
    #[must_use]
    pub const fn word(self) -> u64 {
        let name = match self.name {
            ConsumerName::Durable(group, None) => mix(1, group.0 as u64),
            ConsumerName::Durable(group, Some(partition)) => mix(mix(2, group.0 as u64), partition as u64),
            ConsumerName::Ephemeral(number) => mix(3, number),
        };
        mix(name, self.stream.0 as u64)
    }
}

/// `Nats-Msg-Id`: a producer's name for a record, the same in every retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MsgId(pub u128);

impl MsgId {
    /// The id of a record that has a name of its own ([`squall_bus::Record::id`]).
    #[must_use]
    pub fn named(name: &str) -> Self {
        let word = |start| name.bytes().fold(start, |hash, byte| mix(hash, u64::from(byte)));
        Self(u128::from(word(1)) << 64 | u128::from(word(2)))
    }
}

/// Where a reply goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyTo {
    /// The client's server.
    pub server: NodeId,
    /// Its connection there.
    pub conn: ConnId,
    /// The client's inbox.
    pub inbox: u64,
}

/// What one server tells the others that it listens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A stream's subjects: it leads the stream.
    Stream(StreamIx),
    /// A consumer's requests and acks: it leads the consumer.
    Consumer(ConsumerId),
    /// What is said of messages of this stream that a group's consumers gave up: a client of it is in the group's
    /// queue for that.
    GivenUp(StreamIx, GroupIx),
}

impl Subject {
    pub(super) const fn word(self) -> u64 {
        match self {
            Self::Stream(stream) => mix(1, stream.0 as u64),
            Self::Consumer(consumer) => mix(2, consumer.word()),
            Self::GivenUp(stream, group) => mix(mix(3, stream.0 as u64), group.0 as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consumers_are_in_the_order_of_their_parts() {
        let names = [
            ConsumerName::Durable(GroupIx(0), None),
            ConsumerName::Durable(GroupIx(0), Some(0)),
            ConsumerName::Durable(GroupIx(0), Some(u32::MAX)),
            ConsumerName::Durable(GroupIx(1), None),
            ConsumerName::Durable(GroupIx(u32::MAX), Some(u32::MAX)),
            ConsumerName::Ephemeral(0),
            ConsumerName::Ephemeral(u64::MAX),
        ];
        assert!(names.is_sorted());
        let ids: Vec<ConsumerId> = [0, 1, u32::MAX]
            .into_iter()
            .flat_map(|stream| names.map(|name| ConsumerId { stream: StreamIx(stream), name }))
            .collect();
        assert!(ids.iter().is_sorted_by(|a, b| a < b), "{ids:?}");
    }
}
