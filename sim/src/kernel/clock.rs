//! A node's clock: an offset and a drift over the kernel's true time.
//!
//! The monotonic reading drifts but never jumps; the wall reading also carries the offset. Timers run on the
//! monotonic clock, as operating systems run them.

use squall_bus::Time;
use std::time::Duration;

/// Offset and drift of one node's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NodeClock {
    /// What the wall clock shows beyond the monotonic one, in ns; may be negative.
    pub offset_ns: i64,
    /// How much faster the clock runs than true time, in parts per billion; may be negative.
    pub drift_ppb: i32,
    /// True time and reading when the drift last changed, so that a change never makes the clock jump.
    anchor: (u64, u64),
}

const BILLION: i128 = 1_000_000_000;

impl NodeClock {
    /// Whether its monotonic reading is and always was true time.
    #[must_use]
    pub(super) fn is_true(&self) -> bool {
        self.drift_ppb == 0 && self.anchor == (0, 0)
    }

    /// The monotonic reading at true time `now`.
    #[must_use]
    pub fn monotonic(&self, now: Time) -> Time {
        if self.is_true() {
            return now;
        }
        let since = i128::from(now.0) - i128::from(self.anchor.0);
        let shown = since + since * i128::from(self.drift_ppb) / BILLION;
        Time((i128::from(self.anchor.1) + shown).clamp(0, i128::from(u64::MAX)) as u64)
    }

    /// The wall reading at true time `now`; never before the epoch of the run.
    #[must_use]
    pub fn wall(&self, now: Time) -> Time {
        Time(self.monotonic(now).0.saturating_add_signed(self.offset_ns))
    }

    /// The span of true time in which this clock advances by `span`.
    #[must_use]
    pub fn true_span(&self, span: Duration) -> Duration {
        if self.drift_ppb == 0 {
            return span;
        }
        let rate = (BILLION + i128::from(self.drift_ppb)).max(1);
        let ns = (span.as_nanos() as i128 * BILLION + rate - 1) / rate;
        Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
    }

    /// Changes the drift from true time `now` on.
    pub fn set_drift(&mut self, now: Time, drift_ppb: i32) {
        self.anchor = (now.0, self.monotonic(now).0);
        self.drift_ppb = drift_ppb;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_and_offset_show_where_they_should() {
        let mut clock = NodeClock::default();
        clock.set_drift(Time::ZERO, 100_000);
        clock.offset_ns = -500;
        let now = Time(10_000_000_000);
        assert_eq!(clock.monotonic(now), Time(10_001_000_000));
        assert_eq!(clock.wall(now), Time(10_000_999_500));
    }

    #[test]
    fn a_timer_ends_when_the_nodes_own_clock_says_so() {
        let mut clock = NodeClock::default();
        clock.set_drift(Time::ZERO, -200_000_000);
        let end = Time::ZERO + clock.true_span(Duration::from_secs(4));
        assert_eq!(end, Time(5_000_000_000));
        assert_eq!(clock.monotonic(end), Time(4_000_000_000));
    }

    #[test]
    fn a_change_of_drift_makes_no_jump() {
        let mut clock = NodeClock::default();
        clock.set_drift(Time::ZERO, 500_000_000);
        let now = Time(2_000_000_000);
        let before = clock.monotonic(now);
        clock.set_drift(now, -500_000_000);
        assert_eq!(clock.monotonic(now), before);
        assert_eq!(clock.monotonic(Time(4_000_000_000)), Time(before.0 + 1_000_000_000));
    }
}
