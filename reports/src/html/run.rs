//! The section of one run.

use super::{
    axis::Span,
    chart::{Chart, Line, Scale},
    chip, command, moments,
};
use crate::{FaultLog, Measured, Percentiles, Point, Run, found::ruling_word, progress, words};
use maud::{Markup, html};
use squall_bus::Time;
use squall_history::{Anomaly, Example, Neighbour, Ruling, events::Hit};

pub(super) fn section(index: usize, run: &Run, several: bool) -> Markup {
    html! {
        section.run id={ "run-" (index) } {
            h2 { (run.started.target) span.seed { " seed " (run.started.seed) } " " (chip(run.verdict())) }
            @if several {
                p { (run.reason()) }
                (command(&run.started.reproduce))
            }
            (expects(run))
            (anomalies(run))
            (ledger(run))
            @if let Some(measured) = &run.measured {
                (charts(index, run, measured))
                (quantiles(measured))
            } @else {
                p.note { "Nothing was measured in this run." }
            }
            (faults(run))
            (doubts(run))
            (options(run))
        }
    }
}

/// What the scenario expects, as far as it says.
fn expects(run: &Run) -> Markup {
    let expected: Vec<_> = run
        .started
        .options
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix("expect.")?, value)))
        .collect();
    html! {
        @if !expected.is_empty() {
            p.expects {
                "Expected: "
                @for (key, value) in expected {
                    span.pair { (key) " " strong { (value) } } " "
                }
            }
        }
    }
}

/// The word of a ruling.
pub(super) fn ruling(ruling: &Ruling) -> Markup {
    let word = ruling_word(ruling);
    html! { span.ruling.(word) { (word) } }
}

fn anomalies(run: &Run) -> Markup {
    let all = run.anomalies();
    html! {
        h3 { "Found" }
        @if all.is_empty() {
            p.note { "No anomaly of any kind." }
        } @else {
            div.scroll {
                table.anomalies {
                    thead {
                        tr {
                            @for head in ["anomaly", "count", "ruling", "story of the first"] {
                                th scope="col" { (head) }
                            }
                        }
                    }
                    tbody {
                        @for anomaly in all {
                            (anomaly_row(anomaly, &run.faults))
                        }
                    }
                }
            }
        }
    }
}

fn anomaly_row(anomaly: &Anomaly, faults: &[FaultLog]) -> Markup {
    html! {
        tr {
            th scope="row" { (anomaly.kind) }
            td.number { (words::count(anomaly.count)) }
            td { (ruling(&anomaly.ruling)) p.clause { (anomaly.clause()) } }
            td {
                @for (index, example) in anomaly.examples.iter().enumerate() {
                    @if index == 0 {
                        (story(example, faults))
                    } @else if index == 1 {
                        details {
                            summary { (words::plural(anomaly.examples.len() as u64 - 1, "more story", "more stories")) }
                            @for example in &anomaly.examples[1..] {
                                (story(example, faults))
                            }
                        }
                    }
                }
            }
        }
    }
}

fn story(example: &Example, faults: &[FaultLog]) -> Markup {
    let place = match (&example.unit, example.position) {
        (Some(unit), Some(position)) => format!("{unit} @{position}"),
        (Some(unit), None) => unit.clone(),
        (None, _) => String::new(),
    };
    // Of a history in another format the reader knows the lines only.
    let (what, of) =
        if example.lines.is_empty() { ("events ", &example.ops) } else { ("lines ", &example.lines) };
    let ops: Vec<String> = of.iter().map(u32::to_string).collect();
    html! {
        div.story {
            @for line in &example.story {
                p { (line) }
            }
            @if !example.neighbourhood.is_empty() || !ops.is_empty() {
                details {
                    summary { "proof" @if !place.is_empty() { ": " (place) } }
                    @if !ops.is_empty() {
                        p.note { (what) (ops.join(", ")) " of the history" }
                    }
                    (moments::timeline(example, faults))
                    (neighbourhood(example))
                }
            }
        }
    }
}

