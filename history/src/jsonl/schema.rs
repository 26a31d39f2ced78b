//! The JSON Schema of one line, generated from the types.

use super::{
    line,
    read::{KNOWN, OPERATIONS},
};
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Value, json};

/// A kind of line: `f`, its types, and its body.
type Kind = (&'static str, &'static [&'static str], fn(&mut SchemaGenerator) -> Value);

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

const KINDS: &[Kind] = &[
    ("send", &["invoke"], of::<line::SendInvoke<'_>>),
    ("send", &["ok"], of::<line::SendOk<'_>>),
    ("send", &["fail"], of::<line::Failed<'_>>),
    ("send", &["info"], of::<line::SendInfo<'_>>),
    ("commit", &["invoke"], of::<line::CommitInvoke<'_>>),
    ("commit", &["ok"], of::<line::Done>),
    ("commit", &["fail", "info"], of::<line::Failed<'_>>),
    ("init", &["invoke"], of::<line::InitInvoke<'_>>),
    ("init", &["ok"], of::<line::InitOk>),
    ("init", &["fail", "info"], of::<line::Failed<'_>>),
    ("txn", &["invoke"], of::<line::TxnInvoke<'_>>),
    ("txn", &["ok"], of::<line::Done>),
    ("txn", &["fail", "info"], of::<line::Failed<'_>>),
    ("poll", &["invoke"], of::<line::PollInvoke<'_>>),
    ("poll", &["ok"], of::<line::Done>),
    ("poll", &["fail", "info"], of::<line::Failed<'_>>),
    ("settle", &["invoke"], of::<line::SettleInvoke>),
    ("settle", &["ok"], of::<line::Done>),
    ("settle", &["fail", "info"], of::<line::Failed<'_>>),
    ("end", &["invoke"], of::<line::EndInvoke<'_>>),
    ("end", &["ok"], of::<line::EndOk>),
    ("end", &["fail", "info"], of::<line::Failed<'_>>),
    ("deliver", &["ok"], of::<line::DeliverLine<'_>>),
    ("handled", &["ok"], of::<line::HandledLine<'_>>),
    ("acked", &["ok"], of::<line::AckedLine<'_>>),
    ("assigned", &["ok"], of::<line::AssignedLine<'_>>),
    ("subscribed", &["ok"], of::<line::SubscribedLine<'_>>),
    ("rebalanced", &["ok"], of::<line::RebalancedLine<'_>>),
    ("crashed", &["ok"], of::<line::CrashedLine>),
    ("sought", &["ok"], of::<line::SoughtLine<'_>>),
    ("revoked", &["ok"], of::<line::Units<'_>>),
    ("lost", &["ok"], of::<line::Units<'_>>),
    ("reset", &["ok"], of::<line::ResetLine<'_>>),
    ("advisory", &["ok"], of::<line::AdvisoryLine<'_>>),
    ("changed", &["ok"], of::<line::ChangedLine<'_>>),
    ("clock", &["ok"], of::<line::ClockLine>),
    ("error", &["ok"], of::<line::ErrorLine<'_>>),
    ("fault", &["ok"], of::<line::FaultLine<'_>>),
    ("heal", &["ok"], of::<line::HealLine>),
    ("elected", &["ok"], of::<line::ElectedLine<'_>>),
    ("phase", &["ok"], of::<line::PhaseLine>),
    ("drain", &["ok"], of::<line::DrainLine<'_>>),
];

/// The schema of one line of a history.
#[must_use]
pub fn schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let head = of::<line::Head<'_>>(&mut generator);
    let mut lines = vec![of::<line::Header<'_>>(&mut generator)];
    for (f, sides, body) in KINDS {
        let body = body(&mut generator);
        let properties = json!({ "f": { "const": f }, "type": { "enum": sides } });
        lines.push(json!({ "title": f, "allOf": [head, body], "properties": properties }));
    }
    let known: Vec<&str> = KNOWN.iter().chain(OPERATIONS).copied().collect();
    lines.push(json!({
        "title": "a kind that this version does not know, and ignores",
        "allOf": [head],
        "properties": { "f": { "not": { "enum": known } } },
    }));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line of a Squall history, version 1",
        "description": "The first line is the header; every other line is an event. See FORMAT.md.",
        "oneOf": lines,
        "$defs": generator.take_definitions(true),
    })
}
