//! The tests of the checks of order.

use super::{
    Agree, Dice, Key, Row, clean,
    log::sends,
    naive,
    script::{Script, number},
};
use crate::{
    History, Kind,
    checks::Case,
    guarantees::Reading,
    history::{DeliverRow, Observation, OpId, PollRow, ProcessId, SendRow, Status, TxnRow, UnitId},
};
use serde_json::json;
use std::time::Duration;

pub(super) const ROWS: &[Row] = &[
    row(Kind::PollSkip, poll_skip, &[skip_a_poll]),
    row(Kind::NonmonotonicPoll, nonmonotonic_poll, &[poll_again]),
    row(Kind::IntPollSkip, int_poll_skip, &[skip_within]),
    row(Kind::IntNonmonotonicPoll, int_nonmonotonic_poll, &[go_back_within]),
    row(Kind::NonmonotonicSend, nonmonotonic_send, &[overtake]),
    row(Kind::IntNonmonotonicSend, int_nonmonotonic_send, &[reverse_a_transaction]),
    Row { forbidden: false, ..row(Kind::IntSendSkip, int_send_skip, &[interleave]) },
    row(Kind::KeyOrder, key_order, &[overtake, deliver_late]),
    row(Kind::StaleRead, stale_read, &[stay_behind]),
];

const fn row(
    kind: Kind,
    naive: fn(&History) -> Vec<Key>,
    plant: &'static [fn(&mut Script, &mut Dice) -> bool],
) -> Row {
    Row { kind, naive, agree: Agree::Exactly, clean: clean::groups, plant, forbidden: true }
}

/// Where a record stands: where it was read, or else where it was acknowledged, if nothing shows that it is not there.
fn standing(history: &History, send: &SendRow) -> Option<(UnitId, u64)> {
    let (unit, position) = naive::first_place(history, send)?;
    let read = naive::was_read(history, send);
    let open = naive::finished(history, unit).is_none()
        && naive::bound(history, unit).is_none_or(|bound| position > bound);
    (read || open).then_some((unit, position))
}

/// Sends that stand before an earlier one of the same session and unit, and perhaps key.
fn overtaken(history: &History, same_key: bool, answered: Case, unanswered: Case) -> Vec<Key> {
    let mut found = Vec::new();
    for (row, late) in sends(history) {
        let Some((unit, position)) = standing(history, late) else { continue };
        let earlier = sends(history).take_while(|(other, _)| *other < row).filter(|(_, early)| {
            (early.process, early.session) == (late.process, late.session)
                && match same_key {
                    true => early.key().is_some() && early.key() == late.key(),
                    // Of one operation `int_nonmonotonic_send` tells.
                    false => early.txn().is_none() || early.txn() != late.txn(),
                }
                && standing(history, early).is_some_and(|(other, at)| other == unit && at > position)
        });
        let answers: Vec<Status> = earlier.map(|(_, early)| early.status).collect();
        if !answers.is_empty() {
            let case = if answers.contains(&Status::Ok) { answered } else { unanswered };
            found.push(Key::new(unit, position, row, case));
        }
    }
    found
}

fn nonmonotonic_send(history: &History) -> Vec<Key> {
    overtaken(history, false, Case::Plain, Case::Unanswered)
}

fn key_order(history: &History) -> Vec<Key> {
    let mut found = overtaken(history, true, Case::InLog, Case::UnansweredInLog);
    let reads: Vec<&DeliverRow> = history.delivers().iter().filter(|read| !read.drained()).collect();
    let is_first = |index: usize| {
        let read = reads[index];
        !reads[..index].iter().any(|other| (other.group(), other.value()) == (read.group(), read.value()))
    };
    for (index, late) in reads.iter().enumerate() {
        let key = |read: &DeliverRow| {
            read.value().and_then(|value| naive::writer(history, value)).and_then(|(_, send)| send.key())
        };
        let (Some(late_key), true) = (key(late), is_first(index)) else { continue };
        let behind = reads[..index].iter().enumerate().any(|(before, early)| {
            is_first(before)
                && early.group() == late.group()
                && key(early) == Some(late_key)
                && early.unit == late.unit
                && early.position > late.position
        });
        if behind && let Some((row, _)) = late.value().and_then(|value| naive::writer(history, value)) {
            found.push(Key::new(late.unit, late.position, row, Case::InDelivery));
        }
    }
    found
}

