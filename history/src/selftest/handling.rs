//! The tests of the checks of handlers, of consumers' own dead letters and of outages.

use super::{
    Agree, Dice, Key, Row, clean,
    groups::{handles, reads_topic},
    naive,
    script::{Script, is, number},
};
use crate::{
    History, Kind,
    checks::Case,
    guarantees::CommitPolicy,
    history::{GroupId, Handling, Observation, Phase, SendRow, Status, UnitId},
};
use serde_json::{Value, json};
use squall_bus::Acks;

pub(super) const ROWS: &[Row] = &[
    row(Kind::Unprocessed, unprocessed, &[forget_the_handling]),
    Row { forbidden: false, ..row(Kind::Reprocessed, reprocessed, &[handle_again]) },
    row(Kind::DlqLost, dlq_lost, &[lose_a_dead_letter]),
    row(Kind::DlqPremature, dlq_premature, &[bury_the_living]),
    row(Kind::DlqAcked, dlq_acked, &[bury_the_living]),
    row(Kind::DlqDuplicate, dlq_duplicate, &[bury_again]),
    Row { agree: Agree::ByCase, ..row(Kind::Unavailability, unavailability, &[take_nothing]) },
];

const fn row(
    kind: Kind,
    naive: fn(&History) -> Vec<Key>,
    plant: &'static [fn(&mut Script, &mut Dice) -> bool],
) -> Row {
    Row { kind, naive, agree: Agree::Exactly, clean: clean::groups, plant, forbidden: true }
}

fn sends(history: &History) -> impl Iterator<Item = (u32, &SendRow)> {
    (0u32..).zip(history.sends())
}

fn is_dlq(history: &History, send: &SendRow) -> bool {
    history.meta.configuration.dlq.as_deref() == Some(history.topic_name(send.topic))
}

/// The dead letters that are there, with the rows of their causes.
fn entries(history: &History) -> Vec<(u32, &SendRow, Option<u32>)> {
    let there = |send: &SendRow| naive::outcome(history, send) == Status::Ok || naive::seen(history, send);
    let all = sends(history).filter(|(_, send)| is_dlq(history, send) && there(send));
    let cause = |send: &SendRow| naive::writer(history, send.cause()?).map(|(row, _)| row);
    all.map(|(row, send)| (row, send, cause(send))).collect()
}

fn handled(history: &History, value: u64, how: Handling) -> impl Iterator<Item = (Option<GroupId>, u32)> {
    let all = history.handled().iter().filter(move |one| one.value == value && one.how == how);
    all.map(|one| (one.group, one.event))
}

fn is_poison(history: &History, send: &SendRow) -> bool {
    send.poison || handled(history, send.value, Handling::Poison).next().is_some()
}

/// The groups, and the readers without one.
fn readers(history: &History) -> Vec<Option<GroupId>> {
    (0..history.group_count() as u32).map(|id| Some(id.into())).chain([None]).collect()
}

/// Whether a group is done with what stands before a place, or with this record.
fn passed(history: &History, reader: Option<GroupId>, send: &SendRow, place: Option<(UnitId, u64)>) -> bool {
    let caught_up = history.notes().iter().any(|(_, note)| *note == Observation::Phase(Phase::CaughtUp));
    let committed = history.commits().iter().any(|commit| {
        let txn = commit.txn().map(|txn| history.txns().iter().find(|other| other.invoke == txn));
        let txn = txn.flatten().is_none_or(|txn| txn.status == Status::Ok);
        let behind = |(unit, to): &(UnitId, u64)| place.is_some_and(|(here, at)| *unit == here && *to > at);
        commit.status == Status::Ok
            && txn
            && Some(commit.group) == reader
            && commit.positions.iter().any(behind)
    });
    let acked = history.notes().iter().any(|(_, note)| match note {
        Observation::Acked { group, value } => (*group, *value) == (reader, send.value),
        _ => false,
    });
    let proves = history.meta.configuration.commit != CommitPolicy::BeforeProcessing;
    caught_up || (proves && (committed || acked))
}

