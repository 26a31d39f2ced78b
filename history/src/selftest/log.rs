//! The tests of the checks of the log.

use super::{
    Agree, Dice, Key, Row, clean, naive,
    script::{Script, is, is_drain_read, number, text_of},
};
use crate::{
    History, Kind,
    checks::Case,
    history::{DeliverRow, Drain, Observation, SendRow, Status, UnitId},
};
use serde_json::{Value, json};

pub(super) const ROWS: &[Row] = &[
    row(Kind::LostWrite, lost_write, &[forget, vanish]),
    row(Kind::Unseen, unseen, &[ack_behind_the_end]),
    row(Kind::LostPrefix, lost_prefix, &[lose_the_first]),
    row(Kind::LostMiddle, lost_middle, &[lose_the_middle]),
    row(Kind::LostPostfix, lost_postfix, &[ack_behind_the_end, lose_the_last]),
    row(Kind::Duplicate, duplicate, &[append_again]),
    row(Kind::InconsistentOffsets, inconsistent_offsets, &[use_a_place_twice]),
    row(Kind::Unexpected, unexpected, &[invent]),
    row(Kind::Corrupt, corrupt, &[damage]),
    row(Kind::RealtimeOffsetInversion, realtime_offset_inversion, &[stand_before]),
    row(Kind::OffsetRegression, offset_regression, &[end_earlier, lower_an_epoch]),
    row(Kind::ReplicaDivergence, replica_divergence, &[lack_on_a_node]),
    row(Kind::LogTruncated, log_truncated, &[send_back]),
    row(Kind::CompactionLoss, compaction_loss, &[compact_the_latest]),
    row(Kind::RetentionLoss, retention_loss, &[begin_too_late]),
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

pub(super) fn lost_write(history: &History) -> Vec<Key> {
    let lost = |(row, send): (u32, &SendRow)| {
        let (unit, position) = naive::placed(history, send)?;
        let behind = naive::bound(history, unit)? >= position;
        let happened = naive::outcome(history, send) == Status::Ok
            && naive::twin(history, row).is_none()
            && !naive::may_be_gone(history, row);
        let case = if !naive::seen(history, send) {
            Case::Plain
        } else {
            let drained =
                |value| history.delivers().iter().any(|read| read.drained() && read.value() == value);
            let gone = naive::finished(history, unit).is_some_and(|drain| drain.from <= position);
            let stays = !history.meta.configuration.exclusive;
            (stays && gone && !drained(Some(send.value))).then_some(Case::Vanished)?
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
            || naive::may_be_gone(history, row)
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
        let told = !proved_lost && (drained || send.status == Status::Ok);
        told.then_some(Key { unit, position: send.position(), send: Some(row), case })
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
    let damaged = |(row, read): &(u32, &DeliverRow)| history.is_corrupt(*row) || read.value().is_none();
    for (_, read) in (0u32..).zip(history.delivers()).filter(damaged) {
        let (unit, position) = (Some(read.unit), Some(read.position));
        if !found.iter().any(|key| (key.unit, key.position) == (unit, position)) {
            let send = read.value().and_then(|value| naive::writer(history, value)).map(|(row, _)| row);
            found.push(Key { unit, position, send, case: Case::Plain });
        }
    }
    found
}

/// The lost records in one part of what their writers sent to their units.
fn part(history: &History, here: fn(first: bool, last: bool) -> bool) -> Vec<Key> {
    let mut lost = lost_write(history);
    lost.extend(unseen(history));
    let row_of = |key: &Key| key.send.expect("a lost record has a send");
    let rows: Vec<u32> = lost.iter().map(row_of).collect();
    let session = |row: u32| {
        let send = &history.sends()[row as usize];
        (send.process, send.session)
    };
    let mut found = Vec::new();
    for mut key in lost {
        let (row, Some(unit)) = (row_of(&key), key.unit) else { continue };
        let read = sends(history).filter(|(other, send)| {
            session(*other) == session(row)
                && naive::unit_of(history, *other) == Some(unit)
                && naive::seen(history, send)
                && !rows.contains(other)
        });
        let read: Vec<u32> = read.map(|(other, _)| other).collect();
        let (before, after) = (read.iter().any(|other| *other < row), read.iter().any(|other| *other > row));
        if here(before, after) {
            key.case = if naive::finished(history, unit).is_some() { Case::Drained } else { Case::Plain };
            found.push(key);
        }
    }
    found
}

fn lost_prefix(history: &History) -> Vec<Key> {
    part(history, |before, after| !before && after)
}

fn lost_middle(history: &History) -> Vec<Key> {
    part(history, |before, after| before && after)
}

fn lost_postfix(history: &History) -> Vec<Key> {
    part(history, |_, after| !after)
}

fn realtime_offset_inversion(history: &History) -> Vec<Key> {
    let acked: Vec<(u32, &SendRow, UnitId, u64, u32)> = sends(history)
        .filter(|(row, send)| send.status == Status::Ok && naive::twin(history, *row).is_none())
        .filter_map(|(row, send)| {
            let (unit, position) = naive::placed(history, send)?;
            Some((row, send, unit, position, send.completion()?))
        })
        .collect();
    let inverted = acked.iter().filter(|(row, send, unit, position, _)| {
        acked.iter().any(|(other, _, there, behind, ack)| {
            (other != row) && there == unit && behind >= position && *ack < send.invoke.0
        })
    });
    inverted.map(|(row, _, unit, position, _)| Key::new(*unit, *position, *row, Case::Plain)).collect()
}

fn offset_regression(history: &History) -> Vec<Key> {
    let mut found = Vec::new();
    let answered = || history.ends().iter().filter(|end| end.status == Status::Ok);
    for late in answered() {
        let (Some(low), key) = (late.ends, (late.unit, late.node())) else { continue };
        let higher = answered().any(|early| {
            (early.unit, early.node()) == key
                && early.completion().is_some_and(|done| done < late.invoke.0)
                && early.ends.is_some_and(|ends| ends.high > low.high)
        });
        if higher {
            let (unit, position) = (Some(late.unit), Some(low.high));
            found.push(Key { unit, position, send: None, case: Case::Plain });
        }
    }
    let with_epoch: Vec<(UnitId, u64, u32)> = (0u32..)
        .zip(history.delivers())
        .filter_map(|(row, read)| {
            history.deliver_extra(row).epoch.map(|epoch| (read.unit, read.position, epoch))
        })
        .collect();
    let mut low: Vec<(UnitId, u64)> = with_epoch
        .iter()
        .filter(|late| {
            with_epoch.iter().any(|early| early.0 == late.0 && early.1 < late.1 && early.2 > late.2)
        })
        .map(|(unit, position, _)| (*unit, *position))
        .collect();
    low.sort_unstable();
    low.dedup();
    let key = |(unit, position)| Key {
        unit: Some(unit),
        position: Some(position),
        send: None,
        case: Case::InEpochs,
    };
    found.extend(low.into_iter().map(key));
    found
}

fn replica_divergence(history: &History) -> Vec<Key> {
    let drains: Vec<Drain> = history
        .notes()
        .iter()
        .filter_map(|(_, note)| match note {
            Observation::Drain(drain) if drain.complete && drain.node.is_some() => Some(*drain),
            _ => None,
        })
        .collect();
    let all = history
        .notes()
        .iter()
        .filter(|(_, note)| matches!(note, Observation::Drain(drain) if drain.node.is_some()));
    let mut through: Vec<(UnitId, u64, u64, u32)> = Vec::new();
    for (row, read) in (0u32..).zip(history.delivers()).filter(|(_, read)| read.drained()) {
        if let (Some(node), Some(value)) = (history.deliver_extra(row).node, read.value()) {
            through.push((read.unit, read.position, value, node));
        }
    }
    let mut found = Vec::new();
    for (unit, position, value, _) in &through {
        let facts = history.meta.configuration.topic(history.topic_name(history.unit_topic(*unit)));
        let lacks = drains.iter().filter(|drain| drain.unit == *unit).any(|drain| {
            (drain.from..drain.to).contains(position)
                && !through.iter().any(|other| {
                    (other.0, other.1, other.2, Some(other.3)) == (*unit, *position, *value, drain.node)
                })
        });
        if lacks && !facts.compacts() && !facts.deletes() && all.clone().count() > 1 {
            let send = naive::writer(history, *value).map(|(row, _)| row);
            found.push(Key { unit: Some(*unit), position: Some(*position), send, case: Case::Plain });
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn log_truncated(history: &History) -> Vec<Key> {
    let back = history.notes().iter().filter_map(|(_, note)| match note {
        Observation::Reset { unit, from: Some(from), to, .. } if to < from => {
            Some(Key { unit: Some(*unit), position: Some(*to), send: None, case: Case::Plain })
        }
        _ => None,
    });
    back.collect()
}

fn compaction_loss(history: &History) -> Vec<Key> {
    let mut found = Vec::new();
    for unit in naive::units(history) {
        let compacts =
            history.meta.configuration.topic(history.topic_name(history.unit_topic(unit))).compacts();
        let Some(drain) = naive::finished(history, unit).filter(|_| compacts) else { continue };
        let happened = naive::places(history, unit).into_iter().filter_map(|(position, value)| {
            let (row, send) = naive::writer(history, value?)?;
            let happened = naive::outcome(history, send) == Status::Ok;
            Some((position, send.value, row, send.key()?)).filter(|_| happened)
        });
        let happened: Vec<_> = happened.collect();
        for (position, value, row, key) in &happened {
            let latest = happened.iter().filter(|other| other.3 == *key).max();
            let drained = history.delivers().iter().any(|read| {
                read.drained() && (read.unit, read.position, read.value()) == (unit, *position, Some(*value))
            });
            let covered = (drain.from..drain.to).contains(position);
            let deletes = history.send_extra(*row).tombstone || naive::deleted(history, *row).is_some();
            if latest == Some(&(*position, *value, *row, *key)) && covered && !drained && !deletes {
                found.push(Key::new(unit, *position, *row, Case::Plain));
            }
        }
    }
    found
}

fn retention_loss(history: &History) -> Vec<Key> {
    let mut found = Vec::new();
    let bound = naive::clock_bound(history).unwrap_or_default();
    for unit in naive::units(history) {
        let facts = history.meta.configuration.topic(history.topic_name(history.unit_topic(unit)));
        let Some(retention) = facts.retention.filter(|_| facts.deletes()) else { continue };
        for (position, value) in naive::places(history, unit) {
            let Some((row, send)) = value.and_then(|value| naive::writer(history, value)) else { continue };
            if naive::outcome(history, send) != Status::Ok {
                continue;
            }
            let stamp = history.send_extra(row).timestamp;
            let invoked = history.time(send.invoke.0);
            let told = history.ends().iter().filter(|end| end.unit == unit).filter_map(|end| {
                end.ends.and_then(|ends| ends.start).filter(|start| *start > position).and(end.completion())
            });
            let drain =
                naive::drain(history, unit).filter(|(_, drain)| drain.complete && drain.from > position);
            let gone = told.chain(drain.map(|(event, _)| event)).min();
            let born = stamp.map_or(invoked, |stamp| stamp.min(invoked));
            let gone = gone.filter(|_| naive::deleted(history, row).is_none());
            if gone.is_some_and(|event| history.time(event).since(born) + bound < retention) {
                found.push(Key::new(unit, position, row, Case::Plain));
            }
            let drained = history.delivers().iter().find(|read| {
                read.drained() && (read.unit, read.position, read.value()) == (unit, position, value)
            });
            let here = naive::placed(history, send) == Some((unit, position));
            let ack = send.completion().filter(|_| here);
            if let (Some(read), Some(ack), Some(slack)) = (drained, ack, facts.retention_slack) {
                let since = history.time(ack).max(stamp.unwrap_or_default());
                if history.time(read.event).since(since) > retention + slack + bound {
                    found.push(Key::new(unit, position, row, Case::Kept));
                }
            }
        }
    }
    found
}

/// A drained record of a plain producer that no handler gave up and that is not the last of its unit.
pub(super) fn plain_record(script: &Script, dice: &mut Dice) -> Option<(String, u64, u64)> {
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

/// Acknowledged sends of one writer, all drained but one.
fn lose_one_of_three(script: &mut Script, dice: &mut Dice, lost: u64) -> bool {
    let (drain, value) = (script.drain(), script.fresh());
    let unit = format!("orders/{}", dice.below(2));
    for n in 0..3 {
        script.send_before(drain, "producer-9", &unit, value + n, 5000 + n);
    }
    for n in (0..3).filter(|n| *n != lost) {
        let read = json!({
            "process": "drain", "f": "deliver", "unit": unit, "position": 5000 + n, "value": value + n,
        });
        script.before(drain, read);
    }
    true
}

fn lose_the_first(script: &mut Script, dice: &mut Dice) -> bool {
    lose_one_of_three(script, dice, 0)
}

fn lose_the_middle(script: &mut Script, dice: &mut Dice) -> bool {
    lose_one_of_three(script, dice, 1)
}

fn lose_the_last(script: &mut Script, dice: &mut Dice) -> bool {
    lose_one_of_three(script, dice, 2)
}

/// A record is sent when all is over and gets a place in the middle of the log, before others.
fn stand_before(script: &mut Script, dice: &mut Dice) -> bool {
    let (drain, value) = (script.drain(), script.fresh());
    let unit = format!("orders/{}", dice.below(2));
    script.send_before(drain, "producer-9", &unit, value, 5001);
    script.send_before(drain, "producer-8", &unit, value + 1, 5000);
    for (value, position) in [(value + 1, 5000), (value, 5001)] {
        let read =
            json!({"process": "drain", "f": "deliver", "unit": unit, "position": position, "value": value});
        script.before(drain, read);
    }
    true
}

/// Somebody is told of an end before one that was told earlier.
fn end_earlier(script: &mut Script, dice: &mut Dice) -> bool {
    let (drain, unit) = (script.drain(), format!("orders/{}", dice.below(2)));
    for high in [7000, 6000 + dice.below(900)] {
        let ask = json!({"process": "admin", "f": "end", "type": "invoke", "unit": unit});
        let ask = script.before(drain, ask);
        script.before(drain, json!({"process": "admin", "f": "end", "invoke": ask, "high": high}));
    }
    true
}

/// A record is stored with an epoch below those before it.
fn lower_an_epoch(script: &mut Script, dice: &mut Dice) -> bool {
    let Some(read) = plain_record(script, dice) else { return false };
    let unit = read.0;
    let reads = script
        .all(|event| is_drain_read(event) && event["unit"] == unit.as_str() && event.get("node").is_none());
    let (Some(first), Some(last)) = (reads.first(), reads.last()) else { return false };
    script.edit(*first)["epoch"] = json!(50);
    script.edit(*last)["epoch"] = json!(49);
    first != last
}

/// One node lacks a record that the other has.
fn lack_on_a_node(script: &mut Script, dice: &mut Dice) -> bool {
    let reads = script.all(|event| is_drain_read(event) && event.get("node").is_some());
    let Some(read) = dice.pick(&reads) else { return false };
    let (unit, value, node) = {
        let event = script.get(read);
        (event["unit"].clone(), event["value"].clone(), event["node"].clone())
    };
    script.remove(|event| {
        is_drain_read(event)
            && event["unit"] == unit
            && event["value"] == value
            && event.get("node") == Some(&node)
    });
    true
}

/// A consumer is sent back behind what it read.
fn send_back(script: &mut Script, dice: &mut Dice) -> bool {
    let reads = script.all(|event| event["f"] == "deliver" && event.get("poll").is_some());
    let Some(read) = dice.pick(&reads) else { return false };
    let event = script.get(read);
    let (process, unit, position) =
        (event["process"].clone(), event["unit"].clone(), number(event, "position"));
    let back = json!({"process": process, "f": "reset", "unit": unit, "from": position + 1, "to": position});
    script.after(read, back);
    true
}

/// A topic that compacts loses the latest record of a key.
fn compact_the_latest(script: &mut Script, dice: &mut Dice) -> bool {
    *script.configuration("topics") = json!({"orders": {"cleanup": "compact"}});
    let Some((unit, position, value)) = plain_record(script, dice) else { return false };
    let key = |script: &Script, value: u64| {
        let send = script.first(|event| is(event, "invoke", "send") && event["value"] == value)?;
        script.get(send).get("key").cloned()
    };
    let Some(mine) = key(script, value) else { return false };
    let later = script.drained().into_iter().filter(|(other, ..)| *other == unit);
    let same = later.filter(|(.., value)| key(script, *value) == Some(mine.clone()));
    let Some((_, _, latest)) = same.max_by_key(|(_, position, _)| *position) else { return false };
    let _ = position;
    script.remove(|event| is_drain_read(event) && event["value"] == latest);
    true
}

/// A log that keeps records for a day begins behind a fresh one.
fn begin_too_late(script: &mut Script, dice: &mut Dice) -> bool {
    *script.configuration("topics") =
        json!({"orders": {"cleanup": "delete", "retention": 86_400_000_000_000_u64}});
    let Some((unit, position, _)) = plain_record(script, dice) else { return false };
    let drain = script.drain();
    let ask = script.before(drain, json!({"process": "admin", "f": "end", "type": "invoke", "unit": unit}));
    let answer = json!({"process": "admin", "f": "end", "invoke": ask, "high": 9000, "start": position + 1});
    script.before(drain, answer);
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
