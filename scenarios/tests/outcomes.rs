//! The table of expected outcomes, held true on the simulated targets.

use squall_history::Kind;
use squall_scenarios::{Job, Target, library};
use std::{
    num::NonZero,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// So many seeds of each scenario; long sweeps are commands (`squall run SCENARIO --seeds 1000`).
const SEEDS: u64 = 3;

/// What is not as the table says of a scenario on a target.
fn wrong(scenario: &str, target: &Target, seed: u64, outcome: &library::Outcome) -> Option<String> {
    let job = Job {
        scenario: Arc::new(library::open(scenario, &[]).expect("the library parses")),
        named: scenario.to_owned(),
        overrides: Vec::new(),
        target: target.clone(),
        seed,
    };
    let report = job.run(&(Arc::new(|_| {}) as _), &|_| {}).finished.report;
    let kinds: Vec<Kind> = report.anomalies.iter().map(|anomaly| anomaly.kind).collect();
    let finds_all = outcome.finds.iter().all(|kind| kinds.contains(kind));
    let lacks = outcome.lacks.as_deref().is_none_or(|lacks| report.reason.contains(lacks));
    let right = report.verdict == outcome.verdict && finds_all && lacks;
    (!right).then(|| format!("{}\n  {}: {} {kinds:?}", job.reproduce(), report.verdict, report.reason))
}

#[test]
fn the_library_does_on_simulated_targets_what_its_table_says() {
    let expected = library::expected().expect("the table");
    // What runs real brokers is not in every build.
    let rows = expected.rows().filter(|(_, target, _)| target.starts_with("sim:"));
    let runs: Vec<_> = rows.flat_map(|row| (1..=SEEDS).map(move |seed| (row, seed))).collect();
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(|| {
                while let Some(((scenario, target, outcome), seed)) =
                    runs.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let target = target.parse().expect("every build has every simulated target");
                    let wrong = wrong(scenario, &target, *seed, outcome);
                    found.lock().expect("not poisoned").extend(wrong);
                }
            });
        }
    });
    let found = found.into_inner().expect("not poisoned");
    assert!(found.is_empty(), "not as the table says:\n{}", found.join("\n"));
}
