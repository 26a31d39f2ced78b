//! Arrival schedules: when each record is meant to be sent, in time since the schedule's start.
//!
//! Arrivals are first placed in **operational time**, in which one arrival is due per unit (at 0, 1, 2, ... for
//! a constant schedule; after exponential gaps of mean 1 for a Poisson one) and then mapped to real time by the
//! rate. The division comes last and is exact, so no error builds up: the millionth arrival of 3/s is at
//! 333,333.333333333 s.
//!
//! A schedule is a function of the rate, how long it lasts, and the seed's draws by ordinal: `Fn(u64) -> u64`,
//! 64 uniform bits for each arrival. It needs no clock and can be listed before the run.

use crate::exponential::{FRACTION_BITS, exponential};
use std::{fmt, time::Duration};

/// So many arrivals in such a time. Exact: `1/3s` is not rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// Arrivals.
    pub arrivals: u64,
    /// In this time.
    pub per: Duration,
}

impl Rate {
    /// So many arrivals a second.
    #[must_use]
    pub const fn per_second(arrivals: u64) -> Self {
        Self { arrivals, per: Duration::from_secs(1) }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.per == Duration::from_secs(1) {
            write!(f, "{}/s", self.arrivals)
        } else {
            write!(f, "{}/{:?}", self.arrivals, self.per)
        }
    }
}

/// How arrivals are spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Arrivals {
    /// At equal distances.
    #[default]
    Constant,
    /// Independent of each other, as from many users: exponential gaps.
    Poisson,
}

/// One intended send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Arrival {
    /// Its number in the schedule, from 0.
    pub ordinal: u64,
    /// When, since the schedule's start.
    pub at: Duration,
}

/// A schedule of arrivals: plain data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    arrivals: Arrivals,
    rate: Rate,
    lasts: Duration,
    share: u64,
    shares: u64,
}

impl Schedule {
    /// Arrivals at this rate for this long. A rate of zero arrivals, or one in no time, has none.
    #[must_use]
    pub fn new(arrivals: Arrivals, rate: Rate, lasts: Duration) -> Self {
        Self { arrivals, rate, lasts, share: 0, shares: 1 }
    }

    /// The part of one of `shares` senders, from 0. Together the shares offer the whole rate: those of a
    /// constant schedule interleave to exactly that schedule, and Poisson schedules add up to a Poisson one
    /// (each share needs draws of its own).
    ///
    /// # Panics
    /// When there is no such share: that is a bug of the caller, not of any input.
    #[must_use]
    pub fn share(self, share: u64, shares: u64) -> Self {
        assert!(share < shares, "share {share} of {shares} does not exist");
        Self { share, shares, ..self }
    }

    /// The intended send times in order, drawn by ordinal.
    pub fn times<D: Fn(u64) -> u64>(self, draws: D) -> Times<D> {
        Times { schedule: self, draws, ordinal: 0, exponentials: 0 }
    }

