//! The tests of the checks of queues.

use super::Row;

pub(super) const ROWS: &[Row] = &[];
