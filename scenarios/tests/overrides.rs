//! `--set`: any key, and errors that point into the argument.

use squall_scenarios::{Override, Scenario, format::ScenarioError, library};

fn set(arguments: &[&str]) -> Result<Scenario, ScenarioError> {
    let overrides = arguments.iter().map(|text| text.parse()).collect::<Result<Vec<Override>, _>>()?;
    library::find("leader-failover").expect("it exists").scenario(&overrides)
}

#[test]
fn any_key_can_be_set() {
    let scenario = set(&[
        "workload.producers.acks=1",
        "workload.producers.idempotent=false",
        "workload.for=20s",
        "faults.0.at=2s",
        "faults.1={ at: 15s, restart: controller }",
        "topology.topics.order-events.config.\"retention.ms\"=1000",
        "expect.log=exactly-once",
        "expect.dlq=",
        "covers=[delivery/no-loss]",
    ])
    .unwrap_or_else(|error| panic!("\n{error}"));
    assert_eq!(scenario.workload.producers.as_slice()[0].acks.0, squall_bus::Acks::One);
    assert_eq!(scenario.workload.lasts.to_string(), "20s");
    assert_eq!(scenario.faults[0].at.expect("a time").to_string(), "2s");
    assert!(scenario.faults[1].restart.is_some() && scenario.faults[1].partition.is_none());
    assert_eq!(scenario.topology.topics["order-events"].config["retention.ms"].0, "1000");
    assert!(scenario.expect.log.is_some() && scenario.expect.dlq.is_none());
    assert_eq!(scenario.covers, ["delivery/no-loss"]);
}

#[test]
fn a_key_with_dots_is_found_without_quotes_if_it_exists() {
    let scenario = set(&["topology.topics.order-events.dlq={ partitions: 3 }"]);
    // `order-events` exists and has no key `dlq`: the argument means the topic's key.
    assert!(scenario.expect_err("no such key").to_string().contains("unknown key `dlq`"));
    let scenario = set(&[
        "topology.topics.\"order-events.dlq\"={ partitions: 3 }",
        "topology.topics.order-events.dlq.partitions=5",
    ]);
    let scenario = scenario.unwrap_or_else(|error| panic!("\n{error}"));
    assert_eq!(scenario.topology.topics["order-events.dlq"].partitions.get(), 5);
}

#[test]
fn errors_point_into_the_argument() {
    let wrong = [
        "workload.producers.acks",
        "workload..acks=1",
        "workload.producer.acks=1",
        "workload.producers.akcs=1",
        "workload.producers.acks=2",
        "workload.producers.acks=1",
        "workload.producers.rate=500",
        "workload.for.x=1",
        "faults.7.at=1s",
        "faults.0.kill=leader(order-events/12)",
        "topology.topics.order-events.min_insync=4",
        "workload.producers.acks=[all",
        "workload.for=10s",
        "name=",
    ];
    let errors: Vec<String> =
        wrong.iter().map(|text| format!("--set '{text}'\n{}", set(&[text]).expect_err(text))).collect();
    insta::assert_snapshot!(errors.join("\n"));
}

/// An argument must not hide an error in the file.
#[test]
fn errors_in_the_file_are_found_first() {
    let text = library::find("leader-failover").expect("it exists").text.replace("rate: 200/s", "rate: 200");
    let fix = ["workload.producers.rate=200/s".parse().expect("an override")];
    let error = Scenario::parse("mine.yaml", &text, &fix).expect_err("the file is wrong");
    assert_eq!(error.findings()[0].source, "mine.yaml");
}
