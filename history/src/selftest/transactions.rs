//! The tests of the checks of transactions.

use super::Row;

pub(super) const ROWS: &[Row] = &[];
