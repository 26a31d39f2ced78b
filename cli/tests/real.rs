//! The command on real brokers: one test binary, one test at a time, one cluster at a time on the machine.
//!
//! Needs Java, and Maven when the jars are not cached yet; pip or Go when the server of NATS is not. Without them the
//! tests say so and are skipped, unless
//! `CI` is set: then they fail.

#![cfg(target_os = "linux")]

mod common;

use common::{code, json, squall, text};
use serde_json::Value;
use squall_adapters::providers::{BUSES, disks, java_program::skips_for_want_of_java_clients};
use squall_scenarios::fidelity::{self, Entry, Observed, SEEDS_OF_A_DAY, Situation, strays};
use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread::sleep,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Waits until no other test of this file runs; `None`, having said why, when this machine has no real brokers of
/// that bus. Other processes wait for each other in the provider.
fn turn(bus: &str) -> Option<MutexGuard<'static, ()>> {
    if squall_adapters::providers::skips_for_want_of_brokers(bus) {
        return None;
    }
    Some(ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The processes that mention this folder on their command line.
fn processes_of(folder: &Path) -> Vec<u32> {
    let folder = folder.to_str().expect("utf-8");
    let entries = fs::read_dir("/proc").expect("/proc");
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(folder)
    })
    .collect()
}

fn wait_until(within: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < within, "{what}: not within {within:?}");
        sleep(Duration::from_millis(100));
    }
}

/// A scenario on a real cluster: the verdict and the anomalies of the table of expected outcomes.
fn row(scenario: &str, bus: &str) {
    let Some(_turn) = turn(bus) else { return };
    let file = squall_scenarios::library::open(scenario, &[]).expect("it is sound");
    if bus == "kafka" && file.has_java_clients() && skips_for_want_of_java_clients() {
        return;
    }
    let expected = squall_scenarios::library::expected().expect("the table");
    let target = format!("local:{bus}");
    let outcome = expected.on(scenario, &target).expect("a row");
    let output = squall(&["run", scenario, "--on", &target, "--json"]);
    let run = json(&output)["runs"][0].clone();
    // Not every machine can take the power from real nodes; that it says so is all there is to see then.
    let lacks_power = |run: &Value| {
        run["reason"].as_str().is_some_and(|reason| reason.contains("lacks the capability power-fail"))
    };
    if let Some(why) = disks::lacking()
        && lacks_power(&run)
    {
        assert_eq!((run["verdict"].as_str(), code(&output)), (Some("unsupported"), 2), "{}", text(&output));
        eprintln!("SKIPPED: {scenario} on {target}: {why}");
        return;
    }
    assert_eq!(run["verdict"], outcome.verdict.word(), "{}", text(&output));
    assert_eq!(code(&output), i32::from(outcome.verdict.exit_code()));
    assert!(run["hash"].is_null(), "real runs have no hash");
    for kind in &outcome.finds {
        let found = run["anomalies"].as_array().expect("anomalies").iter().any(|a| a["kind"] == kind.id());
        assert!(found, "{} is missing: {}", kind.id(), text(&output));
    }
}

#[test]
fn poison_ends_in_the_dead_letter_topic() {
    for bus in BUSES {
        row("poison-to-dlq", bus);
    }
}

#[test]
fn lost_responses_duplicate_without_idempotence() {
    for bus in BUSES {
        row("retry-without-idempotence", bus);
    }
}

#[test]
fn a_message_id_keeps_retries_from_duplicating() {
    let Some(_turn) = turn("nats") else { return };
    let set = "workload.producers.idempotent=true";
    let output = squall(&["run", "retry-without-idempotence", "--on", "local:nats", "--set", set, "--json"]);
    assert_eq!(code(&output), 0, "{}", text(&output));
    let run = json(&output)["runs"][0].clone();
    let found =
        |kind: &str| run["anomalies"].as_array().expect("anomalies").iter().any(|a| a["kind"] == kind);
    assert!(!found("duplicate"), "{}", text(&output));
}

#[test]
fn a_lone_leader_loses_what_it_acknowledged() {
    row("lone-leader-acks1", "kafka");
}

/// The day that decides what is run: today, or the one that `SQUALL_DAY` says.
fn day() -> u64 {
    let today = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() / 86_400;
    std::env::var("SQUALL_DAY").map_or_else(|_| today(), |day| day.parse().expect("a number"))
}

/// The four situations of a day. Of all of them, from the shortest to the longest, each quarter gives one: two quarters
/// are gone through from their short end and two from their long end, so that no day has only long ones.
fn situations_of(day: u64) -> Vec<(&'static Entry, Situation)> {
    let mut all: Vec<_> = fidelity::entries()
        .iter()
        .filter(|entry| entry.bus == "kafka")
        .map(|entry| (entry, entry.situation().expect("it is sound")))
        .collect();
    all.sort_by_key(|(entry, situation)| (situation.scenario.workload.lasts, entry.name));
    let days = all.len().div_ceil(4);
    let today = usize::try_from(day).expect("small") % days;
    let places: Vec<usize> = (0..4)
        .map(|quarter| quarter * days + if quarter % 2 == 0 { today } else { days - 1 - today })
        // The last quarter may be short: then a short one has another day, not one of this day's.
        .map(|place| if place < all.len() { place } else { place - all.len() + (4 * days - all.len()) })
        .collect();
    let chosen = all.into_iter().enumerate().filter(|(place, _)| places.contains(place));
    chosen.map(|(_, entry)| entry).collect()
}

