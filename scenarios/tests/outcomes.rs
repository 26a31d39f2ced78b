//! The table of expected outcomes, held true on the simulated targets.

use squall_history::Kind;
use squall_scenarios::{Job, Target, library};
use std::sync::Arc;

/// So many seeds of each scenario; long sweeps are commands (`squall run SCENARIO --seeds 1000`).
const SEEDS: u64 = 3;

#[test]
fn the_library_does_on_simulated_targets_what_its_table_says() {
    let expected = library::expected().expect("the table");
    let mut wrong = Vec::new();
    for (scenario, target, outcome) in expected.rows() {
        // What runs real brokers is not in every build.
        if !target.starts_with("sim:") {
            continue;
        }
        let target: Target = target.parse().expect("every build has every simulated target");
        let parsed = Arc::new(library::open(scenario, &[]).expect("the library parses"));
        for seed in 1..=SEEDS {
            let job = Job {
                scenario: Arc::clone(&parsed),
                named: scenario.to_owned(),
                overrides: Vec::new(),
                target: target.clone(),
                seed,
            };
            let report = job.run(&(Arc::new(|_| {}) as _), &|_| {}).finished.report;
            let kinds: Vec<Kind> = report.anomalies.iter().map(|anomaly| anomaly.kind).collect();
            let finds_all = outcome.finds.iter().all(|kind| kinds.contains(kind));
            if report.verdict != outcome.verdict || !finds_all {
                wrong.push(format!("{}\n  {}: {} {kinds:?}", job.reproduce(), report.verdict, report.reason));
            }
        }
    }
    assert!(wrong.is_empty(), "not as the table says:\n{}", wrong.join("\n"));
}
