//! What clients read, commit and learn, in the order of the history: the walk of the checks of groups, which have no use
//! for sends and handlers.

use crate::history::{CommitRow, DeliverRow, History, Observation};

/// One event of the walk.
pub(crate) enum Turn<'h> {
    /// A delivery, with its row.
    Read(u32, &'h DeliverRow),
    /// A commit begins.
    Commit(&'h CommitRow),
    /// Something is observed, in this event.
    Note(u32, &'h Observation),
}

/// Merges the three tables, each of which is in the order of the history.
pub(crate) fn walk(history: &History) -> impl Iterator<Item = Turn<'_>> {
    let (reads, commits, notes) = (history.delivers(), history.commits(), history.notes());
    let (mut read, mut commit, mut note) = (0, 0, 0);
    std::iter::from_fn(move || {
        let next_read = reads.get(read).map_or(u32::MAX, |row| row.event);
        let next_commit = commits.get(commit).map_or(u32::MAX, |row| row.invoke.0);
        let next_note = notes.get(note).map_or(u32::MAX, |(event, _)| *event);
        if next_read < next_commit.min(next_note) {
            read += 1;
            Some(Turn::Read(read as u32 - 1, &reads[read - 1]))
        } else if next_commit < next_note {
            commit += 1;
            Some(Turn::Commit(&commits[commit - 1]))
        } else {
            note += 1;
            notes.get(note - 1).map(|(event, note)| Turn::Note(*event, note))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{Turn, walk};
    use crate::checks::testing::tale;

    #[test]
    fn the_tables_are_merged_in_order() {
        let mut tale = tale();
        tale.sent(1, 0).assigned(0).read(1, 0).committed(1).read(1, 0).crashed().drained(1);
        let turns = walk(tale.history()).map(|turn| match turn {
            Turn::Read(_, read) => (read.event, "read"),
            Turn::Commit(commit) => (commit.invoke.0, "commit"),
            Turn::Note(event, _) => (event, "note"),
        });
        let expected = [(2, "note"), (3, "read"), (4, "commit"), (6, "read"), (7, "note"), (8, "note")];
        assert_eq!(turns.collect::<Vec<_>>(), expected);
    }
}
