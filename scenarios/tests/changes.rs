//! Changes of administrators: read, checked, planned, printed.

use squall_bus::{AckModel, Capabilities, Capability, Time, Topic};
use squall_history::{
    Kind, Verdict,
    history::{History, Observation},
    judge,
};
use squall_scenarios::{
    Job, Scenario,
    plan::{Plan, TopicChange},
};
use std::{collections::BTreeMap, sync::Arc};

fn text(changes: &str) -> String {
    format!(
        "name: changing
topology: {{ topics: {{ orders: {{ partitions: 2 }} }} }}
workload:
  producers: {{ topic: orders, rate: 10/s }}
  for: 20s
changes:
{changes}"
    )
}

fn plan(changes: &str) -> Plan {
    Plan::new(Scenario::parse("changing.yaml", &text(changes), &[]).expect("a scenario"), 1)
}

fn error(changes: &str) -> String {
    Scenario::parse("changing.yaml", &text(changes), &[]).expect_err("it is wrong").to_string()
}

#[test]
fn changes_are_planned_in_the_order_of_time() {
    let plan = plan(
        "  - { at: 12s..14s, recreate: orders }
  - { at: 5s, grow: { topic: orders, partitions: 6 } }
  - { at: 6s, set: { topic: orders, config: { retention.ms: 1000 } } }
  - { at: 7s, delete-records: orders }
",
    );
    let [grow, set, delete, recreate] = plan.changes() else { panic!("{:?}", plan.changes()) };
    assert_eq!((grow.at, &grow.what), (Time::from_millis(5_000), &TopicChange::Grow(6)));
    assert_eq!(set.to_string(), "orders gets retention.ms=1000");
    assert_eq!(delete.to_string(), "the records of orders are deleted");
    assert!((12_000..=14_000).contains(&recreate.at.as_millis()));
    let orders = Topic::new("orders");
    let partitions = |at| plan.partitions_at(at)[&orders];
    assert_eq!((partitions(Time(grow.at.0 - 1)), partitions(grow.at), partitions(delete.at)), (2, 6, 6));
    assert_eq!(plan.partitions_at_end()[&orders], 2, "as it was created");
    let printed = plan.to_string();
    assert!(
        printed.contains("changes: 4\n") && printed.contains("orders grows to 6 partitions"),
        "{printed}"
    );
}

/// What a run of these changes wrote down. A producer that starts after 8 s knows what changed before.
fn history(changes: &str) -> History {
    let late = "producers: [{ topic: orders, rate: 10/s }, { topic: orders, rate: 50/s, starts: 8s }]";
    let text = text(changes).replace("producers: { topic: orders, rate: 10/s }", late);
    let job = Job {
        scenario: Arc::new(Scenario::parse("changing.yaml", &text, &[]).expect("a scenario")),
        named: "changing".to_owned(),
        overrides: Vec::new(),
        target: "sim:kafka".parse().expect("a target"),
        seed: 1,
    };
    job.run(&(Arc::new(|_| {}) as _), &|_| {}).history.expect("it ran")
}

#[test]
fn records_are_deleted_in_partitions_that_came_later_too() {
    let history = history(
        "  - { at: 5s, grow: { topic: orders, partitions: 4 } }
  - { at: 15s, delete-records: orders }
",
    );
    let drains = history.notes().iter().filter_map(|(_, note)| match note {
        Observation::Drain(drain) => Some((history.unit_name(drain.unit).partition, drain.from)),
        _ => None,
    });
    let starts: BTreeMap<u32, u64> = drains.collect();
    assert_eq!(starts.len(), 4, "{starts:?}");
    assert!(starts.values().all(|from| *from > 0), "a partition begins where it did: {starts:?}");
}

/// What administrators deleted, as the history has it: the first kept place of each unit, or none.
fn deleted(history: &History) -> Vec<(String, Option<u64>)> {
    let notes = history.notes().iter().filter_map(|(_, note)| match note {
        Observation::Changed { deleted, .. } => Some(deleted),
        _ => None,
    });
    notes.flatten().map(|(unit, at)| (history.unit_name(*unit).to_string(), *at)).collect()
}

#[test]
fn what_an_administrator_deletes_is_written_down_and_no_loss() {
    let history = history("  - { at: 15s, delete-records: orders }\n");
    let deleted = deleted(&history);
    assert!(matches!(&deleted[..], [(_, Some(1..)), (_, Some(1..))]), "{deleted:?}");
    let report = judge(&history);
    assert_eq!(report.verdict, Verdict::Valid, "{}", report.reason);
}

#[test]
fn what_a_topic_had_goes_with_it_and_positions_begin_anew() {
    let history = history("  - { at: 15s, recreate: orders }\n");
    let units = ["orders/0", "orders/1", "orders/0", "orders/1"];
    assert_eq!(deleted(&history), units.map(|unit| (unit.to_owned(), None)), "deleted, and created again");
    let report = judge(&history);
    assert_eq!(report.verdict, Verdict::Valid, "{}", report.reason);
    let reused = report.anomalies.iter().find(|one| one.kind == Kind::InconsistentOffsets);
    let clause = reused.expect("places are used again").clause();
    assert!(clause.contains("was deleted (event "), "{clause}");
}

#[test]
fn what_a_target_lacks_is_named_before_anything_runs() {
    let plan = plan("  - { at: 5s, grow: { topic: orders, partitions: 6 } }\n");
    let poor = Capabilities::new(AckModel::Prefix, true, &[Capability::AlterTopics]);
    assert_eq!(plan.lacks(&poor), [Capability::AddPartitions]);
    assert_eq!(plan.partitions_at_end()[&Topic::new("orders")], 6);
}

#[test]
fn settings_need_a_bus_that_has_what_they_ask() {
    let text = "name: keeping
topology: { topics: { orders: { partitions: 1, config: { cleanup.policy: 'compact,delete', retention.ms: 60000, unclean.leader.election.enable: true } } } }
workload: { producers: { topic: orders, rate: 10/s }, for: 20s }
";
    let plan = Plan::new(Scenario::parse("keeping.yaml", text, &[]).expect("a scenario"), 1);
    let none = Capabilities::new(AckModel::Prefix, true, &[]);
    assert_eq!(
        plan.lacks(&none),
        [Capability::Retention, Capability::Compaction, Capability::UncleanElection]
    );
    let configuration = plan.configuration();
    assert!(configuration.unclean_election);
    let facts = configuration.topics["orders"];
    assert!(facts.compacts() && facts.deletes());
    assert_eq!(facts.retention, Some(std::time::Duration::from_secs(60)));
}

#[test]
fn what_does_not_fit_is_an_error_with_its_place() {
    for (changes, place, words) in [
        ("  - { at: 5s }\n", "changing.yaml:7:", "the change does not say what changes"),
        ("  - { at: 5s, recreate: order }\n", "changing.yaml:7:", "did you mean `orders`?"),
        ("  - { at: 25s, recreate: orders }\n", "changing.yaml:7:", "past the end of the workload"),
        (
            "  - { at: 5s, grow: { topic: orders, partitions: 2 } }\n",
            "changing.yaml:7:",
            "has 2 partitions already and cannot shrink",
        ),
        (
            "  - { at: 5s, recreate: orders, delete-records: orders }\n",
            "changing.yaml:7:",
            "an entry changes one thing, and `delete-records` is the second here",
        ),
        ("  - { at: 5s, gorw: orders }\n", "changing.yaml:7:", "grow"),
    ] {
        let error = error(changes);
        assert!(error.contains(place) && error.contains(words), "{error}");
    }
}
