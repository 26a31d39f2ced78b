//! The connections that others opened to a broker, found by their number without a search.

use super::{
    delete_records::ParkedDeletion,
    fetch::ParkedFetch,
    metadata::TopicId,
    produce::ParkedProduce,
    protocol::{PartitionId, Request, TopicIx},
};
use crate::kernel::ConnId;
use std::{collections::VecDeque, sync::Arc};

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

/// Topic ids that are known under so many records of metadata.
#[derive(Debug)]
pub(super) struct KnownIds {
    pub(super) ids: Arc<[(TopicIx, TopicId)]>,
    pub(super) end: u64,
    /// It was a follower that named them, and all that it reads is watched: were it to read other partitions, it would
    /// name them anew.
    pub(super) watched: bool,
}

/// A connection that somebody opened to this broker.
#[derive(Debug, Default)]
pub(super) struct Conn {
    pub(super) queue: VecDeque<Request>,
    pub(super) busy: Busy,
    /// The other side has closed it. What it had sent before is in the socket and is read as ever (Linux hands it out,
    /// whatever came behind it); nobody hears the answers. The first of them is taken by the socket, the second is
    /// refused, and then the broker closes the connection with what it has not read.
    pub(super) gone: bool,
    /// It has been answered since.
    pub(super) deaf: bool,
    /// The partitions of the Fetch that waited here last: it watches them.
    pub(super) watched: Vec<PartitionId>,
    /// That Fetch was a follower's.
    pub(super) follows: bool,
    /// The topic ids that its last Fetch named, if they were all known.
    pub(super) known_ids: Option<KnownIds>,
}

/// A broker that was just begun has room for so many connections of its cluster.
const FIRST_ROOM: usize = 32;

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
            if self.places.capacity() == 0 {
                self.places.reserve_exact(FIRST_ROOM);
                self.open.reserve_exact(FIRST_ROOM);
            }
            self.places.resize_with(place + 1, || None);
        }
        self.places[place] = Some(Box::default());
        if let Err(at) = self.open.binary_search(&conn) {
            self.open.insert(at, conn);
        }
    }

    fn remove(&mut self, conn: ConnId) {
        if let Some(place) = self.places.get_mut(conn.0 as usize) {
            *place = None;
        }
        if let Ok(at) = self.open.binary_search(&conn) {
            self.open.remove(at);
        }
    }

    /// The other side closed a connection: it stays until everything that it brought is handled.
    pub(super) fn close(&mut self, conn: ConnId) {
        if let Some(known) = self.get_mut(conn) {
            known.gone = true;
        }
        self.remove_if_done(conn);
    }

    /// Forgets a connection that is gone and has nothing left to handle.
    pub(super) fn remove_if_done(&mut self, conn: ConnId) {
        let done = |known: &Conn| known.gone && known.queue.is_empty() && matches!(known.busy, Busy::No);
        if self.get(conn).is_some_and(done) {
            self.remove(conn);
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
        conns.close(ConnId(7));
        conns.close(ConnId(40));
        assert!(conns.get(ConnId(7)).is_none() && conns.get(ConnId(40)).is_none());
        if let Some(conn) = conns.get_mut(ConnId(9)) {
            conn.busy = Busy::Group(3);
        }
        let numbers: Vec<u32> = conns.iter().map(|(conn, _)| conn.0).collect();
        assert_eq!(numbers, [2, 9]);
        assert!(matches!(conns.get(ConnId(9)), Some(Conn { busy: Busy::Group(3), .. })));
        // Gone, but not before its request is answered.
        conns.close(ConnId(9));
        assert_eq!(conns.iter().count(), 2);
        if let Some(conn) = conns.get_mut(ConnId(9)) {
            conn.busy = Busy::No;
        }
        conns.remove_if_done(ConnId(9));
        assert_eq!(conns.iter().count(), 1);
        conns.clear();
        assert_eq!(conns.iter().count(), 0);
    }
}
