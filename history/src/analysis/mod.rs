//! The shared analysis: one pass over a history that all checks are pure functions of.
//!
//! Writers by value, the set-valued log of each unit, the unit of every send, what each logical consumer did, the
//! entries of the dead-letter topic, and what befell the run. Dense vectors throughout, a few sorts of runs that
//! are sorted already: about linear in the events.

mod buckets;
mod circles;
mod consumption;
mod dead;
mod deletions;
mod facts;
mod fates;
mod gone;
mod grid;
mod messages;
mod places;
mod reading;
mod values;
mod walk;
mod words;

pub(crate) use buckets::Buckets;
pub(crate) use circles::{Circle, Circles};
pub(crate) use consumption::commits_in_force;
pub use consumption::{Consumer, Touch};
pub(crate) use dead::{DeadCopy, own_dlq};
pub(crate) use deletions::{Deletions, handed_before};
pub use facts::Facts;
pub use fates::Fate;
pub(crate) use grid::Grid;
pub(crate) use messages::{Messages, before};
pub use places::{Place, UnitLog};
pub use reading::Step;
pub(crate) use reading::{operation, operation_end};
pub(crate) use walk::{Turn, walk};
pub(crate) use words::{short, span};

use crate::{
    checks::{Lost, Outage, outages},
    history::{DeliverRow, History, MessageId, Observation, SendRow, TopicId, UnitId},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::OnceLock,
};
pub(crate) use values::Writers;

/// An entry of the dead-letter topic: a send to it that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DlqEntry {
    /// The row of the send to the dead-letter topic.
    pub send: u32,
    /// The row of the send of the record that was dead-lettered, if there is one.
    pub cause: Option<u32>,
}

/// See the module.
#[derive(Debug)]
pub struct Analysis<'h> {
    /// The history.
    pub history: &'h History,
    /// What befell the run.
    pub facts: Facts,
    /// Each unit's log, by the unit's number.
    pub units: Vec<UnitLog>,
    /// The units by name: numbers depend on who was named first, and a judgement must not.
    pub order: Vec<UnitId>,
    /// Whether a read that succeeded was handed a send's record, by its row.
    pub seen: Vec<bool>,
    /// What became of each send, by its row.
    pub fates: Vec<Fate>,
    /// What became of each transaction, by its row.
    pub txn_fates: Vec<Fate>,
    /// The unit of each send as far as anybody knows, by its row.
    pub unit_of: Vec<Option<UnitId>>,
    /// The first place in the log of each send's record: (unit, place), read or else only acknowledged.
    pub first_place: Vec<Option<(UnitId, u32)>>,
    /// Where each send's record stands in the log, by its row: the position of its first place, unless that is the ack
    /// of a record that is not there.
    stands: Vec<u64>,
    /// A dense number for each producer session, by the send's row.
    pub session_of: Vec<u32>,
    /// How many producer sessions there are.
    pub sessions: u32,
    /// The logical consumers.
    pub consumers: Vec<Consumer>,
    /// The dead-letter topic, if it is configured and was used.
    pub dlq: Option<TopicId>,
    /// Its entries, in the order in which they were sent.
    pub dlq_entries: Vec<DlqEntry>,
    /// What the bus itself put into the dead-letter topic, in the order in which it was read.
    pub(crate) dead_copies: Vec<DeadCopy>,
    /// The records that were exhausted, by the rows of their sends, with the first event that says so.
    pub(crate) exhausted: BTreeMap<u32, u32>,
    /// Two sends of one value, as rows: such a history cannot be judged.
    pub clash: Option<(u32, u32)>,
    /// Where readers left records out or went back, in the order of the deliveries.
    pub steps: Vec<Step>,
    /// The events with which phases began, in order.
    phases: Vec<u32>,
    /// The messages of queues.
    pub(crate) messages: Messages,
    writers: Writers,
    gone: Vec<bool>,
    /// What administrators deleted.
    pub(crate) deletions: Deletions,
    /// The circles among transactions, from when the first check asks for them.
    circles: OnceLock<Circles>,
    /// What is lost, from when the first check asks for it.
    lost: OnceLock<Lost>,
    /// The longest outage of each unit, from when somebody first asks for it.
    outages: OnceLock<Vec<Outage>>,
    /// The first send of each message id in each topic. Only asked, never walked.
    message_ids: HashMap<(TopicId, MessageId), u32>,
}

