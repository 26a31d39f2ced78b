//! One run against its row of the table of expected outcomes.

use crate::library::Outcome;
use squall_history::{Kind, Report, Verdict};

/// How a run stands to its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// It is as the table says.
    AsExpected,
    /// Nothing is wrong with it, but it did not show these anomalies.
    Lacks(Vec<Kind>),
    /// It is something else, in words without numbers.
    Differs(String),
}

impl Held {
    /// Compares the judgement of a run with its row.
    #[must_use]
    pub fn of(report: &Report, expected: &Outcome) -> Self {
        let found = |kind: &&Kind| report.anomalies.iter().any(|anomaly| anomaly.kind == **kind);
        let (shown, missing): (Vec<&Kind>, Vec<&Kind>) = expected.finds.iter().partition(found);
        let missing = missing.into_iter().copied().collect();
        match (expected.verdict, report.verdict) {
            (Verdict::Unsupported, Verdict::Unsupported) => match &expected.lacks {
                Some(lacks) if !report.reason.contains(lacks.as_str()) => Self::differs(report),
                _ => Self::AsExpected,
            },
            // What is forbidden and found is what the row is there for, or it is something else.
            (Verdict::Invalid, Verdict::Invalid) if !expected.finds.is_empty() && shown.is_empty() => {
                Self::differs(report)
            }
            (Verdict::Invalid, Verdict::Valid) => Self::Lacks(missing),
            (expected, found) if expected == found && missing.is_empty() => Self::AsExpected,
            (expected, found) if expected == found => Self::Lacks(missing),
            _ => Self::differs(report),
        }
    }

    /// The first forbidden anomaly says what is wrong with a run, else the reason of its verdict.
    fn differs(report: &Report) -> Self {
        let forbidden = report.anomalies.iter().find(|anomaly| anomaly.forbidden());
        Self::Differs(match forbidden {
            Some(anomaly) => format!("{} {}", report.verdict, anomaly.kind.id()),
            None => format!("{}: {}", report.verdict, crate::capsule::parts::without_numbers(&report.reason)),
        })
    }
}
