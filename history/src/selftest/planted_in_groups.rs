//! Anomalies of groups, planted in clean histories.

use super::{
    Dice,
    script::{Script, is, number, text_of},
};
use serde_json::{Value, json};

const SECOND: u64 = 1_000_000_000;

/// What a group was handed by one of its members: (id, member, unit, position, value).
fn group_reads(script: &Script) -> Vec<(u64, String, String, u64, u64)> {
    let reads = script.all(|event| is(event, "ok", "deliver") && event["group"] == "billing");
    let read = |id: u64| {
        let event = script.get(id);
        (
            id,
            text_of(event, "process"),
            text_of(event, "unit"),
            number(event, "position"),
            number(event, "value"),
        )
    };
    reads.into_iter().map(read).collect()
}

/// Whether an event gives a unit to a member, takes it, or ends the member's life.
fn moves(event: &Value, member: &str, unit: &str) -> bool {
    let names = |unit: &str| {
        let units = event["units"].as_array();
        units.is_some_and(|units| units.iter().any(|one| one == unit || one["unit"] == unit))
    };
    event["process"] == member
        && (event["f"] == "crashed"
            || (["assigned", "revoked", "lost"].iter().any(|f| event["f"] == *f) && names(unit)))
}

/// The first record that a member is handed after an assignment is never delivered to it; it is handed the second.
pub(super) fn leave_the_first_out(script: &mut Script, dice: &mut Dice) -> bool {
    let reads = group_reads(script);
    let at = |id: u64| script.at(id);
    let firsts = reads.iter().enumerate().filter_map(|(index, (id, member, unit, position, _))| {
        // The assignment that this read is the first of, and the next read of the same.
        let mut before =
            script.all(|event| moves(event, member, unit)).into_iter().filter(|other| at(*other) < at(*id));
        let assigned = before.next_back().filter(|last| script.get(*last)["f"] == "assigned")?;
        let same = |one: &&(u64, String, String, u64, u64)| one.1 == *member && one.2 == *unit;
        let earlier = reads[..index].iter().filter(same).any(|one| at(one.0) > at(assigned));
        let next = reads[index + 1..].iter().find(same)?.0;
        let moved = script.all(|event| moves(event, member, unit)).into_iter();
        let moved = { moved }.any(|other| (at(*id)..at(next)).contains(&at(other)));
        // A commit in between would make a place behind the record legal.
        let committed =
            |event: &Value| is(event, "invoke", "commit") && event["positions"][0]["unit"] == **unit;
        let committed =
            script.all(committed).into_iter().any(|other| (at(assigned)..at(next)).contains(&at(other)));
        let further = number(script.get(next), "position") > *position;
        (!earlier && !moved && !committed && further).then_some(*id)
    });
    let firsts: Vec<u64> = firsts.collect();
    let Some(first) = dice.pick(&firsts) else { return false };
    let event = script.get(first).clone();
    script.remove(|other| *other == event);
    true
}

/// Commits are linearizable, and a member that is assigned a unit with a commit begins at its beginning.
pub(super) fn begin_at_the_beginning(script: &mut Script, dice: &mut Dice) -> bool {
    let drained = script.drained();
    let given = |event: &Value| {
        let units = event["units"].as_array().into_iter().flatten();
        let places =
            units.filter_map(|one| Some((one["unit"].as_str()?.to_owned(), one["position"].as_u64()?)));
        let first = |unit: &str| drained.iter().find(|(one, ..)| one == unit).cloned();
        places.filter_map(|(unit, at)| first(&unit).filter(|(_, position, _)| *position < at)).next()
    };
    let assigned = script.all(|event| is(event, "ok", "assigned") && event["group"] == "billing");
    let all: Vec<u64> = assigned.into_iter().filter(|id| given(script.get(*id)).is_some()).collect();
    let Some(id) = dice.pick(&all) else { return false };
    let Some((unit, position, value)) = given(script.get(id)) else { return false };
    let member = text_of(script.get(id), "process");
    *script.configuration("linearizable_commits") = json!(true);
    let read = json!({"f": "deliver", "process": member, "group": "billing", "unit": unit, "position": position, "value": value});
    script.after(id, read);
    true
}

/// A member commits a place far behind what it was handed.
pub(super) fn commit_the_end(script: &mut Script, dice: &mut Dice) -> bool {
    let drained = script.drained();
    let last = |unit: &str| drained.iter().filter(|(one, ..)| one == unit).map(|(_, at, _)| *at).max();
    let short = |event: &Value| {
        let place = &event["positions"][0];
        place["unit"].as_str().and_then(last).is_some_and(|last| number(place, "position") <= last)
    };
    let commits = script.all(|event| is(event, "invoke", "commit") && short(event));
    let Some(id) = dice.pick(&commits) else { return false };
    script.edit(id)["positions"][0]["position"] = json!(9000);
    true
}

/// No handler is ever done with a record that its member committed.
pub(super) fn forget_the_handling(script: &mut Script, dice: &mut Dice) -> bool {
    let reads = group_reads(script);
    let passed = |(id, member, unit, position, _): &&(u64, String, String, u64, u64)| {
        let commits = |event: &Value| {
            let place = &event["positions"][0];
            is(event, "invoke", "commit") && event["process"] == **member && place["unit"] == **unit
        };
        let later = script.all(|event| commits(event) || moves(event, member, unit));
        let next = later.into_iter().find(|other| script.at(*other) > script.at(*id));
        next.is_some_and(|next| {
            commits(script.get(next)) && number(&script.get(next)["positions"][0], "position") > *position
        })
    };
    let list: Vec<u64> = reads.iter().filter(passed).map(|read| read.4).collect();
    let Some(value) = dice.pick(&list) else { return false };
    script.remove(|event| event["f"] == "handled" && event["value"] == value);
    true
}

