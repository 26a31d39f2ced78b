//! JSON Lines, one operation a line; or all operations in one array.

use super::{Fault, Problem, form::Form};
use serde_json::Value;

/// All operations of a text with their lines, from 1.
pub(super) fn forms(text: &str) -> Result<Vec<(u64, Form)>, Fault> {
    let text = text.trim_start_matches('\u{feff}');
    if text.trim_start().starts_with('[') {
        let Value::Array(list) = parse(text, 1)? else { return Err((1, Problem::Empty(Vec::new()))) };
        return Ok(list.into_iter().map(|value| (1, form(value))).collect());
    }
    let lines = (1u64..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(line, text)| Ok((line, form(parse(text, line)?)))).collect()
}

fn parse(text: &str, line: u64) -> Result<Value, Fault> {
    serde_json::from_str(text).map_err(|error| {
        let what = match error.is_eof() {
            true => "it ends in the middle of an operation: it was cut off".to_owned(),
            false => error.to_string(),
        };
        (line + (error.line() as u64).saturating_sub(1), Problem::Syntax("JSON", what))
    })
}

/// The parser bounds the depth.
fn form(value: Value) -> Form {
    match value {
        Value::Null => Form::Nil,
        Value::Bool(bool) => Form::Bool(bool),
        Value::Number(number) => number.as_i64().map_or_else(|| Form::Text(number.to_string()), Form::Int),
        Value::String(text) => Form::Text(text),
        Value::Array(list) => Form::List(list.into_iter().map(form).collect()),
        Value::Object(map) => {
            Form::Map(map.into_iter().map(|(key, value)| (Form::Text(key), form(value))).collect())
        }
    }
}
