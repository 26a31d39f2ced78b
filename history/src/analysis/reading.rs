//! How each reader went through the units: where it left records out, and where it went back.
//!
//! A reader is a process; the final drain is none, nor are the members of a group that share every unit, record by
//! record. Its deliveries belong to operations: a transaction with all its
//! polls, else a poll, else the delivery by itself. The first delivery of an operation in a unit is compared with the
//! last one of the reader's last operation there that succeeded (*external*), every further one with the one before
//! it (*internal*). An operation that failed does not move its reader.
//!
//! What the reader is told about its units counts too: `assigned` without a group replaces what it had, and a
//! position there, as in `sought` and `reset`, is where it goes on; with a group it starts anew at a position that
//! comes along. A unit that is `revoked` or `lost`, or not among the topics of a `subscribed`, is forgotten, and so
//! is everything when the process `crashed`. An internal step is excused if the reader was told about the unit
//! during the operation.
//!
//! A record is left out when it stands between, somebody read it, and it was neither aborted nor may have been taken
//! away by compaction, age or its time to live. So holes are no skips, and lost records are not told twice.

use super::{Analysis, Buckets, Fate, Place};
use crate::{
    guarantees::Reading,
    history::{DeliverRow, History, Observation, OpId, TopicId, UnitId, What},
};

/// Where a reader went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The unit.
    pub unit: UnitId,
    /// The delivery, by its row.
    pub delivery: u32,
    /// The event that says where the reader was.
    pub since: u32,
    /// Where it had to go on.
    pub expected: u64,
    /// The first place that it left out, by its index in the unit's log; `None` if it went back.
    pub skipped: Option<u32>,
    /// Within one operation.
    pub internal: bool,
    /// The reader chose its units itself.
    pub assigned: bool,
}

/// Where a reader is in a unit: it goes on at `next`, as `since` says.
#[derive(Clone, Copy)]
struct Mark {
    next: u64,
    since: u32,
}

/// Every wrong step of every reader, in the order of the deliveries.
pub(crate) fn steps(analysis: &Analysis<'_>) -> Vec<Step> {
    let history = analysis.history;
    let (delivers, notes) = (history.delivers(), history.notes());
    let processes = history.process_count();
    let shared = history.meta.configuration.reading == Reading::Share;
    let reads = Buckets::new(processes, delivers.len(), |row| {
        let read = &delivers[row];
        let is_member = shared && read.group().is_some();
        (!read.drained() && !is_member).then(|| read.process.index())
    });
    let told = Buckets::new(processes, notes.len(), |note| {
        moves(&notes[note].1).then(|| history.process_of(notes[note].0).index())
    });
    let mut reader = Reader {
        analysis,
        marks: vec![None; history.unit_count()],
        met: Vec::new(),
        op: None,
        op_marks: Vec::new(),
        by_hand: false,
        told: &[],
        steps: Vec::new(),
    };
    for process in 0..processes {
        reader.told = told.of(process);
        reader.walk(reads.of(process));
    }
    reader.steps.sort_by_key(|step| step.delivery);
    reader.steps
}

/// Whether a note tells its process about its units.
fn moves(note: &Observation) -> bool {
    matches!(
        note,
        Observation::Assigned { .. }
            | Observation::Subscribed { .. }
            | Observation::Sought { .. }
            | Observation::Reset { .. }
            | Observation::Revoked(_)
            | Observation::Lost(_)
            | Observation::Crashed
    )
}

/// The operation that a delivery belongs to, by the event that names it.
pub(crate) fn operation(history: &History, read: &DeliverRow) -> u32 {
    let Some(poll) = read.poll() else { return read.event };
    history.polls()[history.poll_row(poll) as usize].txn().map_or(poll.0, |txn| txn.0)
}

/// The event with which an operation ended, which this event began; the last one if it never did.
pub(crate) fn operation_end(history: &History, id: u32) -> u32 {
    let op = OpId(id);
    let completion = match history.event(id).what {
        What::TxnInvoke => history.txns()[history.txn_row(op) as usize].completion(),
        What::PollInvoke => history.polls()[history.poll_row(op) as usize].completion(),
        _ => Some(id + 1),
    };
    completion.unwrap_or(u32::MAX)
}

