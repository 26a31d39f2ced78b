//! Durations `10ms`, `2s`, `1.5m` and ranges of them `50ms..2s`.

use super::{Decimal, ScalarError, split_unit, text_scalar};
use std::{fmt, str::FromStr, time::Duration};

const UNITS: [(&str, u64); 6] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// No duration in a scenario is longer: a hundred days.
const LONGEST: u64 = 100 * 24 * 3_600_000_000_000;

/// A duration, in whole nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(Duration);

impl Period {
    /// So many seconds.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// So many milliseconds.
    #[must_use]
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// The duration.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }

    /// Its nanoseconds.
    #[must_use]
    pub fn nanos(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Whether it is zero.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    pub(crate) const fn of(span: Duration) -> Self {
        Self(span)
    }

    pub(crate) const fn from_nanos(nanos: u64) -> Self {
        Self(Duration::from_nanos(nanos))
    }
}

impl FromStr for Period {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let (number, unit) = split_unit(text.trim());
        let Some(decimal) = Decimal::parse(number) else {
            return Err(ScalarError::new(
                format!("`{text}` is not a duration"),
                "write a number and a unit, such as 10ms, 2s or 1m",
            ));
        };
        if unit.is_empty() {
            return Err(bare(number));
        }
        let Some((_, nanos)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(unknown_unit(text, number, unit));
        };
        match decimal.times(*nanos) {
            Some(nanos) if nanos <= LONGEST => Ok(Self::from_nanos(nanos)),
            Some(_) => Err(ScalarError::new(format!("`{text}` is too long"), "a duration is at most 2400h")),
            None => Err(ScalarError::new(
                format!("`{text}` is not a whole number of nanoseconds, or too large"),
                "write it in a smaller unit, such as 1500us",
            )),
        }
    }
}

fn unknown_unit(text: &str, number: &str, unit: &str) -> ScalarError {
    let meant = match unit.to_lowercase().trim_end_matches('.') {
        "sec" | "secs" | "second" | "seconds" => Some("s"),
        "min" | "mins" | "minute" | "minutes" => Some("m"),
        "msec" | "millis" | "millisecond" | "milliseconds" => Some("ms"),
        "\u{b5}s" | "usec" | "micros" => Some("us"),
        "hour" | "hours" | "hr" | "hrs" => Some("h"),
        _ => UNITS.iter().map(|(name, _)| *name).find(|name| name.eq_ignore_ascii_case(unit)),
    };
    let help = match meant {
        Some(meant) => format!("did you mean `{number}{meant}`?"),
        None => "the units of time are ns, us, ms, s, m, h".to_owned(),
    };
    ScalarError::new(format!("`{text}` has no known unit of time"), help)
}

fn bare(number: &str) -> ScalarError {
    ScalarError::new(
        format!("the duration `{number}` has no unit"),
        format!("write `{number}s` for seconds or `{number}ms` for milliseconds"),
    )
}

/// In the largest unit up to seconds in which it is whole: `2s`, `1500ms`.
impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.nanos();
        if nanos == 0 {
            return f.write_str("0s");
        }
        let (name, unit) = UNITS[..4]
            .iter()
            .rev()
            .find(|(_, unit)| nanos.is_multiple_of(*unit))
            .copied()
            .unwrap_or(UNITS[0]);
        write!(f, "{}{name}", nanos / unit)
    }
}

text_scalar!(
    Period,
    "a duration such as `10ms`, `2s` or `1m`",
    bare: bare,
    pattern: r"^\s*[0-9]*\.?[0-9]+ *(ns|us|ms|s|m|h)\s*$",
    example: "10s"
);

/// A duration that the seed draws between two ends, both included; or one that is fixed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PeriodRange {
    low: Period,
    high: Period,
}

impl PeriodRange {
    /// Always this long.
    #[must_use]
    pub const fn fixed(period: Period) -> Self {
        Self { low: period, high: period }
    }

    /// Between these, both included.
    #[must_use]
    pub const fn new(low: Period, high: Period) -> Self {
        Self { low, high }
    }

    /// The shortest.
    #[must_use]
    pub const fn low(self) -> Period {
        self.low
    }

    /// The longest.
    #[must_use]
    pub const fn high(self) -> Period {
        self.high
    }
}

impl FromStr for PeriodRange {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let Some((low, high)) = text.split_once("..") else { return text.parse().map(Self::fixed) };
        let (low_text, high) = (low.trim(), high.trim_start_matches('=').parse::<Period>()?);
        let low = match low_text.parse::<Period>() {
            Ok(low) => low,
            Err(_) if Decimal::parse(low_text).is_some() => {
                let (_, unit) = split_unit(text.rsplit("..").next().unwrap_or_default().trim());
                return Err(ScalarError::new(
                    format!("the lower end of `{text}` has no unit"),
                    format!("write `{low_text}{unit}..{high}`"),
                ));
            }
            Err(error) => return Err(error),
        };
        if low > high {
            return Err(ScalarError::new(
                format!("the range `{text}` ends before it begins"),
                format!("write `{high}..{low}`"),
            ));
        }
        Ok(Self { low, high })
    }
}

impl fmt::Display for PeriodRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.low == self.high {
            write!(f, "{}", self.low)
        } else {
            write!(f, "{}..{}", self.low, self.high)
        }
    }
}

text_scalar!(
    PeriodRange,
    "a duration such as `2s`, or a range of them such as `50ms..2s`",
    bare: bare,
    pattern: r"^\s*[0-9]*\.?[0-9]+ *(ns|us|ms|s|m|h)\s*(\.\.=?\s*[0-9]*\.?[0-9]+ *(ns|us|ms|s|m|h)\s*)?$",
    example: "3s..8s"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_units_and_prints_them() {
        for (text, nanos, printed) in [
            ("10ms", 10_000_000, "10ms"),
            ("2s", 2_000_000_000, "2s"),
            ("1.5s", 1_500_000_000, "1500ms"),
            ("1m", 60_000_000_000, "60s"),
            ("0s", 0, "0s"),
            ("7ns", 7, "7ns"),
        ] {
            let period: Period = text.parse().expect(text);
            assert_eq!((period.nanos(), period.to_string().as_str()), (nanos, printed), "{text}");
        }
    }

    #[test]
    fn says_what_to_write_instead() {
        for (text, help) in [
            ("10", "write `10s` for seconds or `10ms` for milliseconds"),
            ("10sec", "did you mean `10s`?"),
            ("10S", "did you mean `10s`?"),
            ("10 parsecs", "the units of time are ns, us, ms, s, m, h"),
            ("0.5ns", "write it in a smaller unit, such as 1500us"),
            ("3000h", "a duration is at most 2400h"),
            ("-1s", "write a number and a unit, such as 10ms, 2s or 1m"),
        ] {
            assert_eq!(text.parse::<Period>().expect_err(text).help, help);
        }
        for (text, help) in [("8s..3s", "write `3s..8s`"), ("3..8s", "write `3s..8s`")] {
            assert_eq!(text.parse::<PeriodRange>().expect_err(text).help, help);
        }
    }
}
