//! Histories as JSON Lines, version 1: a header, then one event a line. `FORMAT.md` documents it, and
//! `history.schema.json` is generated from the types in [`mod@line`].
//!
//! Reading streams: memory is the history's, plus one line. Whatever is wrong with a file is an error that names
//! the file and the line.

pub mod line;
mod read;
#[cfg(any(test, feature = "schema"))]
mod schema;
mod write;

pub use read::{Problem, ReadError, load, read};
#[cfg(any(test, feature = "schema"))]
pub use schema::schema;
pub use write::{save, write};

#[cfg(test)]
mod tests;