/// An operation of several deliveries under way.
#[derive(Clone, Copy)]
struct Operation {
    id: u32,
    happened: bool,
}

struct Reader<'a, 'h> {
    analysis: &'a Analysis<'h>,
    /// By unit: where the reader is.
    marks: Vec<Option<Mark>>,
    /// The units that have marks.
    met: Vec<UnitId>,
    op: Option<Operation>,
    /// Where it came to in each unit that it read.
    op_marks: Vec<(UnitId, Option<Mark>)>,
    by_hand: bool,
    /// The notes of this process.
    told: &'a [u32],
    steps: Vec<Step>,
}

impl Reader<'_, '_> {
    fn walk(&mut self, reads: &[u32]) {
        for unit in self.met.drain(..) {
            self.marks[unit.index()] = None;
        }
        self.op = None;
        self.op_marks.clear();
        self.by_hand = self.analysis.history.meta.configuration.reading == Reading::Assign;
        let history = self.analysis.history;
        let mut told = self.told.iter().peekable();
        for row in reads {
            let read = &history.delivers()[*row as usize];
            while let Some(note) = told.next_if(|note| history.notes()[**note as usize].0 < read.event) {
                let (event, note) = &history.notes()[*note as usize];
                self.hear(*event, note);
            }
            self.read(*row, read);
        }
    }

    fn set(&mut self, unit: UnitId, mark: Option<Mark>) {
        self.put(unit, mark);
        // Within an operation too: from here on it is as if it had not read the unit before.
        if self.op.is_some() {
            self.op_marks.retain(|(other, _)| *other != unit);
            self.op_marks.push((unit, mark));
        }
    }

    fn put(&mut self, unit: UnitId, mark: Option<Mark>) {
        let known = &mut self.marks[unit.index()];
        if known.is_none() {
            self.met.push(unit);
        }
        *known = mark;
    }

    fn forget_unless(&mut self, keep: impl Fn(UnitId) -> bool) {
        let known = self.met.iter().copied().chain(self.op_marks.iter().map(|(unit, _)| *unit));
        let gone: Vec<UnitId> = known.filter(|unit| !keep(*unit)).collect();
        for unit in gone {
            self.set(unit, None);
        }
    }

    fn hear(&mut self, since: u32, note: &Observation) {
        let history = self.analysis.history;
        match note {
            Observation::Assigned { group, units, .. } => {
                self.by_hand = group.is_none();
                if group.is_none() {
                    self.forget_unless(|unit| units.iter().any(|(other, _)| *other == unit));
                }
                for (unit, at) in units {
                    if let Some(next) = *at {
                        self.set(*unit, group.is_none().then_some(Mark { next, since }));
                    }
                }
            }
            Observation::Subscribed { topics, .. } => {
                self.by_hand = false;
                let topic = |unit: UnitId| -> TopicId { history.unit_topic(unit) };
                self.forget_unless(|unit| topics.contains(&topic(unit)));
            }
            Observation::Sought { unit, to } | Observation::Reset { unit, to, .. } => {
                self.set(*unit, Some(Mark { next: *to, since }));
            }
            Observation::Revoked(units) | Observation::Lost(units) => {
                for unit in units {
                    self.set(*unit, None);
                }
            }
            Observation::Crashed => self.forget_unless(|_| false),
            _ => {}
        }
    }

    fn read(&mut self, row: u32, read: &DeliverRow) {
        let next = Some(Mark { next: read.position.saturating_add(1), since: read.event });
        let (mark, internal) = if read.poll().is_none() {
            self.end();
            let mark = self.marks[read.unit.index()];
            self.put(read.unit, next);
            (mark, false)
        } else {
            self.take_up(read);
            let known = self.op_marks.iter_mut().find(|(unit, _)| *unit == read.unit);
            match known {
                Some((_, mark)) => (std::mem::replace(mark, next), true),
                None => {
                    self.op_marks.push((read.unit, next));
                    (self.marks[read.unit.index()], false)
                }
            }
        };
        if let Some(mark) = mark.filter(|mark| mark.next != read.position) {
            self.compare(row, read, mark, internal);
        }
    }

