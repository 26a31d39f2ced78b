//! The tests of the checks of groups.

use super::Row;

pub(super) const ROWS: &[Row] = &[];
