//! The proof that the checks bite: bugs that brokers and clients had, each with the scenario that leads to it.
//!
//! The bugs of models are rows of [`squall_sim::bugs`], those of programs are told here; their scenarios are files in
//! `bugs/`, embedded, that `squall run` knows by name like those of the library. [`Hunt`] looks for a bug, and for false
//! alarms without it.

mod apps;
mod hunt;

pub use hunt::{Calm, Found, Ground, Hunt, STORMS};

use crate::{Override, Scenario, ScenarioError, format::or_list, library::Entry};
use squall_sim::bugs::{self, Bug};

macro_rules! entries {
    ($($name:literal)*) => {
        &[$(Entry { name: $name, text: include_str!(concat!("../../bugs/", $name, ".yaml")) },)*]
    };
}

/// The scenarios that lead to bugs, by name.
const ENTRIES: &[Entry] = entries!(
    "aborted-loop"
    "evicted-member"
    "fast-double-failover"
    "first-records"
    "group-coordinator-moves"
    "heirs-without-each-other"
    "isolated-writers"
    "joins-and-falls-behind"
    "late-end"
    "late-write"
    "leader-dies-in-transactions"
    "leader-hands-over"
    "lone-leader-loses-power"
    "lost-responses"
    "members-share-anew"
    "no-second-try"
    "node-replaced"
    "owner-sleeps"
    "plain-load"
    "returns-with-nothing"
    "sleeping-service"
    "slow-worker-dies"
    "stale-follower-returns"
    "storm-in-transactions"
    "storm-of-members"
    "transactions-at-rest"
);

/// Every bug: those of models, then those of programs.
#[must_use]
pub fn all() -> Vec<Bug> {
    bugs::all().into_iter().chain(apps::ROWS.iter().map(|row| row.bug)).collect()
}

/// The bug of this id.
#[must_use]
pub fn find(id: &str) -> Option<Bug> {
    all().into_iter().find(|bug| bug.id == id)
}

/// What gives a scenario a bug of a program: the key of its consumers. `None` for any other id.
pub(crate) fn of_program(id: &str) -> Option<Result<Override, ScenarioError>> {
    apps::find(id).map(|row| format!("workload.consumers.{}", row.set).parse())
}

/// What gives a scenario with several groups of consumers a bug: for one of a program the key of every group that can
/// have it.
fn overrides(id: &str, scenario: &Scenario) -> Result<Vec<Override>, ScenarioError> {
    let groups = scenario.consumer_groups();
    let Some(row) = apps::find(id).filter(|_| groups.len() > 1) else {
        return Ok(vec![Override::of_bug(id)?]);
    };
    let concerned = (0..).zip(groups).filter(|(_, group)| (row.concerns)(group));
    concerned
        .map(|(place, _): (usize, _)| format!("workload.consumers.{place}.{}", row.set).parse())
        .collect()
}

/// The bugs of these ids, or all, if there are no ids.
///
/// # Errors
/// When there is no such bug: the error names the nearest, or all.
pub fn select(ids: &[String]) -> Result<Vec<Bug>, ScenarioError> {
    if ids.is_empty() {
        return Ok(all());
    }
    let bug = |id: &String| {
        find(id).ok_or_else(|| {
            let known = all().into_iter().map(|bug| bug.id);
            let help = or_list(id, known.collect::<Vec<_>>(), "the bugs are");
            ScenarioError::nowhere(format!("there is no bug `{id}`"), help)
        })
    };
    ids.iter().map(bug).collect()
}

/// Every scenario that leads to a bug, in the order of their names.
#[must_use]
pub const fn entries() -> &'static [Entry] {
    ENTRIES
}

/// The scenario of this name, of those that lead to bugs.
#[must_use]
pub fn scenario(name: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.name == name)
}
