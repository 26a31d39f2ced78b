//! What a bus' error codes mean, as data: a name, what a caller can do, and whether a refused record may be stored.
//!
//! Each bus has a table of its own, sorted by number: Kafka's is [`crate::wire::codes`], that of NATS is in its
//! adapter. Whether a failed send is `fail` or `unknown` follows from [`Appended`] and from how many attempts there
//! may have been:
//!
//! | appended | one attempt | several attempts |
//! |---|---|---|
//! | [`Appended::Never`] | fail | fail |
//! | [`Appended::NotThisTime`] | fail | unknown, unless every earlier attempt failed so too |
//! | [`Appended::Maybe`] | unknown | unknown |

use squall_bus::ErrorClass;

/// Whether a record whose send failed with a code may be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is not: the record never left, or every attempt is refused alike.
    Never,
    /// The attempt that was answered so did not store it; an earlier attempt may have.
    NotThisTime,
    /// It may be.
    Maybe,
}

/// One row of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// Its number.
    pub number: i32,
    /// The name that the bus or its client has for it.
    pub name: &'static str,
    /// What a caller can do.
    pub class: ErrorClass,
    /// Whether the record may be stored.
    pub appended: Appended,
}

/// A row.
#[must_use]
pub const fn row(number: i32, name: &'static str, class: ErrorClass, appended: Appended) -> Code {
    Code { number, name, class, appended }
}

/// The row of a code in a table that is sorted by number.
#[must_use]
pub fn find(table: &'static [Code], number: i32) -> Option<&'static Code> {
    table.binary_search_by_key(&number, |row| row.number).ok().map(|index| &table[index])
}

/// Fails the test unless the table is sorted and no name stands in it twice.
#[cfg(test)]
pub(crate) fn assert_table(table: &[Code]) {
    assert!(table.windows(2).all(|rows| rows[0].number < rows[1].number), "by number");
    let names: std::collections::BTreeSet<_> = table.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), table.len(), "a name stands there twice");
}
