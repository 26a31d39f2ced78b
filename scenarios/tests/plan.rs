//! What a seed makes of a scenario: printed, the same every time, and with independent choices.

use squall_bus::{AckModel, Capabilities, Capability, lowering::Lowering};
use squall_scenarios::{
    Plan, Scenario, library,
    plan::{ProducerPlan, payload},
};
use std::{collections::BTreeSet, path::Path, time::Duration};

fn design() -> Scenario {
    Scenario::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/design.yaml"), &[])
        .expect("a valid scenario")
}

#[test]
fn the_plan_of_the_design_prints_itself() {
    insta::assert_snapshot!(Plan::new(design(), 7));
}

#[test]
fn every_plan_of_the_library_prints_itself() {
    let plans: Vec<String> = library::entries()
        .iter()
        .map(|entry| Plan::new(entry.scenario(&[]).expect("a valid scenario"), 1).to_string())
        .collect();
    insta::assert_snapshot!(plans.join("\n---\n\n"));
}

/// Without `expect` the configuration speaks alone; and everything there is to warn of.
#[test]
fn explain_names_what_is_weak_and_what_a_target_lacks() {
    let set: Vec<_> = [
        "expect.delivery=",
        "expect.log=exactly-once",
        "expect.order=per-key",
        "covers=[failover/automagic, x/y]",
        "workload.consumers.handler={ takes: 30ms..50ms, poison: 1% }",
        "workload.producers=[{ topic: payment-events, rate: 100/s, acks: 1 }, { topic: order-events, rate: 6/m, acks: 0, key: none }]",
        "topology.topics.order-events={ partitions: 2, replicas: 2, config: { retention.ms: 1000 } }",
    ]
    .iter()
    .map(|text| text.parse().expect("an override"))
    .collect();
    let text = library::find("lone-leader-acks1")
        .expect("it exists")
        .text
        .replace("expect:", "  - { at: 31s, power-fail: all, for: 2s }\n  - { every: 9s..12s, delay: { role: minority, by: 10ms..20ms }, for: 1s }\nexpect:");
    let plan =
        Plan::new(Scenario::parse("weak.yaml", &text, &set).unwrap_or_else(|error| panic!("\n{error}")), 1);
    let poor =
        Capabilities::new(AckModel::Individual, false, &[Capability::ProcessFaults, Capability::AckNone])
            .without(Capability::PowerFail, "mkfs.ext4 was not found on PATH: install e2fsprogs");
    insta::assert_snapshot!(plan.explain("sim:poor", &poor));
    insta::assert_snapshot!("a_bus_without_topics", plan.lowering(Lowering::Streams).join("\n"));
    assert!(plan.lowering(Lowering::None).is_empty());
    let rich = Capabilities::new(AckModel::Prefix, true, &Capability::ALL);
    assert!(plan.lacks(&rich).is_empty());
}

/// What is left to the bus, on one that has no topics and on one that cannot do it.
#[test]
fn explain_says_what_is_left_to_the_bus() {
    let set = ["workload.consumers.buffer=64", "expect.order=per-key"]
        .map(|text| text.parse().expect("an override"));
    let entry = library::find("poison-by-max-deliver").expect("it exists");
    let plan = Plan::new(entry.scenario(&set).expect("valid"), 1);
    insta::assert_snapshot!("what_is_left_to_the_bus", plan.lowering(Lowering::Streams).join("\n"));
    let poor = Capabilities::new(AckModel::Prefix, true, &[Capability::Idempotence]);
    assert_eq!(plan.lacks(&poor), [Capability::Redelivery]);
    for key in ["ack_wait=1s", "buffer=3", "retry.by=bus"] {
        let set = [format!("workload.consumers.{key}").parse().expect("an override")];
        let plan =
            Plan::new(library::find("poison-to-dlq").expect("it exists").scenario(&set).expect("valid"), 1);
        assert_eq!(plan.lacks(&poor), [Capability::Redelivery], "{key}");
    }
}

#[test]
fn a_plan_is_a_function_of_scenario_and_seed() {
    let all = |seed| -> Vec<_> {
        Plan::new(design(), seed).producers().iter().flat_map(ProducerPlan::records).collect()
    };
    assert_eq!(all(7), all(7));
    assert_ne!(all(7), all(8));
    assert_eq!(Plan::new(design(), 7).faults(), Plan::new(design(), 7).faults());
    assert_ne!(Plan::new(design(), 7).faults(), Plan::new(design(), 8).faults());
}

/// The promise that makes failures shrink: without one record all other draws are what they were.
#[test]
fn without_one_record_nothing_else_changes() {
    let poisson = ["workload.producers.arrivals=poisson".parse().expect("an override")];
    let scenario = library::find("leader-failover").expect("it exists").scenario(&poisson).expect("valid");
    let whole = Plan::new(scenario, 3);
    let gone = whole.producers()[1].records().nth(40).expect("a record").value;
    let rest = whole.clone().without_records([gone]);
    for (before, after) in whole.producers().iter().zip(rest.producers()) {
        let expected: Vec<_> = before.records().filter(|record| record.value != gone).collect();
        let found: Vec<_> = after.records().collect();
        assert_eq!(expected, found);
    }
    let count = |plan: &Plan| plan.producers().iter().map(|p| p.records().count()).sum::<usize>();
    assert_eq!(count(&whole), count(&rest) + 1, "the record is not gone");
    assert_eq!(whole.faults(), rest.faults());
    for (before, after) in whole.consumers().iter().zip(rest.consumers()) {
        assert_eq!(before.attempt(gone + 1, false, 1), after.attempt(gone + 1, false, 1));
        assert_eq!(before.backoff(gone + 1, 2), after.backoff(gone + 1, 2));
    }
}