fn unhandled(history: &History, poison: bool) -> Vec<Key> {
    let buried: Vec<u32> = entries(history).into_iter().filter_map(|(.., cause)| cause).collect();
    let mut found = Vec::new();
    for reader in readers(history) {
        let recorded = match reader {
            Some(group) => handles(history, group),
            None => history.handled().iter().any(|one| one.group.is_none()),
        };
        let name = reader.map(|group| history.group_name(group).to_owned());
        let skips = poison && name.is_some_and(|name| history.meta.configuration.skipping.contains(&name));
        for (row, send) in sends(history).filter(|_| recorded && !skips) {
            let there = naive::outcome(history, send) == Status::Ok && naive::seen(history, send);
            let done = handled(history, send.value, Handling::Ok).any(|(group, _)| group == reader);
            let owed = there && !is_dlq(history, send) && reads_topic(history, reader, send);
            if !owed || done || buried.contains(&row) || is_poison(history, send) != poison {
                continue;
            }
            let place = naive::first_place(history, send);
            let case = if passed(history, reader, send, place) { Case::Passed } else { Case::Plain };
            let unit = place.map(|(unit, _)| unit).or_else(|| naive::unit_of(history, row));
            found.push(Key { unit, position: place.map(|(_, at)| at), send: Some(row), case });
        }
    }
    found
}

fn unprocessed(history: &History) -> Vec<Key> {
    unhandled(history, false)
}

fn dlq_lost(history: &History) -> Vec<Key> {
    if history.meta.configuration.dlq.is_none() { Vec::new() } else { unhandled(history, true) }
}

fn reprocessed(history: &History) -> Vec<Key> {
    let mut found = Vec::new();
    for reader in readers(history) {
        for (row, send) in sends(history) {
            let times =
                handled(history, send.value, Handling::Ok).filter(|(group, _)| *group == reader).count();
            if times > 1 {
                let (unit, position) = naive::first_place(history, send).unzip();
                found.push(Key { unit, position, send: Some(row), case: Case::Plain });
            }
        }
    }
    found
}

fn dead_letter(history: &History, row: u32, send: &SendRow, case: Case) -> Key {
    Key { unit: naive::unit_of(history, row), position: send.position(), send: Some(row), case }
}

fn dlq_premature(history: &History) -> Vec<Key> {
    let premature = |(row, send, cause): (u32, &SendRow, Option<u32>)| {
        let cause = cause.map(|cause| &history.sends()[cause as usize]);
        let case =
            if cause.is_some_and(|cause| is_poison(history, cause)) { Case::GivenUp } else { Case::Plain };
        (!cause.is_some_and(|cause| cause.poison)).then(|| dead_letter(history, row, send, case))
    };
    entries(history).into_iter().filter_map(premature).collect()
}

fn dlq_acked(history: &History) -> Vec<Key> {
    let acked = |(row, send, cause): (u32, &SendRow, Option<u32>)| {
        let cause = &history.sends()[cause? as usize];
        let mut done = handled(history, cause.value, Handling::Ok);
        done.any(|(_, event)| event < send.invoke.0).then(|| dead_letter(history, row, send, Case::Plain))
    };
    entries(history).into_iter().filter_map(acked).collect()
}

fn dlq_duplicate(history: &History) -> Vec<Key> {
    let all = entries(history);
    let twice = sends(history).filter_map(|(row, cause)| {
        let own: Vec<_> = all.iter().filter(|(.., of)| *of == Some(row)).collect();
        let (last, send, _) = own.last().filter(|_| own.len() > 1)?;
        let mine = |read: &&crate::history::DeliverRow| !read.drained() && read.value() == Some(cause.value);
        let delivered = history.delivers().iter().filter(mine).count();
        let case = if delivered >= own.len() { Case::Repeated } else { Case::Plain };
        Some(dead_letter(history, *last, send, case))
    });
    twice.collect()
}

fn unavailability(history: &History) -> Vec<Key> {
    let bound = history.meta.expect.unavailable;
    let Some(bound) = bound.filter(|_| history.meta.configuration.acks != Acks::None) else {
        return Vec::new();
    };
    let out = naive::units(history).into_iter().filter(|unit| {
        let here: Vec<&SendRow> = sends(history)
            .filter(|(row, _)| naive::unit_of(history, *row) == Some(*unit))
            .map(|(_, send)| send)
            .collect();
        let acks = || here.iter().filter(|send| send.acked()).filter_map(|send| send.completion());
        let lasts = here.iter().filter_map(|send| send.intended()).map(|wanted| {
            let next = acks().map(|event| history.time(event)).filter(|ack| *ack >= wanted).min();
            next.unwrap_or(history.end()).since(wanted)
        });
        lasts.max().is_some_and(|longest| longest >= bound)
    });
    out.map(|unit| Key { unit: Some(unit), position: None, send: None, case: Case::Plain }).collect()
}