    /// Operational time to real time: `units / rate`, where `units` has this many fraction bits. `None` past
    /// the end, or without a rate.
    fn at(&self, units: u128, fraction_bits: u32) -> Option<Duration> {
        let per = self.rate.per.as_nanos();
        let divisor = u128::from(self.rate.arrivals) << fraction_bits;
        if divisor == 0 || per == 0 {
            return None;
        }
        let nanos = units.checked_mul(per)? / divisor;
        (nanos < self.lasts.as_nanos())
            .then(|| Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }
}

/// The iterator of a schedule's arrivals.
#[derive(Clone, Debug)]
pub struct Times<D> {
    schedule: Schedule,
    draws: D,
    ordinal: u64,
    exponentials: u128,
}

impl<D: Fn(u64) -> u64> Iterator for Times<D> {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        let ordinal = self.ordinal;
        let Schedule { share, shares, .. } = self.schedule;
        let at = match self.schedule.arrivals {
            Arrivals::Constant => {
                self.schedule.at(u128::from(ordinal) * u128::from(shares) + u128::from(share), 0)
            }
            Arrivals::Poisson => {
                self.exponentials += u128::from(exponential((self.draws)(ordinal)));
                self.schedule.at(self.exponentials * u128::from(shares), FRACTION_BITS)
            }
        }?;
        self.ordinal += 1;
        Some(Arrival { ordinal, at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// splitmix64: good enough draws for a test.
    fn draw(seed: u64) -> impl Fn(u64) -> u64 + Clone {
        move |ordinal| {
            let mut z = seed.wrapping_add((ordinal + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        }
    }

    fn constant(rate: Rate, lasts: Duration) -> Vec<Duration> {
        Schedule::new(Arrivals::Constant, rate, lasts).times(|_| 0).map(|arrival| arrival.at).collect()
    }

    #[test]
    fn constant_arrivals_do_not_drift() {
        let times = constant(Rate::per_second(3), Duration::from_secs(1_000));
        assert_eq!(times.len(), 3_000);
        assert_eq!(times[1], Duration::from_nanos(333_333_333));
        assert_eq!(times[2_999], Duration::from_nanos(999_666_666_666));
        assert_eq!(times[2_997], Duration::from_secs(999));
    }

    #[test]
    fn slow_rates_are_exact() {
        let rate = Rate { arrivals: 1, per: Duration::from_secs(3) };
        assert_eq!(constant(rate, Duration::from_secs(7)), [0, 3, 6].map(Duration::from_secs));
    }

    #[test]
    fn without_a_rate_nothing_arrives() {
        assert!(constant(Rate::per_second(0), Duration::from_secs(1)).is_empty());
        assert!(constant(Rate { arrivals: 5, per: Duration::ZERO }, Duration::from_secs(1)).is_empty());
        assert!(constant(Rate::per_second(5), Duration::ZERO).is_empty());
    }

    #[test]
    fn constant_shares_interleave_to_the_whole() {
        let whole = Schedule::new(Arrivals::Constant, Rate::per_second(70), Duration::from_secs(2));
        let mut parts: Vec<_> =
            (0..4).flat_map(|share| whole.share(share, 4).times(|_| 0)).map(|arrival| arrival.at).collect();
        parts.sort();
        assert_eq!(parts, whole.times(|_| 0).map(|arrival| arrival.at).collect::<Vec<_>>());
    }

    /// 100,000 gaps: the mean within 1 % (its standard error is 0.32 %), the share beyond the mean 1/e, beyond
    /// three means 1/e^3. A constant schedule fails the last two.
    #[test]
    fn poisson_gaps_are_exponential() {
        let schedule = Schedule::new(Arrivals::Poisson, Rate::per_second(1_000), Duration::from_secs(100));
        let times: Vec<_> = schedule.times(draw(7)).map(|arrival| arrival.at).collect();
        assert!(times.len().abs_diff(100_000) < 1_000, "{} arrivals", times.len());
        let beyond = |span| times.windows(2).filter(|pair| pair[1] - pair[0] > span).count();
        assert!(beyond(Duration::from_millis(1)).abs_diff(36_788) < 800);
        assert!(beyond(Duration::from_millis(3)).abs_diff(4_979) < 300);
    }

    #[test]
    fn poisson_shares_add_up_and_differ() {
        let whole = Schedule::new(Arrivals::Poisson, Rate::per_second(1_000), Duration::from_secs(20));
        let parts: Vec<Vec<_>> =
            (0..4).map(|share| whole.share(share, 4).times(draw(share)).collect()).collect();
        assert!(parts.iter().map(Vec::len).sum::<usize>().abs_diff(20_000) < 600);
        assert_ne!(parts[0], parts[1]);
    }

    proptest! {
        #[test]
        fn times_rise_and_end_in_time(seed: u64, rate in 1u64..5_000, ms in 1u64..3_000, poisson: bool) {
            let arrivals = if poisson { Arrivals::Poisson } else { Arrivals::Constant };
            let lasts = Duration::from_millis(ms);
            let all: Vec<_> = Schedule::new(arrivals, Rate::per_second(rate), lasts).times(draw(seed)).collect();
            prop_assert!(all.windows(2).all(|pair| pair[0].at <= pair[1].at));
            prop_assert!(all.iter().all(|arrival| arrival.at < lasts));
            prop_assert!(all.iter().enumerate().all(|(i, arrival)| arrival.ordinal == i as u64));
        }
    }
}
