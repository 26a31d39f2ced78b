//! The command as a user runs it: a process, its output, its exit code.

use serde_json::Value;
use std::{
    path::Path,
    process::{Command, Output},
};

/// `squall` with these words, in a folder of its own.
#[allow(dead_code, reason = "tests that look at what is written name the folder")]
pub(crate) fn squall(words: &[&str]) -> Output {
    squall_in(tempfile::tempdir().expect("a folder").path(), words)
}

/// `squall` with these words, in this folder.
#[allow(dead_code, reason = "most tests look at what is printed alone")]
pub(crate) fn squall_in(folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
    command.args(words).current_dir(folder).output().expect("squall starts")
}

/// Its exit code.
pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().expect("it exits by itself")
}

/// Standard output as one JSON object.
#[allow(dead_code, reason = "some tests read the text alone")]
pub(crate) fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}:\n{}", text(output)))
}

/// The objects of this list in its JSON, after it exited like that.
#[allow(dead_code, reason = "some tests read the text alone")]
pub(crate) fn listed(output: &Output, exit: i32, list: &str) -> Vec<Value> {
    assert_eq!(code(output), exit, "{}", text(output));
    json(output)[list].as_array().unwrap_or_else(|| panic!("no {list}:\n{}", text(output))).clone()
}

/// All that it printed.
pub(crate) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
