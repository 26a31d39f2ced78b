//! What can be set for a topic, by Kafka's own names: one table for reading, checking and listing.
//!
//! | name | values | default of Kafka |
//! |---|---|---|
//! | `min.insync.replicas` | 1 or more | 1 |
//! | `unclean.leader.election.enable` | `true`, `false` | `false` |
//! | `max.message.bytes` | bytes | 1048588 |
//! | `segment.bytes` | 1048576 bytes or more (KIP-1030) | 1073741824 |
//! | `internal.segment.bytes` | 14 bytes or more; the same setting without that limit, for tests | 1073741824 |
//! | `segment.ms` | 1 ms or more | 604800000 |
//! | `retention.ms` | ms; -1 for ever | 604800000 |
//! | `retention.bytes` | bytes of a partition; -1 without limit | -1 |
//! | `cleanup.policy` | `delete`, `compact`, `compact,delete` | `delete` |
//! | `min.cleanable.dirty.ratio` | 0 to 1 | 0.5 |
//! | `min.compaction.lag.ms` | ms | 0 |
//! | `delete.retention.ms` | ms | 86400000 |
//!
//! A name that is not in the table, or a value that Kafka would refuse, is an error that says what to write.
//! Source: `TopicConfig` and `LogConfig` of Apache Kafka 4.x.

use super::{metadata::TopicSettings, rules::Rules};
use squall_bus::{Error, ErrorClass};
use std::{fmt, time::Duration};

/// A share of a whole, in millionths.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ratio(u32);

impl Ratio {
    /// One half.
    pub const HALF: Self = Self(500_000);
    /// One tenth.
    pub const TENTH: Self = Self(100_000);
    const ONE: u32 = 1_000_000;

    /// So many millionths; `None` if that is more than all.
    #[must_use]
    pub const fn millionths(millionths: u32) -> Option<Self> {
        if millionths > Self::ONE { None } else { Some(Self(millionths)) }
    }

    /// Whether `part` is more than this share of `whole`.
    #[must_use]
    pub fn is_exceeded(self, part: u64, whole: u64) -> bool {
        u128::from(part) * u128::from(Self::ONE) > u128::from(whole) * u128::from(self.0)
    }

    /// Reads a decimal number of 0 to 1 with up to six places.
    fn parse(text: &str) -> Option<Self> {
        let (whole, places) = text.split_once('.').unwrap_or((text, ""));
        if text.is_empty() || places.len() > 6 || !places.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let whole: u32 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let millionths: u32 = format!("{places:0<6}").parse().ok()?;
        Self::millionths(whole.checked_mul(Self::ONE)?.checked_add(millionths)?)
    }
}

impl fmt::Debug for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / Self::ONE, self.0 % Self::ONE)
    }
}

/// `cleanup.policy`: what becomes of old segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cleanup {
    /// They are deleted.
    Delete,
    /// Of each key the last record stays.
    Compact,
    /// Both.
    CompactDelete,
}

impl Cleanup {
    /// Whether old segments are deleted for their age and size.
    #[must_use]
    pub const fn deletes(self) -> bool {
        matches!(self, Self::Delete | Self::CompactDelete)
    }

    /// Whether the cleaner comes.
    #[must_use]
    pub const fn compacts(self) -> bool {
        matches!(self, Self::Compact | Self::CompactDelete)
    }
}

/// How the logs of a topic are cut into segments, deleted and cleaned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// `segment.bytes`.
    pub segment_bytes: u32,
    /// `segment.ms`.
    pub segment_age: Duration,
    /// `retention.ms`; `None` keeps records for ever.
    pub retention: Option<Duration>,
    /// `retention.bytes` of a partition; `None` for no limit.
    pub retention_bytes: Option<u64>,
    /// `cleanup.policy`.
    pub cleanup: Cleanup,
    /// `min.cleanable.dirty.ratio`.
    pub min_cleanable: Ratio,
    /// `min.compaction.lag.ms`.
    pub min_compaction_lag: Duration,
    /// `delete.retention.ms`.
    pub delete_retention: Duration,
}

