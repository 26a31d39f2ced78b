//! The tests of the checks of queues.

use super::{Agree, Key, Row, clean_queue, naive, planted_in_queues as plant, script::Script};
use crate::{
    History, Kind,
    checks::Case,
    guarantees::Reading,
    history::{
        Advice, DeliverRow, GroupId, MessageId, Observation, Phase, ProcessId, SendRow, SettleRow,
        Settlement, Status, TopicId, UnitId,
    },
    selftest::Dice,
};
use squall_bus::Time;
use std::time::Duration;

pub(super) const ROWS: &[Row] = &[
    row(Kind::DeliveredAfterAck, delivered_after_ack, &[plant::forget_an_ack]),
    row(Kind::EarlyRedelivery, early_redelivery, &[plant::come_again_at_once]),
    row(Kind::OverMaxDeliver, over_max_deliver, &[plant::count_too_far]),
    row(Kind::TwoHolders, two_holders, &[plant::hand_to_another]),
    row(Kind::OverAckPending, over_ack_pending, &[plant::hand_out_more]),
    row(Kind::ExpiredDelivered, expired_delivered, &[plant::hand_out_the_dead]),
    row(Kind::TtlEarly, ttl_early, &[plant::expire_early]),
    row(Kind::DedupFalseAccept, dedup_false_accept, &[plant::store_twice]),
    row(Kind::DedupFalseReject, dedup_false_reject, &[plant::reject_the_only_copy]),
    row(Kind::TotalQueue, total_queue, &[plant::lose_a_message, plant::invent_a_message]),
    Row { clean: super::clean::groups, ..row(Kind::SetFull, set_full, &[plant::lose_what_was_read]) },
];

const fn row(
    kind: Kind,
    naive: fn(&History) -> Vec<Key>,
    plant: &'static [fn(&mut Script, &mut Dice) -> bool],
) -> Row {
    Row { kind, naive, agree: Agree::Exactly, clean: clean_queue::queue, plant, forbidden: true }
}

fn key(history: &History, read: &DeliverRow, case: Case) -> Key {
    let send = read.value().and_then(|value| naive::writer(history, value)).map(|(row, _)| row);
    Key { unit: Some(read.unit), position: Some(read.position), send, case }
}

/// The bound on the clocks: the widest that anybody said.
fn clocks(history: &History) -> Option<Duration> {
    let said = history.notes().iter().filter_map(|(_, note)| match note {
        Observation::ClockBound(bound) => Some(*bound),
        _ => None,
    });
    said.chain(history.meta.configuration.clock_bound).max()
}

/// Whether anything makes a queue of it: otherwise deliveries are no messages.
fn is_queue(history: &History) -> bool {
    let configuration = &history.meta.configuration;
    let acked = |note: &Observation| matches!(note, Observation::Acked { .. });
    configuration.exclusive
        || configuration.ack_wait.is_some()
        || configuration.max_deliver.is_some()
        || configuration.max_ack_pending.is_some()
        || !history.settles().is_empty()
        || history.notes().iter().any(|(_, note)| acked(note))
}

fn same_message(one: &DeliverRow, two: &DeliverRow) -> bool {
    let of = |read: &DeliverRow| (read.group(), read.unit, read.position, read.value());
    one.group().is_some() && of(one) == of(two)
}

/// The earlier deliveries of a message, the latest first.
fn earlier<'h>(history: &'h History, read: &'h DeliverRow) -> impl Iterator<Item = &'h DeliverRow> {
    let queue = is_queue(history);
    let before = history.delivers().iter().rev().filter(|other| other.event < read.event);
    before.filter(move |other| queue && same_message(other, read))
}

/// What a delivery was settled with, but for what failed.
fn settles<'h>(history: &'h History, read: &DeliverRow) -> impl Iterator<Item = &'h SettleRow> {
    let event = read.event;
    let own = move |settle: &&SettleRow| history.delivers()[settle.delivery as usize].event == event;
    history.settles().iter().filter(|settle| settle.status != Status::Fail).filter(own)
}

fn received(history: &History, read: &DeliverRow) -> Time {
    history.time(read.event)
}

