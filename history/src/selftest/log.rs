//! The tests of the checks of the log.

use super::{
    Agree, Dice, Key, Row, clean, naive,
    script::{Script, is, is_drain_read, number, text_of},
};
use crate::{
    History, Kind,
    checks::Case,
    history::{SendRow, Status, UnitId},
};
use serde_json::{Value, json};

pub(super) const ROWS: &[Row] = &[
    row(Kind::LostWrite, lost_write, &[forget, vanish]),
    row(Kind::Unseen, unseen, &[ack_behind_the_end]),
    row(Kind::Duplicate, duplicate, &[append_again]),
    row(Kind::InconsistentOffsets, inconsistent_offsets, &[use_a_place_twice]),
    row(Kind::Unexpected, unexpected, &[invent]),
    row(Kind::Corrupt, corrupt, &[damage]),
];

const fn row(
    kind: Kind,
    naive: fn(&History) -> Vec<Key>,
    plant: &'static [fn(&mut Script, &mut Dice) -> bool],
) -> Row {
    Row { kind, naive, agree: Agree::Exactly, clean: clean::groups, plant, forbidden: true }
}

/// The sends with their rows.
pub(super) fn sends(history: &History) -> impl Iterator<Item = (u32, &SendRow)> {
    (0u32..).zip(history.sends())
}

fn lost_write(history: &History) -> Vec<Key> {
    let lost = |(row, send): (u32, &SendRow)| {
        let (unit, position) = naive::placed(history, send)?;
        let behind = naive::bound(history, unit)? >= position;
        let happened = naive::outcome(history, send) == Status::Ok && naive::twin(history, row).is_none();
        let case = if !naive::seen(history, send) {
            Case::Plain
        } else {
            let drained =
                |value| history.delivers().iter().any(|read| read.drained() && read.value() == value);
            let gone = naive::finished(history, unit).is_some_and(|drain| drain.from <= position);
            (gone && !drained(Some(send.value))).then_some(Case::Vanished)?
        };
        (behind && happened).then(|| Key::new(unit, position, row, case))
    };
    sends(history).filter_map(lost).collect()
}

fn unseen(history: &History) -> Vec<Key> {
    let unseen = |(row, send): (u32, &SendRow)| {
        if naive::outcome(history, send) != Status::Ok
            || naive::seen(history, send)
            || naive::twin(history, row).is_some()
        {
            return None;
        }
        let proved_lost = send.unit().zip(send.position()).is_some_and(|(unit, position)| {
            naive::bound(history, unit).is_some_and(|bound| position <= bound)
        });
        let unit = naive::unit_of(history, row);
        let drained = match unit {
            Some(unit) => naive::finished(history, unit).is_some(),
            None => {
                let met = |unit: &UnitId| {
                    history.unit_topic(*unit) == send.topic
                        && (naive::drain(history, *unit).is_some()
                            || !naive::places(history, *unit).is_empty())
                };
                let met: Vec<UnitId> = naive::units(history).into_iter().filter(met).collect();
                !met.is_empty() && met.iter().all(|unit| naive::finished(history, *unit).is_some())
            }
        };
        let case = if drained { Case::Drained } else { Case::Plain };
        (!proved_lost).then_some(Key { unit, position: send.position(), send: Some(row), case })
    };
    sends(history).filter_map(unseen).collect()
}

fn duplicate(history: &History) -> Vec<Key> {
    let second = |(row, send): (u32, &SendRow)| {
        let first = naive::first_place(history, send)?;
        let places = naive::units(history).into_iter().flat_map(|unit| {
            let places = naive::places(history, unit).into_iter();
            places.filter(|(_, value)| *value == Some(send.value)).map(move |(position, _)| (unit, position))
        });
        let mut others = places.filter(|place| *place != first);
        others.next().map(|(unit, position)| Key::new(unit, position, row, Case::Plain))
    };
    sends(history).filter_map(second).collect()
}

fn inconsistent_offsets(history: &History) -> Vec<Key> {
    let mut found = Vec::new();
    for unit in naive::units(history) {
        let places = naive::places(history, unit);
        let mut positions: Vec<u64> = places.iter().map(|(position, _)| *position).collect();
        positions.dedup();
        for position in positions {
            let values: Vec<u64> =
                places.iter().filter(|(at, _)| *at == position).filter_map(|(_, value)| *value).collect();
            let was_read = |value: &&u64| {
                history
                    .delivers()
                    .iter()
                    .any(|read| (read.unit, read.position, read.value()) == (unit, position, Some(**value)))
            };
            let read = values.iter().filter(was_read).count();
            if values.len() > 1 {
                let case = if read > 1 { Case::ReadTwice } else { Case::Plain };
                let send = naive::writer(history, values[0]).map(|(row, _)| row);
                found.push(Key { unit: Some(unit), position: Some(position), send, case });
            }
        }
    }
    found
}

