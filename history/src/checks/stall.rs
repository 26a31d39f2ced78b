//! How long somebody stood still with work to do, while nothing was broken.
//!
//! The window goes from when everything was healed (or from the beginning, if nothing was ever broken) to the end
//! that the caller names. A stall begins when there is work, or with the last progress, and ends with the next
//! progress or when the work is gone. Only the part in the window counts; the longest stall is kept.

use crate::{
    analysis::Analysis,
    history::{Observation, Phase},
};
use squall_bus::Time;
use std::time::Duration;

/// The longest stall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stall {
    pub(super) lasts: Duration,
    /// The event with which it began.
    pub(super) began: u32,
    /// The event that ended it; `None` if none did.
    pub(super) ended: Option<u32>,
}

/// When everything was healed; `None` if something may have been broken to the end.
pub(super) fn healed(analysis: &Analysis<'_>) -> Option<Time> {
    let history = analysis.history;
    let mut phases = history.notes().iter().rev();
    let healed = phases.find(|(_, note)| *note == Observation::Phase(Phase::Healed));
    match healed {
        Some((event, _)) => Some(history.time(*event)),
        None if analysis.facts.faults == 0 => Some(Time(0)),
        None => None,
    }
}

/// When the consumers had done, or could do no more: they had caught up, or the final drain began.
pub(super) fn consumers_end(analysis: &Analysis<'_>) -> Time {
    let history = analysis.history;
    let over = |note: &Observation| {
        matches!(note, Observation::Phase(Phase::CaughtUp | Phase::Drained) | Observation::Drain(_))
    };
    let note = history.notes().iter().find(|(_, note)| over(note)).map(|(event, _)| *event);
    let read = history.delivers().iter().find(|read| read.drained()).map(|read| read.event);
    note.into_iter().chain(read).min().map_or(history.end(), |event| history.time(event))
}

/// Watches one client, or one group in one unit.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    from: Time,
    until: Time,
    work: u64,
    since: Option<(Time, u32)>,
    worst: Option<Stall>,
}

impl Meter {
    pub(super) const fn new(from: Time, until: Time) -> Self {
        Self { from, until, work: 0, since: None, worst: None }
    }

    /// There is more to do.
    pub(super) fn add(&mut self, time: Time, event: u32) {
        self.work += 1;
        self.since.get_or_insert((time, event));
    }

    /// Some of it is done (`progress`), or gone.
    pub(super) fn remove(&mut self, time: Time, event: u32, progress: bool) {
        self.work = self.work.saturating_sub(1);
        if progress || self.work == 0 {
            self.close(time, Some(event));
            self.since = (self.work > 0).then_some((time, event));
        }
    }

    /// All of it is gone.
    pub(super) fn reset(&mut self, time: Time, event: u32) {
        self.work = 0;
        self.close(time, Some(event));
        self.since = None;
    }

    fn close(&mut self, time: Time, ended: Option<u32>) {
        let Some((since, began)) = self.since else { return };
        let lasts = time.min(self.until).since(since.max(self.from).min(self.until));
        if self.worst.is_none_or(|worst| worst.lasts < lasts) {
            self.worst = Some(Stall { lasts, began, ended });
        }
    }

    /// The longest stall of the whole run.
    pub(super) fn finish(mut self) -> Option<Stall> {
        let until = self.until;
        self.close(until, None);
        self.worst
    }
}

#[cfg(test)]
mod tests {
    use super::Meter;
    use squall_bus::Time;
    use std::time::Duration;

    fn longest(steps: &[(u64, i8)]) -> Option<(u64, u32, Option<u32>)> {
        let mut meter = Meter::new(Time(10), Time(100));
        for ((time, what), event) in steps.iter().zip(0u32..) {
            match what {
                1 => meter.add(Time(*time), event),
                -1 => meter.remove(Time(*time), event, true),
                0 => meter.remove(Time(*time), event, false),
                _ => meter.reset(Time(*time), event),
            }
        }
        meter.finish().map(|stall| (stall.lasts.as_nanos() as u64, stall.began, stall.ended))
    }

    #[test]
    fn counts_only_while_there_is_work_and_inside_the_window() {
        assert_eq!(longest(&[]), None);
        // Work from 0 on, done at 30: 20 of that in the window; then idle.
        assert_eq!(longest(&[(0, 1), (30, -1)]), Some((20, 0, Some(1))));
        // Work to the end.
        assert_eq!(longest(&[(60, 1)]), Some((40, 0, None)));
        assert_eq!(longest(&[(120, 1)]).map(|stall| stall.0), Some(0));
        // Progress begins the count anew; a failure does not.
        assert_eq!(
            longest(&[(20, 1), (20, 1), (20, 1), (40, -1), (70, 0), (90, -1)]),
            Some((50, 3, Some(5)))
        );
        // A crash takes the work away.
        assert_eq!(longest(&[(20, 1), (20, 1), (25, 7), (99, 1)]), Some((5, 0, Some(2))));
        assert_eq!(Duration::from_nanos(1), Time(2).since(Time(1)));
    }
}
