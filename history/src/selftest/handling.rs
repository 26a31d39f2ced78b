//! The tests of the checks of what handlers do, of dead letters, and of how long a unit was unavailable.

use super::{
    Agree, Dice, Key, Row, clean,
    log::{plain_record, sends},
    naive,
    script::{Script, is, number},
};
use crate::{
    History, Kind,
    checks::Case,
    guarantees::CommitPolicy,
    history::{
        CommitRow, DeliverRow, GroupId, Handling, Observation, Phase, SendRow, Settlement, Status, UnitId,
    },
};
use serde_json::{Value, json};
use std::time::Duration;

pub(super) const ROWS: &[Row] = &[
    row(Kind::Unprocessed, unprocessed, &[handle_nothing]),
    row(Kind::Reprocessed, reprocessed, &[handle_again]),
    row(Kind::DlqLost, dlq_lost, &[forget_a_dead_letter]),
    row(Kind::DlqPremature, dlq_premature, &[bury_alive]),
    row(Kind::DlqAcked, dlq_acked, &[bury_alive]),
    row(Kind::DlqDuplicate, dlq_duplicate, &[bury_often]),
    row(Kind::Unavailability, unavailability, &[go_silent]),
];

const fn row(
    kind: Kind,
    naive: fn(&History) -> Vec<Key>,
    plant: &'static [fn(&mut Script, &mut Dice) -> bool],
) -> Row {
    Row { kind, naive, agree: Agree::Exactly, clean: clean::groups, plant, forbidden: true }
}

/// The commits of a group that took place.
fn commits(history: &History, group: GroupId) -> impl Iterator<Item = &CommitRow> {
    history.commits().iter().filter(move |commit| {
        let txn = commit.txn().and_then(|op| history.txns().iter().find(|txn| txn.invoke == op));
        commit.group == group && commit.status == Status::Ok && txn.is_none_or(|txn| txn.status == Status::Ok)
    })
}

/// Whether a logical consumer reads the topic of a unit.
fn reads(history: &History, group: Option<GroupId>, send: &SendRow) -> bool {
    let topic = |unit: UnitId| history.unit_topic(unit) == send.topic;
    let handed =
        history.delivers().iter().any(|read| !read.drained() && read.group() == group && topic(read.unit));
    let committed = group.is_some_and(|group| {
        commits(history, group).any(|commit| commit.positions.iter().any(|(unit, _)| topic(*unit)))
    });
    let assigned = history.notes().iter().any(|(_, note)| match note {
        Observation::Assigned { group: of, units, .. } => {
            of.is_some() && *of == group && units.iter().any(|(unit, _)| topic(*unit))
        }
        _ => false,
    });
    handed || committed || assigned
}

/// The logical consumers whose handlers write down what they do.
fn handlers(history: &History) -> Vec<Option<GroupId>> {
    let groups = (0..history.group_count() as u32).map(|group| Some(GroupId::from(group))).chain([None]);
    let told = |group: &Option<GroupId>| {
        let named = group.is_some_and(|group| {
            history.meta.configuration.groups.iter().any(|name| name == history.group_name(group))
        });
        named || history.handled().iter().any(|handled| handled.group == *group)
    };
    groups.filter(told).collect()
}

fn is_poison(history: &History, send: &SendRow) -> bool {
    let given_up =
        |value| history.handled().iter().any(|one| one.value == value && one.how == Handling::Poison);
    send.poison || given_up(send.value)
}

/// The entries of the dead-letter topic.
fn entries(history: &History) -> Vec<(u32, &SendRow)> {
    let dlq = history.meta.configuration.dlq.as_deref().and_then(|name| history.find_topic(name));
    let there = |send: &SendRow| naive::outcome(history, send) == Status::Ok || naive::seen(history, send);
    sends(history).filter(|(_, send)| Some(send.topic) == dlq && there(send)).collect()
}

/// The records that no handler of a group is done with.
fn unhandled(history: &History, poison: bool) -> Vec<Key> {
    let dlq = history.meta.configuration.dlq.as_deref().and_then(|name| history.find_topic(name));
    let mut found = Vec::new();
    for group in handlers(history) {
        for (row, send) in sends(history).filter(|(_, send)| reads(history, group, send)) {
            let there = naive::outcome(history, send) == Status::Ok
                && naive::seen(history, send)
                && Some(send.topic) != dlq;
            let handled = history
                .handled()
                .iter()
                .any(|one| (one.group, one.value, one.how) == (group, send.value, Handling::Ok));
            let dead = entries(history).iter().any(|(_, entry)| entry.cause() == Some(send.value));
            if !there || handled || dead || is_poison(history, send) != poison {
                continue;
            }
            let (unit, position) = naive::first_place(history, send).expect("it was seen");
            let deleted = naive::deleted(history, row);
            if deleted.is_some_and(|event| !passed_before(history, group, send, (unit, position), event)) {
                continue;
            }
            let case = if passed(history, group, send, unit, position) { Case::Passed } else { Case::Plain };
            found.push(Key::new(unit, position, row, case));
        }
    }
    found
}

