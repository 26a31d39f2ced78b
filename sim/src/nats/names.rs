//! Names of streams and groups, interned: the model works with numbers.

use super::protocol::{GroupIx, StreamIx};
use crate::interner::Interner;
use squall_bus::{Topic, Unit};
use std::sync::Arc;

/// Every name that was ever spoken of. A name being here does not mean that the stream exists.
#[derive(Clone, Debug, Default)]
pub struct Names {
    streams: Interner<Topic>,
    groups: Interner<Arc<str>>,
}

impl Names {
    /// The stream of this topic, interned now if it is new.
    pub fn intern_stream(&mut self, topic: &Topic) -> StreamIx {
        self.find_stream(topic).unwrap_or_else(|| StreamIx(self.streams.intern(topic.clone())))
    }

    /// The group of this name, interned now if it is new.
    pub fn intern_group(&mut self, name: &str) -> GroupIx {
        GroupIx(self.groups.intern(Arc::from(name)))
    }

    /// The stream of this topic, if it was ever spoken of.
    #[must_use]
    pub fn find_stream(&self, topic: &Topic) -> Option<StreamIx> {
        self.streams.find_near(topic).map(StreamIx)
    }

    /// The group of this name, if it was ever spoken of.
    #[must_use]
    pub fn find_group(&self, name: &str) -> Option<GroupIx> {
        self.groups.find(name).map(GroupIx)
    }

    /// A stream's topic.
    #[must_use]
    pub fn topic(&self, stream: StreamIx) -> &Topic {
        self.streams.name(stream.0)
    }

    /// A group's name.
    #[must_use]
    pub fn group(&self, group: GroupIx) -> &str {
        self.groups.name(group.0)
    }

    /// A stream's partition in the words of the bus.
    #[must_use]
    pub fn unit(&self, stream: StreamIx, partition: u32) -> Unit {
        Unit::new(self.topic(stream), partition)
    }
}
