//! The command as a user runs it: a process, its output, its exit code.

use serde_json::Value;
use std::process::{Command, Output};

/// `squall` with these words, in a folder of its own.
pub(crate) fn squall(words: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
    command.args(words).current_dir(folder.path()).output().expect("squall starts")
}

/// Its exit code.
pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().expect("it exits by itself")
}

/// Standard output as one JSON object.
pub(crate) fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}:\n{}", text(output)))
}

/// All that it printed.
pub(crate) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