/// The operation of a delivery: its transaction, its poll, or itself.
fn operation(history: &History, read: &DeliverRow) -> u32 {
    let poll = read.poll().and_then(|op| history.polls().iter().find(|poll| poll.invoke == op));
    poll.map_or(read.event, |poll| poll.txn().map_or(poll.invoke.0, |txn| txn.0))
}

/// The events of an operation, from the first to the last.
fn during(history: &History, read: &DeliverRow) -> std::ops::RangeInclusive<u32> {
    let id = operation(history, read);
    if read.poll().is_none() {
        return id..=id;
    }
    let poll = history.polls().iter().find(|poll| poll.invoke.0 == id).map(PollRow::completion);
    let txn = history.txns().iter().find(|txn| txn.invoke.0 == id).map(TxnRow::completion);
    id..=poll.or(txn).flatten().unwrap_or(u32::MAX)
}

/// What a note does to its process' place in a unit.
enum Told {
    Nothing,
    Forget,
    GoTo(u64),
}

fn told(history: &History, note: &Observation, unit: UnitId) -> Told {
    match note {
        Observation::Assigned { group, units, .. } => {
            match units.iter().rev().filter(|(other, _)| *other == unit).find_map(|(_, at)| *at) {
                Some(at) if group.is_none() => Told::GoTo(at),
                Some(_) => Told::Forget,
                None if group.is_none() && !units.iter().any(|(other, _)| *other == unit) => Told::Forget,
                None => Told::Nothing,
            }
        }
        Observation::Subscribed { topics, .. } if !topics.contains(&history.unit_topic(unit)) => Told::Forget,
        Observation::Sought { unit: other, to } | Observation::Reset { unit: other, to, .. }
            if *other == unit =>
        {
            Told::GoTo(*to)
        }
        Observation::Revoked(units) | Observation::Lost(units) if units.contains(&unit) => Told::Forget,
        Observation::Crashed => Told::Forget,
        _ => Told::Nothing,
    }
}

/// The steps of readers that leave records out or go back, within operations or between them.
fn steps(history: &History, internal: bool, skips: bool) -> Vec<Key> {
    let mut found = Vec::new();
    let shared = history.meta.configuration.reading == Reading::Share;
    for read in history.delivers().iter().filter(|read| goes_on_in_order(read, shared)) {
        let Some((next, inside)) = expected(history, read) else { continue };
        let left_out = naive::places(history, read.unit).into_iter().find(|(position, value)| {
            (next..read.position).contains(position) && must_be_read(history, read.unit, *position, *value)
        });
        let back = read.position < next;
        if inside != internal || (internal && excused(history, read)) || back == skips {
            continue;
        }
        let (position, value) = match (back, left_out) {
            (true, _) => (read.position, read.value()),
            (false, Some((position, value))) => (position, value),
            (false, None) => continue,
        };
        let send = value.and_then(|value| naive::writer(history, value)).map(|(row, _)| row);
        let case = if chose_itself(history, read) { Case::Assigned } else { Case::Plain };
        found.push(Key { unit: Some(read.unit), position: Some(position), send, case });
    }
    found
}

/// Whether a delivery is one of a reader that goes from record to record by itself.
fn goes_on_in_order(read: &DeliverRow, shared: bool) -> bool {
    let is_member = shared && read.group().is_some();
    !read.drained() && !is_member
}

/// Where a reader had to go on, and whether that is a step within its operation.
fn expected(history: &History, read: &DeliverRow) -> Option<(u64, bool)> {
    for event in (0..read.event).rev().filter(|event| history.process_of(*event) == read.process) {
        if let Some((_, note)) = history.notes().iter().find(|(other, _)| *other == event) {
            match told(history, note, read.unit) {
                Told::Nothing => {}
                Told::Forget => return None,
                Told::GoTo(next) => return Some((next, false)),
            }
        }
        let before = history.delivers().iter().find(|other| other.event == event && other.unit == read.unit);
        let shared = history.meta.configuration.reading == Reading::Share;
        let Some(before) = before.filter(|before| goes_on_in_order(before, shared)) else { continue };
        let inside = operation(history, before) == operation(history, read);
        if inside || naive::read_ok(history, before) {
            return Some((before.position + 1, inside));
        }
    }
    None
}

fn must_be_read(history: &History, unit: UnitId, position: u64, value: Option<u64>) -> bool {
    let read = history
        .delivers()
        .iter()
        .any(|read| (read.unit, read.position, read.value()) == (unit, position, value));
    let writer = value.and_then(|value| naive::writer(history, value));
    read && writer.is_some_and(|(row, send)| {
        naive::outcome(history, send) != Status::Fail && !naive::may_be_gone(history, row)
    })
}

