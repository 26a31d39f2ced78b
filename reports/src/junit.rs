//! `junit.xml`: one test case per run. Only `valid` passes: `invalid` is a failure, everything else an error, so
//! that no CI shows an unfinished or unsupported run in green.

use crate::{Exporter, ReportError, Run, Runs, found::ruling_word};
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};
use squall_history::Verdict;
use std::{fmt::Write, time::Duration};

/// Writes `junit.xml`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Junit;

impl Exporter for Junit {
    fn file_name(&self) -> &'static str {
        "junit.xml"
    }

    fn export(&self, runs: &Runs) -> Result<String, ReportError> {
        let mut suite = TestSuite::new(runs.scenario.as_str());
        suite.add_test_cases(runs.runs.iter().map(|run| case(&runs.scenario, run)));
        let mut report = Report::new("squall");
        report.add_test_suite(suite);
        report.to_string().map_err(|error| ReportError::Format { format: "JUnit", reason: error.to_string() })
    }
}

fn case(scenario: &str, run: &Run) -> TestCase {
    let mut case = TestCase::new(run.name(), status(run));
    case.set_classname(scenario);
    if let Some((_, real_ms)) = run.ended() {
        case.set_time(Duration::from_millis(real_ms));
    }
    case.add_property(Property::new("target", run.started.target.as_str()));
    case.add_property(Property::new("seed", run.started.seed.to_string()));
    if let Some(hash) = run.hash() {
        case.add_property(Property::new("hash", hash));
    }
    case
}

fn status(run: &Run) -> TestCaseStatus {
    let kind = match run.verdict() {
        Verdict::Valid => return TestCaseStatus::success(),
        Verdict::Invalid => NonSuccessKind::Failure,
        Verdict::Unknown | Verdict::Unsupported | Verdict::Broken => NonSuccessKind::Error,
    };
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(run.reason()).set_type(run.verdict().word()).set_description(description(run));
    status
}

fn description(run: &Run) -> String {
    let mut text = format!("reproduce: {}\n", run.started.reproduce);
    for anomaly in run.anomalies() {
        let word = ruling_word(&anomaly.ruling);
        let clause = anomaly.clause();
        write!(text, "\n{word} {}, {} found: {clause}\n{}\n", anomaly.kind, anomaly.count, anomaly.story())
            .expect("a String takes everything");
    }
    text
}
