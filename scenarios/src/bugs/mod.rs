//! The proof that the checks bite: bugs that brokers and clients had, each with the scenario that leads to it.
//!
//! The bugs are rows of [`squall_sim::bugs`]; their scenarios are files in `bugs/`, embedded, that `squall run` knows by
//! name like those of the library. [`Hunt`] looks for a bug, and for false alarms without it.

mod hunt;

pub use hunt::{Found, Ground, Hunt};

use crate::{ScenarioError, format::or_list, library::Entry};
use squall_sim::bugs::{self, Bug};

macro_rules! entries {
    ($($name:literal)*) => {
        &[$(Entry { name: $name, text: include_str!(concat!("../../bugs/", $name, ".yaml")) },)*]
    };
}

/// The scenarios that lead to bugs, by name.
const ENTRIES: &[Entry] = entries!(
    "fast-double-failover"
    "isolated-writers"
    "leader-hands-over"
    "lone-leader-loses-power"
    "lost-responses"
    "members-share-anew"
    "no-second-try"
    "plain-load"
    "stale-follower-returns"
);

/// The bugs of these ids, or all, if there are no ids.
///
/// # Errors
/// When there is no such bug: the error names the nearest, or all.
pub fn select(ids: &[String]) -> Result<Vec<Bug>, ScenarioError> {
    if ids.is_empty() {
        return Ok(bugs::all());
    }
    let bug = |id: &String| {
        bugs::find(id).ok_or_else(|| {
            let known = bugs::all().into_iter().map(|bug| bug.id);
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
