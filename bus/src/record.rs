//! What travels: records, the topics they go to, and the places they end up in.

use bytes::Bytes;
use std::{
    cmp::Ordering,
    collections::BTreeMap,
    fmt,
    hash::{Hash, Hasher},
    ptr,
    sync::{Arc, Mutex, PoisonError},
};
use thin_vec::ThinVec;

/// The name of a topic. Cheap to clone and to compare, since a record carries it everywhere: each name is kept once, for
/// as long as the process lives.
#[derive(Clone)]
pub struct Topic(&'static &'static str);

/// Every name so far, and where it is kept.
static NAMES: Mutex<BTreeMap<&'static str, &'static &'static str>> = Mutex::new(BTreeMap::new());

impl Topic {
    /// A topic of this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.get(name) {
            return Self(known);
        }
        let kept = Box::leak(Box::new(&*Box::leak(Box::from(name))));
        names.insert(kept, kept);
        Self(kept)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0
    }
}

/// Equal names are the same name.
impl PartialEq for Topic {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        ptr::eq(self.0, other.0)
    }
}

impl Eq for Topic {}

impl PartialOrd for Topic {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// In the order of the names, which no run changes.
impl Ord for Topic {
    fn cmp(&self, other: &Self) -> Ordering {
        if self == other { Ordering::Equal } else { self.0.cmp(other.0) }
    }
}

impl Hash for Topic {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl From<&str> for Topic {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// An ordering unit: within it positions have a total order, across units nothing is promised. A Kafka
/// partition; on JetStream the subject space of one partition. Printed as `topic/partition`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Unit {
    /// The topic.
    pub topic: Topic,
    /// The partition within the topic, from 0.
    pub partition: u32,
}

impl Unit {
    /// The unit `topic/partition`.
    #[must_use]
    pub fn new(topic: &Topic, partition: u32) -> Self {
        Self { topic: topic.clone(), partition }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

impl fmt::Debug for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An opaque place in an ordering unit: a Kafka offset, a JetStream sequence number. Positions of one unit
/// compare; they need not be contiguous.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// The place right behind this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}", self.0)
    }
}

/// One header of a record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// The header's name.
    pub name: Arc<str>,
    /// The header's value.
    pub value: Bytes,
}

/// A record as a client sends or receives it. Cheap to clone: bytes are shared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    /// Where it goes.
    pub topic: Topic,
    /// The partition, if the sender chose it; otherwise the client's partitioner chooses by key.
    pub partition: Option<u32>,
    /// The record key; records of one key go to one unit.
    pub key: Option<Bytes>,
    /// The payload. An empty one, in a topic that keeps the last record of each key, deletes the key: a tombstone.
    pub value: Bytes,
    /// Headers, in order. Mostly there are none, and then this takes a word.
    pub headers: ThinVec<Header>,
}

/// The header that names a record, the same in every copy of it, whoever sends it: a bus that remembers the ids of
/// what idempotent producers send stores one record of a name. To any other it is a header.
pub const ID_HEADER: &str = "squall-id";

impl Record {
    /// A record without headers whose partition follows from its key.
    #[must_use]
    pub fn new(topic: &Topic, key: Option<Bytes>, value: Bytes) -> Self {
        Self { topic: topic.clone(), partition: None, key, value, headers: ThinVec::new() }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Bytes>) -> Self {
        self.headers.push(Header { name: Arc::from(name), value: value.into() });
        self
    }

    /// The name of the record, if it has one: see [`ID_HEADER`].
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        std::str::from_utf8(self.header_value(ID_HEADER)?).ok().filter(|id| !id.is_empty())
    }

    /// The value of the first header of this name.
    #[must_use]
    pub fn header_value(&self, name: &str) -> Option<&Bytes> {
        self.headers.iter().find(|header| &*header.name == name).map(|header| &header.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::hash_map::DefaultHasher, thread};

    #[test]
    fn a_name_is_kept_once_whoever_says_it() {
        let says: Vec<_> = (0..8).map(|_| thread::spawn(|| Topic::new("kept-once"))).collect();
        let topics: Vec<Topic> = says.into_iter().map(|said| said.join().expect("a topic")).collect();
        assert!(topics.iter().all(|topic| ptr::eq(topic.0, topics[0].0)), "{topics:?}");
        assert_eq!((topics[0].as_str(), &topics[0]), ("kept-once", &Topic::from("kept-once")));
        assert_ne!(topics[0], Topic::new("kept-once."));
    }

    #[test]
    fn a_record_is_small_since_logs_are_full_of_them() {
        assert!(size_of::<Record>() <= 88, "{} bytes", size_of::<Record>());
    }

    #[test]
    fn topics_are_ordered_and_hashed_by_their_names() {
        let mut topics = ["orders", "billing", "orders.dlq", "a", ""].map(Topic::new);
        topics.sort();
        assert_eq!(topics.map(|topic| topic.0), [&"", &"a", &"billing", &"orders", &"orders.dlq"]);
        let hash = |hashed: &dyn Fn(&mut DefaultHasher)| {
            let mut hasher = DefaultHasher::new();
            hashed(&mut hasher);
            hasher.finish()
        };
        assert_eq!(hash(&|state| Topic::new("orders").hash(state)), hash(&|state| "orders".hash(state)));
    }
}
