//! Histories of Jepsen's Kafka and list-append workloads.
//!
//! **Files.** EDN (operations one after the other, as in `history.edn`, or in one vector) or JSON Lines, one operation a
//! line (or all in one array): `{index, time, process, type, f, value}`, perhaps with `rebalance_log`. Which it is is seen
//! by the first bytes. `time` is in nanoseconds; `type` is `invoke`, `ok`, `fail` or `info`. Keys and values may be
//! numbers, strings or keywords; what else an operation carries is passed over. What the process `nemesis` does becomes
//! faults and their healing. Other operations than those below, which only look around, are skipped and counted.
//!
//! **Operations.** `value` is one micro-operation or a list of them: `["send", key, value]`, when it is known where
//! `["send", key, [offset, value]]`; `["poll"]`, with what was read `["poll", {key: [[offset, value], ...]}]`;
//! `["append", key, value]`; `["r", key, [values]]`. `assign` and `subscribe` carry a list of keys. A completion without
//! an invocation stands for an operation that was invoked just before.
//!
//! **What becomes of them.** A key is a unit, partition 0 of a topic of its name. An operation `txn`, or one of several
//! micro-operations, or one of `append` and `r`, is a transaction: its sends and polls begin when it does and end just
//! before it does. A fourth word: `crash` ends the life of a process. A process that polls in a history without any
//! `assign` and `subscribe` is taken to have chosen all units; of what a group shares out nobody says who owns it, nor
//! where a reader goes on in the keys that its `rebalance_log` names. A record that is polled without its offset stands
//! where another operation says; if none does it is not told. Values are unique per key only; where one stands under two
//! keys, the value `v` of the `n`-th key becomes `n`·10⁹ + `v`, and what is no such number gets a number from 2⁶².
//! Reports quote the lines of the file ([`History::line`]).
//!
//! A read of a list is a read of the whole unit from its beginning: its places are the places in the list. If some
//! successful read of a list began after every successful append to it had ended, the last such read is its final drain.
//!
//! **What is promised** ([`Imported::history`]'s head): as these workloads are run by default. Kafka: acks from all,
//! idempotent, read-committed. List-append: the same, and transactions in the order of real time, for Elle's default is
//! strict serializability. The caller may set other guarantees.
//!
//! **Source.** The namespace docs of `jepsen.tests.kafka` and of Elle's list-append, for the encodings.

mod edn;
mod form;
mod json;
mod nemesis;
mod op;
mod pairs;
mod tell;
mod values;

use crate::History;
use std::io::{self, Read};

/// The largest file that is read, in bytes: operations are kept in memory.
const LARGEST: u64 = 4 << 30;

/// Which workload a history is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Sends and polls.
    Kafka,
    /// Appends to lists, and reads of them.
    ListAppend,
}

/// A history that was read.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The history, with the promises that the workload makes by default in its head.
    pub history: History,
    /// What it is of.
    pub workload: Workload,
    /// How many operations were read.
    pub ops: usize,
    /// How many of these were skipped, because nothing can be judged by them.
    pub skipped: usize,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
#[error("{file}:{line}: {problem}")]
pub struct ImportError {
    /// The file's name.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong at a line.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The file cannot be read.
    #[error("cannot read the file: {0}")]
    Io(#[from] io::Error),
    /// It is too large.
    #[error("the file is larger than 4 GiB")]
    TooLarge,
    /// It is not text.
    #[error("the file is not UTF-8 text")]
    NotText,
    /// There are no operations.
    #[error("there is no operation of a client to judge in the file{}", others(.0))]
    Empty(Vec<String>),
    /// Not EDN, or not JSON.
    #[error("this is not {0}: {1}")]
    Syntax(&'static str, String),
    /// Not an operation.
    #[error("this is no operation: {0}")]
    Op(String),
    /// An operation that ends otherwise than it began.
    #[error("the operation ends with other micro-operations than it began with: {0}")]
    Mismatch(String),
    /// Sends and appends in one history.
    #[error("the history has both sends or polls and appends or reads of lists; it must be of one workload")]
    Mixed,
}

/// What else was in the file.
fn others(names: &[String]) -> String {
    let list = names.iter().take(8).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let judged = "txn, send, poll, append, r, assign, subscribe and crash can be judged";
    if names.is_empty() { String::new() } else { format!(", only {list}; {judged}") }
}

/// A problem with its line, as long as the file's name does not matter.
type Fault = (u64, Problem);

/// Reads a history. `file` is its name in errors.
///
/// # Errors
/// When the file cannot be read, or is not a history of these workloads.
pub fn read(reader: impl Read, file: &str) -> Result<Imported, ImportError> {
    import(reader).map_err(|(line, problem)| ImportError { file: file.to_owned(), line, problem })
}

fn import(reader: impl Read) -> Result<Imported, Fault> {
    let mut bytes = Vec::new();
    reader.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| (1, error.into()))?;
    if bytes.len() as u64 > LARGEST {
        return Err((1, Problem::TooLarge));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let sound = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        (1 + sound.iter().filter(|byte| **byte == b'\n').count() as u64, Problem::NotText)
    })?;
    let forms = if is_json(&text) { json::forms(&text)? } else { edn::forms(&text)? };
    let (ops, skipped) = op::ops(forms)?;
    tell::tell(&ops, skipped)
}

/// JSON's maps begin with a name in quotes, or are empty; EDN's do not, in a history.
fn is_json(text: &str) -> bool {
    let mut rest = text.trim_start_matches(['\u{feff}', '[', ' ', '\n', '\r', '\t', ',']).chars();
    rest.next() == Some('{') && rest.find(|c| !c.is_whitespace()).is_some_and(|c| c == '"')
}

#[cfg(test)]
mod tests;