#[test]
fn all_situations_have_their_day_and_no_day_is_long() {
    let all: BTreeSet<&str> =
        fidelity::entries().iter().filter(|entry| entry.bus == "kafka").map(|entry| entry.name).collect();
    let days = u64::try_from(all.len().div_ceil(4)).expect("small");
    let mut seen = BTreeSet::new();
    for day in 0..days {
        let today = situations_of(day);
        assert_eq!(today.len(), 4, "day {day}");
        let lasts: Duration = today.iter().map(|(_, one)| one.scenario.workload.lasts.get()).sum();
        assert!(lasts <= Duration::from_secs(130), "day {day} takes {lasts:?} without its clusters");
        seen.extend(today.into_iter().map(|(entry, _)| entry.name));
    }
    assert_eq!(seen, all);
}

/// Every day four other situations on real brokers: each run is held against its record and against the model.
/// `SQUALL_DAY=3` takes those of that day.
#[test]
fn four_situations_do_what_their_records_say() {
    let Some(_turn) = turn("kafka") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir_all(folder.path().join("fidelity/kafka/records")).expect("a folder for records");
    let records = folder.path().to_str().expect("utf-8");
    let mut wrong = Vec::new();
    for (entry, situation) in situations_of(day()) {
        eprintln!("day {}: {}", day(), entry.name);
        if situation.scenario.has_java_clients() && skips_for_want_of_java_clients() {
            continue;
        }
        let output = squall(&["fidelity", entry.name, "--refresh", "--records", records, "--json"]);
        let told = text(&output);
        if let Some(why) = disks::lacking()
            && told.contains("lacks the capability power-fail")
        {
            eprintln!("SKIPPED: {}: {why}", entry.name);
            continue;
        }
        assert!(matches!(code(&output), 0 | 1), "{}: {told}", entry.name);
        let read = |key: &str| -> Vec<Observed> {
            let row = json(&output)["situations"][0][key].clone();
            serde_json::from_value(row).unwrap_or_else(|error| panic!("{error}: {told}"))
        };
        let record = entry.record().expect("it is sound");
        let model = fidelity::modelled(entry, &situation, SEEDS_OF_A_DAY).expect("it is carried out");
        let known: Vec<Observed> = record.runs.into_iter().chain(model).collect();
        for fresh in read("real") {
            eprintln!("{}: {fresh:?}", entry.name);
            let strays = strays(&situation, &fresh, &known);
            wrong.extend(strays.into_iter().map(|stray| format!("{}: {stray}", entry.name)));
        }
    }
    assert!(wrong.is_empty(), "{}\nreproduce: SQUALL_DAY={}", wrong.join("\n"), day());
}

/// Every day another scenario, on every bus: with so many days as there are scenarios the whole table is held.
/// `SQUALL_DAY=3` takes the one of that day.
#[test]
fn a_rotating_part_of_the_table() {
    let day = day();
    let library = squall_scenarios::library::list().expect("the library");
    let scenario = &library[usize::try_from(day).expect("small") % library.len()].name;
    eprintln!("day {day}: {scenario}");
    for bus in BUSES {
        row(scenario, bus);
    }
}

/// Every row of the table; minutes: `cargo test -p squall-cli --test real -- --ignored --nocapture`.
#[test]
#[ignore = "the whole library on real clusters takes more than a minute for each row"]
fn every_row_of_the_table() {
    for listed in squall_scenarios::library::list().expect("the library") {
        for bus in BUSES {
            eprintln!("{} on {bus}", listed.name);
            row(&listed.name, bus);
        }
    }
}

#[test]
fn no_broker_outlives_a_squall_that_was_killed() {
    let Some(_turn) = turn("kafka") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let mut squall = Command::new(env!("CARGO_BIN_EXE_squall"))
        .args(["run", "poison-to-dlq", "--on", "local:kafka"])
        .current_dir(folder.path())
        .env("TMPDIR", folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("squall starts");
    wait_until(Duration::from_secs(120), "three nodes run", || processes_of(folder.path()).len() >= 3);
    sleep(Duration::from_secs(5));
    squall.kill().expect("it is ours");
    squall.wait().expect("it is ours");
    wait_until(Duration::from_secs(5), "every broker process is gone", || {
        processes_of(folder.path()).is_empty()
    });
}

#[test]
fn brokers_stay_up_between_commands_until_they_are_told() {
    let Some(_turn) = turn("nats") else { return };
    let up = squall(&["brokers", "up", "--bus", "nats", "--json"]);
    assert_eq!(code(&up), 0, "{}", text(&up));
    let status = squall(&["brokers", "status", "--json"]);
    let again = squall(&["brokers", "up", "--bus", "nats"]);
    let down = squall(&["brokers", "down", "--json"]);
    let clusters = &json(&status)["clusters"];
    assert_eq!(clusters[0]["bus"], "nats", "{}", text(&status));
    assert_eq!(clusters[0]["nodes"].as_array().map(Vec::len), Some(3), "{}", text(&status));
    assert_eq!(code(&again), 2, "a second cluster is refused: {}", text(&again));
    assert_eq!(json(&down)["ended"], 3, "{}", text(&down));
    assert_eq!(code(&squall(&["brokers", "status"])), 3);
}
