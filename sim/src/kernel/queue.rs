//! The event heap: `(time, sequence)` orders, a slab holds the events.
//!
//! - An entry of the heap is one number of 128 bits: the time, then the sequence, then the event's slot. Entries are
//!   16 bytes whatever the event's size, and one comparison orders two of them.
//! - The next few entries stand beside the heap in a short list, in order: most events are messages that arrive
//!   before any timer fires, and come and go without touching the heap.
//! - In the heap each entry has up to four below it, so that it is half as deep as a binary one.
//! - An event can be cancelled by its [`Ticket`] in O(1); its heap entry is passed over when it comes up.

use squall_bus::Time;

/// The most entries in the list of the next ones.
const NEXT: usize = 32;
/// How many entries stand below each in the heap.
const ARITY: usize = 4;
/// Bits of an entry for the slot: so many events can be scheduled at a time (16 million).
const SLOT_BITS: u32 = 24;
/// Bits of an entry for the sequence: so many events can be scheduled in all (a million million).
const SEQUENCE_BITS: u32 = u64::BITS - SLOT_BITS;

/// Names one scheduled event, for cancelling. A ticket of an event that fired cancels nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    slot: u32,
    sequence: u64,
}

#[derive(Clone, Debug)]
struct Slot<E> {
    sequence: u64,
    event: Option<E>,
}

/// An event's place in the order, and its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry(u128);

impl Entry {
    fn new(at: Time, sequence: u64, slot: u32) -> Self {
        debug_assert!(sequence < 1 << SEQUENCE_BITS, "so many events take longer than anybody waits");
        Self(u128::from(at.0) << 64 | u128::from(sequence << SLOT_BITS | u64::from(slot)))
    }

    fn at(self) -> Time {
        Time((self.0 >> 64) as u64)
    }

    fn slot(self) -> u32 {
        self.0 as u32 & ((1 << SLOT_BITS) - 1)
    }
}

/// Events in order of time, and of scheduling within one time.
#[derive(Clone, Debug)]
pub struct Queue<E> {
    /// The next entries, the last one first; all of them before all of the heap's.
    next: Vec<Entry>,
    heap: Vec<Entry>,
    slots: Vec<Slot<E>>,
    free: Vec<u32>,
    scheduled: u64,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self { next: Vec::new(), heap: Vec::new(), slots: Vec::new(), free: Vec::new(), scheduled: 0 }
    }
}

impl<E> Queue<E> {
    /// Schedules an event.
    pub fn push(&mut self, at: Time, event: E) -> Ticket {
        self.scheduled += 1;
        let sequence = self.scheduled;
        let slot = if let Some(slot) = self.free.pop() {
            let place = &mut self.slots[slot as usize];
            place.sequence = sequence;
            place.event = Some(event);
            slot
        } else {
            assert!(self.slots.len() < 1 << SLOT_BITS, "more events are under way than a run can have");
            self.slots.push(Slot { sequence, event: Some(event) });
            self.slots.len() as u32 - 1
        };
        self.insert(Entry::new(at, sequence, slot));
        Ticket { slot, sequence }
    }

    /// Cancels an event that has not fired, and returns it.
    pub fn cancel(&mut self, ticket: Ticket) -> Option<E> {
        let slot = self.slots.get_mut(ticket.slot as usize)?;
        if slot.sequence == ticket.sequence { slot.event.take() } else { None }
    }

    /// The time of the next event.
    pub fn next_time(&mut self) -> Option<Time> {
        loop {
            let entry = match self.next.last() {
                Some(entry) => *entry,
                None => *self.heap.first()?,
            };
            // A slot is freed only when its entry is gone: the entry is the slot's.
            if self.slots[entry.slot() as usize].event.is_some() {
                return Some(entry.at());
            }
            self.remove_first();
            self.free.push(entry.slot());
        }
    }

    /// Takes the next event.
    #[inline]
    pub fn pop(&mut self) -> Option<(Time, E)> {
        while let Some(entry) = self.remove_first() {
            self.free.push(entry.slot());
            if let Some(event) = self.slots[entry.slot() as usize].event.take() {
                return Some((entry.at(), event));
            }
        }
        None
    }