fn unexpected(history: &History) -> Vec<Key> {
    let mut found: Vec<(UnitId, u64, u64)> = Vec::new();
    for read in history.delivers() {
        let Some(value) = read.value() else { continue };
        let sent = naive::writer(history, value)
            .is_some_and(|(_, send)| send.topic == history.unit_topic(read.unit));
        if !sent {
            found.push((read.unit, read.position, value));
        }
    }
    found.sort_unstable();
    found.dedup();
    let key = |(unit, position, value): (UnitId, u64, u64)| {
        let send = naive::writer(history, value).map(|(row, _)| row);
        Key { unit: Some(unit), position: Some(position), send, case: Case::Plain }
    };
    found.into_iter().map(key).collect()
}

fn corrupt(history: &History) -> Vec<Key> {
    let mut found: Vec<Key> = Vec::new();
    for read in history.delivers().iter().filter(|read| read.corrupt || read.value().is_none()) {
        let (unit, position) = (Some(read.unit), Some(read.position));
        if !found.iter().any(|key| (key.unit, key.position) == (unit, position)) {
            let send = read.value().and_then(|value| naive::writer(history, value)).map(|(row, _)| row);
            found.push(Key { unit, position, send, case: Case::Plain });
        }
    }
    found
}

/// A drained record of a plain producer that no handler gave up and that is not the last of its unit.
fn plain_record(script: &Script, dice: &mut Dice) -> Option<(String, u64, u64)> {
    let all = script.drained();
    let poison = |value: u64| {
        let given_up = |event: &Value| event["how"] == "poison" && event["value"] == value;
        script.first(given_up).is_some()
    };
    let inner = |(unit, position, value): &(String, u64, u64)| {
        all.iter().any(|(other, at, _)| other == unit && at > position) && !poison(*value)
    };
    let list: Vec<&(String, u64, u64)> = all.iter().filter(|place| inner(place)).collect();
    dice.pick(&list).cloned()
}

/// Nobody ever reads an acknowledged record in the middle of the log.
fn forget(script: &mut Script, dice: &mut Dice) -> bool {
    let Some((.., value)) = plain_record(script, dice) else { return false };
    script.remove(|event| (event["f"] == "deliver" || event["f"] == "handled") && event["value"] == value);
    true
}

/// The drain does not find a record that consumers had read.
fn vanish(script: &mut Script, dice: &mut Dice) -> bool {
    let Some((.., value)) = plain_record(script, dice) else { return false };
    script.remove(|event| is_drain_read(event) && event["value"] == value);
    true
}

/// A record is acknowledged behind the end of the drained log.
fn ack_behind_the_end(script: &mut Script, dice: &mut Dice) -> bool {
    let (drain, value) = (script.drain(), script.fresh());
    let unit = format!("orders/{}", dice.below(2));
    script.send_before(drain, "producer-9", &unit, value, 5000);
    true
}

/// A retry appends a record again, and the drain finds both.
fn append_again(script: &mut Script, dice: &mut Dice) -> bool {
    let Some((unit, _, value)) = plain_record(script, dice) else { return false };
    let drain = script.drain();
    let read = json!({"process": "drain", "f": "deliver", "unit": unit, "position": 5000, "value": value});
    script.before(drain, read);
    true
}

/// A record of unknown outcome is read at the place of another one.
fn use_a_place_twice(script: &mut Script, dice: &mut Dice) -> bool {
    let Some((unit, position, _)) = plain_record(script, dice) else { return false };
    let (drain, value) = (script.drain(), script.fresh());
    let send =
        json!({"process": "producer-9", "f": "send", "type": "invoke", "topic": "orders", "value": value});
    script.before(drain, send);
    let read =
        json!({"process": "drain", "f": "deliver", "unit": unit, "position": position, "value": value});
    script.before(drain, read);
    true
}

/// A reader is handed what nobody sent.
fn invent(script: &mut Script, dice: &mut Dice) -> bool {
    let reads = script.all(|event| event["f"] == "deliver" && event.get("node").is_none());
    let Some(read) = dice.pick(&reads) else { return false };
    let mut event = script.get(read).clone();
    event["value"] = json!(script.fresh() + 1000);
    event["position"] = json!(6000);
    script.after(read, event);
    true
}

/// A payload arrives damaged.
fn damage(script: &mut Script, dice: &mut Dice) -> bool {
    let reads = script.all(|event| event["f"] == "deliver");
    let Some(read) = dice.pick(&reads) else { return false };
    script.edit(read)["corrupt"] = json!(true);
    true
}

#[test]
fn a_script_that_is_not_edited_is_its_history() {
    let history = clean::groups(7);
    let script = Script::of(&history);
    assert_eq!(super::text(&script.history()), super::text(&history));
    let send = script.first(|event| is(event, "invoke", "send")).expect("a send");
    assert_eq!(
        (text_of(script.get(send), "topic").as_str(), number(script.get(send), "value")),
        ("orders", 1)
    );
}
