//! Values with a unit, each a type of its own: durations, ranges of durations, rates, ratios, bounds, roles, marks.
//!
//! A bare number is an error that says which units there are. All arithmetic is exact: `0.5%` is 5,000 parts
//! in a million, `1.5s` is 1,500,000,000 ns, and what does not come out even is refused.

mod bound;
mod mark;
mod period;
mod range;
mod rate;
mod ratio;
mod words;

pub use bound::Bound;
pub use mark::MarkName;
pub use period::{Period, PeriodRange};
pub use range::CountRange;
pub use rate::Rate;
pub use ratio::Ratio;
pub use words::{AcksChoice, Count, RoleText, Setting};

use std::fmt;

/// Why a text is not such a value, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalarError {
    /// What is wrong: a lower-case sentence.
    pub message: String,
    /// What to write.
    pub help: String,
}

impl ScalarError {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

/// The message on the first line, the help on the second: so the reader of scenario files tells them apart.
impl fmt::Display for ScalarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.message, self.help)
    }
}

impl std::error::Error for ScalarError {}

/// Makes a type with `FromStr` and `Display` a scalar of scenario files, whose bare numbers are errors.
macro_rules! text_scalar {
    ($type:ty, $what:literal, bare: $bare:expr, pattern: $pattern:literal, example: $example:literal) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl serde::de::Visitor<'_> for Text {
                    type Value = $type;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($what)
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }

                    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<$type, E> {
                        let bare: fn(&str) -> super::ScalarError = $bare;
                        Err(E::custom(bare(&number.to_string())))
                    }

                    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<$type, E> {
                        let bare: fn(&str) -> super::ScalarError = $bare;
                        Err(E::custom(bare(&number.to_string())))
                    }

                    fn visit_bytes<E: serde::de::Error>(self, number: &[u8]) -> Result<$type, E> {
                        let bare: fn(&str) -> super::ScalarError = $bare;
                        Err(E::custom(bare(&String::from_utf8_lossy(number))))
                    }
                }
                deserializer.deserialize_any(Text)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "description": $what,
                    "pattern": $pattern,
                    "examples": [$example],
                })
            }
        }
    };
}
use text_scalar;

/// An exact decimal number: `digits / 10^places`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Decimal {
    digits: u64,
    places: u32,
}

impl Decimal {
    /// Reads `12`, `0.5`, `.25`; at most nine decimals, no sign, no exponent.
    fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = format!("{whole}{fraction}");
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let dangling = text.ends_with('.');
        if !plain || dangling || fraction.len() > 9 {
            return None;
        }
        Some(Self { digits: digits.parse().ok()?, places: u32::try_from(fraction.len()).ok()? })
    }

    /// This many times `unit`, if that is a whole number that fits.
    fn times(self, unit: u64) -> Option<u64> {
        let product = u128::from(self.digits) * u128::from(unit);
        let divisor = 10_u128.pow(self.places);
        if product % divisor != 0 {
            return None;
        }
        u64::try_from(product / divisor).ok()
    }
}

/// Splits `12.5ms` into the number and the unit.
fn split_unit(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact() {
        assert_eq!(Decimal::parse("0.5").and_then(|d| d.times(10_000)), Some(5_000));
        assert_eq!(Decimal::parse("1.5").and_then(|d| d.times(3)), None);
        for text in ["", ".", "1.", "-1", "1e3", "1.0000000001", "99999999999999999999"] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }
}
