//! Interned names: processes, topics, units, record keys, groups and names of errors as dense numbers.

use foldhash::fast::FixedState;
use squall_bus::{Topic, Unit};
use std::{collections::HashMap, fmt, hash::Hash, num::NonZeroU32};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident,)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(NonZeroU32);

        impl $name {
            /// The number is stored plus 1, so that an optional one takes no more room.
            pub(crate) const fn new(number: u32) -> Self {
                Self(NonZeroU32::MIN.saturating_add(number))
            }

            pub(crate) const fn number(self) -> u32 {
                self.0.get() - 1
            }

            /// The dense number, from 0, for use as an index.
            #[must_use]
            pub const fn index(self) -> usize {
                self.number() as usize
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.number())
            }
        }

        impl From<u32> for $name {
            fn from(number: u32) -> Self {
                Self::new(number)
            }
        }
    )*};
}

ids! {
    /// A process: a client of the workload, the harness, or the final drain.
    ProcessId,
    /// A topic.
    TopicId,
    /// An ordering unit.
    UnitId,
    /// A record key.
    KeyId,
    /// A consumer group.
    GroupId,
    /// A transactional id.
    TransactionalId,
    /// A message id.
    MessageId,
}

impl ProcessId {
    /// The reader of the final drain, named `drain`.
    pub const DRAIN: Self = Self::new(0);
    /// The harness itself, named `harness`: faults, elections, phases.
    pub const HARNESS: Self = Self::new(1);
}

/// Names as dense numbers in the order of their first use. The map is only asked, never walked.
#[derive(Clone, Debug)]
pub(crate) struct Names<T> {
    list: Vec<T>,
    numbers: HashMap<T, u32, FixedState>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { list: Vec::new(), numbers: HashMap::default() }
    }
}

impl<T: PartialEq> PartialEq for Names<T> {
    fn eq(&self, other: &Self) -> bool {
        self.list == other.list
    }
}

impl<T: Clone + Eq + Hash> Names<T> {
    pub(crate) fn intern<Q>(&mut self, name: &Q) -> u32
    where
        T: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized + ToOwned<Owned = T>,
    {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        // Four thousand million distinct names do not fit in memory.
        let number = u32::try_from(self.list.len()).expect("fewer names than fit in 32 bits");
        self.list.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        number
    }

    pub(crate) fn find<Q>(&self, name: &Q) -> Option<u32>
    where
        T: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.numbers.get(name).copied()
    }

    pub(crate) fn name(&self, number: u32) -> &T {
        &self.list[number as usize]
    }

    pub(crate) fn list(&self) -> &[T] {
        &self.list
    }
}

/// A unit by the numbers of its parts.
pub(crate) type UnitKey = (TopicId, u32);

/// All names of a history.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct AllNames {
    pub(crate) processes: Names<String>,
    pub(crate) topics: Names<String>,
    pub(crate) units: Names<UnitKey>,
    pub(crate) keys: Names<String>,
    pub(crate) groups: Names<String>,
    pub(crate) codes: Names<String>,
    pub(crate) transactional: Names<String>,
    pub(crate) messages: Names<String>,
}

impl AllNames {
    pub(crate) fn unit(&mut self, unit: &Unit) -> UnitId {
        let topic = TopicId::new(self.topics.intern(unit.topic.as_str()));
        UnitId::new(self.units.intern(&(topic, unit.partition)))
    }

    pub(crate) fn unit_of(&self, id: UnitId) -> Unit {
        let (topic, partition) = *self.units.name(id.number());
        Unit { topic: Topic::new(self.topics.name(topic.number())), partition }
    }
}
