//! The command on simulated targets.

mod common;

use common::{code, json, squall, text};

#[test]
fn one_seed_has_one_hash_in_every_process() {
    let run = |seed| {
        let output = squall(&["run", "leader-failover", "--seed", seed, "--json"]);
        assert_eq!(code(&output), 0, "{}", text(&output));
        let runs = json(&output)["runs"].clone();
        [0, 1].map(|run| runs[run]["hash"].as_str().expect("simulated runs have a hash").to_owned())
    };
    let (seven, eight) = (run("7"), run("8"));
    assert_eq!(run("7"), seven);
    assert!(eight[0] != seven[0] && eight[1] != seven[1], "{seven:?} {eight:?}");
}

#[test]
fn a_lone_leader_loses_what_it_acknowledged_and_says_how_to_see_it_again() {
    let output = squall(&["run", "lone-leader-acks1", "--on", "sim:kafka", "--seeds", "8", "--json"]);
    assert_eq!(code(&output), 1, "{}", text(&output));
    let runs = json(&output)["runs"].as_array().expect("runs").clone();
    assert_eq!(runs.len(), 8);
    let lost: Vec<_> = runs
        .iter()
        .flat_map(|run| run["anomalies"].as_array().expect("anomalies"))
        .filter(|anomaly| anomaly["kind"] == "lost_write" && anomaly["forbidden"] == true)
        .collect();
    assert!(lost.len() >= 4, "{runs:?}");
    for anomaly in lost {
        assert_eq!(anomaly["story"].as_str().expect("a story").lines().count(), 2, "{anomaly}");
        assert!(!anomaly["clause"].as_str().expect("a clause").is_empty());
    }
}

#[test]
fn acks_from_all_save_the_lone_leaders_records() {
    let set = "workload.producers.acks=all";
    let output =
        squall(&["run", "lone-leader-acks1", "--on", "sim:kafka", "--seeds", "8", "--set", set, "--json"]);
    assert_eq!(code(&output), 0, "{}", text(&output));
}

/// The kinds of what was found in each run.
fn kinds(output: &std::process::Output) -> Vec<Vec<String>> {
    let runs = json(output)["runs"].as_array().expect("runs").clone();
    let found = |run: serde_json::Value| {
        let anomalies = run["anomalies"].as_array().expect("anomalies").clone();
        anomalies.iter().map(|anomaly| anomaly["kind"].as_str().expect("a kind").to_owned()).collect()
    };
    runs.into_iter().map(found).collect()
}

#[test]
fn duplicates_are_allowed_until_somebody_forbids_them_and_gone_with_idempotence() {
    let run = ["run", "retry-without-idempotence", "--json"];
    let set = |set: &'static str| squall(&[&run[..], &["--set", set]].concat());
    let (plain, forbidding) = (squall(&run), set("expect.log=exactly-once"));
    let idempotent = set("workload.producers.idempotent=true");
    assert_eq!([code(&plain), code(&forbidding), code(&idempotent)], [0, 1, 0], "{}", text(&idempotent));
    assert_eq!(kinds(&plain).len(), 2, "a bare run is on both simulated buses");
    assert!(kinds(&plain).iter().all(|kinds| kinds.contains(&"duplicate".to_owned())), "{}", text(&plain));
    assert!(!kinds(&idempotent).concat().contains(&"duplicate".to_owned()), "{}", text(&idempotent));
}

#[test]
fn power_takes_what_no_disk_has_and_nothing_when_disks_are_synced_first() {
    let lazy = squall(&["run", "power-loss", "--seeds", "2", "--json"]);
    assert_eq!(code(&lazy), 1, "{}", text(&lazy));
    let lost = |kinds: &Vec<String>| kinds.iter().any(|kind| kind == "lost_write" || kind == "unseen");
    assert!(kinds(&lazy).len() == 4 && kinds(&lazy).iter().all(lost), "{}", text(&lazy));
    let synced = squall(&["run", "power-loss", "--seeds", "2", "--json", "--set", "topology.fsync=always"]);
    assert_eq!(code(&synced), 0, "{}", text(&synced));
    assert_eq!(kinds(&synced).concat(), Vec::<String>::new());
}

#[test]
fn every_failure_prints_the_command_that_reproduces_it() {
    let set = "expect.log=exactly-once";
    let output =
        squall(&["run", "retry-without-idempotence", "--on", "sim:kafka", "--seed", "3", "--set", set]);
    assert_eq!(code(&output), 1, "{}", text(&output));
    let command =
        "squall run retry-without-idempotence --on sim:kafka --seed 3 --set expect.log=exactly-once";
    assert!(text(&output).contains(command), "{}", text(&output));
}

#[test]
fn the_reports_are_written_beside_the_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    let words = ["run", "poison-to-dlq", "--on", "sim:kafka", "--out", out.to_str().expect("utf-8")];
    let output = squall(&words);
    assert_eq!(code(&output), 0, "{}", text(&output));
    for file in
        ["result.json", "junit.xml", "report.html", "report.txt", "events.jsonl", "history-sim-kafka-1.jsonl"]
    {
        assert!(out.join(file).metadata().is_ok_and(|file| file.len() > 0), "{file}");
    }
}

#[test]
fn bad_input_is_exit_code_2_with_a_sentence() {
    for (words, says) in [
        (&["run", "leader-failoverr"][..], "leader-failover"),
        (&["run", "leader-failover", "--on", "sim:kaffka"], "is not a target"),
        (&["run", "leader-failover", "--set", "workload.producers.akcs=1"], "acks"),
        (&["run", "leader-failover", "--set", "nonsense"], "KEY=VALUE"),
        (&["run", "leader-failover", "--seed", "18446744073709551615", "--seeds", "2"], "smaller --seed"),
        (&["explain", "/nonexistent.yaml"], "/nonexistent.yaml"),
        (&["run"], "Usage"),
    ] {
        let output = squall(words);
        assert_eq!(code(&output), 2, "{words:?}: {}", text(&output));
        assert!(text(&output).contains(says), "{words:?}: {}", text(&output));
        assert!(!text(&output).contains("panicked"), "{words:?}");
    }
}

#[test]
fn the_library_is_listed_with_what_it_covers() {
    let listed = json(&squall(&["list", "--json"]));
    let scenarios = listed["scenarios"].as_array().expect("scenarios");
    assert_eq!(scenarios.len(), squall_scenarios::library::entries().len());
    for scenario in scenarios {
        assert!(!scenario["about"].as_str().expect("about").is_empty());
        assert!(!scenario["covers"].as_array().expect("covers").is_empty());
    }
    let expecting: Vec<_> = scenarios.iter().filter(|scenario| scenario["expects_anomaly"] == true).collect();
    assert!(expecting.iter().any(|scenario| scenario["name"] == "lone-leader-acks1"));
}

#[test]
fn a_plan_is_explained_and_depends_on_the_seed() {
    let plan = |seed| text(&squall(&["explain", "leader-failover", "--seed", seed]));
    assert!(plan("1").contains("leader(order-events/0)"), "{}", plan("1"));
    assert_eq!(plan("1"), plan("1"));
    assert_ne!(plan("1"), plan("2"));
    let object = json(&squall(&["explain", "leader-failover", "--json"]));
    assert_eq!(object["faults"][0]["verb"], "kill");
}

#[test]
#[cfg(target_os = "linux")]
fn an_output_that_takes_nothing_is_told_and_no_panic() {
    let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_squall"))
        .arg("list")
        .stdout(full)
        .output()
        .expect("squall starts");
    assert_eq!(code(&output), 4);
    assert!(text(&output).contains("standard output cannot be written"), "{}", text(&output));
}
