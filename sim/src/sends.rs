//! Sends that are under way, and outcomes that nobody has asked for yet: what stands behind each
//! [`Sending`](squall_bus::Sending) of a simulated bus.
//!
//! A producer may send ten thousand records before it asks for the first outcome, and each is touched when it is sent,
//! when it has its outcome and when that is asked for. So they lie side by side, each in one line of a processor's cache;
//! only of sends that somebody waits for or looks at, or that failed, is more put down.

use crate::shared::SLOTS;
use squall_bus::{Ack, Look, Outcome};
use std::task::Waker;

/// What is known of a send.
enum Known {
    Nothing,
    Acked(Ack),
    Other(Box<Outcome<Ack>>),
}

impl Known {
    fn outcome(&self) -> Option<Outcome<Ack>> {
        match self {
            Self::Nothing => None,
            Self::Acked(ack) => Some(Outcome::Ok(ack.clone())),
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
            if self.slots.is_empty() {
                self.slots.reserve(SLOTS);
                self.free.reserve(SLOTS);
            }
            self.slots.push(Slot { known: Known::Nothing, concerned: None, generation: 0, forgotten: false });
            self.slots.len() as u32 - 1
        })
    }

    /// This one has its outcome. Whoever is to be woken is returned.
    #[inline]
    pub(crate) fn done(&mut self, number: u32, outcome: Outcome<Ack>) -> Option<Waker> {
        let send = &mut self.slots[number as usize];
        send.known = match outcome {
            Outcome::Ok(ack) => Known::Acked(ack),
            other => Known::Other(Box::new(other)),
        };
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
            Known::Acked(ack) => Outcome::Ok(ack),
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

#[cfg(test)]
mod tests {
    use super::*;
    use squall_bus::{Position, Topic, Unit};
    use std::{
        sync::{
            Arc,
            atomic::{AtomicU32, Ordering},
        },
        task::Wake,
    };

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn waker() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count::default());
        (Arc::clone(&count), Waker::from(count))
    }

    fn ack(position: u64) -> Outcome<Ack> {
        let unit = Unit::new(&Topic::new("orders"), 3);
        Outcome::Ok(Ack { unit, position: Some(Position(position)), duplicate: false })
    }

    fn position(outcome: Option<Outcome<Ack>>) -> Option<Position> {
        outcome?.ok()?.position
    }

    #[test]
    fn a_send_lies_in_a_cache_line() {
        assert!(size_of::<Slot>() <= 64, "{} bytes", size_of::<Slot>());
    }

    #[test]
    fn each_send_has_its_own_outcome() {
        let mut sends = Sends::default();
        let (first, second) = (sends.begin(), sends.begin());
        assert!(sends.take(first).is_none(), "nothing is known");
        for (number, position) in [(first, 7), (second, 8)] {
            assert!(sends.done(number, ack(position)).is_none(), "nobody waits");
        }
        assert_eq!(position(sends.take(second)), Some(Position(8)));
        assert_eq!(position(sends.take(first)), Some(Position(7)));
        assert_eq!((sends.begin(), sends.begin(), sends.slots.len()), (first, second, 2), "free again");
    }

    #[test]
    fn who_waits_is_woken_and_who_looks_is_shown_it_first() {
        let mut sends = Sends::default();
        let ((_, waiter), (_, shower)) = (waker(), waker());
        let number = sends.begin();
        assert!(matches!(sends.ask(number, &waiter), (Asked::NotYet, None)));
        let seen = Arc::new(AtomicU32::new(0));
        let look = |by: u32| -> Look<Outcome<Ack>> {
            let seen = Arc::clone(&seen);
            Box::new(move |_| {
                seen.fetch_add(by, Ordering::Relaxed);
            })
        };
        assert!(sends.look(number, look(1), |_| shower.clone()).is_none(), "not there");
        assert!(sends.look(number, look(10), |_| unreachable!("one is enough")).is_none());
        let woken = sends.done(number, ack(7)).expect("somebody is concerned");
        assert!(woken.will_wake(&shower), "the waiter comes after");
        assert!(sends.take(number).is_none(), "it is to be shown");
        let (shown, waiting) = sends.show(number, 0);
        assert_eq!(position(shown.map(Shown::show)), Some(Position(7)));
        assert_eq!(seen.load(Ordering::Relaxed), 11);
        assert!(waiting.expect("it waits").will_wake(&waiter));
        assert!(matches!(sends.ask(number, &waiter), (Asked::Here(Outcome::Ok(_)), None)));
        assert!(sends.show(number, 0).0.is_none(), "another send's");
    }

    #[test]
    fn a_send_is_shown_though_nobody_waits_and_its_place_is_free_after_that() {
        for looks in [false, true] {
            let mut sends = Sends::default();
            let number = sends.begin();
            if looks {
                let (_, shower) = waker();
                assert!(sends.look(number, Box::new(|_| {}), |_| shower).is_none());
            }
            assert!(sends.forget(number).is_none());
            assert!(sends.free.is_empty(), "under way");
            let woken = sends.done(number, Outcome::Fail(squall_bus::Error::closed()));
            assert_eq!(woken.is_some(), looks);
            assert_eq!(sends.free.is_empty(), looks, "to be shown");
            if looks {
                assert!(sends.show(number, 0).0.is_some());
            }
            assert_eq!(sends.free, [number]);
        }
    }
}