fn neighbourhood(example: &Example) -> Markup {
    html! {
        @if !example.neighbourhood.is_empty() {
            table.near {
                thead {
                    tr {
                        @for head in ["position", "record", "sent by", "acked", "delivered", "drained"] {
                            th scope="col" { (head) }
                        }
                    }
                }
                tbody {
                    @for neighbour in &example.neighbourhood {
                        (neighbour_row(neighbour, example.position))
                    }
                }
            }
        }
    }
}

fn neighbour_row(neighbour: &Neighbour, here: Option<u64>) -> Markup {
    let values: Vec<String> = neighbour.values.iter().map(u64::to_string).collect();
    let yes = |fact| if fact { "yes" } else { "no" };
    html! {
        tr.here[here == Some(neighbour.position)] {
            th scope="row" { (neighbour.position) }
            td { @if values.is_empty() { "hole" } @else { (values.join(" and ")) } }
            td { (neighbour.writers.join(", ")) }
            td { (yes(neighbour.acked)) }
            td { (yes(neighbour.delivered)) }
            td { (yes(neighbour.drained)) }
        }
    }
}

fn ledger(run: &Run) -> Markup {
    let counts = run.counts();
    let offered = run.measured.as_ref().map(|measured| measured.offered);
    let worst = counts.worst_unit.clone().unwrap_or_default();
    html! {
        h3 { "Ledger" }
        dl.ledger {
            @if let Some(offered) = offered { (tile("offered", offered, false)) }
            (tile("sent", counts.sent, false))
            (tile("acked", counts.acked, false))
            (tile("failed", counts.failed, counts.failed > 0))
            (tile("unknown", counts.unknown, counts.unknown > 0))
            (tile("delivered", counts.delivered, false))
            (tile("redelivered", counts.redelivered, false))
            (tile("handled", counts.handled, false))
            (tile("duplicates in the log", counts.duplicates, counts.duplicates > 0))
            (tile("poison", counts.poison, false))
            (tile("dead-lettered", counts.dead_lettered, false))
            (tile("drained", counts.drained, false))
            div {
                dt { "unavailable" @if !worst.is_empty() { " (" (worst) ")" } }
                dd { (words::millis(run.unavailable_ms())) }
            }
        }
    }
}

fn tile(name: &str, number: u64, odd: bool) -> Markup {
    html! { div.odd[odd] { dt { (name) } dd { (words::count(number)) } } }
}

fn charts(index: usize, run: &Run, measured: &Measured) -> Markup {
    let series = &measured.series;
    if series.points.is_empty() || series.width == 0 {
        return html! { p.note { "Nothing happened that a chart could show." } };
    }
    let span = Span::of(run, series);
    let rate = |name, class, count: fn(&Point) -> u64| {
        let per_second = |point: &Point| {
            let count = u128::from(count(point)) * 1_000_000_000 / u128::from(series.width);
            Some(u64::try_from(count).unwrap_or(u64::MAX))
        };
        Line { name, class, values: series.points.iter().map(per_second).collect(), show: words::count }
    };
    let latency = |name, class, of: fn(&Point) -> Option<u64>| Line {
        name,
        class,
        values: series.points.iter().map(of).collect(),
        show: words::span,
    };
    let mut all = vec![
        Chart {
            id: format!("run-{index}-throughput"),
            title: "Throughput, records per second",
            scale: Scale::Linear,
            lines: vec![
                rate("offered", "offered", |point| point.offered),
                rate("acked", "acked", |point| point.acked),
                rate("delivered", "delivered", |point| point.delivered),
                rate("ended without an ack", "unacked", |point| point.unacked),
            ],
        },
        Chart {
            id: format!("run-{index}-publish"),
            title: "Publish latency, from the intended send to its outcome",
            scale: Scale::Log,
            lines: vec![
                latency("max", "max", |point| point.publish.max),
                latency("p99", "p99", |point| point.publish.p99),
                latency("p50", "p50", |point| point.publish.p50),
            ],
        },
    ];
    if measured.end_to_end.count > 0 {
        all.push(Chart {
            id: format!("run-{index}-end-to-end"),
            title: "End-to-end latency, from the intended send to the first delivery",
            scale: Scale::Log,
            lines: vec![
                latency("max", "max", |point| point.end_to_end.max),
                latency("p99", "p99", |point| point.end_to_end.p99),
                latency("p50", "p50", |point| point.end_to_end.p50),
            ],
        });
    }
    html! {
        h3 { "Over time" }
        p.note {
            "Seconds since the workload began, in slices of " (words::span(series.width)) ". "
            "A latency stands where its record was due."
            @if run.started.target.starts_with("sim:") { " Times are the model's, not a clock's." }
        }
        @for chart in &all { (chart.draw(&span)) }
    }
}