#[test]
fn without_one_fault_the_others_keep_their_numbers_and_times() {
    let whole = Plan::new(design(), 3);
    let rest = whole.clone().without_faults(&BTreeSet::from([1]));
    assert_eq!(rest.faults().len() + 1, whole.faults().len());
    assert!(rest.faults().iter().all(|fault| whole.faults().contains(fault)));
}

#[test]
fn records_come_at_the_rate_with_unique_ids_and_readable_payloads() {
    let plan = Plan::new(design(), 5);
    let records: Vec<_> = plan.producers().iter().flat_map(ProducerPlan::records).collect();
    assert_eq!(records.len(), 30_000);
    let ids: BTreeSet<u64> = records.iter().map(|record| record.value).collect();
    assert_eq!(ids.len(), records.len());
    let poison = records.iter().filter(|record| record.poison).count();
    assert!((100..200).contains(&poison), "0.5 % of 30,000 should be poison, not {poison}");
    for record in records.iter().step_by(1_000) {
        let bytes = record.payload();
        assert_eq!(payload::decode(&bytes), Ok(record.value));
        let json: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(json["value"], record.value);
        assert_eq!(json["customer_id"].as_str().map(str::as_bytes), record.key.as_deref());
    }
}

#[test]
fn every_changed_byte_is_noticed() {
    let record = Plan::new(design(), 5).producers()[0].records().next().expect("a record");
    let good = record.payload().to_vec();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x01;
        assert_ne!(payload::decode(&bad), Ok(record.value), "byte {at} may change unnoticed");
    }
    assert!(payload::decode(&good[..good.len() - 1]).is_err());
}

/// For each order: created first, updates, one end; and one customer throughout.
#[test]
fn orders_live_their_lives_in_order() {
    let plan = Plan::new(design(), 5);
    let mut lives = std::collections::BTreeMap::<String, Vec<(String, String)>>::new();
    for producer in plan.producers() {
        for record in producer.records().take(3_200) {
            let json: serde_json::Value = serde_json::from_slice(&record.payload()).expect("JSON");
            let text = |key: &str| json[key].as_str().expect(key).to_owned();
            lives.entry(text("order_id")).or_default().push((text("type"), text("customer_id")));
        }
    }
    assert_eq!(lives.len(), 4 * 800);
    for (order, life) in lives {
        let kinds: Vec<&str> = life.iter().map(|(kind, _)| kind.as_str()).collect();
        assert!(
            matches!(
                kinds[..],
                ["order.created", "order.updated", "order.updated", "order.completed" | "order.cancelled"]
            ),
            "{order}: {kinds:?}"
        );
        assert!(life.iter().all(|(_, customer)| *customer == life[0].1), "{order}: {life:?}");
    }
}

#[test]
fn tries_and_pauses_follow_the_retry_policy() {
    let plan = Plan::new(design(), 5);
    let consumer = &plan.consumers()[0];
    assert_eq!(consumer.attempts(), 3);
    assert!(!consumer.attempt(1, true, 1).succeeds && consumer.attempt(1, false, 1).succeeds);
    assert_eq!(consumer.attempt(1, false, 1).takes, Duration::from_millis(2));
    let longest = |attempt| (0..2_000).map(|value| consumer.backoff(value, attempt)).max().expect("some");
    for (attempt, limit) in [(1, 50), (2, 100), (3, 200), (9, 2_000), (200, 2_000)] {
        let (longest, limit) = (longest(attempt), Duration::from_millis(limit));
        assert!(longest <= limit && longest > limit * 9 / 10, "pause {attempt}: {longest:?} of {limit:?}");
    }
    assert_eq!(consumer.backoff(7, 2), plan.consumers()[1].backoff(7, 2), "the group does alike");
}

#[test]
fn options_name_every_key() {
    let set = [
        "workload.producers.acks=1".parse().expect("one"),
        "workload.producers.idempotent=false".parse().expect("two"),
    ];
    let scenario = library::find("leader-failover").expect("it exists").scenario(&set).expect("valid");
    let options = Plan::new(scenario, 1).options();
    for (key, value) in [
        ("workload.producers.acks", "1"),
        ("workload.producers.customers", "100"),
        ("topology.topics.order-events.partitions", "12"),
        ("faults.0.kill", "leader(order-events/0)"),
        ("workload.consumers.handler.poison", "0.5%"),
        ("expect.unavailable", "< 25s"),
    ] {
        assert_eq!(options.get(key).map(String::as_str), Some(value), "{key}");
    }
}

#[test]
fn a_plan_names_clients_of_other_libraries() {
    let overrides = ["workload.consumers.profile=java-3", "workload.producers.profile=java"];
    let overrides = overrides.map(|text| text.parse().expect("an override"));
    let scenario = library::find("leader-failover").expect("it exists").scenario(&overrides).expect("valid");
    let lines = Plan::new(scenario, 1).to_string();
    let of = |start: &str| lines.lines().find(|line| line.contains(start)).expect("a line").to_owned();
    assert!(of("consumers of").contains("; Java's client 3.x"), "{lines}");
    assert!(of("producers send").ends_with("; Java's client"), "{lines}");
}
