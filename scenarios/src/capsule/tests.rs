//! What is written reads back; what is wrong is told with its place.

use super::*;
use crate::library;

/// A capsule of a run that was never carried out.
fn capsule() -> Capsule {
    let scenario = library::find("lone-leader-acks1").expect("it exists").scenario(&[]).expect("valid");
    Capsule {
        capsule: Version,
        squall: "0.1.0".to_owned(),
        origin: "squall run lone-leader-acks1 --on sim:kafka --seed 7 --set expect.order=".to_owned(),
        overrides: vec!["expect.order=".to_owned()],
        target: TargetText(Target::Sim("kafka".to_owned())),
        seed: u64::MAX,
        expected: Expected {
            verdict: Verdict::Invalid,
            anomaly: Some(squall_history::Kind::LostWrite),
            reason: "lost_write: forbidden".to_owned(),
            story: vec!["first: line".to_owned(), "- second".to_owned()],
            hash: Some("00000000000012e4".to_owned()),
        },
        edits: Edits {
            fault_numbers: Some(vec![3, 1]),
            without_records: vec![
                ValueRange { first: 1_000_000_000, last: 1_000_000_041 },
                ValueRange { first: 2_000_000_007, last: 2_000_000_007 },
            ],
        },
        scenario,
        rules: BTreeMap::from([
            ("elr".to_owned(), Setting("true".to_owned())),
            ("replica_lag".to_owned(), Setting("30s".to_owned())),
            ("dedup_batches".to_owned(), Setting("5".to_owned())),
        ]),
    }
}

fn error(text: &str) -> String {
    match Capsule::parse("x.capsule.yaml", text.as_bytes()) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("nothing is wrong with\n{text}"),
    }
}

#[test]
fn a_capsule_is_a_readable_file() {
    insta::assert_snapshot!(capsule().to_yaml());
}

#[test]
fn what_is_written_reads_back() {
    let mut capsule = capsule();
    // Hexadecimal that YAML could take for numbers.
    for hash in ["00000000000012e4", "1234567890123456", "1e10000000000000", "0000000000000000"] {
        capsule.expected.hash = Some(hash.to_owned());
        let text = capsule.to_yaml();
        let again = Capsule::parse("x", text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(capsule, again);
    }
    for entry in library::entries() {
        capsule.scenario = entry.scenario(&[]).expect("valid");
        capsule.edits = Edits::default();
        let text = capsule.to_yaml();
        assert_eq!(
            Capsule::parse("x", text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}")),
            capsule
        );
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let good = capsule().to_yaml();
    let errors = [
        error(&good.replace("capsule: 1", "capsule: 2")),
        error(&good.replace("seed:", "sead:")),
        error(&good.replace("anomaly: lost_write", "anomaly: lost_rite")),
        error(&good.replace("1000000000..1000000041", "1000000041..1000000000")),
        error(&good.replace("  - 3\n", "")),
        error(&good.replace("  - 3\n", "  - 1\n")),
        error(&good.replace("partitions: 1", "partitions: 0")),
        error(&good.replace("leader(payment-events/0)", "leader(payment-events/5)")),
        error("name: power-loss\n"),
    ];
    insta::assert_snapshot!(errors.join("\n"));
}

/// Which targets there are is a matter of the build.
#[test]
fn a_target_that_cannot_be_replayed_is_refused() {
    let on =
        |target: &str| error(&capsule().to_yaml().replace("target: sim:kafka", &format!("target: {target}")));
    assert!(on("sim:kaffka").contains("`sim:kaffka` is not a target of this build"));
    let local = on("local:kafka");
    assert!(
        local.contains("is not a target of this build")
            || local.contains("a run on local:kafka cannot be replayed")
    );
    assert!(local.contains("x.capsule.yaml:12:9"), "{local}");
}

#[test]
fn ranges_hold_what_was_chosen_and_no_more() {
    let all = [1, 2, 3, 10, 11, 12, 20];
    let ranges = ValueRange::of(all, |value| [2, 3, 10, 12, 20].contains(&value));
    let ends: Vec<(u64, u64)> = ranges.iter().map(|range| (range.first, range.last)).collect();
    assert_eq!(ends, [(2, 10), (12, 20)]);
    assert!(ValueRange::of(all, |_| false).is_empty());
}

#[test]
fn a_huge_range_costs_no_more_than_the_plan() {
    let mut capsule = capsule();
    capsule.edits =
        Edits { fault_numbers: None, without_records: vec![ValueRange { first: 0, last: u64::MAX }] };
    assert_eq!(capsule.plan().values().count(), 0);
}

#[test]
fn evidence_that_is_missing_is_kept_by_its_reason_without_the_numbers() {
    let report = |reason: &str| squall_history::Report::unjudged(Verdict::Unknown, reason);
    let Some(expected) = Expected::of(&report("evidence is missing about 3 of unseen"), Some("12e4")) else {
        panic!("what is unknown has failed");
    };
    assert_eq!((expected.name(), expected.hash.as_deref()), ("unknown", Some("12e4")));
    assert!(expected.is_shown_by(&report("evidence is missing about 41 of unseen")));
    assert!(!expected.is_shown_by(&report("evidence is missing about 3 of lost_write")));
    assert!(!expected.is_shown_by(&squall_history::Report::unjudged(Verdict::Valid, "no anomaly was found")));
}