    /// How many events have been scheduled so far.
    #[must_use]
    pub fn scheduled(&self) -> u64 {
        self.scheduled
    }

    /// Puts an entry into the list of the next ones if it comes before all of the heap, else into the heap.
    #[inline]
    fn insert(&mut self, entry: Entry) {
        if self.heap.first().is_some_and(|first| *first < entry) {
            return rise(&mut self.heap, entry);
        }
        if self.next.len() == NEXT {
            self.next.drain(..NEXT / 2).for_each(|later| rise(&mut self.heap, later));
            if self.heap[0] < entry {
                return rise(&mut self.heap, entry);
            }
        }
        let mut place = self.next.len();
        self.next.push(entry);
        while place > 0 && self.next[place - 1] < entry {
            self.next[place] = self.next[place - 1];
            place -= 1;
        }
        self.next[place] = entry;
    }

    #[inline]
    fn remove_first(&mut self) -> Option<Entry> {
        self.next.pop().or_else(|| sink(&mut self.heap))
    }
}

/// Puts an entry in at the bottom of a heap and lets it rise.
fn rise(heap: &mut Vec<Entry>, entry: Entry) {
    let mut place = heap.len();
    heap.push(entry);
    while place > 0 {
        let above = (place - 1) / ARITY;
        if heap[above] < entry {
            break;
        }
        heap[place] = heap[above];
        place = above;
    }
    heap[place] = entry;
}

/// Takes the first entry of a heap out and lets the last one sink from its place.
fn sink(heap: &mut Vec<Entry>) -> Option<Entry> {
    let last = heap.pop()?;
    let Some(first) = heap.first().copied() else { return Some(last) };
    let mut place = 0;
    loop {
        let below = place * ARITY + 1;
        let least = match heap.get(below..below + ARITY) {
            Some(full) => {
                let left = usize::from(full[1] < full[0]);
                let right = 2 + usize::from(full[3] < full[2]);
                below + if full[right] < full[left] { right } else { left }
            }
            None => match (below..heap.len()).min_by_key(|at| heap[*at]) {
                Some(least) => least,
                None => break,
            },
        };
        if last < heap[least] {
            break;
        }
        heap[place] = heap[least];
        place = least;
    }
    heap[place] = last;
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_times_keep_the_order_of_scheduling() {
        let mut queue = Queue::default();
        for event in 0..5 {
            queue.push(Time(7), event);
        }
        queue.push(Time(3), 9);
        let order: Vec<i32> = std::iter::from_fn(|| queue.pop()).map(|(_, event)| event).collect();
        assert_eq!(order, [9, 0, 1, 2, 3, 4]);
    }

    proptest! {
        /// Against a sorted list: pushes, pops and cancels in any order.
        #[test]
        fn agrees_with_a_sorted_list(steps in prop::collection::vec((0_u8..5, 0_u64..50), 0..400)) {
            let mut queue = Queue::default();
            let mut list: Vec<(Time, u64, Ticket)> = Vec::new();
            for (number, (step, at)) in steps.into_iter().enumerate() {
                match step {
                    0..=2 => {
                        let ticket = queue.push(Time(at), number as u64);
                        list.push((Time(at), number as u64, ticket));
                        list.sort_by_key(|(at, number, _)| (*at, *number));
                    }
                    3 => {
                        let expected = if list.is_empty() { None } else { Some(list.remove(0)) };
                        prop_assert_eq!(queue.next_time(), expected.map(|e| e.0));
                        prop_assert_eq!(queue.pop(), expected.map(|e| (e.0, e.1)));
                    }
                    _ if !list.is_empty() => {
                        let (_, number, ticket) = list.remove(at as usize % list.len());
                        prop_assert_eq!(queue.cancel(ticket), Some(number));
                        prop_assert_eq!(queue.cancel(ticket), None);
                    }
                    _ => {}
                }
            }
        }
    }
}
