//! What only some records have: kept in tables beside the rows, so that plain records do not pay for it.

use super::names::MessageId;
use squall_bus::Time;
use std::time::Duration;

/// What only some sends have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendExtra {
    /// The id by which the bus tells repeats of a message from new ones.
    pub message_id: Option<MessageId>,
    /// The send is accepted only if the unit's last record is at this position.
    pub expected_position: Option<u64>,
    /// The send is accepted only if the unit's last record has this value.
    pub expected_value: Option<u64>,
    /// How long the record may live from when it is stored.
    pub ttl: Option<Duration>,
    /// The record's own time, as its sender set it.
    pub timestamp: Option<Time>,
    /// The record deletes its key.
    pub tombstone: bool,
    /// What the record adds to the sum that must be conserved.
    pub amount: Option<i64>,
}

impl SendExtra {
    /// Nothing.
    pub const NONE: Self = Self {
        message_id: None,
        expected_position: None,
        expected_value: None,
        ttl: None,
        timestamp: None,
        tombstone: false,
        amount: None,
    };
}

/// What only some deliveries have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliverExtra {
    /// Until when the reader must acknowledge, or the record is delivered again.
    pub deadline: Option<Time>,
    /// The node that the final drain read through.
    pub node: Option<u32>,
    /// The leader epoch with which the record is stored.
    pub epoch: Option<u32>,
    /// The time that the bus keeps with the record.
    pub timestamp: Option<Time>,
}

impl DeliverExtra {
    /// Nothing.
    pub const NONE: Self = Self { deadline: None, node: None, epoch: None, timestamp: None };
}

/// Extras by row, in the order of the rows; rows without any have no entry.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Extras<T>(Vec<(u32, T)>);

impl<T: Copy + Default + PartialEq> Extras<T> {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Keeps what the row has. Rows come in their order.
    pub(crate) fn push(&mut self, row: usize, extra: T) {
        if extra != T::default() {
            // The caller's own table has 32-bit rows.
            self.0.push((row as u32, extra));
        }
    }

    /// What a row has.
    pub(crate) fn of(&self, row: u32) -> T {
        if self.0.is_empty() {
            return T::default();
        }
        let index = self.0.binary_search_by_key(&row, |(row, _)| *row);
        index.map(|index| self.0[index].1).unwrap_or_default()
    }

    pub(crate) fn shrink_to_fit(&mut self) {
        self.0.shrink_to_fit();
    }

    pub(crate) fn all(&self) -> &[(u32, T)] {
        &self.0
    }
}
