//! The determinism guard: two runs of one plan in two processes must leave the same [`Footprint`]. When they do not, the
//! first event that differs is told, and what is likely to be the cause.
//!
//! 1. The footprint of a run in this process is compared with that of a run in a fresh one, and with that of a second
//!    run in this one. All equal: done.
//! 2. A second fresh process shows what kind of difference it is: whether fresh processes agree with each other, and
//!    whether this process agrees with itself.
//! 3. Runs that record the events behind the last common checkpoint find the first event that differs: one here and
//!    one fresh if fresh processes agree, else two fresh ones. A cause that strikes elsewhere each time is followed
//!    from checkpoint to checkpoint a few times.
//! 4. [`Evidence`] from all of that names the suspects.

mod footprint;
mod suspects;

pub use footprint::{Footprint, NoFootprint, Step};
pub use suspects::{Evidence, Shape, Suspect};

use crate::kernel::CHECKPOINT;
use std::{cell::RefCell, fmt, iter};

/// So many pairs of runs are recorded to find the first event that differs.
const ROUNDS: u32 = 4;

/// A run of the plan that records the events behind this checkpoint, if any.
pub type Again<'a, E> = &'a mut dyn FnMut(Option<u64>) -> Result<Footprint, E>;

/// Where two runs part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The event of the run in this process, or of the first fresh one; `None` if it had ended.
    pub one: Option<Step>,
    /// The event of the fresh run that it is compared with; `None` if it had ended.
    pub other: Option<Step>,
}

/// Two runs of one plan went two ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parted {
    /// The first event that differs; `None` if the recorded runs parted elsewhere each time.
    pub difference: Option<Difference>,
    /// The events before this one, counted from 0, are equal in all runs.
    pub equal_events: u64,
    /// What is known about the cause.
    pub evidence: Evidence,
}

/// Compares a run with one in a fresh process and with a second one in this process. `None` if they are equal.
///
/// # Errors
/// Those of the runs.
pub fn examine<E>(first: &Footprint, here: Again<'_, E>, fresh: Again<'_, E>) -> Result<Option<Parted>, E> {
    let (one, again) = (fresh(None)?, here(None)?);
    let Some(checkpoint) = first.parts_from(&one).or_else(|| first.parts_from(&again)) else {
        return Ok(None);
    };
    let two = fresh(None)?;
    let fresh_agree = one.parts_from(&two).is_none();
    let mut evidence = Evidence {
        pinned: first.ambient.pinned,
        threads: first.ambient.threads.max(one.ambient.threads),
        fresh_agree,
        here_repeats: first.parts_from(&again).is_none(),
        shape: None,
    };
    let from = if fresh_agree { checkpoint } else { one.parts_from(&two).unwrap_or(checkpoint) };
    let difference = if fresh_agree { find(from, here, fresh)? } else { find_among(from, fresh)? };
    evidence.shape = difference.as_ref().map(|(_, shape)| *shape);
    let difference = difference.map(|(difference, _)| difference);
    let index = difference.as_ref().and_then(Difference::index);
    let equal_events = index.unwrap_or(checkpoint * CHECKPOINT);
    Ok(Some(Parted { difference, equal_events, evidence }))
}

/// The first event that differs between this process and a fresh one.
fn find<E>(mut from: u64, here: Again<'_, E>, fresh: Again<'_, E>) -> Result<Option<(Difference, Shape)>, E> {
    for _ in 0..ROUNDS {
        let (one, other) = (here(Some(from))?, fresh(Some(from))?);
        match (one.parts_from(&other), compare(&one, &other)) {
            (Some(checkpoint), Some(found)) if checkpoint == from => return Ok(Some(found)),
            (Some(checkpoint), _) => from = checkpoint,
            (None, _) => {}
        }
    }
    Ok(None)
}

/// The first event that differs between two fresh processes.
fn find_among<E>(from: u64, fresh: Again<'_, E>) -> Result<Option<(Difference, Shape)>, E> {
    // One closure stands for both sides; each call is a process of its own.
    let fresh = RefCell::new(fresh);
    find(from, &mut |at| (fresh.borrow_mut())(at), &mut |at| (fresh.borrow_mut())(at))
}

fn compare(one: &Footprint, other: &Footprint) -> Option<(Difference, Shape)> {
    let (a, b) = (&one.steps, &other.steps);
    let shared = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    if shared == a.len() && shared == b.len() {
        return None;
    }
    let difference = Difference { one: a.get(shared).cloned(), other: b.get(shared).cloned() };
    Some((difference, Shape::of(&a[shared..], &b[shared..])))
}

impl Difference {
    fn index(&self) -> Option<u64> {
        self.one.as_ref().or(self.other.as_ref()).map(|step| step.index)
    }
}

impl fmt::Display for Parted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sides = if self.evidence.fresh_agree {
            ["in this process", "in a fresh process"]
        } else {
            ["in a fresh process", "in another"]
        };
        writeln!(f, "two runs of this seed part after {} equal events", self.equal_events)?;
        if let Some(difference) = &self.difference {
            for (side, step) in sides.iter().zip([&difference.one, &difference.other]) {
                match step {
                    Some(step) => writeln!(f, "  {side}: {step}")?,
                    None => writeln!(f, "  {side}: the run is over")?,
                }
            }
        }
        let suspects = self.evidence.suspects();
        let words = iter::once("likely cause").chain(iter::repeat("or else"));
        for (word, suspect) in words.zip(&suspects) {
            writeln!(f, "  {word}: {suspect}")?;
        }
        write!(f, "  {}", self.evidence.remedy())
    }
}

#[cfg(test)]
mod tests;