/// An acknowledged record that a handler processed and that is no poison.
fn healthy(script: &Script, dice: &mut Dice) -> Option<u64> {
    let handled = |value: u64, how: &str| {
        script
            .first(|event| event["f"] == "handled" && event["value"] == value && event["how"] == how)
            .is_some()
    };
    let all = script.drained().into_iter().map(|(.., value)| value);
    let list: Vec<u64> = all.filter(|value| handled(*value, "ok") && !handled(*value, "poison")).collect();
    dice.pick(&list)
}

/// No handler is ever done with a record.
fn forget_the_handling(script: &mut Script, dice: &mut Dice) -> bool {
    let Some(value) = healthy(script, dice) else { return false };
    script.remove(|event| event["f"] == "handled" && event["value"] == value);
    true
}

/// A handler processes a record once more.
fn handle_again(script: &mut Script, dice: &mut Dice) -> bool {
    let Some(value) = healthy(script, dice) else { return false };
    let done =
        script.first(|event| event["f"] == "handled" && event["value"] == value && event["how"] == "ok");
    let Some(done) = done else { return false };
    let event = script.get(done).clone();
    script.after(done, event);
    true
}

/// The causes of dead letters among the acknowledged records.
fn buried(script: &Script) -> Vec<u64> {
    let dead = script.all(|event| is(event, "invoke", "send") && event["topic"] == "orders.dlq");
    let causes: Vec<u64> = dead.into_iter().filter_map(|id| script.get(id)["cause"].as_u64()).collect();
    let all = script.drained().into_iter().map(|(.., value)| value);
    all.filter(|value| causes.contains(value)).collect()
}

/// All dead letters of a record are gone, as if they had never been sent.
fn lose_a_dead_letter(script: &mut Script, dice: &mut Dice) -> bool {
    let Some(cause) = dice.pick(&buried(script)) else { return false };
    let of = |event: &Value| {
        is(event, "invoke", "send") && event["topic"] == "orders.dlq" && event["cause"] == cause
    };
    let dead = script.all(of);
    let values: Vec<u64> = dead.iter().map(|id| number(script.get(*id), "value")).collect();
    let answers = |event: &Value| event["f"] == "send" && dead.iter().any(|id| event["invoke"] == *id);
    script.remove(answers);
    script.remove(|event| event["f"] == "deliver" && values.iter().any(|value| event["value"] == *value));
    script.remove(of);
    true
}

/// A dead letter of a record, before the drain.
fn bury(script: &mut Script, cause: u64, position: u64) {
    let (drain, value) = (script.drain(), script.fresh());
    let (invoke, _) = script.send_before(drain, "consumer-0", "orders.dlq/0", value, position);
    script.edit(invoke)["cause"] = json!(cause);
    let read = json!({"f": "deliver", "process": "drain", "unit": "orders.dlq/0", "position": position, "value": value});
    script.before(drain, read);
}

/// A record that a handler processed is dead-lettered.
fn bury_the_living(script: &mut Script, dice: &mut Dice) -> bool {
    let Some(cause) = healthy(script, dice) else { return false };
    bury(script, cause, 5000);
    true
}

/// A dead letter is sent many times more often than its cause was delivered.
fn bury_again(script: &mut Script, dice: &mut Dice) -> bool {
    let Some(cause) = dice.pick(&buried(script)) else { return false };
    (0..20).for_each(|number| bury(script, cause, 5000 + number));
    true
}

/// A send that the schedule wanted finds nobody for longer than a minute.
fn take_nothing(script: &mut Script, _: &mut Dice) -> bool {
    let (drain, value) = (script.drain(), script.fresh());
    let wanted = number(script.get(drain), "time");
    let send = json!({
        "f": "send", "type": "invoke", "process": "producer-9", "topic": "orders", "partition": 0, "value": value,
        "intended": wanted,
    });
    script.before(drain, send);
    script.later(drain, 100_000_000_000);
    true
}
