//! The moment from which on nothing is broken any more, and what must have come true a while after it.
//!
//! An invariant that no change concerns ([`Invariant::kinds`]) says at that moment when it wants to be asked
//! ([`Invariant::healed`]), and is asked before the first event behind that time ([`Invariant::due`]). Nothing of this
//! is an event: a run with and one without it have the same hash, and a run that ends before anything is due never asks.
//!
//! [`Invariant::kinds`]: crate::kernel::Invariant::kinds
//! [`Invariant::healed`]: crate::kernel::Invariant::healed
//! [`Invariant::due`]: crate::kernel::Invariant::due

use super::World;
use crate::kernel::{Invariant, Model, Violation};
use squall_bus::Time;

/// Who is to be asked, and when.
pub(super) struct Dues<M: Model> {
    /// Everything that need come true only in the end.
    pub(super) hopes: Vec<Box<dyn Invariant<M>>>,
    /// When which of them is asked, by place.
    at: Vec<(Time, usize)>,
    /// The soonest of these times.
    pub(super) next: Time,
}

impl<M: Model> Default for Dues<M> {
    fn default() -> Self {
        Self { hopes: Vec::new(), at: Vec::new(), next: Time::MAX }
    }
}

impl<M: Model> Dues<M> {
    fn replace(&mut self, at: Vec<(Time, usize)>) {
        self.next = at.iter().map(|(at, _)| *at).min().unwrap_or(Time::MAX);
        self.at = at;
    }
}

impl<M: Model> World<M> {
    /// The harness has healed everything that it broke: what must come true after that is asked for in time.
    pub fn healed(&mut self) {
        let (model, now) = (&self.model, self.kernel.now);
        let hopes = self.dues.hopes.iter_mut().enumerate();
        let dues = hopes.filter_map(|(place, hope)| Some((hope.healed(model, now)?, place))).collect();
        self.dues.replace(dues);
    }

    /// The harness has broken something: nothing need come true until it is healed.
    pub fn broken(&mut self) {
        self.dues.replace(Vec::new());
    }

    /// Asks what is due until `upto`, in the state that the events before that left.
    #[cold]
    pub(super) fn ask_dues(&mut self, upto: Time) {
        let mut later = Vec::new();
        for (mut at, place) in std::mem::take(&mut self.dues.at) {
            let hope = &mut self.dues.hopes[place];
            while at <= upto && self.violation.is_none() {
                match hope.due(&self.model, at) {
                    Ok(Some(next)) => at = next,
                    Ok(None) => at = Time::MAX,
                    Err(what) => {
                        let (invariant, source) = (hope.name(), hope.source());
                        self.violation = Some(Violation { invariant, source, at, what });
                    }
                }
            }
            if at > upto && at < Time::MAX {
                later.push((at, place));
            }
        }
        self.dues.replace(later);
    }
}
