//! The document as a tree in which every node knows its place, before it has a type.
//!
//! A scenario is read in two steps: text to tree (here, by `serde-saphyr`, which finds bad syntax, duplicate
//! keys and alias bombs), then tree to types ([`super::typed`]). Between the two `--set` arguments replace
//! nodes, and their nodes carry places in the argument; so every later error knows whether the file or an
//! argument is to blame, and where.
//!
//! Scalars that YAML would call floats keep their text: nothing here computes with floats.

use super::error::Problem;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{
    Error as YamlError, Location, Options, Spanned, budget::BudgetBreach, options::DuplicateKeyPolicy,
};
use std::{collections::BTreeSet, fmt};

/// No scenario file is larger, in bytes.
pub const MAX_FILE_BYTES: usize = 1 << 20;
/// How deep maps and lists may nest.
const MAX_DEPTH: usize = 32;
/// How many nodes a file may have, with its aliases expanded.
const MAX_NODES: usize = 50_000;

/// A place: bytes `start..start + len` of a source. Source 0 is the file, source `n` the `n`-th `--set`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Origin {
    pub(crate) source: usize,
    pub(crate) start: usize,
    pub(crate) len: usize,
}

/// One node of the document.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) origin: Origin,
    pub(crate) value: Value,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    /// A number with a fraction or an exponent, as it was written.
    Float(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key of a map.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) origin: Origin,
    pub(crate) text: String,
}

impl Node {
    /// Reads `text`, which is source `source` from byte `offset` on.
    pub(crate) fn parse(text: &str, source: usize, offset: usize) -> Result<Self, Problem> {
        let at = Sourced { text, source, offset };
        let raw: Spanned<Raw> =
            serde_saphyr::from_str_with_options(text, options()).map_err(|error| at.problem(&error))?;
        at.node(raw)
    }

    /// Of something that was never written down.
    pub(crate) fn nowhere() -> Self {
        Self { origin: Origin::default(), value: Value::Null }
    }

    /// The value under `key`, if this is a map that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(k, _)| k.text == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// What this is, for a person: `the number 7`, `a map`.
    pub(crate) fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(value) => format!("`{value}`"),
            Value::Unsigned(value) => format!("the number `{value}`"),
            Value::Signed(value) => format!("the number `{value}`"),
            Value::Float(text) => format!("the number `{text}`"),
            Value::Text(text) => format!("the text `{}`", shorten(text)),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
        }
    }
}

/// The first forty characters of a text, without line breaks.
pub(crate) fn shorten(text: &str) -> String {
    let line: String = text.chars().take(40).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(40).is_some() { format!("{line}...") } else { line }
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: 4 * MAX_NODES,
            max_documents: 1,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_total_scalar_bytes: MAX_FILE_BYTES,
            flow_nesting_limit: 2 * MAX_DEPTH,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_NODES,
            max_replay_stack_depth: 16,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        strict_booleans: true,
        with_snippet: false,
    }
}

/// A node as the YAML reader yields it.
enum Raw {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float,
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(u64::try_from(value).map_or(Raw::Signed(value), Raw::Unsigned))
    }

    fn visit_i128<E>(self, _: i128) -> Result<Raw, E> {
        Ok(Raw::Float)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Raw, E> {
        Ok(Raw::Float)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Float)
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map: Vec<(Spanned<String>, Spanned<Raw>)> = Vec::new();
        while let Some((key, value)) = entries.next_entry::<Spanned<String>, Spanned<Raw>>()? {
            map.push((key, value));
        }
        Ok(Raw::Map(map))
    }
}

/// Turns the reader's places into origins.
struct Sourced<'a> {
    text: &'a str,
    source: usize,
    offset: usize,
}

