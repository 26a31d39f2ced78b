//! From a file to its history.

mod event;
mod scan;

#[cfg(any(test, feature = "schema"))]
pub(super) use event::{KNOWN, OPERATIONS};

use super::line::{Header, MAGIC, VERSION};
use crate::{
    analysis::Writers,
    history::{History, Meta},
};
use event::Reader;
use scan::{Line, Plain};
use serde::{Deserialize, de::IgnoredAny};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
    path::Path,
};

/// The longest line, in bytes.
const LONGEST: u64 = 16 << 20;

/// What some editors write before the first line.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
#[error("{file}:{line}: {problem}")]
pub struct ReadError {
    /// The file's name.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The file cannot be read.
    #[error("cannot read the file: {0}")]
    Io(#[from] io::Error),
    /// There is no first line.
    #[error("the file is empty; a history begins with a header")]
    Empty,
    /// The first line is not a header.
    #[error("the first line is not the header of a history: {0}; one of another tool needs --import")]
    NoHeader(String),
    /// A version that this program does not know.
    #[error("the history has version {0}, and this program reads version {VERSION}; use a newer squall")]
    Version(u32),
    /// The file ends within a line.
    #[error("the file ends in the middle of this line: it was cut off")]
    CutOff,
    /// A line that is too long.
    #[error("the line is longer than 16 MiB; no event is")]
    TooLong,
    /// Not JSON, or not what `f` and `type` ask for.
    #[error("the line is damaged: {0}")]
    Damaged(String),
    /// Lines are missing or out of order.
    #[error("the event has index {found} where {expected} belongs: lines are missing or out of order")]
    Index {
        /// The index that belongs there.
        expected: u32,
        /// The index that stands there.
        found: u32,
    },
    /// The side of an operation that `f` does not have.
    #[error("`{f}` has no lines of type `{side}`")]
    Side {
        /// What the event is.
        f: String,
        /// The type in the line.
        side: &'static str,
    },
    /// A completion without its invocation.
    #[error("`invoke` names event {0}, which is no open `{1}` of this process")]
    NoInvoke(u32, String),
    /// A reference to another event that is not what it should be.
    #[error("`{field}` names event {event}, which is no {what}")]
    NoReference {
        /// The field.
        field: &'static str,
        /// The event that it names.
        event: u32,
        /// What it should be.
        what: &'static str,
    },
    /// Not a unit.
    #[error("`{0}` is not a unit; a unit is topic/partition, as in orders/0")]
    Unit(String),
    /// The highest number of 64 bits.
    #[error("18446744073709551615 is no value and no position; it is reserved")]
    Reserved,
    /// Two sends of one value.
    #[error("value {value} was sent on line {first} already; values name records and must be unique")]
    Repeated {
        /// The value.
        value: u64,
        /// The line of the first send.
        first: u64,
    },
}

/// Reads a history from a file.
///
/// # Errors
/// What is wrong with it, with the line.
pub fn load(path: &Path) -> Result<History, ReadError> {
    let name = path.display().to_string();
    match File::open(path) {
        Ok(file) => read(BufReader::with_capacity(1 << 16, file), &name),
        Err(error) => Err(ReadError { file: name, line: 0, problem: error.into() }),
    }
}

/// Reads a history as JSON Lines. `name` stands in errors.
///
/// # Errors
/// What is wrong with it, with the line.
pub fn read(mut from: impl BufRead, name: &str) -> Result<History, ReadError> {
    let mut number = 0;
    let mut buffer = Vec::new();
    let mut reader: Option<Reader> = None;
    let mut blanks = Vec::new();
    let result = loop {
        number += 1;
        match next_line(&mut from, &mut buffer) {
            Err(problem) => break Err(problem),
            Ok(false) => break Ok(()),
            Ok(true) => {}
        }
        let line = match number {
            1 => buffer.strip_prefix(BOM).unwrap_or(&buffer),
            _ => &buffer,
        };
        if line.first().is_none_or(u8::is_ascii_whitespace) && line.trim_ascii().is_empty() {
            blanks.push(number);
            continue;
        }
        let step = match &mut reader {
            None => header(line).map(|meta| reader = Some(Reader::new(meta))),
            Some(reader) => reader.line(line),
        };
        match step {
            Err(Problem::Damaged(_) | Problem::NoHeader(_)) if is_cut_off(line) => {
                break Err(Problem::CutOff);
            }
            Err(problem) => break Err(problem),
            Ok(()) => {}
        }
    };
    let fail = |line, problem| ReadError { file: name.to_owned(), line, problem };
    result.map_err(|problem| fail(number, problem))?;
    let mut history = reader.ok_or_else(|| fail(1, Problem::Empty))?.into_history();
    history.shrink();
    if let (_, Some((one, two))) = Writers::new(history.sends()) {
        let line = |row: u32| {
            let line = u64::from(history.sends()[row as usize].invoke.0) + 2;
            blanks.iter().fold(line, |line, blank| line + u64::from(*blank <= line))
        };
        let value = history.sends()[one as usize].value;
        return Err(fail(line(two), Problem::Repeated { value, first: line(one) }));
    }
    Ok(history)
}

/// Whether a line is the last one, and ends too early.
fn is_cut_off(line: &[u8]) -> bool {
    line.last() != Some(&b'\n')
        && serde_json::from_slice::<IgnoredAny>(line).is_err_and(|error| error.is_eof())
}

/// Reads a line with its end; `false` at the end of the file.
fn next_line(from: &mut impl BufRead, buffer: &mut Vec<u8>) -> Result<bool, Problem> {
    buffer.clear();
    let read = from.by_ref().take(LONGEST).read_until(b'\n', buffer)?;
    if read as u64 == LONGEST && buffer.last() != Some(&b'\n') {
        return Err(Problem::TooLong);
    }
    Ok(read > 0)
}

fn header(line: &[u8]) -> Result<Meta, Problem> {
    let header: Header<'_> =
        serde_json::from_slice(line).map_err(|error| Problem::NoHeader(words(&error)))?;
    if header.squall != MAGIC {
        return Err(Problem::NoHeader(format!("`squall` is `{}`, not `{MAGIC}`", header.squall)));
    }
    if header.version != VERSION {
        return Err(Problem::Version(header.version));
    }
    Ok(Meta {
        scenario: header.scenario.into_owned(),
        target: header.target.into_owned(),
        seed: header.seed,
        configuration: header.configuration,
        expect: header.expect,
    })
}

/// A JSON error without its line number, which is always 1.
fn words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => format!("{} (column {})", &text[..end], error.column()),
        None => text,
    }
}

fn body<'a, T: Deserialize<'a>>(line: &Line<'a>) -> Result<T, Problem> {
    serde_json::from_slice(line.bytes).map_err(|error| Problem::Damaged(words(&error)))
}

/// The body of a line that is plain most of the time.
fn plain_body<'a, T: Plain<'a>>(line: &Line<'a>) -> Result<T, Problem> {
    line.body().map_or_else(|| body(line), Ok)
}

/// A value or position: any number but the reserved one.
fn plain(number: u64) -> Result<u64, Problem> {
    if number == u64::MAX { Err(Problem::Reserved) } else { Ok(number) }
}

fn maybe_plain(number: Option<u64>) -> Result<Option<u64>, Problem> {
    number.map(plain).transpose()
}
