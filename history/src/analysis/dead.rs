//! What a bus gives up, and what it puts into the dead-letter topic by itself (`dead_lettering`).
//!
//! A message is *exhausted* when the bus says so (an advisory at its place), or when a consumer terminated it and the bus
//! confirmed that. A *copy* is a read of a record in the dead-letter topic although it was sent to another topic: where
//! the bus dead-letters by itself, no client sends an entry.

use super::{UnitLog, values::Writers};
use crate::history::{DeliverRow, History, Observation, Settlement, Status, TopicId, UnitId};
use std::collections::BTreeMap;

/// A record in the dead-letter topic that the bus put there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeadCopy {
    /// The row of the record's send.
    pub(crate) cause: u32,
    /// Where it stands.
    pub(crate) unit: UnitId,
    /// Its position there.
    pub(crate) position: u64,
    /// The first read of it.
    pub(crate) event: u32,
}

/// The dead-letter topic that the bus itself fills, if it does.
pub(crate) fn own_dlq(history: &History) -> Option<TopicId> {
    let configuration = &history.meta.configuration;
    let dlq = configuration.dlq.as_deref().filter(|_| configuration.dead_lettering.is_some())?;
    history.find_topic(dlq)
}

/// Whether a read of a send's record is of a copy in the dead-letter topic. `own_dlq`: the one that the bus fills.
pub(crate) fn is_copy(history: &History, own_dlq: Option<TopicId>, read: &DeliverRow, send: u32) -> bool {
    own_dlq.is_some_and(|dlq| {
        history.unit_topic(read.unit) == dlq && history.sends()[send as usize].topic != dlq
    })
}

/// Every copy, once for each place, in the order in which they were read.
pub(crate) fn copies(history: &History, writers: &Writers) -> Vec<DeadCopy> {
    let own_dlq = own_dlq(history);
    if own_dlq.is_none() {
        return Vec::new();
    }
    let mut first: BTreeMap<(UnitId, u64, u32), u32> = BTreeMap::new();
    for read in history.delivers() {
        let send = read.value().and_then(|value| writers.of(value));
        if let Some(send) = send.filter(|send| is_copy(history, own_dlq, read, *send)) {
            first.entry((read.unit, read.position, send)).or_insert(read.event);
        }
    }
    let copy = |((unit, position, cause), event)| DeadCopy { cause, unit, position, event };
    let mut copies: Vec<DeadCopy> = first.into_iter().map(copy).collect();
    copies.sort_by_key(|copy| copy.event);
    copies
}

/// The records that were exhausted, by the rows of their sends, with the first event that says so.
pub(crate) fn exhausted(history: &History, units: &[UnitLog], writers: &Writers) -> BTreeMap<u32, u32> {
    let advised = history.notes().iter().filter_map(|(event, note)| match note {
        Observation::Advisory { unit, position, .. } => Some((*event, *unit, *position)),
        _ => None,
    });
    let advised = advised.flat_map(|(event, unit, position)| {
        let places = units[unit.index()].between(position, position.saturating_add(1));
        places.iter().filter_map(move |place| Some((place.send()?, event)))
    });
    let confirmed = |how, status| how == Settlement::Term && status == Status::Ok;
    let terms = history.settles().iter().filter(|one| confirmed(one.how, one.status)).filter_map(|one| {
        let read = &history.delivers()[one.delivery as usize];
        Some((writers.of(read.value()?)?, one.completion()?))
    });
    let mut exhausted: BTreeMap<u32, u32> = BTreeMap::new();
    for (row, event) in advised.chain(terms) {
        exhausted.entry(row).and_modify(|known| *known = event.min(*known)).or_insert(event);
    }
    exhausted
}
