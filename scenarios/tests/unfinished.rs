//! Clients that are not done when the recovery is over are ended before the last look at the log.

use squall_history::{Kind, Report, Verdict};
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

/// Producers that send what they could not send while copies were away, when the end of the log is looked for.
const BEHIND: &str = "
name: late-producers
about: Producers that are not done when the run is over.
topology:
  nodes: 3
  topics:
    orders: { partitions: 8, replicas: 3, min_insync: 2 }
    shipments: { partitions: 3, replicas: 3, min_insync: 2 }
workload:
  producers: { topic: orders, count: 4, rate: 300/s, acks: all, idempotent: true }
  consumers:
    - { group: shipping, count: 3, topic: orders, isolation: read-committed, forward: { topic: shipments, records: 10 } }
    - { group: billing, topic: [shipments, orders], isolation: read-committed }
  for: 6s
faults:
  - { at: 2s, kill: followers(orders/0), for: 4s }
expect: { delivery: at-least-once }
recovery: 1s
";

fn judged(text: &str, seed: u64) -> Report {
    let job = Job {
        scenario: Arc::new(Scenario::parse("late.yaml", text, &[]).expect("a scenario")),
        named: "late.yaml".to_owned(),
        overrides: Vec::new(),
        target: "sim:kafka".parse().expect("every build has it"),
        seed,
    };
    job.run(&(Arc::new(|_| {}) as _), &|_| {}).finished.report
}

/// Were they to go on, others would read what the last reader, who stops at the ends that it was told, does not.
#[test]
fn what_comes_behind_the_last_look_is_not_lost() {
    for (text, seed) in [(LATE, 1), (LATE, 2), (BEHIND, 1), (BEHIND, 2)] {
        let report = judged(text, seed);
        assert_eq!(report.verdict, Verdict::Unknown, "{}", report.reason);
        let unprocessed = report.anomalies.iter().any(|anomaly| anomaly.kind == Kind::Unprocessed);
        assert!(unprocessed, "{}", report.reason);
    }
}
