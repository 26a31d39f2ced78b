//! The checks bite: every bug is found in its own scenario, and nothing without it.
//!
//! A small sweep for each; the full one is `squall bugs --verify`. What several bugs share a scenario for is run clean
//! once for each of them.

use squall_scenarios::bugs::{self, Ground, Hunt};
use squall_sim::{bugs as table, bugs::Bug};
use std::collections::BTreeSet;

/// A sweep of the tests has no more seeds; each bug must be found within.
const SEEDS: u64 = 40;

fn hunt(bug: Bug) -> Hunt {
    Hunt { bug, seeds: SEEDS, clean: 4, ground: Ground::Directed, threads: 2 }
}

#[test]
fn every_bug_is_found_and_nothing_without_it() {
    let mut failures = Vec::new();
    for bug in table::all() {
        let found = hunt(bug).run().expect("its scenario is sound");
        if !found.proves() {
            failures.push(found);
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// A scenario that no bug leads to, and a bug without a scenario, are mistakes of the table.
#[test]
fn bugs_and_scenarios_fit_together() {
    let used: BTreeSet<&str> = table::all().iter().map(|bug| bug.scenario).collect();
    let there: BTreeSet<&str> = bugs::entries().iter().map(|entry| entry.name).collect();
    assert_eq!(used, there);
    for entry in bugs::entries() {
        let scenario = entry.scenario(&[]).unwrap_or_else(|error| panic!("\n{error}"));
        assert_eq!(scenario.name, entry.name);
        assert!(scenario.topology.bug.is_none() && !scenario.about.is_empty());
    }
}
