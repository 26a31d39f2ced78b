//! `squall sweep` as a user runs it.

mod common;

use common::{code, json, squall, text};

#[test]
fn a_sweep_holds_runs_against_the_table_and_replays_them_in_fresh_processes() {
    let words = ["sweep", "leader-failover", "slow-consumer", "--seeds", "2", "--replay", "3", "--json"];
    let output = squall(&words);
    assert_eq!(code(&output), 0, "{}", text(&output));
    let swept = json(&output);
    // Two rows on each bus; the one that a bus cannot run is run once.
    assert_eq!((&swept["rows"], &swept["runs"], &swept["unsupported"]), (&4.into(), &7.into(), &1.into()));
    assert_eq!((&swept["as_expected"], &swept["differ"]), (&7.into(), &0.into()), "{swept}");
    assert_eq!(swept["replayed"], serde_json::json!({ "runs": 3, "equal": 3 }));
    assert_eq!(swept["verdict"], "valid");
}

#[test]
fn a_sweep_says_last_whether_any_run_differs() {
    let output = squall(&["sweep", "lone-leader-acks1", "--on", "sim:kafka", "--seed", "3", "--seeds", "2"]);
    assert_eq!(code(&output), 0, "{}", text(&output));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.starts_with("2 runs, 2 seeds of 1 row from seed 3 on"), "{said}");
    let last = "valid: 2 runs, and none differs from what the table of outcomes says";
    assert_eq!(said.lines().last(), Some(last), "{said}");
}

#[test]
fn what_cannot_be_swept_is_bad_input() {
    for (words, says) in [
        (&["sweep", "strom"][..], "did you mean `storm`"),
        (&["sweep", "--on", "local:kafka"], "only simulated runs are repeatable"),
        (&["sweep", "--seed", "18446744073709551615", "--seeds", "2"], "give a smaller --seed"),
    ] {
        let output = squall(words);
        assert_eq!(code(&output), 2, "{words:?}: {}", text(&output));
        assert!(text(&output).contains(says), "{words:?}: {}", text(&output));
    }
}
