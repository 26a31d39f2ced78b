//! Whatever the bytes: an answer, never a panic, never a hang; and every error can be printed.

use proptest::prelude::*;
use squall_scenarios::{Override, Plan, Scenario, library};
use std::time::{Duration, Instant};

/// Parses, plans and prints; a scenario that passes must have a plan.
fn digest(bytes: &[u8]) {
    let begun = Instant::now();
    match Scenario::parse_bytes("fuzz.yaml", bytes, &[]) {
        Ok(scenario) => {
            let plan = Plan::new(scenario, 1);
            assert!(plan.to_string().ends_with('\n'));
        }
        Err(error) => {
            assert!(!error.findings().is_empty());
            let text = error.to_string();
            assert!(!text.is_empty() && text.len() < 100_000, "an error of {} bytes", text.len());
            assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "control characters in {text:?}");
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "{} bytes took {:?}", bytes.len(), begun.elapsed());
}

/// One change to a text: bytes replaced, removed, repeated or inserted.
#[derive(Clone, Debug)]
enum Change {
    Replace(u8),
    Remove(usize),
    Repeat(usize),
    Insert(&'static str),
}

fn change() -> impl Strategy<Value = (prop::sample::Index, Change)> {
    let tokens = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ": ",
        "- ",
        "&a ",
        "*a",
        "<<: *a",
        "|",
        ">",
        "'",
        "\"",
        "#",
        "\n",
        "\n  ",
        "!!binary ",
        "---\n",
        "...",
        "? ",
        "~",
        "null",
        "0",
        "-1",
        "1e999",
        ".nan",
        "99999999999999999999",
        "0x10",
        "true",
        "\u{0}",
        "\u{feff}",
        "\t",
        "ä",
        "\u{1f600}",
        "%",
        "..",
        "< ",
        "leader(",
        "for: ",
        "every: 1ns",
        "count: 1000000",
        "partitions: 1000000",
    ]);
    let kind = prop_oneof![
        any::<u8>().prop_map(Change::Replace),
        (1_usize..40).prop_map(Change::Remove),
        (1_usize..200).prop_map(Change::Repeat),
        tokens.prop_map(Change::Insert),
    ];
    (any::<prop::sample::Index>(), kind)
}

fn apply(mut bytes: Vec<u8>, changes: &[(prop::sample::Index, Change)]) -> Vec<u8> {
    for (index, change) in changes {
        let at = index.index(bytes.len() + 1);
        match change {
            Change::Replace(byte) if at < bytes.len() => bytes[at] = *byte,
            Change::Replace(byte) => bytes.push(*byte),
            Change::Remove(len) => drop(bytes.drain(at..(at + len).min(bytes.len()))),
            Change::Repeat(len) => {
                let part = bytes[at..(at + len).min(bytes.len())].to_vec();
                bytes.splice(at..at, part);
            }
            Change::Insert(token) => drop(bytes.splice(at..at, token.bytes())),
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        digest(&bytes);
    }

    #[test]
    fn random_text(text in "\\PC{0,300}") {
        digest(text.as_bytes());
    }

    #[test]
    fn damaged_scenarios(which in 0_usize..9, changes in prop::collection::vec(change(), 1..6)) {
        digest(&apply(library::entries()[which].text.as_bytes().to_vec(), &changes));
    }

    #[test]
    fn random_overrides(path in "[a-z.0-9\"=]{0,30}", value in "\\PC{0,30}") {
        let entry = library::entries()[0];
        let argument = format!("{path}={value}");
        let read = argument.parse::<Override>().and_then(|over| entry.scenario(&[over]));
        if let Err(error) = read {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}

#[test]
fn large_and_deep_files_are_refused_quickly() {
    let begun = Instant::now();
    digest(&vec![b'a'; 2 << 20]);
    digest("[".repeat(1 << 19).as_bytes());
    digest("{a: ".repeat(1 << 17).as_bytes());
    digest("- ".repeat(1 << 18).as_bytes());
    digest("a:\n".repeat(1 << 17).as_bytes());
    digest("? ".repeat(1 << 17).as_bytes());
    digest(format!("a: &a [{}]\nb: [{}]\n", "x,".repeat(900), "*a,".repeat(900)).as_bytes());
    let keys: String = (0..100_000).map(|n| format!("k{n}: 1\n")).collect();
    digest(keys.as_bytes());
    assert!(begun.elapsed() < Duration::from_secs(30), "took {:?}", begun.elapsed());
}
