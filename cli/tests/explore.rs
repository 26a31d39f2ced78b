//! `squall explore` as a user runs it.

mod common;

use common::{code, listed, squall, text};

#[test]
fn a_bad_configuration_is_found_and_the_printed_command_finds_it_again() {
    let words = ["explore", "lone-leader-acks1", "--on", "sim:kafka", "--seeds", "60"];
    let output = squall(&words);
    assert_eq!(code(&output), 1, "{}", text(&output));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("invalid lost_write"), "{said}");
    let command = said.lines().find_map(|line| line.strip_prefix("reproduce: squall ")).expect("a command");
    let again = squall(&command.split(' ').collect::<Vec<_>>());
    assert_eq!(code(&again), 1, "{}", text(&again));
    let seed = command.rsplit(' ').next().expect("a seed");
    let said = String::from_utf8_lossy(&again.stdout).into_owned();
    assert!(said.contains(&format!("1 seed from seed {seed}")), "{said}");
    assert!(said.contains("invalid lost_write: 1 seed"), "{said}");
}

#[test]
fn as_json_a_sweep_tells_of_seeds_failures_and_marks() {
    let words = ["explore", "storm", "--lite", "--seeds", "3", "--set", "expect.marks=[]", "--json"];
    let explored = listed(&squall(&words), 0, "explored");
    assert_eq!(explored.len(), 2, "every simulated bus");
    for sweep in explored {
        assert_eq!((&sweep["seeds"], &sweep["within"]["valid"]), (&3.into(), &3.into()), "{sweep}");
        assert_eq!(sweep["failures"].as_array().map(Vec::len), Some(0));
        let marks = sweep["marks"].as_array().expect("marks");
        assert!(marks.len() > 15 && marks.iter().any(|mark| mark["seeds"].as_u64() > Some(0)), "{sweep}");
    }
}

#[test]
fn a_sweep_that_reaches_too_little_is_unknown() {
    let set = "expect.marks=[producer-epoch-bumped]";
    let words = ["explore", "leader-failover", "--lite", "--on", "sim:kafka", "--seeds", "2", "--set", set];
    let output = squall(&words);
    assert_eq!(code(&output), 3, "{}", text(&output));
    assert!(
        text(&output).contains("unknown: 2 seeds held, but `expect.marks` requires"),
        "{}",
        text(&output)
    );
}

#[test]
fn what_cannot_be_explored_is_bad_input() {
    for (words, says) in [
        (&["explore", "lone-leader-acks1", "--on", "sim:nats"][..], "acks=1"),
        (&["explore", "storm", "--on", "local:kafka"], "only simulated runs are repeatable"),
        (&["explore", "strom"], "did you mean `storm`"),
        (&["explore", "storm", "--budget", "60"], "write `60s`"),
        (&["explore", "storm", "--set", "expect.marks=[leader-change]"], "did you mean `leader-changed`"),
    ] {
        let output = squall(words);
        assert_eq!(code(&output), 2, "{words:?}: {}", text(&output));
        assert!(text(&output).contains(says), "{words:?}: {}", text(&output));
    }
    // A bus that was not named and cannot run it is left out.
    let output = squall(&["explore", "lone-leader-acks1", "--lite", "--seed", "1"]);
    assert!(text(&output).contains("sim:nats is left out"), "{}", text(&output));
}

#[test]
fn the_marks_can_be_listed() {
    let output = squall(&["list", "--marks"]);
    assert_eq!(code(&output), 0);
    let said = text(&output);
    assert!(said.contains("follower-truncated") && said.contains("dropped the end of its log"), "{said}");
    let marks = listed(&squall(&["list", "--marks", "--json"]), 0, "marks");
    assert_eq!(marks.len(), said.lines().count());
    assert!(marks.iter().all(|mark| !mark["buses"].as_array().expect("buses").is_empty()));
}