fn row_of(history: &History, read: &DeliverRow) -> u32 {
    history.delivers().iter().position(|other| other.event == read.event).expect("it is there") as u32
}

fn deadline(history: &History, read: &DeliverRow) -> Option<Time> {
    history.deliver_extra(row_of(history, read)).deadline
}

/// When a delivery was handed out at the earliest, if it is known.
fn handed_out(history: &History, read: &DeliverRow) -> Option<Time> {
    let minus = |time: Time, span: Duration| Time(time.0.saturating_sub(span.as_nanos() as u64));
    let begins = |note: &Observation| matches!(note, Observation::Phase(phase) if *phase != Phase::Drained);
    let phase = || {
        let notes = history.notes().iter().rev().filter(|(event, _)| read.drained() && *event < read.event);
        { notes }.find(|(_, note)| begins(note)).map(|(event, _)| history.time(*event))
    };
    let told = deadline(history, read).zip(history.meta.configuration.ack_wait);
    let told = told.map(|(deadline, wait)| minus(deadline, wait));
    told.or_else(|| read.poll().map(|poll| history.time(poll.0))).or_else(phase)
}

/// The same; if nobody knows, when the record was sent, or the beginning.
fn at_least(history: &History, read: &DeliverRow) -> Time {
    let sent = read.value().and_then(|value| naive::writer(history, value));
    let sent = || sent.map_or(Time(0), |(_, send)| history.time(send.invoke.0));
    handed_out(history, read).unwrap_or_else(sent)
}

fn began_after(history: &History, late: &DeliverRow, early: &DeliverRow) -> bool {
    let deadlines = deadline(history, late).zip(deadline(history, early));
    late.poll().is_some_and(|poll| poll.0 > early.event)
        || deadlines.is_some_and(|(late, early)| late > early)
}

/// When the time for the ack of a delivery that was handed out at `start` is over, as of an event.
fn over(history: &History, read: &DeliverRow, start: Time, wait: Duration, event: u32) -> Time {
    let extended = settles(history, read)
        .filter(|one| (one.how, one.status) == (Settlement::Extend, Status::Ok) && one.invoke.0 < event);
    let latest = extended.map(|one| history.time(one.invoke.0)).chain([start]).max();
    latest.unwrap_or(start) + wait
}

fn delivered_after_ack(history: &History) -> Vec<Key> {
    let clock = history.meta.configuration.ack_wait.zip(clocks(history));
    let again = |read: &DeliverRow| {
        if read.group().is_none() || !is_queue(history) {
            return None;
        }
        let message: Vec<&DeliverRow> =
            history.delivers().iter().filter(|other| same_message(other, read)).collect();
        let acks =
            || message.iter().flat_map(|one| settles(history, one)).filter(|one| one.how == Settlement::Ack);
        let confirmed = acks().filter(|one| one.status == Status::Ok).filter_map(SettleRow::completion);
        let confirmed = confirmed.min().filter(|ack| *ack < read.event);
        let loose = acks().filter(|one| one.status == Status::Unknown).map(|one| one.invoke.0).min();
        let Some(ack) = confirmed else {
            return loose.filter(|ack| *ack < read.event).map(|_| Case::Unconfirmed);
        };
        let reason = |other: &DeliverRow| {
            let nak = |one: &SettleRow| matches!(one.how, Settlement::Nak { .. }) && one.invoke.0 < ack;
            let late = clock.is_none_or(|(wait, bound)| {
                over(history, other, at_least(history, other), wait, ack) <= history.time(ack) + bound
            });
            late || settles(history, other).any(nak)
        };
        let polled_after = read.poll().is_some_and(|poll| poll.0 > ack);
        let on_its_way = !polled_after && message.iter().any(|other| other.event < ack && reason(other));
        Some(if on_its_way { Case::OnItsWay } else { Case::Plain })
    };
    let reads = history.delivers().iter();
    reads.filter_map(|read| again(read).map(|case| key(history, read, case))).collect()
}

