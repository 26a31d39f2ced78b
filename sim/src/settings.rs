//! What a scenario may say about the brokers of a bus: their version, and their configuration by the bus's own names.
//!
//! Rows of plain data, whichever bus they describe: [`brokers`] gives those of a bus by its name. The values are given to
//! the model by the module of the bus ([`crate::kafka::config`]).

use crate::{kafka, nats};
use std::fmt;

/// What can be said about the brokers of a bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerOptions {
    /// The versions that there are rules of, oldest first. The last one counts unless another is named.
    pub profiles: Vec<ProfileRow>,
    /// The configuration that the model heeds, by name.
    pub settings: Vec<SettingRow>,
}

impl BrokerOptions {
    /// The profile of this name.
    #[must_use]
    pub fn profile(&self, name: &str) -> Option<&ProfileRow> {
        self.profiles.iter().find(|profile| profile.name == name)
    }

    /// The setting of this name.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<&SettingRow> {
        self.settings.iter().find(|setting| setting.name == name)
    }
}

/// A version of a bus that there are rules of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileRow {
    /// Its name: `4.1`.
    pub name: &'static str,
    /// What distinguishes it, in half a sentence.
    pub about: String,
}

/// One setting of a bus's brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingRow {
    /// The bus's own name of it.
    pub name: &'static str,
    /// What it takes.
    pub kind: SettingKind,
    /// Its value unless another is given, as it is written: in a cluster that Squall starts, by the newest profile.
    pub default: String,
    /// What it does, in half a sentence.
    pub about: &'static str,
}

/// What a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingKind {
    /// A whole number, at least this.
    Count(u64),
    /// A whole number of bytes, at least this.
    Bytes(u64),
    /// A whole number of milliseconds, at least this.
    Millis(u64),
    /// A whole number of minutes, at least this.
    Minutes(u64),
    /// `true` or `false`.
    Flag,
}

impl SettingKind {
    /// Numbers of brokers' configurations are no larger, as in Java's `int`.
    pub const MOST: u64 = i32::MAX as u64;

    /// The unit: `ms`, `bytes`; nothing for a plain number or a flag.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Count(_) | Self::Flag => "",
            Self::Bytes(_) => "bytes",
            Self::Millis(_) => "ms",
            Self::Minutes(_) => "min",
        }
    }

    /// The number that this text is, or 0 and 1 for a flag; what to write instead if it is none.
    ///
    /// # Errors
    /// When the text is not such a value, or it is too small or too large: what to write, as a sentence.
    pub fn number(self, text: &str) -> Result<u64, String> {
        let least = match self {
            Self::Flag => {
                return match text {
                    "true" => Ok(1),
                    "false" => Ok(0),
                    _ => Err("write `true` or `false`".to_owned()),
                };
            }
            Self::Count(least) | Self::Bytes(least) | Self::Millis(least) | Self::Minutes(least) => least,
        };
        match text.parse::<u64>() {
            Ok(number) if (least..=Self::MOST).contains(&number) => Ok(number),
            Ok(_) => Err(format!("write a number from {least} to {}", Self::MOST)),
            Err(_) => Err(format!("write {self}, as in {}", least.max(1) * 1_000)),
        }
    }
}

impl fmt::Display for SettingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Count(_) => "a whole number",
            Self::Bytes(_) => "a whole number of bytes, without a unit",
            Self::Millis(_) => "a whole number of milliseconds, without a unit",
            Self::Minutes(_) => "a whole number of minutes, without a unit",
            Self::Flag => "`true` or `false`",
        })
    }
}

/// What can be said about the brokers of this bus; `None` if there is no model of it.
#[must_use]
pub fn brokers(bus: &str) -> Option<BrokerOptions> {
    match bus {
        "kafka" => Some(kafka::config::options()),
        "nats" => Some(nats::profile::options()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_what_its_kind_takes_or_says_what_to_write() {
        assert_eq!(SettingKind::Millis(1).number("6000"), Ok(6_000));
        let wrong = SettingKind::Millis(1).number("6s");
        assert_eq!(wrong, Err("write a whole number of milliseconds, without a unit, as in 1000".to_owned()));
        assert_eq!(SettingKind::Count(1).number("0"), Err("write a number from 1 to 2147483647".to_owned()));
        assert!(SettingKind::Bytes(0).number("2147483648").is_err());
        assert_eq!(SettingKind::Flag.number("true"), Ok(1));
        assert!(SettingKind::Flag.number("1").is_err());
    }

    #[test]
    fn every_bus_has_a_newest_profile_and_distinct_settings() {
        for bus in crate::BUSES {
            let options = brokers(bus).expect("there is a model");
            assert!(!options.profiles.is_empty());
            for (place, row) in options.settings.iter().enumerate() {
                assert!(options.settings[..place].iter().all(|other| other.name != row.name), "{}", row.name);
                assert!(row.kind.number(&row.default).is_ok(), "{}: {}", row.name, row.default);
            }
        }
        assert!(brokers("mqtt").is_none());
    }
}
