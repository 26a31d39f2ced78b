//! `--guard`, as a user runs it: what goes the same way in every process passes, and what does not is told.

mod common;

use common::{code, squall, squall_in, text};
use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

/// A short run.
const SHORT: [&str; 4] = ["--set", "workload.for=4s", "--set", "workload.producers.rate=50/s"];

#[test]
fn a_run_goes_the_same_way_in_a_fresh_process() {
    let output = squall(
        &[&["run", "leader-failover", "--seeds", "2", "--guard", "--set", "faults="], &SHORT[..]].concat(),
    );
    assert_eq!(code(&output), 0, "{}", text(&output));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    for name in ["sim:kafka, seed 1", "sim:kafka, seed 2", "sim:nats, seed 1", "sim:nats, seed 2"] {
        assert!(told.contains(&format!("guard: {name}: a fresh process went the same way, ")), "{told}");
    }
}

/// The fresh process draws what the seed draws, under the same preset.
#[test]
fn seeds_of_an_exploration_go_the_same_way_in_a_fresh_process() {
    for preset in [&["--lite"][..], &[]] {
        let words = [
            "explore",
            "lone-leader-acks1",
            "--on",
            "sim:kafka",
            "--seeds",
            "4",
            "--guard=3",
            "--no-shrink",
            "--keep-going",
        ];
        let output = squall(&[&words, preset].concat());
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!told.contains("part after"), "{told}");
        let guarded = |seed| {
            told.contains(&format!("guard: sim:kafka, seed {seed}: a fresh process went the same way"))
        };
        assert!(guarded(1) && guarded(4), "{told}");
        let failing = text(&output)
            .lines()
            .filter_map(|line| line.strip_prefix("reproduce: ")?.rsplit(' ').next()?.parse().ok())
            .collect::<Vec<u64>>();
        assert!(failing.iter().all(|seed| guarded(*seed)), "{failing:?}: {told}");
    }
}

/// A scenario file that is changed while the command runs: what the fresh processes read is not what was run.
#[test]
fn a_run_that_something_else_decides_is_broken_and_its_first_other_event_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, out) = (folder.path().join("mine.yaml"), folder.path().join("out"));
    let written = squall_scenarios::library::entries().iter().find(|entry| entry.name == "leader-failover");
    let written = written.expect("it is in the library").text;
    fs::write(&file, written).expect("a file");
    let words = [
        "run",
        "mine.yaml",
        "--on",
        "sim:kafka",
        "--guard",
        "--out",
        "out",
        "--set",
        "faults=",
        "--set",
        "workload.for=4s",
    ];
    let squall = Command::new(env!("CARGO_BIN_EXE_squall"))
        .args(words)
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("squall starts");
    // The scenario is read before anything is written, and two runs follow before a fresh process is started.
    while !out.exists() {
        thread::sleep(Duration::from_millis(1));
    }
    let changed = written.replace("rate: 200/s", "rate: 150/s");
    assert_ne!(written, changed);
    fs::write(&file, changed).expect("a file");
    let output = squall.wait_with_output().expect("squall ends");
    assert_eq!(code(&output), 4, "{}", text(&output));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    for words in [
        "guard: sim:kafka, seed 1: two runs of this seed part after ",
        "\n  in this process: ",
        "\n  in a fresh process: ",
        "\n  likely cause: ",
        "\n  run it again: squall run mine.yaml --on sim:kafka --seed 1 --set faults= --set workload.for=4s --guard",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    fs::remove_file(&file).expect("it was there");
    let gone = squall_in(folder.path(), &["run", "mine.yaml", "--guard"]);
    assert_eq!(code(&gone), 2, "{}", text(&gone));
}

#[test]
fn what_does_not_repeat_is_refused() {
    let output = squall(&["run", "leader-failover", "--on", "local:kafka", "--guard"]);
    assert_eq!(code(&output), 2, "{}", text(&output));
    assert!(text(&output).contains("only those on simulated targets"), "{}", text(&output));
}
