//! Tree to types: a serde deserializer over the positioned tree.
//!
//! Types are plain serde types; this gives their errors a place, a path and a suggestion. The place of an
//! error is the innermost node that was being read when it arose. It accepts exactly what is written: text
//! is not a number, a number is not text, and nothing is converted in silence.

use super::{
    error::Problem,
    suggest,
    tree::{Key, Node, Origin, Value, shorten},
};
use serde::{
    de::{
        self, DeserializeOwned, DeserializeSeed, EnumAccess, Expected, MapAccess, SeqAccess, Unexpected,
        VariantAccess, Visitor,
    },
    forward_to_deserialize_any,
};
use std::fmt;

/// Reads a value of type `T` from the tree.
pub(crate) fn from_node<T: DeserializeOwned>(node: &Node) -> Result<T, Problem> {
    T::deserialize(Typed { node }).map_err(Mistake::into_problem)
}

/// An error on its way out: it gains a place and a path as it leaves the nodes.
#[derive(Debug)]
struct Mistake {
    origin: Option<Origin>,
    path: Vec<String>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Said { message: String, help: Option<String> },
    Missing { key: &'static str },
}

impl Mistake {
    fn said(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            origin: None,
            path: Vec::new(),
            kind: Kind::Said { message: message.into(), help: Some(help.into()) },
        }
    }

    fn at(mut self, origin: Origin) -> Self {
        self.origin.get_or_insert(origin);
        self
    }

    fn inside(mut self, step: &str) -> Self {
        self.path.push(step.to_owned());
        self
    }

    fn into_problem(self) -> Problem {
        let path: Vec<&str> = self.path.iter().rev().map(String::as_str).collect();
        let place = if path.is_empty() { "the file".to_owned() } else { format!("`{}`", path.join(".")) };
        let (message, help) = match self.kind {
            Kind::Said { message, help } => (message, help),
            Kind::Missing { key } => {
                (format!("{place} lacks the key `{key}`"), Some(format!("add `{key}: ...` to {place}")))
            }
        };
        Problem { origin: self.origin, message, help }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Said { message, .. } => f.write_str(message),
            Kind::Missing { key } => write!(f, "the key `{key}` is missing"),
        }
    }
}

impl std::error::Error for Mistake {}

impl de::Error for Mistake {
    /// The first line is the message, a second one the help.
    fn custom<T: fmt::Display>(text: T) -> Self {
        let text = text.to_string();
        let (message, help) = match text.split_once('\n') {
            Some((message, help)) => (message.to_owned(), Some(help.to_owned())),
            None => (text, None),
        };
        Self { origin: None, path: Vec::new(), kind: Kind::Said { message, help } }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::said(
            format!("expected {expected}, found {}", describe(found)),
            format!("write {expected} here"),
        )
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::said(
            format!("unknown key `{}`", shorten(field)),
            suggest::or_list(field, expected.iter().copied(), "the keys here are"),
        )
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::said(
            format!("`{}` is not a value that this key can have", shorten(variant)),
            suggest::or_list(variant, expected.iter().copied(), "the values are"),
        )
    }

    fn missing_field(key: &'static str) -> Self {
        Self { origin: None, path: Vec::new(), kind: Kind::Missing { key } }
    }
}

fn describe(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(value) => format!("the number `{value}`"),
        Unexpected::Signed(value) => format!("the number `{value}`"),
        Unexpected::Float(value) => format!("the number `{value}`"),
        Unexpected::Str(text) => format!("the text `{}`", shorten(text)),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a map".to_owned(),
        other => other.to_string(),
    }
}

/// One node as a deserializer.
#[derive(Clone, Copy)]
struct Typed<'a> {
    node: &'a Node,
}

impl<'a> Typed<'a> {
    fn wants(self, what: &str, help: impl Into<String>) -> Mistake {
        Mistake::said(format!("expected {what}, found {}", self.node.describe()), help).at(self.node.origin)
    }

    fn map<'de, V: Visitor<'de>>(self, entries: &'a [(Key, Node)], visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_map(Entries { rest: entries.iter(), current: None })
    }

    fn number<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match &self.node.value {
            Value::Unsigned(value) => visitor.visit_u64(*value),
            Value::Signed(value) => visitor.visit_i64(*value),
            Value::Text(text) if text.parse::<u64>().is_ok() => {
                Err(self.wants("a whole number", "write the number without quotes"))
            }
            _ => Err(self.wants("a whole number", "write a whole number, such as 3")),
        }
    }
}

