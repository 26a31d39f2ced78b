//! Ranges of whole numbers `3..5`, both ends included; or one number, which is fixed.

use super::{Count, ScalarError};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, Visitor},
};
use std::{fmt, str::FromStr};

/// A number of things between these, both included, at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CountRange {
    low: Count,
    high: Count,
}

impl CountRange {
    /// Between these, both included; the lower one twice if they cross.
    #[must_use]
    pub fn new(low: u32, high: u32) -> Self {
        let low = Count::new(low);
        Self { low, high: Count::new(high).max(low) }
    }

    /// The fewest.
    #[must_use]
    pub const fn low(self) -> u32 {
        self.low.get()
    }

    /// The most.
    #[must_use]
    pub const fn high(self) -> u32 {
        self.high.get()
    }
}

impl FromStr for CountRange {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let number = |part: &str| part.trim().parse::<u32>().ok().filter(|count| *count <= 1_000_000);
        let (low, high) = text.split_once("..").unwrap_or((text, text));
        let (Some(low), Some(high)) = (number(low), number(high.trim_start_matches('='))) else {
            return Err(ScalarError::new(
                format!("`{text}` is not a range of whole numbers"),
                "write two numbers such as 3..5, or one",
            ));
        };
        if low == 0 {
            return Err(ScalarError::new(
                format!("the range `{text}` begins at none"),
                format!("write `1..{high}`"),
            ));
        }
        if low > high {
            return Err(ScalarError::new(
                format!("the range `{text}` ends before it begins"),
                format!("write `{high}..{low}`"),
            ));
        }
        Ok(Self::new(low, high))
    }
}

impl fmt::Display for CountRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.low == self.high { self.low.fmt(f) } else { write!(f, "{}..{}", self.low, self.high) }
    }
}

impl Serialize for CountRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.low == self.high { self.low.serialize(serializer) } else { serializer.collect_str(self) }
    }
}

impl<'de> Deserialize<'de> for CountRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Range;
        impl Visitor<'_> for Range {
            type Value = CountRange;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number, or a range of them such as `3..5`")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<CountRange, E> {
                number.to_string().parse().map_err(E::custom)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<CountRange, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Range)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for CountRange {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CountRange".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A whole number, or a range of them, both ends included.",
            "anyOf": [
                { "type": "integer", "minimum": 1, "maximum": 1_000_000 },
                { "type": "string", "pattern": r"^\s*[1-9][0-9]*\s*(\.\.=?\s*[1-9][0-9]*\s*)?$" },
            ],
            "examples": ["3..5"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_ranges_and_says_what_to_write_instead() {
        for (text, low, high, printed) in
            [("3..5", 3, 5, "3..5"), ("4", 4, 4, "4"), ("1 ..= 2", 1, 2, "1..2")]
        {
            let range: CountRange = text.parse().expect(text);
            assert_eq!((range.low(), range.high(), range.to_string().as_str()), (low, high, printed));
        }
        for (text, help) in [
            ("5..3", "write `3..5`"),
            ("0..3", "write `1..3`"),
            ("some", "write two numbers such as 3..5, or one"),
            ("1..9999999", "write two numbers such as 3..5, or one"),
        ] {
            assert_eq!(text.parse::<CountRange>().expect_err(text).help, help);
        }
    }
}
