//! Bounds on a duration: `< 20s`, `<= 20s`.

use super::{Decimal, Period, ScalarError, text_scalar};
use std::{fmt, str::FromStr, time::Duration};

/// What a duration must stay below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bound {
    limit: Period,
    inclusive: bool,
}

impl Bound {
    /// The limit.
    #[must_use]
    pub const fn limit(self) -> Period {
        self.limit
    }

    /// Whether the limit itself is still good.
    #[must_use]
    pub const fn inclusive(self) -> bool {
        self.inclusive
    }

    /// Whether `span` keeps the bound.
    #[must_use]
    pub fn holds(self, span: Duration) -> bool {
        span < self.limit.get() || self.inclusive && span == self.limit.get()
    }
}

impl FromStr for Bound {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let trimmed = text.trim();
        let (inclusive, limit) = match (trimmed.strip_prefix("<="), trimmed.strip_prefix('<')) {
            (Some(limit), _) => (true, limit),
            (None, Some(limit)) => (false, limit),
            (None, None) => {
                let help = match trimmed.parse::<Period>() {
                    Ok(limit) => format!("write `< {limit}`"),
                    Err(_) => "write an upper bound such as < 20s".to_owned(),
                };
                return Err(ScalarError::new(format!("`{text}` is not a bound"), help));
            }
        };
        let limit: Period = match limit.trim().parse() {
            Ok(limit) => limit,
            Err(_) if Decimal::parse(limit.trim()).is_some() => {
                return Err(ScalarError::new(
                    format!("the bound `{text}` has no unit"),
                    format!("write `{trimmed}s` for seconds"),
                ));
            }
            Err(error) => return Err(error),
        };
        if limit.is_zero() && !inclusive {
            return Err(ScalarError::new(
                format!("nothing can be `{text}`"),
                "write a bound above zero, such as < 20s",
            ));
        }
        Ok(Self { limit, inclusive })
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", if self.inclusive { "<=" } else { "<" }, self.limit)
    }
}

text_scalar!(
    Bound,
    "an upper bound such as `< 20s`",
    bare: |number| ScalarError::new(format!("`{number}` is not a bound"), format!("write `< {number}s`")),
    pattern: r"^\s*<=?\s*[0-9]*\.?[0-9]+ *(ns|us|ms|s|m|h)\s*$",
    example: "< 20s"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_below_and_not_above() {
        let below: Bound = "< 20s".parse().expect("a bound");
        let at_most: Bound = "<=20s".parse().expect("a bound");
        let limit = Duration::from_secs(20);
        assert!(!below.holds(limit) && below.holds(limit - Duration::from_nanos(1)));
        assert!(at_most.holds(limit) && !at_most.holds(limit + Duration::from_nanos(1)));
        for (text, help) in [
            ("20s", "write `< 20s`"),
            ("< 20", "write `< 20s` for seconds"),
            ("> 20s", "write an upper bound such as < 20s"),
            ("< 0s", "write a bound above zero, such as < 20s"),
        ] {
            assert_eq!(text.parse::<Bound>().expect_err(text).help, help);
        }
    }
}
