//! Shrinking: the fewest and shortest faults with which a seed still shows what it showed.
//!
//! What the body sends is the body's own and stays. Three steps, over [`crate::minimize`], until none of them changes
//! anything:
//!
//! 1. Faults are left out, as many as can be.
//! 2. Each that is left lasts as short as one of the round [times](LASTS) allows.
//! 3. Each strikes at a round time: a whole second, a tenth, a hundredth, the nearest first.
//!
//! A candidate is a run of the same seed with these faults instead of those that the seed draws; it is taken when it
//! shows the same finding. As no choice depends on another's fault, all other draws stay as they are. What was run and
//! showed it not is not run again. The number of runs is bounded, and nothing depends on how long they take.

use crate::minimize::{self, Budget};
use squall_bus::{Fault, Time};
use std::time::Duration;

/// The environment variable that turns shrinking off when it is `0`.
pub const SHRINK_VARIABLE: &str = "SQUALL_SHRINK";
/// How many runs shrinking may take, unless the storm says otherwise.
pub(super) const TRIES: u64 = 100;

const MILLI: u64 = 1_000_000;
/// How long a fault of a shrunk schedule lasts, in ms, if one of these is less than it was.
const LASTS: [u64; 12] = [1, 10, 100, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 20_000, 30_000, 60_000];
/// The grains of times, in ms, coarse first.
const GRAINS: [u64; 4] = [1_000, 100, 10, 1];

/// A smaller schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Smaller {
    pub(super) faults: Vec<Fault>,
    pub(super) tries: u64,
}

/// The smallest schedule that was found to show the same.
pub(super) fn shrink(faults: &[Fault], tries: u64, mut shows: impl FnMut(&Vec<Fault>) -> bool) -> Smaller {
    let (mut runs, mut rejected) = (0, Vec::new());
    let mut shows = |candidate: &Vec<Fault>| {
        if runs == tries || rejected.contains(candidate) {
            return false;
        }
        runs += 1;
        let shown = shows(candidate);
        if !shown {
            rejected.push(candidate.clone());
        }
        shown
    };
    let mut budget = Budget::unlimited();
    let mut faults = faults.to_vec();
    loop {
        let before = faults.clone();
        faults = minimize::list(faults, &mut budget, &mut shows);
        for candidates in [shorter, rounder] {
            faults = each(faults, candidates, &mut budget, &mut shows);
        }
        if faults == before {
            break;
        }
    }
    faults.sort_by_key(|fault| (fault.at, fault.id));
    Smaller { faults, tries: runs }
}

/// Every fault in turn as the first of its candidates that shows the same.
fn each(
    mut faults: Vec<Fault>,
    candidates: fn(&Fault) -> Vec<Fault>,
    budget: &mut Budget,
    shows: &mut impl FnMut(&Vec<Fault>) -> bool,
) -> Vec<Fault> {
    for place in 0..faults.len() {
        let with = |fault: Fault| {
            let mut changed = faults.clone();
            changed[place] = fault;
            changed
        };
        let candidates: Vec<Vec<Fault>> = candidates(&faults[place]).into_iter().map(with).collect();
        if let Some(found) = minimize::first(candidates, budget, shows) {
            faults = found;
        }
    }
    faults
}

/// The same fault for less long.
fn shorter(fault: &Fault) -> Vec<Fault> {
    let times = LASTS.map(Duration::from_millis).into_iter().take_while(|time| *time < fault.lasts);
    times.map(|lasts| Fault { lasts, ..fault.clone() }).collect()
}

/// The same fault at a rounder time.
fn rounder(fault: &Fault) -> Vec<Fault> {
    let mut times: Vec<u64> = Vec::new();
    for grain in GRAINS.map(|ms| ms * MILLI) {
        let down = fault.at.0 / grain * grain;
        let nearest =
            if fault.at.0 - down <= grain / 2 { [down, down + grain] } else { [down + grain, down] };
        for time in nearest {
            // From a round time on, no finer grain has a rounder one.
            if time == fault.at.0 {
                return times.into_iter().map(|at| Fault { at: Time(at), ..fault.clone() }).collect();
            }
            if !times.contains(&time) {
                times.push(time);
            }
        }
    }
    times.into_iter().map(|at| Fault { at: Time(at), ..fault.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use super::shrink;
    use squall_bus::{Fault, FaultKind, Role, Time};
    use std::time::Duration;

    fn fault(id: u32, at: u64, lasts: u64) -> Fault {
        let (kind, role) = (FaultKind::Kill, Role::Client(format!("service-{id}")));
        Fault { id, kind, role, at: Time(at), lasts: Duration::from_nanos(lasts) }
    }

    fn schedule() -> Vec<Fault> {
        (0..8).map(|id| fault(id, 1_234_567_891 * u64::from(id + 1), 3_456_789_012)).collect()
    }

    #[test]
    fn the_faults_that_matter_are_left_short_and_at_round_times() {
        let culprit = |fault: &Fault| fault.id == 5 && fault.at.0 > 7_200_000_000;
        let smaller = shrink(&schedule(), 1000, |faults| {
            let long = faults.iter().any(|fault| fault.id == 2 && fault.lasts >= Duration::from_millis(300));
            long && faults.iter().any(culprit)
        });
        let expected = [fault(2, 4_000_000_000, 500_000_000), fault(5, 8_000_000_000, 1_000_000)];
        assert_eq!(smaller.faults, expected);
        assert!(smaller.tries < 45, "{}", smaller.tries);
    }

    #[test]
    fn what_needs_no_fault_is_left_without() {
        let smaller = shrink(&schedule(), 1000, |_| true);
        assert_eq!((smaller.faults.len(), smaller.tries), (0, 1));
    }

    #[test]
    fn the_result_always_shows_it_and_the_runs_are_bounded() {
        for tries in 0..40 {
            let shows = |faults: &Vec<Fault>| {
                let there = |id| faults.iter().find(|fault| fault.id == id);
                matches!((there(1), there(6)), (Some(one), Some(other)) if one.at < other.at)
            };
            let mut runs = 0;
            let smaller = shrink(&schedule(), tries, |faults| {
                runs += 1;
                shows(faults)
            });
            assert!(shows(&smaller.faults), "{:?}", smaller.faults);
            assert!(runs == smaller.tries && runs <= tries, "{runs} of {tries}");
        }
    }
}
