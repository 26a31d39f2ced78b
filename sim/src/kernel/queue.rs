//! The event heap: `(time, sequence)` orders, a slab holds the events.
//!
//! Heap entries are 24 bytes whatever the event's size. An event can be cancelled by its [`Ticket`] in O(1);
//! its heap entry is passed over when it comes up.

use squall_bus::Time;
use std::{cmp::Reverse, collections::BinaryHeap};

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

/// Events in order of time, and of scheduling within one time.
#[derive(Clone, Debug)]
pub struct Queue<E> {
    heap: BinaryHeap<Reverse<(Time, u64, u32)>>,
    slots: Vec<Slot<E>>,
    free: Vec<u32>,
    scheduled: u64,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), slots: Vec::new(), free: Vec::new(), scheduled: 0 }
    }
}

impl<E> Queue<E> {
    /// Schedules an event.
    pub fn push(&mut self, at: Time, event: E) -> Ticket {
        self.scheduled += 1;
        let sequence = self.scheduled;
        let slot = if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = Slot { sequence, event: Some(event) };
            slot
        } else {
            self.slots.push(Slot { sequence, event: Some(event) });
            self.slots.len() as u32 - 1
        };
        self.heap.push(Reverse((at, sequence, slot)));
        Ticket { slot, sequence }
    }

    /// Cancels an event that has not fired, and returns it.
    pub fn cancel(&mut self, ticket: Ticket) -> Option<E> {
        let slot = self.slots.get_mut(ticket.slot as usize)?;
        if slot.sequence == ticket.sequence { slot.event.take() } else { None }
    }

    /// The time of the next event.
    pub fn next_time(&mut self) -> Option<Time> {
        while let Some(Reverse((at, sequence, slot))) = self.heap.peek() {
            if self.is_live(*slot, *sequence) {
                return Some(*at);
            }
            let slot = *slot;
            self.heap.pop();
            self.free.push(slot);
        }
        None
    }

    /// Takes the next event.
    pub fn pop(&mut self) -> Option<(Time, E)> {
        while let Some(Reverse((at, _, slot))) = self.heap.pop() {
            // A slot is freed only here and in `next_time`, when its heap entry is gone: the entry is the slot's.
            self.free.push(slot);
            if let Some(event) = self.slots[slot as usize].event.take() {
                return Some((at, event));
            }
        }
        None
    }

    /// How many events have been scheduled so far.
    #[must_use]
    pub fn scheduled(&self) -> u64 {
        self.scheduled
    }

    fn is_live(&self, slot: u32, sequence: u64) -> bool {
        let slot = &self.slots[slot as usize];
        slot.sequence == sequence && slot.event.is_some()
    }
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
        fn agrees_with_a_sorted_list(steps in prop::collection::vec((0_u8..4, 0_u64..50), 0..200)) {
            let mut queue = Queue::default();
            let mut list: Vec<(Time, u64, Ticket)> = Vec::new();
            for (number, (step, at)) in steps.into_iter().enumerate() {
                match step {
                    0 | 1 => {
                        let ticket = queue.push(Time(at), number as u64);
                        list.push((Time(at), number as u64, ticket));
                        list.sort_by_key(|(at, number, _)| (*at, *number));
                    }
                    2 => {
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
