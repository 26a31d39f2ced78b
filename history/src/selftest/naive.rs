//! What the naive versions share: facts about a history, each looked up anew from its definition.

use crate::history::{DeliverRow, Drain, History, Observation, SendRow, Status, UnitId};
use std::time::Duration;

/// A send by the value that it wrote.
pub(super) fn writer(history: &History, value: u64) -> Option<(u32, &SendRow)> {
    (0u32..).zip(history.sends()).find(|(_, send)| send.value == value)
}

/// How the transaction of an operation ended.
fn txn_status(history: &History, txn: crate::history::OpId) -> Status {
    history.txns().iter().find(|other| other.invoke == txn).expect("the transaction is there").status
}

/// Whether a read succeeded: without a poll, or with one that did, in no transaction or a committed one.
pub(super) fn read_ok(history: &History, read: &DeliverRow) -> bool {
    read.poll().is_none_or(|op| {
        let poll = history.polls().iter().find(|poll| poll.invoke == op).expect("the poll is there");
        poll.status == Status::Ok && poll.txn().is_none_or(|txn| txn_status(history, txn) == Status::Ok)
    })
}

/// Whether a read that succeeded was handed this record.
pub(super) fn seen(history: &History, send: &SendRow) -> bool {
    history.delivers().iter().any(|read| read.value() == Some(send.value) && read_ok(history, read))
}

/// How a transaction ended, as far as anybody can tell: readers of committed records prove a commit.
pub(super) fn txn_outcome(history: &History, txn: crate::history::OpId) -> Status {
    let status = txn_status(history, txn);
    let proved = || {
        let mut own = history.sends().iter().filter(|send| send.txn() == Some(txn));
        history.meta.configuration.reads_committed() && own.any(|send| seen(history, send))
    };
    if status == Status::Unknown && proved() { Status::Ok } else { status }
}

/// How a send ended, its transaction considered.
pub(super) fn outcome(history: &History, send: &SendRow) -> Status {
    match (send.status, send.txn()) {
        (Status::Fail, _) => Status::Fail,
        (status, None) => status,
        (_, Some(txn)) => txn_outcome(history, txn),
    }
}

/// Whether a send's own position counts: it happened, or its record was read.
pub(super) fn placed(history: &History, send: &SendRow) -> Option<(UnitId, u64)> {
    let counts = match outcome(history, send) {
        Status::Ok => true,
        Status::Fail => false,
        Status::Unknown => seen(history, send),
    };
    // The ack of a repeated message names the place of the first copy.
    let repeated = send.duplicate && {
        let row = history.sends().iter().position(|other| other.invoke == send.invoke).expect("it is there");
        history.send_extra(row as u32).message_id.is_some()
    };
    send.unit().zip(send.position()).filter(|_| counts && !repeated)
}

/// The drain of a unit: the last whole one, or else the first through a node that finished, or the last of those.
pub(super) fn drain(history: &History, unit: UnitId) -> Option<(u32, Drain)> {
    let all: Vec<(u32, Drain)> = history
        .notes()
        .iter()
        .filter_map(|(event, note)| match note {
            Observation::Drain(drain) if drain.unit == unit => Some((*event, *drain)),
            _ => None,
        })
        .collect();
    let whole = all.iter().rev().find(|(_, drain)| drain.node.is_none());
    whole.or_else(|| all.iter().find(|(_, drain)| drain.complete)).or(all.last()).copied()
}

/// The finished drain of a unit.
pub(super) fn finished(history: &History, unit: UnitId) -> Option<Drain> {
    drain(history, unit).map(|(_, drain)| drain).filter(|drain| drain.complete)
}

/// The last position of a unit up to which it is known what is there: read by a read that succeeded, or drained.
pub(super) fn bound(history: &History, unit: UnitId) -> Option<u64> {
    let reads = history.delivers().iter().filter(|read| read.unit == unit && read_ok(history, read));
    let drained = finished(history, unit).and_then(|drain| drain.to.checked_sub(1));
    reads.map(|read| read.position).max().max(drained)
}

/// What stands at each place of a unit by anybody's account: (position, value), sorted, each once.
pub(super) fn places(history: &History, unit: UnitId) -> Vec<(u64, Option<u64>)> {
    let acks = history.sends().iter().filter_map(|send| {
        placed(history, send)
            .filter(|(other, _)| *other == unit)
            .map(|(_, position)| (position, Some(send.value)))
    });
    let reads = history.delivers().iter().filter(|read| read.unit == unit);
    let mut list: Vec<(u64, Option<u64>)> =
        acks.chain(reads.map(|read| (read.position, read.value()))).collect();
    list.sort_by_key(|(position, value)| (*position, value.unwrap_or(u64::MAX)));
    list.dedup();
    list
}

/// All units, by name.
pub(super) fn units(history: &History) -> Vec<UnitId> {
    let mut units: Vec<UnitId> = (0..history.unit_count() as u32).map(UnitId::from).collect();
    units.sort_by_key(|unit| history.unit_name(*unit));
    units
}

