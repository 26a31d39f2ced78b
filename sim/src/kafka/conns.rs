//! The connections that others opened to a broker, found by their number without a search.

use super::{
    delete_records::ParkedDeletion,
    fetch::ParkedFetch,
    produce::ParkedProduce,
    protocol::{PartitionId, Request},
};
use crate::kernel::ConnId;
use std::collections::VecDeque;

/// What the last request of a connection waits for.
#[derive(Debug, Default)]
pub(super) enum Busy {
    /// Nothing: the next request can be read.
    #[default]
    No,
    Produce(ParkedProduce),
    Fetch(ParkedFetch),
    /// The group coordinator, with the request's correlation id.
    Group(u32),
    DeleteRecords(ParkedDeletion),
}

/// A connection that somebody opened to this broker.
#[derive(Debug, Default)]
pub(super) struct Conn {
    pub(super) queue: VecDeque<Request>,
    pub(super) busy: Busy,
    /// The partitions of the Fetch that waited here last: it watches them.
    pub(super) watched: Vec<PartitionId>,
}

/// All open connections of a broker.
#[derive(Debug, Default)]
pub(super) struct Conns {
    /// By number; numbers are given out to the whole cluster, and never again.
    places: Vec<Option<Box<Conn>>>,
    /// Those that are open, in order.
    open: Vec<ConnId>,
}

impl Conns {
    pub(super) fn get(&self, conn: ConnId) -> Option<&Conn> {
        self.places.get(conn.0 as usize)?.as_deref()
    }

    pub(super) fn get_mut(&mut self, conn: ConnId) -> Option<&mut Conn> {
        self.places.get_mut(conn.0 as usize)?.as_deref_mut()
    }

    /// A connection was opened.
    pub(super) fn insert(&mut self, conn: ConnId) {
        let place = conn.0 as usize;
        if place >= self.places.len() {
            self.places.resize_with(place + 1, || None);
        }
        self.places[place] = Some(Box::default());
        if let Err(at) = self.open.binary_search(&conn) {
            self.open.insert(at, conn);
        }
    }

    /// A connection is closed.
    pub(super) fn remove(&mut self, conn: ConnId) {
        if let Some(place) = self.places.get_mut(conn.0 as usize) {
            *place = None;
        }
        if let Ok(at) = self.open.binary_search(&conn) {
            self.open.remove(at);
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// All of them, in order of their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnId, &Conn)> {
        self.open.iter().filter_map(|conn| Some((*conn, self.get(*conn)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_connections_are_found_and_told_in_order() {
        let mut conns = Conns::default();
        for number in [7, 2, 9] {
            conns.insert(ConnId(number));
        }
        conns.remove(ConnId(7));
        conns.remove(ConnId(40));
        assert!(conns.get(ConnId(7)).is_none() && conns.get(ConnId(40)).is_none());
        if let Some(conn) = conns.get_mut(ConnId(9)) {
            conn.busy = Busy::Group(3);
        }
        let numbers: Vec<u32> = conns.iter().map(|(conn, _)| conn.0).collect();
        assert_eq!(numbers, [2, 9]);
        assert!(matches!(conns.get(ConnId(9)), Some(Conn { busy: Busy::Group(3), .. })));
        conns.clear();
        assert_eq!(conns.iter().count(), 0);
    }
}
