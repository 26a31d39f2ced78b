//! Sends that are under way, and outcomes that nobody has asked for yet: what stands behind each
//! [`Sending`](squall_bus::Sending) of a simulated bus.
//!
//! A producer may send ten thousand records before it asks for the first outcome, and each is touched when it is sent,
//! when it has its outcome and when that is asked for. So they lie side by side, a few words each: the records of a
//! batch share one outcome, and only of sends that somebody waits for or looks at is more put down.

use crate::model::Acked;
use squall_bus::{Ack, Look, Outcome};
use std::{sync::Arc, task::Waker};

/// What is known of a send.
enum Known {
    Nothing,
    /// The bus has its batch; the record's place there.
    Acked(Arc<Acked>, u32),
    Other(Box<Outcome<Ack>>),
}

impl Known {
    fn outcome(&self) -> Option<Outcome<Ack>> {
        match self {
            Self::Nothing => None,
            Self::Acked(acked, place) => Some(acked.outcome(*place)),
            Self::Other(outcome) => Some(Outcome::clone(outcome)),
        }
    }
}

/// Who is concerned by an outcome that is not there.
#[derive(Default)]
struct Concerned {
    /// Waits for it.
    waiter: Option<Waker>,
    /// Looks at it before; shown by this waker.
    look: Option<(Look<Outcome<Ack>>, Option<Waker>)>,
}

struct Slot {
    known: Known,
    concerned: Option<Box<Concerned>>,
    /// Counts the sends that were here.
    generation: u32,
    /// Nobody will ask for the outcome.
    forgotten: bool,
}

/// All sends of a world.
#[derive(Default)]
pub(crate) struct Sends {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

/// A look and the outcome that it is to be shown, once no lock is held.
pub(crate) struct Shown {
    look: Look<Outcome<Ack>>,
    outcome: Outcome<Ack>,
}

impl Shown {
    /// Shows it.
    pub(crate) fn show(self) -> Outcome<Ack> {
        (self.look)(&self.outcome);
        self.outcome
    }
}

/// The answer to who asks for an outcome.
pub(crate) enum Asked {
    NotYet,
    Here(Outcome<Ack>),
    /// To be shown to who looks at it first.
    Look(Shown),
}

impl Sends {
    /// One more is under way: its number.
    pub(crate) fn begin(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { known: Known::Nothing, concerned: None, generation: 0, forgotten: false });
            self.slots.len() as u32 - 1
        })
    }

    /// The bus has this one, at this place of a batch. Whoever is to be woken is returned.
    pub(crate) fn acked(&mut self, number: u32, batch: &Arc<Acked>, place: u32) -> Option<Waker> {
        self.complete(number, Known::Acked(Arc::clone(batch), place))
    }

    /// This one has its outcome. Whoever is to be woken is returned.
    pub(crate) fn done(&mut self, number: u32, outcome: Outcome<Ack>) -> Option<Waker> {
        self.complete(number, Known::Other(Box::new(outcome)))
    }

    #[inline]
    fn complete(&mut self, number: u32, known: Known) -> Option<Waker> {
        let send = &mut self.slots[number as usize];
        send.known = known;
        let waker = send.concerned.as_mut().and_then(|concerned| match &mut concerned.look {
            Some((_, shower)) => shower.take(),
            None => concerned.waiter.take(),
        });
        if send.forgotten && waker.is_none() {
            self.release(number);
        }
        waker
    }

    /// Takes the outcome, if it is there and nobody looks at it: mostly.
    #[inline]
    pub(crate) fn take(&mut self, number: u32) -> Option<Outcome<Ack>> {
        let slot = &mut self.slots[number as usize];
        if slot.concerned.is_some() {
            return None;
        }
        let outcome = match std::mem::replace(&mut slot.known, Known::Nothing) {
            Known::Nothing => return None,
            Known::Acked(acked, place) => acked.outcome(place),
            Known::Other(outcome) => *outcome,
        };
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(number);
        Some(outcome)
    }

    /// Takes the outcome; if it is not there, wakes this waker when it is. What the waker replaces is returned.
    pub(crate) fn ask(&mut self, number: u32, waker: &Waker) -> (Asked, Option<Waker>) {
        let send = &mut self.slots[number as usize];
        let Some(outcome) = send.known.outcome() else {
            let concerned = send.concerned.get_or_insert_default();
            if concerned.waiter.as_ref().is_some_and(|waiter| waiter.will_wake(waker)) {
                return (Asked::NotYet, None);
            }
            return (Asked::NotYet, concerned.waiter.replace(waker.clone()));
        };
        let look = send.concerned.as_mut().and_then(|concerned| concerned.look.take());
        self.release(number);
        let asked = match look {
            Some((look, _)) => Asked::Look(Shown { look, outcome }),
            None => Asked::Here(outcome),
        };
        (asked, None)
    }

    /// Has the outcome shown to `look` when it comes, by the waker that is made for this generation; at once if it is
    /// there.
    pub(crate) fn look(
        &mut self,
        number: u32,
        look: Look<Outcome<Ack>>,
        shower: impl FnOnce(u32) -> Waker,
    ) -> Option<Shown> {
        let send = &mut self.slots[number as usize];
        if let Some(outcome) = send.known.outcome() {
            return Some(Shown { look, outcome });
        }
        let concerned = send.concerned.get_or_insert_default();
        concerned.look = Some(match concerned.look.take() {
            None => (look, Some(shower(send.generation))),
            Some((first, shower)) => {
                let both = Box::new(|outcome: &Outcome<Ack>| {
                    first(outcome);
                    look(outcome);
                });
                (both, shower)
            }
        });
        None
    }

    /// What is to be shown of a send that has its outcome, and who waits for it, unless it was asked for meanwhile.
    pub(crate) fn show(&mut self, number: u32, generation: u32) -> (Option<Shown>, Option<Waker>) {
        let send = &mut self.slots[number as usize];
        if send.generation != generation {
            return (None, None);
        }
        let Some(concerned) = &mut send.concerned else { return (None, None) };
        let (look, waiter) = (concerned.look.take(), concerned.waiter.take());
        let shown = look.zip(send.known.outcome()).map(|((look, _), outcome)| Shown { look, outcome });
        if send.forgotten {
            self.release(number);
        }
        (shown, waiter)
    }

    /// Nobody will ask for the outcome any more. What waited is returned.
    pub(crate) fn forget(&mut self, number: u32) -> Option<Waker> {
        let send = &mut self.slots[number as usize];
        let waiter = send.concerned.as_mut().and_then(|concerned| concerned.waiter.take());
        let is_looked_at = send.concerned.as_ref().is_some_and(|concerned| concerned.look.is_some());
        if matches!(send.known, Known::Nothing) || is_looked_at {
            send.forgotten = true;
        } else {
            self.release(number);
        }
        waiter
    }

    fn release(&mut self, number: u32) {
        let send = &mut self.slots[number as usize];
        (send.known, send.concerned, send.forgotten) = (Known::Nothing, None, false);
        send.generation = send.generation.wrapping_add(1);
        self.free.push(number);
    }
}
