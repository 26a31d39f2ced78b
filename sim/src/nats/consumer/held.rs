//! The consumers that a server holds.

use super::{
    super::protocol::{ConsumerId, StreamIx},
    Consumer,
};
use crate::kernel::FileId;

/// Consumers in the order of their ids. Every event of a consumer asks for it, and a server has few: a sorted list of
/// numbers is searched faster than a tree of ids, and where the file of its log is known there is nothing to search.
#[derive(Clone, Debug, Default)]
pub struct Consumers {
    ids: Vec<u128>,
    consumers: Vec<Consumer>,
    /// By the files of their logs: their places.
    places: Vec<Option<usize>>,
}

impl Consumers {
    fn place(&self, id: ConsumerId) -> Result<usize, usize> {
        self.ids.binary_search(&id.packed())
    }

    /// The consumer of this id.
    #[must_use]
    pub fn get(&self, id: &ConsumerId) -> Option<&Consumer> {
        self.place(*id).ok().map(|place| &self.consumers[place])
    }

    /// The consumer of this id, to change it.
    pub fn get_mut(&mut self, id: &ConsumerId) -> Option<&mut Consumer> {
        self.place(*id).ok().map(|place| &mut self.consumers[place])
    }

    /// The consumer whose log is in this file, to change it.
    pub fn of_file_mut(&mut self, file: FileId) -> Option<&mut Consumer> {
        let place = (*self.places.get(file.0 as usize)?)?;
        Some(&mut self.consumers[place])
    }

    fn find_places(&mut self) {
        self.places.fill(None);
        for (place, consumer) in self.consumers.iter().enumerate() {
            let file = consumer.file.0 as usize;
            if file >= self.places.len() {
                self.places.resize(file + 1, None);
            }
            self.places[file] = Some(place);
        }
    }

    /// Puts a consumer in, in place of one of its id.
    pub fn insert(&mut self, consumer: Consumer) {
        let id = consumer.assignment.consumer;
        match self.place(id) {
            Ok(place) => self.consumers[place] = consumer,
            Err(place) => {
                self.ids.insert(place, id.packed());
                self.consumers.insert(place, consumer);
            }
        }
        self.find_places();
    }

    /// Takes a consumer out.
    pub fn remove(&mut self, id: &ConsumerId) -> Option<Consumer> {
        let place = self.place(*id).ok()?;
        self.ids.remove(place);
        let consumer = self.consumers.remove(place);
        self.find_places();
        Some(consumer)
    }

    /// Takes all out.
    pub fn clear(&mut self) {
        self.ids.clear();
        self.consumers.clear();
        self.places.clear();
    }

    /// All consumers, to change them.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Consumer> {
        self.consumers.iter_mut()
    }

    /// The consumers of a stream, to change them.
    pub fn of_stream_mut(&mut self, stream: StreamIx) -> impl Iterator<Item = &mut Consumer> {
        let first = ConsumerId::first_of(stream).packed();
        let from = self.ids.partition_point(|id| *id < first);
        let consumers = self.consumers[from..].iter_mut();
        consumers.take_while(move |consumer| consumer.assignment.consumer.stream == stream)
    }
}