fn excused(history: &History, read: &DeliverRow) -> bool {
    let during = during(history, read);
    history.notes().iter().any(|(event, note)| {
        during.contains(event)
            && history.process_of(*event) == read.process
            && match note {
                Observation::Assigned { units, .. } => units.iter().any(|(unit, _)| *unit == read.unit),
                Observation::Revoked(units) | Observation::Lost(units) => units.contains(&read.unit),
                _ => false,
            }
    })
}

fn chose_itself(history: &History, read: &DeliverRow) -> bool {
    let own = |event: &u32| *event < read.event && history.process_of(*event) == read.process;
    let last =
        history.notes().iter().rev().filter(|(event, _)| own(event)).find_map(|(_, note)| match note {
            Observation::Assigned { group, .. } => Some(group.is_none()),
            Observation::Subscribed { .. } => Some(false),
            _ => None,
        });
    last.unwrap_or(history.meta.configuration.reading == Reading::Assign)
}

fn poll_skip(history: &History) -> Vec<Key> {
    steps(history, false, true)
}

fn nonmonotonic_poll(history: &History) -> Vec<Key> {
    steps(history, false, false)
}

fn int_poll_skip(history: &History) -> Vec<Key> {
    steps(history, true, true)
}

fn int_nonmonotonic_poll(history: &History) -> Vec<Key> {
    steps(history, true, false)
}

/// Two sends of one transaction to one unit, one right after the other: (their rows, the unit, their positions).
type Pair = ((u32, u32), UnitId, (u64, u64));

fn pairs(history: &History) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for (row, late) in sends(history).filter(|(_, send)| send.txn().is_some()) {
        let Some((unit, position)) = standing(history, late) else { continue };
        let earlier =
            sends(history).take_while(|(other, _)| *other < row).filter(|(_, send)| send.txn() == late.txn());
        let same = earlier.filter_map(|(other, send)| {
            standing(history, send).filter(|(there, _)| *there == unit).map(|(_, at)| (other, at))
        });
        pairs.extend(same.last().map(|(other, at)| ((other, row), unit, (at, position))));
    }
    pairs
}

fn int_nonmonotonic_send(history: &History) -> Vec<Key> {
    let reversed = pairs(history).into_iter().filter(|(.., (one, two))| two < one);
    reversed.map(|((_, row), unit, (_, position))| Key::new(unit, position, row, Case::Plain)).collect()
}

fn int_send_skip(history: &History) -> Vec<Key> {
    let parted = pairs(history).into_iter().filter(|((_, row), unit, (one, two))| {
        let txn = history.sends()[*row as usize].txn();
        naive::places(history, *unit).iter().any(|(position, value)| {
            let writer = value.and_then(|value| naive::writer(history, value));
            position > one && position < two && writer.is_some_and(|(_, send)| send.txn() != txn)
        })
    });
    parted.map(|((_, row), unit, (_, position))| Key::new(unit, position, row, Case::Plain)).collect()
}

/// The first event by which anybody knew of a record at a place.
fn known(history: &History, unit: UnitId, position: u64, value: Option<u64>) -> Option<u32> {
    let (_, send) = naive::writer(history, value?)?;
    if naive::outcome(history, send) == Status::Fail {
        return None;
    }
    let read = history
        .delivers()
        .iter()
        .find(|read| (read.unit, read.position, read.value()) == (unit, position, value));
    let txn = send.txn().and_then(|op| history.txns().iter().find(|txn| txn.invoke == op));
    let told = match txn {
        Some(txn) => txn.completion().filter(|_| txn.status == Status::Ok),
        None => send.completion().filter(|_| naive::placed(history, send) == Some((unit, position))),
    };
    told.filter(|_| send.acked()).into_iter().chain(read.map(|read| read.event)).min()
}

