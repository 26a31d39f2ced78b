//! The generator's own health: reasons to distrust what it measured, each with a remedy.
//!
//! A generator that cannot keep its schedule measures itself. It says so, in a sentence, and says what to
//! do; whoever judges must not pass a verdict on latency while [`Warning::distorts`] holds for any of them.

use crate::{Quantile, Recorder};
use std::{fmt, time::Duration};

/// When to warn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The least share of the offered load that must be sent, in parts per million.
    pub achieved_ppm: u32,
    /// The most that p99 of a lag may be: a tenth of the tightest bound on latency is a good choice.
    pub lag: Duration,
}

impl Default for Limits {
    /// 99 % sent, and 10 ms of lag.
    fn default() -> Self {
        Self { achieved_ppm: 990_000, lag: Duration::from_millis(10) }
    }
}

/// A reason to distrust the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The pacer itself woke too late.
    Overslept {
        /// p99 of how much.
        p99: Duration,
        /// How much it may be.
        limit: Duration,
    },
    /// The pacer was in time, but clients took records late: back-pressure.
    BackPressure {
        /// p99 of how late.
        p99: Duration,
        /// How late it may be.
        limit: Duration,
    },
    /// Less was sent than offered.
    NotAchieved {
        /// How much was offered.
        offered: u64,
        /// How much was sent.
        sent: u64,
    },
    /// Spans ended before they began.
    ClockAnomalies {
        /// How many.
        count: u64,
    },
}

impl Warning {
    /// What is wrong with this run's numbers, the worst first.
    #[must_use]
    pub fn of(run: &Recorder, limits: &Limits) -> Vec<Self> {
        let p99 =
            |distribution: &crate::Distribution| distribution.quantile(Quantile::P99).unwrap_or_default();
        let (overslept, lag, limit) = (p99(&run.overslept), p99(&run.lag), limits.lag);
        let ledger = &run.ledger;
        let count = run.clock_anomalies();
        [
            (count > 0).then_some(Self::ClockAnomalies { count }),
            (overslept > limit).then_some(Self::Overslept { p99: overslept, limit }),
            (ledger.achieved_ppm() < limits.achieved_ppm)
                .then_some(Self::NotAchieved { offered: ledger.offered, sent: ledger.sent }),
            (overslept <= limit && lag > limit).then_some(Self::BackPressure { p99: lag, limit }),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Whether the generator itself distorted the numbers. Back-pressure does not: latency counts from the
    /// intended send, so the wait is in it.
    #[must_use]
    pub fn distorts(&self) -> bool {
        !matches!(self, Self::BackPressure { .. })
    }

    /// What to do about it, in a sentence.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Overslept { .. } => {
                "quiet the machine, give the generator a core of its own, or lower the rate"
            }
            Self::BackPressure { .. } => {
                "nothing is hidden, since latency counts from the intended send; to see the bus without the wait \
                 for the client, add producers, or raise their buffers"
            }
            Self::NotAchieved { .. } => "lower the rate, add producers, or let the run last longer",
            Self::ClockAnomalies { .. } => {
                "measure both ends on one machine, or keep the time service from setting the clock during a run"
            }
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overslept { p99, limit } => {
                write!(f, "the generator woke late: p99 is {}, the limit {}", ms(*p99), ms(*limit))
            }
            Self::BackPressure { p99, limit } => write!(
                f,
                "clients took records late: p99 of the schedule lag is {}, the limit {}",
                ms(*p99),
                ms(*limit)
            ),
            Self::NotAchieved { offered, sent } => {
                write!(f, "only {sent} of {offered} offered records were sent")
            }
            Self::ClockAnomalies { count } => {
                write!(f, "a clock went backwards: spans that ended before they began: {count}")
            }
        }
    }
}

/// Milliseconds with three digits behind the point.
fn ms(span: Duration) -> String {
    let micros = span.as_micros();
    format!("{}.{:03} ms", micros / 1_000, micros % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Due;
    use squall_bus::Time;

    /// 100 records, of which `late` are handed over this late.
    fn run(overslept: Duration, blocked: Duration, sent: u64) -> Recorder {
        let mut run = Recorder::new(Time::ZERO, Duration::from_secs(1));
        for ordinal in 0..100 {
            let intended = Time::from_millis(ordinal * 10);
            run.offered(&Due { ordinal, intended, overslept: Some(overslept) });
            if ordinal < sent {
                run.sent(intended, intended + overslept + blocked);
            }
        }
        run
    }

    fn warnings(run: &Recorder) -> Vec<String> {
        Warning::of(run, &Limits::default())
            .iter()
            .map(|warning| {
                format!("{warning}; {}{}", warning.remedy(), if warning.distorts() { " (!)" } else { "" })
            })
            .collect()
    }

    const NONE: Duration = Duration::ZERO;
    const LATE: Duration = Duration::from_micros(20_500);

    #[test]
    fn a_healthy_run_has_no_warnings() {
        assert!(warnings(&run(NONE, Duration::from_millis(9), 99)).is_empty());
    }

    #[test]
    fn each_warning_says_what_and_what_to_do() {
        let mut backwards = run(NONE, NONE, 100);
        backwards.received(Time(5), Time(4), true);
        let all = [run(LATE, NONE, 100), run(NONE, LATE, 100), run(NONE, NONE, 98), backwards];
        insta::assert_snapshot!(all.iter().flat_map(warnings).collect::<Vec<_>>().join("\n"), @"
        the generator woke late: p99 is 20.512 ms, the limit 10.000 ms; quiet the machine, give the generator a core of its own, or lower the rate (!)
        clients took records late: p99 of the schedule lag is 20.512 ms, the limit 10.000 ms; nothing is hidden, since latency counts from the intended send; to see the bus without the wait for the client, add producers, or raise their buffers
        only 98 of 100 offered records were sent; lower the rate, add producers, or let the run last longer (!)
        a clock went backwards: spans that ended before they began: 1; measure both ends on one machine, or keep the time service from setting the clock during a run (!)
        ");
    }
}
