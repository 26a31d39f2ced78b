//! Every format as users see it.

mod sample;

use squall_reports::{Exporter, Json, Junit, Runs, Text, progress_line, run_json};

fn export(exporter: &dyn Exporter, runs: &Runs) -> String {
    exporter.export(runs).expect("made-up runs can be exported")
}

#[test]
fn text_of_two_targets() {
    insta::assert_snapshot!(export(&Text::default(), &sample::leader_failover()));
}

#[test]
fn text_of_a_sweep() {
    insta::assert_snapshot!(export(&Text::default(), &sample::sweep(40)));
}

#[test]
fn text_of_an_unsupported_target() {
    insta::assert_snapshot!(export(&Text::default(), &sample::unsupported()));
}

#[test]
fn text_without_runs() {
    insta::assert_snapshot!(export(&Text::default(), &Runs::new("nothing", "")));
}

#[test]
fn colour_is_only_added() {
    let runs = sample::leader_failover();
    let coloured = export(&Text { color: true }, &runs);
    let mut without = String::new();
    for (index, part) in coloured.split("\u{1b}[").enumerate() {
        without.push_str(if index == 0 { part } else { part.split_once('m').expect("a sequence ends").1 });
    }
    assert_ne!(coloured, without);
    assert_eq!(without, export(&Text::default(), &runs));
}

#[test]
fn what_run_json_prints() {
    let printed = run_json(&sample::leader_failover()).expect("made-up runs can be printed");
    assert!(!printed.contains('\n'), "it is one line");
    let value: serde_json::Value = serde_json::from_str(&printed).expect("it is JSON");
    insta::assert_snapshot!(printed);
    let mut keys: Vec<&String> = value["runs"][0].as_object().expect("an object").keys().collect();
    keys.sort();
    assert_eq!(
        keys,
        [
            "acked",
            "anomalies",
            "delivered",
            "hash",
            "reason",
            "reproduce",
            "seed",
            "sent",
            "target",
            "unavailable_ms",
            "verdict"
        ]
    );
    assert!(value["runs"][1]["hash"].is_null(), "real targets have no hash");
}

#[test]
fn result_json() {
    let mut runs = sample::leader_failover();
    for run in &mut runs.runs {
        let measured = run.measured.as_mut().expect("it was measured");
        measured.series.points.truncate(1);
    }
    insta::assert_snapshot!(export(&Json, &runs));
}

/// Two faults that overlap: each is healed when it was, not when the other was.
#[test]
fn each_fault_has_its_own_healing() {
    let run = sample::valid("sim:kafka", 1);
    let lasted: Vec<_> = run
        .faults
        .iter()
        .map(|fault| {
            (fault.struck.id, fault.healed.map(|healed| healed.since(fault.struck.time).as_millis()))
        })
        .collect();
    assert_eq!(lasted, [(0, Some(10_007)), (2, Some(13_000)), (1, Some(5_400)), (3, None)]);
}

#[test]
fn junit_of_every_verdict() {
    let mut runs = sample::leader_failover();
    runs.runs.extend(sample::unsupported().runs);
    runs.runs.push(sample::unfinished("sim:kafka", 9));
    insta::assert_snapshot!(export(&Junit, &runs));
}

#[test]
fn progress_in_plain_lines() {
    let lines: Vec<String> = sample::events_of_invalid()
        .iter()
        .filter_map(|event| progress_line("sim:kafka, seed 7", event))
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn hostile_text_stays_text() {
    let runs = sample::hostile();
    let text = export(&Text::default(), &runs);
    assert!(!text.contains('\u{1b}') && !text.contains('\0'), "{text:?}");
    let junit = export(&Junit, &runs);
    assert!(!junit.contains('\u{1b}') && !junit.contains("<script"), "{junit}");
    let json: serde_json::Value = serde_json::from_str(&export(&Json, &runs)).expect("it is JSON");
    assert_eq!(json["scenario"], runs.scenario);
}