fn quantiles(measured: &Measured) -> Markup {
    let rows: [(&str, &str, &Percentiles); 7] = [
        ("publish", "intended send to outcome", &measured.publish),
        (
            "publish with losses",
            "sends without an outcome are infinitely late",
            &measured.publish_with_losses,
        ),
        ("service time", "actual send to outcome: what a closed loop would show", &measured.service),
        ("end to end", "intended send to first delivery", &measured.end_to_end),
        (
            "end to end with losses",
            "acked but never delivered is infinitely late",
            &measured.end_to_end_with_losses,
        ),
        ("handling", "delivery to done", &measured.handling),
        ("schedule lag", "intended send to handed over", &measured.lag),
    ];
    html! {
        h3 { "Latency" }
        div.scroll {
            table.numbers {
                thead {
                    tr {
                        @for head in ["span", "count", "p50", "p95", "p99", "p99.9", "max"] { th scope="col" { (head) } }
                    }
                }
                tbody {
                    @for (name, about, of) in rows {
                        tr {
                            th scope="row" { (name) span.about { (about) } }
                            td { (words::count(of.count)) }
                            @for quantile in [of.p50, of.p95, of.p99, of.p999, of.max] {
                                td { (words::span_or(quantile, if of.count == 0 { words::NONE } else { "never" })) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn faults(run: &Run) -> Markup {
    let origin = run.measured.as_ref().map(|measured| measured.series.origin);
    html! {
        h3 { "Faults" }
        @if run.faults.is_empty() {
            p.note { "Nothing was broken." }
        } @else {
            div.scroll {
                table {
                    thead {
                        tr {
                            @for head in ["fault", "what", "hit"] { th scope="col" { (head) } }
                            @for head in ["struck", "healed", "lasted"] { th.number scope="col" { (head) } }
                        }
                    }
                    tbody {
                        @for fault in &run.faults { (fault_row(fault, origin.unwrap_or(0))) }
                    }
                }
            }
            p.note { "Times since the " (if origin.is_some() { "workload" } else { "run" }) " began." }
        }
    }
}

fn fault_row(fault: &FaultLog, origin: u64) -> Markup {
    let struck = &fault.struck;
    let since = |time: Time| words::instant(time.0.saturating_sub(origin));
    let lasted = fault.healed.map(|at| at.0.saturating_sub(struck.time.0));
    html! {
        tr {
            th scope="row" { "#" (struck.id) }
            td { (struck.verb) " " (struck.role) }
            td.odd[struck.hit == Hit::Nobody] { (progress::hit(&struck.hit)) }
            td.number { (since(struck.time)) }
            td.number { (fault.healed.map_or_else(|| words::NONE.to_owned(), since)) }
            td.number { (words::span_or(lasted, words::NONE)) }
        }
    }
}

fn doubts(run: &Run) -> Markup {
    let doubts = run.measured.as_ref().map(|measured| measured.doubts.as_slice()).unwrap_or_default();
    html! {
        @if !doubts.is_empty() || !run.started.warnings.is_empty() {
            h3 { "Mind" }
            ul.doubts {
                @for warning in &run.started.warnings { li { (warning) } }
                @for doubt in doubts {
                    li.distorts[doubt.distorts] { (doubt.what) p.note { "Remedy: " (doubt.remedy) } }
                }
            }
        }
    }
}

fn options(run: &Run) -> Markup {
    html! {
        @if !run.started.options.is_empty() {
            details.options {
                summary { (words::plural(run.started.options.len() as u64, "option", "options")) " of this run" }
                table {
                    tbody {
                        @for (key, value) in &run.started.options {
                            tr { th scope="row" { (key) } td { code { (value) } } }
                        }
                    }
                }
            }
        }
        @if let Some(hash) = run.hash() {
            p.note { "Hash of everything that happened: " code { (hash) } }
        }
    }
}
