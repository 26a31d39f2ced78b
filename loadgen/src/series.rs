//! Throughput and latency over time, in slices of equal width.
//!
//! Each event counts where it happened: an offered record at its intended time, an ack when it came, a delivery
//! when it was handed over. A latency stands at the **intended** time of its record, so that a chart shows a stall
//! where it hurt: a saw tooth that begins at full height with the stall.
//!
//! Memory is bounded: when a run outgrows 512 slices, neighbours are merged and the width doubles.

use crate::Distribution;
use squall_bus::Time;
use std::time::Duration;

/// So many slices at most.
pub(crate) const MOST: usize = 512;

/// Two significant digits are finer than a chart can show.
const DIGITS: u8 = 2;

/// What happened in one slice of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    /// Arrivals that fell due in it.
    pub offered: u64,
    /// Records handed to a client in it.
    pub sent: u64,
    /// Acks that came in it.
    pub acked: u64,
    /// Sends that ended in it without an ack: failed or unknown.
    pub unacked: u64,
    /// Deliveries in it, redeliveries included.
    pub delivered: u64,
    /// Intended send to outcome, of the records that were due in it.
    pub publish: Distribution<u32>,
    /// Intended send to first delivery, of the records that were due in it.
    pub end_to_end: Distribution<u32>,
}

impl Slice {
    fn empty() -> Self {
        Self {
            offered: 0,
            sent: 0,
            acked: 0,
            unacked: 0,
            delivered: 0,
            publish: Distribution::new(DIGITS),
            end_to_end: Distribution::new(DIGITS),
        }
    }

    fn merge(&mut self, other: &Self) {
        self.offered += other.offered;
        self.sent += other.sent;
        self.acked += other.acked;
        self.unacked += other.unacked;
        self.delivered += other.delivered;
        self.publish.merge(&other.publish);
        self.end_to_end.merge(&other.end_to_end);
    }
}

/// Slices from an origin on; what happened before it counts in the first one.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    origin: Time,
    width: Duration,
    slices: Vec<Slice>,
}

impl Series {
    /// An empty series whose first slice begins at `origin`. A width below one millisecond becomes one.
    #[must_use]
    pub fn new(origin: Time, width: Duration) -> Self {
        Self { origin, width: width.max(Duration::from_millis(1)), slices: Vec::new() }
    }

    /// Where the first slice begins.
    #[must_use]
    pub fn origin(&self) -> Time {
        self.origin
    }

    /// The width of a slice now; it doubles as the run grows.
    #[must_use]
    pub fn width(&self) -> Duration {
        self.width
    }

    /// The slices with their beginnings, without gaps.
    pub fn slices(&self) -> impl ExactSizeIterator<Item = (Time, &Slice)> + '_ {
        self.slices.iter().enumerate().map(|(index, slice)| {
            (self.origin + self.width * u32::try_from(index).expect("at most MOST slices"), slice)
        })
    }

    /// Everything in the slices that begin in this time.
    #[must_use]
    pub fn during(&self, from: Time, to: Time) -> Slice {
        let mut all = Slice::empty();
        self.slices().filter(|(begin, _)| (from..to).contains(begin)).for_each(|(_, slice)| all.merge(slice));
        all
    }

    /// The slice that this instant falls in.
    pub(crate) fn at(&mut self, time: Time) -> &mut Slice {
        let since = time.since(self.origin).as_nanos();
        let mut index = since / self.width.as_nanos();
        while index >= MOST as u128 {
            self.double();
            index = since / self.width.as_nanos();
        }
        let index = usize::try_from(index).expect("below MOST");
        if index >= self.slices.len() {
            self.slices.resize_with(index + 1, Slice::empty);
        }
        &mut self.slices[index]
    }

    /// Adds another series of the same origin; the wider slices win.
    ///
    /// # Panics
    /// When the origins differ, or the widths are not one another's doubles: all series of a run begin alike.
    pub fn merge(&mut self, mut other: Self) {
        assert_eq!(self.origin, other.origin, "series of one run have one origin");
        while self.width < other.width {
            self.double();
        }
        while other.width < self.width {
            other.double();
        }
        assert_eq!(self.width, other.width, "series of one run began with one width");
        if self.slices.len() < other.slices.len() {
            self.slices.resize_with(other.slices.len(), Slice::empty);
        }
        for (slice, more) in self.slices.iter_mut().zip(&other.slices) {
            slice.merge(more);
        }
    }

    fn double(&mut self) {
        self.width *= 2;
        let mut halves = std::mem::take(&mut self.slices).into_iter();
        while let Some(mut first) = halves.next() {
            if let Some(second) = halves.next() {
                first.merge(&second);
            }
            self.slices.push(first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(times: impl IntoIterator<Item = u64>) -> Series {
        let mut series = Series::new(Time::from_millis(100), Duration::from_millis(10));
        times.into_iter().for_each(|ms| series.at(Time::from_millis(ms)).offered += 1);
        series
    }

    fn offered(series: &Series) -> Vec<(u64, u64)> {
        series.slices().map(|(time, slice)| (time.as_millis(), slice.offered)).collect()
    }

    #[test]
    fn slices_have_no_gaps_and_what_is_early_counts_first() {
        assert_eq!(offered(&with([0, 100, 109, 110, 135])), [(100, 3), (110, 1), (120, 0), (130, 1)]);
    }

    #[test]
    fn a_long_run_gets_wider_slices_and_loses_nothing() {
        let series = with((0..20_000).map(|i| 100 + i));
        assert_eq!(series.width(), Duration::from_millis(40));
        assert_eq!(series.slices().len(), 500);
        assert!(series.slices().all(|(_, slice)| slice.offered == 40));
    }

    #[test]
    fn series_of_different_widths_merge() {
        let mut short = with([100, 115]);
        let long = with((0..10_000).map(|i| 100 + i));
        let mut other_way = long.clone();
        other_way.merge(short.clone());
        short.merge(long);
        assert_eq!(short, other_way);
        assert_eq!(offered(&short)[..2], [(100, 22), (120, 20)]);
    }
}
