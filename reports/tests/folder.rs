//! The folder: whole reports or none, and no event lost.

mod sample;

use squall_history::RunEvent;
use squall_reports::{Folder, ReportError, Run, Runs};
use std::{fs, io::Write};

#[test]
fn writes_all_reports_and_leaves_nothing_else() {
    let place = tempfile::tempdir().expect("a place for files");
    let path = place.path().join("deep/squall-out");
    let folder = Folder::create(&path).expect("a folder");
    folder.reports(&sample::unsupported()).expect("reports");
    folder.reports(&sample::leader_failover()).expect("reports again");
    let mut names: Vec<_> =
        fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("an entry").file_name()).collect();
    names.sort();
    assert_eq!(names, ["events.jsonl", "junit.xml", "report.html", "report.txt", "result.json"]);
    let text = fs::read_to_string(path.join("report.txt")).expect("a report");
    assert!(text.starts_with("leader-failover\n"));
}

/// A command that is killed in the middle of its second run, and in the middle of a line.
#[test]
fn a_killed_command_leaves_its_events() {
    let place = tempfile::tempdir().expect("a place for files");
    let mut folder = Folder::create(place.path()).expect("a folder");
    let events = sample::events_of_invalid();
    let measured = sample::leader_failover().runs[0].measured.clone().expect("it was measured");
    for event in &events {
        folder.event(0, event).expect("kept");
    }
    folder.measured(0, &measured).expect("kept");
    for event in events.iter().take(6) {
        folder.event(1, event).expect("kept");
    }
    drop(folder);
    let path = place.path().join("events.jsonl");
    let mut file = fs::OpenOptions::new().append(true).open(&path).expect("the events");
    file.write_all(b"{\"run\":1,\"event\":{\"event\":\"prog").expect("half a line");

    let read = Folder::read(place.path()).expect("the events can be read");
    let mut first = Run::fold(events.clone()).expect("it starts");
    first.measured = Some(measured);
    let second = Run::fold(events.into_iter().take(6)).expect("it starts");
    let about = first.started.about.clone();
    assert_eq!(read, Runs { scenario: "leader-failover".to_owned(), about, runs: vec![first, second] });
    assert_eq!(read.verdict().word(), "broken", "a run without a verdict never passes");
    assert_eq!(read.runs[1].reason(), "the run ended before it was judged");
}

#[test]
fn a_line_that_is_no_event_is_named() {
    let place = tempfile::tempdir().expect("a place for files");
    let mut folder = Folder::create(place.path()).expect("a folder");
    let Some(started @ RunEvent::Started(_)) = sample::events_of_invalid().into_iter().next() else {
        unreachable!("a run begins with its start")
    };
    folder.event(0, &started).expect("kept");
    fs::write(
        place.path().join("events.jsonl"),
        format!("{}nonsense\n", fs::read_to_string(place.path().join("events.jsonl")).expect("the events")),
    )
    .expect("written");
    let error = Folder::read(place.path()).expect_err("there is nonsense");
    assert!(matches!(error, ReportError::Line { line: 2, .. }), "{error}");
}

#[test]
fn a_folder_without_events_is_an_error_that_says_so() {
    let place = tempfile::tempdir().expect("a place for files");
    let missing = Folder::read(&place.path().join("nowhere")).expect_err("there is none").to_string();
    assert!(missing.starts_with("cannot read") && missing.contains("nowhere"), "{missing}");
    Folder::create(place.path()).expect("a folder");
    let empty = Folder::read(place.path()).expect_err("nothing began").to_string();
    assert!(empty.ends_with("no run began"), "{empty}");
}

#[test]
fn a_folder_that_cannot_be_is_an_error_with_a_remedy() {
    let place = tempfile::tempdir().expect("a place for files");
    let file = place.path().join("file");
    fs::write(&file, "").expect("written");
    let error = Folder::create(file.join("out")).expect_err("a file is no folder").to_string();
    assert!(error.contains("choose another folder with --out"), "{error}");
}
