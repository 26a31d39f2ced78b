//! What one run showed, as far as two runs of a situation can be compared.

use super::{keys, readers};
use serde::{Deserialize, Serialize};
use squall_history::{
    History, Report, Verdict,
    history::{Observation, Status},
};
use std::collections::BTreeSet;

/// What one run showed.
///
/// A *class* says that something happened at all, in words:
///
/// | class | what happened |
/// |---|---|
/// | `found KIND` | an anomaly of this kind, forbidden or not |
/// | `sends acked`, `failed`, `unknown` | sends that ended so |
/// | `send CODE` | a send ended with this error of the bus or the client |
/// | `commits unacknowledged` | commits that failed or whose outcome is unknown: which of the two, a slow machine decides |
/// | `commit CODE` | a commit ended with this error |
/// | `units revoked`, `units lost` | a consumer handed units back, or learned that it had lost them |
/// | `units taken back` | a consumer was given a unit that it had handed back just before |
/// | `position reset` | a consumer had a position, and it was impossible |
/// | `gaps read` | a consumer read on, and places were left out between two records |
/// | `keys moved` | records of one key stand in several partitions of their topic |
/// | `keys overtook` | a group was handed a record before an earlier one of its key and sender, from another partition |
/// | `transactions committed`, `aborted`, `unknown` | transactions that ended so |
/// | `end CODE` | the end of a transaction failed with this error |
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observed {
    /// The seed.
    pub seed: u64,
    /// The verdict on the run.
    pub verdict: Verdict,
    /// Everything that happened at all.
    pub classes: BTreeSet<String>,
    /// How long the worst unit was unavailable, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unavailable_ms: Option<u64>,
    /// The longest time from the ack of a record until a consumer was handed it, in milliseconds. Records of runs before
    /// this was looked at lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread_ms: Option<u64>,
    /// Sends begun by the workload.
    pub sent: u64,
    /// Sends that were acknowledged.
    pub acked: u64,
    /// Anomalies found, by kind, with how many there were: `lost_write 41`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<String>,
}

impl Observed {
    /// What this history shows, judged so.
    #[must_use]
    pub fn of(seed: u64, history: &History, report: &Report) -> Self {
        let mut classes = BTreeSet::new();
        let mut happened = |class: String| {
            classes.insert(class);
        };
        for anomaly in &report.anomalies {
            happened(format!("found {}", anomaly.kind));
        }
        for send in history.sends() {
            happened(format!("sends {}", ended(send.status)));
            if let Some(code) = history.send_error(send) {
                happened(format!("send {code}"));
            }
        }
        for commit in history.commits().iter().filter(|commit| commit.status != Status::Ok) {
            happened("commits unacknowledged".to_owned());
            if let Some(code) = history.commit_error(commit) {
                happened(format!("commit {code}"));
            }
        }
        for txn in history.txns() {
            happened(format!(
                "transactions {}",
                match txn.status {
                    Status::Ok => "committed",
                    Status::Fail => "aborted",
                    Status::Unknown => "unknown",
                }
            ));
            if let Some(code) = history.txn_error(txn) {
                happened(format!("end {code}"));
            }
        }
        for (_, note) in history.notes() {
            match note {
                Observation::Revoked(units) if !units.is_empty() => happened("units revoked".to_owned()),
                Observation::Lost(units) if !units.is_empty() => happened("units lost".to_owned()),
                Observation::Reset { from: Some(_), .. } => happened("position reset".to_owned()),
                _ => {}
            }
        }
        if readers::took_units_back(history) {
            happened("units taken back".to_owned());
        }
        if readers::saw_gaps(history) {
            happened("gaps read".to_owned());
        }
        if keys::moved(history) {
            happened("keys moved".to_owned());
        }
        if keys::overtook(history) {
            happened("keys overtook".to_owned());
        }
        let counts = &report.counts;
        Self {
            seed,
            verdict: report.verdict,
            classes,
            unavailable_ms: counts
                .unavailable
                .map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX)),
            unread_ms: readers::longest_unread(history),
            sent: counts.sent,
            acked: counts.acked,
            found: report.anomalies.iter().map(|found| format!("{} {}", found.kind, found.count)).collect(),
        }
    }
}

const fn ended(status: Status) -> &'static str {
    match status {
        Status::Ok => "acked",
        Status::Fail => "failed",
        Status::Unknown => "unknown",
    }
}
