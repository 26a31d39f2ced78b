//! The committed capsules replay: the same failure and the same hash, in this process and in another.
//!
//! In release: `cargo test --release -p squall-scenarios --test capsules`. After a change of the models on purpose,
//! `SQUALL_UPDATE=1` before that command finds and shrinks them anew.

use squall_scenarios::{
    Capsule, Job, Plan, library,
    replay::{Applies, replay},
    shrink::shrink,
};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Once},
};

/// Set in the child: it replays and writes the hashes into this file.
const HASHES_FILE: &str = "SQUALL_TEST_HASHES_FILE";

/// What is kept: of each the first seed that fails.
const KEPT: [(&str, &str, &[&str]); 6] = [
    // KAFKA-17754.
    ("late-end", "sim:kafka", &["topology.brokers.kafka.profile=3.9"]),
    ("lone-leader-acks1", "sim:kafka", &[]),
    ("power-loss", "sim:kafka", &[]),
    ("power-loss", "sim:nats", &[]),
    ("consumer-crash", "sim:kafka", &["workload.consumers.commit=before-processing"]),
    ("retry-without-idempotence", "sim:nats", &["expect.log=exactly-once"]),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("capsules")
}

/// The least of the first failing seed.
fn found(name: &str, target: &str, set: &[&str]) -> Capsule {
    let overrides: Vec<_> = set.iter().map(|text| text.parse().expect("an override")).collect();
    let scenario = Arc::new(library::open(name, &overrides).expect("it parses"));
    let capsule = (1..=50).find_map(|seed| {
        let target = target.parse().expect("a target");
        let job = Job {
            scenario: Arc::clone(&scenario),
            named: name.to_owned(),
            overrides: overrides.clone(),
            target,
            seed,
        };
        Capsule::of(&job, &job.run(&(Arc::new(|_| {}) as _), &|_| {})).ok()
    });
    shrink(&capsule.expect("some seed fails"), &mut |_| {}).expect("it fails again").capsule
}

