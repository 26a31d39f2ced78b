//! The user's own assertions: looked at when the services have caught up.
//!
//! A *check* must hold then; a condition that must hold *eventually* belongs to the catching up and is waited for.
//! One that fails is a finding of its own: the run is invalid.

use serde::{Deserialize, Serialize};
use squall_history::{Report, Verdict};
use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::runtime::panic_message;

type Condition = Box<dyn Fn() -> bool + Send>;
type Assertion = Box<dyn FnOnce() -> Result<(), String> + Send>;

/// An assertion of the user's that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedCheck {
    /// Its name.
    pub name: String,
    /// What it says.
    pub says: String,
}

impl fmt::Display for FailedCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the check `{}` failed: {}", self.name, self.says)
    }
}

/// The assertions of one trial.
#[derive(Default)]
pub(super) struct Checks {
    eventually: Vec<(String, Condition)>,
    finally: Vec<(String, Assertion)>,
}

impl Checks {
    pub(super) fn eventually(&mut self, name: &str, condition: Condition) {
        self.eventually.push((name.to_owned(), condition));
    }

    pub(super) fn finally(&mut self, name: &str, assertion: Assertion) {
        self.finally.push((name.to_owned(), assertion));
    }

    /// Whether every condition holds by now.
    pub(super) fn hold_by_now(&self) -> bool {
        self.eventually.iter().all(|(_, condition)| condition())
    }

    /// The conditions that do not hold although the time is over.
    pub(super) fn never_held(&self) -> Vec<FailedCheck> {
        let says = "it did not come true while the services had time to catch up";
        let open = self.eventually.iter().filter(|(_, condition)| !condition());
        open.map(|(name, _)| FailedCheck { name: name.clone(), says: says.to_owned() }).collect()
    }

    /// Asserts what must hold in the end. A panic in an assertion is its failure.
    pub(super) fn assert(&mut self) -> Vec<FailedCheck> {
        let mut failed = Vec::new();
        for (name, assertion) in std::mem::take(&mut self.finally) {
            let result = catch_unwind(AssertUnwindSafe(assertion));
            if let Err(says) = result.unwrap_or_else(|panic| Err(panic_message(&*panic))) {
                failed.push(FailedCheck { name, says });
            }
        }
        failed
    }
}

/// The report of a run in which these failed besides.
pub(super) fn with_failed(mut report: Report, failed: &[FailedCheck]) -> Report {
    if failed.is_empty() || report.verdict == Verdict::Broken {
        return report;
    }
    let names: Vec<String> = failed.iter().map(|check| format!("`{}`", check.name)).collect();
    let checks = format!("checks of the test failed: {}", names.join(", "));
    report.reason = match report.verdict {
        Verdict::Invalid => format!("{}; {checks}", report.reason),
        _ => checks,
    };
    report.verdict = Verdict::Invalid;
    report
}

#[cfg(test)]
mod tests {
    use super::{Checks, with_failed};
    use squall_history::{Report, Verdict};

    #[test]
    fn a_panic_in_an_assertion_is_its_failure() {
        let mut checks = Checks::default();
        checks.finally("sums", Box::new(|| panic!("1 is not 2")));
        checks.finally("counts", Box::new(|| Err("two of them".to_owned())));
        checks.finally("holds", Box::new(|| Ok(())));
        let failed: Vec<String> = checks.assert().iter().map(ToString::to_string).collect();
        assert_eq!(failed, ["the check `sums` failed: 1 is not 2", "the check `counts` failed: two of them"]);
        assert!(checks.assert().is_empty(), "each is asserted once");
    }

    #[test]
    fn a_failed_check_makes_a_run_invalid_whatever_else_was_found() {
        for verdict in [Verdict::Valid, Verdict::Unknown, Verdict::Invalid] {
            let mut checks = Checks::default();
            checks.eventually("the outbox is empty", Box::new(|| false));
            assert!(!checks.hold_by_now());
            let report = with_failed(Report::unjudged(verdict, "so it is"), &checks.never_held());
            assert_eq!(report.verdict, Verdict::Invalid);
            assert!(report.reason.contains("`the outbox is empty`"), "{}", report.reason);
        }
        let broken = with_failed(Report::unjudged(Verdict::Broken, "it panicked"), &[]);
        assert_eq!(broken.verdict, Verdict::Broken);
    }
}
