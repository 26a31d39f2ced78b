//! Ratios `0.5%`, kept as parts in a million.

use super::{Decimal, ScalarError, text_scalar};
use std::{fmt, str::FromStr};

/// A share from nothing to all, in parts per million: never a float.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ratio(u32);

impl Ratio {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// One in ten.
    pub const TENTH: Self = Self(100_000);
    /// Everything.
    pub const ALL: Self = Self(1_000_000);

    /// So many times as much, at most everything.
    #[must_use]
    pub fn times(self, factor: u32) -> Self {
        Self(self.0.saturating_mul(factor).min(Self::ALL.0))
    }

    /// Parts per million, at most a million.
    #[must_use]
    pub const fn ppm(self) -> u32 {
        self.0
    }
}

impl FromStr for Ratio {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let trimmed = text.trim();
        let (number, unit) = match (trimmed.strip_suffix('%'), trimmed.strip_suffix("ppm")) {
            (Some(number), _) => (number.trim(), 10_000),
            (None, Some(number)) => (number.trim(), 1),
            (None, None) if Decimal::parse(trimmed).is_some() => return Err(bare(trimmed)),
            (None, None) => {
                return Err(ScalarError::new(
                    format!("`{text}` is not a ratio"),
                    "write a percentage such as 0.5%",
                ));
            }
        };
        let decimal = Decimal::parse(number).ok_or_else(|| {
            ScalarError::new(format!("`{text}` is not a ratio"), "write a percentage such as 0.5%")
        })?;
        match decimal.times(unit).map(u32::try_from) {
            Some(Ok(ppm)) if ppm <= Self::ALL.0 => Ok(Self(ppm)),
            Some(_) => {
                Err(ScalarError::new(format!("`{text}` is more than everything"), "a ratio is at most 100%"))
            }
            None => Err(ScalarError::new(
                format!("`{text}` is finer than a millionth"),
                "the smallest step is 0.0001%",
            )),
        }
    }
}

fn bare(number: &str) -> ScalarError {
    let message = format!("the ratio `{number}` has no unit");
    let share = Decimal::parse(number).and_then(|decimal| decimal.times(1_000_000));
    match share.map(u32::try_from) {
        Some(Ok(ppm)) if ppm < Ratio::ALL.0 && ppm > 0 => {
            ScalarError::new(message, format!("write `{}` for this share, or `{number}%`", Ratio(ppm)))
        }
        _ => ScalarError::new(message, format!("write `{number}%`")),
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / 10_000, self.0 % 10_000);
        if fraction == 0 {
            return write!(f, "{whole}%");
        }
        let digits = format!("{fraction:04}");
        write!(f, "{whole}.{}%", digits.trim_end_matches('0'))
    }
}

text_scalar!(
    Ratio,
    "a percentage such as `0.5%`",
    bare: bare,
    pattern: r"^\s*[0-9]*\.?[0-9]+\s*(%|ppm)\s*$",
    example: "0.5%"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_parts_per_million_and_prints_percent() {
        for (text, ppm, printed) in [
            ("0.5%", 5_000, "0.5%"),
            ("100%", 1_000_000, "100%"),
            ("0.0001%", 1, "0.0001%"),
            ("25ppm", 25, "0.0025%"),
        ] {
            let ratio: Ratio = text.parse().expect(text);
            assert_eq!((ratio.ppm(), ratio.to_string().as_str()), (ppm, printed));
        }
    }

    #[test]
    fn says_what_to_write_instead() {
        for (text, help) in [
            ("0.005", "write `0.5%` for this share, or `0.005%`"),
            ("5", "write `5%`"),
            ("101%", "a ratio is at most 100%"),
            ("0.00001%", "the smallest step is 0.0001%"),
            ("some", "write a percentage such as 0.5%"),
        ] {
            assert_eq!(text.parse::<Ratio>().expect_err(text).help, help);
        }
    }
}
