//! `squall check`, as a user runs it.

mod common;

use common::{code, json, squall, text};
use std::path::PathBuf;

fn sample(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../history/samples").join(name);
    path.to_str().expect("utf-8").to_owned()
}

fn kinds(output: &std::process::Output) -> Vec<String> {
    let runs = json(output)["runs"].as_array().expect("runs").clone();
    let anomalies = runs.iter().flat_map(|run| run["anomalies"].as_array().expect("anomalies"));
    anomalies.map(|anomaly| anomaly["kind"].as_str().expect("a kind").to_owned()).collect()
}

#[test]
fn every_sample_has_its_verdict_and_its_anomaly() {
    for (file, exit, finds) in [
        ("valid.jsonl", 0, None),
        ("log-invalid.jsonl", 1, Some("lost_write")),
        ("order-invalid.jsonl", 1, Some("nonmonotonic_send")),
        ("transactions-invalid.jsonl", 1, Some("G1a")),
        ("groups-invalid.jsonl", 1, Some("group_jump")),
        ("queue-invalid.jsonl", 1, Some("delivered_after_ack")),
        ("unknown.jsonl", 3, Some("unseen")),
    ] {
        let output = squall(&["check", &sample(file), "--json"]);
        assert_eq!(code(&output), exit, "{file}: {}", text(&output));
        assert!(
            finds.is_none_or(|kind| kinds(&output).contains(&kind.to_owned())),
            "{file}: {}",
            text(&output)
        );
        assert!(finds.is_some() || kinds(&output).is_empty(), "{file}: {}", text(&output));
    }
}

#[test]
fn histories_of_another_tool_are_judged_too() {
    for (file, finds) in [("jepsen-kafka.jsonl", "lost_write"), ("jepsen-list-append.edn", "G1c")] {
        let output = squall(&["check", &sample(file), "--import", "jepsen", "--json"]);
        assert_eq!(code(&output), 1, "{file}: {}", text(&output));
        assert!(kinds(&output).contains(&finds.to_owned()), "{file}: {}", text(&output));
    }
    let output = squall(&["check", &sample("valid.jsonl"), "--import", "jepsen"]);
    assert_eq!(code(&output), 2, "not such a history: {}", text(&output));
    assert!(text(&output).contains("valid.jsonl:1: "), "{}", text(&output));
}

#[test]
fn a_damaged_file_is_named_with_its_line_and_the_others_are_judged_all_the_same() {
    let files = [sample("truncated.jsonl"), sample("valid.jsonl"), sample("nothing-here.jsonl")];
    let output = squall(&["check", &files[0], &files[1], &files[2], "--json"]);
    assert_eq!(code(&output), 2, "{}", text(&output));
    let printed = json(&output);
    assert_eq!(printed["runs"].as_array().map(Vec::len), Some(1));
    assert_eq!((&printed["unread"][0]["line"], printed["unread"][1]["line"].is_null()), (&22.into(), true));
    assert!(String::from_utf8_lossy(&output.stderr).contains("truncated.jsonl:22: "), "{}", text(&output));
}

#[test]
fn the_worst_of_several_counts_and_stands_in_the_table() {
    let output =
        squall(&["check", &sample("valid.jsonl"), &sample("log-invalid.jsonl"), &sample("unknown.jsonl")]);
    assert_eq!(code(&output), 1, "{}", text(&output));
    assert!(text(&output).contains("3 runs: 1 valid, 1 invalid, 1 unknown"), "{}", text(&output));
}

#[test]
fn guarantees_replace_those_of_the_head_and_kinds_can_be_left_out() {
    let file = sample("log-invalid.jsonl");
    let folder = tempfile::tempdir().expect("a folder");
    let guarantees = folder.path().join("guarantees.yaml");
    std::fs::write(&guarantees, "configuration: { acks: 0 }\n").expect("it is written");
    let with = |words: &[&str]| squall(&[&["check", &file, "--json"], words].concat());
    let lax = with(&["--guarantees", guarantees.to_str().expect("utf-8")]);
    let demanding = with(&["--guarantee", "acks=0", "--guarantee", "expect.delivery=at-least-once"]);
    let ignoring = with(&["--ignore", "lost_write", "--ignore", "lost_middle"]);
    assert_eq!([code(&lax), code(&demanding), code(&ignoring)], [0, 1, 0]);
    assert!(kinds(&lax).contains(&"lost_write".to_owned()), "found, and allowed");
    for (words, says) in [
        (&["--guarantee", "akcs=0"][..], "there is no guarantee `configuration.akcs`"),
        (&["--guarantee", "acks=9"], "`9` is not a kind of acks"),
        (&["--ignore", "lost_wriet"], "there is no such anomaly; did you mean `lost_write`?"),
    ] {
        let output = with(words);
        assert_eq!(code(&output), 2, "{}", text(&output));
        assert!(text(&output).contains(says), "{}", text(&output));
    }
}

