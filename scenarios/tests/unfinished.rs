//! Clients that are not done when the recovery is over are ended before the last look at the log.

use squall_history::{Kind, Verdict};
use squall_scenarios::{Job, format::Scenario};
use std::sync::Arc;

/// Pipelines that write while the run ends.
const LATE: &str = "
name: late-pipelines
about: Pipelines that are not done when the run is over.
topology:
  nodes: 3
  topics:
    orders: { partitions: 3, replicas: 3, min_insync: 2 }
    shipments: { partitions: 3, replicas: 3, min_insync: 2 }
workload:
  producers: { topic: orders, rate: 1000/s, acks: all, idempotent: true }
  consumers:
    - { group: shipping, count: 3, topic: orders, isolation: read-committed, handler: { takes: 4ms }, forward: { topic: shipments, records: 10 } }
    - { group: billing, topic: shipments, isolation: read-committed }
  for: 4s
expect: { delivery: at-least-once }
recovery: 2s
";

/// Were they to go on, `billing` would read what the last reader, who stops at the ends that it was told, does not.
#[test]
fn what_comes_behind_the_last_look_is_not_lost() {
    let scenario = Arc::new(Scenario::parse("late.yaml", LATE, &[]).expect("a scenario"));
    for seed in 1..=2 {
        let job = Job {
            scenario: Arc::clone(&scenario),
            named: "late.yaml".to_owned(),
            overrides: Vec::new(),
            target: "sim:kafka".parse().expect("every build has it"),
            seed,
        };
        let report = job.run(&(Arc::new(|_| {}) as _), &|_| {}).finished.report;
        assert_eq!(report.verdict, Verdict::Unknown, "{}", report.reason);
        assert!(
            report.anomalies.iter().any(|anomaly| anomaly.kind == Kind::Unprocessed),
            "{}",
            report.reason
        );
    }
}