fn stale_read(history: &History) -> Vec<Key> {
    let Some(bound) = history.meta.expect.lag else { return Vec::new() };
    // By unit: the worst lag, and the record that the reader stood before.
    let mut worst: Vec<(UnitId, Duration, Key)> = Vec::new();
    let mut polls: Vec<_> = history.polls().iter().collect();
    polls.sort_by_key(|poll| (poll.process, poll.invoke));
    for poll in polls.into_iter().filter(|poll| poll.status == Status::Ok) {
        for unit in naive::units(history) {
            let Some(from) = goes_on(history, poll.process, poll.invoke, unit) else { continue };
            let places = naive::places(history, unit).into_iter().filter(|(position, _)| *position >= from);
            let places: Vec<(u64, Option<u64>)> = places.collect();
            let first =
                places.iter().filter_map(|(position, value)| known(history, unit, *position, *value)).min();
            let Some(event) = first.filter(|event| *event < poll.invoke.0) else { continue };
            let lag = history.time(poll.invoke.0).since(history.time(event));
            let (position, value) = places[0];
            let send = value.and_then(|value| naive::writer(history, value)).map(|(row, _)| row);
            let key = Key { unit: Some(unit), position: Some(position), send, case: Case::Plain };
            match worst.iter_mut().find(|(other, ..)| *other == unit) {
                Some(known) if known.1 >= lag => {}
                Some(known) => *known = (unit, lag, key),
                None => worst.push((unit, lag, key)),
            }
        }
    }
    worst.into_iter().filter(|(_, lag, _)| *lag >= bound).map(|(.., key)| key).collect()
}

/// Where a reader goes on in a unit once a poll of it is answered.
fn goes_on(history: &History, process: ProcessId, poll: OpId, unit: UnitId) -> Option<u64> {
    let own = |op: OpId| history.polls().iter().any(|other| other.invoke == op && other.process == process);
    // The poll that read the unit last, among this one and those before it.
    let before = history.delivers().iter().filter(|read| {
        read.unit == unit
            && naive::read_ok(history, read)
            && read.poll().is_some_and(|op| op <= poll && own(op))
    });
    let last = before.max_by_key(|read| (read.poll(), read.event));
    // What it was told after that poll began, and before this one did, backwards.
    let told_since = history.notes().iter().rev().filter(|(event, _)| {
        history.process_of(*event) == process
            && last.is_none_or(|last| Some(OpId(*event)) > last.poll())
            && *event < poll.0
    });
    // It chose the unit itself: at the start of the log, if it was not there before.
    let mut start = None;
    for (_, note) in told_since {
        match note {
            Observation::Assigned { group: None, units, .. } => {
                let own = units.iter().filter(|(other, _)| *other == unit).map(|(_, at)| *at);
                match own.clone().flatten().last() {
                    Some(at) => return Some(at),
                    None if own.count() == 0 => return start,
                    None => start = Some(0),
                }
            }
            Observation::Assigned { .. } | Observation::Subscribed { .. } | Observation::Crashed => {
                return start;
            }
            Observation::Revoked(units) | Observation::Lost(units) if units.contains(&unit) => return start,
            Observation::Sought { unit: other, to } | Observation::Reset { unit: other, to, .. }
                if *other == unit =>
            {
                return Some(*to);
            }
            _ => {}
        }
    }
    last.map(|last| last.position + 1).or(start)
}

/// A producer's later record of the same key stands before its earlier one.
fn overtake(script: &mut Script, dice: &mut Dice) -> bool {
    let (drain, value) = (script.drain(), script.fresh());
    let unit = format!("orders/{}", dice.below(2));
    script.send_before(drain, "producer-9", &unit, value, 5001);
    script.send_before(drain, "producer-9", &unit, value + 1, 5000);
    for (value, position) in [(value + 1, 5000), (value, 5001)] {
        let read =
            json!({"process": "drain", "f": "deliver", "unit": unit, "position": position, "value": value});
        script.before(drain, read);
    }
    true
}

/// A group is first handed the later of two records of a key.
fn deliver_late(script: &mut Script, dice: &mut Dice) -> bool {
    let (drain, value) = (script.drain(), script.fresh());
    let unit = format!("orders/{}", dice.below(2));
    for n in 0..2 {
        script.send_before(drain, "producer-9", &unit, value + n, 5000 + n);
    }
    for n in [1, 0] {
        let read = json!({
            "process": "consumer-0", "f": "deliver", "group": "billing", "unit": unit,
            "position": 5000 + n, "value": value + n,
        });
        script.before(drain, read);
    }
    true
}

