//! Promises about transactions.

use super::{Rules, allowed, forbidden};
use crate::Ruling;

impl Rules<'_> {
    /// Readers are not shown what is not committed.
    #[must_use]
    pub fn committed_only(&self) -> Ruling {
        if self.configuration.reads_committed() {
            forbidden("isolation read-committed shows readers only what is committed")
        } else {
            allowed("isolation read-uncommitted shows readers whatever is in the log")
        }
    }
}
