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
        inner: Vec::new(),
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

/// Where an operation under way came to in a unit. Two of one process may be under way at once.
#[derive(Clone, Copy)]
struct Inner {
    operation: u32,
    /// The event with which it ends.
    end: u32,
    unit: UnitId,
    mark: Mark,
}

struct Reader<'a, 'h> {
    analysis: &'a Analysis<'h>,
    /// By unit: where the reader is.
    marks: Vec<Option<Mark>>,
    /// The units that have marks.
    met: Vec<UnitId>,
    /// Where operations under way came to.
    inner: Vec<Inner>,
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
        self.inner.clear();
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

    /// The reader was told where it goes on, within its operations too.
    fn set(&mut self, unit: UnitId, mark: Option<Mark>) {
        self.put(unit, mark);
        self.inner.retain(|inner| inner.unit != unit);
    }

    fn put(&mut self, unit: UnitId, mark: Option<Mark>) {
        let known = &mut self.marks[unit.index()];
        if known.is_none() {
            self.met.push(unit);
        }
        *known = mark;
    }

    fn forget_unless(&mut self, keep: impl Fn(UnitId) -> bool) {
        let known = self.met.iter().copied().chain(self.inner.iter().map(|inner| inner.unit));
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
        let next = Mark { next: read.position.saturating_add(1), since: read.event };
        let outer = self.marks[read.unit.index()];
        let inner = read.poll().and_then(|_| self.come_to(read, next));
        // What was said last counts.
        let internal = inner.is_some_and(|inner| outer.is_none_or(|outer| inner.since >= outer.since));
        if read.poll().is_none() || self.analysis.read_happened(read) {
            self.put(read.unit, Some(next));
        }
        let mark = if internal { inner } else { outer };
        if let Some(mark) = mark.filter(|mark| mark.next != read.position) {
            self.compare(row, read, mark, internal);
        }
    }

    /// The operation of a delivery comes to a place: where it was in the unit before, if it was there.
    fn come_to(&mut self, read: &DeliverRow, mark: Mark) -> Option<Mark> {
        let id = operation(self.analysis.history, read);
        let same = |inner: &&mut Inner| (inner.operation, inner.unit) == (id, read.unit);
        if let Some(inner) = self.inner.iter_mut().find(same) {
            return Some(std::mem::replace(&mut inner.mark, mark));
        }
        self.inner.retain(|inner| inner.end > read.event);
        let end = operation_end(self.analysis.history, id);
        self.inner.push(Inner { operation: id, end, unit: read.unit, mark });
        None
    }

    fn compare(&mut self, delivery: u32, read: &DeliverRow, mark: Mark, internal: bool) {
        let skipped = if read.position < mark.next {
            None
        } else {
            let Some(index) = self.left_out(read.unit, mark.next, read.position) else { return };
            Some(index)
        };
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
