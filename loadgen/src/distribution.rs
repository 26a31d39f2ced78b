//! The distribution of one span of time over many records: an HDR histogram with integer quantiles.
//!
//! Spans are kept in nanoseconds to a fixed number of significant digits. A quantile is the smallest recorded span
//! that at least that share of all samples does not exceed (nearest rank), found by counting: no
//! interpolation and no floats. Nothing is dropped: a span that would be negative is counted in
//! [`Distribution::backwards`], and records that never arrived stand behind all others in
//! [`Distribution::with_losses`].

use hdrhistogram::{Counter, Histogram};
use squall_bus::Time;
use std::{fmt, time::Duration};

/// A quantile in parts per million: `Quantile(990_000)` is p99.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantile(pub u32);

impl Quantile {
    /// The median.
    pub const P50: Self = Self(500_000);
    /// p95.
    pub const P95: Self = Self(950_000);
    /// p99.
    pub const P99: Self = Self(990_000);
    /// p99.9.
    pub const P999: Self = Self(999_000);
    /// The maximum.
    pub const MAX: Self = Self(1_000_000);

    /// The rank of this quantile among so many samples, from 1.
    fn rank(self, samples: u64) -> u64 {
        let rank = (u128::from(samples) * u128::from(self.0.min(Self::MAX.0))).div_ceil(1_000_000);
        u64::try_from(rank).unwrap_or(u64::MAX).max(1)
    }
}

/// `p99`, `p99.9`, `max`.
impl fmt::Display for Quantile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self >= Self::MAX {
            return f.write_str("max");
        }
        let fraction = format!("{:04}", self.0 % 10_000);
        match fraction.trim_end_matches('0') {
            "" => write!(f, "p{}", self.0 / 10_000),
            digits => write!(f, "p{}.{digits}", self.0 / 10_000),
        }
    }
}

/// What a quantile is when losses count as infinitely late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reading {
    /// This long.
    After(Duration),
    /// That share of the records never arrived.
    Never,
}

/// The usual quantiles of a distribution, as plain data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many samples.
    pub count: u64,
    /// The median.
    pub p50: Duration,
    /// p95.
    pub p95: Duration,
    /// p99.
    pub p99: Duration,
    /// p99.9.
    pub p999: Duration,
    /// The longest.
    pub max: Duration,
}

/// A distribution of spans.
#[derive(Clone)]
pub struct Distribution<C: Counter = u64> {
    spans: Histogram<C>,
    backwards: u64,
}

impl<C: Counter> Distribution<C> {
    /// An empty distribution that keeps so many significant digits, from 1 to 5.
    ///
    /// # Panics
    /// With any other number of digits: that is a bug of the caller, not of any input.
    #[must_use]
    pub fn new(digits: u8) -> Self {
        let spans = Histogram::new(digits).expect("between 1 and 5 significant digits");
        Self { spans, backwards: 0 }
    }

    /// Adds the span between two instants of one clock.
    pub fn record(&mut self, from: Time, to: Time) {
        if to < from {
            self.backwards += 1;
        } else {
            self.add(to.since(from));
        }
    }

    /// Adds a span.
    pub fn add(&mut self, span: Duration) {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        self.spans.record(nanos).expect("a histogram that resizes itself holds every u64");
    }

    /// Adds all samples of another distribution.
    pub fn merge(&mut self, other: &Self) {
        self.spans.add(&other.spans).expect("a histogram that resizes itself holds every other");
        self.backwards += other.backwards;
    }

