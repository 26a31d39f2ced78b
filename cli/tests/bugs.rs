//! `squall bugs`, `--bug`, and what `squall list` says of brokers.

mod common;

use common::{code, listed, squall, squall_in, text};

#[test]
fn bugs_are_listed_with_their_sources() {
    let bugs = listed(&squall(&["bugs", "--json"]), 0, "bugs");
    assert!(bugs.len() >= 10);
    for bug in &bugs {
        for key in ["id", "bus", "source", "about", "scenario", "anomaly", "run"] {
            assert!(bug[key].as_str().is_some_and(|said| !said.is_empty()), "{key} of {bug}");
        }
    }
    let plain = text(&squall(&["bugs", "kip-966"]));
    assert!(plain.contains("squall run lone-leader-loses-power --bug kip-966"), "{plain}");
    assert!(!plain.contains("bufstream"));
}

#[test]
fn a_bug_is_verified_with_its_figures() {
    let output = squall(&["bugs", "--verify", "bufstream-0", "bufstream-lost", "--seeds", "5", "--json"]);
    let bugs = listed(&output, 0, "bugs");
    assert_eq!(bugs.len(), 2);
    for bug in bugs {
        assert_eq!((&bug["found"], &bug["false_alarms"]), (&true.into(), &0.into()), "{bug}");
        assert!(bug["seeds_needed"].as_u64().is_some_and(|seeds| (1..=5).contains(&seeds)), "{bug}");
        assert_eq!(bug["scenario"], "plain-load");
    }
}

/// In storms half of the bugs are enough; what is not found has its count.
#[test]
fn bugs_are_looked_for_in_storms() {
    let words = ["bugs", "--verify", "--storm", "bufstream-lost", "kip-279", "--seeds", "3", "--json"];
    let bugs = listed(&squall(&words), 0, "bugs");
    assert_eq!(bugs[0]["found"], true, "{}", bugs[0]);
    assert!(bugs[0]["scenario"].as_str().is_some_and(|name| name.starts_with("storm")), "{}", bugs[0]);
    assert_eq!(bugs[0]["seeds_tried"], bugs[0]["seeds_needed"], "{}", bugs[0]);
    assert_eq!((&bugs[1]["found"], &bugs[1]["seeds_tried"]), (&false.into(), &3.into()), "{}", bugs[1]);
    assert!(bugs[1]["scenario"].is_null() && bugs[1]["seeds_needed"].is_null(), "{}", bugs[1]);
}

#[test]
fn an_unknown_bug_is_exit_code_2_with_a_suggestion() {
    let output = squall(&["bugs", "--verify", "kip-967"]);
    assert_eq!(code(&output), 2);
    assert!(text(&output).contains("did you mean `kip-966`"), "{}", text(&output));
}

#[test]
fn a_run_with_a_bug_says_how_to_run_it_again_and_replays() {
    let folder = tempfile::tempdir().expect("a folder");
    let words = ["run", "plain-load", "--bug", "bufstream-lost", "--no-shrink", "--json"];
    let output = squall_in(folder.path(), &words);
    let runs = listed(&output, 1, "runs");
    assert_eq!(runs.len(), 1, "the bus whose model has the bug");
    let again = runs[0]["reproduce"].as_str().expect("a command").to_owned();
    assert_eq!(again, "squall run plain-load --on sim:kafka --seed 1 --bug bufstream-lost");
    let capsule = "squall-out/plain-load-sim-kafka-1.capsule.yaml";
    let output = squall_in(folder.path(), &["replay", capsule, "--json"]);
    assert_eq!(code(&output), 1, "{}", text(&output));
    assert!(text(&output).contains("\"same\""), "{}", text(&output));
}

/// What a program does wrong is a key of the scenario: the command that reproduces says which.
#[test]
fn a_bug_of_a_program_is_a_key_of_its_scenario() {
    let folder = tempfile::tempdir().expect("a folder");
    let words = ["run", "aborted-loop", "--bug", "abort-position", "--no-shrink", "--json"];
    let output = squall_in(folder.path(), &words);
    let runs = listed(&output, 1, "runs");
    let again = runs[0]["reproduce"].as_str().expect("a command");
    assert!(again.ends_with("--set workload.consumers.forward.rewind=false"), "{again}");
}

/// KAFKA-17754, as anybody can see it.
#[test]
fn one_scenario_fails_with_the_rules_of_3_9_and_passes_with_those_of_4_3() {
    let folder = tempfile::tempdir().expect("a folder");
    for (profile, exit) in [("3.9", 1), ("4.3", 0)] {
        let set = format!("topology.brokers.kafka.profile={profile}");
        let words = ["run", "late-end", "--on", "sim:kafka", "--set", &set, "--seeds", "20", "--no-shrink"];
        let output = squall_in(folder.path(), &words);
        assert_eq!(code(&output), exit, "{profile}: {}", text(&output));
        assert_eq!(text(&output).contains("G1a"), exit == 1, "{profile}");
    }
}

#[test]
fn a_bug_of_another_bus_is_unsupported() {
    let output = squall(&["run", "plain-load", "--bug", "kip-966", "--on", "sim:nats"]);
    assert_eq!(code(&output), 2, "{}", text(&output));
    assert!(text(&output).contains("has no bug `kip-966`"), "{}", text(&output));
}

#[test]
fn settings_are_listed_and_taken() {
    let listed = text(&squall(&["list", "--settings"]));
    assert!(listed.contains("broker.session.timeout.ms"), "{listed}");
    assert!(listed.contains("topology.brokers.kafka.profile: \"3.9\""), "{listed}");
    let set = "topology.brokers.kafka={ profile: 3.9, config: { broker.session.timeout.ms: 4000 } }";
    let output = squall(&["run", "leader-failover", "--on", "sim:kafka", "--set", set, "--json"]);
    assert_eq!(code(&output), 0, "{}", text(&output));
    let wrong = "topology.brokers.kafka.config={ broker.sesion.timeout.ms: 4000 }";
    let output = squall(&["run", "leader-failover", "--set", wrong]);
    assert_eq!(code(&output), 2);
    assert!(text(&output).contains("did you mean `broker.session.timeout.ms`"), "{}", text(&output));
}
