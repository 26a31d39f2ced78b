//! The log of each unit as everybody saw it: a *set* of values per position, never one.
//!
//! A place is a (position, value) that an ack named or a reader read. Acks count from sends that happened, and from
//! sends of unknown outcome that are proved: a read that succeeded was handed their value. Reads count from
//! everybody, whatever became of them: a consumer must never be handed what is not safe. Positions may have holes;
//! only what somebody saw is a place.

use super::{
    dead::{is_copy, own_dlq},
    fates::{Fate, read_happened},
    values::Writers,
};
use crate::history::{Drain, History};

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
    let mut units = builders(history);
    for (send, row) in history.sends().iter().zip(0u32..) {
        if let (Some(unit), Some(position)) = (send.unit(), send.position())
            && counts(seen[row as usize], fates[row as usize])
            // The ack of a repeated message names the place of the first copy.
            && !(send.duplicate && history.send_extra(row).message_id.is_some())
        {
            let ack = send.completion().unwrap_or(NONE);
            let place = Place { position, value: send.value, send: row, ack, read: NONE, drain: NONE };
            units[unit.index()].add(place);
        }
    }
    let own_dlq = own_dlq(history);
    for read in history.delivers() {
        let send = read.value().and_then(|value| writers.of(value));
        // What the bus put into the dead-letter topic is no second place of the record.
        let send = send.filter(|send| !is_copy(history, own_dlq, read, *send)).unwrap_or(NONE);
        let (read_at, drain) = if read.drained() { (NONE, read.event) } else { (read.event, NONE) };
        let value = read.value().unwrap_or(UNREADABLE);
        let place = Place { position: read.position, value, send, ack: NONE, read: read_at, drain };
        units[read.unit.index()].add(place);
    }
    units.into_iter().map(Builder::finish).collect()
}

/// Whether a send's position counts: it happened, or its record was read.
fn counts(seen: bool, fate: Fate) -> bool {
    match fate {
        Fate::Happened => true,
        Fate::Unknown => seen,
        Fate::Failed => false,
    }
}

/// A builder for each unit, with room for the positions that are named.
fn builders(history: &History) -> Vec<Builder> {
    let mut spans = vec![Span::default(); history.unit_count()];
    for read in history.delivers() {
        let span = &mut spans[read.unit.index()];
        span.meet(read.position);
        if read_happened(history, read) {
            span.highest_read = span.highest_read.max(Some(read.position));
        }
    }
    for send in history.sends() {
        if let (Some(unit), Some(position)) = (send.unit(), send.position()) {
            spans[unit.index()].meet(position);
        }
    }
    spans.into_iter().map(Builder::new).collect()
}

/// The positions of a unit that are named.
#[derive(Clone, Copy)]
struct Span {
    lowest: u64,
    highest: u64,
    named: u64,
    highest_read: Option<u64>,
}

impl Default for Span {
    fn default() -> Self {
        Self { lowest: u64::MAX, highest: 0, named: 0, highest_read: None }
    }
}

impl Span {
    fn meet(&mut self, position: u64) {
        self.lowest = self.lowest.min(position);
        self.highest = self.highest.max(position);
        self.named += 1;
    }

    /// How many positions lie between the lowest and the highest, if that is not much more than are named.
    fn dense(&self) -> Option<usize> {
        let width = self.highest.checked_sub(self.lowest)?.checked_add(1)?;
        (width <= 2 * self.named + 64).then(|| usize::try_from(width).ok()).flatten()
    }
}

/// No position is so high (see the format), so it marks a position that nobody named.
const HOLE: Place = Place { position: u64::MAX, value: 0, send: NONE, ack: NONE, read: NONE, drain: NONE };

/// Collects the places of a unit. Positions are dense as a rule: then each has its slot, and only the second value
/// of a position, and positions far apart, need to be sorted.
struct Builder {
    lowest: u64,
    highest_read: Option<u64>,
    slots: Vec<Place>,
    others: Vec<Place>,
}

impl Builder {
    fn new(span: Span) -> Self {
        let slots = vec![HOLE; span.dense().unwrap_or(0)];
        Self { lowest: span.lowest, highest_read: span.highest_read, slots, others: Vec::new() }
    }

    fn add(&mut self, place: Place) {
        let slot = usize::try_from(place.position - self.lowest).ok();
        match slot.and_then(|slot| self.slots.get_mut(slot)) {
            Some(slot) if slot.position == HOLE.position => *slot = place,
            Some(slot) if slot.value == place.value => slot.join(&place),
            _ => self.others.push(place),
        }
    }

    /// The places by position, then value: one for all that was seen of one value at one position.
    fn finish(mut self) -> UnitLog {
        self.slots.retain(|place| place.position != HOLE.position);
        let mut places = self.slots;
        if !self.others.is_empty() {
            places.append(&mut self.others);
            places.sort_by_key(|place| (place.position, place.value));
            places.dedup_by(|later, place| {
                let same = (later.position, later.value) == (place.position, place.value);
                if same {
                    place.join(later);
                }
                same
            });
        }
        UnitLog { places, highest_read: self.highest_read, drain: None, node_drains: Vec::new() }
    }
}

impl Place {
    fn join(&mut self, other: &Self) {
        self.ack = self.ack.min(other.ack);
        self.read = self.read.min(other.read);
        self.drain = self.drain.min(other.drain);
    }
}

#[cfg(test)]
mod tests {
    use super::{Builder, HOLE, NONE, Place, Span};
    use proptest::prelude::*;

    /// Straight from the definition: all that was seen of each value at each position.
    fn naive(entries: &[Place]) -> Vec<Place> {
        let mut keys: Vec<(u64, u64)> = entries.iter().map(|place| (place.position, place.value)).collect();
        keys.sort_unstable();
        keys.dedup();
        let place = |(position, value): (u64, u64)| {
            let of = entries.iter().filter(|place| (place.position, place.value) == (position, value));
            let first = |event: fn(&Place) -> u32| of.clone().map(event).min().unwrap_or(NONE);
            let (ack, read, drain) = (first(|one| one.ack), first(|one| one.read), first(|one| one.drain));
            Place { position, value, send: value as u32, ack, read, drain }
        };
        keys.into_iter().map(place).collect()
    }

    proptest! {
        #[test]
        fn dense_or_not_the_places_are_the_same(
            entries in prop::collection::vec((0u64..12, 0u64..4, 0u8..3), 0..40),
            stretch in prop::sample::select(vec![1u64, 2, 1 << 20, 1 << 59]),
        ) {
            let entries: Vec<Place> = entries.into_iter().zip(0u32..).map(|((position, value, what), event)| {
                let mut place = Place { position: 7 + position * stretch, value, send: value as u32, ..HOLE };
                *[&mut place.ack, &mut place.read, &mut place.drain][usize::from(what)] = event;
                place
            }).collect();
            let mut span = Span::default();
            entries.iter().for_each(|place| span.meet(place.position));
            let mut builder = Builder::new(span);
            entries.iter().for_each(|place| builder.add(*place));
            prop_assert_eq!(builder.finish().places, naive(&entries));
        }
    }
}
