//! One exporter per format behind one trait.

use crate::Runs;
use std::{io, path::PathBuf};

/// Writes runs in one format.
pub trait Exporter {
    /// The name of the file that it is for: `result.json`.
    fn file_name(&self) -> &'static str;
    /// The whole file.
    ///
    /// # Errors
    /// When the runs cannot be written in this format.
    fn export(&self, runs: &Runs) -> Result<String, ReportError>;
}

/// Why a report was not written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The disk.
    #[error("cannot write {}: {source}; choose another folder with --out, or make room", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of events that cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line of a file of events that is none.
    #[error("{} line {line} is not a run event: {source}; was the file changed by hand?", path.display())]
    Line {
        /// Where.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
    /// A format's library refused.
    #[error("cannot write {format}: {reason}")]
    Format {
        /// Which format.
        format: &'static str,
        /// Why.
        reason: String,
    },
}