impl LogSettings {
    /// Those of a topic that says nothing.
    #[must_use]
    pub fn of(rules: &Rules) -> Self {
        Self {
            segment_bytes: rules.segment_bytes,
            segment_age: rules.segment_age,
            retention: rules.retention,
            retention_bytes: rules.retention_bytes,
            cleanup: rules.cleanup,
            min_cleanable: rules.min_cleanable,
            min_compaction_lag: rules.min_compaction_lag,
            delete_retention: rules.delete_retention,
        }
    }
}

/// One setting: its name, what values it takes, and how it is taken up.
struct Setting {
    name: &'static str,
    values: &'static str,
    put: fn(&mut TopicSettings, &str) -> Option<()>,
}

/// The smallest `segment.bytes`.
const LEAST_SEGMENT: u32 = 1 << 20;
/// The smallest `internal.segment.bytes`.
const LEAST_INTERNAL_SEGMENT: u32 = 14;

fn segment_bytes(settings: &mut TopicSettings, value: &str, least: u32) -> Option<()> {
    take(&mut settings.log.segment_bytes, value.parse().ok().filter(|bytes| *bytes >= least))
}

/// Takes a value up, if it is one.
fn take<T>(field: &mut T, value: Option<T>) -> Option<()> {
    *field = value?;
    Some(())
}

fn millis(value: &str) -> Option<Duration> {
    value.parse().ok().map(Duration::from_millis)
}

const SETTINGS: [Setting; 12] = [
    Setting {
        name: "cleanup.policy",
        values: "delete, compact or compact,delete",
        put: |settings, value| {
            let mut words: Vec<&str> = value.split(',').map(str::trim).collect();
            words.sort_unstable();
            settings.log.cleanup = match words[..] {
                ["delete"] => Cleanup::Delete,
                ["compact"] => Cleanup::Compact,
                ["compact", "delete"] => Cleanup::CompactDelete,
                _ => return None,
            };
            Some(())
        },
    },
    Setting {
        name: "delete.retention.ms",
        values: "milliseconds",
        put: |settings, value| take(&mut settings.log.delete_retention, millis(value)),
    },
    Setting {
        name: "internal.segment.bytes",
        values: "14 bytes or more",
        put: |settings, value| segment_bytes(settings, value, LEAST_INTERNAL_SEGMENT),
    },
    Setting {
        name: "max.message.bytes",
        values: "bytes",
        put: |settings, value| take(&mut settings.max_message_bytes, value.parse().ok()),
    },
    Setting {
        name: "min.cleanable.dirty.ratio",
        values: "a number of 0 to 1",
        put: |settings, value| take(&mut settings.log.min_cleanable, Ratio::parse(value)),
    },
    Setting {
        name: "min.compaction.lag.ms",
        values: "milliseconds",
        put: |settings, value| take(&mut settings.log.min_compaction_lag, millis(value)),
    },
    Setting {
        name: "min.insync.replicas",
        values: "a number of 1 or more",
        put: |settings, value| {
            take(&mut settings.min_insync, value.parse().ok().filter(|replicas| *replicas >= 1))
        },
    },
    Setting {
        name: "retention.bytes",
        values: "bytes, or -1 for no limit",
        put: |settings, value| {
            let limit = if value == "-1" { None } else { Some(value.parse().ok()?) };
            take(&mut settings.log.retention_bytes, Some(limit))
        },
    },
    Setting {
        name: "retention.ms",
        values: "milliseconds, or -1 for ever",
        put: |settings, value| {
            let limit = if value == "-1" { None } else { Some(millis(value)?) };
            take(&mut settings.log.retention, Some(limit))
        },
    },
    Setting {
        name: "segment.bytes",
        values: "1048576 bytes or more",
        put: |settings, value| segment_bytes(settings, value, LEAST_SEGMENT),
    },
    Setting {
        name: "segment.ms",
        values: "1 millisecond or more",
        put: |settings, value| {
            take(&mut settings.log.segment_age, millis(value).filter(|age| !age.is_zero()))
        },
    },
    Setting {
        name: "unclean.leader.election.enable",
        values: "true or false",
        put: |settings, value| take(&mut settings.unclean_election, value.parse().ok()),
    },
];