/// A position and the value that stands there.
type Placed = (u64, u64);

/// Two places of one unit, in order.
fn two_places(script: &Script, dice: &mut Dice) -> Option<(String, Placed, Placed)> {
    let drained = script.drained();
    let pairs: Vec<usize> = (1..drained.len()).filter(|at| drained[at - 1].0 == drained[*at].0).collect();
    let at = dice.pick(&pairs)?;
    let place = |(_, position, value): &(String, u64, u64)| (*position, *value);
    Some((drained[at].0.clone(), place(&drained[at - 1]), place(&drained[at])))
}

/// A poll in a transaction that is handed one record; the transaction ends so.
fn transact(
    script: &mut Script,
    before: u64,
    who: &str,
    group: Option<&str>,
    place: (&str, u64, u64),
    end: &str,
) {
    let (unit, position, value) = place;
    let txn = script.before(before, json!({"f": "txn", "type": "invoke", "process": who}));
    let mut poll = json!({"f": "poll", "type": "invoke", "process": who, "txn": txn});
    let mut read =
        json!({"f": "deliver", "process": who, "unit": unit, "position": position, "value": value});
    if let Some(group) = group {
        poll["group"] = json!(group);
        read["group"] = json!(group);
    }
    let poll = script.before(before, poll);
    read["poll"] = json!(poll);
    script.before(before, read);
    script.before(before, json!({"f": "poll", "process": who, "invoke": poll}));
    let mut done = json!({"f": "txn", "type": end, "process": who, "invoke": txn});
    if end == "fail" {
        done["error"] = json!("aborted");
    }
    script.before(before, done);
}

/// A reader's transaction is aborted, and it goes on with the next record.
pub(super) fn go_on_after_an_abort(script: &mut Script, dice: &mut Dice) -> bool {
    let Some((unit, first, second)) = two_places(script, dice) else { return false };
    let drain = script.drain();
    transact(script, drain, "reader-9", None, (&unit, first.0, first.1), "fail");
    transact(script, drain, "reader-9", None, (&unit, second.0, second.1), "ok");
    true
}

/// Two committed transactions of one group consume one record.
pub(super) fn consume_twice(script: &mut Script, dice: &mut Dice) -> bool {
    let Some((unit, (position, value), _)) = two_places(script, dice) else { return false };
    let drain = script.drain();
    for who in ["reader-8", "reader-9"] {
        transact(script, drain, who, Some("mirror"), (&unit, position, value), "ok");
    }
    true
}

/// A member hands a unit back and is handed one more record of it.
pub(super) fn read_what_was_given_back(script: &mut Script, dice: &mut Dice) -> bool {
    let Some((unit, (position, value), _)) = two_places(script, dice) else { return false };
    let (drain, who) = (script.drain(), "consumer-0");
    script.before(drain, json!({"f": "revoked", "process": who, "units": [unit]}));
    let read = json!({"f": "deliver", "process": who, "group": "billing", "unit": unit, "position": position, "value": value});
    script.before(drain, read);
    true
}

/// Both members are assigned one unit in one generation.
pub(super) fn assign_twice(script: &mut Script, dice: &mut Dice) -> bool {
    let (drain, unit) = (script.drain(), format!("orders/{}", dice.below(2)));
    for who in ["consumer-0", "consumer-1"] {
        let units = json!([{"unit": unit, "position": 0}]);
        script.before(
            drain,
            json!({"f": "assigned", "process": who, "group": "billing", "units": units, "generation": 999}),
        );
    }
    true
}

/// The group is rebalanced twice with the same members, where nothing of the kind may happen.
pub(super) fn shuffle_again(script: &mut Script, _: &mut Dice) -> bool {
    let drain = script.drain();
    *script.expect("spurious_rebalances") = json!(0);
    for generation in [1000, 1001] {
        let members = json!(["consumer-0", "consumer-1"]);
        script.before(
            drain,
            json!({"f": "rebalanced", "group": "billing", "generation": generation, "members": members}),
        );
    }
    true
}

/// When everything was healed.
fn healed(script: &Script) -> u64 {
    script
        .first(|event| event["f"] == "phase" && event["phase"] == "healed")
        .expect("a clean history is healed")
}

/// A record that was acknowledged when everything was healed is not delivered in the second after it.
pub(super) fn never_deliver(script: &mut Script, dice: &mut Dice) -> bool {
    *script.expect("progress") = json!(SECOND / 2);
    let (healed, value, unit) = (healed(script), script.fresh(), format!("orders/{}", dice.below(2)));
    let behind = script.drained().iter().filter(|(one, ..)| *one == unit).map(|(_, at, _)| at + 1).max();
    let Some(position) = behind else { return false };
    script.send_before(healed, "producer-9", &unit, value, position + 5);
    let drain = script.drain();
    script.before(
        drain,
        json!({"f": "deliver", "process": "drain", "unit": unit, "position": position + 5, "value": value}),
    );
    let caught_up = script.first(|event| event["f"] == "phase" && event["phase"] == "caught-up");
    let Some(caught_up) = caught_up else { return false };
    script.later(caught_up, SECOND);
    true
}

/// A producer waits for the answer to a send for a second, to the end, although everything is healed.
pub(super) fn never_answer(script: &mut Script, _: &mut Dice) -> bool {
    *script.expect("progress") = json!(SECOND / 2);
    let (healed, value) = (healed(script), script.fresh());
    script.after(
        healed,
        json!({"f": "send", "type": "invoke", "process": "producer-9", "topic": "orders", "value": value}),
    );
    let drain = script.drain();
    script.later(drain, SECOND);
    true
}
