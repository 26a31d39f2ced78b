//! `--set workload.producers.acks=1`: any key of the file, from the command line.
//!
//! The left side is a path of keys joined by dots, with numbers for the entries of lists, from 0. A key that
//! itself has dots is found if the file has it, and otherwise written in quotes
//! (`topology.topics.orders.config."retention.ms"=1000`). The right side is YAML; nothing, or `null`, unsets
//! the key. What it leads to is typed and checked like the file, and errors point into the argument.

use super::{
    error::{Problem, ScenarioError},
    tree::{Key, Node, Origin, Value, shorten},
};
use crate::bugs;
use std::{fmt, str::FromStr};

/// What a `--bug` argument sets.
const BUG: &str = "topology.bug=";

/// One `--set` argument: a path and a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    text: String,
    /// The keys with their places in the text.
    path: Vec<(String, usize, usize)>,
    /// Where the value begins.
    value: usize,
}

impl Override {
    /// `--bug ID`: the model has this bug, or the consumers do.
    ///
    /// # Errors
    /// When the id is none that could be written.
    pub fn of_bug(id: &str) -> Result<Self, ScenarioError> {
        bugs::of_program(id).unwrap_or_else(|| format!("{BUG}{id}").parse())
    }

    /// The bug, of such an argument.
    pub(crate) fn bug(&self) -> Option<&str> {
        self.text.strip_prefix(BUG)
    }

    /// The argument as it was given: it stands in every command that reproduces.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Override {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Override {
    type Err = ScenarioError;

    fn from_str(text: &str) -> Result<Self, ScenarioError> {
        let fail = |message: String, start: usize, len: usize| {
            let problem = Problem::at(Origin { source: 0, start, len }, message)
                .help("write --set KEY=VALUE, as in --set workload.producers.acks=1");
            ScenarioError::file("--set", text, problem)
        };
        let (path, equals) = split(text);
        let Some(equals) = equals else {
            return Err(fail(format!("the argument `{}` has no `=`", shorten(text)), 0, text.len()));
        };
        if let Some((_, start, _)) = path.iter().find(|(key, ..)| key.is_empty()) {
            return Err(fail("the path has an empty key".to_owned(), *start, 1));
        }
        Ok(Self { text: text.to_owned(), path, value: equals + 1 })
    }
}

/// The keys before the first `=` outside quotes, with start and length, and where that `=` is.
fn split(text: &str) -> (Vec<(String, usize, usize)>, Option<usize>) {
    let mut keys = Vec::new();
    let (mut key, mut start, mut quoted, mut equals) = (String::new(), 0, false, None);
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '.' if !quoted => {
                keys.push((std::mem::take(&mut key), start, at - start));
                start = at + 1;
            }
            '=' if !quoted => {
                equals = Some(at);
                break;
            }
            c => key.push(c),
        }
    }
    keys.push((key, start, equals.unwrap_or(text.len()) - start));
    (keys, equals)
}

/// Puts the value of `over`, which is source number `source`, into the tree.
pub(super) fn apply(root: &mut Node, over: &Override, source: usize) -> Result<(), Problem> {
    let text = &over.text[over.value..];
    let value = if text.trim().is_empty() {
        Node { origin: Origin { source, start: over.value, len: 0 }, value: Value::Null }
    } else {
        Node::parse(text, source, over.value)?
    };
    put(root, &over.path, source, value)
}

fn put(node: &mut Node, path: &[(String, usize, usize)], source: usize, value: Node) -> Result<(), Problem> {
    let [(key, start, len), rest @ ..] = path else {
        *node = value;
        return Ok(());
    };
    let origin = Origin { source, start: *start, len: *len };
    if matches!(node.value, Value::Null) {
        *node = Node { origin, value: Value::Map(Vec::new()) };
    }
    match &mut node.value {
        Value::Map(entries) => {
            let (name, rest) = longest_key(entries, path);
            let known = entries.iter().position(|(known, _)| known.text == name);
            if known.is_some() && rest.is_empty() && matches!(value.value, Value::Null) {
                entries.retain(|(known, _)| known.text != name);
                return Ok(());
            }
            let at = known.unwrap_or_else(|| {
                entries.push((Key { origin, text: name }, Node { origin, value: Value::Null }));
                entries.len() - 1
            });
            put(&mut entries[at].1, rest, source, value)
        }
        Value::List(items) => {
            let count = items.len();
            match key.parse::<usize>().ok().and_then(|index| items.get_mut(index)) {
                Some(item) => put(item, rest, source, value),
                None => Err(no_item(origin, key, count)),
            }
        }
        _ => {
            let found = node.describe();
            Err(Problem::at(origin, format!("there is no `{}` here: this is {found}", shorten(key)))
                .help("shorten the path: what stands before this key has no keys of its own"))
        }
    }
}

fn no_item(origin: Origin, key: &str, count: usize) -> Problem {
    let message = format!("the list has no entry `{}`", shorten(key));
    Problem::at(origin, message).help(match count {
        0 => "the list is empty: set it as a whole, as in --set 'faults=[{at: 10s, restart: controller}]'"
            .to_owned(),
        1 => "entries are named by number: the only one is 0".to_owned(),
        _ => format!("entries are named by number, from 0 to {}", count - 1),
    })
}

/// The longest run of keys that, joined by dots, the map has; else the first key alone.
fn longest_key<'p>(
    entries: &[(Key, Node)],
    path: &'p [(String, usize, usize)],
) -> (String, &'p [(String, usize, usize)]) {
    (1..=path.len())
        .rev()
        .map(|taken| {
            let joined: Vec<&str> = path[..taken].iter().map(|(key, ..)| key.as_str()).collect();
            (joined.join("."), &path[taken..])
        })
        .find(|(name, _)| entries.iter().any(|(key, _)| key.text == *name))
        .unwrap_or_else(|| (path[0].0.clone(), &path[1..]))
}