fn early_redelivery(history: &History) -> Vec<Key> {
    let wait = history.meta.configuration.ack_wait;
    let (Some(wait), Some(bound)) = (wait, clocks(history)) else { return Vec::new() };
    let early = |read: &DeliverRow| {
        let first = earlier(history, read).next()?;
        let before = || settles(history, first).filter(|one| one.invoke.0 < read.event);
        if before().any(|one| matches!(one.how, Settlement::Ack | Settlement::Term)) {
            return None;
        }
        let known = handed_out(history, first).filter(|_| began_after(history, read, first));
        let start = known.unwrap_or(received(history, first));
        let naks = before().filter_map(|one| match one.how {
            Settlement::Nak { delay } => Some(history.time(one.invoke.0) + delay.unwrap_or_default()),
            _ => None,
        });
        let due = naks.chain([over(history, first, start, wait, read.event)]).min()?;
        let case = if known.is_some() { Case::Plain } else { Case::Undated };
        (received(history, read) + bound < due).then(|| key(history, read, case))
    };
    history.delivers().iter().filter_map(early).collect()
}

fn over_max_deliver(history: &History) -> Vec<Key> {
    let Some(limit) = history.meta.configuration.max_deliver else { return Vec::new() };
    let over = |read: &DeliverRow| {
        let later =
            history.delivers().iter().any(|other| other.event > read.event && same_message(other, read));
        if read.group().is_none() || later {
            return None;
        }
        let all = || earlier(history, read).chain([read]);
        let told = all().filter_map(DeliverRow::attempt).max().unwrap_or(0);
        let count = told.max(all().count() as u32);
        let case = if count == limit + 1 { Case::ByOne } else { Case::Plain };
        (count > limit).then(|| key(history, read, case))
    };
    history.delivers().iter().filter_map(over).collect()
}

/// Whether a client died or gave a unit up between two events.
fn left(history: &History, process: ProcessId, unit: UnitId, from: u32, to: u32) -> bool {
    history.notes().iter().any(|(event, note)| {
        (from..to).contains(event)
            && history.process_of(*event) == process
            && match note {
                Observation::Crashed => true,
                Observation::Lost(units) | Observation::Revoked(units) => units.contains(&unit),
                _ => false,
            }
    })
}

fn two_holders(history: &History) -> Vec<Key> {
    let configuration = &history.meta.configuration;
    let bound = clocks(history);
    if !configuration.exclusive || (configuration.ack_wait.is_some() && bound.is_none()) {
        return Vec::new();
    }
    let held = |first: &DeliverRow, read: &DeliverRow| {
        let let_go = |one: &SettleRow| one.how != Settlement::Extend && one.invoke.0 < read.event;
        let left = left(history, first.process, first.unit, first.event, read.event);
        if first.process == read.process || left || settles(history, first).any(let_go) {
            return None;
        }
        let Some((wait, bound)) = configuration.ack_wait.zip(bound) else { return Some(Case::Plain) };
        let known = handed_out(history, first).filter(|_| began_after(history, read, first));
        let start = known.unwrap_or(received(history, first));
        let held = received(history, read) + bound < over(history, first, start, wait, read.event);
        held.then(|| if known.is_some() { Case::Plain } else { Case::Undated })
    };
    let reads = history.delivers().iter();
    let twice = reads.filter_map(|read| {
        let case = earlier(history, read).find_map(|first| held(first, read))?;
        Some(key(history, read, case))
    });
    twice.collect()
}