impl<'h> Analysis<'h> {
    /// Analyses a history.
    #[must_use]
    pub fn new(history: &'h History) -> Self {
        let (writers, clash) = Writers::new(history.sends());
        let seen = fates::seen(history, &writers);
        let txn_fates = fates::of_txns(history, &seen);
        let fates = fates::of_sends(history, &txn_fates);
        let mut units = places::logs(history, &writers, &seen, &fates);
        for (event, note) in history.notes() {
            if let Observation::Drain(drain) = note {
                units[drain.unit.index()].drained(*event, *drain);
            }
        }
        let order = order(history);
        let first_place = first_places(history, &units, &order);
        let stands = standings(&units, &first_place);
        let unit_of = units_of_sends(history, &first_place);
        let (session_of, sessions) = sessions(history);
        let dlq = history.meta.configuration.dlq.as_deref().and_then(|name| history.find_topic(name));
        let facts = Facts::of(history);
        let gone = gone::records(history, &units, &fates, facts.clock_bound);
        let mut analysis = Self {
            deletions: Deletions::of(history, &unit_of),
            facts,
            consumers: consumption::consumers(history, &writers),
            dlq_entries: dlq
                .map(|dlq| dlq_entries(history, &writers, &seen, &fates, dlq))
                .unwrap_or_default(),
            dead_copies: dead::copies(history, &writers),
            exhausted: dead::exhausted(history, &units, &writers),
            history,
            units,
            order,
            seen,
            fates,
            txn_fates,
            circles: OnceLock::new(),
            lost: OnceLock::new(),
            outages: OnceLock::new(),
            phases: messages::phases(history),
            messages: Messages::new(history),
            message_ids: message_ids(history),
            unit_of,
            first_place,
            stands,
            session_of,
            sessions,
            dlq,
            clash,
            steps: Vec::new(),
            writers,
            gone,
        };
        analysis.steps = reading::steps(&analysis);
        analysis
    }

    /// Whether a record may be gone by right: compacted, older than it may become, or deleted by an administrator.
    #[must_use]
    pub fn may_be_gone(&self, row: u32) -> bool {
        self.gone.get(row as usize).copied().unwrap_or_default() || self.deletions.took(row).is_some()
    }

    /// The row of the send that wrote `value`.
    #[must_use]
    pub fn writer(&self, value: u64) -> Option<u32> {
        self.writers.of(value)
    }

    /// Where a send's record stands in the log: unit and position.
    #[must_use]
    pub fn stands(&self, row: u32) -> Option<(UnitId, u64)> {
        let (unit, _) = self.first_place[row as usize]?;
        Some((unit, self.stands[row as usize])).filter(|(_, position)| *position != u64::MAX)
    }

    /// A send by its row.
    #[must_use]
    pub fn send(&self, row: u32) -> &'h SendRow {
        &self.history.sends()[row as usize]
    }

    /// Whether a send happened, for good: acknowledged, and its transaction, if any, committed.
    #[must_use]
    pub fn happened(&self, row: u32) -> bool {
        self.fates[row as usize] == Fate::Happened
    }

    /// The circles among transactions.
    pub(crate) fn circles(&self) -> &Circles {
        self.circles.get_or_init(|| Circles::of(self))
    }

    /// The records that are lost or were never seen.
    pub(crate) fn lost(&self) -> &Lost {
        self.lost.get_or_init(|| Lost::of(self))
    }

    /// The longest outage of each unit that was sent to on a schedule.
    pub(crate) fn outages(&self) -> &[Outage] {
        self.outages.get_or_init(|| outages(self))
    }

    /// Whether a delivery belongs to a read that succeeded.
    #[must_use]
    pub fn read_happened(&self, read: &DeliverRow) -> bool {
        fates::read_happened(self.history, read)
    }

    /// The earlier send of the same message for which the bus took this one: it answered `duplicate`, and its own
    /// record is not to be looked for.
    #[must_use]
    pub fn twin(&self, row: u32) -> Option<u32> {
        let send = self.send(row);
        let id = self.history.send_extra(row).message_id.filter(|_| send.duplicate)?;
        self.message_ids.get(&(send.topic, id)).copied().filter(|first| *first != row)
    }

    /// Every unit with its log, by name.
    pub fn logs(&self) -> impl Iterator<Item = (UnitId, &UnitLog)> {
        self.order.iter().map(|unit| (*unit, &self.units[unit.index()]))
    }

    /// Whether a send is part of the workload, not of dead-lettering.
    #[must_use]
    pub fn is_work(&self, send: &SendRow) -> bool {
        Some(send.topic) != self.dlq
    }

    /// The topics with a group's handler on them: (consumer, row) pairs to judge are those of its topics.
    pub(crate) fn work_of<'a>(
        &'a self,
        consumer: &'a Consumer,
    ) -> impl Iterator<Item = (u32, &'h SendRow)> + 'a {
        (0u32..).zip(self.history.sends()).filter(|(_, send)| consumer.reads[send.topic.index()])
    }

    /// Whether a record is poison: the plan said so, or a handler gave it up.
    #[must_use]
    pub fn is_poison(&self, row: u32) -> bool {
        self.send(row).poison || self.consumers.iter().any(|one| one.touches[row as usize].given_up > 0)
    }
}

