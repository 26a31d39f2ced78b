//! The records in flight, by value: a table with open addressing, so that records come and go without an allocation
//! as soon as it has grown to the widest window of the run.
//!
//! A place is found by Fibonacci hashing (the values of a run are counters, which it spreads evenly) and linear
//! probing; a removal moves the records behind it up, so no graves pile up. At most three quarters are taken.

use super::{SessionId, UnitId};

/// No record has this value (see the format), so it marks a free slot.
const FREE: u64 = u64::MAX;
const SMALLEST: usize = 64;

/// How far a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Sent; nobody read it.
    Sent,
    /// Acknowledged; nobody read it.
    Acked,
    /// Of unknown outcome; nobody read it.
    Unknown,
    /// Read, before its send completed.
    Read,
}

/// A record in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flight {
    pub(super) value: u64,
    /// Which send of the run it is.
    pub(super) ordinal: u64,
    /// Where it was read, or else where the client learned that it is.
    pub(super) position: Option<u64>,
    pub(super) unit: Option<UnitId>,
    pub(super) session: SessionId,
    pub(super) state: State,
}

#[derive(Clone, Debug)]
pub(super) struct Window {
    slots: Vec<Flight>,
    len: usize,
}

fn free() -> Flight {
    let (position, unit, session) = (None, None, SessionId(0));
    Flight { value: FREE, ordinal: 0, position, unit, session, state: State::Sent }
}

impl Window {
    pub(super) fn new() -> Self {
        Self { slots: vec![free(); SMALLEST], len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// What the table takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Flight>()
    }

    /// Where a value belongs: the top bits of the product, which depend on all bits of the value.
    fn home(&self, value: u64) -> usize {
        let bits = self.slots.len().trailing_zeros();
        (value.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - bits)) as usize
    }

    /// The slot of a value, or the free one where it would go.
    fn slot(&self, value: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = self.home(value);
        while self.slots[slot].value != value && self.slots[slot].value != FREE {
            slot = (slot + 1) & mask;
        }
        slot
    }

    /// Puts a record in that is not there.
    pub(super) fn insert(&mut self, flight: Flight) {
        if 4 * (self.len + 1) > 3 * self.slots.len() {
            self.grow();
        }
        let slot = self.slot(flight.value);
        self.len += usize::from(self.slots[slot].value == FREE);
        self.slots[slot] = flight;
    }

    fn grow(&mut self) {
        let wider = vec![free(); 2 * self.slots.len()];
        for flight in std::mem::replace(&mut self.slots, wider) {
            if flight.value != FREE {
                let slot = self.slot(flight.value);
                self.slots[slot] = flight;
            }
        }
    }

    pub(super) fn get_mut(&mut self, value: u64) -> Option<&mut Flight> {
        let slot = self.slot(value);
        Some(&mut self.slots[slot]).filter(|flight| flight.value != FREE)
    }

    pub(super) fn remove(&mut self, value: u64) -> Option<Flight> {
        let mask = self.slots.len() - 1;
        let mut hole = self.slot(value);
        let removed = self.slots[hole];
        if removed.value == FREE {
            return None;
        }
        // Whoever was pushed past the hole moves into it.
        let mut slot = (hole + 1) & mask;
        while self.slots[slot].value != FREE {
            let home = self.home(self.slots[slot].value);
            if (slot.wrapping_sub(home) & mask) >= (slot.wrapping_sub(hole) & mask) {
                self.slots[hole] = self.slots[slot];
                hole = slot;
            }
            slot = (slot + 1) & mask;
        }
        self.slots[hole] = free();
        self.len -= 1;
        Some(removed)
    }

    /// The records in flight, in the order in which they were sent.
    pub(super) fn flights(&self) -> Vec<Flight> {
        let mut list: Vec<Flight> =
            self.slots.iter().filter(|flight| flight.value != FREE).copied().collect();
        list.sort_unstable_by_key(|flight| flight.ordinal);
        list
    }
}

#[cfg(test)]
mod tests {
    use super::{Flight, Window, free};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn is_a_map_by_value(steps in prop::collection::vec((any::<bool>(), 0u64..200), 0..600)) {
            let (mut window, mut map) = (Window::new(), BTreeMap::new());
            for ((put, value), ordinal) in steps.into_iter().zip(0..) {
                if put {
                    let flight = Flight { value, ordinal, ..free() };
                    window.insert(flight);
                    map.insert(value, flight);
                } else {
                    prop_assert_eq!(window.remove(value), map.remove(&value));
                }
                prop_assert_eq!(window.len(), map.len());
                prop_assert_eq!(window.get_mut(value).copied(), map.get(&value).copied());
            }
            let mut flights: Vec<Flight> = map.into_values().collect();
            flights.sort_by_key(|flight| flight.ordinal);
            prop_assert_eq!(window.flights(), flights);
        }
    }
}
