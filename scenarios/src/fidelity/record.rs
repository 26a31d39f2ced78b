//! What real brokers did in a situation.

use super::Observed;
use crate::format::{self, ScenarioError};
use serde::{Deserialize, Serialize};

/// What real brokers did in a situation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Record {
    /// What ran: the broker and the client library, with their versions.
    pub version: String,
    /// When, as `2026-11-22`.
    pub date: String,
    /// The command that does this again.
    pub command: String,
    /// The runs.
    pub runs: Vec<Observed>,
}

impl Record {
    /// Reads a record. `file` is its name in errors.
    ///
    /// # Errors
    /// What is wrong with it, with its place.
    pub fn parse(file: &str, text: &str) -> Result<Self, ScenarioError> {
        format::read(file, text)
    }

    /// The record as a file.
    ///
    /// # Errors
    /// When it cannot be written as YAML, which its fields rule out.
    pub fn to_yaml(&self) -> Result<String, String> {
        serde_saphyr::to_string(self).map_err(|error| error.to_string())
    }
}
