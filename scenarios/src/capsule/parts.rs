//! The parts of a capsule: its version, what was expected, what was edited.

use crate::Target;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, Visitor},
};
use squall_history::{Anomaly, Kind, Report, Verdict};
use std::{fmt, str::FromStr};

/// The version of the format that this Squall reads and writes.
const VERSION: u64 = 1;

/// The version of the format: 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Version;

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(VERSION)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            VERSION => Ok(Self),
            other => Err(D::Error::custom(format!(
                "version {other} of the capsule format is not known\nthis squall reads version {VERSION}: use the squall that wrote the capsule"
            ))),
        }
    }
}

/// A simulated target by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetText(pub Target);

impl Serialize for TargetText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for TargetText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let target = Target::from_str(&text)
            .map_err(|error| D::Error::custom(format!("{error}").replacen("; ", "\n", 1)))?;
        Ok(Self(target))
    }
}

/// What came of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// `invalid`, `unknown` or `broken`.
    pub verdict: Verdict,
    /// The kind of the forbidden anomaly, of an invalid run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anomaly: Option<Kind>,
    /// Why, in a sentence.
    pub reason: String,
    /// The story of the first such anomaly.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub story: Vec<String>,
    /// The hash of everything that happened, in hexadecimal, of a run that came to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
}

impl Expected {
    /// What came of a run that failed; `None` of any other.
    pub(crate) fn of(report: &Report, hash: Option<&str>) -> Option<Self> {
        let expected = |anomaly: Option<&Anomaly>| Self {
            verdict: report.verdict,
            anomaly: anomaly.map(|anomaly| anomaly.kind),
            reason: report.reason.clone(),
            story: anomaly
                .map(|anomaly| anomaly.story().lines().map(str::to_owned).collect())
                .unwrap_or_default(),
            hash: hash.map(str::to_owned),
        };
        match report.verdict {
            Verdict::Invalid => {
                report.anomalies.iter().find(|anomaly| anomaly.forbidden()).map(|found| expected(Some(found)))
            }
            Verdict::Unknown | Verdict::Broken => Some(expected(None)),
            Verdict::Valid | Verdict::Unsupported => None,
        }
    }

    /// Whether this report shows the same: the same kind forbidden, or the same evidence missing, or the same
    /// breakage.
    #[must_use]
    pub fn is_shown_by(&self, report: &Report) -> bool {
        match self.anomaly {
            Some(kind) => {
                report.verdict == Verdict::Invalid
                    && report.anomalies.iter().any(|anomaly| anomaly.kind == kind && anomaly.forbidden())
            }
            None => report.verdict == self.verdict && cause(&report.reason) == cause(&self.reason),
        }
    }

    /// The finding of this report that is the expected one.
    pub(crate) fn found_in<'a>(&self, report: &'a Report) -> Option<&'a Anomaly> {
        report.anomalies.iter().find(|anomaly| Some(anomaly.kind) == self.anomaly && anomaly.forbidden())
    }

    /// What it is, in a word: `lost_write`, `broken`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.anomaly.map_or(self.verdict.word(), Kind::id)
    }

    /// The verdict and the story, a line each.
    #[must_use]
    pub fn summary(&self) -> Vec<String> {
        let head = format!("{}: {}", self.verdict, self.reason);
        std::iter::once(head).chain(self.story.iter().cloned()).collect()
    }
}

/// A reason without when and where, and without how many: they differ between two runs.
fn cause(reason: &str) -> String {
    without_numbers(reason.split(" at ").next().unwrap_or_default())
}

/// A reason with a `#` for each number.
pub(crate) fn without_numbers(reason: &str) -> String {
    let mut words = String::new();
    let mut in_number = false;
    for c in reason.chars() {
        if !c.is_ascii_digit() {
            words.push(c);
        } else if !in_number {
            words.push('#');
        }
        in_number = c.is_ascii_digit();
    }
    words
}

/// What differs from the plan of the scenario and the seed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Edits {
    /// The number of each fault in the first plan, in the order of time: what is drawn when it strikes is drawn for its
    /// number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault_numbers: Option<Vec<u32>>,
    /// Records that are not sent, by their value ids.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub without_records: Vec<ValueRange>,
}

impl Edits {
    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fault_numbers.is_none() && self.without_records.is_empty()
    }
}

/// Value ids from one to another, both included: `1000000004..1000000017`, or one alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueRange {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

impl ValueRange {
    /// Whether this value is one of them.
    #[must_use]
    pub const fn has(self, value: u64) -> bool {
        self.first <= value && value <= self.last
    }

    /// The ranges that hold those of `all` that are `chosen` and no other of `all`. Both ascend.
    pub(crate) fn of(all: impl IntoIterator<Item = u64>, chosen: impl Fn(u64) -> bool) -> Vec<Self> {
        let mut ranges: Vec<Self> = Vec::new();
        let mut open = false;
        for value in all {
            match (chosen(value), ranges.last_mut()) {
                (true, Some(range)) if open => range.last = value,
                (true, _) => ranges.push(Self { first: value, last: value }),
                (false, _) => {}
            }
            open = chosen(value);
        }
        ranges
    }
}

impl Serialize for ValueRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.first == self.last {
            serializer.serialize_u64(self.first)
        } else {
            serializer.collect_str(&format_args!("{}..{}", self.first, self.last))
        }
    }
}

impl<'de> Deserialize<'de> for ValueRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Range;
        impl Visitor<'_> for Range {
            type Value = ValueRange;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a value id such as 1000000004, or a range of them such as 1000000004..1000000017",
                )
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<ValueRange, E> {
                Ok(ValueRange { first: value, last: value })
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<ValueRange, E> {
                let ends = text.split_once("..").unwrap_or((text, text));
                match (ends.0.trim().parse(), ends.1.trim().parse()) {
                    (Ok(first), Ok(last)) if first <= last => Ok(ValueRange { first, last }),
                    _ => Err(E::custom(format!(
                        "`{}` is no range of value ids\nwrite the first and the last, such as 1000000004..1000000017",
                        text.chars().take(40).collect::<String>()
                    ))),
                }
            }
        }
        deserializer.deserialize_any(Range)
    }
}

#[cfg(feature = "schema")]
mod schema {
    use super::{TargetText, ValueRange, Version};
    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
    use std::borrow::Cow;

    impl JsonSchema for Version {
        fn schema_name() -> Cow<'static, str> {
            "Version".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({ "const": super::VERSION })
        }
    }

    impl JsonSchema for TargetText {
        fn schema_name() -> Cow<'static, str> {
            "Target".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({ "type": "string", "pattern": "^sim:[a-z]+$" })
        }
    }

    impl JsonSchema for ValueRange {
        fn schema_name() -> Cow<'static, str> {
            "ValueRange".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({ "anyOf": [
                { "type": "integer", "minimum": 0 },
                { "type": "string", "pattern": "^ *[0-9]+ *(\\.\\. *[0-9]+ *)?$" },
            ] })
        }
    }
}
