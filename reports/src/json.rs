//! `result.json`, and the object that `run --json` prints.
//!
//! `result.json` has a version; within one version fields are only added. Each of its runs has all fields of
//! `run --json` under the same names, and further ones. Fields that end in `_ns`, and all quantiles, are whole
//! nanoseconds; `null` in a quantile means that this share of the records never arrived, or that there are none.

use crate::{Exporter, FaultLog, Measured, ReportError, Run, Runs};
use serde::Serialize;
use squall_history::{
    Anomaly, Example, Ruling, Verdict,
    events::{Hit, Plan},
    verdict::Counts,
};
use std::collections::BTreeMap;

/// The version of `result.json`.
const VERSION: u32 = 1;

/// The object of `run --json`, on one line.
///
/// # Errors
/// Never for runs that were folded from events; the error is the JSON library's.
pub fn run_json(runs: &Runs) -> Result<String, ReportError> {
    let object = Printed { scenario: &runs.scenario, runs: runs.runs.iter().map(Outcome::of).collect() };
    serde_json::to_string(&object).map_err(refused)
}

/// The object of `check --json`, on one line: the same, and the files that could not be read with the line that is
/// wrong, where there is one, and the sentence that says what.
///
/// # Errors
/// As [`run_json`].
pub fn check_json(runs: &Runs, unread: &[(String, Option<u64>, String)]) -> Result<String, ReportError> {
    let unread = unread.iter().map(|(file, line, error)| Unread { file, line: *line, error }).collect();
    let object =
        Checked { scenario: &runs.scenario, runs: runs.runs.iter().map(Outcome::of).collect(), unread };
    serde_json::to_string(&object).map_err(refused)
}

#[derive(Serialize)]
struct Checked<'a> {
    scenario: &'a str,
    runs: Vec<Outcome<'a>>,
    unread: Vec<Unread<'a>>,
}

#[derive(Serialize)]
struct Unread<'a> {
    file: &'a str,
    line: Option<u64>,
    error: &'a str,
}

/// Writes `result.json`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

impl Exporter for Json {
    fn file_name(&self) -> &'static str {
        "result.json"
    }

    fn export(&self, runs: &Runs) -> Result<String, ReportError> {
        let object = Kept {
            version: VERSION,
            squall: env!("CARGO_PKG_VERSION"),
            scenario: &runs.scenario,
            about: &runs.about,
            verdict: runs.verdict(),
            exit_code: runs.verdict().exit_code(),
            runs: runs.runs.iter().map(Whole::of).collect(),
        };
        let mut text = serde_json::to_string_pretty(&object).map_err(refused)?;
        text.push('\n');
        Ok(text)
    }
}

fn refused(error: serde_json::Error) -> ReportError {
    ReportError::Format { format: "JSON", reason: error.to_string() }
}

#[derive(Serialize)]
struct Printed<'a> {
    scenario: &'a str,
    runs: Vec<Outcome<'a>>,
}

/// A run as `run --json` prints it.
#[derive(Serialize)]
struct Outcome<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    target: &'a str,
    seed: u64,
    verdict: Verdict,
    reason: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reproduce: &'a str,
    anomalies: Vec<Found<'a>>,
    hash: Option<&'a str>,
    sent: u64,
    acked: u64,
    delivered: u64,
    unavailable_ms: Option<u64>,
}

impl<'a> Outcome<'a> {
    fn of(run: &'a Run) -> Self {
        let counts = run.counts();
        Self {
            file: run.file.as_deref(),
            target: &run.started.target,
            seed: run.started.seed,
            verdict: run.verdict(),
            reason: run.reason(),
            reproduce: &run.started.reproduce,
            anomalies: run.anomalies().iter().map(Found::of).collect(),
            hash: run.hash(),
            sent: counts.sent,
            acked: counts.acked,
            delivered: counts.delivered,
            unavailable_ms: run.unavailable_ms(),
        }
    }
}

#[derive(Serialize)]
struct Found<'a> {
    kind: &'static str,
    forbidden: bool,
    clause: &'a str,
    count: u64,
    story: String,
    /// The indexes of the events that prove the first one.
    #[serde(skip_serializing_if = "<[u32]>::is_empty")]
    ops: &'a [u32],
    /// Of a file in another format: its lines that prove the first one.
    #[serde(skip_serializing_if = "<[u32]>::is_empty")]
    lines: &'a [u32],
}

impl<'a> Found<'a> {
    fn of(anomaly: &'a Anomaly) -> Self {
        let first = anomaly.examples.first();
        Self {
            kind: anomaly.kind.id(),
            forbidden: anomaly.forbidden(),
            clause: anomaly.clause(),
            count: anomaly.count,
            story: anomaly.story(),
            ops: first.map_or(&[], |example| &example.ops),
            lines: first.map_or(&[], |example| &example.lines),
        }
    }
}

#[derive(Serialize)]
struct Kept<'a> {
    version: u32,
    squall: &'static str,
    scenario: &'a str,
    about: &'a str,
    verdict: Verdict,
    exit_code: u8,
    runs: Vec<Whole<'a>>,
}

/// A run as `result.json` keeps it.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    outcome: Outcome<'a>,
    reproduce: &'a str,
    rulings: Vec<Told<'a>>,
    counts: Counts,
    time_ns: Option<u64>,
    real_ms: Option<u64>,
    warnings: &'a [String],
    options: &'a BTreeMap<String, String>,
    plan: Option<&'a Plan>,
    faults: Vec<Struck<'a>>,
    measured: Option<&'a Measured>,
}

impl<'a> Whole<'a> {
    fn of(run: &'a Run) -> Self {
        let ended = run.ended();
        Self {
            outcome: Outcome::of(run),
            reproduce: &run.started.reproduce,
            rulings: run.anomalies().iter().map(Told::of).collect(),
            counts: run.counts(),
            time_ns: ended.map(|(time, _)| time.0),
            real_ms: ended.map(|(_, real_ms)| real_ms),
            warnings: &run.started.warnings,
            options: &run.started.options,
            plan: run.plan.as_ref(),
            faults: run.faults.iter().map(Struck::of).collect(),
            measured: run.measured.as_ref(),
        }
    }
}

/// An anomaly with its proof, in the order of `anomalies`.
#[derive(Serialize)]
struct Told<'a> {
    kind: &'static str,
    ruling: &'a Ruling,
    examples: &'a [Example],
}

impl<'a> Told<'a> {
    fn of(anomaly: &'a Anomaly) -> Self {
        Self { kind: anomaly.kind.id(), ruling: &anomaly.ruling, examples: &anomaly.examples }
    }
}

#[derive(Serialize)]
struct Struck<'a> {
    id: u32,
    verb: &'a str,
    role: &'a str,
    hit: &'a Hit,
    struck_ns: u64,
    healed_ns: Option<u64>,
}

impl<'a> Struck<'a> {
    fn of(fault: &'a FaultLog) -> Self {
        Self {
            id: fault.struck.id,
            verb: &fault.struck.verb,
            role: &fault.struck.role,
            hit: &fault.struck.hit,
            struck_ns: fault.struck.time.0,
            healed_ns: fault.healed.map(|time| time.0),
        }
    }
}
