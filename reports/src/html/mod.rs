//! `report.html`: one self-contained page that opens offline.
//!
//! Order: the verdict and the command that reproduces it; all runs in a table; what happened after each fault, the
//! runs side by side; then a section for each run, with
//! what was found and its stories, the ledger, charts over time with the faults as bands, quantiles, the log of
//! faults, doubts about the measurement, and the options. Of very many runs the worst have sections, and what
//! was found over all of them is told once before.
//!
//! Every text goes through `maud`, which escapes it; the page's policy forbids it to load anything. The script
//! only adds reading aids: without it the page says the same.

mod axis;
mod chart;
mod moments;
mod run;
mod timeline;

pub use timeline::{RoleChange, TimelineEvent, timeline};

use crate::{
    Exporter, ReportError, Run, Runs, compare,
    found::Found,
    text::{ROWS, worst_of},
    words,
};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use squall_history::Verdict;

const CSS: &str = include_str!("../../assets/report.css");
const JS: &str = include_str!("../../assets/report.js");
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// So many runs stand side by side.
const SIDE_BY_SIDE: usize = 8;
/// So many runs have a section of their own.
const SECTIONS: usize = 12;

/// Writes `report.html`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Html;

impl Exporter for Html {
    fn file_name(&self) -> &'static str {
        "report.html"
    }

    fn export(&self, runs: &Runs) -> Result<String, ReportError> {
        Ok(page(runs).into_string())
    }
}

fn page(runs: &Runs) -> Markup {
    let shown = worst_of(&runs.runs, SECTIONS);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { (runs.scenario) ": " (runs.verdict()) " - squall" }
                style { (PreEscaped(CSS)) }
            }
            body {
                main {
                    (head(runs))
                    @if runs.runs.len() > 1 {
                        (overview(runs, &shown))
                    }
                    (after_faults(&runs.runs))
                    @for (index, run) in shown.iter().enumerate() {
                        (run::section(index, run, runs.runs.len() > 1))
                    }
                }
                footer {
                    "Written by squall " (env!("CARGO_PKG_VERSION")) ". The same in numbers: "
                    code { "result.json" } "; every event: " code { "events.jsonl" } "."
                }
                script { (PreEscaped(JS)) }
            }
        }
    }
}

/// The verdict, and what to type to see it again.
fn head(runs: &Runs) -> Markup {
    let verdict = runs.verdict();
    html! {
        header {
            p.brand { "squall report" }
            h1 { (runs.scenario) }
            @if !runs.about.is_empty() {
                p.about { (runs.about) }
            }
            @if let Some(worst) = runs.worst() {
                div.banner.(class_of(verdict)) {
                    p.verdict-line { (chip(verdict)) span { (worst.reason()) } }
                    p.tally { (runs.tally()) }
                    (command(&worst.started.reproduce))
                }
            }
        }
    }
}

/// A command to copy.
fn command(line: &str) -> Markup {
    html! {
        div.command { span.prompt aria-hidden="true" { "$ " } code { (line) } }
    }
}

/// All runs in a table, and what was found over all of them.
fn overview(runs: &Runs, sections: &[&Run]) -> Markup {
    let rows = worst_of(&runs.runs, ROWS);
    html! {
        section {
            h2 { "Runs" }
            div.scroll {
                table.numbers {
                    thead {
                        tr {
                            th scope="col" { "target" }
                            th scope="col" { "seed" }
                            th.word scope="col" { "verdict" }
                            @for head in ["sent", "acked", "delivered", "duplicates", "acked a second", "publish p50", "p95",
                                "p99", "max", "end to end p99", "unavailable", "faults"] {
                                th scope="col" { (head) }
                            }
                        }
                    }
                    tbody {
                        @for run in &rows {
                            (row(run, sections.iter().position(|shown| std::ptr::eq(*shown, *run))))
                        }
                    }
                }
            }
            @if rows.len() < runs.runs.len() {
                p.note { "and " (words::count((runs.runs.len() - rows.len()) as u64)) " more; " (runs.tally()) }
            }
            @if sections.len() < runs.runs.len() {
                p.note {
                    "The worst " (sections.len()) " have sections below; all are in " code { "result.json" } "."
                }
            }
            @if sections.len() < runs.runs.len() {
                (found_over_all(runs))
            }
        }
    }
}

/// What happened after each fault, the runs side by side.
fn after_faults(runs: &[Run]) -> Markup {
    let runs: Vec<&Run> = if runs.len() <= SIDE_BY_SIDE { runs.iter().collect() } else { Vec::new() };
    let blocks = compare::after_faults(&runs);
    html! {
        @if !blocks.is_empty() {
            section {
                h2 { "After each fault" }
                p.note { "From its strike until the next fault struck, or the workload was over." }
                div.scroll {
                    table.numbers.compare {
                        thead {
                            tr {
                                th scope="col" { "after" }
                                @for run in &runs { th scope="col" { (run.started.target) } }
                            }
                        }
                        @for block in &blocks {
                            tbody {
                                @for (index, row) in block.rows.iter().enumerate() {
                                    tr.fault[index == 0] {
                                        th scope="row" { @if index == 0 { (block.fault) } @else { (row.name) } }
                                        @for cell in &row.cells { td { (cell) } }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn row(run: &Run, section: Option<usize>) -> Markup {
    let counts = run.counts();
    let measured = run.measured.as_ref();
    let publish = measured.map(|measured| measured.publish).unwrap_or_default();
    let end_to_end = measured.and_then(|measured| measured.end_to_end.p99);
    html! {
        tr {
            th scope="row" {
                @match section {
                    Some(index) => a href={ "#run-" (index) } { (run.started.target) },
                    None => (run.started.target),
                }
            }
            td { (run.started.seed) }
            td.word { (chip(run.verdict())) }
            @for number in [counts.sent, counts.acked, counts.delivered, counts.duplicates] {
                td { (words::count(number)) }
            }
            td { (measured.map_or_else(|| words::NONE.to_owned(), |measured| words::count(measured.acked_per_s))) }
            @for span in [publish.p50, publish.p95, publish.p99, publish.max, end_to_end] {
                td { (words::span_or(span, words::NONE)) }
            }
            td { (words::millis(run.unavailable_ms())) }
            td { (words::count(counts.faults)) }
        }
    }
}

fn found_over_all(runs: &Runs) -> Markup {
    let all = Found::all(runs);
    html! {
        @if !all.is_empty() {
            h3 { "Found over all runs" }
            ul.found {
                @for found in &all {
                    li {
                        (run::ruling(&found.anomaly.ruling)) " "
                        strong { (found.anomaly.kind) } ": " (found.where_found())
                        p.clause { (found.anomaly.clause()) }
                        div.story { @for line in found.anomaly.story().lines() { p { (line) } } }
                        (command(&found.run.started.reproduce))
                    }
                }
            }
        }
    }
}

fn class_of(verdict: Verdict) -> &'static str {
    verdict.word()
}

/// The verdict as a word with a sign, so that colour is not all that tells.
fn chip(verdict: Verdict) -> Markup {
    let sign = match verdict {
        Verdict::Valid => "✓",
        Verdict::Invalid => "✗",
        Verdict::Unknown => "?",
        Verdict::Unsupported => "–",
        Verdict::Broken => "!",
    };
    html! {
        span.chip.(class_of(verdict)) { span aria-hidden="true" { (sign) " " } (verdict) }
    }
}