/// A reader that chose its unit polls these (value, position) one after the other, before the drain.
fn read_by_choice(script: &mut Script, unit: &str, polls: &[&[(u64, u64)]]) {
    let drain = script.drain();
    let process = "reader-9";
    script.before(drain, json!({"process": process, "f": "assigned", "units": [{"unit": unit}]}));
    for records in polls {
        let poll = script.before(drain, json!({"process": process, "f": "poll", "type": "invoke"}));
        for (value, position) in *records {
            let read = json!({
                "process": process, "f": "deliver", "poll": poll, "unit": unit, "position": position, "value": value,
            });
            script.before(drain, read);
        }
        script.before(drain, json!({"process": process, "f": "poll", "invoke": poll}));
    }
}

/// Three drained records of one unit that follow each other.
fn three(script: &Script, dice: &mut Dice) -> Option<(String, [(u64, u64); 3])> {
    let unit = format!("orders/{}", dice.below(2));
    let drained = script.drained().into_iter().filter(|(other, ..)| *other == unit);
    let records: Vec<(u64, u64)> = drained.map(|(_, position, value)| (value, position)).collect();
    let start = dice.below(records.len().checked_sub(2)? as u64) as usize;
    Some((unit, [records[start], records[start + 1], records[start + 2]]))
}

fn skip_a_poll(script: &mut Script, dice: &mut Dice) -> bool {
    let Some((unit, [one, _, three])) = three(script, dice) else { return false };
    read_by_choice(script, &unit, &[&[one], &[three]]);
    true
}

fn poll_again(script: &mut Script, dice: &mut Dice) -> bool {
    let Some((unit, [one, two, _])) = three(script, dice) else { return false };
    read_by_choice(script, &unit, &[&[one, two], &[one]]);
    true
}

fn skip_within(script: &mut Script, dice: &mut Dice) -> bool {
    let Some((unit, [one, _, three])) = three(script, dice) else { return false };
    read_by_choice(script, &unit, &[&[one, three]]);
    true
}

fn go_back_within(script: &mut Script, dice: &mut Dice) -> bool {
    let Some((unit, [one, two, _])) = three(script, dice) else { return false };
    let records = if dice.percent(50) { vec![one, two, one] } else { vec![two, two] };
    read_by_choice(script, &unit, &[&records]);
    true
}

/// A transaction of two sends at these places of one unit, drained.
fn transaction(script: &mut Script, unit: &str, value: u64, positions: [u64; 2]) {
    let drain = script.drain();
    let txn = script.before(drain, json!({"process": "shop-9", "f": "txn", "type": "invoke"}));
    for (value, position) in [(value, positions[0]), (value + 1, positions[1])] {
        let (invoke, _) = script.send_before(drain, "shop-9", unit, value, position);
        script.edit(invoke)["txn"] = json!(txn);
        let key = format!("key-{value}");
        script.edit(invoke)["key"] = json!(key);
    }
    script.before(drain, json!({"process": "shop-9", "f": "txn", "invoke": txn}));
    for (value, position) in [(value, positions[0]), (value + 1, positions[1])] {
        let read =
            json!({"process": "drain", "f": "deliver", "unit": unit, "position": position, "value": value});
        script.before(drain, read);
    }
}

fn reverse_a_transaction(script: &mut Script, dice: &mut Dice) -> bool {
    let (unit, value) = (format!("orders/{}", dice.below(2)), script.fresh());
    transaction(script, &unit, value, [5001, 5000]);
    true
}

/// Another producer's record stands between two of a transaction. Found, and no fault.
fn interleave(script: &mut Script, dice: &mut Dice) -> bool {
    let (unit, value) = (format!("orders/{}", dice.below(2)), script.fresh());
    transaction(script, &unit, value, [5000, 5002]);
    let drain = script.drain();
    let send = json!({"process": "producer-9", "f": "send", "type": "invoke", "topic": "orders", "value": value + 2});
    script.before(drain, send);
    let read =
        json!({"process": "drain", "f": "deliver", "unit": unit, "position": 5001, "value": value + 2});
    script.before(drain, read);
    true
}

/// A reader stays a minute behind what was acknowledged.
fn stay_behind(script: &mut Script, dice: &mut Dice) -> bool {
    *script.expect("lag") = json!(50_000_000_000_u64);
    let Some((unit, [one, _, _])) = three(script, dice) else { return false };
    read_by_choice(script, &unit, &[&[one], &[]]);
    let drain = script.drain();
    let late = script.all(|event| event["process"] == "reader-9" && event["f"] == "poll");
    for id in late.iter().rev().take(2) {
        let time = number(script.get(*id), "time");
        script.edit(*id)["time"] = json!(time + 60_000_000_000);
    }
    script.at(drain) > 0
}
