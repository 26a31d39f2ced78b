//! The summary for a terminal, and its twin `report.txt`.
//!
//! One table: up to three runs stand side by side, more stand one below the other, and of very many only the worst
//! and how many there were. Then each anomaly with its two-line story and the one command that reproduces it,
//! the doubts about the measurement, and last the verdict, where the eye is.

use crate::{
    Exporter, ReportError, Run, Runs,
    found::{Found, ruling_word},
    words,
};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use squall_history::Verdict;
use std::fmt::Write;

/// So many runs stand side by side.
const SIDE_BY_SIDE: usize = 3;
/// So many runs stand in the table.
pub(crate) const ROWS: usize = 20;
/// The columns, or lines, of the table.
const HEADS: [&str; 14] = [
    "target",
    "seed",
    "verdict",
    "sent",
    "acked",
    "delivered",
    "duplicates",
    "publish p50",
    "p95",
    "p99",
    "max",
    "unavailable",
    "faults",
    "hash",
];

/// The summary as text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Text {
    /// Colour the words that matter, with ANSI sequences.
    pub color: bool,
}

impl Exporter for Text {
    fn file_name(&self) -> &'static str {
        "report.txt"
    }

    fn export(&self, runs: &Runs) -> Result<String, ReportError> {
        let mut text = String::new();
        let out = &mut text;
        self.head(out, runs);
        if !runs.runs.is_empty() {
            table(out, runs);
        }
        self.anomalies(out, runs);
        doubts(out, runs);
        self.verdict(out, runs);
        Ok(text)
    }
}

/// Writing to a `String` cannot fail.
macro_rules! line {
    ($out:expr, $($format:tt)*) => { writeln!($out, $($format)*).expect("a String takes everything") };
}

impl Text {
    fn head(self, out: &mut String, runs: &Runs) {
        line!(out, "{}", self.paint("1", &plain(&runs.scenario)));
        if !runs.about.is_empty() {
            line!(out, "{}", plain(&runs.about));
        }
        line!(out, "");
    }

    fn anomalies(self, out: &mut String, runs: &Runs) {
        for found in Found::all(runs) {
            let ruling = &found.anomaly.ruling;
            let code = if ruling.forbids() { "1;31" } else { "33" };
            let word = self.paint(code, ruling_word(ruling));
            line!(out, "");
            line!(out, "{word} {}: {}", found.anomaly.kind, plain(&found.where_found()));
            line!(out, "  {}", plain(ruling.clause()));
            for story in found.anomaly.story().lines() {
                line!(out, "  | {}", plain(story));
            }
            line!(out, "  reproduce: {}", plain(&found.run.started.reproduce));
        }
    }

    fn verdict(self, out: &mut String, runs: &Runs) {
        let verdict = runs.verdict();
        let code = if verdict == Verdict::Valid { "1;32" } else { "1;31" };
        let word = self.paint(code, verdict.word());
        line!(out, "");
        match runs.worst() {
            None => line!(out, "{word}: nothing ran"),
            Some(worst) => {
                line!(out, "{word}: {} ({})", plain(worst.reason()), plain(&runs.tally()));
                if verdict != Verdict::Valid {
                    line!(out, "reproduce: {}", plain(&worst.started.reproduce));
                }
            }
        }
    }

    fn paint(self, code: &str, word: &str) -> String {
        if self.color { format!("\x1b[{code}m{word}\x1b[0m") } else { word.to_owned() }
    }
}

/// Text from outside must not move a terminal's cursor or change its colours.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// What stands in the table for one run.
fn cells(run: &Run) -> [String; HEADS.len()] {
    let counts = run.counts();
    let publish = run.measured.as_ref().map(|measured| measured.publish).unwrap_or_default();
    let span = |nanos| words::span_or(nanos, words::NONE);
    [
        plain(&run.started.target),
        run.started.seed.to_string(),
        run.verdict().to_string(),
        words::count(counts.sent),
        words::count(counts.acked),
        words::count(counts.delivered),
        words::count(counts.duplicates),
        span(publish.p50),
        span(publish.p95),
        span(publish.p99),
        span(publish.max),
        words::millis(run.unavailable_ms()),
        words::count(counts.faults),
        run.hash().map_or_else(|| words::NONE.to_owned(), plain),
    ]
}

fn table(out: &mut String, runs: &Runs) {
    let shown = worst_of(&runs.runs, ROWS);
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    if shown.len() <= SIDE_BY_SIDE {
        let columns: Vec<_> = shown.iter().map(|run| cells(run)).collect();
        for (row, head) in HEADS.iter().enumerate() {
            let values = columns.iter().map(|column| column[row].as_str());
            table.add_row(std::iter::once(*head).chain(values));
        }
    } else {
        table.add_row(HEADS);
        shown.iter().for_each(|run| {
            table.add_row(cells(run));
        });
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for row in table.lines() {
        line!(out, "{}", row.trim_end());
    }
    if shown.len() < runs.runs.len() {
        line!(out, " and {} more; {}", runs.runs.len() - shown.len(), runs.tally());
    }
}

/// The runs to show: all, or of more than `most` the worst; in their own order either way.
pub(crate) fn worst_of(runs: &[Run], most: usize) -> Vec<&Run> {
    let rank = |run: &Run| match run.verdict() {
        Verdict::Broken => 0,
        Verdict::Unsupported => 1,
        Verdict::Invalid => 2,
        Verdict::Unknown => 3,
        Verdict::Valid => 4,
    };
    let mut order: Vec<usize> = (0..runs.len()).collect();
    order.sort_by_key(|index| rank(&runs[*index]));
    order.truncate(most);
    order.sort_unstable();
    order.into_iter().map(|index| &runs[index]).collect()
}

fn doubts(out: &mut String, runs: &Runs) {
    for run in worst_of(&runs.runs, ROWS) {
        for warning in &run.started.warnings {
            line!(out, "");
            line!(out, "warning ({}): {}", plain(&run.name()), plain(warning));
        }
        for doubt in run.measured.iter().flat_map(|measured| &measured.doubts) {
            let word = if doubt.distorts { "warning" } else { "note" };
            line!(out, "");
            line!(out, "{word} ({}): {}", plain(&run.name()), plain(&doubt.what));
            line!(out, "  remedy: {}", plain(&doubt.remedy));
        }
    }
}
