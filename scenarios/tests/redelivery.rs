//! What the bus does on its own, and what becomes of it when its word is lost.

use squall_history::{Kind, Report, Verdict};
use squall_scenarios::{Job, library};
use std::sync::Arc;

fn run(scenario: &str, overrides: &[&str], seed: u64) -> Report {
    let overrides: Vec<_> = overrides.iter().map(|text| text.parse().expect("an override")).collect();
    let job = Job {
        scenario: Arc::new(library::open(scenario, &overrides).expect("it parses")),
        named: scenario.to_owned(),
        overrides,
        target: "sim:nats".parse().expect("every build has it"),
        seed,
    };
    job.run(&(Arc::new(|_| {}) as _), &|_| {}).finished.report
}

/// A member stalls and dies before it goes on: what the bus told it meanwhile it never heard.
const STALLED_AND_KILLED: &str =
    "faults=[{ at: 5s, pause: client(consumer-1), for: 4s }, { at: 8s, kill: client(consumer-1), for: 2s }]";

#[test]
fn an_advisory_that_is_lost_is_a_dead_letter_that_is_lost() {
    let mut lost = 0;
    for seed in 1..=8 {
        let report = run("poison-by-max-deliver", &[STALLED_AND_KILLED], seed);
        let found = report.anomalies.iter().filter(|anomaly| anomaly.kind == Kind::DlqLost).count();
        let verdict = if found > 0 { Verdict::Invalid } else { Verdict::Valid };
        assert_eq!(report.verdict, verdict, "seed {seed}: {}", report.reason);
        lost += found;
    }
    assert!(lost > 0, "in eight runs no advisory was on its way to who died");
    // What the consumer counts itself cannot be lost so.
    for seed in 1..=8 {
        let overrides = [STALLED_AND_KILLED, "workload.consumers.retry.by=consumer"];
        let report = run("poison-by-max-deliver", &overrides, seed);
        assert_eq!(report.verdict, Verdict::Valid, "seed {seed}: {}", report.reason);
    }
}

/// The tries that the bus counts are as many as those that the consumer would make: a try fewer, and good records are
/// given up.
#[test]
fn too_few_tries_give_up_good_records() {
    let overrides = ["workload.consumers.retry.attempts=1", "workload.consumers.handler.fails=5%"];
    let report = run("poison-by-max-deliver", &overrides, 1);
    assert!(report.anomalies.iter().any(|anomaly| anomaly.kind == Kind::DlqPremature), "{}", report.reason);
}
