//! What travels: records, the topics they go to, and the places they end up in.

use bytes::Bytes;
use std::{fmt, sync::Arc};

/// The name of a topic. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(Arc<str>);

impl Topic {
    /// A topic of this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(Arc::from(name))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Topic {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
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
    /// Headers, in order.
    pub headers: Vec<Header>,
}

/// The header that names a record, the same in every copy of it, whoever sends it: a bus that remembers the ids of
/// what idempotent producers send stores one record of a name. To any other it is a header.
pub const ID_HEADER: &str = "squall-id";

impl Record {
    /// A record without headers whose partition follows from its key.
    #[must_use]
    pub fn new(topic: &Topic, key: Option<Bytes>, value: Bytes) -> Self {
        Self { topic: topic.clone(), partition: None, key, value, headers: Vec::new() }
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
