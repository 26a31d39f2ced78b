//! The summary for a terminal, and its twin `report.txt`.
//!
//! One table: up to four runs stand side by side, with what happened after each fault; more stand one below the
//! other, and of very many only the worst and how many there were. Then each anomaly with its two-line story and the one command that reproduces it,
//! the doubts about the measurement, and last the verdict, where the eye is.

use crate::{
    Exporter, ReportError, Run, Runs,
    compare::{self, Row},
    found::{Found, ruling_word},
};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use squall_history::Verdict;
use std::fmt::Write;

/// So many runs stand side by side.
const SIDE_BY_SIDE: usize = 4;
/// So many runs stand in the table.
pub(crate) const ROWS: usize = 20;
/// The figures that runs one below the other have columns for.
const COLUMNS: [&str; 15] = [
    "file",
    "target",
    "seed",
    "verdict",
    "sent",
    "acked",
    "delivered",
    "duplicates",
    "acked a second",
    "publish p50",
    "publish p95",
    "publish p99",
    "unavailable",
    "faults",
    "hash",
];
/// After so many faults is told what happened; the page tells it of all.
const AFTER_FAULTS: usize = 6;

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

fn empty_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table
}

fn print(out: &mut String, mut table: Table) {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for row in table.lines() {
        line!(out, "{}", row.trim_end());
    }
}

fn add(table: &mut Table, row: &Row) {
    table.add_row(std::iter::once(row.name.to_owned()).chain(row.cells.iter().map(|cell| plain(cell))));
}

fn table(out: &mut String, runs: &Runs) {
    let shown = worst_of(&runs.runs, ROWS);
    let (rows, mut table) = (compare::whole(&shown), empty_table());
    if shown.len() <= SIDE_BY_SIDE {
        rows.iter().for_each(|row| add(&mut table, row));
        print(out, table);
        after_faults(out, &shown);
        return;
    }
    let columns: Vec<&Row> = rows.iter().filter(|row| COLUMNS.contains(&row.name)).collect();
    table.add_row(columns.iter().map(|row| row.name));
    for index in 0..shown.len() {
        table.add_row(columns.iter().map(|row| plain(&row.cells[index])));
    }
    print(out, table);
    if shown.len() < runs.runs.len() {
        line!(out, " and {} more; {}", runs.runs.len() - shown.len(), runs.tally());
    }
}

fn after_faults(out: &mut String, shown: &[&Run]) {
    let blocks = compare::after_faults(shown);
    for block in blocks.iter().take(AFTER_FAULTS) {
        line!(out, "");
        line!(out, "after {}", plain(&block.fault));
        let mut table = empty_table();
        block.rows.iter().for_each(|row| add(&mut table, row));
        print(out, table);
    }
    if blocks.len() > AFTER_FAULTS {
        line!(out, "");
        line!(out, "and after {} more faults; report.html tells of all", blocks.len() - AFTER_FAULTS);
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

/// Each doubt once, with the runs that have it.
fn doubts(out: &mut String, runs: &Runs) {
    let mut all: Vec<(&str, &str, Option<&str>, Vec<&Run>)> = Vec::new();
    for run in &runs.runs {
        let warnings = run.started.warnings.iter().map(|warning| ("warning", warning.as_str(), None));
        let doubts = run.measured.iter().flat_map(|measured| &measured.doubts).map(|doubt| {
            let word = if doubt.distorts { "warning" } else { "note" };
            (word, doubt.what.as_str(), Some(doubt.remedy.as_str()))
        });
        for (word, what, remedy) in warnings.chain(doubts) {
            match all.iter_mut().find(|known| known.1 == what) {
                Some(known) => known.3.push(run),
                None => all.push((word, what, remedy, vec![run])),
            }
        }
    }
    for (word, what, remedy, doubted) in all.iter().take(ROWS) {
        let whose = match &**doubted {
            [run] => run.name(),
            many => format!("{} of {} runs", many.len(), runs.runs.len()),
        };
        line!(out, "");
        line!(out, "{word} ({}): {}", plain(&whose), plain(what));
        if let Some(remedy) = remedy {
            line!(out, "  remedy: {}", plain(remedy));
        }
    }
}
