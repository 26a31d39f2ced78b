//! What all replicas of a consumer know: deliveries, what waits for its ack, the ack floor (1.5).

use super::super::{
    protocol::ReplyTo,
    raft::message::{Delivered, Op},
};
use squall_bus::Time;
use std::collections::{BTreeMap, BTreeSet};

/// A delivery that waits for its ack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The consumer sequence of its first delivery.
    pub consumer_seq: u64,
    /// When its ack wait ends, by a leader's wall clock.
    pub due: Time,
    /// How often it has been delivered.
    pub count: u32,
}

/// A consumer's replicated state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumerState {
    /// The consumer sequence of the last delivery.
    pub consumer_seq: u64,
    /// The highest stream sequence that was delivered or skipped.
    pub stream_seq: u64,
    /// By stream sequence: what waits for its ack.
    pub pending: BTreeMap<u64, Pending>,
    /// Pull requests that wait at the leader.
    pub waiting: BTreeSet<ReplyTo>,
    /// Pull requests that waited at earlier leaders.
    pub abandoned: BTreeSet<ReplyTo>,
    /// Whether where it starts is decided.
    pub started: bool,
}

impl ConsumerState {
    /// A committed entry. `explicit`: deliveries are acknowledged.
    pub fn apply(&mut self, op: &Op, explicit: bool) {
        match op {
            Op::PeerState => self.abandoned.append(&mut self.waiting),
            Op::Skipped(seq) => {
                self.stream_seq = self.stream_seq.max(*seq);
                self.started = true;
            }
            Op::Delivered(delivered) => self.delivered(*delivered, explicit),
            Op::Acked(acked) => {
                self.pending.remove(&acked.stream_seq);
            }
            Op::Waits(reply) => {
                self.waiting.insert(*reply);
            }
            Op::Waited(reply) => {
                self.waiting.remove(reply);
            }
            Op::AssignStream(_) | Op::AssignConsumer(_) | Op::RemoveConsumer(..) | Op::Store(_) => {}
        }
    }

    fn delivered(&mut self, delivered: Delivered, explicit: bool) {
        let Delivered { stream_seq, consumer_seq, count, due } = delivered;
        self.started = true;
        self.consumer_seq = self.consumer_seq.max(consumer_seq);
        if count == 1 {
            self.stream_seq = self.stream_seq.max(stream_seq);
        }
        if explicit {
            match self.pending.get_mut(&stream_seq) {
                Some(pending) => (pending.due, pending.count) = (due, count),
                // A new delivery. An ack overtook a repeated one: nothing waits.
                None if count == 1 => {
                    self.pending.insert(stream_seq, Pending { consumer_seq, due, count });
                }
                None => {}
            }
        }
    }

    /// Everything up to this stream sequence is acknowledged.
    #[must_use]
    pub fn ack_floor(&self) -> u64 {
        self.pending.keys().next().map_or(self.stream_seq, |lowest| lowest - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::super::raft::message::Acked, *};

    fn deliver(state: &mut ConsumerState, stream_seq: u64, consumer_seq: u64, count: u32) {
        let due = Time::ZERO;
        state.apply(&Op::Delivered(Delivered { stream_seq, consumer_seq, count, due }), true);
    }

    fn ack(state: &mut ConsumerState, stream_seq: u64) {
        state.apply(&Op::Acked(Acked { stream_seq, reply: None }), true);
    }

    #[test]
    fn c15_the_ack_floor_moves_when_the_lowest_delivery_is_acked() {
        let mut state = ConsumerState::default();
        for seq in [3, 5, 9] {
            deliver(&mut state, seq, seq, 1);
        }
        assert_eq!(state.ack_floor(), 2);
        ack(&mut state, 5);
        assert_eq!(state.ack_floor(), 2);
        ack(&mut state, 3);
        assert_eq!(state.ack_floor(), 8);
        ack(&mut state, 9);
        assert_eq!(state.ack_floor(), 9, "nothing waits: it jumps to the last delivery");
    }

    #[test]
    fn c15_a_repeated_delivery_keeps_its_first_consumer_sequence() {
        let mut state = ConsumerState::default();
        deliver(&mut state, 1, 1, 1);
        deliver(&mut state, 2, 2, 1);
        deliver(&mut state, 1, 3, 2);
        assert_eq!((state.consumer_seq, state.stream_seq), (3, 2));
        assert_eq!(state.pending[&1], Pending { consumer_seq: 1, due: Time::ZERO, count: 2 });
    }
}