fn over_ack_pending(history: &History) -> Vec<Key> {
    let configuration = &history.meta.configuration;
    let bound = clocks(history);
    let judged = configuration.ack_wait.is_none() || bound.is_some();
    let Some(limit) = configuration.max_ack_pending.filter(|_| judged) else { return Vec::new() };
    // Whether a message is pending just before an event: by its latest delivery, and what was done with any of them.
    let pending = |read: &DeliverRow, event: u32| {
        let later =
            |other: &DeliverRow| (read.event + 1..event).contains(&other.event) && same_message(other, read);
        let settled = |one: &SettleRow| {
            let own = &history.delivers()[one.delivery as usize];
            let lets_go = one.how != Settlement::Extend && one.status != Status::Fail;
            lets_go && same_message(own, read) && (read.event..event).contains(&one.invoke.0)
        };
        let alive = match configuration.ack_wait.zip(bound) {
            None => true,
            Some((wait, bound)) => {
                // An extension of any delivery that is pending keeps the message.
                let own = over(history, read, at_least(history, read), wait, event);
                let ends = earlier(history, read).map(|other| {
                    let extends = settles(history, other).any(|one| {
                        (one.how, one.status) == (Settlement::Extend, Status::Ok)
                            && (read.event..event).contains(&one.invoke.0)
                    });
                    if extends { over(history, other, at_least(history, other), wait, event) } else { own }
                });
                let end = ends.chain([own]).max().unwrap_or(own);
                Time(end.0.saturating_sub(bound.as_nanos() as u64)) > history.time(event)
            }
        };
        alive && !history.delivers().iter().any(later) && !history.settles().iter().any(settled)
    };
    let over = |read: &DeliverRow| {
        let group: GroupId = read.group()?;
        let all = history
            .delivers()
            .iter()
            .filter(|other| other.group() == Some(group) && other.event < read.event);
        let others = all.filter(|other| pending(other, read.event));
        let known = others.clone().any(|other| same_message(other, read));
        (!known && others.count() + 1 > limit as usize).then(|| key(history, read, Case::Plain))
    };
    history.delivers().iter().filter_map(over).collect()
}

fn life(history: &History, row: u32) -> Option<Duration> {
    let topic = history.topic_name(history.sends()[row as usize].topic);
    history.send_extra(row).ttl.or(history.meta.configuration.topic(topic).ttl)
}

fn expired_delivered(history: &History) -> Vec<Key> {
    let Some(bound) = clocks(history) else { return Vec::new() };
    let of = |(row, send): (u32, &SendRow)| {
        let reads = || history.delivers().iter().filter(|read| read.value() == Some(send.value));
        let first = reads().next()?;
        let acked = send.completion().filter(|_| send.acked()).map(|event| history.time(event));
        let end = acked.unwrap_or(received(history, first)) + life(history, row)? + bound;
        let late = || reads().filter(|read| received(history, read) > end);
        let certain = late().find(|read| handed_out(history, read).is_some_and(|start| start > end));
        match certain {
            Some(read) => Some(key(history, read, Case::Plain)),
            None => late().next().map(|read| key(history, read, Case::Undated)),
        }
    };
    (0u32..).zip(history.sends()).filter_map(of).collect()
}

fn ttl_early(history: &History) -> Vec<Key> {
    let Some(bound) = clocks(history) else { return Vec::new() };
    let of = |(row, send): (u32, &SendRow)| {
        let (unit, position) = send.unit().zip(send.position())?;
        let value = Some(send.value);
        let drained = history.delivers().iter().any(|read| read.drained() && read.value() == value);
        let settled = history.settles().iter().any(|one| {
            let final_ = matches!(one.how, Settlement::Ack | Settlement::Term);
            final_ && history.delivers()[one.delivery as usize].value() == value
        });
        let acked = history
            .notes()
            .iter()
            .any(|(_, note)| matches!(note, Observation::Acked { value: acked, .. } if *acked == send.value));
        let given_up = history.notes().iter().any(|(_, note)| match note {
            Observation::Advisory { unit: one, position: at, what, .. } => {
                (*one, *at) == (unit, position) && *what != Advice::Expired
            }
            _ => false,
        });
        let deleted = naive::deleted(history, row).is_some();
        let happened = naive::outcome(history, send) == Status::Ok && naive::twin(history, row).is_none();
        if !happened || deleted || drained || settled || acked || given_up {
            return None;
        }
        let end = history.time(send.invoke.0) + life(history, row)?;
        let end = Time(end.0.saturating_sub(bound.as_nanos() as u64));
        let said = history.notes().iter().find(|(_, note)| match note {
            Observation::Advisory { unit: one, position: at, what, .. } => {
                (*one, *at, *what) == (unit, position, Advice::Expired)
            }
            _ => false,
        });
        let drain = naive::drain(history, unit)
            .filter(|(_, drain)| drain.complete && (drain.from..drain.to).contains(&position));
        let mut gone = said.map(|(event, _)| *event).into_iter().chain(drain.map(|(event, _)| event));
        gone.any(|event| history.time(event) < end).then(|| Key::new(unit, position, row, Case::Plain))
    };
    (0u32..).zip(history.sends()).filter_map(of).collect()
}