/// Every number type is read alike: as a whole number whose range the target type checks.
macro_rules! numbers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
            self.number(visitor).map_err(|mistake| mistake.at(self.node.origin))
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Typed<'_> {
    type Error = Mistake;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        let read = match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Unsigned(value) => visitor.visit_u64(*value),
            Value::Signed(value) => visitor.visit_i64(*value),
            // The text goes to the visitor as bytes: only settings take it, and nobody takes it for text.
            Value::Float(text) => visitor.visit_bytes(text.as_bytes()),
            Value::Text(text) => visitor.visit_str(text),
            Value::List(items) => visitor.visit_seq(Items { rest: items.iter().enumerate() }),
            Value::Map(entries) => self.map(entries, visitor),
        };
        read.map_err(|mistake| mistake.at(self.node.origin))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        keys: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        let read = match &self.node.value {
            Value::Map(entries) => self.map(entries, visitor),
            _ => {
                let keys = keys.join(", ");
                Err(self.wants("a map", format!("write `key: value` lines here; the keys are {keys}")))
            }
        };
        read.map_err(|mistake| mistake.at(self.node.origin))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match &self.node.value {
            Value::Map(entries) => self.map(entries, visitor).map_err(|mistake| mistake.at(self.node.origin)),
            _ => Err(self.wants("a map", "write `name: ...` lines here")),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match &self.node.value {
            Value::List(items) => visitor
                .visit_seq(Items { rest: items.iter().enumerate() })
                .map_err(|mistake| mistake.at(self.node.origin)),
            _ => Err(self.wants("a list", "write `- ...` lines here, or `[...]`")),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        let read = match &self.node.value {
            Value::Text(text) => visitor.visit_str(text),
            Value::Unsigned(number) => Err(self.wants("text", format!("write it in quotes: \"{number}\""))),
            Value::Float(number) => Err(self.wants("text", format!("write it in quotes: \"{number}\""))),
            _ => Err(self.wants("text", "write a text here")),
        };
        read.map_err(|mistake| mistake.at(self.node.origin))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match &self.node.value {
            Value::Bool(value) => visitor.visit_bool(*value),
            _ => Err(self.wants("`true` or `false`", "write `true` or `false`")),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        values: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        let read = match &self.node.value {
            Value::Text(text) => visitor.visit_enum(Word { text }),
            _ => Err(self.wants("one word", format!("the values are {}", values.join(", ")))),
        };
        read.map_err(|mistake| mistake.at(self.node.origin))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        visitor.visit_newtype_struct(self)
    }

    numbers! {
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
    }

    forward_to_deserialize_any! {
        f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

/// The entries of a map.
struct Entries<'a> {
    rest: std::slice::Iter<'a, (Key, Node)>,
    current: Option<&'a (Key, Node)>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Mistake;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Mistake> {
        self.current = self.rest.next();
        let Some((key, _)) = self.current else { return Ok(None) };
        let deserializer = de::value::StrDeserializer::new(&key.text);
        seed.deserialize(deserializer).map(Some).map_err(|mistake: Mistake| mistake.at(key.origin))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Mistake> {
        let Some((key, node)) = self.current else {
            return Err(Mistake::said("a value was asked for before its key", "report this as a defect"));
        };
        seed.deserialize(Typed { node }).map_err(|mistake| mistake.at(node.origin).inside(&key.text))
    }
}

/// The items of a list.
struct Items<'a> {
    rest: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Mistake;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Mistake> {
        let Some((index, node)) = self.rest.next() else { return Ok(None) };
        seed.deserialize(Typed { node })
            .map(Some)
            .map_err(|mistake| mistake.at(node.origin).inside(&index.to_string()))
    }
}

/// One word as an enum without contents.
struct Word<'a> {
    text: &'a str,
}

impl<'de> EnumAccess<'de> for Word<'_> {
    type Error = Mistake;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Mistake> {
        let value = seed.deserialize(de::value::StrDeserializer::<Mistake>::new(self.text))?;
        Ok((value, self))
    }
}

impl<'de> VariantAccess<'de> for Word<'_> {
    type Error = Mistake;

    fn unit_variant(self) -> Result<(), Mistake> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _seed: T) -> Result<T::Value, Mistake> {
        Err(Mistake::said("a word has no contents", "write a single word here"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, _visitor: V) -> Result<V::Value, Mistake> {
        Err(Mistake::said("a word has no contents", "write a single word here"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Mistake> {
        Err(Mistake::said("a word has no contents", "write a single word here"))
    }
}
