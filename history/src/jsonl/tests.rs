pub(super) mod random;

use super::*;

use crate::{
    History, Meta,
    events::Hit,
    guarantees::{CommitPolicy, Delivery, Dlq, Log, Order},
    history::{Completion, Deliver, Invoke, Observation, ProcessId, Send, Struck},
    judge,
};
use proptest::prelude::*;
use random::{build, sample, steps};
use serde_json::Value;
use squall_bus::{Acks, Time, Topic, Unit};
use std::{path::Path, time::Duration};

fn text(history: &History) -> String {
    let mut bytes = Vec::new();
    write(history, &mut bytes).expect("memory takes it");
    String::from_utf8(bytes).expect("JSON is UTF-8")
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(steps in steps()) {
        let history = build(&steps);
        let written = text(&history);
        let again = read(written.as_bytes(), "test").expect("what was written can be read");
        prop_assert_eq!(&text(&again), &written);
        prop_assert_eq!(judge(&again), judge(&history));
    }

    #[test]
    fn a_cut_or_damaged_file_is_an_error_and_never_a_panic(steps in steps(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = text(&build(&steps)).into_bytes();
        let at = at.index(bytes.len());
        let cut = read(&bytes[..at], "test");
        if at > 0 && bytes[at - 1] != b'\n' && bytes[at] != b'\n' {
            prop_assert!(matches!(cut, Err(ReadError { problem: Problem::CutOff, .. })), "{:?}", cut);
        }
        bytes[at] = byte;
        if let Ok(history) = read(&bytes[..], "test") {
            let _ = judge(&history);
        }
    }
}

/// What can befall the lines of a file: (what, which line, which other line or column).
type Mutilation = (u8, prop::sample::Index, prop::sample::Index, u8);

fn mutilate(lines: &mut Vec<String>, (what, line, other, byte): Mutilation) {
    let (line, other) = (line.index(lines.len()), other.index(lines.len().max(1)));
    match what {
        0 => drop(lines.remove(line)),
        1 => lines.swap(line, other),
        2 => lines.insert(other, lines[line].clone()),
        3 => {
            // One digit becomes another: indexes, references, positions, values.
            let digits: Vec<usize> = lines[line]
                .bytes()
                .enumerate()
                .filter(|(_, b)| b.is_ascii_digit())
                .map(|(at, _)| at)
                .collect();
            if let Some(at) = digits.get(usize::from(byte) % digits.len().max(1)) {
                lines[line].replace_range(*at..at + 1, &(byte % 10).to_string());
            }
        }
        4 => {
            // A kind, a type or a reference of another line.
            let field = ["\"f\":", "\"type\":", "\"invoke\":", "\"txn\":", "\"poll\":", "\"delivery\":"];
            let field = field[usize::from(byte) % field.len()];
            lines[line] = lines[line].replacen(field, "\"other\":", 1);
        }
        _ => lines[line].truncate(usize::from(byte)),
    }
}

proptest! {
    #[test]
    fn a_file_whose_lines_are_mutilated_is_an_error_with_its_line_or_a_history(
        steps in steps(),
        mutilations in prop::collection::vec(
            (0u8..6, any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()),
            1..4,
        ),
    ) {
        let written = text(&build(&steps));
        let mut lines: Vec<String> = written.lines().map(str::to_owned).collect();
        for mutilation in mutilations {
            if !lines.is_empty() {
                mutilate(&mut lines, mutilation);
            }
        }
        match read((lines.join("\n") + "\n").as_bytes(), "test") {
            Ok(history) => drop(judge(&history)),
            Err(error) => {
                prop_assert!(error.line >= 1 && error.line <= lines.len() as u64 + 1, "{}", error);
                let told = error.to_string();
                prop_assert!(told.starts_with(&format!("test:{}: ", error.line)), "{}", told);
            }
        }
    }
}

#[test]
fn what_editors_do_to_a_file_does_not_matter() {
    let written = text(&sample());
    let variants = [
        format!("\u{feff}{written}"),
        written.replace('\n', "\r\n"),
        written.replace('\n', "\n  \n\n"),
        format!("{written}\n\n"),
        written.trim_end().to_owned(),
    ];
    for variant in variants {
        let same = read(variant.as_bytes(), "test").expect("it is a history");
        assert_eq!(text(&same), written);
    }
}

#[test]
fn a_repeated_value_is_told_with_its_line_behind_blank_lines() {
    let head = text(&History::default());
    let send = |index: u32| {
        format!(
            "{{\"index\":{index},\"time\":1,\"process\":\"p\",\"type\":\"invoke\",\"f\":\"send\",\"topic\":\"o\",\"value\":1}}"
        )
    };
    let file = format!("{head}\n{}\n\n{}\n", send(0), send(1));
    let error = read(file.as_bytes(), "test").expect_err("the value is sent twice").to_string();
    assert_eq!(error, "test:5: value 1 was sent on line 3 already; values name records and must be unique");
}

#[test]
fn the_schema_file_is_fresh() {
    let fresh = serde_json::to_string_pretty(&schema()).expect("a schema is JSON") + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("history.schema.json");
    if std::env::var_os("INSTA_UPDATE").is_some_and(|update| update == "always") {
        std::fs::write(&path, &fresh).expect("the schema can be written");
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == fresh, "history.schema.json is stale: run this test with INSTA_UPDATE=always");
}

#[test]
fn every_line_fits_the_schema_and_damaged_ones_do_not() {
    let validator = jsonschema::validator_for(&schema()).expect("the schema is one");
    let (written, mut kinds) = (text(&sample()), std::collections::BTreeSet::new());
    for line in written.lines() {
        let value: Value = serde_json::from_str(line).expect("a line is JSON");
        assert!(validator.is_valid(&value), "{line}");
        kinds.insert(value["f"].as_str().unwrap_or("header").to_owned());
        for field in [
            "index", "type", "value", "invoke", "unit", "verb", "squall", "phase", "units", "to", "delivery",
            "how", "high", "members", "topics", "bound", "what",
        ] {
            let mut damaged = value.clone();
            let optional =
                field == "unit" && value["f"] == "send" || field == "value" && value["f"] == "deliver";
            if damaged.as_object_mut().and_then(|object| object.remove(field)).is_some() && !optional {
                assert!(!validator.is_valid(&damaged), "without {field}: {line}");
            }
        }
    }
    assert_eq!(kinds.len(), 29, "{kinds:?}");
}

#[test]
fn a_line_of_an_unknown_kind_keeps_its_index_and_unknown_fields_are_ignored() {
    let lines = [
        r#"{"squall":"history","version":1,"scenario":"s","target":"t","seed":1,"later":true}"#,
        r#"{"index":0,"time":1,"process":"p","type":"invoke","f":"transmogrify","x":1}"#,
        r#"{"index":1,"time":2,"process":"p","type":"invoke","f":"send","topic":"t","value":1,"later":[1]}"#,
        r#"{"index":2,"time":3,"process":"p","type":"ok","f":"send","invoke":1,"unit":"t/0","position":4}"#,
    ];
    let history = read(lines.join("\n").as_bytes(), "test").expect("it can be read");
    assert_eq!((history.len(), history.sends()[0].position()), (3, Some(4)));
}

#[test]
fn what_is_wrong_is_said_with_the_line() {
    let header = r#"{"squall":"history","version":1,"scenario":"s","target":"t","seed":1}"#;
    let send = r#"{"index":0,"time":1,"process":"p","type":"invoke","f":"send","topic":"t","value":1}"#;
    let line = |line: &str| format!("{header}\n{send}\n{line}\n");
    let files = [
        String::new(),
        "binary \u{0}\u{1}\n".to_owned(),
        "{\"squall\":\"capsule\",\"version\":1,\"scenario\":\"s\",\"target\":\"t\",\"seed\":1}\n".to_owned(),
        header.replace("\"version\":1", "\"version\":2") + "\n",
        format!("{header}\n{}", &send[..40]),
        line("not json"),
        line(r#"{"index":3,"time":1,"process":"p","type":"ok","f":"heal","id":0}"#),
        line(r#"{"index":1,"time":1,"process":"p","type":"invoke","f":"send","topic":"t"}"#),
        line(r#"{"index":1,"time":1,"process":"p","type":"invoke","f":"send","topic":"t","value":"one"}"#),
        line(r#"{"index":1,"time":1,"process":"p","type":"invoke","f":"send","topic":"t","value":1}"#),
        line(r#"{"index":1,"time":1,"process":"q","type":"ok","f":"send","invoke":0}"#),
        line(r#"{"index":1,"time":1,"process":"p","type":"ok","f":"send","invoke":9}"#),
        line(r#"{"index":1,"time":1,"process":"p","type":"ok","f":"send","invoke":0,"unit":"orders"}"#),
        line(r#"{"index":1,"time":1,"process":"p","type":"fail","f":"phase","phase":"healed"}"#),
        line(r#"{"index":1,"time":1,"process":"p","type":"ok","f":"phase","phase":"lunch"}"#),
        line(
            r#"{"index":1,"time":1,"process":"p","type":"ok","f":"deliver","unit":"t/0","position":18446744073709551615}"#,
        ),
        line(r#"{"index":1,"time":1,"process":"p","type":"ok","f":"handled","value":1,"how":"retry"}"#),
        line(
            r#"{"index":1,"time":1,"process":"p","type":"invoke","f":"send","topic":"t","value":2,"txn":0}"#,
        ),
        line(r#"{"index":1,"time":1,"process":"p","type":"invoke","f":"settle","delivery":0,"how":"ack"}"#),
        line(r#"{"index":1,"time":1,"process":"p","type":"invoke","f":"settle","delivery":7,"how":"eat"}"#),
        line(
            r#"{"index":1,"time":1,"process":"p","type":"ok","f":"deliver","unit":"t/0","position":0,"poll":7}"#,
        ),
        line(r#"{"index":1,"time":1,"process":"p","type":"ok","f":"txn","invoke":0}"#),
        line(r#"{"index":1,"time":1,"process":"p","type":"info","f":"crashed"}"#),
    ];
    let errors: Vec<String> = files
        .iter()
        .map(|file| {
            read(file.as_bytes(), "run.jsonl").err().map_or("read".to_owned(), |error| error.to_string())
        })
        .collect();
    insta::assert_snapshot!(errors.join("\n"));
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    let error = load(Path::new("no/such/history.jsonl")).expect_err("there is no such file");
    assert!(error.to_string().starts_with("no/such/history.jsonl:0: cannot read the file: "), "{error}");
}

#[test]
fn the_format_document_shows_what_is_written() {
    let mut meta =
        Meta { scenario: "leader-failover".into(), target: "sim:kafka".into(), seed: 7, ..Meta::default() };
    meta.configuration.acks = Acks::One;
    meta.configuration.commit = CommitPolicy::BeforeProcessing;
    meta.configuration.dlq = Some("orders.dlq".into());
    meta.configuration.groups = vec!["billing".into()];
    meta.expect.delivery = Some(Delivery::AtLeastOnce);
    meta.expect.log = Some(Log::ExactlyOnce);
    meta.expect.order = Some(Order::PerKey);
    meta.expect.dlq = Some(Dlq::ExactlyThePoison);
    meta.expect.unavailable = Some(Duration::from_secs(20));
    let mut history = History::new(meta);
    let (producer, consumer) = (history.process("producer-1"), history.process("consumer-1"));
    let (topic, key, group) = (history.topic("orders"), history.key("customer-7"), history.group("billing"));
    let unit = history.unit(&Unit::new(&Topic::new("orders"), 3));
    let send = Send { intended: Some(Time(1_000_000)), ..Send::new(topic, Some(key), 17) };
    let op = history.invoke(Time(1_020_000), producer, Invoke::Send(send));
    history.complete(Time(3_400_000), op, Completion::Sent { unit, position: Some(41), duplicate: false });
    let deliver = Deliver { group: Some(group), ..Deliver::new(unit, 41, 17) };
    history.observe(Time(5_000_000), consumer, Observation::Deliver(deliver));
    let struck =
        Struck { id: 0, verb: "kill".into(), role: "leader(orders/3)".into(), hit: Hit::Nodes(vec![2]) };
    history.observe(Time(6_000_000), ProcessId::HARNESS, Observation::Fault(struck));
    let written = text(&history);
    let document = include_str!("../../FORMAT.md");
    assert!(document.contains(written.trim_end()), "FORMAT.md lacks this example:\n{written}");
}
