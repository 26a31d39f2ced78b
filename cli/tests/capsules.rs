//! Shrinking and replay as a user runs them.

mod common;

use common::{code, json, squall_in, text};
use std::{fs, path::Path, process::Output};

/// A run that fails and is quickly shrunk.
const FAILING: [&str; 8] = [
    "power-loss",
    "--on",
    "sim:kafka",
    "--set",
    "workload.for=4s",
    "--set",
    "workload.producers.rate=20/s",
    "--set=faults=[{ at: 1s, power-fail: all, for: 1s }]",
];

/// The last word of the line that says how to replay.
fn capsule(output: &Output) -> String {
    let text = text(output);
    let line = text
        .lines()
        .find(|line| line.starts_with("replay: squall replay "))
        .unwrap_or_else(|| panic!("{text}"));
    line.rsplit(' ').next().expect("a file").to_owned()
}

#[test]
fn a_failing_run_leaves_a_shrunk_capsule_that_replays() {
    let folder = tempfile::tempdir().expect("a folder");
    let ran = squall_in(folder.path(), &[&["run"], &FAILING[..]].concat());
    assert_eq!(code(&ran), 1, "{}", text(&ran));
    assert!(text(&ran).contains("shrunk in ") && text(&ran).contains("schedule\n"), "{}", text(&ran));
    let file = capsule(&ran);
    let first = squall_in(folder.path(), &["replay", &file, "--json"]);
    let second = squall_in(folder.path(), &["replay", &file, "--json", "--html", "timeline.html", "--trace"]);
    assert_eq!((code(&first), code(&second)), (1, 1), "{}", text(&second));
    let comparison = |output: &Output| json(output)["capsules"][0]["comparison"].clone();
    assert_eq!(comparison(&first)["applies"], "same", "{}", text(&first));
    assert_eq!(comparison(&first), comparison(&second));
    assert!(json(&second)["capsules"][0]["trace"].as_array().is_some_and(|trace| trace.len() > 100));
    let page = fs::read_to_string(folder.path().join("timeline.html")).expect("the timeline");
    assert!(page.contains("power-fail all") && page.contains("<svg"));
    let traced = squall_in(folder.path(), &["replay", &file, "--trace"]);
    assert!(text(&traced).contains("lost power") && text(&traced).contains("the capsule applies"));
}

#[test]
fn a_capsule_is_kept_as_it_is_when_asked_and_shrunk_later_to_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let ran = squall_in(folder.path(), &[&["run", "--no-shrink"], &FAILING[..]].concat());
    assert!(!text(&ran).contains("shrunk in "), "{}", text(&ran));
    let whole = squall_in(folder.path(), &["replay", &capsule(&ran), "--json"]);
    assert_eq!(json(&whole)["capsules"][0]["comparison"]["applies"], "same", "{}", text(&whole));
    let later = squall_in(folder.path(), &["shrink", &capsule(&ran), "--out", "later", "--json"]);
    let at_once =
        squall_in(folder.path(), &[&["shrink"], &FAILING[..], &["--out", "at-once", "--json"]].concat());
    assert_eq!((code(&later), code(&at_once)), (1, 1), "{}{}", text(&later), text(&at_once));
    let read = |output: &Output| {
        let path = json(output)["capsule"].as_str().expect("a path").to_owned();
        fs::read_to_string(folder.path().join(path)).expect("the capsule")
    };
    assert_eq!(read(&later), read(&at_once));
}

#[test]
fn what_cannot_be_shrunk_or_replayed_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("bad.capsule.yaml"), "capsule: 9\nsquall: x\n").expect("written");
    for (words, why) in [
        (&["shrink", "leader-failover"][..], "the run is valid: there is nothing to keep"),
        (&["shrink", "power-loss", "--on", "local:kafka"], "only simulated runs shrink"),
        (&["replay", "nowhere.capsule.yaml"], "cannot be read"),
        (&["replay", "bad.capsule.yaml"], "version 9 of the capsule format is not known"),
        (&["replay", "a.capsule.yaml", "b.capsule.yaml", "--html", "x"], "--html draws one run"),
    ] {
        let output = squall_in(folder.path(), words);
        assert_eq!(code(&output), 2, "{words:?}: {}", text(&output));
        assert!(text(&output).contains(why), "{words:?}: {}", text(&output));
    }
}

/// In release: `cargo test --release -p squall-cli --test capsules`.
#[test]
fn every_committed_capsule_replays_with_its_hash_in_a_process_of_its_own() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/capsules");
    let mut files: Vec<String> = fs::read_dir(folder)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path().to_str().expect("utf-8").to_owned())
        .collect();
    files.sort();
    for file in &files {
        let output = squall_in(Path::new("."), &["replay", file, "--json"]);
        let comparison = &json(&output)["capsules"][0]["comparison"];
        assert_eq!(comparison["applies"], "same", "{file}: {}", text(&output));
        assert_eq!(comparison["hash"], comparison["hash_expected"], "{file}");
    }
    assert!(files.len() >= 5, "{files:?}");
}
