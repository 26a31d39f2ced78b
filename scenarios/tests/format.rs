//! The many ways to write the same scenario, and what each scalar means.

use squall_scenarios::{Scenario, format::ScenarioError};
use std::{fs, path::Path};

fn design() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/design.yaml"))
        .expect("the file")
}

fn parse(text: &str) -> Result<Scenario, ScenarioError> {
    Scenario::parse("test.yaml", text, &[])
}

#[test]
fn line_ends_and_byte_order_marks_do_not_matter() {
    let plain = parse(&design()).expect("valid");
    assert_eq!(parse(&design().replace('\n', "\r\n")).expect("valid"), plain);
    assert_eq!(parse(&format!("\u{feff}{}", design())).expect("valid"), plain);
    let error = parse(&design().replace("count: 4", "count: 0").replace('\n', "\r\n")).expect_err("a zero");
    assert_eq!((error.findings()[0].line, error.findings()[0].column), (8, 23));
    assert!(!error.to_string().contains(['\r', '?']));
}

/// Columns count characters, and places are right behind letters of several bytes.
#[test]
fn places_count_characters() {
    let text = design().replace("count: 4", "\"c\u{f6}unt\": 4");
    let error = parse(&text).expect_err("an unknown key");
    let finding = &error.findings()[0];
    assert_eq!((finding.line, finding.column), (8, 16));
    let text = design()
        .replace("about: Ack", "about: \u{c4}\u{1f600} ack")
        .replace("covers: [", "covers: [\u{e4}, 7, ");
    let finding = &parse(&text).expect_err("a number").findings()[0];
    assert_eq!(
        (finding.line, finding.column, finding.message.as_str()),
        (3, 13, "expected text, found the number `7`")
    );
}

#[test]
fn anchors_and_merges_work_within_limits() {
    let text = "
name: anchors
topology:
  topics:
    orders: &shape { partitions: 3, replicas: 3 }
    payments: *shape
    returns: { <<: *shape, partitions: 1 }
workload: { producers: { topic: orders, rate: 10/s }, for: 10s }
";
    let scenario = parse(text).unwrap_or_else(|error| panic!("\n{error}"));
    let partitions = |topic: &str| scenario.topology.topics[topic].partitions.get();
    assert_eq!((partitions("orders"), partitions("payments"), partitions("returns")), (3, 3, 1));
}

/// The least there is; every default is a sensible one.
#[test]
fn the_least_scenario_has_sensible_defaults() {
    let text = "{name: least, topology: {topics: {orders: {partitions: 1}}}, workload: {producers: {topic: orders, rate: 10/s}, for: 10s}}";
    let scenario = parse(text).unwrap_or_else(|error| panic!("\n{error}"));
    let nodes = scenario.topology.nodes;
    let orders = &scenario.topology.topics["orders"];
    assert_eq!((nodes.get(), orders.replicas_on(nodes), orders.min_insync_on(nodes)), (3, 3, 2));
    let producers = &scenario.producer_groups()[0];
    assert_eq!(
        (producers.count.get(), producers.acks.0, producers.idempotent),
        (1, squall_bus::Acks::All, false)
    );
    assert!(scenario.consumer_groups().is_empty() && scenario.faults.is_empty());
}

/// A dead-letter topic named after its topic needs no entry; any other does.
#[test]
fn dead_letter_topics_are_shaped_like_their_topic() {
    let scenario = parse(&design()).expect("valid");
    let topics = scenario.topics();
    assert_eq!(topics.keys().copied().collect::<Vec<_>>(), ["order-events", "order-events.dlq"]);
    assert_eq!(topics["order-events"], topics["order-events.dlq"]);
    let elsewhere = design().replace("dlq: order-events.dlq", "dlq: graveyard");
    assert!(parse(&elsewhere).is_err());
    parse(&elsewhere.replace("topics: {", "topics: { graveyard: { partitions: 1 },"))
        .expect("it stands there now");
}

