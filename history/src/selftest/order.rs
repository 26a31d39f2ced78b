//! The tests of the checks of order.

use super::{Agree, Dice, Key, Row, clean, log::sends, naive, script::Script};
use crate::{
    History, Kind,
    checks::Case,
    history::{DeliverRow, SendRow, UnitId},
};
use serde_json::json;

pub(super) const ROWS: &[Row] = &[
    row(Kind::NonmonotonicSend, nonmonotonic_send, &[overtake]),
    row(Kind::KeyOrder, key_order, &[overtake, deliver_late]),
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
fn overtaken(history: &History, same_key: bool, case: Case) -> Vec<Key> {
    let mut found = Vec::new();
    for (row, late) in sends(history) {
        let Some((unit, position)) = standing(history, late) else { continue };
        let earlier = sends(history).take_while(|(other, _)| *other < row).any(|(_, early)| {
            (early.process, early.session) == (late.process, late.session)
                && (!same_key || (early.key().is_some() && early.key() == late.key()))
                && standing(history, early).is_some_and(|(other, at)| other == unit && at > position)
        });
        if earlier {
            found.push(Key::new(unit, position, row, case));
        }
    }
    found
}

fn nonmonotonic_send(history: &History) -> Vec<Key> {
    overtaken(history, false, Case::Plain)
}

fn key_order(history: &History) -> Vec<Key> {
    let mut found = overtaken(history, true, Case::InLog);
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