impl Sourced<'_> {
    fn node(&self, raw: Spanned<Raw>) -> Result<Node, Problem> {
        let origin = self.origin(raw.defined);
        let value = match raw.value {
            Raw::Null => Value::Null,
            Raw::Bool(value) => Value::Bool(value),
            Raw::Unsigned(value) => Value::Unsigned(value),
            Raw::Signed(value) => Value::Signed(value),
            Raw::Float => Value::Float(self.slice(origin)),
            Raw::Text(text) => Value::Text(text),
            Raw::List(items) => {
                Value::List(items.into_iter().map(|item| self.node(item)).collect::<Result<_, _>>()?)
            }
            Raw::Map(entries) => Value::Map(self.map(entries)?),
        };
        Ok(Node { origin, value })
    }

    /// The reader refuses equal keys, but takes `1` and `"1"` for two.
    fn map(&self, entries: Vec<(Spanned<String>, Spanned<Raw>)>) -> Result<Vec<(Key, Node)>, Problem> {
        let mut known = BTreeSet::new();
        let mut map = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let key = self.key(key);
            if !known.insert(key.text.clone()) {
                let message = format!("the key `{}` stands twice in one map", shorten(&key.text));
                return Err(Problem::at(key.origin, message).help(KEEP_ONE));
            }
            map.push((key, self.node(value)?));
        }
        Ok(map)
    }

    fn key(&self, key: Spanned<String>) -> Key {
        Key { origin: self.origin(key.defined), text: key.value }
    }

    fn origin(&self, location: Location) -> Origin {
        let span = location.span();
        let start = self.start(location);
        let len = span.byte_len().map_or(1, |len| usize::try_from(len).unwrap_or(usize::MAX));
        let len = len.min(self.text.len() - start);
        Origin { source: self.source, start: start + self.offset, len }
    }

    /// The byte where a location begins; found by line and column when the reader did not count bytes.
    fn start(&self, location: Location) -> usize {
        let by_line = || {
            let line = usize::try_from(location.line()).unwrap_or(usize::MAX).saturating_sub(1);
            let column = usize::try_from(location.column()).unwrap_or(usize::MAX).saturating_sub(1);
            let begin = match line {
                0 => 0,
                _ => self.text.match_indices('\n').nth(line - 1).map_or(self.text.len(), |(i, _)| i + 1),
            };
            let rest = &self.text[begin..];
            begin + rest.char_indices().nth(column).map_or(rest.len(), |(i, _)| i)
        };
        let start = match location.span().byte_offset() {
            Some(byte) => usize::try_from(byte).unwrap_or(usize::MAX),
            None => by_line(),
        };
        let mut start = start.min(self.text.len());
        while !self.text.is_char_boundary(start) {
            start -= 1;
        }
        start
    }

    fn slice(&self, origin: Origin) -> String {
        let start = origin.start - self.offset;
        self.text.get(start..start + origin.len).unwrap_or_default().trim().to_owned()
    }

    fn problem(&self, error: &YamlError) -> Problem {
        let error = error.without_snippet();
        let (message, help) = explain(error);
        let origin = error.location().filter(|location| location.line() > 0).map_or(
            Origin { source: self.source, start: self.offset, len: 0 },
            |location| {
                let origin = self.origin(location);
                Origin { len: origin.len.max(1), ..origin }
            },
        );
        Problem::at(origin, message).help(help)
    }
}

const KEEP_ONE: &str = "keep one of the two";

/// What the reader's error means, and what to do.
fn explain(error: &YamlError) -> (String, String) {
    let (message, help): (String, &str) = match error {
        YamlError::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().map_or_else(String::new, |key| format!(" `{}`", shorten(key)));
            (format!("the key{key} stands twice in one map"), KEEP_ONE)
        }
        YamlError::AliasReplayLimitExceeded { .. }
        | YamlError::AliasReplayStackDepthExceeded { .. }
        | YamlError::AliasExpansionLimitExceeded { .. }
        | YamlError::AliasReplayCounterOverflow { .. } => (
            format!("the aliases expand to more than {MAX_NODES} values"),
            "write the values out, or use fewer aliases",
        ),
        YamlError::AliasError { error, .. } => return explain(error),
        YamlError::Budget { breach: BudgetBreach::Documents { .. }, .. }
        | YamlError::MultipleDocuments { .. } => (
            "the file holds more than one document".to_owned(),
            "keep one scenario in each file: remove the `---` between them",
        ),
        YamlError::Budget { breach, .. } => {
            return (
                budget(breach),
                "a scenario is small: split it, or check that this is a scenario file".to_owned(),
            );
        }
        YamlError::UnknownAnchor { .. } => {
            ("the alias has no anchor".to_owned(), "define it before its use, as in `&name value`")
        }
        YamlError::RecursiveReferencesRequireWeakTypes { .. } => {
            ("the alias contains itself".to_owned(), "write the value out")
        }
        YamlError::Eof { .. } => {
            ("the file ends too early".to_owned(), "close what is still open; a scenario begins with `name:`")
        }
        other => {
            let text = other.to_string();
            if text.contains("recursion limit") {
                return (too_deep(), "a scenario is flat: check that this is a scenario file".to_owned());
            }
            let text = text.split(" at line ").next().unwrap_or_default();
            (
                format!("this is not valid YAML: {}", shorten_line(text)),
                "check the indentation, quotes and brackets around this place",
            )
        }
    };
    (message, help.to_owned())
}

fn too_deep() -> String {
    format!("maps and lists nest deeper than {MAX_DEPTH} levels")
}

fn budget(breach: &BudgetBreach) -> String {
    match breach {
        BudgetBreach::Depth { .. } => too_deep(),
        BudgetBreach::Nodes { .. } | BudgetBreach::Events { .. } => {
            format!("the file has more than {MAX_NODES} values")
        }
        BudgetBreach::Aliases { .. }
        | BudgetBreach::Anchors { .. }
        | BudgetBreach::AliasAnchorRatio { .. }
        | BudgetBreach::RecordedAnchorEvents { .. }
        | BudgetBreach::RecordedAnchorBytes { .. }
        | BudgetBreach::MergeKeys { .. } => "the file has too many aliases".to_owned(),
        _ => "the file is too large to be a scenario".to_owned(),
    }
}

fn shorten_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(160).collect()
}
