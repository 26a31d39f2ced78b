//! The log of each unit as everybody saw it: a *set* of values per position, never one.
//!
//! A place is a (position, value) that an ack named or a reader read. Acks count from sends that happened, and from
//! sends of unknown outcome that are proved: a read that succeeded was handed their value. Reads count from
//! everybody, whatever became of them: a consumer must never be handed what is not safe. Positions may have holes;
//! only what somebody saw is a place.

use super::{
    buckets::Buckets,
    fates::{Fate, read_happened},
    values::Writers,
};
use crate::history::{Drain, History, SendRow, UnitId};

/// No event, or no send.
pub(crate) const NONE: u32 = u32::MAX;
/// The value of a record whose payload could not be read.
const UNREADABLE: u64 = u64::MAX;

/// What was seen of one value at one position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// The position in the unit.
    pub position: u64,
    value: u64,
    send: u32,
    ack: u32,
    read: u32,
    drain: u32,
}

impl Place {
    /// The value; `None` when it could not be read.
    #[must_use]
    pub fn value(&self) -> Option<u64> {
        (self.value != UNREADABLE).then_some(self.value)
    }
    /// The row of the send that wrote the value, if anybody did.
    #[must_use]
    pub fn send(&self) -> Option<u32> {
        (self.send != NONE).then_some(self.send)
    }
    /// The completion that named this place.
    #[must_use]
    pub fn ack(&self) -> Option<u32> {
        (self.ack != NONE).then_some(self.ack)
    }
    /// The first delivery to a consumer of the workload.
    #[must_use]
    pub fn delivered(&self) -> Option<u32> {
        (self.read != NONE).then_some(self.read)
    }
    /// The final drain's read.
    #[must_use]
    pub fn drained(&self) -> Option<u32> {
        (self.drain != NONE).then_some(self.drain)
    }
    /// The first read by anybody.
    #[must_use]
    pub fn read(&self) -> Option<u32> {
        let first = self.read.min(self.drain);
        (first != NONE).then_some(first)
    }
}

/// One unit's log.
#[derive(Clone, Debug, Default)]
pub struct UnitLog {
    /// Its places by position, then value.
    pub places: Vec<Place>,
    /// The highest position that a read which succeeded came to.
    pub highest_read: Option<u64>,
    /// How far the final drain came, with the index of that event. Where the unit was only drained through single
    /// nodes, the first such drain that finished.
    pub drain: Option<(u32, Drain)>,
    /// How far the drains through single nodes came, with the indexes of their events.
    pub node_drains: Vec<(u32, Drain)>,
}

impl UnitLog {
    /// Takes note of a drain.
    pub(crate) fn drained(&mut self, event: u32, drain: Drain) {
        let whole = |known: &Option<(u32, Drain)>| known.is_some_and(|(_, known)| known.node.is_none());
        match drain.node {
            None => self.drain = Some((event, drain)),
            Some(_) => {
                self.node_drains.push((event, drain));
                let finished = self.drain.is_some_and(|(_, known)| known.complete);
                if !whole(&self.drain) && !finished {
                    self.drain = Some((event, drain));
                }
            }
        }
    }

    /// The final drain, if it finished.
    #[must_use]
    pub fn complete_drain(&self) -> Option<Drain> {
        self.drain.map(|(_, drain)| drain).filter(|drain| drain.complete)
    }

    /// The highest position about which there is evidence that a record is or is not there.
    #[must_use]
    pub fn bound(&self) -> Option<u64> {
        let drained = self.complete_drain().and_then(|drain| drain.to.checked_sub(1));
        self.highest_read.max(drained)
    }

    /// The places at positions in `from..to`.
    #[must_use]
    pub fn between(&self, from: u64, to: u64) -> &[Place] {
        let start = self.places.partition_point(|place| place.position < from);
        let end = self.places.partition_point(|place| place.position < to);
        &self.places[start..end.max(start)]
    }
}

/// Builds the log of every unit.
pub(crate) fn logs(history: &History, writers: &Writers, seen: &[bool], fates: &[Fate]) -> Vec<UnitLog> {
    let (sends, delivers) = (history.sends(), history.delivers());
    let acks = Buckets::new(history.unit_count(), sends.len(), |row| {
        counts(&sends[row], seen[row], fates[row]).then(|| sends[row].unit()).flatten().map(UnitId::index)
    });
    let reads = Buckets::new(history.unit_count(), delivers.len(), |row| Some(delivers[row].unit.index()));
    let mut entries = Vec::new();
    (0..history.unit_count())
        .map(|unit| {
            entries.clear();
            entries.extend(acks.of(unit).iter().map(|row| ack_entry(&sends[*row as usize], *row)));
            entries.extend(reads.of(unit).iter().map(|row| {
                let read = &delivers[*row as usize];
                let send = read.value().and_then(|value| writers.of(value)).unwrap_or(NONE);
                let (read_at, drain) = if read.drained() { (NONE, read.event) } else { (read.event, NONE) };
                let value = read.value().unwrap_or(UNREADABLE);
                Place { position: read.position, value, send, ack: NONE, read: read_at, drain }
            }));
            let read = reads.of(unit).iter().map(|row| &delivers[*row as usize]);
            let highest_read =
                read.filter(|read| read_happened(history, read)).map(|read| read.position).max();
            UnitLog { places: merge(&mut entries), highest_read, drain: None, node_drains: Vec::new() }
        })
        .collect()
}

/// Whether a send's position counts: it happened, or its record was read.
fn counts(send: &SendRow, seen: bool, fate: Fate) -> bool {
    send.position().is_some()
        && match fate {
            Fate::Happened => true,
            Fate::Unknown => seen,
            Fate::Failed => false,
        }
}

fn ack_entry(send: &SendRow, row: u32) -> Place {
    let position = send.position().unwrap_or_default();
    let ack = send.completion().unwrap_or(NONE);
    Place { position, value: send.value, send: row, ack, read: NONE, drain: NONE }
}

/// Sorts, and makes one place of all that was seen of one value at one position. The entries are a few sorted
/// runs, which a stable sort merges in about linear time.
fn merge(entries: &mut [Place]) -> Vec<Place> {
    entries.sort_by_key(|place| (place.position, place.value));
    let mut places: Vec<Place> = Vec::with_capacity(entries.len() / 2);
    for entry in entries.iter() {
        match places.last_mut() {
            Some(last) if (last.position, last.value) == (entry.position, entry.value) => {
                last.ack = last.ack.min(entry.ack);
                last.read = last.read.min(entry.read);
                last.drain = last.drain.min(entry.drain);
            }
            _ => places.push(*entry),
        }
    }
    places
}
