//! The catalogue of anomalies as data: every id that the field knows, each with a rule of one line.
//!
//! `catalogue.tsv` is the data. A row is checked by an entry of [`CHECKS`](crate::checks::CHECKS), said by the
//! verdict itself, or refused with the reason. Tests hold both against each other, so that no row is forgotten.

/// The data.
const TABLE: &str = include_str!("catalogue.tsv");

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coverage {
    /// A check finds it.
    Check,
    /// The verdict says it.
    Verdict,
    /// It cannot be judged from what a bus shows; the rule says why.
    Refused,
}

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Row {
    /// `log`, `order`, `transactions`, `groups`, `queue` or `own`.
    pub family: &'static str,
    /// The id: `lost_write`.
    pub id: &'static str,
    /// What became of it.
    pub coverage: Coverage,
    /// What is demanded, or why it is refused.
    pub rule: &'static str,
}

/// Every row, in the order of the file. A line that is none is left out; a test counts them.
pub fn rows() -> impl Iterator<Item = Row> {
    TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(row)
}

/// The row of an id.
#[must_use]
pub fn find(id: &str) -> Option<Row> {
    rows().find(|row| row.id == id)
}

fn row(line: &'static str) -> Option<Row> {
    let mut columns = line.split('\t');
    let (family, id, status, rule) = (columns.next()?, columns.next()?, columns.next()?, columns.next()?);
    let coverage = match status {
        "check" => Coverage::Check,
        "verdict" => Coverage::Verdict,
        "refused" => Coverage::Refused,
        _ => return None,
    };
    columns.next().is_none().then_some(Row { family, id, coverage, rule })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, checks::CHECKS};

    #[test]
    fn every_line_is_a_row_and_every_id_stands_once() {
        let lines = TABLE.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        assert_eq!(lines.count(), rows().count());
        let mut ids: Vec<&str> = rows().map(|row| row.id).collect();
        ids.sort_unstable();
        let all = ids.len();
        ids.dedup();
        assert_eq!((ids.len(), all), (74, 74));
        let families = ["log", "order", "transactions", "groups", "queue", "own"];
        assert!(rows().all(|row| families.contains(&row.family) && row.rule.len() > 20));
    }

    #[test]
    fn every_kind_has_a_row_and_every_row_that_is_not_refused_a_kind() {
        for kind in Kind::ALL {
            let row = find(kind.id());
            assert!(row.is_some_and(|row| row.coverage != Coverage::Refused), "{kind} is in no row");
        }
        for row in rows().filter(|row| row.coverage != Coverage::Refused) {
            assert!(Kind::ALL.iter().any(|kind| kind.id() == row.id), "{} has no kind", row.id);
        }
    }

    #[test]
    fn every_row_has_a_check_or_the_reason_why_not() {
        for row in rows() {
            let checks = CHECKS.iter().filter(|check| check.kind.id() == row.id).count();
            assert_eq!(
                checks,
                usize::from(row.coverage == Coverage::Check),
                "{}: {:?}",
                row.id,
                row.coverage
            );
        }
        let refused: Vec<&str> =
            rows().filter(|row| row.coverage == Coverage::Refused).map(|row| row.id).collect();
        assert_eq!(refused, ["G-nonadjacent", "lost_update"]);
    }
}