/// Whether a group had passed a record before an event.
fn passed_before(
    history: &History,
    group: Option<GroupId>,
    send: &SendRow,
    place: (UnitId, u64),
    event: u32,
) -> bool {
    let behind = |commit: &CommitRow| {
        let past = commit.positions.iter().any(|(of, at)| *of == place.0 && *at > place.1);
        past && commit.completion().is_some_and(|end| end < event)
    };
    let acked = history.notes().iter().any(|(at, note)| {
        let of =
            matches!(note, Observation::Acked { group: of, value } if *of == group && *value == send.value);
        of && *at < event
    });
    let settled = history.settles().iter().any(|one| {
        let read = &history.delivers()[one.delivery as usize];
        let done = one.status == Status::Ok && matches!(one.how, Settlement::Ack);
        let here = (read.group(), read.value()) == (group, Some(send.value));
        done && here && one.completion().is_some_and(|end| end < event)
    });
    acked || settled || group.is_some_and(|group| commits(history, group).any(behind))
}

fn passed(history: &History, group: Option<GroupId>, send: &SendRow, unit: UnitId, position: u64) -> bool {
    let notes = || history.notes().iter().map(|(_, note)| note);
    let caught_up = notes().any(|note| matches!(note, Observation::Phase(Phase::CaughtUp)));
    let behind = group.is_some_and(|group| {
        commits(history, group)
            .any(|commit| commit.positions.iter().any(|(of, at)| *of == unit && *at > position))
    });
    let acked = notes().any(
        |note| matches!(note, Observation::Acked { group: of, value } if *of == group && *value == send.value),
    );
    let settled = history.settles().iter().any(|one| {
        let read = &history.delivers()[one.delivery as usize];
        let done = one.status == Status::Ok && matches!(one.how, Settlement::Ack);
        done && (read.group(), read.value()) == (group, Some(send.value))
    });
    caught_up
        || ((behind || acked || settled)
            && history.meta.configuration.commit != CommitPolicy::BeforeProcessing)
}

fn unprocessed(history: &History) -> Vec<Key> {
    unhandled(history, false)
}

fn dlq_lost(history: &History) -> Vec<Key> {
    let mut found =
        if history.meta.configuration.dlq.is_some() { unhandled(history, true) } else { Vec::new() };
    if history.meta.configuration.dead_lettering.is_none() {
        return found;
    }
    let dlq = history.meta.configuration.dlq.as_deref().and_then(|name| history.find_topic(name));
    for (row, send) in sends(history).filter(|(_, send)| Some(send.topic) != dlq) {
        let mut of_it = history.delivers().iter().filter(|read| read.value() == Some(send.value));
        let dead = of_it.any(|read| Some(history.unit_topic(read.unit)) == dlq)
            || entries(history).iter().any(|(_, entry)| entry.cause() == Some(send.value));
        let Some((unit, position)) = naive::first_place(history, send) else { continue };
        let queued = history.delivers().iter().any(|read| {
            read.drained() && (read.unit, read.position, read.value()) == (unit, position, Some(send.value))
        });
        let told = found.iter().any(|one| one.send == Some(row));
        let happened = naive::outcome(history, send) == Status::Ok;
        if dead || queued || told || !happened || is_done(history, send) || !exhausted(history, send) {
            continue;
        }
        let graves: Vec<UnitId> =
            naive::units(history).into_iter().filter(|unit| Some(history.unit_topic(*unit)) == dlq).collect();
        let all = !graves.is_empty()
            && graves.iter().chain([&unit]).all(|unit| naive::finished(history, *unit).is_some());
        found.push(Key::new(unit, position, row, if all { Case::Drained } else { Case::Undrained }));
    }
    found
}