#[test]
fn every_check_is_listed_with_its_rule_and_its_source() {
    let listed = json(&squall(&["check", "--list", "--json"]));
    let checks = listed["checks"].as_array().expect("checks");
    // And what the verdict itself says.
    assert_eq!(checks.len(), squall_history::checks::CHECKS.len() + 1);
    for check in checks {
        for field in ["id", "about", "forbidden", "source"] {
            assert!(!check[field].as_str().expect(field).is_empty(), "{check}");
        }
    }
    let plain = squall(&["check", "--list"]);
    assert!(text(&plain).contains("lost_write"), "{}", text(&plain));
}

#[test]
fn reports_are_written_where_they_are_wanted() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    squall(&["check", &sample("log-invalid.jsonl"), "--out", out.to_str().expect("utf-8")]);
    let page = std::fs::read_to_string(out.join("report.html")).expect("a page");
    assert!(page.contains("class=\"moments\""), "the neighbourhood over time");
}

#[test]
fn files_that_editors_touched_are_read_and_broken_ones_are_told_with_their_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let valid = std::fs::read(sample("valid.jsonl")).expect("the sample is there");
    let lines = String::from_utf8(valid.clone()).expect("it is text");
    let head = lines.lines().next().expect("a head");
    let edited = |with: &str| lines.replace('\n', with).into_bytes();
    let files: &[(&str, Vec<u8>, i32, &str)] = &[
        ("bom.jsonl", [&b"\xef\xbb\xbf"[..], &valid].concat(), 0, "valid"),
        ("crlf.jsonl", edited("\r\n"), 0, "valid"),
        ("blank.jsonl", edited("\n\n"), 0, "valid"),
        ("end.jsonl", lines.trim_end().as_bytes().to_vec(), 0, "valid"),
        ("head.jsonl", head.as_bytes().to_vec(), 3, "nothing was sent"),
        ("empty.jsonl", Vec::new(), 2, "empty.jsonl:1: the file is empty"),
        ("spaces.jsonl", b" \n\n".to_vec(), 2, "the file is empty"),
        ("binary.jsonl", vec![0xff, 0, 7, 0xc3, b'\n', 3], 2, "binary.jsonl:1: "),
        (
            "giant.jsonl",
            [head.as_bytes(), &b"\n"[..], &vec![b'a'; 17 << 20]].concat(),
            2,
            "giant.jsonl:2: the line is longer",
        ),
        ("deep.jsonl", [head.as_bytes(), &b"\n"[..], &vec![b'['; 100_000]].concat(), 2, "deep.jsonl:2: "),
        ("jepsen.jsonl", b"{\"process\":0,\"type\":\"ok\"}\n".to_vec(), 2, "needs --import"),
    ];
    for (name, bytes, exit, says) in files {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("it is written");
        let output = squall(&["check", path.to_str().expect("utf-8")]);
        assert_eq!(code(&output), *exit, "{name}: {}", text(&output));
        assert!(text(&output).contains(says), "{name}: {}", text(&output));
    }
}

#[test]
fn what_was_imported_is_told_with_the_lines_of_the_file() {
    let output = squall(&["check", &sample("jepsen-kafka.jsonl"), "--import", "jepsen"]);
    assert!(text(&output).contains("(line 3)") && !text(&output).contains("(event"), "{}", text(&output));
    let output = squall(&["check", &sample("jepsen-kafka.jsonl"), "--import", "jepsen", "--json"]);
    let lost = json(&output)["runs"][0]["anomalies"][0].clone();
    assert_eq!((&lost["kind"], &lost["lines"]), (&"lost_write".into(), &serde_json::json!([3, 6])), "{lost}");
}
