//! Clients that are not done when the recovery is over are ended before the last look at the log.

use squall_history::{Kind, Report, Verdict};
use squall_scenarios::{Job, format::Scenario};
use std::sync::Arc;

/// A scenario that ends while its clients are at work.
fn unfinished(topic: &str, workload: &str, rest: &str) -> String {
    format!(
        "
name: unfinished
about: Clients that are not done when the run is over.
topology:
  nodes: 3
  topics:
    orders: {topic}
    shipments: {{ partitions: 3, replicas: 3, min_insync: 2 }}
workload:
{workload}
expect: {{ delivery: at-least-once }}
{rest}
"
    )
}

/// Pipelines that write while the run ends.
fn late() -> String {
    let workload = "
  producers: { topic: orders, rate: 1000/s, acks: all, idempotent: true }
  consumers:
    - { group: shipping, count: 3, topic: orders, isolation: read-committed, handler: { takes: 4ms }, forward: { topic: shipments, records: 10 } }
    - { group: billing, topic: shipments, isolation: read-committed }
  for: 4s";
    unfinished("{ partitions: 3, replicas: 3, min_insync: 2 }", workload, "recovery: 2s")
}

/// Producers that send what they could not send while copies were away, when the end of the log is looked for.
fn behind() -> String {
    let workload = "
  producers: { topic: orders, count: 4, rate: 300/s, acks: all, idempotent: true }
  consumers:
    - { group: shipping, count: 3, topic: orders, isolation: read-committed, forward: { topic: shipments, records: 10 } }
    - { group: billing, topic: [shipments, orders], isolation: read-committed }
  for: 6s";
    let rest = "
faults:
  - { at: 2s, kill: followers(orders/0), for: 4s }
recovery: 1s";
    unfinished("{ partitions: 8, replicas: 3, min_insync: 2 }", workload, rest)
}

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
    for (text, seed) in [(late(), 1), (late(), 2), (behind(), 1), (behind(), 2)] {
        let report = judged(&text, seed);
        assert_eq!(report.verdict, Verdict::Unknown, "{}", report.reason);
        let unprocessed = report.anomalies.iter().any(|anomaly| anomaly.kind == Kind::Unprocessed);
        assert!(unprocessed, "{}", report.reason);
    }
}