/// Every name that can be set, in alphabetical order.
pub fn names() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().map(|setting| setting.name)
}

/// Sets one name of a topic.
///
/// # Errors
/// `INVALID_CONFIG` when there is no such name, with the nearest one, or when the value is not one of its values.
pub fn set(settings: &mut TopicSettings, name: &str, value: &str) -> Result<(), Error> {
    let invalid = |message| Error::new(ErrorClass::Refused, "INVALID_CONFIG", message);
    let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) else {
        let hint = match crate::words::nearest(name, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("it models {}", names().collect::<Vec<_>>().join(", ")),
        };
        return Err(invalid(format!(
            "the simulated kafka does not model the topic setting `{name}`: {hint}"
        )));
    };
    let values = setting.values;
    (setting.put)(settings, value.trim())
        .ok_or_else(|| invalid(format!("the topic setting `{name}` cannot be `{value}`: it takes {values}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::{controller::default_settings, profile::kafka_4_3};

    fn after(name: &str, value: &str) -> Result<TopicSettings, Error> {
        let mut settings = default_settings(1, &kafka_4_3());
        set(&mut settings, name, value).map(|()| settings)
    }

    #[test]
    fn b11_b12_the_defaults_are_those_of_kafka() {
        let log = default_settings(1, &kafka_4_3()).log;
        assert_eq!((log.segment_bytes, log.segment_age), (1_073_741_824, Duration::from_secs(7 * 86_400)));
        assert_eq!((log.retention, log.retention_bytes), (Some(Duration::from_secs(7 * 86_400)), None));
        assert_eq!((log.cleanup, log.min_cleanable), (Cleanup::Delete, Ratio::HALF));
        assert_eq!(log.min_compaction_lag, Duration::ZERO);
        assert_eq!(log.delete_retention, Duration::from_secs(86_400));
    }

    #[test]
    fn every_name_takes_a_value_and_refuses_nonsense() {
        for name in names() {
            assert!(after(name, "nonsense").is_err(), "{name}");
        }
        for (name, value) in [
            ("cleanup.policy", "delete,compact"),
            ("min.cleanable.dirty.ratio", "0.01"),
            ("retention.ms", "-1"),
            ("retention.bytes", "1000"),
            ("segment.bytes", "1048576"),
            ("internal.segment.bytes", "14"),
            ("unclean.leader.election.enable", "true"),
        ] {
            assert!(after(name, value).is_ok(), "{name}: {value}");
        }
        assert_eq!(
            after("cleanup.policy", "delete,compact").map(|s| s.log.cleanup),
            Ok(Cleanup::CompactDelete)
        );
        assert!(after("segment.bytes", "1048575").is_err() && after("internal.segment.bytes", "13").is_err());
        assert!(after("min.insync.replicas", "0").is_err());
    }

    #[test]
    fn an_unknown_name_is_an_error_with_a_suggestion() {
        let error = after("retention.mss", "1").expect_err("there is none");
        assert!(error.message.contains("did you mean `retention.ms`?"), "{}", error.message);
        let error = after("colour", "red").expect_err("there is none");
        assert!(
            error.message.contains("it models cleanup.policy, delete.retention.ms, internal"),
            "{}",
            error.message
        );
    }

    #[test]
    fn a_ratio_is_exact() {
        assert_eq!(Ratio::parse("0.5"), Some(Ratio::HALF));
        assert_eq!(Ratio::parse("1"), Ratio::millionths(1_000_000));
        assert_eq!(Ratio::parse("0.123456"), Ratio::millionths(123_456));
        for wrong in ["1.000001", "0.1234567", "-0.5", "", "x", "0.5x"] {
            assert_eq!(Ratio::parse(wrong), None, "{wrong}");
        }
        assert!(!Ratio::HALF.is_exceeded(1, 2) && Ratio::HALF.is_exceeded(51, 100));
    }
}
