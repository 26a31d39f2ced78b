//! Runs side by side: what the terminal's table and the page compare.
//!
//! Of runs of one seed, whose plans are the same, also what happened after each fault: from its strike until the
//! next one.

use crate::{AfterFault, FaultLog, Run, progress, words};

/// A line of a comparison: a name, and a cell for each run.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) cells: Vec<String>,
}

/// What happened after one fault.
pub(crate) struct Block {
    /// `kill leader(orders/0)`.
    pub(crate) fault: String,
    pub(crate) rows: Vec<Row>,
}

/// A name, and how a figure is shown.
type Figure<T> = (&'static str, fn(&T) -> String);

/// The lines of the table of whole runs.
const WHOLE: &[Figure<Run>] = &[
    ("target", |run| run.started.target.clone()),
    ("seed", |run| run.started.seed.to_string()),
    ("verdict", |run| run.verdict().to_string()),
    ("sent", |run| words::count(run.counts().sent)),
    ("acked", |run| words::count(run.counts().acked)),
    ("delivered", |run| words::count(run.counts().delivered)),
    ("duplicates", |run| words::count(run.counts().duplicates)),
    ("acked a second", |run| measured(run, |m| words::count(m.acked_per_s))),
    ("delivered a second", |run| measured(run, |m| words::count(m.delivered_per_s))),
    ("publish p50", |run| measured(run, |m| span(m.publish.p50))),
    ("publish p95", |run| measured(run, |m| span(m.publish.p95))),
    ("publish p99", |run| measured(run, |m| span(m.publish.p99))),
    ("publish max", |run| measured(run, |m| span(m.publish.max))),
    ("end to end p50", |run| measured(run, |m| span(m.end_to_end.p50))),
    ("end to end p95", |run| measured(run, |m| span(m.end_to_end.p95))),
    ("end to end p99", |run| measured(run, |m| span(m.end_to_end.p99))),
    ("end to end max", |run| measured(run, |m| span(m.end_to_end.max))),
    ("unavailable", |run| words::millis(run.unavailable_ms())),
    ("faults", |run| words::count(run.counts().faults)),
    ("hash", |run| run.hash().map_or_else(|| words::NONE.to_owned(), str::to_owned)),
];

/// The lines of what happened after a fault.
const AFTER: &[Figure<AfterFault>] = &[
    ("unavailable", |after| span(after.unavailable)),
    ("acked a second", |after| words::count(after.acked_per_s)),
    ("delivered a second", |after| words::count(after.delivered_per_s)),
    ("publish p50", |after| span(after.publish.p50)),
    ("publish p95", |after| span(after.publish.p95)),
    ("publish p99", |after| span(after.publish.p99)),
    ("end to end p99", |after| span(after.end_to_end.p99)),
    ("duplicates", |after| words::count(after.duplicates)),
];

fn span(nanos: Option<u64>) -> String {
    words::span_or(nanos, words::NONE)
}

fn measured(run: &Run, show: impl Fn(&crate::Measured) -> String) -> String {
    run.measured.as_ref().map_or_else(|| words::NONE.to_owned(), show)
}

/// Whole runs, one line a figure. Of histories that were read, what was not measured is left out.
pub(crate) fn whole(runs: &[&Run]) -> Vec<Row> {
    let is_read = |run: &&Run| run.file.is_some();
    let row = |(name, show): &Figure<Run>| Row { name, cells: runs.iter().map(|run| show(run)).collect() };
    let mut rows: Vec<Row> = WHOLE.iter().map(row).collect();
    if !runs.is_empty() && runs.iter().all(is_read) {
        rows.retain(|row| row.cells.iter().any(|cell| cell != words::NONE));
        let cells = runs.iter().map(|run| run.file.clone().unwrap_or_default()).collect();
        rows.insert(0, Row { name: "file", cells });
    }
    rows
}

/// What happened after each fault, if the runs can be compared by fault: they have one seed, and something was
/// measured.
pub(crate) fn after_faults(runs: &[&Run]) -> Vec<Block> {
    let one_plan = runs.windows(2).all(|pair| pair[0].started.seed == pair[1].started.seed);
    let mut struck: Vec<&FaultLog> = Vec::new();
    for fault in runs.iter().flat_map(|run| &run.faults) {
        let measured = runs.iter().any(|run| after(run, fault.struck.id).is_some());
        if measured && struck.iter().all(|known| known.struck.id != fault.struck.id) {
            struck.push(fault);
        }
    }
    if !one_plan {
        return Vec::new();
    }
    struck.sort_by_key(|fault| fault.struck.id);
    struck.into_iter().map(|fault| block(runs, fault)).collect()
}

fn block(runs: &[&Run], fault: &FaultLog) -> Block {
    let id = fault.struck.id;
    let hit = |run: &&Run| {
        let of_run = run.faults.iter().find(|fault| fault.struck.id == id);
        of_run.map_or_else(|| words::NONE.to_owned(), |fault| progress::hit(&fault.struck.hit))
    };
    let mut rows = vec![Row { name: "", cells: runs.iter().map(hit).collect() }];
    rows.extend(AFTER.iter().map(|(name, show)| Row {
        name,
        cells: runs.iter().map(|run| after(run, id).map_or_else(|| words::NONE.to_owned(), show)).collect(),
    }));
    Block { fault: format!("{} {}", fault.struck.verb, fault.struck.role), rows }
}

fn after(run: &Run, id: u32) -> Option<&AfterFault> {
    run.measured.as_ref()?.after_faults.iter().find(|after| after.id == id)
}
