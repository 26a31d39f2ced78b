//! The checks bite: every bug is found in its own scenario, and nothing without it.
//!
//! A small sweep for each; the full one is `squall bugs --verify`.

use squall_history::{Kind, Verdict, judge};
use squall_scenarios::{
    Job,
    bugs::{self, Calm, Ground, Hunt, STORMS},
    library,
};
use squall_sim::bugs::Bug;
use std::{collections::BTreeSet, sync::Arc};

/// A sweep of the tests has no more seeds; each bug must be found within.
const SEEDS: u64 = 40;

fn hunt(bug: Bug) -> Hunt {
    Hunt { bug, seeds: SEEDS, clean: 4, ground: Ground::Directed, threads: 2 }
}

#[test]
fn every_bug_is_found_and_nothing_without_it() {
    let (mut failures, calm) = (Vec::new(), Calm::default());
    for bug in bugs::all() {
        let found = hunt(bug).run(&calm).expect("its scenario is sound");
        if !found.proves() {
            failures.push(found);
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// A scenario that no bug leads to, and a bug without a scenario, are mistakes of the table.
#[test]
fn bugs_and_scenarios_fit_together() {
    let mut used: BTreeSet<&str> = bugs::all().iter().map(|bug| bug.scenario).collect();
    // The storms that every bug is looked for in, but the one of the library.
    used.extend(STORMS.iter().filter(|name| library::find(name).is_none()));
    let there: BTreeSet<&str> = bugs::entries().iter().map(|entry| entry.name).collect();
    assert_eq!(used, there);
    for entry in bugs::entries() {
        let scenario = entry.scenario(&[]).unwrap_or_else(|error| panic!("\n{error}"));
        assert_eq!(scenario.name, entry.name);
        assert!(scenario.topology.bug.is_none() && !scenario.about.is_empty());
    }
}

/// What the full sweeps came to is written down for readers, bug by bug.
#[test]
fn the_documented_table_has_a_row_for_every_bug() {
    let page = include_str!("../../docs/bugs.md");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(rows.len(), bugs::all().len());
    for (row, bug) in rows.iter().zip(bugs::all()) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let expected = [format!("`{}`", bug.id), bug.source.to_owned(), bug.scenario.to_owned()];
        assert_eq!(cells[1..4], expected, "{row}");
        assert_eq!(cells[4], bug.anomaly.id(), "{row}");
    }
}

/// KAFKA-17754: a commit that is sent again and comes in twice ends a later transaction of the same producer with version
/// 1 of transactions, and none with version 2. One scenario, the same seeds.
#[test]
fn a_late_end_of_a_transaction_fails_on_3_9_and_passes_on_4_3() {
    let judged = |profile: &str| {
        let overrides = vec![format!("topology.brokers.kafka.profile=\"{profile}\"").parse().expect("a key")];
        let scenario = Arc::new(library::open("late-end", &overrides).expect("it parses"));
        let report = |seed: u64| {
            let job = Job {
                scenario: Arc::clone(&scenario),
                named: "late-end".to_owned(),
                overrides: overrides.clone(),
                target: "sim:kafka".parse().expect("a target"),
                seed,
            };
            judge(&job.run(&(Arc::new(|_| {}) as _), &|_| {}).history.expect("it was run"))
        };
        (1..=SEEDS).map(report).collect::<Vec<_>>()
    };
    let torn: Vec<_> =
        judged("3.9").into_iter().filter(|report| report.verdict == Verdict::Invalid).collect();
    assert!(torn.len() >= 3, "{} of {SEEDS} seeds", torn.len());
    for report in torn {
        assert!(
            report.anomalies.iter().any(|one| one.kind == Kind::AbortedRead && one.forbidden()),
            "{report:?}"
        );
    }
    assert!(judged("4.3").iter().all(|report| report.verdict == Verdict::Valid));
}