/// The earlier send of the same message to the same topic, for a send that was answered `duplicate`.
pub(super) fn twin(history: &History, row: u32) -> Option<u32> {
    let send = &history.sends()[row as usize];
    let id = history.send_extra(row).message_id?;
    let same = |other: u32| history.send_extra(other).message_id == Some(id);
    let first = (0u32..)
        .zip(history.sends())
        .find(|(other, one)| one.topic == send.topic && same(*other))
        .map(|(other, _)| other)?;
    (send.duplicate && first != row).then_some(first)
}

/// Whether anybody, by whatever read, was handed a send's record.
pub(super) fn was_read(history: &History, send: &SendRow) -> bool {
    history.delivers().iter().any(|read| read.value() == Some(send.value))
}

/// The first place of a record: the lowest at which it was read, or else at which it was acknowledged; units by name.
pub(super) fn first_place(history: &History, send: &SendRow) -> Option<(UnitId, u64)> {
    let mut read: Vec<(UnitId, u64)> = Vec::new();
    for unit in units(history) {
        let here =
            history.delivers().iter().filter(|read| read.unit == unit && read.value() == Some(send.value));
        read.extend(here.map(|read| read.position).min().map(|position| (unit, position)));
    }
    read.first().copied().or_else(|| placed(history, send))
}

/// The unit of a send: where its record was met, where it was acknowledged, which it chose, or to which the first
/// send of its key to that topic went.
pub(super) fn unit_of(history: &History, row: u32) -> Option<UnitId> {
    let own = |send: &SendRow| {
        let chosen = send.partition().and_then(|partition| history.find_unit(send.topic, partition));
        first_place(history, send).map(|(unit, _)| unit).or_else(|| send.unit()).or(chosen)
    };
    let send = &history.sends()[row as usize];
    own(send).or_else(|| {
        let key = send.key()?;
        history
            .sends()
            .iter()
            .filter(|other| (other.topic, other.key()) == (send.topic, Some(key)))
            .find_map(own)
    })
}

/// The last deletion of an administrator that a record may have gone by.
pub(super) fn deleted(history: &History, row: u32) -> Option<u32> {
    let send = &history.sends()[row as usize];
    let unit = match (send.unit(), send.position()) {
        (Some(unit), Some(_)) => Some(unit),
        _ => unit_of(history, row),
    };
    let took = |(of, before): &(UnitId, Option<u64>)| {
        let there = unit.map_or(history.unit_topic(*of) == send.topic, |unit| unit == *of);
        let kept = matches!((before, send.position()), (Some(before), Some(at)) if at >= *before);
        there && !kept
    };
    let by = history.notes().iter().filter_map(|(event, note)| match note {
        Observation::Changed { deleted, .. } => deleted.iter().any(took).then_some(*event),
        _ => None,
    });
    by.filter(|event| *event > send.invoke.0).max()
}

/// Whether a record may be gone by right: compacted, aged, expired, or deleted.
pub(super) fn may_be_gone(history: &History, row: u32) -> bool {
    let send = &history.sends()[row as usize];
    if deleted(history, row).is_some() {
        return true;
    }
    let facts = history.meta.configuration.topic(history.topic_name(send.topic));
    let extra = history.send_extra(row);
    let invoked = history.time(send.invoke.0);
    let age = history.end().since(extra.timestamp.unwrap_or(invoked).min(invoked))
        + clock_bound(history).unwrap_or_default();
    let aged = facts.retention.is_some_and(|retention| facts.deletes() && age >= retention);
    let expired = extra.ttl.or(facts.ttl).is_some_and(|ttl| age >= ttl);
    aged || expired || (facts.compacts() && (extra.tombstone || superseded(history, send)))
}

/// Whether a later record of its key, not aborted, stands behind some place of a record.
fn superseded(history: &History, send: &SendRow) -> bool {
    let Some(key) = send.key() else { return false };
    units(history).into_iter().any(|unit| {
        let places = places(history, unit);
        let own = places.iter().filter(|(_, value)| *value == Some(send.value));
        let same_key = places.iter().filter_map(|(position, value)| {
            let (_, other) = writer(history, (*value)?)?;
            (other.key() == Some(key) && outcome(history, other) != Status::Fail)
                .then_some((*position, other.value))
        });
        let latest = same_key.max();
        own.into_iter().any(|(position, _)| {
            latest.is_some_and(|(at, value)| value != send.value && (at, value) > (*position, send.value))
        })
    })
}

/// How far clocks may be off: the widest bound that is said anywhere.
pub(super) fn clock_bound(history: &History) -> Option<Duration> {
    let notes = history.notes().iter().filter_map(|(_, note)| match note {
        Observation::ClockBound(bound) => Some(*bound),
        _ => None,
    });
    notes.chain(history.meta.configuration.clock_bound).max()
}

/// Whether a reader's group moves it and nobody wrote down how: it subscribed, and was never assigned anything.
pub(super) fn unwatched(history: &History, read: &DeliverRow) -> bool {
    let told = |pick: fn(&Observation) -> bool| {
        history.notes().iter().any(|(event, note)| pick(note) && history.process_of(*event) == read.process)
    };
    read.group().is_some()
        && told(|note| matches!(note, Observation::Subscribed { .. }))
        && !told(|note| matches!(note, Observation::Assigned { group: Some(_), .. }))
}