fn message_ids(history: &History) -> HashMap<(TopicId, MessageId), u32> {
    let mut messages = HashMap::new();
    for (row, extra) in history.send_extras() {
        if let Some(id) = extra.message_id {
            messages.entry((history.sends()[*row as usize].topic, id)).or_insert(*row);
        }
    }
    messages
}

fn order(history: &History) -> Vec<UnitId> {
    let mut order: Vec<UnitId> = (0..history.unit_count() as u32).map(UnitId::from).collect();
    order.sort_by_cached_key(|unit| history.unit_name(*unit));
    order
}

/// The first place of each record: the lowest that was read, or else the acknowledged one.
fn first_places(history: &History, units: &[UnitLog], order: &[UnitId]) -> Vec<Option<(UnitId, u32)>> {
    let mut first: Vec<Option<(UnitId, u32)>> = vec![None; history.sends().len()];
    let read = |(unit, index): (UnitId, u32)| units[unit.index()].places[index as usize].read().is_some();
    for unit in order {
        for (place, index) in units[unit.index()].places.iter().zip(0u32..) {
            let Some(send) = place.send() else { continue };
            let known = &mut first[send as usize];
            if known.is_none_or(|known| place.read().is_some() && !read(known)) {
                *known = Some((*unit, index));
            }
        }
    }
    first
}

/// Where records stand: at their first places. An ack alone counts only behind all that was read and drained.
fn standings(units: &[UnitLog], first_place: &[Option<(UnitId, u32)>]) -> Vec<u64> {
    // What is read is there; of the rest, what lies behind this position may be.
    let seen_to = units.iter().map(|log| match log.complete_drain() {
        Some(_) => None,
        None => Some(log.bound().map_or(0, |bound| bound + 1)),
    });
    let seen_to: Vec<Option<u64>> = seen_to.collect();
    let stands = |(unit, index): (UnitId, u32)| {
        let place = &units[unit.index()].places[index as usize];
        let behind = || seen_to[unit.index()].is_some_and(|from| place.position >= from);
        (place.read().is_some() || behind()).then_some(place.position)
    };
    first_place.iter().map(|first| first.and_then(stands).unwrap_or(u64::MAX)).collect()
}

/// A send is in the unit that an ack or a reader named, or that it chose, or to which other records of its key
/// went. A unit that nobody learned stays unknown.
fn units_of_sends(history: &History, first_place: &[Option<(UnitId, u32)>]) -> Vec<Option<UnitId>> {
    let mut units: Vec<Option<UnitId>> = (history.sends().iter().zip(first_place))
        .map(|(send, first)| {
            let chosen = || send.partition().and_then(|partition| history.find_unit(send.topic, partition));
            first.map(|(unit, _)| unit).or_else(|| send.unit()).or_else(chosen)
        })
        .collect();
    if units.iter().any(Option::is_none) {
        let mut by_key = HashMap::new();
        for (send, unit) in history.sends().iter().zip(&units) {
            if let (Some(key), Some(unit)) = (send.key(), unit) {
                by_key.entry((send.topic, key)).or_insert(*unit);
            }
        }
        for (send, unit) in history.sends().iter().zip(&mut units) {
            if unit.is_none()
                && let Some(key) = send.key()
            {
                *unit = by_key.get(&(send.topic, key)).copied();
            }
        }
    }
    units
}

fn sessions(history: &History) -> (Vec<u32>, u32) {
    let mut known: Vec<Vec<(u32, u32)>> = vec![Vec::new(); history.process_count()];
    let mut next = 0;
    let list = history.sends().iter().map(|send| {
        let of_process = &mut known[send.process.index()];
        if let Some((_, number)) = of_process.iter().rev().find(|(session, _)| *session == send.session) {
            return *number;
        }
        of_process.push((send.session, next));
        next += 1;
        next - 1
    });
    let list = list.collect();
    (list, next)
}

fn dlq_entries(
    history: &History,
    writers: &Writers,
    seen: &[bool],
    fates: &[Fate],
    dlq: TopicId,
) -> Vec<DlqEntry> {
    let there = |row: u32| fates[row as usize] == Fate::Happened || seen[row as usize];
    (0u32..)
        .zip(history.sends())
        .filter(|(row, send)| send.topic == dlq && there(*row))
        .map(|(row, send)| DlqEntry { send: row, cause: send.cause().and_then(|cause| writers.of(cause)) })
        .collect()
}