/// Whether anybody acknowledged or processed a record.
fn is_done(history: &History, send: &SendRow) -> bool {
    let value = send.value;
    let acked = |note: &Observation| matches!(note, Observation::Acked { value: of, .. } if *of == value);
    let settled = history.settles().iter().any(|one| {
        let of = history.delivers()[one.delivery as usize].value();
        (one.how, one.status, of) == (Settlement::Ack, Status::Ok, Some(value))
    });
    settled
        || history.notes().iter().any(|(_, note)| acked(note))
        || history.handled().iter().any(|one| (one.value, one.how) == (value, Handling::Ok))
}

/// Whether the bus gave a record up, or a consumer did and the bus confirmed it.
fn exhausted(history: &History, send: &SendRow) -> bool {
    let own = |unit, position| naive::places(history, unit).contains(&(position, Some(send.value)));
    let advised = history.notes().iter().any(
        |(_, note)| matches!(note, Observation::Advisory { unit, position, .. } if own(*unit, *position)),
    );
    let terminated = history.settles().iter().any(|one| {
        let of = history.delivers()[one.delivery as usize].value();
        (one.how, one.status, of) == (Settlement::Term, Status::Ok, Some(send.value))
    });
    advised || terminated
}

fn reprocessed(history: &History) -> Vec<Key> {
    let mut found = Vec::new();
    for group in handlers(history) {
        for (row, send) in sends(history) {
            let done = history
                .handled()
                .iter()
                .filter(|one| (one.group, one.value, one.how) == (group, send.value, Handling::Ok));
            if done.count() > 1 {
                let (unit, position) = naive::first_place(history, send).unzip();
                found.push(Key { unit, position, send: Some(row), case: Case::Plain });
            }
        }
    }
    found
}

/// A finding about an entry of the dead-letter topic.
fn entry(history: &History, row: u32, case: Case) -> Key {
    let position = history.sends()[row as usize].position();
    Key { unit: naive::unit_of(history, row), position, send: Some(row), case }
}

fn dlq_premature(history: &History) -> Vec<Key> {
    let mut found = Vec::new();
    for (row, send) in entries(history) {
        let cause = send.cause().and_then(|value| naive::writer(history, value));
        if cause.is_none_or(|(_, cause)| !cause.poison) {
            let given_up =
                cause.is_some_and(|(_, cause)| is_poison(history, cause) || exhausted(history, cause));
            found.push(entry(history, row, if given_up { Case::GivenUp } else { Case::Plain }));
        }
    }
    found
}

fn dlq_acked(history: &History) -> Vec<Key> {
    let mut found = Vec::new();
    for (row, send) in entries(history) {
        let cause = send.cause().and_then(|value| naive::writer(history, value));
        let mut own =
            history.delivers().iter().filter(|read| !read.drained() && read.process == send.process);
        let group = own.next().map(DeliverRow::group);
        let done = history.handled().iter().any(|one| {
            one.how == Handling::Ok
                && one.event < send.invoke.0
                && cause.is_some_and(|(_, cause)| cause.value == one.value)
                && group.is_none_or(|group| one.group == group)
        });
        let acked = cause.is_some_and(|(_, cause)| {
            !is_poison(history, cause)
                && !exhausted(history, cause)
                && history.settles().iter().any(|one| {
                    let read = &history.delivers()[one.delivery as usize];
                    (one.how, one.status, read.value()) == (Settlement::Ack, Status::Ok, Some(cause.value))
                        && one.completion().is_some_and(|end| end < send.invoke.0)
                        && group.is_none_or(|group| read.group() == group)
                })
        });
        if done || acked {
            found.push(entry(history, row, Case::Plain));
        }
    }
    found
}

fn dlq_duplicate(history: &History) -> Vec<Key> {
    let mut found = Vec::new();
    for (_, cause) in sends(history) {
        let of_cause: Vec<u32> = entries(history)
            .into_iter()
            .filter(|(_, entry)| entry.cause() == Some(cause.value))
            .map(|(row, _)| row)
            .collect();
        if let [_, .., last] = of_cause[..] {
            let delivered =
                history.delivers().iter().filter(|read| !read.drained() && read.value() == Some(cause.value));
            let case = if delivered.count() >= of_cause.len() { Case::Repeated } else { Case::Plain };
            found.push(entry(history, last, case));
        }
    }
    found
}