fn id_of(history: &History, row: u32) -> Option<(TopicId, MessageId)> {
    Some((history.sends()[row as usize].topic, history.send_extra(row).message_id?))
}

fn dedup_false_accept(history: &History) -> Vec<Key> {
    let window = history.meta.configuration.dedup_window;
    let (Some(window), Some(bound)) = (window, clocks(history)) else { return Vec::new() };
    let stored = |row: u32| {
        let send = &history.sends()[row as usize];
        naive::seen(history, send) || (naive::outcome(history, send) == Status::Ok && !send.duplicate)
    };
    let twice = |(row, send): (u32, &SendRow)| {
        let id = id_of(history, row).filter(|_| stored(row))?;
        let first = (0..row).rev().find(|other| id_of(history, *other) == Some(id) && stored(*other))?;
        let place = naive::first_place(history, send);
        let read = || {
            let reads = history.delivers().iter();
            let here = reads
                .filter(|read| read.value() == Some(send.value) && Some((read.unit, read.position)) == place);
            here.map(|read| read.event).next()
        };
        let end = send.completion().filter(|_| send.acked()).or_else(read)?;
        let passed = history.time(end).since(history.time(history.sends()[first as usize].invoke.0));
        let (unit, position) =
            (place.map(|one| one.0).or(send.unit()), place.map(|one| one.1).or(send.position()));
        (passed + bound < window).then_some(Key { unit, position, send: Some(row), case: Case::Plain })
    };
    (0u32..).zip(history.sends()).filter_map(twice).collect()
}

fn dedup_false_reject(history: &History) -> Vec<Key> {
    let rejected = |(row, send): (u32, &SendRow)| {
        let id = id_of(history, row)?;
        let mut copies =
            (0u32..).zip(history.sends()).filter(|(other, _)| id_of(history, *other) == Some(id));
        let there = copies.any(|(_, copy)| naive::seen(history, copy));
        if there || !send.duplicate || naive::outcome(history, send) != Status::Ok {
            return None;
        }
        let beyond = send.unit().zip(send.position()).is_some_and(|(unit, position)| {
            naive::bound(history, unit).is_some_and(|bound| position <= bound)
        });
        let drained = send.unit().is_some_and(|unit| naive::finished(history, unit).is_some());
        let case = if beyond || drained { Case::Drained } else { Case::Plain };
        Some(Key { unit: send.unit(), position: send.position(), send: Some(row), case })
    };
    (0u32..).zip(history.sends()).filter_map(rejected).collect()
}

fn total_queue(history: &History) -> Vec<Key> {
    if !history.meta.configuration.exclusive {
        return Vec::new();
    }
    let foreign = history
        .delivers()
        .iter()
        .filter(|read| read.value().is_some_and(|value| naive::writer(history, value).is_none()));
    let mut found: Vec<Key> = foreign.map(|read| key(history, read, Case::Foreign)).collect();
    let dlq = history.meta.configuration.dlq.as_deref();
    for (row, send) in (0u32..).zip(history.sends()) {
        let out: Vec<&DeliverRow> =
            history.delivers().iter().filter(|read| read.value() == Some(send.value)).collect();
        let Some(last) = out.last() else {
            let happened = naive::outcome(history, send) == Status::Ok && naive::twin(history, row).is_none();
            let work = Some(history.topic_name(send.topic)) != dlq;
            if happened && work && !naive::may_be_gone(history, row) {
                let unit = naive::unit_of(history, row);
                let drained = unit.is_some_and(|unit| naive::finished(history, unit).is_some());
                let case = if drained { Case::Drained } else { Case::Plain };
                found.push(Key { unit, position: send.position(), send: Some(row), case });
            }
            continue;
        };
        if out.len() > 1 {
            found.push(key(history, last, Case::Repeated));
        } else if send.status == Status::Unknown {
            found.push(key(history, last, Case::Recovered));
        }
    }
    found
}