    /// The delivery belongs to the operation under way, or ends it and begins another one.
    fn take_up(&mut self, read: &DeliverRow) {
        let id = operation(self.analysis.history, read);
        if self.op.is_none_or(|op| op.id != id) {
            self.end();
            self.op = Some(Operation { id, happened: self.analysis.read_happened(read) });
        }
    }

    /// The operation is over: if it happened, the reader is where it came to.
    fn end(&mut self) {
        let happened = self.op.take().is_some_and(|op| op.happened);
        let mut marks = std::mem::take(&mut self.op_marks);
        for (unit, mark) in marks.drain(..).filter(|_| happened) {
            self.put(unit, mark);
        }
        self.op_marks = marks;
    }

    fn compare(&mut self, delivery: u32, read: &DeliverRow, mark: Mark, internal: bool) {
        let skipped = if read.position < mark.next {
            None
        } else {
            let Some(index) = self.left_out(read.unit, mark.next, read.position) else { return };
            Some(index)
        };
        // A step from where the reader was told to be is no step within the operation.
        let internal = internal && self.analysis.history.deliver_row(mark.since).is_some();
        if internal && self.excused(read) {
            return;
        }
        let (unit, since, expected, assigned) = (read.unit, mark.since, mark.next, self.by_hand);
        self.steps.push(Step { unit, delivery, since, expected, skipped, internal, assigned });
    }

    /// The first record between that somebody read and that had to be there.
    fn left_out(&self, unit: UnitId, from: u64, to: u64) -> Option<u32> {
        let log = &self.analysis.units[unit.index()];
        let start = log.places.partition_point(|place| place.position < from);
        let places = log.places[start..].iter().take_while(|place| place.position < to);
        let index =
            places.enumerate().find(|(_, place)| self.analysis.had_to_be_read(place)).map(|(index, _)| index);
        index.map(|index| (start + index) as u32)
    }

    /// Whether the reader was told about the unit during the operation of this delivery.
    fn excused(&self, read: &DeliverRow) -> bool {
        let history = self.analysis.history;
        let (from, to) = interval(history, read);
        let mut during = self.told.iter().map(|note| &history.notes()[*note as usize]);
        during.any(|(event, note)| {
            (from..=to).contains(event)
                && match note {
                    Observation::Assigned { units, .. } => units.iter().any(|(unit, _)| *unit == read.unit),
                    Observation::Revoked(units) | Observation::Lost(units) => units.contains(&read.unit),
                    _ => false,
                }
        })
    }
}

/// The first and the last event of the operation of a delivery.
fn interval(history: &History, read: &DeliverRow) -> (u32, u32) {
    let Some(poll) = read.poll() else { return (read.event, read.event) };
    let poll = &history.polls()[history.poll_row(poll) as usize];
    match poll.txn() {
        Some(txn) => (txn.0, history.txns()[history.txn_row(txn) as usize].completion().unwrap_or(u32::MAX)),
        None => (poll.invoke.0, poll.completion().unwrap_or(u32::MAX)),
    }
}

impl Analysis<'_> {
    /// By process: whether its group moves it and nobody wrote down how, for it subscribed and was never assigned a unit.
    /// What it reads in two operations says nothing of what lies between.
    pub(crate) fn unwatched(&self) -> Vec<bool> {
        let mut unwatched = vec![false; self.history.process_count()];
        let mut assigned = unwatched.clone();
        for (event, note) in self.history.notes() {
            let process = self.history.process_of(*event).index();
            match note {
                Observation::Subscribed { .. } => unwatched[process] = true,
                Observation::Assigned { group: Some(_), .. } => assigned[process] = true,
                _ => {}
            }
        }
        unwatched.iter().zip(assigned).map(|(unwatched, assigned)| *unwatched && !assigned).collect()
    }

    /// Whether a reader that passes a place must be handed its record: somebody was, it was not aborted, and nothing
    /// may have taken it away.
    pub(crate) fn had_to_be_read(&self, place: &Place) -> bool {
        let lasting = |row: u32| self.fates[row as usize] != Fate::Failed && !self.may_be_gone(row);
        place.read().is_some() && place.send().is_some_and(lasting)
    }
}