fn files() -> Vec<PathBuf> {
    static UPDATE: Once = Once::new();
    UPDATE.call_once(|| {
        if env::var_os("SQUALL_UPDATE").is_some() && env::var_os(HASHES_FILE).is_none() {
            let _ = fs::remove_dir_all(folder());
            fs::create_dir_all(folder()).expect("a writable folder");
            for (name, target, set) in KEPT {
                let capsule = found(name, target, set);
                fs::write(folder().join(capsule.file_name()), capsule.to_yaml()).expect("a writable folder");
            }
        }
    });
    let entries = fs::read_dir(folder()).expect("the folder");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

fn load(file: &Path) -> Capsule {
    Capsule::load(file).unwrap_or_else(|error| panic!("\n{error}"))
}

/// One line for each capsule: its name and the hash of its run.
fn hashes() -> String {
    let line = |file: &PathBuf| {
        let replayed = replay(&load(file), &file.display().to_string(), false);
        assert_eq!(replayed.comparison.applies, Applies::Same, "{}: {}", file.display(), replayed.comparison);
        assert_eq!(replayed.comparison.rules, [], "{}", file.display());
        format!("{} {}\n", file.display(), replayed.comparison.hash.unwrap_or_default())
    };
    files().iter().map(line).collect()
}

#[test]
fn every_capsule_replays_in_two_processes() {
    let here = hashes();
    if let Some(file) = env::var_os(HASHES_FILE) {
        fs::write(Path::new(&file), here).expect("the hashes are written");
        return;
    }
    assert_eq!(here.lines().count(), KEPT.len(), "{here}");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("hashes");
    let child = Command::new(env::current_exe().expect("this test"))
        .args(["every_capsule_replays_in_two_processes", "--exact"])
        .env(HASHES_FILE, &file)
        .output()
        .expect("the child runs");
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    assert_eq!(here, fs::read_to_string(&file).expect("the child's hashes"));
}

/// What a capsule is for: it tells when a change of the models takes its anomaly away, or makes another run of it.
#[test]
fn a_capsule_says_when_it_no_longer_applies() {
    let file = files()
        .into_iter()
        .find(|file| file.display().to_string().contains("lone-leader"))
        .expect("it is there");
    let mut capsule = load(&file);
    let told = |capsule: &Capsule| replay(capsule, "x.capsule.yaml", false).comparison.to_string();
    let mut all = Vec::new();
    capsule.expected.hash = Some("0123456789abcdef".to_owned());
    capsule.squall = "0.0.9".to_owned();
    capsule
        .rules
        .insert("dedup_batches".to_owned(), squall_scenarios::format::scalar::Setting("7".to_owned()));
    all.push(told(&capsule));
    capsule.expected.anomaly = Some(squall_history::Kind::Corrupt);
    all.push(told(&capsule));
    let mut capsule = load(&file);
    capsule.scenario.faults.clear();
    capsule.edits.fault_numbers = None;
    all.push(told(&capsule));
    // The hashes are of this version of the models.
    let stable: Vec<String> = all
        .iter()
        .map(|told| {
            let words = told.split(' ').map(|word| {
                let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
                if bare.len() == 16
                    && bare.chars().all(|c| c.is_ascii_hexdigit())
                    && bare != "0123456789abcdef"
                {
                    word.replace(bare, "<hash>")
                } else {
                    word.to_owned()
                }
            });
            words.collect::<Vec<_>>().join(" ")
        })
        .collect();
    insta::assert_snapshot!(stable.join("\n\n"));
}

/// Nothing is in a capsule that its failure does not need: without any one fault or record the run is no longer the
/// failure that was kept.
#[test]
fn a_shrunk_capsule_needs_every_fault_and_record() {
    for file in files() {
        let capsule = load(&file);
        let plan = capsule.plan();
        let gone = |without: Plan| {
            let values: Vec<u64> = without.values().collect();
            let mut less = capsule.clone();
            let all = Plan::new(capsule.scenario.clone(), capsule.seed);
            less.edits.without_records = all
                .values()
                .filter(|value| !values.contains(value))
                .map(|value| squall_scenarios::capsule::ValueRange { first: value, last: value })
                .collect();
            let kept: Vec<u32> = without.faults().iter().map(|fault| fault.id).collect();
            let mut place = 0;
            less.scenario.faults.retain(|_| {
                place += 1;
                kept.contains(&plan.faults()[place - 1].id)
            });
            less.edits.fault_numbers = Some(kept);
            let replayed = replay(&less, "x.capsule.yaml", false);
            !capsule.expected.is_shown_by(&replayed.outcome.finished.report)
        };
        for fault in plan.faults() {
            let without = plan.clone().without_faults(&[fault.id].into());
            assert!(gone(without), "{} does not need {fault}", file.display());
        }
        for value in plan.values() {
            assert!(
                gone(plan.clone().without_records([value])),
                "{} does not need record {value}",
                file.display()
            );
        }
    }
}

#[test]
fn the_log_and_the_timeline_of_a_capsule_name_what_happened() {
    let file = files()
        .into_iter()
        .find(|file| file.display().to_string().contains("lone-leader"))
        .expect("it is there");
    let replayed = replay(&load(&file), "x.capsule.yaml", true);
    let log: Vec<String> = replayed.log.iter().map(ToString::to_string).collect();
    let has = |words: &[&str]| log.iter().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(has(&["node-", "<- producer-1", "Produce"]), "{}", log[..50].join("\n"));
    assert!(has(&["paused"]) && has(&["killed"]) && has(&["resumed"]));
    assert!(!log.iter().any(|line| line.contains("NodeId(")), "a node without its name");
    assert!(log.is_sorted_by_key(|line| line[..16].trim_start().len().max(16)), "times stand in one column");
    let page = replayed.timeline();
    for word in [
        "producer-1",
        "node-3",
        "leader(payment-events/0) from",
        "kill leader(payment-events/0)",
        "lost_write",
        "squall replay x.capsule.yaml",
    ] {
        assert!(page.contains(word), "the timeline lacks {word}");
    }
    assert!(replay(&load(&file), "x", false).log.is_empty(), "nobody asked for the log");
}

/// Found by shrinking: followers that were frozen for a moment and are about to have what their leader acknowledged.
/// The log does not end before that.
#[test]
fn what_followers_are_about_to_have_is_not_lost() {
    let set = [
        "workload.for=200ms",
        "workload.producers.count=1",
        "workload.producers.rate=50/s",
        "faults=[{ at: 100ms, pause: followers(payment-events/0), for: 100ms }]",
    ];
    let overrides: Vec<_> = set.iter().map(|text| text.parse().expect("an override")).collect();
    let scenario = Arc::new(library::open("lone-leader-acks1", &overrides).expect("it parses"));
    for seed in 1..=20 {
        let target = "sim:kafka".parse().expect("a target");
        let (scenario, overrides) = (Arc::clone(&scenario), overrides.clone());
        let job = Job { scenario, named: "lone-leader-acks1".to_owned(), overrides, target, seed };
        let outcome = job.run(&(Arc::new(|_| {}) as _), &|_| {});
        let report = outcome.finished.report;
        assert_eq!(report.verdict, squall_history::Verdict::Valid, "seed {seed}: {}", report.reason);
    }
}