fn set_full(history: &History) -> Vec<Key> {
    let configuration = &history.meta.configuration;
    if configuration.exclusive {
        return Vec::new();
    }
    let of = |(row, send): (u32, &SendRow)| {
        let (unit, position) = naive::placed(history, send)?;
        let ack = send.completion()?;
        let happened = naive::outcome(history, send) == Status::Ok && naive::twin(history, row).is_none();
        let last_read = history
            .delivers()
            .iter()
            .rev()
            .find(|read| read.value() == Some(send.value) && naive::read_ok(history, read))?
            .event;
        let mut missed = Vec::new();
        for process in (0..history.process_count() as u32).map(ProcessId::from) {
            if process != ProcessId::DRAIN && configuration.reading == Reading::Share {
                continue;
            }
            missed.extend(passes(history, process, unit).into_iter().filter_map(|(from, to, event)| {
                let past = from <= position && position < to && event > ack;
                (past && !read_there(history, event, unit, position)).then_some(event)
            }));
        }
        // Whoever stands right on the place and reads another record there has not gone past it.
        let last = missed.iter().max().copied().filter(|_| happened && !naive::may_be_gone(history, row))?;
        let case = if last_read > last { Case::Stale } else { Case::Gone };
        Some(Key::new(unit, position, row, case))
    };
    (0u32..).zip(history.sends()).filter_map(of).collect()
}

/// The ranges of places that a reader went past without a record of them: (from, to, the event with which it did).
fn passes(history: &History, process: ProcessId, unit: UnitId) -> Vec<(u64, u64, u32)> {
    let drain = naive::finished(history, unit);
    let begins = |note: &Observation| match note {
        Observation::Assigned { units, .. } => units.iter().any(|(one, _)| *one == unit),
        Observation::Revoked(units) | Observation::Lost(units) => units.contains(&unit),
        Observation::Sought { unit: one, .. } | Observation::Reset { unit: one, .. } => *one == unit,
        Observation::Crashed => true,
        _ => false,
    };
    let mut list = Vec::new();
    // Where the reader goes on, and the lowest place that it could have been handed next.
    let mut next: Option<u64> = None;
    for event in 0..history.len() as u32 {
        if let Some(read) = history.delivers().iter().find(|read| read.event == event) {
            let node = history.deliver_extra(row_of(history, read)).node;
            let judged = (read.process, read.unit) == (process, unit) && naive::read_ok(history, read);
            let watched = read.drained() || !naive::unwatched(history, read);
            if !judged || !watched || (read.drained() && node.is_some()) {
                continue;
            }
            let first =
                drain.filter(|_| read.drained()).map_or(read.position, |drain| drain.from.min(read.position));
            // A reader that stands beyond this read has gone back and begins anew.
            let known =
                next.filter(|next| *next <= read.position && stands(history, unit, *next, read.position));
            list.push((known.unwrap_or(first), read.position, event));
            next = Some(read.position + 1);
        } else if let Some((_, note)) = history.notes().iter().find(|(one, _)| *one == event) {
            match note {
                Observation::Drain(end)
                    if process == ProcessId::DRAIN
                        && end.unit == unit
                        && end.complete
                        && end.node.is_none() =>
                {
                    list.push((next.unwrap_or(end.from), end.to, event));
                    next = None;
                }
                note if history.process_of(event) == process && begins(note) => next = None,
                _ => {}
            }
        }
    }
    list
}

/// Whether the operation of the delivery in this event was handed the record at a place too.
fn read_there(history: &History, event: u32, unit: UnitId, position: u64) -> bool {
    let reads = history.delivers();
    let Some(read) = reads.iter().find(|read| read.event == event) else { return false };
    let operation = |read: &DeliverRow| {
        let poll = read.poll()?;
        history.polls().iter().find(|one| one.invoke == poll).map(|one| one.txn().unwrap_or(poll))
    };
    let same = |one: &DeliverRow| operation(one).is_some() && operation(one) == operation(read);
    reads.iter().any(|one| same(one) && (one.unit, one.position) == (unit, position))
}

/// Whether a record is known at or behind a place, up to another: a reader goes from record to record.
fn stands(history: &History, unit: UnitId, from: u64, to: u64) -> bool {
    naive::places(history, unit).iter().any(|(position, _)| (from..=to).contains(position))
}
