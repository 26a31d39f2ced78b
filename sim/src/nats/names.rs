//! Names of streams and groups, interned: the model works with numbers.

use super::protocol::{GroupIx, StreamIx};
use squall_bus::{Topic, Unit};
use std::{collections::BTreeMap, sync::Arc};

/// Every name that was ever spoken of. A name being here does not mean that the stream exists.
#[derive(Clone, Debug, Default)]
pub struct Names {
    streams: Vec<Topic>,
    stream_index: BTreeMap<Topic, StreamIx>,
    groups: Vec<Arc<str>>,
    group_index: BTreeMap<Arc<str>, GroupIx>,
}

impl Names {
    /// The stream of this topic, interned now if it is new.
    pub fn intern_stream(&mut self, topic: &Topic) -> StreamIx {
        if let Some(stream) = self.stream_index.get(topic) {
            return *stream;
        }
        let stream = StreamIx(self.streams.len() as u32);
        self.streams.push(topic.clone());
        self.stream_index.insert(topic.clone(), stream);
        stream
    }

    /// The group of this name, interned now if it is new.
    pub fn intern_group(&mut self, name: &str) -> GroupIx {
        if let Some(group) = self.group_index.get(name) {
            return *group;
        }
        let group = GroupIx(self.groups.len() as u32);
        let name: Arc<str> = Arc::from(name);
        self.groups.push(Arc::clone(&name));
        self.group_index.insert(name, group);
        group
    }

    /// The stream of this topic, if it was ever spoken of.
    #[must_use]
    pub fn find_stream(&self, topic: &Topic) -> Option<StreamIx> {
        self.stream_index.get(topic).copied()
    }

    /// The group of this name, if it was ever spoken of.
    #[must_use]
    pub fn find_group(&self, name: &str) -> Option<GroupIx> {
        self.group_index.get(name).copied()
    }

    /// A stream's topic.
    #[must_use]
    pub fn topic(&self, stream: StreamIx) -> &Topic {
        &self.streams[stream.0 as usize]
    }

    /// A group's name.
    #[must_use]
    pub fn group(&self, group: GroupIx) -> &str {
        &self.groups[group.0 as usize]
    }

    /// A stream's partition in the words of the bus.
    #[must_use]
    pub fn unit(&self, stream: StreamIx, partition: u32) -> Unit {
        Unit::new(self.topic(stream), partition)
    }
}
