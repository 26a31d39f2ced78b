//! The library: every scenario is valid, says what it covers, and has its expected outcomes.

use squall_history::{Kind, Verdict};
use squall_scenarios::{Plan, Scenario, library, requirements};
use std::{collections::BTreeSet, fs, path::Path};

fn scenarios() -> Vec<Scenario> {
    library::entries()
        .iter()
        .map(|entry| entry.scenario(&[]).unwrap_or_else(|error| panic!("\n{error}")))
        .collect()
}

#[test]
fn every_file_is_in_the_library_under_its_name() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("library");
    let files: BTreeSet<String> = fs::read_dir(folder)
        .expect("the folder")
        .filter_map(|file| {
            file.expect("an entry").file_name().to_str()?.strip_suffix(".yaml").map(str::to_owned)
        })
        .filter(|name| name != "expected")
        .collect();
    let entries: BTreeSet<String> = library::entries().iter().map(|entry| entry.name.to_owned()).collect();
    assert_eq!(files, entries);
    for (entry, scenario) in library::entries().iter().zip(scenarios()) {
        assert_eq!(entry.name, scenario.name);
        assert!(!scenario.about.is_empty(), "{} does not say what it shows", scenario.name);
        assert!(
            scenario.workload.lasts.get().as_secs() <= 60,
            "{} takes long on a real cluster",
            scenario.name
        );
    }
}

#[test]
fn every_scenario_covers_known_requirements() {
    for scenario in scenarios() {
        assert!(!scenario.covers.is_empty(), "{} covers nothing", scenario.name);
        for id in &scenario.covers {
            assert!(requirements::known(id), "{} covers `{id}`, which nobody asks for", scenario.name);
        }
        let unique: BTreeSet<_> = scenario.covers.iter().collect();
        assert_eq!(unique.len(), scenario.covers.len(), "{} covers something twice", scenario.name);
    }
    assert!(!requirements::known("failover/automagic"), "anything passes for a requirement");
}

#[test]
fn every_scenario_has_its_expected_outcomes() {
    let expected = library::expected().unwrap_or_else(|error| panic!("\n{error}"));
    for entry in library::entries() {
        for target in ["sim:kafka", "local:kafka", "sim:nats", "local:nats"] {
            let outcome =
                expected.on(entry.name, target).unwrap_or_else(|| panic!("{} on {target}", entry.name));
            match outcome.verdict {
                Verdict::Invalid => assert!(!outcome.finds.is_empty(), "{} finds what?", entry.name),
                Verdict::Unsupported => assert!(outcome.lacks.is_some(), "{} lacks what?", entry.name),
                _ => assert_eq!(outcome.lacks, None),
            }
        }
    }
    for (scenario, target, _) in expected.rows() {
        assert!(library::find(scenario).is_some(), "{scenario} on {target} is no scenario");
    }
    let lone = expected.on("lone-leader-acks1", "sim:kafka").expect("a row");
    assert_eq!((lone.verdict, lone.finds.as_slice()), (Verdict::Invalid, &[Kind::LostWrite][..]));
}

#[test]
fn the_list_says_which_scenario_expects_an_anomaly() {
    let list = library::list().expect("a sound library");
    let odd: Vec<&str> =
        list.iter().filter(|line| line.expects_anomaly).map(|line| line.name.as_str()).collect();
    let expected = [
        "lone-leader-acks1",
        "power-loss",
        "autocommit-loss",
        "last-replica-standing",
        "unclean-loss",
        "truncation",
        "retention-passes-consumer",
    ];
    assert_eq!(odd, expected);
    insta::assert_snapshot!(serde_json::to_string_pretty(&list).expect("JSON"));
}

/// The lone leader: in every seed the followers freeze for less than a session, the leader dies meanwhile with
/// time to spare, and stays down until a follower can have been elected.
#[test]
fn the_lone_leader_dies_alone_in_every_seed() {
    let scenario = library::find("lone-leader-acks1").expect("it exists").scenario(&[]).expect("valid");
    for seed in 0..1_000 {
        let plan = Plan::new(scenario.clone(), seed);
        let [pause, kill] = plan.faults() else { panic!("seed {seed}: two faults") };
        let (frozen, woken, killed) = (pause.at, pause.at + pause.lasts, kill.at);
        assert!(killed.since(frozen).as_secs() >= 2, "seed {seed}: too little to lose");
        assert!(woken.since(killed).as_secs() >= 2, "seed {seed}: the leader may outlive the freeze");
        assert!(pause.lasts.as_secs() < 7, "seed {seed}: a session may end while the followers are frozen");
        assert!(
            (kill.at + kill.lasts).since(woken).as_secs() >= 16,
            "seed {seed}: the leader may come back too early"
        );
    }
}

#[test]
fn overrides_turn_a_scenario_into_its_counterpart() {
    let set = |text: &str| [text.parse().expect("an override")];
    let lone = library::find("lone-leader-acks1").expect("it exists");
    lone.scenario(&set("workload.producers.acks=all")).expect("acks=all is fine");
    let retry = library::find("retry-without-idempotence").expect("it exists");
    let exactly = retry.scenario(&set("expect.log=exactly-once")).expect("a log can be demanded");
    assert!(exactly.expect.log.is_some());
    retry.scenario(&set("workload.producers.idempotent=true")).expect("idempotence is fine");
}

#[test]
fn an_unknown_name_suggests_a_known_one() {
    let error = library::open("leader-failovr", &[]).expect_err("unknown");
    insta::assert_snapshot!(error);
}