fn unavailability(history: &History) -> Vec<Key> {
    let Some(bound) = history.meta.expect.unavailable else { return Vec::new() };
    let mut found = Vec::new();
    for unit in naive::units(history) {
        let here = || sends(history).filter(|(row, _)| naive::unit_of(history, *row) == Some(unit));
        let mut worst: Option<(Duration, u32)> = None;
        let mut intended: Vec<_> =
            here().filter_map(|(row, send)| send.intended().map(|time| (time, row))).collect();
        intended.sort_unstable();
        for (time, row) in intended {
            let acks = here().filter(|(_, send)| send.acked()).filter_map(|(_, send)| send.completion());
            let next = acks.map(|event| history.time(event)).filter(|ack| *ack >= time).min();
            let lasts = next.unwrap_or(history.end()).since(time);
            if worst.is_none_or(|(longest, _)| lasts > longest) {
                worst = Some((lasts, row));
            }
        }
        if let Some((_, row)) = worst.filter(|(lasts, _)| *lasts >= bound) {
            found.push(Key { unit: Some(unit), position: None, send: Some(row), case: Case::Plain });
        }
    }
    found
}

/// No handler tells of a record that was delivered.
fn handle_nothing(script: &mut Script, dice: &mut Dice) -> bool {
    let Some((.., value)) = plain_record(script, dice) else { return false };
    script.remove(|event| event["f"] == "handled" && event["value"] == value);
    true
}

/// A handler processes a record once more.
fn handle_again(script: &mut Script, dice: &mut Dice) -> bool {
    *script.expect("delivery") = json!("at-most-once");
    let done = script.all(|event| event["f"] == "handled" && event["how"] == "ok");
    let Some(once) = dice.pick(&done) else { return false };
    let again = script.get(once).clone();
    script.after(once, again);
    true
}

/// The sends to the dead-letter topic: their ids and causes.
fn dead_letters(script: &Script) -> Vec<(u64, u64)> {
    let sends = script.all(|event| is(event, "invoke", "send") && event["topic"] == "orders.dlq");
    sends.into_iter().map(|id| (id, number(script.get(id), "cause"))).collect()
}

/// A record that was given up is dead-lettered nowhere.
fn forget_a_dead_letter(script: &mut Script, dice: &mut Dice) -> bool {
    let mut all = dead_letters(script);
    // What nobody knows to have happened is not missed.
    all.retain(|(_, cause)| script.ack_of(*cause).is_some());
    let Some((_, cause)) = dice.pick(&all) else { return false };
    for (id, _) in all.into_iter().filter(|(_, other)| *other == cause) {
        let value = script.get(id)["value"].clone();
        script.remove(|event| event["f"] == "deliver" && event["value"] == value);
        script.remove(|event| event["f"] == "send" && event["invoke"] == json!(id));
        script.remove(|event| is(event, "invoke", "send") && event["value"] == value);
    }
    true
}

/// A dead letter for a record, before the drain.
fn bury(script: &mut Script, process: &Value, cause: u64, number: u64) {
    let drain = script.drain();
    let send = json!({
        "process": process, "f": "send", "type": "invoke", "topic": "orders.dlq",
        "value": (1_u64 << 62) + 5000 + number, "cause": cause,
    });
    let invoke = script.before(drain, send);
    let ack = json!({
        "process": process, "f": "send", "invoke": invoke, "unit": "orders.dlq/0", "position": 5000 + number,
    });
    script.before(drain, ack);
    let read = json!({
        "process": "drain", "f": "deliver", "unit": "orders.dlq/0", "position": 5000 + number,
        "value": (1_u64 << 62) + 5000 + number,
    });
    script.before(drain, read);
}

/// A record that was processed is dead-lettered all the same.
fn bury_alive(script: &mut Script, dice: &mut Dice) -> bool {
    let Some((.., value)) = plain_record(script, dice) else { return false };
    let handled =
        script.first(|event| event["f"] == "handled" && event["how"] == "ok" && event["value"] == value);
    let Some(handled) = handled else { return false };
    let process = script.get(handled)["process"].clone();
    bury(script, &process, value, 0);
    true
}

/// A record is dead-lettered more often than it was delivered.
fn bury_often(script: &mut Script, dice: &mut Dice) -> bool {
    let Some((id, cause)) = dice.pick(&dead_letters(script)) else { return false };
    let process = script.get(id)["process"].clone();
    for number in 0..12 {
        bury(script, &process, cause, number);
    }
    true
}

/// Two minutes pass without an ack after a send was wanted.
fn go_silent(script: &mut Script, dice: &mut Dice) -> bool {
    let (drain, value) = (script.drain(), script.fresh());
    let intended = script.get(drain)["time"].clone();
    let send = json!({
        "process": "producer-9", "f": "send", "type": "invoke", "topic": "orders", "partition": dice.below(2),
        "value": value, "intended": intended,
    });
    script.before(drain, send);
    script.later(drain, 120_000_000_000);
    true
}