    /// How many samples, without the backward ones.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.spans.len()
    }

    /// How many spans ended before they began: anomalies of a clock, which are in no quantile.
    #[must_use]
    pub fn backwards(&self) -> u64 {
        self.backwards
    }

    /// A quantile of the samples; `None` without samples.
    #[must_use]
    pub fn quantile(&self, quantile: Quantile) -> Option<Duration> {
        match self.with_losses(quantile, 0)? {
            Reading::After(span) => Some(span),
            Reading::Never => None,
        }
    }

    /// A quantile of the samples and of `lost` records that never arrived; `None` without either.
    #[must_use]
    pub fn with_losses(&self, quantile: Quantile, lost: u64) -> Option<Reading> {
        let all = self.count().saturating_add(lost);
        if all == 0 {
            return None;
        }
        let rank = quantile.rank(all);
        let mut seen = 0;
        for step in self.spans.iter_recorded() {
            seen += step.count_since_last_iteration();
            if seen >= rank {
                let nanos = step.value_iterated_to().min(self.spans.max());
                return Some(Reading::After(Duration::from_nanos(nanos)));
            }
        }
        Some(Reading::Never)
    }

    /// The usual quantiles; all zero without samples.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let at = |quantile| self.quantile(quantile).unwrap_or_default();
        Summary {
            count: self.count(),
            p50: at(Quantile::P50),
            p95: at(Quantile::P95),
            p99: at(Quantile::P99),
            p999: at(Quantile::P999),
            max: at(Quantile::MAX),
        }
    }
}

impl<C: Counter> fmt::Debug for Distribution<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.summary(), f)
    }
}

impl<C: Counter> PartialEq for Distribution<C> {
    fn eq(&self, other: &Self) -> bool {
        self.spans == other.spans && self.backwards == other.backwards
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of_millis(millis: impl IntoIterator<Item = u64>) -> Distribution {
        let mut distribution = Distribution::new(3);
        millis.into_iter().for_each(|ms| distribution.add(Duration::from_millis(ms)));
        distribution
    }

    fn near(span: Option<Duration>, ms: u64) -> bool {
        span.is_some_and(|span| {
            span.as_nanos().abs_diff(u128::from(ms) * 1_000_000) <= u128::from(ms) * 1_000
        })
    }

    #[test]
    fn quantiles_are_nearest_ranks() {
        let hundred = of_millis(1..=100);
        for (quantile, ms) in
            [(Quantile::P50, 50), (Quantile::P95, 95), (Quantile::P99, 99), (Quantile::MAX, 100)]
        {
            assert!(near(hundred.quantile(quantile), ms), "{quantile}: {:?}", hundred.quantile(quantile));
        }
        assert!(near(hundred.quantile(Quantile(0)), 1));
    }

    #[test]
    fn an_empty_distribution_has_no_quantile() {
        assert_eq!(of_millis([]).quantile(Quantile::P50), None);
        assert_eq!(of_millis([]).summary(), Summary::default());
        assert_eq!(of_millis([]).with_losses(Quantile::P50, 1), Some(Reading::Never));
    }

    #[test]
    fn losses_are_later_than_everything() {
        let nine = of_millis(1..=9);
        assert!(near(nine.quantile(Quantile::P95), 9));
        assert_eq!(nine.with_losses(Quantile::P95, 1), Some(Reading::Never));
        assert!(matches!(nine.with_losses(Quantile(900_000), 1), Some(Reading::After(_))));
    }

    #[test]
    fn a_clock_that_runs_backwards_is_counted_and_not_recorded() {
        let mut distribution = of_millis([5]);
        distribution.record(Time(10), Time(9));
        distribution.record(Time(10), Time(10));
        assert_eq!((distribution.backwards(), distribution.count()), (1, 2));
    }

    #[test]
    fn names_its_quantiles() {
        let names = [Quantile::P50, Quantile::P999, Quantile(999_990), Quantile(10_100), Quantile::MAX];
        assert_eq!(names.map(|q| q.to_string()), ["p50", "p99.9", "p99.999", "p1.01", "max"]);
    }

    proptest! {
        #[test]
        fn a_merge_is_recording_everything_in_one(
            a in prop::collection::vec(0u64..100_000, 0..50),
            b in prop::collection::vec(0u64..100_000, 0..50),
        ) {
            let mut merged = of_millis(a.iter().copied());
            merged.merge(&of_millis(b.iter().copied()));
            prop_assert_eq!(merged, of_millis(a.into_iter().chain(b)));
        }
    }
}
