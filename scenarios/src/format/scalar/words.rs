//! Words with a meaning, and small numbers: roles, acks, broker settings, counts.

use super::{ScalarError, text_scalar};
use crate::format::suggest;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, Visitor},
};
use squall_bus::{Acks, Role};
use std::{fmt, str::FromStr};

/// What a fault is aimed at: `leader(orders/0)`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RoleText(pub Role);

const ROLES: [&str; 9] =
    ["leader", "follower", "followers", "coordinator", "controller", "minority", "client", "node", "all"];

impl FromStr for RoleText {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let text = text.trim();
        text.parse().map(Self).map_err(|error| {
            let name = text.split('(').next().unwrap_or_default();
            match suggest::nearest(name, ROLES) {
                Some(near) if near != name => {
                    let rest = &text[name.len()..];
                    ScalarError::new(
                        format!("`{}` is not a role", crate::format::tree::shorten(text)),
                        format!("did you mean `{near}{rest}`?"),
                    )
                }
                _ => {
                    let message = error.to_string();
                    let (message, help) = message
                        .split_once("; ")
                        .unwrap_or((&message, "roles are written as in leader(orders/0)"));
                    ScalarError::new(message, help)
                }
            }
        })
    }
}

impl fmt::Display for RoleText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

text_scalar!(
    RoleText,
    "a role such as `leader(orders/0)`, `coordinator(billing)`, `controller`, `minority`, `client(producer-1)` or `node(2)`",
    bare: |number| ScalarError::new(format!("the number `{number}` is not a role"), format!("did you mean `node({number})`?")),
    pattern: r"^\s*(leader\(.+/[0-9]+\)|follower\(.+/[0-9]+\)|followers\(.+/[0-9]+\)|coordinator\(.+\)|controller|minority|client\(.+\)|node\([1-9][0-9]*\)|all)\s*$",
    example: "leader(order-events/0)"
);

/// `all`, `1` or `0`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AcksChoice(pub Acks);

impl Serialize for AcksChoice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for AcksChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Word;
        impl Visitor<'_> for Word {
            type Value = AcksChoice;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`all`, `1` or `0`")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<AcksChoice, E> {
                match number {
                    0 => Ok(AcksChoice(Acks::None)),
                    1 => Ok(AcksChoice(Acks::One)),
                    _ => Err(E::custom(format!("acks `{number}` does not exist\nwrite `all`, `1` or `0`"))),
                }
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<AcksChoice, E> {
                match number {
                    -1 => Ok(AcksChoice(Acks::All)),
                    _ => Err(E::custom(format!("acks `{number}` does not exist\nwrite `all`, `1` or `0`"))),
                }
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<AcksChoice, E> {
                match word {
                    "all" | "-1" => Ok(AcksChoice(Acks::All)),
                    "1" => Ok(AcksChoice(Acks::One)),
                    "0" => Ok(AcksChoice(Acks::None)),
                    other => Err(E::custom(format!(
                        "acks `{}` does not exist\nwrite `all`, `1` or `0`",
                        crate::format::tree::shorten(other)
                    ))),
                }
            }
        }
        deserializer.deserialize_any(Word)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for AcksChoice {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Acks".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "What counts as acknowledged: every in-sync replica (`all`), the leader (`1`), nothing (`0`).",
            "enum": ["all", 1, 0, -1, "1", "0", "-1"],
        })
    }
}

/// The value of a broker's own setting: text, a number or a truth value, passed on as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Setting(pub String);

impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Setting;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number, `true` or `false`")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Setting, E> {
                Ok(Setting(value.to_string()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Setting, E> {
                Ok(Setting(value.to_string()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Setting, E> {
                Ok(Setting(value.to_string()))
            }

            fn visit_bytes<E: Error>(self, number: &[u8]) -> Result<Setting, E> {
                Ok(Setting(String::from_utf8_lossy(number).into_owned()))
            }

            fn visit_str<E>(self, value: &str) -> Result<Setting, E> {
                Ok(Setting(value.to_owned()))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Setting {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Setting".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "The value of a broker's own setting, passed on as it is written.",
            "type": ["string", "number", "boolean"],
        })
    }
}

/// A number of things, at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Count(u32);

impl Count {
    /// One.
    pub const ONE: Self = Self(1);

    /// This many; at least 1.
    #[must_use]
    pub const fn new(count: u32) -> Self {
        Self(if count == 0 { 1 } else { count })
    }

    /// How many.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number from 1 to 1000000")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Count, E> {
                match u32::try_from(number) {
                    Ok(0) => Err(E::custom("expected at least 1, found `0`\nwrite 1 or more")),
                    Ok(count) if count <= 1_000_000 => Ok(Count(count)),
                    _ => Err(E::custom(format!("the number `{number}` is too large\nwrite at most 1000000"))),
                }
            }
        }
        deserializer.deserialize_u32(Number)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Count {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Count".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "integer", "minimum": 1, "maximum": 1_000_000 })
    }
}
