//! What administrators deleted: records in front of a place, or whole units.
//!
//! *Deleted* is a record whose send began before an administrator's deletion ended, if it stands in front of the place
//! that the deletion names, or the unit itself was deleted. Without the place of the record it may have been. A record
//! sent after the deletion, or behind its place, is not.
//!
//! A unit that is deleted and created again *begins anew*: its positions mean other records from then on. Findings about
//! positions that have events on both sides of that say nothing.

use crate::{
    Kind,
    checks::Found,
    history::{History, Observation, SendRow, UnitId},
};

/// The kinds of findings that hold one position of a unit against another.
const BY_POSITION: &[Kind] = &[
    Kind::InconsistentOffsets,
    Kind::RealtimeOffsetInversion,
    Kind::OffsetRegression,
    Kind::LogTruncated,
    Kind::NonmonotonicSend,
    Kind::NonmonotonicPoll,
    Kind::PollSkip,
    Kind::KeyOrder,
    Kind::GroupJump,
    Kind::StaleCommitRead,
    Kind::CommittedTooFar,
    Kind::CommitBeyondPosition,
];

/// One unit's part of a deletion.
#[derive(Clone, Copy, Debug)]
struct Deletion {
    /// The event with which it ended.
    event: u32,
    unit: UnitId,
    /// The first place that was kept; `None` when the unit itself was deleted.
    before: Option<u64>,
}

impl Deletion {
    fn covers(&self, history: &History, send: &SendRow, unit: Option<UnitId>) -> bool {
        let of_unit = match unit {
            Some(unit) => unit == self.unit,
            None => send.topic == history.unit_topic(self.unit),
        };
        let kept = self.before.zip(send.position()).is_some_and(|(before, position)| position >= before);
        send.invoke.0 < self.event && of_unit && !kept
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Deletions {
    list: Vec<Deletion>,
    /// By a send's row: the last deletion that took its record. Empty when nothing was deleted.
    taken: Vec<Option<u32>>,
}

impl Deletions {
    pub(crate) fn of(history: &History, unit_of: &[Option<UnitId>]) -> Self {
        let mut list = Vec::new();
        for (event, note) in history.notes() {
            if let Observation::Changed { deleted, .. } = note {
                list.extend(deleted.iter().map(|(unit, before)| Deletion {
                    event: *event,
                    unit: *unit,
                    before: *before,
                }));
            }
        }
        let sends = history.sends().iter().filter(|_| !list.is_empty()).zip(unit_of);
        let by = |(send, unit): (&SendRow, &Option<UnitId>)| {
            let unit = send.position().and(send.unit()).or(*unit);
            let covers = |one: &&Deletion| one.covers(history, send, unit);
            list.iter().rev().find(covers).map(|one| one.event)
        };
        let taken = sends.map(by).collect();
        Self { list, taken }
    }

    /// The deletion that took a send's record, by the send's row.
    pub(crate) fn took(&self, row: u32) -> Option<u32> {
        self.taken.get(row as usize).copied().flatten()
    }

    /// The deletion of the whole unit that parts the events of a finding about positions.
    pub(crate) fn parts(&self, kind: Kind, found: &Found) -> Option<u32> {
        if self.list.is_empty() || !BY_POSITION.contains(&kind) {
            return None;
        }
        let between = |first: u32, last: u32| {
            let anew = |one: &&Deletion| one.before.is_none() && Some(one.unit) == found.unit;
            let mut events = self.list.iter().filter(anew).map(|one| one.event);
            events.find(|event| (first..last).contains(event))
        };
        // Of several records in one place, each must have had the place to itself.
        let alone = |pair: &[u32]| between(pair[0], pair[1]).is_some();
        if kind == Kind::InconsistentOffsets && !found.ops.windows(2).all(alone) {
            return None;
        }
        between(*found.ops.first()?, *found.ops.last()?)
    }
}

/// The last that was handed out of a unit before an event: to its process, or else to anybody.
pub(crate) fn handed_before(history: &History, unit: UnitId, event: u32) -> Option<u32> {
    let process = history.process_of(event);
    let before = || history.delivers().iter().rev().filter(|read| read.event < event && read.unit == unit);
    before().find(|read| read.process == process).or_else(|| before().next()).map(|read| read.event)
}
