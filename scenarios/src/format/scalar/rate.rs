//! Rates `500/s`, `30/m`.

use super::{ScalarError, text_scalar};
use std::{fmt, str::FromStr, time::Duration};

/// No rate is higher, in events a second: beyond it the harness measures itself.
const FASTEST: u64 = 10_000_000;

/// So many events in so much time, exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    count: u64,
    per: Duration,
}

impl Rate {
    /// Events in each [`per`](Self::per); at least 1.
    #[must_use]
    pub const fn count(self) -> u64 {
        self.count
    }

    /// Another number of events in the same time; at least 1.
    pub(crate) const fn with_count(self, count: u64) -> Self {
        Self { count: if count == 0 { 1 } else { count }, per: self.per }
    }

    /// The time in which they happen: a second, a minute or an hour.
    #[must_use]
    pub const fn per(self) -> Duration {
        self.per
    }

    /// This many hundredths of it, at least one event in its time.
    #[must_use]
    pub fn percent(self, percent: u64) -> Self {
        Self {
            count: (self.count.saturating_mul(percent) / 100).clamp(1, FASTEST * self.per.as_secs()),
            per: self.per,
        }
    }

    /// How many whole events fit into `span`.
    #[must_use]
    pub fn within(self, span: Duration) -> u64 {
        let events = span.as_nanos() * u128::from(self.count) / self.per.as_nanos();
        u64::try_from(events).unwrap_or(u64::MAX)
    }
}

impl FromStr for Rate {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let wrong = || {
            ScalarError::new(
                format!("`{text}` is not a rate"),
                "write a whole number for each unit of time, such as 500/s",
            )
        };
        let (count, unit) = text.split_once('/').ok_or_else(|| match text.trim().parse::<u64>() {
            Ok(number) => bare(&number.to_string()),
            Err(_) => wrong(),
        })?;
        let (count, unit) = (count.trim(), unit.trim());
        let per = match unit {
            "s" => Duration::from_secs(1),
            "m" | "min" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            "sec" | "second" => {
                return Err(ScalarError::new(
                    format!("`{text}` has no known unit of time"),
                    format!("did you mean `{count}/s`?"),
                ));
            }
            _ => {
                return Err(ScalarError::new(
                    format!("`{text}` has no known unit of time"),
                    "rates are for each s, m or h, such as 500/s",
                ));
            }
        };
        let count: u64 = match count.parse() {
            Ok(count) => count,
            Err(_) if count.contains('.') => {
                return Err(ScalarError::new(
                    format!("the rate `{text}` is not whole"),
                    "write it for a longer time: 2.5/s is 150/m",
                ));
            }
            Err(_) => return Err(wrong()),
        };
        if count == 0 {
            return Err(ScalarError::new("the rate is zero", "write at least 1/h, or remove the producers"));
        }
        if count / per.as_secs() > FASTEST {
            return Err(ScalarError::new(
                format!("the rate `{text}` is too high"),
                format!("write at most {FASTEST}/s"),
            ));
        }
        Ok(Self { count, per })
    }
}

fn bare(number: &str) -> ScalarError {
    ScalarError::new(format!("the rate `{number}` has no unit"), format!("write `{number}/s`"))
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.per.as_secs() {
            1 => "s",
            60 => "m",
            _ => "h",
        };
        write!(f, "{}/{unit}", self.count)
    }
}

text_scalar!(
    Rate,
    "a rate such as `500/s`",
    bare: bare,
    pattern: r"^\s*[0-9]+\s*/\s*(s|m|min|h)\s*$",
    example: "500/s"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_rates() {
        let rate: Rate = "30/m".parse().expect("a rate");
        assert_eq!((rate.count(), rate.within(Duration::from_secs(90))), (30, 45));
        for (text, help) in [
            ("500", "write `500/s`"),
            ("500/sec", "did you mean `500/s`?"),
            ("0/s", "write at least 1/h, or remove the producers"),
            ("2.5/s", "write it for a longer time: 2.5/s is 150/m"),
            ("99999999/s", "write at most 10000000/s"),
            ("fast", "write a whole number for each unit of time, such as 500/s"),
        ] {
            assert_eq!(text.parse::<Rate>().expect_err(text).help, help);
        }
    }
}
