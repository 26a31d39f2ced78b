//! Small histories, written by hand from the definitions of the catalogue: for each anomaly one that must be found and
//! near misses that must not be.
//!
//! A table has a line `=== name | verdict and kinds` before each history. A kind is forbidden, `?` undecided or `~`
//! allowed. `kafka.txt` and `lists.txt` are as Jepsen's workloads write them, `native.txt` is in Squall's format.

use squall_history::{History, Report, Ruling, import::jepsen, jsonl, judge};

/// The verdict, and each kind that was found, as the tables write them.
fn summary(report: &Report) -> String {
    let mark = |ruling: &Ruling| match ruling {
        Ruling::ForbiddenBy(_) => "",
        Ruling::UndecidedBecause(_) => "?",
        Ruling::AllowedBy(_) => "~",
    };
    let kind = |one: &squall_history::Anomaly| format!("{}{}", mark(&one.ruling), one.kind.id());
    let mut kinds: Vec<String> = report.anomalies.iter().map(kind).collect();
    kinds.sort();
    kinds.dedup();
    format!("{} {}", report.verdict, kinds.join(" ")).trim().to_owned()
}

fn check(table: &str, read: fn(&str) -> History) {
    let mut wrong = Vec::new();
    for case in table.split("=== ").filter(|case| !case.trim().is_empty()) {
        let (head, text) = case.split_once('\n').expect("a head, and lines");
        let (name, expected) = head.split_once(" | ").expect("a name, and what is expected");
        let got = summary(&judge(&read(text)));
        if got != expected {
            wrong.push(format!("{name}\n  expected: {expected}\n  got:      {got}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn imported(text: &str) -> History {
    jepsen::read(text.as_bytes(), "table").expect("the history can be read").history
}

fn native(text: &str) -> History {
    jsonl::read(text.as_bytes(), "table").expect("the history can be read")
}

#[test]
fn of_the_kafka_workload() {
    check(include_str!("histories/kafka.txt"), imported);
}

#[test]
fn of_the_list_append_workload() {
    check(include_str!("histories/lists.txt"), imported);
}

#[test]
fn in_the_native_format() {
    check(include_str!("histories/native.txt"), native);
}