#[test]
fn numbers_with_units_are_exact() {
    let scenario = parse(&design()).expect("valid");
    let consumers = &scenario.consumer_groups()[0];
    assert_eq!(consumers.handler.poison.ppm(), 5_000);
    assert_eq!(consumers.handler.takes.high().nanos(), 2_000_000);
    assert_eq!(
        (consumers.retry.backoff.low().nanos(), consumers.retry.backoff.high().nanos()),
        (50_000_000, 2_000_000_000)
    );
    assert_eq!(scenario.record_count(), 30_000);
}

/// What a scenario says of brokers, by bus: to the cluster of that bus, and to no other.
#[test]
fn brokers_are_said_by_bus() {
    let text = "{name: brokers, topology: {brokers: {kafka: {profile: 4.1, config: {broker.session.timeout.ms: 6000}}}, topics: {orders: {partitions: 1}}}, workload: {producers: {topic: orders, rate: 10/s}, for: 10s}}";
    let scenario = parse(text).unwrap_or_else(|error| panic!("\n{error}"));
    let plan = squall_scenarios::Plan::new(scenario.clone(), 1);
    let kafka = plan.cluster("kafka");
    assert_eq!(kafka.profile.as_deref(), Some("4.1"));
    assert_eq!(kafka.config.get("broker.session.timeout.ms").map(String::as_str), Some("6000"));
    let nats = plan.cluster("nats");
    assert!(nats.profile.is_none() && nats.config.is_empty());
    assert!(plan.to_string().contains("brokers of kafka: profile 4.1, broker.session.timeout.ms=6000"));
    assert_eq!(plan.options()["topology.brokers.kafka.config.broker.session.timeout.ms"], "6000");
    assert_eq!(parse(&scenario.to_yaml()).expect("it reads as it was"), scenario);
}

#[test]
fn wrong_brokers_are_named_with_place_and_remedy() {
    for (said, column, message, help) in [
        ("kafkaa: {}", 40, "`kafkaa` is not a bus", "did you mean `kafka`?"),
        ("kafka: { profile: 2.8 }", 58, "there is no profile `2.8`", "the profiles are 3.9, 4.1, 4.3"),
        (
            "kafka: { config: { broker.sesion.timeout.ms: 6000 } }",
            85,
            "`broker.sesion.timeout.ms` is not a setting that the model has",
            "did you mean `broker.session.timeout.ms`?",
        ),
        (
            "kafka: { config: { broker.session.timeout.ms: 6s } }",
            86,
            "`broker.session.timeout.ms` is a whole number of milliseconds, without a unit, not `6s`",
            "write a whole number of milliseconds, without a unit, as in 1000",
        ),
        (
            "kafka: { config: { unclean.leader.election.enable: 1 } }",
            91,
            "`unclean.leader.election.enable` is `true` or `false`, not `1`",
            "write `true` or `false`",
        ),
        ("kafka: { profil: 4.1 }", 49, "unknown key `profil`", "did you mean `profile`?"),
    ] {
        let text = format!(
            "{{name: brokers, topology: {{ brokers: {{ {said} }}, topics: {{orders: {{partitions: 1}}}}}}, workload: {{producers: {{topic: orders, rate: 10/s}}, for: 10s}}}}"
        );
        let findings = parse(&text).expect_err("it is wrong").findings();
        let found: Vec<_> = findings
            .iter()
            .map(|finding| (finding.line, finding.column, finding.message.as_str(), finding.help.as_deref()))
            .collect();
        assert_eq!(found, [(1, column, message, Some(help))], "{said}");
    }
}

#[test]
fn an_unknown_bug_is_named_with_the_nearest() {
    let text = "{name: bugs, topology: {bug: kip-96, topics: {orders: {partitions: 1}}}, workload: {producers: {topic: orders, rate: 10/s}, for: 10s}}";
    let findings = parse(text).expect_err("there is none").findings();
    assert_eq!(findings[0].message, "there is no bug `kip-96`");
    assert_eq!(findings[0].help.as_deref(), Some("did you mean `kip-966`?"));
}
