//! What makes a run fail, in one word that can be compared: what shrinking keeps and a capsule expects.

use super::sweep::Run;
use crate::runtime::Broken;
use squall_history::{Kind, Verdict};
use std::{fmt, str::FromStr};

/// What makes a run fail.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// A forbidden anomaly of this kind was found.
    Anomaly(Kind),
    /// The user's check of this name failed.
    Check(String),
    /// This process panicked.
    Panic(String),
    /// Evidence is missing.
    Unknown,
    /// The run could not be carried out, otherwise than by a panic.
    Broken,
}

impl Finding {
    /// Everything that makes this run fail, the most telling first; nothing if it is valid.
    pub(super) fn of(run: &Run) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        for anomaly in run.forbidden() {
            let kind = Self::Anomaly(anomaly.kind);
            if !found.contains(&kind) {
                found.push(kind);
            }
        }
        found.extend(run.failed_checks.iter().map(|check| Self::Check(check.name.clone())));
        if found.is_empty() && !run.is_valid() {
            found.push(match &run.broken {
                Some(Broken::Panicked { process, .. }) => Self::Panic(process.clone()),
                _ if run.report.verdict == Verdict::Unknown => Self::Unknown,
                _ => Self::Broken,
            });
        }
        found
    }

    /// Whether a smaller run may be looked for. A run that blocks or never ends takes its time in every try.
    pub(super) fn shrinks(&self) -> bool {
        !matches!(self, Self::Broken)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anomaly(kind) => write!(f, "anomaly {kind}"),
            Self::Check(name) => write!(f, "check {name}"),
            Self::Panic(process) => write!(f, "panic {process}"),
            Self::Unknown => f.write_str("unknown"),
            Self::Broken => f.write_str("broken"),
        }
    }
}

impl FromStr for Finding {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let kind_of = |id: &str| Kind::ALL.iter().find(|kind| kind.id() == id).copied();
        match text.split_once(' ') {
            Some(("anomaly", id)) => {
                kind_of(id).map(Self::Anomaly).ok_or_else(|| format!("`{id}` is no kind of anomaly"))
            }
            Some(("check", name)) => Ok(Self::Check(name.to_owned())),
            Some(("panic", process)) => Ok(Self::Panic(process.to_owned())),
            None if text == "unknown" => Ok(Self::Unknown),
            None if text == "broken" => Ok(Self::Broken),
            _ => Err(format!(
                "`{text}` is no finding; write `anomaly KIND`, `check NAME`, `panic PROCESS`, `unknown` or `broken`"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Finding;

    #[test]
    fn prints_what_it_parses() {
        for text in
            ["anomaly unprocessed", "check each order is sent once", "panic billing", "unknown", "broken"]
        {
            assert_eq!(text.parse::<Finding>().map(|finding| finding.to_string()), Ok(text.to_owned()));
        }
        for (text, says) in [("anomaly lost", "no kind of anomaly"), ("lost_write", "is no finding")] {
            let error = text.parse::<Finding>().expect_err(text);
            assert!(error.contains(says), "{error}");
        }
    }
}
